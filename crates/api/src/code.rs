//! Error codes: one table from which titles, HTTP statuses, exit codes, hints and pages all come.
//!
//! A code never changes its meaning. Each has a page `docs/errors/E####.md` (checked by `xtask tidy`).

use std::fmt;

/// What a client can do about a problem, besides reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code (`E0101`).
    pub code: &'static str,
    /// What it means, in a few words.
    pub title: &'static str,
    /// The HTTP status it is answered with.
    pub status: u16,
    /// The exit code of a command that ends because of it.
    pub exit_code: u8,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// What to do first.
    pub hint: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, exit $exit:literal, $retry:ident, $title:literal, $hint:literal;)*) => {
        /// A problem's code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in numeric order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// Its row of the table.
            pub const fn entry(self) -> Entry {
                match self { $(Code::$name => Entry {
                    code: $code, title: $title, status: $status, exit_code: $exit, retryable: codes!(@ $retry), hint: $hint,
                },)* }
            }
        }
    };
    (@ retry) => { true };
    (@ once) => { false };
}

codes! {
    /// Something in the request is malformed.
    BadRequest = "E0101", 400, exit 2, once, "the request is not valid",
        "read the detail, mend the request and send it again";
    /// The body is not JSON of the expected shape.
    BadBody = "E0102", 422, exit 2, once, "the body is not what this route expects",
        "compare the body with the schema in /openapi.json";
    /// The body is too large.
    TooLarge = "E0103", 413, exit 2, once, "the body is too large",
        "send at most 1 MiB";
    /// The body has another type.
    BadMediaType = "E0104", 415, exit 2, once, "the body has the wrong type",
        "send JSON with Content-Type: application/json";
    /// The route exists, not for this method.
    MethodNotAllowed = "E0105", 405, exit 2, once, "this route does not answer that method",
        "see /openapi.json for the methods of this route";
    /// Nobody has said who they are.
    NotAuthenticated = "E0201", 401, exit 4, once, "a token is needed",
        "send Authorization: Bearer TOKEN; `mb token add NAME --scope runs:read` makes one";
    /// The token is unknown, expired or revoked.
    BadToken = "E0202", 401, exit 4, once, "the token is not valid",
        "it is unknown, expired or revoked: make a new one with `mb token add`";
    /// The token may not do this.
    ScopeMissing = "E0203", 403, exit 4, once, "the token may not do this",
        "use a token that has the scope named in the detail";
    /// A browser sent a form from another site.
    CrossSite = "E0204", 403, exit 4, once, "the request came from another site",
        "open the console itself and press the button there";
    /// The login link was used or is too old.
    LoginUsed = "E0205", 403, exit 4, once, "this login link no longer works",
        "a link works once and for 30 minutes: `mb open` prints a new one";
    /// There is no such thing.
    NotFound = "E0301", 404, exit 3, once, "there is nothing here",
        "check the address";
    /// There is no such run.
    RunNotFound = "E0302", 404, exit 3, once, "no such run",
        "`mb run ls` lists the runs";
    /// There is no such log.
    LogNotFound = "E0303", 404, exit 3, once, "no such log",
        "`mb run show RUN` lists the attempts; a log is named STEP#ATTEMPT";
    /// There is no such token.
    TokenNotFound = "E0304", 404, exit 3, once, "no such token",
        "`mb token ls` lists the tokens";
    /// There is no such task.
    TaskNotFound = "E0305", 404, exit 3, once, "no such task",
        "a task of a run is not shown by itself: `mb run show RUN`; records are kept for MB_TASK_RETENTION";
    /// There is no such worker.
    WorkerNotFound = "E0306", 404, exit 3, once, "no such worker",
        "`mb worker ls` lists the workers";
    /// There is no such workflow, or it has no such version.
    WorkflowNotFound = "E0311", 404, exit 3, once, "no such workflow",
        "`mb workflow ls` lists the workflows, `mb workflow versions NAME` their versions";
    /// There is no such schedule.
    ScheduleNotFound = "E0312", 404, exit 3, once, "no such schedule",
        "`mb schedule ls` lists the schedules";
    /// There is no such trigger.
    TriggerNotFound = "E0313", 404, exit 3, once, "no such trigger",
        "`mb trigger ls` lists the triggers";
    /// The run is over.
    AlreadyOver = "E0401", 409, exit 5, once, "the run is already over",
        "nothing is left to stop; `mb run show RUN` says how it ended";
    /// Two writers met.
    Conflict = "E0402", 409, exit 5, retry, "somebody else changed the same thing",
        "look at it again, then repeat the request";
    /// The run cannot take this as it stands.
    DoesNotFit = "E0403", 409, exit 5, once, "the run cannot take this now",
        "`mb run show RUN` says what it waits for and how it stands";
    /// The task is over.
    TaskOver = "E0404", 409, exit 5, once, "the task is already over",
        "nothing is left to stop; `mb task show TASK` says how it ended";
    /// Another one has that name.
    NameTaken = "E0411", 409, exit 5, once, "the name is taken",
        "choose another name, or change the one that has it";
    /// There are as many as are allowed.
    TooMany = "E0412", 409, exit 5, once, "there are as many as are allowed",
        "remove some that are not needed any more";
    /// The project cannot be run.
    BadProject = "E0501", 422, exit 2, once, "the project cannot be run",
        "`mb doctor` in the project's folder says what is missing";
    /// The workflow's document is wrong.
    BadWorkflow = "E0511", 422, exit 2, once, "the workflow is not valid",
        "mend what the detail names; docs/reference/workflow-file.md describes every key";
    /// The inputs do not fit the workflow.
    BadInputs = "E0512", 422, exit 2, once, "the inputs do not fit the workflow",
        "`mb workflow show NAME` lists the inputs with their types";
    /// The schedule is wrong.
    BadSchedule = "E0513", 422, exit 2, once, "the schedule is not valid",
        "mend what the detail names; `mb schedule next --cron PATTERN --zone ZONE` tries a timing out";
    /// The trigger is wrong.
    BadTrigger = "E0514", 422, exit 2, once, "the trigger is not valid",
        "mend what the detail names";
    /// Too many open streams.
    TooManyStreams = "E0601", 503, exit 9, retry, "too many live streams are open",
        "close some pages or poll instead; the limit protects the server";
    /// The server is going away.
    ShuttingDown = "E0602", 503, exit 10, retry, "the server is shutting down",
        "repeat the request in a few seconds";
    /// The request took too long.
    Timeout = "E0603", 504, exit 8, retry, "the request took too long",
        "the work may go on: look before you repeat it";
    /// As many tasks wait as may.
    QueueFull = "E0604", 429, exit 9, retry, "the queue is full",
        "try again after the time in Retry-After; `mb queue ls` shows what waits, META_V4_*_QUEUE_SIZE sets the bounds";
    /// The class takes nothing in.
    QueueDraining = "E0605", 503, exit 10, retry, "the queue is draining",
        "`mb queue restart CLASS` lets it take tasks again";
    /// The store cannot be reached.
    StoreUnavailable = "E0701", 503, exit 9, retry, "the store does not answer",
        "`mb doctor` checks the database; requests work again as soon as it does";
    /// The disk is full.
    StoreFull = "E0702", 507, exit 9, once, "the store has no room left",
        "free disk space where the data folder is, then repeat the request";
    /// Something we did not foresee.
    Internal = "E0901", 500, exit 1, once, "something went wrong inside",
        "the server's log has the cause under this request's id";
}

impl Code {
    /// The code's text (`E0101`).
    pub const fn as_str(self) -> &'static str {
        self.entry().code
    }

    /// The code a text stands for.
    pub fn from_text(text: &str) -> Option<Code> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_its_numbers_are_possible() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for &code in Code::ALL {
            let entry = code.entry();
            assert!((400..=599).contains(&entry.status), "{code}");
            assert!((1..=10).contains(&entry.exit_code), "{code}: an exit code nobody documented");
            assert!(!entry.title.ends_with('.') && !entry.hint.ends_with('.'), "{code}");
            assert_eq!(Code::from_text(entry.code), Some(code));
        }
    }

    #[test]
    fn every_code_has_its_page_with_the_three_headings() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for &code in Code::ALL {
            let path = format!("{folder}/{code}.md");
            let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert!(page.starts_with(&format!("# {code}")), "{path}: title");
            for heading in ["## Meaning", "## Likely causes", "## First actions"] {
                assert!(page.contains(heading), "{path} has no {heading}");
            }
        }
    }
}

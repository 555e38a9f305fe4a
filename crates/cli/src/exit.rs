//! Exit codes: a documented contract, printed by `mb help exit-codes`.

use mb_core::run::RunOutcome;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Usage,
    NotFound,
    Denied,
    Conflict,
    Budget,
    Refused,
    TimedOut,
    Degraded,
    Unreachable,
    Interrupted,
}

impl Exit {
    pub(crate) const ALL: [Exit; 12] = [
        Exit::Ok,
        Exit::Failed,
        Exit::Usage,
        Exit::NotFound,
        Exit::Denied,
        Exit::Conflict,
        Exit::Budget,
        Exit::Refused,
        Exit::TimedOut,
        Exit::Degraded,
        Exit::Unreachable,
        Exit::Interrupted,
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Denied => 4,
            Exit::Conflict => 5,
            Exit::Budget => 6,
            Exit::Refused => 7,
            Exit::TimedOut => 8,
            Exit::Degraded => 9,
            Exit::Unreachable => 10,
            Exit::Interrupted => 130,
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "ok: every step passes, if need be with verified repairs (see --strict)",
            Exit::Failed => "the run or the check failed",
            Exit::Usage => "the command line or the configuration is wrong",
            Exit::NotFound => "there is no such thing",
            Exit::Denied => "not logged in, or the token lacks the scope",
            Exit::Conflict => "a precondition does not hold, or it is already done",
            Exit::Budget => "stopped by the budget",
            Exit::Refused => "refused by a breaker or a policy",
            Exit::TimedOut => "timed out waiting; the work goes on",
            Exit::Degraded => {
                "degraded: with --strict, every step passes but only with a repair or on a re-run; elsewhere, works with warnings"
            }
            Exit::Unreachable => "the server or the store cannot be reached",
            Exit::Interrupted => "interrupted",
        }
    }

    /// The page of `mb help exit-codes`.
    pub(crate) fn page() -> String {
        let rows: String = Exit::ALL.iter().map(|exit| format!("{:>4}  {}\n", exit.code(), exit.meaning())).collect();
        format!("exit codes\n\n{rows}")
    }

    /// How a run's end is told to the shell.
    pub(crate) const fn of(outcome: RunOutcome) -> Exit {
        match outcome {
            RunOutcome::Passed | RunOutcome::Repaired => Exit::Ok,
            RunOutcome::Failed => Exit::Failed,
            RunOutcome::BudgetExceeded => Exit::Budget,
            RunOutcome::Canceled => Exit::Interrupted,
        }
    }
}

/// An error with the code it ends the process with and the command that mends it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
    pub(crate) mend: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Failure {
        Failure { exit, error: error.into(), mend: None }
    }

    pub(crate) fn mend(mut self, command: impl Into<String>) -> Failure {
        self.mend = Some(command.into());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(Exit::Failed, error)
    }
}

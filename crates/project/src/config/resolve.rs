//! Picks every setting from its strongest layer (flag, environment, file, detection, default) and remembers which.

use std::path::Path;

use mb_core::budget::{Budget, MicroUsd};
use mb_core::workflow::{Limits, Network, RepairPolicy};

use super::doc::{Reader, Tab};
use super::error::{Place, Problem};
use super::layers::{Above, Layers};
use crate::explain::{Explained, Source};
use crate::values::{Bytes, Millis, Value};

const HOUR: u64 = 3_600_000;
const GIB: u64 = 1 << 30;

/// A value with the layer and the place it came from.
#[derive(Clone)]
pub(crate) struct Picked<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
    pub(crate) place: Place,
}

impl<T> Picked<T> {
    /// A value nobody set.
    pub(crate) fn default(value: T) -> Self {
        Self { value, source: Source::Default, place: Place::Request }
    }

    /// A value the repository shows.
    pub(crate) fn detected(value: T, evidence: &str) -> Self {
        Self { value, source: Source::Detected { evidence: evidence.to_owned() }, place: Place::Request }
    }
}

/// The settings of the limits of a command, each with its source.
#[derive(Clone)]
pub(crate) struct LimitSet {
    timeout: Picked<Millis>,
    grace: Picked<Millis>,
    output: Picked<Bytes>,
    memory: Picked<Bytes>,
    pids: Picked<u64>,
    disk: Picked<Bytes>,
    pub(crate) network: Picked<Network>,
}

/// The names of [`LimitSet`]'s settings in the file.
pub(crate) const LIMIT_KEYS: [&str; 7] = ["timeout", "grace", "output", "memory", "pids", "disk", "network"];

impl LimitSet {
    fn built_in() -> Self {
        let limits = Limits::DEFAULT;
        Self {
            timeout: Picked::default(Millis(limits.timeout_ms)),
            grace: Picked::default(Millis(limits.grace_ms)),
            output: Picked::default(Bytes(limits.output_bytes_max)),
            memory: Picked::default(Bytes(limits.memory_bytes_max)),
            pids: Picked::default(limits.pids_max),
            disk: Picked::default(Bytes(limits.disk_bytes_max)),
            network: Picked::default(Network::None),
        }
    }

    /// Each limit as one would write it, with its source; the network is not one.
    pub(crate) fn shown(&self) -> [(&'static str, String, &Source); 6] {
        [
            ("timeout", self.timeout.value.show(), &self.timeout.source),
            ("grace", self.grace.value.show(), &self.grace.source),
            ("output", self.output.value.show(), &self.output.source),
            ("memory", self.memory.value.show(), &self.memory.source),
            ("pids", self.pids.value.show(), &self.pids.source),
            ("disk", self.disk.value.show(), &self.disk.source),
        ]
    }

    /// As core's plain numbers.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            timeout_ms: self.timeout.value.0,
            grace_ms: self.grace.value.0,
            output_bytes_max: self.output.value.0,
            memory_bytes_max: self.memory.value.0,
            pids_max: self.pids.value,
            disk_bytes_max: self.disk.value.0,
        }
    }
}

/// Everything but the steps.
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) budget: Budget,
    pub(crate) repair: RepairPolicy,
    pub(crate) redact: Vec<String>,
    /// Host variables every step may see.
    pub(crate) pass: Picked<Vec<String>>,
    pub(crate) defaults: LimitSet,
}

/// Picks values and collects explanations and mistakes.
pub(crate) struct Resolver<'r> {
    pub(crate) path: &'r Path,
    pub(crate) reader: Reader<'r>,
    pub(crate) layers: &'r Layers,
    pub(crate) values: Vec<Explained>,
}

impl Resolver<'_> {
    /// The strongest value of a key.
    pub(crate) fn pick<T: Value + Clone>(&mut self, table: &Tab<'_>, key: &str, fallback: Picked<T>) -> Picked<T> {
        let full = table.full(key);
        // The file is read even when it is overridden: a mistake in it is still a mistake.
        let written = self.reader.value::<T>(table, key).map(|at| Picked {
            source: Source::File { path: self.path.to_owned(), line: line(&at.place) },
            value: at.value,
            place: at.place,
        });
        let picked = self.above(&full).or(written).unwrap_or(fallback);
        self.explain(&full, &picked);
        picked
    }

    fn above<T: Value>(&mut self, key: &str) -> Option<Picked<T>> {
        let (text, source, place) = match self.layers.above(key)? {
            Above::Flag(flag) => {
                let name = flag.name.clone();
                (flag.value.as_str(), Source::Flag { name: name.clone() }, Place::Flag { name })
            }
            Above::Env { name, value } => {
                let name = name.to_owned();
                (value, Source::Env { name: name.clone() }, Place::Env { name })
            }
        };
        if let Some(value) = T::parse(text) {
            return Some(Picked { value, source, place });
        }
        let found = format!("{text:?}");
        self.reader.fail(place, Problem::WrongType { key: key.to_owned(), expected: T::EXPECTED.to_owned(), found });
        None
    }

    /// Records one setting.
    pub(crate) fn explain<T: Value>(&mut self, key: &str, picked: &Picked<T>) {
        let value = picked.value.show();
        self.values.push(Explained { key: key.to_owned(), value, source: picked.source.clone() });
    }

    /// The strongest value of a key, which must lie in a range.
    fn within<T>(&mut self, table: &Tab<'_>, key: &str, fallback: Picked<T>, (least, most): (T, T)) -> Picked<T>
    where
        T: Value + Clone + Ord,
    {
        let inherited = fallback.place.clone();
        let picked = self.pick(table, key, fallback);
        // What is inherited was checked where it is written.
        if picked.place != inherited && (picked.value < least || picked.value > most) {
            let (least, most, found) = (least.show(), most.show(), picked.value.show());
            let problem = Problem::OutOfRange { key: table.full(key), least, most, found };
            self.reader.fail(picked.place.clone(), problem);
        }
        picked
    }

    /// A list whose items must each pass a check.
    pub(crate) fn checked_list(
        &mut self,
        table: &Tab<'_>,
        key: &str,
        fallback: Picked<Vec<String>>,
        check: fn(&str) -> Result<(), Bad>,
    ) -> Picked<Vec<String>> {
        let inherited = fallback.place.clone();
        let picked = self.pick(table, key, fallback);
        let items = if picked.place == inherited { &[][..] } else { &picked.value };
        for Bad { reason, mend } in items.iter().filter_map(|item| check(item).err()) {
            self.reader.fail(picked.place.clone(), Problem::BadValue { key: table.full(key), reason, mend });
        }
        picked
    }

    /// The limits written in a table over those of `base`.
    pub(crate) fn limits(&mut self, table: &Tab<'_>, base: &LimitSet) -> LimitSet {
        let base = base.clone();
        LimitSet {
            timeout: self.within(table, "timeout", base.timeout, (Millis(1_000), Millis(168 * HOUR))),
            grace: self.within(table, "grace", base.grace, (Millis(0), Millis(600_000))),
            output: self.within(table, "output", base.output, (Bytes(1 << 10), Bytes(4 * GIB))),
            memory: self.within(table, "memory", base.memory, (Bytes(16 << 20), Bytes(4096 * GIB))),
            pids: self.within(table, "pids", base.pids, (1, 1_000_000)),
            disk: self.within(table, "disk", base.disk, (Bytes(1 << 20), Bytes(65_536 * GIB))),
            network: self.pick(table, "network", base.network),
        }
    }

    /// Everything but the steps.
    pub(crate) fn settings(&mut self, root: &Tab<'_>) -> Settings {
        self.reader.only(root, &["version", "name", "budget", "repair", "secrets", "defaults", "steps"]);
        let version = self.pick(root, "version", Picked::default(1_u32));
        if version.value != 1 {
            let reason = format!("this program reads version 1, not {}", version.value);
            let mend = "write version = 1, or use the program this file was written for";
            self.reader.fail(version.place, Problem::BadValue { key: "version".into(), reason, mend });
        }
        let name = self.pick(root, "name", Picked::default("build".to_owned())).value;
        let budget = self.budget(root);
        let repair = self.repair(root);
        let secrets = self.reader.table(root, "secrets");
        self.reader.only(&secrets, &["pass", "redact"]);
        let pass = self.checked_list(&secrets, "pass", Picked::default(Vec::new()), check_variable);
        let redact = self.checked_list(&secrets, "redact", Picked::default(Vec::new()), check_regex).value;
        let defaults = self.reader.table(root, "defaults");
        self.reader.only(&defaults, &LIMIT_KEYS);
        let defaults = self.limits(&defaults, &LimitSet::built_in());
        Settings { name, budget, repair, redact, pass, defaults }
    }

    fn budget(&mut self, root: &Tab<'_>) -> Budget {
        let table = self.reader.table(root, "budget");
        self.reader.only(&table, &["time", "cost_usd", "attempts"]);
        let built_in = Budget::DEFAULT;
        let time = Picked::default(Millis(built_in.time_ms));
        let (cost, attempts) = (Picked::default(built_in.cost_microusd), Picked::default(built_in.attempts));
        let dear = MicroUsd::dollars(100_000);
        Budget {
            time_ms: self.within(&table, "time", time, (Millis(1_000), Millis(168 * HOUR))).value.0,
            cost_microusd: self.within(&table, "cost_usd", cost, (MicroUsd(0), dear)).value,
            attempts: self.within(&table, "attempts", attempts, (0, 1_000)).value,
        }
    }

    fn repair(&mut self, root: &Tab<'_>) -> RepairPolicy {
        let table = self.reader.table(root, "repair");
        self.reader.only(&table, &["enabled", "allow", "deny", "patch_max"]);
        let built_in = RepairPolicy::default();
        let enabled = self.pick(&table, "enabled", Picked::default(built_in.enabled)).value;
        let allow = self.checked_list(&table, "allow", Picked::default(built_in.allow), check_glob).value;
        let mut deny = self.checked_list(&table, "deny", Picked::default(built_in.deny), check_glob).value;
        // A project may replace the list, but no repair ever writes to version control's own folder.
        if !deny.iter().any(|glob| glob == ".git/") {
            deny.insert(0, ".git/".into());
        }
        let size = Picked::default(Bytes(built_in.patch_bytes_max));
        let patch_max = self.within(&table, "patch_max", size, (Bytes(1), Bytes(100_000_000))).value;
        RepairPolicy { enabled, allow, deny, patch_bytes_max: patch_max.0 }
    }
}

pub(crate) fn line(place: &Place) -> u32 {
    match place {
        Place::File { line, .. } => *line,
        Place::Env { .. } | Place::Flag { .. } | Place::Request => 0,
    }
}

/// Why an item of a list cannot be used, and what to write instead.
pub(crate) struct Bad {
    pub(crate) reason: String,
    pub(crate) mend: &'static str,
}

fn must(holds: bool, reason: impl FnOnce() -> String, mend: &'static str) -> Result<(), Bad> {
    if holds { Ok(()) } else { Err(Bad { reason: reason(), mend }) }
}

/// The name of an environment variable.
pub(crate) fn check_variable(name: &str) -> Result<(), Bad> {
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let valid = word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    must(valid, || format!("{name:?} is not the name of a variable"), "use letters, digits and _ (NPM_TOKEN)")
}

/// A folder below the project.
pub(crate) fn check_folder(path: &str) -> Result<(), Bad> {
    let outside = path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..");
    must(!outside, || format!("{path:?} is not a folder below the project"), "write it relative to the root (web/dist)")
}

fn check_regex(pattern: &str) -> Result<(), Bad> {
    let valid = !pattern.is_empty() && regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().is_ok();
    must(
        valid,
        || format!("{pattern:?} is not a regular expression of reasonable size"),
        "correct the pattern; a literal bracket is written \\( in single quotes",
    )
}

fn check_glob(glob: &str) -> Result<(), Bad> {
    let mut builder = ignore::gitignore::GitignoreBuilder::new("");
    let valid = !glob.trim().is_empty() && builder.add_line(None, glob).is_ok() && builder.build().is_ok();
    must(valid, || format!("{glob:?} is not a glob"), "write it as in .gitignore (src/**/*.rs)")
}

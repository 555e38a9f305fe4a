//! The gate every change has to pass, whoever made it: a strategy, a fixer or a model.
//!
//! Making a step pass is easy when one may edit what judges it. So tests, continuous-integration files, lint
//! configuration and lock files stay as they are unless the kind of failure owns them, no suppression may be added, no
//! test and no assertion may go away, and the project's own globs and size limit hold. Everything here is decided from
//! the difference alone. Deliberately absent: whether the change is right; that is what running the step again is for.

mod diff;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use mb_core::failure::FailureKind;
use mb_core::workflow::RepairPolicy;

use self::diff::{FileDiff, Line};
pub use self::kinds::LOCK_FILES;
pub(crate) use self::kinds::is_test_file;
use self::kinds::{assertions, is_ci, is_lint_config, is_lock, judges, suppression, test_name};

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GateRule {
    /// The policy's own globs cannot be read; nothing may pass then.
    BadPolicy,
    /// The path leaves the project.
    Outside,
    /// A deny glob matches.
    Denied,
    /// No allow glob matches.
    NotAllowed,
    /// The difference is larger than the limit.
    TooLarge,
    /// A file that is not text.
    Binary,
    /// A new link: what it leads to is no part of the difference, and may be outside the project.
    Link,
    /// A test, and the failure is not about its text.
    TestChanged,
    /// Continuous-integration configuration.
    CiChanged,
    /// Configuration of a linter, type checker or test runner.
    LintConfigChanged,
    /// A lock file, and the failure is not about dependencies.
    LockChanged,
    /// A new comment or attribute that silences a check.
    Suppression,
    /// A test function is gone.
    TestRemoved,
    /// There are fewer assertions than before.
    AssertionRemoved,
}

impl GateRule {
    /// What was broken, and what would mend it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::BadPolicy => ("the repair policy has a glob that cannot be read", "correct the glob"),
            Self::Outside => ("the path leaves the project", "change only files below the project root"),
            Self::Denied => ("the repair policy denies this path", "take it out of `deny` if repairs may change it"),
            Self::NotAllowed => {
                ("the repair policy does not allow this path", "add it to `allow` if repairs may change it")
            }
            Self::TooLarge => {
                ("the difference is larger than the policy's limit", "raise `patch_bytes_max` or change less")
            }
            Self::Binary => ("the file is not text", "leave binary files out of the change"),
            Self::Link => ("the change makes a link", "write the file itself"),
            Self::TestChanged => {
                ("a test was changed for a failure that its text did not cause", "change the code under test")
            }
            Self::CiChanged => ("continuous-integration configuration was changed", "ask a person to change it"),
            Self::LintConfigChanged => ("the configuration of a check was changed", "satisfy the check instead"),
            Self::LockChanged => {
                ("a lock file was changed for a failure that is not about dependencies", "leave the lock file")
            }
            Self::Suppression => ("a check was silenced", "mend what the check found"),
            Self::TestRemoved => ("a test is gone", "keep every test function, by its name"),
            Self::AssertionRemoved => ("there are fewer assertions than before", "keep every assertion"),
        }
    }
}

/// A change that may not be applied: the rule, where it was broken, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GateRefusal {
    /// The rule.
    pub rule: GateRule,
    /// The file; empty when it is about the whole difference.
    pub file: String,
    /// The line in the new text (in the old one for what was removed), 0 when it is about the whole file.
    pub line: u32,
    /// The text or name it is about; may be empty.
    pub about: String,
}

impl GateRefusal {
    /// What would mend it, as an imperative.
    pub const fn mend(&self) -> &'static str {
        self.rule.words().1
    }

    fn new(rule: GateRule, file: &str, line: u32, about: &str) -> Self {
        let about = about.trim().chars().take(120).collect();
        Self { rule, file: file.to_owned(), line, about }
    }
}

impl fmt::Display for GateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => {}
            (file, 0) => write!(f, "{file}: ")?,
            (file, line) => write!(f, "{file}:{line}: ")?,
        }
        let (what, mend) = self.rule.words();
        f.write_str(what)?;
        if !self.about.is_empty() {
            write!(f, " (`{}`)", self.about)?;
        }
        write!(f, "; {mend}")
    }
}

/// Whether a change may be applied.
///
/// `patch_diff` is its unified difference as git prints it, `changed` every path it touches (deleted and renamed ones
/// included), relative to the project root. `kind` is the kind of the failure that the change is for: formatters,
/// linters and compilers judge the text of tests too, so for their failures tests may be edited, but never emptied.
///
/// # Errors
/// The first rule broken, in the order of [`GateRule`].
pub fn patch_gate(
    patch_diff: &str,
    changed: &[String],
    policy: &RepairPolicy,
    kind: FailureKind,
) -> Result<(), GateRefusal> {
    let (deny, allow) = (globs(&policy.deny)?, globs(&policy.allow)?);
    let files = diff::parse(patch_diff);
    let mut paths: BTreeSet<&str> = changed.iter().map(String::as_str).collect();
    paths.extend(files.iter().flat_map(|file| [file.old.as_str(), file.new.as_str()]).filter(|path| !path.is_empty()));
    let refuse = |rule, path: &str| Err(GateRefusal::new(rule, path, 0, ""));
    for path in &paths {
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return refuse(GateRule::Outside, path);
        }
    }
    if let Some(path) = paths.iter().find(|path| matches(&deny, path)) {
        return refuse(GateRule::Denied, path);
    }
    if let Some(path) = paths.iter().find(|path| !policy.allow.is_empty() && !matches(&allow, path)) {
        return refuse(GateRule::NotAllowed, path);
    }
    if patch_diff.len() as u64 > policy.patch_bytes_max {
        return refuse(GateRule::TooLarge, "");
    }
    if let Some(file) = files.iter().find(|file| file.binary) {
        return refuse(GateRule::Binary, file.path());
    }
    if let Some(file) = files.iter().find(|file| file.link) {
        return refuse(GateRule::Link, file.path());
    }
    owned_by_others(&paths, kind)?;
    files.iter().try_for_each(|file| configuration(file, kind))?;
    files.iter().try_for_each(suppressions)?;
    tests_removed(&files)?;
    files.iter().try_for_each(assertions_removed)
}

fn globs(patterns: &[String]) -> Result<Gitignore, GateRefusal> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        if builder.add_line(None, pattern).is_err() {
            return Err(GateRefusal::new(GateRule::BadPolicy, "", 0, pattern));
        }
    }
    builder.build().map_err(|_| GateRefusal::new(GateRule::BadPolicy, "", 0, ""))
}

fn matches(globs: &Gitignore, path: &str) -> bool {
    globs.matched_path_or_any_parents(path, false).is_ignore()
}

/// Files that only some kinds of failure may change.
fn owned_by_others(paths: &BTreeSet<&str>, kind: FailureKind) -> Result<(), GateRefusal> {
    use FailureKind as K;
    let judged_text = matches!(kind, K::Format | K::Lint | K::Typecheck | K::Compile | K::Docs);
    let locks = matches!(kind, K::Dependency | K::Security | K::GeneratedDrift);
    for path in paths {
        let rule = match () {
            () if is_test_file(path) && !judged_text => GateRule::TestChanged,
            () if is_ci(path) && kind != K::ConfigCi => GateRule::CiChanged,
            () if is_lint_config(path) && kind != K::ConfigCi => GateRule::LintConfigChanged,
            () if is_lock(path) && !locks => GateRule::LockChanged,
            () => continue,
        };
        return Err(GateRefusal::new(rule, path, 0, ""));
    }
    Ok(())
}

/// Manifests hold dependencies, which may change, beside settings of checks, which may not.
fn configuration(file: &FileDiff, kind: FailureKind) -> Result<(), GateRefusal> {
    if kind == FailureKind::ConfigCi {
        return Ok(());
    }
    match file.lines().find(|line| judges(file.path(), &line.text)) {
        Some(line) => Err(GateRefusal::new(GateRule::LintConfigChanged, file.path(), line.number, &line.text)),
        None => Ok(()),
    }
}

/// A suppression counts as new when the file has more of its kind than before; a formatter may move one.
fn suppressions(file: &FileDiff) -> Result<(), GateRefusal> {
    let mut balance: BTreeMap<String, (i64, Option<&Line>)> = BTreeMap::new();
    for line in &file.removed {
        if let Some(word) = suppression(&line.text) {
            balance.entry(word).or_default().0 -= 1;
        }
    }
    for line in &file.added {
        if let Some(word) = suppression(&line.text) {
            let entry = balance.entry(word).or_default();
            entry.0 += 1;
            entry.1.get_or_insert(line);
        }
    }
    match balance.into_values().find_map(|(more, line)| line.filter(|_| more > 0)) {
        Some(line) => Err(GateRefusal::new(GateRule::Suppression, file.path(), line.number, &line.text)),
        None => Ok(()),
    }
}

/// Names of tests over the whole difference, so that a test may move from one file to another.
fn tests_removed(files: &[FileDiff]) -> Result<(), GateRefusal> {
    let mut added: BTreeMap<String, usize> = BTreeMap::new();
    for name in files.iter().flat_map(|file| file.added.iter().filter_map(|line| test_name(&line.text))) {
        *added.entry(name).or_default() += 1;
    }
    for file in files {
        for line in &file.removed {
            let Some(name) = test_name(&line.text) else { continue };
            match added.get_mut(&name) {
                Some(left) if *left > 0 => *left -= 1,
                _ => return Err(GateRefusal::new(GateRule::TestRemoved, file.path(), line.number, &name)),
            }
        }
    }
    Ok(())
}

fn assertions_removed(file: &FileDiff) -> Result<(), GateRefusal> {
    let rust = file.path().ends_with(".rs");
    if !rust && !is_test_file(file.path()) && !is_test_file(&file.old) {
        return Ok(());
    }
    let count = |lines: &[Line]| lines.iter().map(|line| assertions(&line.text)).sum::<usize>();
    if count(&file.added) >= count(&file.removed) {
        return Ok(());
    }
    let line = file.removed.iter().find(|line| assertions(&line.text) > 0);
    let (number, text) = line.map_or((0, ""), |line| (line.number, line.text.as_str()));
    Err(GateRefusal::new(GateRule::AssertionRemoved, file.path(), number, text))
}

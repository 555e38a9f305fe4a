//! Suggestions of the Rust compiler, taken from its JSON and proposed rule by rule.
//!
//! `cargo fix` applies everything at once and undoes a whole crate for one bad suggestion. Here each rule is a proposal
//! of its own, sure ones first, so the engine keeps what verifies and drops the rest.

use std::collections::{BTreeMap, BTreeSet};

use mb_core::failure::Failure;
use mb_core::workflow::{Network, Shell};
use serde_json::Value;

use super::{Command, Edit, Files, PROPOSALS_MAX, Proposal};

/// Lines of JSON read.
const LINES_MAX: usize = 100_000;
/// Suggestions of one rule; the next run brings the rest.
const SOLUTIONS_MAX: usize = 500;

/// A replacement of bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Splice {
    file: String,
    start: usize,
    end: usize,
    text: String,
}

/// Splices that belong together: all of them or none.
type Solution = Vec<Splice>;

/// Proposals from the output of `cargo check|clippy --message-format=json`: all sure ones together, then all, then each
/// rule alone, machine-applicable ones before those that may be incorrect. Paths in the JSON are taken as relative to the
/// project root.
pub fn rustc_suggestions(json: &str, files: &dyn Files) -> Vec<Proposal> {
    let mut rules = Rules::new();
    for line in json.lines().filter(|line| line.contains(r#""compiler-message""#)).take(LINES_MAX) {
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        let Some(message) = value.get("message") else { continue };
        let rule = message.pointer("/code/code").and_then(Value::as_str).unwrap_or("").to_owned();
        let children = message.get("children").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for part in std::iter::once(message).chain(children) {
            for (sure, solution) in solutions(part) {
                let known = rules.entry((!sure, rule.clone())).or_default();
                if known.len() < SOLUTIONS_MAX && !known.contains(&solution) {
                    known.push(solution);
                }
            }
        }
    }
    let sure: Vec<(&str, &Solution)> = named(&rules).filter(|(unsure, ..)| !unsure).map(|(_, r, s)| (r, s)).collect();
    let all: Vec<(&str, &Solution)> = named(&rules).map(|(_, r, s)| (r, s)).collect();
    let several = |list: &[(&str, &Solution)]| list.iter().any(|(rule, _)| *rule != list[0].0);
    let mut proposals = Vec::new();
    // Several rules pass only together; when one of them is bad, each is still tried alone.
    if several(&sure) {
        proposals.extend(proposal("of several rules", &sure, files));
    }
    if all.len() > sure.len() && several(&all) {
        proposals.extend(proposal("of several rules that may be incorrect", &all, files));
    }
    for ((unsure, rule), solutions) in &rules {
        let doubt = if *unsure { " that may be incorrect" } else { "" };
        let about = if rule.is_empty() { "of the compiler".to_owned() } else { format!("for `{rule}`") };
        let solutions: Vec<(&str, &Solution)> = solutions.iter().map(|s| (rule.as_str(), s)).collect();
        proposals.extend(proposal(&format!("{about}{doubt}"), &solutions, files));
    }
    proposals.truncate(PROPOSALS_MAX);
    proposals
}

/// Solutions by whether they are unsure, and rule.
type Rules = BTreeMap<(bool, String), Vec<Solution>>;

fn named(rules: &Rules) -> impl Iterator<Item = (bool, &str, &Solution)> {
    rules.iter().flat_map(|((unsure, rule), list)| list.iter().map(|solution| (*unsure, rule.as_str(), solution)))
}

/// The solutions of one message: its spans together, or each alone where they are alternatives for the same place.
fn solutions(part: &Value) -> Vec<(bool, Solution)> {
    let spans = part.get("spans").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut sure = true;
    let mut all: Solution = Vec::new();
    for span in spans {
        match span.get("suggestion_applicability").and_then(Value::as_str) {
            Some("MachineApplicable") => {}
            Some("MaybeIncorrect") => sure = false,
            _ => continue,
        }
        // Inside a macro the bytes are not those that would be written.
        if span.get("expansion").is_some_and(|expansion| !expansion.is_null()) {
            return Vec::new();
        }
        all.extend(splice(span));
    }
    if all.is_empty() {
        return Vec::new();
    }
    all.sort();
    if overlaps(&all) { all.into_iter().map(|one| (false, vec![one])).collect() } else { vec![(sure, all)] }
}

fn splice(span: &Value) -> Option<Splice> {
    let number = |key: &str| span.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    Some(Splice {
        file: span.get("file_name")?.as_str()?.to_owned(),
        start: number("byte_start")?,
        end: number("byte_end")?,
        text: span.get("suggested_replacement")?.as_str()?.to_owned(),
    })
}

fn overlaps(sorted: &[Splice]) -> bool {
    sorted.windows(2).any(|pair| clash(&pair[0], &pair[1]))
}

fn clash(a: &Splice, b: &Splice) -> bool {
    a.file == b.file && a != b && ((a.start < b.end && b.start < a.end) || a.start == b.start)
}

fn proposal(about: &str, solutions: &[(&str, &Solution)], files: &dyn Files) -> Option<Proposal> {
    let mut chosen: BTreeSet<&Splice> = BTreeSet::new();
    let mut count = 0;
    for (_, solution) in solutions {
        if solution.iter().all(|new| chosen.iter().all(|old| !clash(old, new))) {
            chosen.extend(*solution);
            count += 1;
        }
    }
    let mut by_file: BTreeMap<&str, Vec<&Splice>> = BTreeMap::new();
    for splice in chosen {
        by_file.entry(&splice.file).or_default().push(splice);
    }
    let edits: Option<Vec<Edit>> = by_file.into_iter().map(|(file, splices)| edited(file, &splices, files)).collect();
    let noun = if count == 1 { "suggestion" } else { "suggestions" };
    edits.filter(|edits| !edits.is_empty()).map(|edits| Proposal::edits(format!("apply {count} {noun} {about}"), edits))
}

/// The file with the splices, which are sorted and disjoint; none when they do not fit the text.
fn edited(file: &str, splices: &[&Splice], files: &dyn Files) -> Option<Edit> {
    let text = files.read(file)?;
    let mut content = String::with_capacity(text.len());
    let mut at = 0;
    for splice in splices {
        content.push_str(text.get(at..splice.start)?);
        content.push_str(&splice.text);
        text.get(splice.start..splice.end)?;
        at = splice.end;
    }
    content.push_str(text.get(at..)?);
    Some(Edit::Write { path: file.to_owned(), content })
}

/// The command whose standard output [`rustc_suggestions`] reads: the step's own cargo command as `check` or `clippy`,
/// with JSON, and with denied lints as warnings so that one crate's errors do not hide the next crate's.
pub fn suggestions_command(failure: &Failure, step: &Shell) -> Command {
    let (verb, mut argv) = cargo_words(failure, step);
    argv.splice(0..0, ["cargo".to_owned(), verb, "--message-format=json".to_owned()]);
    Command { argv, dir: step.dir.clone(), network: Network::None }
}

/// Cargo's own way, all or nothing.
pub(crate) fn fix_proposal(failure: &Failure, step: &Shell) -> Proposal {
    let (verb, mut argv) = cargo_words(failure, step);
    let head: &[&str] = if verb == "clippy" { &["cargo", "clippy", "--fix"] } else { &["cargo", "fix"] };
    let dirty = ["--allow-dirty", "--allow-staged", "--allow-no-vcs"];
    argv.splice(0..0, head.iter().chain(&dirty).map(ToString::to_string));
    Proposal::command(Command { argv, dir: step.dir.clone(), network: Network::None })
}

/// The verb, and those words of the step's command that choose packages, targets, features and lints.
fn cargo_words(failure: &Failure, step: &Shell) -> (String, Vec<String>) {
    let line = step.command.display();
    let words: Vec<&str> = line.split_whitespace().collect();
    let start = words.windows(2).position(|pair| pair[0] == "cargo").map_or(words.len(), |at| at + 2);
    let clippy = words.contains(&"clippy") || failure.diagnostics.iter().any(|d| d.rule.starts_with("clippy::"));
    let tests = words.get(start.wrapping_sub(1)) == Some(&"test");
    let mut kept: Vec<String> = Vec::new();
    let mut rest = words[start.min(words.len())..].iter().take_while(|word| !matches!(**word, "&&" | "||" | "|" | ";"));
    let mut after_dashes = false;
    while let Some(word) = rest.next() {
        match *word {
            "--" => after_dashes = true,
            "-D" | "-F" | "-W" | "-A" if after_dashes && clippy => {
                let level = if matches!(*word, "-D" | "-F") { "-W" } else { word };
                kept.extend(rest.next().map(|lint| format!("{level}{lint}")));
            }
            "-p" | "--package" | "--features" | "-F" | "--exclude" | "--target" | "--manifest-path"
                if !after_dashes =>
            {
                kept.push((*word).to_owned());
                kept.extend(rest.next().map(ToString::to_string));
            }
            "--all-targets"
            | "--all-features"
            | "--workspace"
            | "--all"
            | "--tests"
            | "--lib"
            | "--bins"
            | "--examples"
            | "--no-default-features"
            | "--locked"
            | "--offline"
            | "--frozen"
                if !after_dashes =>
            {
                kept.push((*word).to_owned());
            }
            _ => {}
        }
    }
    // Not all targets: benches may need nightly, and `cargo test` does not build them.
    if tests && !kept.iter().any(|word| word == "--all-targets" || word == "--tests") {
        kept.insert(0, "--tests".into());
    }
    if let Some(first) = kept.iter().position(|word| word.len() > 2 && ["-W", "-A"].contains(&&word[..2])) {
        kept.sort_by_key(|word| word.starts_with("-W") || word.starts_with("-A"));
        let first = kept.iter().position(|word| word.starts_with("-W") || word.starts_with("-A")).unwrap_or(first);
        kept.insert(first, "--".into());
    }
    ((if clippy { "clippy" } else { "check" }).to_owned(), kept)
}

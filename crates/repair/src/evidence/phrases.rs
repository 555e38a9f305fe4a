//! Sentences that tools say in one fixed way: package managers, version control, networks, limits, missing programs, and
//! the lines that name the goal that failed.
//!
//! One table, matched in one pass. A sentence in a tool's own form is a tool line; the name of a goal is a goal line;
//! words that a program may print for any reason are text, and decide only when nothing else did.

use std::sync::LazyLock;

use mb_core::failure::{FailureKind, Hint, Signal};
use regex::{Regex, RegexSet};

use super::exit;
use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;
use FailureKind as K;
use Hinted as H;
use Signal as S;

/// Which hint a sentence gives; group 1 of the pattern is the name it is about.
#[derive(Clone, Copy)]
enum Hinted {
    No,
    Module(&'static str),
    Lock(&'static str),
    Tool,
    Seconds,
}

/// Tool, kind, signal, hint, pattern. No kind means "the kind of the stage".
type Phrase = (&'static str, Option<FailureKind>, Signal, Hinted, &'static str);

const PHRASES: &[Phrase] = &[
    // Programs that are not there.
    (
        "sh",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"(?:^|: )(?:line )?\d+: ([\w./+-]+): (?:command )?not found$",
    ),
    (
        "sh",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^(?:bash|sh|zsh|dash|env|/\S+): (?:command not found: )?([\w./+-]+): (?:command not found|No such file or directory)$",
    ),
    ("sh", Some(K::ToolchainMissing), S::ToolLine, H::Tool, r"^([\w.+-]+): command not found$"),
    (
        "env",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^(?:/usr/bin/)?env: ['‘]?([\w.+-]+)['’]?: No such file or directory$",
    ),
    ("python", Some(K::ToolchainMissing), S::ToolLine, H::Tool, r"^\S*python[\d.]*: No module named '?([\w.]+)'?"),
    (
        "python",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"No module named '?(pytest|ruff|mypy|flake8|black|isort|pylint|build|tox|nox|poetry|uv|pip)'?$",
    ),
    ("cargo", Some(K::ToolchainMissing), S::ToolLine, H::Tool, r"^error: no such (?:sub)?command: `([\w-]+)`"),
    (
        "rustup",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^error: (?:'|the 'cargo-)?([\w-]+?)(?:\.exe)?'? is not installed for the toolchain",
    ),
    ("rustc", Some(K::ToolchainMissing), S::ToolLine, H::Tool, r"^error: linker `([\w+-]+)` not found"),
    (
        "npm",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^(?:sh|bash): (?:\d+: )?([\w.@/-]+): (?:Permission denied|not found)$",
    ),
    (
        "npm",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^npm (?:ERR!|error) (?:could not determine executable|\S+ ([\w-]+): command not found)",
    ),
    (
        "make",
        Some(K::ToolchainMissing),
        S::ToolLine,
        H::Tool,
        r"^make(?:\[\d+\])?: ([\w.+-]+): (?:Command not found|No such file or directory)$",
    ),
    // Lock files that do not match.
    (
        "cargo",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("cargo"),
        r"^error: (?:cannot update the lock file .* because --locked|the lock file .* needs to be updated but --(?:locked|frozen))",
    ),
    (
        "cargo",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("cargo"),
        r"^error: (?:failed to parse lock file|cannot create the lock file .* because)",
    ),
    (
        "npm",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("npm"),
        r"^npm (?:ERR!|error) (?:code EUSAGE|`npm ci` can only install|.*package-lock\.json or npm-shrinkwrap\.json with lockfileVersion)",
    ),
    (
        "pnpm",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("pnpm"),
        r"ERR_PNPM_(?:OUTDATED_LOCKFILE|NO_LOCKFILE|LOCKFILE_CONFIG_MISMATCH|BROKEN_LOCKFILE)",
    ),
    (
        "yarn",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("yarn"),
        r"Your lockfile needs to be updated|YN0028|The lockfile would have been modified by this install",
    ),
    (
        "poetry",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("poetry"),
        r"pyproject\.toml changed significantly since poetry\.lock was last generated|poetry\.lock is not up to date|lock file is not up to date with pyproject",
    ),
    (
        "uv",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("uv"),
        r"The lockfile at `uv\.lock` needs to be updated|Unable to find lockfile at `uv\.lock`",
    ),
    (
        "bundler",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("bundler"),
        r"Your bundle is locked to|The gemspecs for path gems changed|frozen mode.*Gemfile",
    ),
    (
        "go",
        Some(K::Dependency),
        S::ToolLine,
        H::Lock("go"),
        r"missing go\.sum entry|go: updates to go\.(?:mod|sum) needed|go: inconsistent vendoring",
    ),
    // Dependencies that cannot be had.
    (
        "go",
        Some(K::Dependency),
        S::ToolLine,
        H::Module("go"),
        r"(?:no required module provides package |cannot find module providing package )([^\s;:]+)",
    ),
    (
        "cargo",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"^error: (?:failed to select a version|no matching package (?:named|found)|failed to get `.+` as a dependency)",
    ),
    (
        "npm",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"^npm (?:ERR!|error) (?:code )?(?:ERESOLVE|ETARGET|E404|ENOTCACHED|EBADENGINE|EINTEGRITY)\b",
    ),
    (
        "pnpm",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"ERR_PNPM_(?:PEER_DEP_ISSUES|NO_MATCHING_VERSION|FETCH_404|NO_OFFLINE)",
    ),
    ("yarn", Some(K::Dependency), S::ToolLine, H::No, r"^error Couldn't find (?:any versions for|package) "),
    (
        "pip",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"^ERROR: (?:No matching distribution found for|Could not find a version that satisfies|Cannot install .+ because|ResolutionImpossible)",
    ),
    (
        "poetry",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"version solving failed|Because .+ depends on .+ which doesn't match any versions",
    ),
    ("uv", Some(K::Dependency), S::ToolLine, H::No, r"No solution found when resolving dependencies"),
    (
        "bundler",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"Bundler could not find compatible versions|Could not find gem '|An error occurred while installing .+, and Bundler cannot continue",
    ),
    (
        "composer",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"Your requirements could not be resolved to an installable set of packages",
    ),
    (
        "maven",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"Could not resolve dependencies for project|Could not find artifact |Non-resolvable parent POM",
    ),
    ("gradle", Some(K::Dependency), S::ToolLine, H::No, r"Could not resolve all (?:dependencies|files|artifacts) for"),
    (
        "apt",
        Some(K::Dependency),
        S::ToolLine,
        H::No,
        r"^E: (?:Unable to locate package|Package '.+' has no installation candidate|Unable to correct problems)",
    ),
    // Networks and limits, in a tool's own words.
    (
        "git",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"^fatal: (?:unable to access '.+': |unable to look up |Could not read from remote repository|the remote end hung up)",
    ),
    (
        "git",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r"^fatal: (?:not a git repository|detected dubious ownership|ambiguous argument|couldn't find remote ref|no tag exactly matches)",
    ),
    ("curl", Some(K::NetworkInfra), S::ToolLine, H::No, r"curl: \((?:5|6|7|28|35|52|55|56)\) "),
    ("curl", Some(K::NetworkInfra), S::ToolLine, H::No, r"curl: \(22\) The requested URL returned error: 5\d\d"),
    (
        "wget",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"^wget: unable to resolve host address|^(?:failed: )?Temporary failure in name resolution",
    ),
    (
        "npm",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"^npm (?:ERR!|error) (?:code |network |errno )?(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ERR_SOCKET_TIMEOUT)",
    ),
    (
        "yarn",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"^error An unexpected error occurred: .*(?:ECONNRE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|tunneling socket)",
    ),
    (
        "pip",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"pip\._vendor\.urllib3\.exceptions\.(?:ReadTimeoutError|NewConnectionError|ProtocolError)",
    ),
    (
        "cargo",
        Some(K::NetworkInfra),
        S::ToolLine,
        H::No,
        r"^\s*(?:error: failed to download from|spurious network error|\[\d+\] (?:Could not resolve|Couldn't connect|Timeout was reached))",
    ),
    ("apt", Some(K::NetworkInfra), S::ToolLine, H::No, r"^E: Failed to fetch .+"),
    ("http", Some(K::RateLimit), S::ToolLine, H::Seconds, r"(?i)^(?:< )?retry-after: *(\d{1,6})"),
    (
        "http",
        Some(K::RateLimit),
        S::ToolLine,
        H::No,
        r"(?i)\b429 Too Many Requests|API rate limit exceeded|toomanyrequests: |npm (?:ERR!|error) (?:code )?E429",
    ),
    // Limits of the machine.
    ("kernel", Some(K::Resource), S::ToolLine, H::No, r"No space left on device|Disk quota exceeded|ENOSPC: "),
    ("node", Some(K::Resource), S::ToolLine, H::No, r"JavaScript heap out of memory"),
    (
        "jvm",
        Some(K::Resource),
        S::ToolLine,
        H::No,
        r"java\.lang\.OutOfMemoryError|There is insufficient memory for the Java Runtime",
    ),
    (
        "cc",
        Some(K::Resource),
        S::ToolLine,
        H::No,
        r"(?:cc1plus|c\+\+|g\+\+|gcc): (?:fatal error: Killed signal|out of memory)|virtual memory exhausted|LLVM ERROR: out of memory",
    ),
    ("python", Some(K::Resource), S::ToolLine, H::No, r"^MemoryError\b"),
    // Configuration that is broken.
    (
        "npm",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r#"^npm (?:ERR!|error) (?:[Mm]issing script: |code EJSONPARSE|JSON\.parse )|^npm ERR! missing script: "#,
    ),
    ("npm", Some(K::ConfigCi), S::ToolLine, H::No, r"^npm (?:ERR!|error) (?:enoent|code ENOENT)\b"),
    (
        "yarn",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r#"^error Command ".+" not found\.|ERR_PNPM_NO_SCRIPT|^Usage Error: Couldn't find a script named"#,
    ),
    (
        "make",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r"^make(?:\[\d+\])?: \*\*\* (?:No rule to make target|No targets specified|.*missing separator)|^Makefile:\d+: \*\*\* ",
    ),
    (
        "cargo",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r"^error: (?:failed to parse manifest|could not find `Cargo\.toml`|could not parse input as TOML|package ID specification|no (?:bin|test|example|lib|bench) target|invalid type|failed to load manifest|unexpected argument)",
    ),
    (
        "python",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r"(?:tomllib|tomli|toml)\.\w*(?:DecodeError|Error)\b|Invalid TOML|ERROR: .*pyproject\.toml|configparser\.\w+Error|^ERROR: usage: ",
    ),
    ("yaml", Some(K::ConfigCi), S::ToolLine, H::No, r"yaml\.(?:scanner|parser)\.\w+Error|YAMLException: "),
    ("tsc", Some(K::ConfigCi), S::ToolLine, H::No, r"error TS(?:5\d{3}|18003): "),
    (
        "eslint",
        Some(K::ConfigCi),
        S::ToolLine,
        H::No,
        r"ESLint couldn't find (?:a configuration|an eslint\.config)|Cannot read config file",
    ),
    ("sh", Some(K::ConfigCi), S::ToolLine, H::No, r"(?:^|: )(?:line )?\d+: [Ss]yntax error[: ]"),
    ("sh", Some(K::ConfigCi), S::ToolLine, H::No, r"^(?:sh|bash|/\S+): (?:line )?\d+: \S+: Permission denied$"),
    // Drift, schema, security, licences, documentation.
    (
        "generator",
        Some(K::GeneratedDrift),
        S::ToolLine,
        H::No,
        r"(?i)generated (?:files?|code) (?:is|are) (?:out of date|not up.to.date|stale)|snapshots? (?:obsolete|do(?:es)? not match stored)|\d+ snapshots? failed",
    ),
    (
        "migration",
        Some(K::SchemaMigration),
        S::ToolLine,
        H::No,
        r"Your models .* have changes that are not yet reflected in a migration|You have \d+ unapplied migration|Conflicting migrations detected|Target database is not up to date|drift detected",
    ),
    (
        "cargo deny",
        Some(K::Security),
        S::ToolLine,
        H::No,
        r"^error\[(?:vulnerability|unsound|yanked)\]|^error: \d+ vulnerabilit(?:y|ies) found",
    ),
    (
        "npm audit",
        Some(K::Security),
        S::ToolLine,
        H::No,
        r"^[1-9]\d* (?:\w+ severity )?vulnerabilit(?:y|ies)\b|^found [1-9]\d* vulnerabilit",
    ),
    ("pip-audit", Some(K::Security), S::ToolLine, H::No, r"^Found \d+ known vulnerabilit|^>> Issue: \["),
    (
        "secrets",
        Some(K::Security),
        S::ToolLine,
        H::No,
        r"(?i)leaks found: [1-9]|Potential secrets about to be committed",
    ),
    (
        "licences",
        Some(K::Policy),
        S::ToolLine,
        H::No,
        r"^error\[(?:rejected|unlicensed|banned)\]|Too many files with unapproved license",
    ),
    (
        "docs",
        Some(K::Docs),
        S::ToolLine,
        H::No,
        r"Sphinx error:|build finished with problems|Aborted with \d+ warnings in strict mode|markdownlint",
    ),
    // The goal that failed.
    (
        "maven",
        Some(K::Compile),
        S::GoalLine,
        H::No,
        r"Failed to execute goal \S*(?:maven-compiler-plugin|kotlin-maven-plugin|scala-maven-plugin)",
    ),
    (
        "maven",
        Some(K::TestAssert),
        S::GoalLine,
        H::No,
        r"Failed to execute goal \S*(?:maven-surefire-plugin|maven-failsafe-plugin)",
    ),
    (
        "maven",
        Some(K::Lint),
        S::GoalLine,
        H::No,
        r"Failed to execute goal \S*(?:checkstyle|pmd|spotbugs|findbugs|forbiddenapis)",
    ),
    (
        "maven",
        Some(K::Format),
        S::GoalLine,
        H::No,
        r"Failed to execute goal \S*(?:spotless|formatter|fmt-maven|git-code-format)",
    ),
    ("maven", Some(K::Policy), S::GoalLine, H::No, r"Failed to execute goal \S*(?:apache-rat|license-maven|enforcer)"),
    ("maven", Some(K::Docs), S::GoalLine, H::No, r"Failed to execute goal \S*maven-javadoc"),
    ("maven", None, S::GoalLine, H::No, r"Failed to execute goal "),
    (
        "gradle",
        Some(K::Compile),
        S::GoalLine,
        H::No,
        r"^Execution failed for task '[^']*:compile\w*'|Task :\S*compile\S* FAILED$",
    ),
    (
        "gradle",
        Some(K::TestAssert),
        S::GoalLine,
        H::No,
        r"^Execution failed for task '[^']*[tT]est\w*'|There were failing tests",
    ),
    (
        "gradle",
        Some(K::Lint),
        S::GoalLine,
        H::No,
        r"^Execution failed for task '[^']*(?:lint|checkstyle|pmd|spotbugs|detekt)\w*'",
    ),
    ("gradle", Some(K::Format), S::GoalLine, H::No, r"^Execution failed for task '[^']*spotless\w*'"),
    ("gradle", None, S::GoalLine, H::No, r"^Execution failed for task '"),
    ("make", None, S::GoalLine, H::No, r"^make(?:\[\d+\])?: \*\*\* \[.+\] Error \d+"),
    ("ninja", None, S::GoalLine, H::No, r"^ninja: build stopped: |^FAILED: \S+"),
    ("cargo", Some(K::Compile), S::GoalLine, H::No, r"^error: could not compile `"),
    (
        "cargo test",
        Some(K::TestAssert),
        S::GoalLine,
        H::No,
        r"^error: test failed, to rerun pass|^error: test run failed",
    ),
    ("go test", Some(K::TestError), S::GoalLine, H::No, r"^FAIL\t\S+\t[\d.]+s$"),
    ("go", Some(K::Compile), S::GoalLine, H::No, r"^FAIL\t\S+ \[(?:build|setup) failed\]$"),
    // Words.
    (
        "network",
        Some(K::NetworkInfra),
        S::Text,
        H::No,
        r"(?i)could not resolve host|temporary failure in name resolution|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|connection (?:refused|reset by peer|timed out)|network is unreachable|\b50[234] (?:bad gateway|service unavailable|gateway time)|TLS handshake timeout",
    ),
    ("limit", Some(K::RateLimit), S::Text, H::No, r"(?i)rate limit(?:ed| exceeded)|too many requests"),
    ("memory", Some(K::Resource), S::Text, H::No, r"(?i)\bout of memory\b|cannot allocate memory|oom-?killed"),
    ("access", Some(K::Policy), S::Text, H::No, r"(?i)permission denied|EACCES|operation not permitted"),
];

static SET: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(PHRASES.iter().map(|phrase| phrase.4)).expect("fixed patterns compile"));
static EACH: LazyLock<Vec<Regex>> =
    LazyLock::new(|| PHRASES.iter().map(|phrase| Regex::new(phrase.4).expect("a fixed pattern compiles")).collect());

/// Every phrase found; the first reading is the one of the table's order within a signal.
pub(crate) fn read(view: &View<'_>) -> Vec<Reading> {
    let mut readings: Vec<Option<Reading>> = PHRASES.iter().map(|_| None).collect();
    for (i, text) in view.all().filter(|(_, text)| text.len() > 3) {
        let Some(n) = SET.matches(text).into_iter().next() else { continue };
        let (tool, kind, signal, hinted, _) = PHRASES[n];
        let kind = kind.or_else(|| exit::stage_kind(view.observed.step.stage)).unwrap_or(FailureKind::Unknown);
        let found = EACH[n].captures(text);
        let name = found.as_ref().and_then(|found| found.get(1)).map(|m| m.as_str().to_owned());
        let start = found.filter(|_| tool == "curl").map_or(0, |found| found.get_match().start());
        let reading = readings[n].get_or_insert_with(|| Reading::new(tool, signal));
        reading.hints.extend(hint(hinted, name));
        reading.push(kind, "", &message(&text[start..], view.text(i + 1)), None, Some((i, i)));
    }
    readings.into_iter().flatten().collect()
}

/// The sentence without the tool's mark; a bare code of npm with the line that explains it.
fn message(text: &str, next: &str) -> String {
    let mark = pattern!(r"^(?:npm (?:ERR!|error) (?:code )?|error: |ERROR: |fatal: )");
    let text = mark.replace(text, "");
    if pattern!(r"^E[A-Z0-9]+$").is_match(&text) {
        return format!("{text}: {}", mark.replace(next, ""));
    }
    text.into_owned()
}

fn hint(hinted: Hinted, name: Option<String>) -> Option<Hint> {
    match hinted {
        Hinted::No => None,
        Hinted::Lock(ecosystem) => Some(Hint::StaleLock { ecosystem: ecosystem.into() }),
        Hinted::Module(ecosystem) => Some(Hint::MissingModule { ecosystem: ecosystem.into(), module: name? }),
        Hinted::Tool => Some(Hint::MissingTool { tool: name? }),
        Hinted::Seconds => Some(Hint::RetryAfter { wait_ms: name?.parse::<u64>().ok()?.saturating_mul(1_000) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_compiles_and_none_matches_the_empty_line() {
        assert_eq!(EACH.len(), PHRASES.len());
        assert!(!SET.is_match(""));
    }
}

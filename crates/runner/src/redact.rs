//! Takes secrets out of text before it reaches a disk, a screen or a model.
//!
//! Two sources: exact values (what the host's environment calls a token, secret, password or key) and patterns that
//! give themselves away. A finding becomes `[redacted:KIND]`. Deliberately absent: entropy guesses, which would eat
//! hashes and test data, and decoding (a secret printed as base64 is not recognised).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Regex, RegexSet};

/// Shortest value that is looked for, in bytes: shorter ones occur by chance.
const VALUE_BYTES_MIN: usize = 6;
/// Lines a private key may have before its block is taken for something else.
const KEY_LINES_MAX: u32 = 200;

/// Kind and pattern. Where there is a group, only the group is the secret.
const PATTERNS: &[(&str, &str)] = &[
    ("private-key", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)"),
    ("aws-key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("aws-secret", r#"(?i)aws_?secret_?access_?key["']?\s*[:=]\s*["']?([a-z0-9/+=]{40})"#),
    ("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    ("gitlab-token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("slack-token", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("api-key", r"\bsk-[A-Za-z0-9_-]{20,}|\bAIza[0-9A-Za-z_-]{35}|\b[rs]k_live_[0-9A-Za-z]{16,}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("authorization", r#"(?i)\bauthorization["']?\s*[:=]\s*["']?((?:(?:bearer|basic|token|digest)\s+)?[^\s"',;]+)"#),
    ("url-credentials", r"(?i)\b[a-z][a-z0-9+.-]*://([^\s/:@]*:[^\s/@]+)@"),
];

/// An extra pattern is not a regular expression (or is too large).
#[derive(Debug, Clone, thiserror::Error)]
#[error("redaction pattern {pattern:?} is not a valid regular expression")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: Box<regex::Error>,
}

/// Finds secrets in text. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    values: Option<AhoCorasick>,
    /// All patterns at once: the common line with no secret costs one pass.
    any: RegexSet,
    patterns: Vec<(&'static str, Regex)>,
}

impl Redactor {
    /// Looks for these values (those of at least six bytes), the built-in patterns and the extra ones.
    ///
    /// # Errors
    /// An extra pattern does not compile.
    pub fn new(values: impl IntoIterator<Item = String>, extra: &[String]) -> Result<Redactor, BadPattern> {
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|source| BadPattern { pattern: pattern.to_owned(), source: Box::new(source) })
        };
        let built_in = PATTERNS.iter().map(|(kind, pattern)| (*kind, *pattern));
        let all = built_in.chain(extra.iter().map(|pattern| ("pattern", pattern.as_str())));
        let patterns: Vec<_> =
            all.map(|(kind, pattern)| Ok((kind, compile(pattern)?))).collect::<Result<_, BadPattern>>()?;
        let any = RegexSet::new(patterns.iter().map(|(_, regex)| regex.as_str()))
            .map_err(|source| BadPattern { pattern: "all of them together".into(), source: Box::new(source) })?;
        // A value with line breaks is printed line by line.
        let values: Vec<String> = values.into_iter().flat_map(|v| lines_of(&v)).collect();
        let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values);
        // Building fails only beyond 2^31 states; then nothing may pass as redacted.
        let values = (!values.is_empty()).then(|| builder.expect("environment values fit in an automaton"));
        Ok(Redactor(Arc::new(Inner { values, any, patterns })))
    }

    /// Looks for the values of this process's environment, and of the variables `set` beside it, whose names speak of
    /// a token, secret, password or key.
    ///
    /// # Errors
    /// As [`Redactor::new`].
    pub fn from_host_env(
        set: impl IntoIterator<Item = (String, String)>,
        extra: &[String],
    ) -> Result<Redactor, BadPattern> {
        let secrets = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .chain(set)
            .filter(|(name, value)| is_secret(name, value))
            .map(|(_, value)| value);
        Redactor::new(secrets, extra)
    }

    /// The text with every finding replaced. Meant for one line; a private key over several lines is followed by
    /// [`LogSink`](crate::LogSink), not here.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (range, kind) in found {
            out.push_str(&text[at..range.start]);
            out.push_str("[redacted:");
            out.push_str(kind);
            out.push(']');
            at = range.end;
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    /// The largest place at or before `at` where the text can be cut without cutting a finding in two. When one
    /// begins at the start and reaches beyond `at`, it is the finding's end.
    pub(crate) fn cut(&self, text: &str, at: usize) -> usize {
        let at = text.floor_char_boundary(at);
        match self.find(text).into_iter().find(|(range, _)| range.start < at && at < range.end) {
            Some((range, _)) if range.start > 0 => range.start,
            Some((range, _)) => range.end,
            None => at,
        }
    }

    /// All findings in order, overlapping ones merged.
    fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
        if let Some(values) = &self.0.values {
            found.extend(values.find_iter(text).map(|hit| (hit.range(), "env")));
        }
        for which in &self.0.any.matches(text) {
            let (kind, regex) = &self.0.patterns[which];
            let secret = |hit: regex::Captures<'_>| hit.get(1).or(hit.get(0)).map(|part| (part.range(), *kind));
            found.extend(regex.captures_iter(text).filter_map(secret).filter(|(range, _)| !range.is_empty()));
        }
        found.sort_by_key(|(range, _)| range.start);
        let mut merged: Vec<(Range<usize>, &'static str)> = Vec::with_capacity(found.len());
        for (range, kind) in found {
            match merged.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push((range, kind)),
            }
        }
        merged
    }
}

fn lines_of(value: &str) -> Vec<String> {
    value.lines().map(str::trim).filter(|line| line.len() >= VALUE_BYTES_MIN).map(str::to_owned).collect()
}

/// A value that names a file is where a secret is kept, not the secret.
fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let speaks = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"].iter().any(|word| name.contains(word));
    speaks && !(value.starts_with('/') && std::path::Path::new(value).exists())
}

/// Follows private keys over the lines of one stream.
#[derive(Debug, Default)]
pub(crate) struct KeyBlock {
    lines_left: u32,
}

impl KeyBlock {
    /// The redacted line, or none when it is the inside of a private key.
    pub(crate) fn line<'a>(&mut self, redactor: &Redactor, text: &'a str) -> Option<Cow<'a, str>> {
        if self.lines_left > 0 {
            self.lines_left -= 1;
            if ends_key(text) {
                self.lines_left = 0;
                return None;
            }
            if looks_like_key(text) {
                return None;
            }
            self.lines_left = 0;
        }
        let begin = text.rfind("-----BEGIN ").filter(|at| text[*at..].contains("PRIVATE KEY-----"));
        if begin.is_some_and(|at| !ends_key(&text[at..])) {
            self.lines_left = KEY_LINES_MAX;
        }
        Some(redactor.redact(text))
    }
}

fn ends_key(text: &str) -> bool {
    text.contains("-----END ") && text.contains("PRIVATE KEY-----")
}

/// Base64, or one of the two headers an encrypted key has; quotes, indents and diff signs around it are forgiven.
fn looks_like_key(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || "|>\"',\\".contains(c));
    let text = text.strip_suffix("\\n").unwrap_or(text);
    let header = text.starts_with("Proc-Type:") || text.starts_with("DEK-Info:");
    header || text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let values = ["hunter2-long".to_owned(), "short".to_owned(), "first-line-x\nsecond-line-y".to_owned()];
        Redactor::new(values, &["cust-[0-9]+".to_owned()]).unwrap()
    }

    fn check(input: &str, expected: &str) {
        assert_eq!(redactor().redact(input), expected);
    }

    #[test]
    fn values_and_patterns_are_replaced() {
        check("login hunter2-long ok", "login [redacted:env] ok");
        check("short words stay", "short words stay");
        check("only second-line-y shows", "only [redacted:env] shows");
        check("id cust-42.", "id [redacted:pattern].");
        check("AKIAIOSFODNN7EXAMPLE", "[redacted:aws-key]");
        check("t=ghp_0123456789abcdefghijABCDEFGHIJ012345", "t=[redacted:github-token]");
        check("xoxb-1234567890-abc", "[redacted:slack-token]");
        check("Authorization: Bearer abc.def", "Authorization: [redacted:authorization]");
        check("{\"authorization\":\"Basic Zm9v\"}", "{\"authorization\":\"[redacted:authorization]\"}");
        check("postgres://app:s3cr@db/x", "postgres://[redacted:url-credentials]@db/x");
        check("https://example.org/a:b@c", "https://example.org/a:b@c");
        check("sha256 4f1c2e", "sha256 4f1c2e");
    }

    #[test]
    fn a_cut_never_goes_through_a_finding() {
        let redactor = redactor();
        let text = "aaaa hunter2-long bbbb";
        assert_eq!(redactor.cut(text, 8), 5);
        assert_eq!(redactor.cut(text, 20), 20);
        assert_eq!(redactor.cut("hunter2-long bbbb", 3), 12);
        assert_eq!(redactor.cut("éé", 1), 0);
    }

    #[test]
    fn a_private_key_is_followed_over_lines() {
        let mut block = KeyBlock::default();
        let text = "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n  abc+/=\n-----END RSA PRIVATE KEY-----\nafter";
        let redactor = redactor();
        let got: Vec<_> = text.lines().filter_map(|line| block.line(&redactor, line)).collect();
        assert_eq!(got, ["before", "[redacted:private-key]", "after"]);
    }

    #[test]
    fn a_mention_of_a_key_does_not_swallow_the_log() {
        let mut block = KeyBlock::default();
        let redactor = redactor();
        let text = "grep -----BEGIN PRIVATE KEY----- found\nthis is a normal line\nnext";
        let got: Vec<_> = text.lines().filter_map(|line| block.line(&redactor, line)).collect();
        assert_eq!(got, ["grep [redacted:private-key]", "this is a normal line", "next"]);
    }

    #[test]
    fn names_decide_which_values_are_secret() {
        assert!(is_secret("GITHUB_TOKEN", "abcdefgh") && is_secret("db_password", "abcdefgh"));
        assert!(!is_secret("PATH", "abcdefgh") && !is_secret("SSH_KEY_FILE", "/etc/passwd"));
    }
}

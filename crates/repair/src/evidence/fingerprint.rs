//! The same name for the same failure: a hash over what stays when times, addresses and temporary folders change.

use mb_core::failure::Fingerprint;
use mb_core::workflow::hex;
use sha2::{Digest, Sha256};

use super::view::{clean, cut};
use crate::pattern::pattern;

/// Bytes of the first line that count.
const LINE_BYTES_MAX: usize = 1_000;

/// Names a failure by its stage, tool, rule or test, and first error line (masked).
pub fn fingerprint(stage: &str, tool: &str, rule: &str, first_line: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [stage, tool, &mask(rule), &mask(first_line)] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    Fingerprint(hex(&hash.finalize()[..8]))
}

/// A line with everything that differs from one run to the next replaced: terminal codes, UUIDs, timestamps, durations,
/// hexadecimal, temporary folders, and at last all numbers. Digits inside names (`E0308`, `test_2`, `i32`) stay.
pub(crate) fn mask(line: &str) -> String {
    let line = clean(line);
    let line = cut(&line, LINE_BYTES_MAX);
    let steps = [
        (pattern!(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
        (pattern!(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
        (pattern!(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
        (pattern!(r#"(?:/private)?/(?:var/)?(?:tmp|folders)/[^\s:'"()\]]*"#), "<tmp>"),
        (pattern!(r"\b\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|sec|secs|seconds|m|min|h)\b"), "<duration>"),
        (pattern!(r"\b0[xX][0-9a-fA-F]+\b"), "<hex>"),
        (pattern!(r"\b[0-9a-f]*(?:[0-9][a-f]|[a-f][0-9])[0-9a-f]{6,}\b"), "<hex>"),
        (pattern!(r"\b\d+(?:\.\d+)*\b"), "<n>"),
    ];
    steps.iter().fold(line.trim().to_owned(), |line, (pattern, with)| pattern.replace_all(&line, *with).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_masked_and_names_stay() {
        let check = |line, expected| assert_eq!(mask(line), expected);
        check("\u{1b}[31merror[E0308]\u{1b}[0m at 12:3", "error[E0308] at <n>:<n>");
        check("2024-01-02T03:04:05.678Z test_2 failed in 1.25s", "<time> test_2 failed in <duration>");
        check("no file /tmp/pytest-of-x/a1/f.txt here", "no file <tmp> here");
        check("id 6f1c2c9e-93cb-4b47-9d4f-111111111111 at 0xdeadBEEF", "id <uuid> at <hex>");
        check("commit 4d5516a0c3 of demo-8348ca7a80742723", "commit <hex> of demo-<hex>");
        check("i32 and facade and deadbeef", "i32 and facade and deadbeef");
    }

    #[test]
    fn the_same_failure_has_one_name_and_another_has_another() {
        let a = fingerprint("test", "pytest", "t.py::a", "timeout after 1.2s at 10:11:12");
        assert_eq!(a, fingerprint("test", "pytest", "t.py::a", "timeout after 33.9s at 20:11:12"));
        assert_ne!(a, fingerprint("test", "pytest", "t.py::b", "timeout after 1.2s at 10:11:12"));
        assert_eq!(a.0.len(), 16);
    }
}

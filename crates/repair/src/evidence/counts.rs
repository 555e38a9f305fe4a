//! How many tests ran, from the summary lines of the test runners.

use mb_core::failure::TestCounts;

use super::view::clean;
use crate::pattern::pattern;

/// Counts of a log; several summaries of one runner (one for each test binary) are added up.
///
/// `None` when no summary was printed: nothing is known then, which is not the same as no tests.
pub fn test_counts(log: &str) -> Option<TestCounts> {
    count(log.lines().map(clean))
}

pub(crate) fn count<T: AsRef<str>>(lines: impl Iterator<Item = T>) -> Option<TestCounts> {
    let mut total: Option<TestCounts> = None;
    let mut ran: Option<u32> = None; // unittest says how many ran on one line and how they ended on the next
    for line in lines {
        let line = line.as_ref();
        if !line.bytes().any(|b| b.is_ascii_digit()) && line != "OK" {
            continue;
        }
        if let Some(found) = pattern!(r"^Ran (\d+) tests? in ").captures(line) {
            ran = found[1].parse().ok();
            continue;
        }
        let (counts, add) = match (ran, summary(line)) {
            (Some(all), _) if line.starts_with("OK") || line.starts_with("FAILED (") => (unittest(all, line), true),
            (_, Some(found)) => found,
            _ => continue,
        };
        ran = None;
        let sum = total.get_or_insert_default();
        if add {
            sum.passed = sum.passed.saturating_add(counts.passed);
            sum.failed = sum.failed.saturating_add(counts.failed);
            sum.skipped = sum.skipped.saturating_add(counts.skipped);
        } else {
            *sum = counts;
        }
    }
    total
}

fn unittest(all: u32, line: &str) -> TestCounts {
    let failed = number(line, "failures=").saturating_add(number(line, "errors="));
    let skipped = number(line, "skipped=");
    TestCounts { passed: all.saturating_sub(failed).saturating_sub(skipped), failed, skipped }
}

fn number(line: &str, key: &str) -> u32 {
    let rest = line.split(key).nth(1).unwrap_or_default();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0)
}

/// The counts of one summary line, and whether another of its kind is added (else it replaces).
fn summary(line: &str) -> Option<(TestCounts, bool)> {
    if line.starts_with("test result: ") || line.trim_start().starts_with("Summary [") {
        return Some((words(line), true));
    }
    if pattern!(
        r"^(?:=+ )?(?:\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?)(?:, |,? ))+in [\d.]+"
    )
    .is_match(line)
    {
        return Some((words(line), true));
    }
    // jest: `Tests: 1 failed, 2 passed, 3 total`; vitest: `Tests  1 failed | 2 passed (3)`
    if pattern!(r"^\s*Tests:? +\d+ (?:failed|passed|skipped|todo)").is_match(line) {
        return Some((words(line), true));
    }
    if let Some(found) =
        pattern!(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+)(?:, Skipped: (\d+))?").captures(line)
    {
        let at = |n: usize| found.get(n).and_then(|m| m.as_str().parse::<u32>().ok()).unwrap_or(0);
        let (failed, skipped) = (at(2).saturating_add(at(3)), at(4));
        // Surefire repeats the sum of its classes at the end; the largest is the sum, so each replaces.
        return Some((
            TestCounts { passed: at(1).saturating_sub(failed).saturating_sub(skipped), failed, skipped },
            false,
        ));
    }
    if let Some(found) = pattern!(r"^(\d+) examples?, (\d+) failures?(?:, (\d+) pending)?").captures(line) {
        let at = |n: usize| found.get(n).and_then(|m| m.as_str().parse::<u32>().ok()).unwrap_or(0);
        let rest = at(1).saturating_sub(at(2)).saturating_sub(at(3));
        return Some((TestCounts { passed: rest, failed: at(2), skipped: at(3) }, true));
    }
    node_and_mocha(line).map(|counts| (counts, true))
}

/// One count a line: node's `# pass 3` and `ℹ pass 3`, mocha's `  3 passing (4ms)`.
fn node_and_mocha(line: &str) -> Option<TestCounts> {
    let found = pattern!(
        r"^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$|^\s+(\d+) (passing|failing|pending)(?: \([\w.]+\))?$"
    )
    .captures(line)?;
    let word = found.get(1).or(found.get(4))?.as_str();
    let n: u32 = found.get(2).or(found.get(3))?.as_str().parse().ok()?;
    let none = TestCounts::default();
    Some(match word {
        "pass" | "passing" => TestCounts { passed: n, ..none },
        "fail" | "failing" | "cancelled" => TestCounts { failed: n, ..none },
        _ => TestCounts { skipped: n, ..none },
    })
}

/// `1 failed, 2 passed; 3 ignored`: number and word, any order.
fn words(line: &str) -> TestCounts {
    let mut counts = TestCounts::default();
    for found in pattern!(r"(\d+) (\w+)").captures_iter(line) {
        let n: u32 = found[1].parse().unwrap_or(u32::MAX);
        let slot = match &found[2] {
            "passed" | "xpassed" => &mut counts.passed,
            "failed" | "error" | "errors" | "timed" => &mut counts.failed,
            "skipped" | "ignored" | "xfailed" | "todo" => &mut counts.skipped,
            _ => continue,
        };
        *slot = slot.saturating_add(n);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_each_runner_are_read() {
        let check = |log: &str, expected| {
            let counts = test_counts(log).map(|c| (c.passed, c.failed, c.skipped));
            assert_eq!(counts, expected, "{log}");
        };
        check("test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out", Some((1, 2, 3)));
        check(
            "test result: ok. 1 passed; 0 failed; 0 ignored\ntest result: ok. 4 passed; 0 failed; 1 ignored",
            Some((5, 0, 1)),
        );
        check("     Summary [   0.005s] 3 tests run: 1 passed, 2 failed, 1 skipped", Some((1, 2, 1)));
        check("==================== 2 failed, 1 passed, 1 skipped in 0.02s ====================", Some((1, 2, 1)));
        check("1 error in 0.16s", Some((0, 1, 0)));
        check("Ran 3 tests in 0.001s\n\nFAILED (failures=1, errors=1)", Some((1, 2, 0)));
        check("Ran 3 tests in 0.001s\n\nOK (skipped=1)", Some((2, 0, 1)));
        check("Tests:       1 failed, 1 passed, 2 total", Some((1, 1, 0)));
        check(" Tests  1 failed | 2 passed (3)", Some((2, 1, 0)));
        check("# pass 1\n# fail 2\n# skipped 1", Some((1, 2, 1)));
        check("  1 passing (4ms)\n  2 failing", Some((1, 2, 0)));
        check("[INFO] Tests run: 4, Failures: 1, Errors: 1, Skipped: 1", Some((1, 2, 1)));
        check("3 examples, 1 failure, 1 pending", Some((1, 1, 1)));
        check("compiled 3 files", None);
        check("4294967295999 passed in 1.0s", Some((u32::MAX, 0, 0)));
    }
}

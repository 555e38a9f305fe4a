//! Histories of the queue as it is. `cargo xtask sim` plays as many as one likes; here a few hundred run with every test.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use mb_sim::{Outcome, simulate};

/// Plays each seed twice: nothing is wrong, and both are the same history.
fn check(seeds: Range<u64>) {
    for seed in seeds {
        let outcome = simulate(seed, None, false);
        assert_eq!(outcome.violation, None, "cargo xtask sim --seed {seed} --trace");
        assert_eq!(simulate(seed, None, false).hash, outcome.hash, "seed {seed} takes two courses");
    }
}

#[test]
fn nothing_is_wrong_in_the_first_seeds() {
    check(0..150);
}

#[test]
fn nothing_is_wrong_in_the_second_seeds() {
    check(150..300);
}

#[test]
fn nothing_is_wrong_in_the_third_seeds() {
    check(300..450);
}

#[test]
fn histories_reach_what_they_are_for() {
    let outcomes: Vec<Outcome> = (0..150).map(|seed| simulate(seed, None, false)).collect();
    let mut counts = BTreeMap::new();
    for (what, count) in outcomes.iter().flat_map(|outcome| &outcome.counts) {
        *counts.entry(*what).or_insert(0) += count;
    }
    let rare: Vec<&str> =
        EXPECTED.iter().copied().filter(|what| counts.get(what).is_none_or(|count| *count < 5)).collect();
    assert_eq!(rare, [""; 0], "{counts:#?}");
    let hashes: BTreeSet<u64> = outcomes.iter().map(|outcome| outcome.hash).collect();
    assert_eq!(hashes.len(), outcomes.len(), "every seed has a history of its own");
}

/// What happens in some history or other, and more than by chance.
const EXPECTED: [&str; 20] = [
    "again",
    "blocked",
    "canceled",
    "duplicate",
    "enqueued",
    "expired",
    "failed",
    "granted",
    "granted with a concurrency key",
    "granted with a rate key",
    "interrupted",
    "lease found lost",
    "purged",
    "quarantined",
    "refused",
    "requeued",
    "run over",
    "run task",
    "stale report",
    "taken back",
];

#[test]
fn a_trace_tells_the_same_history() {
    let (silent, told) = (simulate(7, None, false), simulate(7, None, true));
    assert_eq!((silent.hash, silent.events, silent.trace.len()), (told.hash, told.events, 0));
    assert!(told.trace.iter().any(|line| line.contains("claim")), "{:#?}", told.trace);
}

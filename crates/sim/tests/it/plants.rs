//! Mistakes put in on purpose. A simulator that does not find these proves nothing about the ones nobody put in.

use mb_sim::model::Flaw;
use mb_sim::simulate;

/// Seeds within which each is found.
const SEEDS_MAX: u64 = 200;

/// A history goes wrong, for the reason the mistake gives it; and with the same seed and no mistake, it does not.
fn check(flaw: Flaw, expected: &str) {
    assert!(Flaw::ALL.contains(&flaw), "it can be planted by name");
    let found = (0..SEEDS_MAX).find_map(|seed| simulate(seed, Some(flaw), false).violation.map(|wrong| (seed, wrong)));
    let Some((seed, wrong)) = found else { panic!("{flaw:?} is not found in {SEEDS_MAX} seeds") };
    assert!(wrong.contains(expected), "seed {seed}: {wrong}");
    assert_eq!(simulate(seed, None, false).violation, None, "seed {seed}");
}

#[test]
fn a_missing_fence_check_is_found() {
    check(Flaw::NoFenceCheck, "was accepted and that is not who holds it");
}

#[test]
fn a_missing_worker_check_is_found() {
    check(Flaw::NoWorkerCheck, "was accepted and that is not who holds it");
}

#[test]
fn a_fence_that_does_not_rise_is_found() {
    check(Flaw::SameFenceAfterLoss, "does not rise above");
}

#[test]
fn a_lost_wake_up_is_found() {
    check(Flaw::NoWakeUp, "Waiting(Blocked)");
}

#[test]
fn turns_that_never_lapse_are_found() {
    check(Flaw::TurnsNeverLapse, "more tasks began within");
}

#[test]
fn fences_that_start_again_are_found() {
    check(Flaw::FencesStartAgain, "was used before");
}

#[test]
fn an_answer_before_the_deed_is_found() {
    check(Flaw::AckBeforeApply, "and is");
}

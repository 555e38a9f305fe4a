//! Hard budgets of a run: time, cost and attempts.
//!
//! "Exceeded" means strictly greater on any axis. The question is asked *before* an attempt with what it may
//! cost ([`Budget::admits`]), so a budget is never passed by more than the one thing in flight.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::words;

/// Money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// Whole dollars.
    pub const fn dollars(usd: u64) -> Self {
        Self(usd * 1_000_000)
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.div_ceil(10_000);
        write!(f, "${}.{:02}", cents / 100, cents % 100)
    }
}

/// Bounds of one run. A bound that is left out has its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Wall time from the first claim to the end, in milliseconds.
    pub time_ms: u64,
    /// Money for models, in millionths of a dollar.
    pub cost_microusd: MicroUsd,
    /// Re-runs and repairs tried, in number. The first attempt of a step is not counted.
    pub attempts: u32,
}

impl Budget {
    /// 30 minutes, 10 dollars, 10 attempts (the defaults of the v4 runbook).
    pub const DEFAULT: Budget = Budget { time_ms: 30 * 60 * 1000, cost_microusd: MicroUsd::dollars(10), attempts: 10 };
}

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a run has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spend {
    /// Wall time since it started, in milliseconds.
    pub time_ms: u64,
    /// Money.
    pub cost_microusd: MicroUsd,
    /// Re-runs and repairs.
    pub attempts: u32,
}

words! {
    /// The axis of a budget.
    Axis {
        /// Time.
        Time = "time",
        /// Cost.
        Cost = "cost",
        /// Attempts.
        Attempts = "attempts",
    }
}

impl Budget {
    /// Whether one more thing of that price may start, and if not, which axis refuses.
    ///
    /// # Errors
    /// The first axis, in the order time, cost, attempts, that the sum would pass.
    pub fn admits(&self, spent: Spend, price: Spend) -> Result<(), Axis> {
        if spent.time_ms.saturating_add(price.time_ms) > self.time_ms {
            return Err(Axis::Time);
        }
        if spent.cost_microusd.0.saturating_add(price.cost_microusd.0) > self.cost_microusd.0 {
            return Err(Axis::Cost);
        }
        if spent.attempts.saturating_add(price.attempts) > self.attempts {
            return Err(Axis::Attempts);
        }
        Ok(())
    }

    /// Time left, zero when it is used up.
    pub fn time_left(&self, spent: Spend) -> Duration {
        Duration::from_millis(self.time_ms.saturating_sub(spent.time_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeded_means_strictly_greater() {
        let budget = Budget { time_ms: 100, cost_microusd: MicroUsd(5), attempts: 1 };
        let check = |time_ms, cost, attempts, expected| {
            let price = Spend { time_ms, cost_microusd: MicroUsd(cost), attempts };
            assert_eq!(budget.admits(Spend::default(), price), expected);
        };
        check(100, 5, 1, Ok(()));
        check(101, 0, 0, Err(Axis::Time));
        check(0, 6, 0, Err(Axis::Cost));
        check(0, 0, 2, Err(Axis::Attempts));
        check(u64::MAX, u64::MAX, u32::MAX, Err(Axis::Time));
    }

    #[test]
    fn money_is_rounded_up_never_hidden() {
        assert_eq!(MicroUsd(0).to_string(), "$0.00");
        assert_eq!(MicroUsd(1).to_string(), "$0.01");
        assert_eq!(MicroUsd::dollars(12).to_string(), "$12.00");
    }
}

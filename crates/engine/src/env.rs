//! The one source of time, ids and randomness.
//!
//! Built once at the top and handed down. Nothing else in the product reads a clock or draws a random number, so
//! a test (and later the simulator) can hold both.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mb_core::id::{RunId, TaskId, TokenId, WorkerId};
use mb_core::time::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::lock;

/// Time, ids, randomness. Cheap to clone; clones share both.
#[derive(Clone)]
pub struct Env {
    clock: Clock,
    random: Arc<Mutex<ChaCha12Rng>>,
}

#[derive(Clone)]
enum Clock {
    System,
    Manual(Arc<AtomicI64>),
}

impl Env {
    /// The machine's clock and a seed from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn system() -> std::io::Result<Env> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Env { clock: Clock::System, random: Arc::new(Mutex::new(ChaCha12Rng::from_seed(seed))) })
    }

    /// A clock that stands still until [`Env::advance`] and a fixed seed: for tests.
    pub fn manual(start: Timestamp, seed: u64) -> Env {
        let clock = Clock::Manual(Arc::new(AtomicI64::new(start.as_micros())));
        Env { clock, random: Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed))) }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Clock::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the machine's clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(micros) = &self.clock {
            micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// `N` unpredictable bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        lock(&self.random).fill_bytes(&mut bytes);
        bytes
    }

    /// A new run's id.
    pub fn run_id(&self) -> RunId {
        RunId::from_bytes(self.uuid())
    }

    /// A new task's id.
    pub fn task_id(&self) -> TaskId {
        TaskId::from_bytes(self.uuid())
    }

    /// A new worker's id.
    pub fn worker_id(&self) -> WorkerId {
        WorkerId::from_bytes(self.uuid())
    }

    /// A new token's id.
    pub fn token_id(&self) -> TokenId {
        TokenId::from_bytes(self.uuid())
    }

    /// The bytes of a UUID version 7 (RFC 9562 §5.7): ids sort by the time they were made.
    fn uuid(&self) -> [u8; 16] {
        let millis = u64::try_from(self.now().as_micros() / 1000).unwrap_or(0);
        *uuid::Builder::from_unix_timestamp_millis(millis, &self.random_bytes()).as_uuid().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_and_seed_repeat_themselves() {
        let make = || Env::manual(Timestamp::from_micros(1_700_000_000_000_000), 7);
        let (a, b) = (make(), make());
        assert_eq!((a.run_id(), a.run_id()), (b.run_id(), b.run_id()));
        let first = a.run_id();
        a.advance(Duration::from_millis(2));
        assert!(first < a.run_id(), "later ids sort later");
    }
}

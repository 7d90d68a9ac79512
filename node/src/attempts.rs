//! How often a backup that a passphrase opens may be asked for at this node, whoever asks: each time may be a guess.

use moka::sync::Cache;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use wire::OperationId;

/// So many in a row,
pub(crate) const ATTEMPTS: u32 = 10;
/// and then one in this time.
pub(crate) const PAUSE: Duration = Duration::from_secs(360);

/// What is left of every backup's attempts. It is in memory: a node that starts anew has seen none.
#[derive(Clone)]
pub(crate) struct Attempts(Cache<OperationId, Arc<Mutex<Left>>>);

struct Left {
    attempts: u32,
    /// Until when attempts that were used have been given back.
    since: Instant,
}

impl Default for Attempts {
    fn default() -> Self {
        // Who was left alone for so long has all of them again. There are no more entries than backups on the board.
        Self(Cache::builder().time_to_idle(PAUSE * ATTEMPTS).build())
    }
}

impl Attempts {
    /// Takes one attempt; false if none is left.
    pub(crate) fn take(&self, backup: OperationId, now: Instant) -> bool {
        let left = self.0.get_with(backup, || Arc::new(Mutex::new(Left { attempts: ATTEMPTS, since: now })));
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        while left.attempts < ATTEMPTS && now.duration_since(left.since) >= PAUSE {
            left.attempts = left.attempts.saturating_add(1);
            left.since += PAUSE;
        }
        if left.attempts == ATTEMPTS {
            left.since = now;
        }
        let rest = left.attempts.checked_sub(1);
        left.attempts = rest.unwrap_or(0);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_in_a_row_there_is_one_at_a_time() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (OperationId([1; 32]), OperationId([2; 32]));
        assert!((0..ATTEMPTS).all(|_| attempts.take(one, start)));
        assert!(!attempts.take(one, start) && attempts.take(other, start));
        assert!(!attempts.take(one, start + PAUSE - Duration::from_millis(1)));
        assert!(attempts.take(one, start + PAUSE) && !attempts.take(one, start + PAUSE));
        assert!(attempts.take(one, start + 2 * PAUSE) && !attempts.take(one, start + 2 * PAUSE));
        let later = start + 50 * PAUSE;
        assert!((0..ATTEMPTS).all(|_| attempts.take(one, later)) && !attempts.take(one, later), "no more than that");
    }
}

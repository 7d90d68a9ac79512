//! How often a backup that a passphrase opens may be asked for at this node, whoever asks: each time may be a guess.

use moka::sync::Cache;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use wire::{G1Bytes, OperationId};

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
    /// What was counted last. Whoever asks the same again, since the answer was lost, learns nothing more by it.
    last: Option<G1Bytes>,
}

impl Left {
    fn refill(&mut self, now: Instant) {
        while self.attempts < ATTEMPTS && now.duration_since(self.since) >= PAUSE {
            self.attempts = self.attempts.saturating_add(1);
            self.since += PAUSE;
        }
        if self.attempts == ATTEMPTS {
            self.since = now;
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        // Who was left alone for so long has all of them again. There are no more entries than backups on the board.
        Self(Cache::builder().time_to_idle(PAUSE * ATTEMPTS).build())
    }
}

impl Attempts {
    /// Takes one attempt for a question about this point, unless that is the point of the last one; false if none is left.
    pub(crate) fn take(&self, backup: OperationId, point: G1Bytes, now: Instant) -> bool {
        let left = self.left(backup, now);
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        left.refill(now);
        if left.last == Some(point) {
            return true;
        }
        let Some(rest) = left.attempts.checked_sub(1) else { return false };
        (left.attempts, left.last) = (rest, Some(point));
        true
    }

    /// What [`Attempts::take`] would say; it takes nothing.
    pub(crate) fn is_left(&self, backup: OperationId, point: G1Bytes, now: Instant) -> bool {
        let left = self.left(backup, now);
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        left.refill(now);
        left.last == Some(point) || left.attempts > 0
    }

    fn left(&self, backup: OperationId, now: Instant) -> Arc<Mutex<Left>> {
        self.0.get_with(backup, || Arc::new(Mutex::new(Left { attempts: ATTEMPTS, since: now, last: None })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u8) -> G1Bytes {
        G1Bytes([n; 48])
    }

    #[test]
    fn after_some_in_a_row_there_is_one_at_a_time() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (one, other) = (OperationId([1; 32]), OperationId([2; 32]));
        let mut next = (0..u8::MAX).map(point);
        let mut take = |backup, now| attempts.take(backup, next.next().unwrap(), now);
        assert!((0..ATTEMPTS).all(|_| take(one, start)));
        assert!(!take(one, start) && take(other, start));
        assert!(!take(one, start + PAUSE - Duration::from_millis(1)));
        assert!(take(one, start + PAUSE) && !take(one, start + PAUSE));
        assert!(take(one, start + 2 * PAUSE) && !take(one, start + 2 * PAUSE));
        let later = start + 50 * PAUSE;
        assert!((0..ATTEMPTS).all(|_| take(one, later)) && !take(one, later), "no more than that");
    }

    #[test]
    fn who_asks_the_same_again_is_counted_once() {
        let (attempts, now, backup) = (Attempts::default(), Instant::now(), OperationId([1; 32]));
        assert!((0..2 * ATTEMPTS).all(|_| attempts.take(backup, point(0), now)));
        assert!((1_u8..10).all(|n| attempts.is_left(backup, point(n), now) && attempts.take(backup, point(n), now)));
        assert!(!attempts.is_left(backup, point(10), now) && !attempts.take(backup, point(10), now));
        assert!(attempts.is_left(backup, point(9), now) && attempts.take(backup, point(9), now), "the last one");
        assert!(!attempts.take(backup, point(0), now), "an older one is a guess like any other");
    }
}

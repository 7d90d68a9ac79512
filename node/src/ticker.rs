//! Asks for a block when a deadline has come by this node's clock and no block fires it.
//!
//! After a rest, CometBFT's first block carries an old time, so that it normally takes two ticks. The nodes take turns: one that is
//! further down the list waits longer, so that normally only the first one speaks.

use crate::{NodeError, abci::now_ms, consensus::Consensus, executor::Executor};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wire::{Bytes, ChainId, Envelope, Operation, Signed, Transaction};

/// So much longer than the one before it on the list does a node wait.
const TURN: Duration = Duration::from_millis(250);
/// So many attempts for one deadline go out without a pause between them. The clocks of most nodes are then behind this one.
const EAGER_ATTEMPTS: u32 = 2;
/// The pause after them, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_DOUBLINGS: u32 = 6;
/// A tick that was handed in is given so long to make a block before the next one.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a ticking node needs.
pub struct Ticker {
    /// The board, whose deadlines it watches.
    pub executor: Arc<Executor>,
    /// Where its ticks go.
    pub consensus: Consensus,
    /// The node's identity, which signs them.
    pub identity: Keypair,
    /// The chain.
    pub chain: ChainId,
    /// The node's place on the list of nodes.
    pub index: u32,
}

impl Ticker {
    /// Ticks until `stop`.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), NodeError> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = self.tick() => result,
        }
    }

    async fn tick(&self) -> Result<(), NodeError> {
        let mut head = self.executor.feed().head();
        let (mut deadline_ms, mut attempt) = (0, 0);
        loop {
            head.mark_unchanged();
            let Some(next) = self.executor.next_deadline()? else {
                // The executor holds the feed, so that it outlives this loop.
                let _ = head.changed().await;
                continue;
            };
            if next != deadline_ms {
                (deadline_ms, attempt) = (next, 0);
            }
            let rest = Duration::from_millis(deadline_ms.saturating_sub(now_ms()));
            tokio::select! {
                _ = head.changed() => continue,
                () = sleep(rest + TURN * self.index + pause(attempt)) => {}
            }
            attempt += 1;
            if let Err(error) = self.consensus.submit(self.transaction(deadline_ms, attempt)).await {
                tracing::debug!(%error, deadline_ms, attempt, "tick not taken");
                sleep(PAUSE).await;
                continue;
            }
            metrics::counter!("white_city_ticks_total").increment(1);
            tokio::select! {
                _ = head.changed() => {}
                () = sleep(PATIENCE) => {}
            }
        }
    }

    fn transaction(&self, deadline_ms: u64, attempt: u32) -> Bytes {
        let operation = Operation::Tick { deadline_ms, attempt };
        let signed = Signed::sign(&self.identity, self.chain.clone(), operation, OsRng);
        Transaction::inline([Envelope { signed, payload: Bytes::default() }]).encode()
    }
}

/// How long to wait before the attempt that follows `attempts` earlier ones.
fn pause(attempts: u32) -> Duration {
    match attempts.checked_sub(EAGER_ATTEMPTS) {
        None => Duration::ZERO,
        Some(late) => PAUSE * 2u32.pow(late.min(MAX_DOUBLINGS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_attempts_are_eager_and_later_ones_ever_less() {
        let pauses: Vec<_> = (0..12).map(pause).collect();
        assert_eq!(pauses[..2], [Duration::ZERO; 2]);
        assert!(pauses[2..].windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses[11], PAUSE * 64);
    }
}

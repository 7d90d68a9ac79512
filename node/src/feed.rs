//! Announces decided blocks inside the node, once they are stored.

use ledger::{Event, Snapshot};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::{broadcast, watch};
use wire::{BoardAt, Bytes, Hash, OperationId, PublicKey, Receipt};

/// A receiver that is so many blocks behind loses the oldest and has to read the store.
const CAPACITY: usize = 256;

/// A decided block and everything it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBlock {
    /// Height, time and root.
    pub at: BoardAt,
    /// One for each operation, in order.
    pub receipts: Vec<Receipt>,
    /// What changed.
    pub events: Vec<Event>,
    /// Inline payloads of the accepted writes, by digest.
    pub payloads: BTreeMap<Hash, Bytes>,
    /// The accepted writes whose payloads travel beside consensus, and who has confirmed to have them.
    pub beside: BTreeMap<OperationId, Vec<PublicKey>>,
    /// All facts after it.
    pub snapshot: Snapshot,
}

/// The board after a block that is decided and executed, but perhaps not stored yet.
#[derive(Clone, Debug)]
pub struct ExecutedBoard {
    /// Height, time and root.
    pub at: BoardAt,
    /// All facts after it.
    pub snapshot: Snapshot,
    /// When it was executed.
    pub executed: Instant,
}

/// Where blocks are announced after the store's commit, and, for the certifier only, before it.
#[derive(Debug)]
pub struct Feed {
    head: watch::Sender<Option<BoardAt>>,
    decided: broadcast::Sender<Arc<DecidedBlock>>,
    executed: broadcast::Sender<ExecutedBoard>,
}

impl Feed {
    /// A feed of a store whose newest block is `at`.
    pub fn new(at: Option<BoardAt>) -> Self {
        Self {
            head: watch::Sender::new(at),
            decided: broadcast::Sender::new(CAPACITY),
            executed: broadcast::Sender::new(CAPACITY),
        }
    }

    /// The newest stored block; `None` before the first.
    pub fn head(&self) -> watch::Receiver<Option<BoardAt>> {
        self.head.subscribe()
    }

    /// Every block that is stored from now on.
    pub fn decided(&self) -> broadcast::Receiver<Arc<DecidedBlock>> {
        self.decided.subscribe()
    }

    /// Every block that is executed from now on. Nothing may be answered from it before it is stored.
    pub fn executed(&self) -> broadcast::Receiver<ExecutedBoard> {
        self.executed.subscribe()
    }

    /// Announces an executed block. This waits for nobody.
    pub fn execute(&self, at: BoardAt, snapshot: Snapshot) {
        let _ = self.executed.send(ExecutedBoard { at, snapshot, executed: Instant::now() });
    }

    /// Announces a block, which must be stored.
    pub fn publish(&self, block: DecidedBlock) {
        let at = block.at;
        // Nobody listening is no failure.
        let _ = self.decided.send(Arc::new(block));
        self.head.send_replace(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_block_is_there_before_the_head_says_so() {
        let feed = Feed::new(None);
        let (mut head, mut decided) = (feed.head(), feed.decided());
        let at = BoardAt { height: 1, time_ms: 2, root: Hash([3; 32]) };
        let (payloads, snapshot) = (BTreeMap::new(), Snapshot::default());
        feed.publish(DecidedBlock {
            at,
            receipts: vec![],
            events: vec![],
            payloads,
            beside: BTreeMap::new(),
            snapshot,
        });
        head.changed().await.unwrap();
        assert_eq!(*head.borrow(), Some(at));
        assert_eq!(decided.try_recv().unwrap().at, at);
    }
}

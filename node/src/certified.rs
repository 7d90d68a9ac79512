//! The newest board that the nodes have certified: what readers are answered from, and what wakes them.

use crate::feed::{DecidedBlock, Feed};
use borsh::BorshDeserialize;
use ledger::{Event, Snapshot};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use wire::{
    BackupRecord, BoardAt, Certificate, Certified, EndorsedKeyRecord, ExchangeKey, FactKey, ListHead, ListKind,
    MailboxHead, MailboxId, MailboxKind, NetworkParameters, Provable, PublicKey, RoundState, SessionId, SessionRecord,
};

/// A receiver that is so many blocks behind loses the oldest, and so many may wait for their certificate.
const CAPACITY: usize = 256;

/// A board and the nodes' signature over its root.
#[derive(Clone, Debug)]
pub struct CertifiedBoard {
    /// Whose root is the snapshot's.
    pub certificate: Certificate,
    /// All facts.
    pub snapshot: Snapshot,
}

impl CertifiedBoard {
    /// Height, time and root.
    pub fn at(&self) -> BoardAt {
        self.certificate.at
    }

    /// The network's parameters, which every board has.
    pub fn parameters(&self) -> Option<NetworkParameters> {
        self.read(&FactKey::Network)
    }

    /// A session's record.
    pub fn session(&self, session: &SessionId) -> Option<SessionRecord> {
        self.read(&FactKey::Session(*session))
    }

    /// A session's parties, in index order.
    pub fn parties(&self, session: &SessionId) -> Option<Vec<PublicKey>> {
        self.read(&FactKey::Parties(*session))
    }

    /// How far a mailbox has come; `None` if nobody has written, or it is erased.
    pub fn mailbox(&self, mailbox: &MailboxId) -> Option<MailboxHead> {
        self.read(&FactKey::Mailbox(*mailbox))
    }

    /// How far a list of an open session has come; `None` if it is empty, or erased.
    pub fn list(&self, session: &SessionId, list: ListKind) -> Option<ListHead> {
        self.read(&FactKey::List(*session, list))
    }

    /// The clock of a mailbox's round. Only running rounds have one: a keying round of the same number is another thing.
    pub fn round(&self, mailbox: &MailboxId) -> Option<RoundState> {
        let timed = mailbox.kind != MailboxKind::Keying;
        timed.then(|| self.read(&FactKey::Round(mailbox.session, mailbox.round))).flatten()
    }

    /// What is known of a party's backup; `None` if it has never made one.
    pub fn backup(&self, session: &SessionId, party: u16) -> Option<BackupRecord> {
        self.read(&FactKey::Backup(*session, party))
    }

    /// The nodes' exchange keys; `None` if all have those of genesis.
    pub fn exchange_keys(&self) -> Option<Vec<ExchangeKey>> {
        self.read(&FactKey::ExchangeKeys)
    }

    /// The threshold key of an epoch.
    pub fn keys(&self, epoch: u64) -> Option<EndorsedKeyRecord> {
        self.read(&FactKey::Keys(epoch))
    }

    /// A fact of this board with its proofs.
    pub fn prove<F: Provable>(&self, fact: F) -> Certified<F> {
        let proofs = fact.values().iter().map(|(key, _)| self.snapshot.prove(key)).collect();
        Certified { certificate: self.certificate, fact, proofs }
    }

    fn read<T: BorshDeserialize>(&self, key: &FactKey) -> Option<T> {
        let value = self.snapshot.value(key)?;
        Some(
            borsh::from_slice(value)
                .expect("the ledger puts under each key the encoding of the type that the key names"),
        )
    }
}

/// What a block has changed, once a certificate covers it.
#[derive(Debug)]
pub struct CertifiedBlock {
    /// The block.
    pub at: BoardAt,
    /// What changed.
    pub events: Vec<Event>,
}

/// Where certified boards are announced. Clones share it.
#[derive(Clone, Debug)]
pub struct CertifiedFeed {
    newest: watch::Sender<Option<Arc<CertifiedBoard>>>,
    blocks: broadcast::Sender<Option<Arc<CertifiedBlock>>>,
}

impl CertifiedFeed {
    /// Follows the decided blocks of `feed` until `stop`, on the current runtime. No board is certified yet.
    pub fn start(feed: &Feed, stop: CancellationToken) -> Self {
        let this = Self { newest: watch::Sender::new(None), blocks: broadcast::Sender::new(CAPACITY) };
        tokio::spawn(this.clone().follow(feed.decided(), feed.head(), stop));
        this
    }

    /// The newest certified board; `None` before the first.
    pub fn newest(&self) -> watch::Receiver<Option<Arc<CertifiedBoard>>> {
        self.newest.subscribe()
    }

    /// Every block that is certified from now on, in order, once it is; or `None` where blocks are left out.
    pub fn blocks(&self) -> broadcast::Receiver<Option<Arc<CertifiedBlock>>> {
        self.blocks.subscribe()
    }

    /// Announces a certified board, whose block must be stored. One that is no newer than the last is ignored.
    pub fn publish(&self, board: CertifiedBoard) {
        self.newest.send_if_modified(|newest| {
            let is_newer = newest.as_ref().is_none_or(|newest| newest.at().height < board.at().height);
            if is_newer {
                *newest = Some(Arc::new(board));
            }
            is_newer
        });
    }

    async fn follow(
        self,
        mut decided: broadcast::Receiver<Arc<DecidedBlock>>,
        head: watch::Receiver<Option<BoardAt>>,
        stop: CancellationToken,
    ) {
        let mut newest = self.newest();
        // By height; `None` for all up to that height which are left out.
        let mut waiting: VecDeque<(u64, Option<Arc<CertifiedBlock>>)> = VecDeque::new();
        loop {
            tokio::select! {
                next = decided.recv() => match next {
                    Ok(block) => {
                        let certified = CertifiedBlock { at: block.at, events: block.events.clone() };
                        waiting.push_back((block.at.height, Some(Arc::new(certified))));
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        waiting.push_back((head.borrow().map_or(0, |at| at.height), None));
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = newest.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            if waiting.len() > CAPACITY {
                let last = waiting.iter().map(|(height, _)| *height).max();
                waiting = last.map(|last| (last, None)).into_iter().collect();
            }
            let height = newest.borrow_and_update().as_ref().map_or(0, |board| board.at().height);
            while waiting.front().is_some_and(|next| next.0 <= height) {
                // Nobody listening is no failure.
                let _ = waiting.pop_front().map(|(_, next)| self.blocks.send(next));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};
    use tokio::time::timeout;
    use wire::G1Bytes;

    fn at(height: u64) -> BoardAt {
        BoardAt { height, time_ms: height, root: Snapshot::default().root() }
    }

    fn decide(feed: &Feed, height: u64) {
        let (payloads, snapshot) = (BTreeMap::new(), Snapshot::default());
        feed.publish(DecidedBlock {
            at: at(height),
            receipts: vec![],
            events: vec![],
            payloads,
            beside: BTreeMap::new(),
            snapshot,
        });
    }

    fn certify(certified: &CertifiedFeed, height: u64) {
        let certificate = Certificate { epoch: 1, at: at(height), signature: G1Bytes([0; 48]) };
        certified.publish(CertifiedBoard { certificate, snapshot: Snapshot::default() });
    }

    async fn next(blocks: &mut broadcast::Receiver<Option<Arc<CertifiedBlock>>>) -> Option<u64> {
        let next = timeout(Duration::from_secs(10), blocks.recv()).await.unwrap().unwrap();
        next.map(|block| block.at.height)
    }

    #[tokio::test]
    async fn a_block_is_told_once_a_certificate_covers_it() {
        let feed = Feed::new(None);
        let certified = CertifiedFeed::start(&feed, CancellationToken::new());
        let mut blocks = certified.blocks();
        decide(&feed, 1);
        decide(&feed, 2);
        certify(&certified, 2);
        assert_eq!((next(&mut blocks).await, next(&mut blocks).await), (Some(1), Some(2)));
        // An older certificate is none, and one may be there before its block is announced.
        certify(&certified, 1);
        assert_eq!(certified.newest().borrow().as_ref().unwrap().at().height, 2);
        certify(&certified, 4);
        decide(&feed, 3);
        assert_eq!(next(&mut blocks).await, Some(3));
    }

    #[tokio::test]
    async fn of_blocks_that_wait_too_long_it_is_told_that_there_were_some() {
        let feed = Feed::new(None);
        let certified = CertifiedFeed::start(&feed, CancellationToken::new());
        let mut blocks = certified.blocks();
        let many = 3 * CAPACITY as u64;
        for height in 1..=many {
            decide(&feed, height);
            tokio::task::yield_now().await;
        }
        certify(&certified, many);
        assert_eq!(next(&mut blocks).await, None);
        decide(&feed, many + 1);
        certify(&certified, many + 1);
        let mut heard = next(&mut blocks).await;
        while heard != Some(many + 1) {
            heard = next(&mut blocks).await;
        }
    }
}

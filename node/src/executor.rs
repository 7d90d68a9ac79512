//! Executes decided blocks: transactions become verified operations, the ledger applies them, the store keeps what changed.
//!
//! For every block there is one [`Executor::finalize`] and then one [`Executor::commit`]. Nothing is announced or answered from a block
//! before its commit.

use crate::{
    NodeError,
    batch::{Batch, Sound, Verifier},
    feed::{DecidedBlock, Feed},
    store::Store,
};
use ledger::{Block, Discredited, Payload, Snapshot, State};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};
use wire::{
    BoardAt, Bytes, Code, Generation, Hash, NetworkParameters, Operation, OperationId, PublicKey, Receipt, SessionId,
    SessionRecord, Verified,
};

/// What a transaction takes in a block beside its own bytes: a field's tag and length.
const FRAMING_BYTES: usize = 5;

/// The board of one node.
pub struct Executor {
    store: Store,
    feed: Arc<Feed>,
    verifier: Verifier,
    board: RwLock<Board>,
    /// Nodes that have handed in what takes long to refuse, since the newest block.
    discredited: Mutex<Discredited>,
}

struct Board {
    state: State,
    /// The newest stored block.
    at: Option<BoardAt>,
    /// The block that was executed last, until the next one is.
    last: Option<Executed>,
}

/// A block that the state has in it, stored or not.
#[derive(Clone)]
struct Executed {
    id: Hash,
    finalized: Finalized,
    /// Taken by the commit.
    block: Option<DecidedBlock>,
}

/// A decided block as consensus hands it over.
pub struct Proposal<'a> {
    /// What tells it from any other block of its height.
    pub id: Hash,
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its transactions.
    pub transactions: Vec<&'a [u8]>,
}

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalized {
    /// The board's root.
    pub root: Hash,
    /// For each transaction: whether it was one.
    pub codes: Vec<Code>,
}

impl Executor {
    /// Rebuilds the board from the store.
    ///
    /// # Errors
    /// [`NodeError::Store`], [`NodeError::Ledger`], [`NodeError::RootDiffers`].
    pub async fn open(parameters: NetworkParameters, store: Store) -> Result<Self, NodeError> {
        let verifier = Verifier::new(parameters.chain.clone());
        let loaded = store.load().await?;
        let height = loaded.at.map_or(0, |at| at.height);
        let state = State::restore(
            parameters,
            height,
            loaded.sessions,
            loaded.rounds,
            loaded.entries,
            loaded.listings,
            loaded.backups,
            loaded.generations,
        )?;
        if loaded.at.is_some_and(|at| at.root != state.root()) {
            return Err(NodeError::RootDiffers { height });
        }
        let feed = Arc::new(Feed::new(loaded.at));
        let (board, discredited) = (RwLock::new(Board { state, at: loaded.at, last: None }), Mutex::default());
        Ok(Self { store, feed, verifier, board, discredited })
    }

    /// Where stored blocks are announced.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// What genesis fixed.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn parameters(&self) -> Result<NetworkParameters, NodeError> {
        Ok(self.read()?.state.parameters().clone())
    }

    /// The newest stored block.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn at(&self) -> Result<Option<BoardAt>, NodeError> {
        Ok(self.read()?.at)
    }

    /// The root of the board as executed so far: before the first block that of genesis.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn root(&self) -> Result<Hash, NodeError> {
        Ok(self.read()?.state.root())
    }

    /// All facts of the board as executed so far.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn snapshot(&self) -> Result<Snapshot, NodeError> {
        Ok(self.read()?.state.snapshot())
    }

    /// Looks at the generations of threshold keys, by epoch from the first to the newest.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn with_generations<T>(&self, look: impl FnOnce(&BTreeMap<u64, Generation>) -> T) -> Result<T, NodeError> {
        Ok(look(self.read()?.state.generations()))
    }

    /// The earliest deadline that runs, in milliseconds of block time.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn next_deadline(&self) -> Result<Option<u64>, NodeError> {
        Ok(self.read()?.state.next_deadline())
    }

    /// True if a clock waits for the next block to start it.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn is_clock_pending(&self) -> Result<bool, NodeError> {
        Ok(self.read()?.state.is_clock_pending())
    }

    /// Whether the board would take an operation now.
    ///
    /// # Errors
    /// The code of the receipt that it would get, or [`Code::Internal`].
    pub fn check_operation(&self, operation: &Verified<Operation>) -> Result<(), Code> {
        self.read().map_err(|_| Code::Internal)?.state.check(operation)
    }

    /// What the board knows of a session now.
    pub fn session(&self, session: &SessionId) -> Option<SessionRecord> {
        self.read().ok()?.state.session(session).cloned()
    }

    /// Whether a session permits short payloads in blocks. An unknown one does not: it may be created in the same block, and forbid it.
    pub fn permits_inline(&self, session: &SessionId) -> bool {
        let permits = |board: RwLockReadGuard<'_, Board>| {
            board.state.session(session).is_some_and(|record| record.spec.inline_payloads)
        };
        self.read().is_ok_and(permits)
    }

    /// Whether a transaction may wait for a block here (CheckTx): all its operations verify, and the board would take at least one
    /// of them. This is one of the two places that a node's own clock has a say in, `now_ms`: a tick must be due by it, and a
    /// bundle not expired.
    ///
    /// # Errors
    /// The code of the first operation that is refused.
    pub fn check(&self, transaction: &[u8], now_ms: u64) -> Result<(), Code> {
        let batch = self.verifier.verify(transaction)?;
        let board = self.read().map_err(|_| Code::Internal)?;
        let mut refused = None;
        for Sound { operation, payload, .. } in batch.sound()? {
            let answer = match operation.body() {
                Operation::Tick { .. } if board.state.next_deadline().is_none_or(|due| due > now_ms) => {
                    Err(Code::NotPermitted)
                }
                _ => self.check_unless_discredited(&board.state, operation, payload, now_ms),
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(code) => refused = refused.or(Some(code)),
            }
        }
        Err(refused.unwrap_or(Code::Malformed))
    }

    /// As the board checks it; but of a node's wrong steps and challenges only the first between two blocks takes any time.
    fn check_unless_discredited(
        &self,
        state: &State,
        operation: &Verified<Operation>,
        payload: &Payload,
        now_ms: u64,
    ) -> Result<(), Code> {
        let lock = || self.discredited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = lock().refusal(operation) {
            return Err(code);
        }
        let answer = state.check_with(operation, payload, now_ms);
        if let Err(code) = answer {
            lock().note(operation, code);
        }
        answer
    }

    /// The transactions that this node proposes: those that every node will let pass, in order, as far as they fit.
    pub fn prepare<T: AsRef<[u8]>>(&self, transactions: Vec<T>, max_bytes: usize) -> Vec<T> {
        let mut room = max_bytes;
        let fits = |transaction: &T| match room.checked_sub(transaction.as_ref().len().saturating_add(FRAMING_BYTES)) {
            Some(rest) if self.process(transaction.as_ref()) => {
                room = rest;
                true
            }
            _ => false,
        };
        transactions.into_iter().filter(fits).collect()
    }

    /// Whether a proposed block may hold this transaction. The answer depends on the transaction and on the board before the block
    /// alone, so that all honest nodes give the same one.
    pub fn process(&self, transaction: &[u8]) -> bool {
        let Ok(batch) = self.verifier.verify(transaction) else { return false };
        // What stands in a block cannot be erased.
        let may_stand = |sound: &&Sound| match (sound.operation.body(), &sound.payload) {
            (Operation::Write { mailbox, .. }, Payload::Inline) => self.permits_inline(&mailbox.session),
            _ => true,
        };
        batch.sound().is_ok_and(|items| items.iter().all(may_stand))
    }

    /// Executes a decided block. Given again before another one, its result is the same and nothing is applied twice.
    ///
    /// # Errors
    /// [`NodeError::OutOfOrder`], [`NodeError::Conflict`], [`NodeError::Unusable`].
    pub fn finalize(&self, proposal: &Proposal<'_>) -> Result<Finalized, NodeError> {
        let started = Instant::now();
        let batches: Vec<_> = proposal.transactions.iter().map(|bytes| self.verifier.verify(bytes)).collect();
        let mut board = self.write()?;
        let done = board.state.height();
        match &board.last {
            Some(last) if proposal.height == done && last.id == proposal.id => return Ok(last.finalized.clone()),
            Some(_) if proposal.height == done => return Err(NodeError::Conflict { height: done }),
            _ if proposal.height != done.saturating_add(1) => {
                return Err(NodeError::OutOfOrder { expected: done.saturating_add(1), found: proposal.height });
            }
            _ => {}
        }
        let good = batches.iter().filter_map(|batch| batch.as_ref().ok());
        let operations = good.clone().flat_map(|batch| batch.submitted()).collect();
        let outcome = board.state.apply(&Block { height: proposal.height, time_ms: proposal.time_ms, operations });
        let payloads = payloads(good.clone().map(AsRef::as_ref), &outcome.receipts);
        let beside = beside(good.map(AsRef::as_ref), &outcome.receipts);
        let codes = batches.iter().map(|batch| batch.as_ref().map_or_else(|code| *code, |_| Code::Accepted)).collect();
        let finalized = Finalized { root: outcome.root, codes };
        let at = BoardAt { height: proposal.height, time_ms: proposal.time_ms, root: outcome.root };
        *self.discredited.lock().unwrap_or_else(PoisonError::into_inner) = Discredited::default();
        let snapshot = board.state.snapshot();
        self.feed.execute(at, snapshot.clone());
        let block = DecidedBlock { at, receipts: outcome.receipts, events: outcome.events, payloads, beside, snapshot };
        board.last = Some(Executed { id: proposal.id, finalized: finalized.clone(), block: Some(block) });
        metrics::histogram!("white_city_finalize_seconds").record(started.elapsed());
        Ok(finalized)
    }

    /// Stores the executed block in one database transaction and announces it. Given again, it does nothing.
    ///
    /// # Errors
    /// [`NodeError::Store`], after which this executor is of no use: what it holds in memory is ahead of the disk.
    pub async fn commit(&self) -> Result<(), NodeError> {
        let started = Instant::now();
        let Some(block) = self.write()?.last.as_mut().and_then(|last| last.block.take()) else { return Ok(()) };
        self.store.commit(&block).await?;
        self.write()?.at = Some(block.at);
        metrics::histogram!("white_city_commit_seconds").record(started.elapsed());
        metrics::counter!("white_city_blocks_total").increment(1);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; heights stay far below 2^52")]
        metrics::gauge!("white_city_height").set(block.at.height as f64);
        for receipt in &block.receipts {
            metrics::counter!("white_city_operations_total", "code" => receipt.code.as_str()).increment(1);
        }
        let (at, operations) = (block.at, block.receipts.len());
        tracing::debug!(height = at.height, time_ms = at.time_ms, root = %at.root, operations, "block stored");
        self.feed.publish(block);
        Ok(())
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Board>, NodeError> {
        self.board.read().map_err(|_| NodeError::Unusable)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Board>, NodeError> {
        self.board.write().map_err(|_| NodeError::Unusable)
    }
}

/// The operations that were accepted. Receipts are in the order of the operations.
fn accepted<'a>(batches: impl Iterator<Item = &'a Batch>, receipts: &[Receipt]) -> impl Iterator<Item = &'a Sound> {
    let items = batches.flat_map(Batch::items).zip(receipts);
    items.filter(|(_, receipt)| receipt.code == Code::Accepted).filter_map(|(item, _)| item.ok())
}

/// The inline payloads of the writes that were accepted.
fn payloads<'a>(batches: impl Iterator<Item = &'a Batch>, receipts: &[Receipt]) -> BTreeMap<Hash, Bytes> {
    let written = accepted(batches, receipts).filter_map(|sound| match (sound.operation.body(), &sound.payload) {
        (Operation::Write { digest, .. }, Payload::Inline) => Some((*digest, sound.inline.clone())),
        _ => None,
    });
    written.collect()
}

/// Who has confirmed the payloads of the other accepted writes.
fn beside<'a>(batches: impl Iterator<Item = &'a Batch>, receipts: &[Receipt]) -> BTreeMap<OperationId, Vec<PublicKey>> {
    let holders = accepted(batches, receipts).filter_map(|sound| match &sound.payload {
        Payload::Beside { bundle, place } => {
            Some((OperationId(sound.operation.digest().0), bundle.holders(*place).copied().collect()))
        }
        Payload::Inline => None,
    });
    holders.collect()
}

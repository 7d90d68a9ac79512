//! One process that orders blocks by itself: for embedding, for tests, for trying the API.
//!
//! A block is made when there are transactions, and another, empty one after a block that has changed the root, as CometBFT does.

use crate::{
    NodeError,
    abci::now_ms,
    consensus::SubmitError,
    executor::{Executor, Proposal},
};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use wire::{Bytes, hash::TaggedHash, limits::MAX_BLOCK_BYTES};

/// Most transactions that wait for a block.
const QUEUE: usize = 1024;

/// The loop that makes the blocks.
pub struct Solo {
    /// Hands transactions to it.
    pub client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NodeError>>,
}

/// What time it is, in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Hands transactions to the loop that makes the blocks.
#[derive(Clone)]
pub struct Client {
    queue: mpsc::Sender<Pending>,
}

/// A transaction and who waits to hear whether it was taken.
struct Pending {
    transaction: Bytes,
    taken: oneshot::Sender<Result<(), SubmitError>>,
}

impl Solo {
    /// Starts making blocks for `executor`, on a new chain the first one at once.
    pub fn start(executor: Arc<Executor>) -> Self {
        Self::by_clock(executor, Arc::new(now_ms))
    }

    /// The same with blocks whose times are those of `clock`.
    pub fn by_clock(executor: Arc<Executor>, clock: Clock) -> Self {
        let (queue, pending) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(executor, clock, pending, stop.clone()));
        Self { client: Client { queue }, stop, task }
    }

    /// Waits until no more blocks can be made, and says why.
    pub async fn failed(&mut self) -> NodeError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            _ => NodeError::Unusable,
        }
    }

    /// Finishes the block that is being made, and makes no more.
    pub async fn stop(self) {
        self.stop.cancel();
        if !self.task.is_finished() {
            let _ = self.task.await;
        }
    }
}

impl Client {
    /// Hands in a transaction.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, transaction: Bytes) -> Result<(), SubmitError> {
        let (taken, answer) = oneshot::channel();
        self.queue.try_send(Pending { transaction, taken }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Whether transactions can be decided now.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ready(&self) -> Result<(), String> {
        if self.queue.is_closed() { Err("the node is stopping".to_owned()) } else { Ok(()) }
    }
}

async fn run(
    executor: Arc<Executor>,
    clock: Clock,
    mut queue: mpsc::Receiver<Pending>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let mut again = executor.at()?.is_none() || executor.is_clock_pending()?;
    loop {
        let mut pending = Vec::new();
        if !again {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                count = queue.recv_many(&mut pending, 1) => if count == 0 { return Ok(()) },
            }
        }
        let mut bytes = pending.iter().map(|next| next.transaction.0.len()).sum::<usize>();
        while bytes < MAX_BLOCK_BYTES
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.transaction.0.len();
            pending.push(next);
        }
        let before = executor.root()?;
        let (maker, now) = (executor.clone(), clock());
        let made = tokio::task::spawn_blocking(move || make(&maker, now, pending, again)).await;
        made.unwrap_or(Err(NodeError::Unusable))?;
        executor.commit().await?;
        again = executor.root()? != before;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Makes a block of the transactions that the board would take `now`; without any, only if `even_empty`.
fn make(executor: &Executor, now: u64, pending: Vec<Pending>, even_empty: bool) -> Result<(), NodeError> {
    let mut taken = Vec::with_capacity(pending.len());
    for Pending { transaction, taken: answer } in pending {
        let checked = executor.check(&transaction.0, now);
        // Who has gone away meanwhile still gets its transaction decided.
        let _ = answer.send(checked.map_err(|code| SubmitError::Refused { code }));
        if checked.is_ok() {
            taken.push(transaction);
        }
    }
    if taken.is_empty() && !even_empty {
        return Ok(());
    }
    let last = executor.at()?;
    let height = last.map_or(1, |at| at.height.saturating_add(1));
    let time_ms = last.map_or(now, |at| now.max(at.time_ms.saturating_add(1)));
    let id = TaggedHash::new("solo-block").value(&height).finish();
    let transactions = taken.iter().map(|transaction| transaction.0.as_slice()).collect();
    executor.finalize(&Proposal { id, height, time_ms, transactions }).map(drop)
}

fn stopped() -> SubmitError {
    SubmitError::Unavailable { reason: "the node is stopping".to_owned() }
}

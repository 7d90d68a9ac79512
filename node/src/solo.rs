//! A node that orders blocks by itself.

use crate::consensus::SubmitError;
use tokio::sync::{mpsc, oneshot};
use wire::Bytes;

/// Most transactions that wait for a block.
const QUEUE: usize = 1024;

/// Hands transactions to the loop that makes the blocks.
#[derive(Clone)]
pub struct Client {
    queue: mpsc::Sender<Pending>,
}

/// The other end of a [`Client`].
pub struct Queue {
    pending: mpsc::Receiver<Pending>,
}

/// A transaction and who waits to hear whether it was taken.
pub struct Pending {
    /// The transaction.
    pub transaction: Bytes,
    /// Is told whether it was taken.
    pub taken: oneshot::Sender<Result<(), SubmitError>>,
}

/// A client and its queue.
pub fn queue() -> (Client, Queue) {
    let (queue, pending) = mpsc::channel(QUEUE);
    (Client { queue }, Queue { pending })
}

impl Queue {
    /// The next transaction; none once all clients are gone.
    pub async fn next(&mut self) -> Option<Pending> {
        self.pending.recv().await
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

fn stopped() -> SubmitError {
    SubmitError::Unavailable { reason: "the node is stopping".to_owned() }
}

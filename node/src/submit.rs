//! Takes operations for the batcher, and tells what became of them.

use crate::{batcher::Batcher, bundler::Bundler, consensus::Consensus, feed::Feed, payloads::Records, store::Store};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use wire::{BoardAt, Code, Envelope, Operation, Receipt, Verified};

/// Bytes of all operations that wait, and what each counts beside its own.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
const OPERATION_BYTES: usize = 1024;
/// Operations on their way to the batcher.
const QUEUE: usize = 1024;

/// Asks the rules what they would say now.
pub type Check = Arc<dyn Fn(&Verified<Operation>) -> Result<(), Code> + Send + Sync>;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The board has decided, in the block of this receipt or an earlier one than `at`.
    Decided {
        /// The newest block then.
        at: BoardAt,
        /// What it did.
        receipt: Receipt,
    },
    /// Consensus has it; told only to who does not wait for more.
    HandedIn,
    /// It was not handed in, or it would change nothing.
    Refused {
        /// Why.
        code: Code,
        /// For people.
        detail: String,
    },
}

/// An operation that was verified and has its place in the queue.
pub struct Post {
    pub(crate) verified: Verified<Operation>,
    pub(crate) envelope: Envelope,
    pub(crate) bytes: usize,
    pub(crate) until: Instant,
    pub(crate) decided: bool,
    pub(crate) reply: oneshot::Sender<Fate>,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Takes operations for the batcher. Clones share it.
#[derive(Clone)]
pub struct Submitter {
    posts: mpsc::Sender<Post>,
    places: Arc<Semaphore>,
}

impl Submitter {
    /// Starts the batcher of one node, which asks `rules` what they would say and what they know of a session. It stops with `shutdown`.
    pub fn start(
        store: Store,
        feed: &Feed,
        consensus: Consensus,
        rules: (Check, Records),
        bundler: Bundler,
        shutdown: CancellationToken,
    ) -> Self {
        let (posts, queue) = mpsc::channel(QUEUE);
        let batcher = Batcher::new(store, feed, consensus, rules, bundler);
        tokio::spawn(batcher.run(queue, shutdown));
        Self { posts, places: Arc::new(Semaphore::new(MAX_WAITING_BYTES)) }
    }

    /// Queues an operation, which is handed in until it is decided or `until` has come. With `decided` the answer is told when
    /// the board has decided, without when consensus has the operation. Dropping the receiver withdraws the wish.
    ///
    /// # Errors
    /// [`Code::Overloaded`], or [`Code::Unavailable`] if the node is stopping.
    pub async fn submit(
        &self,
        verified: Verified<Operation>,
        envelope: Envelope,
        until: Instant,
        decided: bool,
    ) -> Result<oneshot::Receiver<Fate>, Code> {
        let bytes = borsh::object_length(&envelope).map_err(|_| Code::Malformed)?;
        let weight = u32::try_from(bytes.saturating_add(OPERATION_BYTES)).map_err(|_| Code::RequestTooLarge)?;
        let place = Arc::clone(&self.places).try_acquire_many_owned(weight).map_err(|_| Code::Overloaded)?;
        let (reply, fate) = oneshot::channel();
        let post = Post { verified, envelope, bytes, until, decided, reply, place };
        self.posts.send(post).await.map_err(|_| Code::Unavailable)?;
        Ok(fate)
    }
}

/// True if handing the same operation in again can bring nothing else.
pub fn is_settled(code: Code) -> bool {
    matches!(code, Code::Accepted | Code::DuplicateSame)
}

//! The batcher: collects operations for a few milliseconds into one transaction, hands it to consensus, and does so again until
//! each operation is decided or nobody waits for it any more.

use crate::{
    consensus::{Consensus, SubmitError},
    feed::{DecidedBlock, Feed},
    store::Store,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use wire::{
    BoardAt, Code, Envelope, MailboxId, Operation, OperationId, PublicKey, Receipt, SessionId, Transaction, Verified,
    limits::{MAX_TRANSACTION_OPERATIONS, TARGET_TRANSACTION_BYTES},
};

/// From the first operation of a batch until it is handed on.
const COLLECT: Duration = Duration::from_millis(2);
/// An operation that is not decided after this time is handed on again.
const RESUBMIT: Duration = Duration::from_secs(2);
/// How often the batcher looks for operations to hand on again or to forget.
const ROUNDS: Duration = Duration::from_millis(200);
/// Transactions that consensus is being handed at the same time.
const SUBMISSIONS: usize = 16;
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
    verified: Verified<Operation>,
    envelope: Envelope,
    bytes: usize,
    until: Instant,
    decided: bool,
    reply: oneshot::Sender<Fate>,
    place: OwnedSemaphorePermit,
}

/// Takes operations for the batcher. Clones share it.
#[derive(Clone)]
pub struct Submitter {
    posts: mpsc::Sender<Post>,
    places: Arc<Semaphore>,
}

impl Submitter {
    /// Starts the batcher of one node. It stops with `shutdown`.
    pub fn start(store: Store, feed: &Feed, consensus: Consensus, check: Check, shutdown: CancellationToken) -> Self {
        let (posts, queue) = mpsc::channel(QUEUE);
        let batcher = Batcher {
            store,
            consensus,
            check,
            decided: feed.decided(),
            waiting: BTreeMap::new(),
            slots: BTreeMap::new(),
            held: Vec::new(),
            forming: VecDeque::new(),
            forming_bytes: 0,
            flush_at: None,
            submissions: JoinSet::new(),
        };
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

/// An operation until it is decided.
struct Waiting {
    verified: Verified<Operation>,
    envelope: Envelope,
    bytes: usize,
    until: Instant,
    /// When to hand it on again; none while it is in a batch that forms or is being handed on.
    due: Option<Instant>,
    /// True once consensus had it.
    taken: bool,
    /// True once it was refused as something that the board has done already.
    repeated: bool,
    want_taken: Vec<oneshot::Sender<Fate>>,
    want_decided: Vec<oneshot::Sender<Fate>>,
    /// True if it goes on without anybody waiting, since somebody was told that it was handed in.
    promised: bool,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    fn tell_all(self, fate: &Fate) {
        for reply in self.want_taken.into_iter().chain(self.want_decided) {
            // Who has gone away need not be told.
            let _ = reply.send(fate.clone());
        }
    }

    fn is_wanted(&mut self, now: Instant) -> bool {
        self.want_decided.retain(|reply| !reply.is_closed());
        self.want_taken.retain(|reply| !reply.is_closed());
        self.until > now && (self.promised || !self.want_decided.is_empty() || !self.want_taken.is_empty())
    }
}

/// What only one operation can have: the board takes a write to it, an abort, an acknowledgement only once.
type Slot = (PublicKey, SessionId, Option<MailboxId>, &'static str);

fn slot(verified: &Verified<Operation>) -> Option<Slot> {
    let (mailbox, what) = match verified.body() {
        Operation::Write { mailbox, .. } => (Some(*mailbox), "write"),
        Operation::Terminate { .. } => (None, "terminate"),
        Operation::Abort { .. } => (None, "abort"),
        Operation::Ack { .. } => (None, "ack"),
        Operation::CreateSession { .. }
        | Operation::Tick { .. }
        | Operation::Generate { .. }
        | Operation::ReplaceExchangeKey { .. }
        | Operation::RenewKey { .. } => return None,
    };
    Some((verified.author(), verified.body().session()?, mailbox, what))
}

type Submission = (Vec<OperationId>, Result<(), SubmitError>);

struct Batcher {
    store: Store,
    consensus: Consensus,
    check: Check,
    decided: broadcast::Receiver<Arc<DecidedBlock>>,
    waiting: BTreeMap<OperationId, Waiting>,
    /// Which of the operations that wait has each of their slots.
    slots: BTreeMap<Slot, OperationId>,
    /// Operations whose slot another one has, until that is decided. All but one would be refused, but before they are they would
    /// fill blocks, beyond the author's quota.
    held: Vec<Post>,
    /// Operations for the next transactions with their sizes, in order of arrival.
    forming: VecDeque<(OperationId, usize)>,
    forming_bytes: usize,
    /// When the forming batch is handed on; none if it is empty.
    flush_at: Option<Instant>,
    submissions: JoinSet<Submission>,
}

impl Batcher {
    async fn run(mut self, mut queue: mpsc::Receiver<Post>, shutdown: CancellationToken) {
        let mut rounds = interval(ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let flush_at = self.flush_at.filter(|_| self.submissions.len() < SUBMISSIONS);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                block = self.decided.recv() => match block {
                    Ok(block) => self.settle(&block).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.look_up(self.waiting.keys().copied().collect()).await,
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                Some(done) = self.submissions.join_next() => match done {
                    Ok((operations, result)) => self.submitted(operations, result).await,
                    Err(error) => tracing::error!(%error, "handing in a transaction failed"),
                },
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => self.flush(),
                post = queue.recv() => match post {
                    Some(post) => self.admit(post),
                    None => break,
                },
                _ = rounds.tick() => self.go_round().await,
            }
            metrics::gauge!("white_city_waiting_operations").set(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        }
        let stopping = Fate::Refused { code: Code::Unavailable, detail: "the node is stopping".to_owned() };
        for waiting in self.waiting.into_values() {
            waiting.tell_all(&stopping);
        }
        for post in self.held {
            let _ = post.reply.send(stopping.clone());
        }
        queue.close();
        while let Ok(post) = queue.try_recv() {
            let _ = post.reply.send(stopping.clone());
        }
    }

    /// The same operation again joins the one that waits.
    fn admit(&mut self, post: Post) {
        let operation = OperationId(post.verified.digest().0);
        if let Some(slot) = slot(&post.verified) {
            let first = *self.slots.entry(slot).or_insert(operation);
            if first != operation && self.waiting.contains_key(&first) {
                self.held.push(post);
                return;
            }
            self.slots.insert(slot, operation);
        }
        let waiting = self.waiting.entry(operation).or_insert_with(|| {
            self.forming.push_back((operation, post.bytes));
            self.forming_bytes = self.forming_bytes.saturating_add(post.bytes);
            self.flush_at.get_or_insert(Instant::now() + COLLECT);
            Waiting {
                verified: post.verified,
                envelope: post.envelope,
                bytes: post.bytes,
                until: post.until,
                due: None,
                taken: false,
                repeated: false,
                want_taken: Vec::new(),
                want_decided: Vec::new(),
                promised: false,
                _place: post.place,
            }
        });
        waiting.until = waiting.until.max(post.until);
        if post.decided {
            waiting.want_decided.push(post.reply);
        } else if waiting.taken {
            waiting.promised = true;
            let _ = post.reply.send(Fate::HandedIn);
        } else {
            waiting.want_taken.push(post.reply);
        }
        let full = self.forming.len() >= MAX_TRANSACTION_OPERATIONS || self.forming_bytes >= TARGET_TRANSACTION_BYTES;
        if full {
            self.flush_at = Some(Instant::now());
        }
    }

    /// Hands one transaction on. What does not fit forms the next.
    fn flush(&mut self) {
        let mut operations = Vec::new();
        let mut envelopes = Vec::new();
        let mut bytes = 0_usize;
        while let Some((operation, own)) = self.forming.front().copied() {
            if let Some(waiting) = self.waiting.get(&operation) {
                let size = bytes.saturating_add(own);
                let fits = envelopes.len() < MAX_TRANSACTION_OPERATIONS && size <= TARGET_TRANSACTION_BYTES;
                if !fits && !envelopes.is_empty() {
                    break;
                }
                bytes = size;
                operations.push(operation);
                envelopes.push(waiting.envelope.clone());
            }
            self.forming.pop_front();
            self.forming_bytes = self.forming_bytes.saturating_sub(own);
        }
        self.flush_at = (!self.forming.is_empty()).then(Instant::now);
        if envelopes.is_empty() {
            return;
        }
        metrics::histogram!("white_city_batch_operations")
            .record(f64::from(u32::try_from(envelopes.len()).unwrap_or(u32::MAX)));
        let consensus = self.consensus.clone();
        self.submissions.spawn(async move {
            let result = consensus.submit(Transaction::inline(envelopes).encode()).await;
            (operations, result)
        });
    }

    async fn submitted(&mut self, operations: Vec<OperationId>, result: Result<(), SubmitError>) {
        let due = Some(Instant::now() + RESUBMIT);
        let (code, detail) = match result {
            Ok(()) => {
                for operation in operations {
                    let Some(waiting) = self.waiting.get_mut(&operation) else { continue };
                    (waiting.taken, waiting.due) = (true, due);
                    for reply in waiting.want_taken.drain(..) {
                        waiting.promised |= reply.send(Fate::HandedIn).is_ok();
                    }
                }
                return;
            }
            // It is decided, or will be: then the receipt is found now or comes with its block.
            Err(SubmitError::AlreadyKnown) => return Box::pin(self.known(operations)).await,
            Err(SubmitError::Refused { code }) => return self.refused(operations, code).await,
            Err(SubmitError::Full) => (Code::Overloaded, "consensus has more transactions than it can hold".to_owned()),
            Err(SubmitError::Unavailable { reason }) => (Code::Unavailable, reason),
        };
        tracing::warn!(%code, detail, "a transaction was not taken");
        for operation in operations {
            let Some(mut waiting) = self.waiting.remove(&operation) else { continue };
            if waiting.taken {
                // An earlier transaction may still bring it onto the board.
                waiting.due = due;
                self.waiting.insert(operation, waiting);
            } else {
                waiting.tell_all(&Fate::Refused { code, detail: detail.clone() });
            }
        }
    }

    async fn known(&mut self, operations: Vec<OperationId>) {
        self.look_up(operations.clone()).await;
        self.submitted(operations, Ok(())).await;
    }

    /// The transaction as a whole would change nothing: each operation is either decided or would be refused for a reason of
    /// its own.
    async fn refused(&mut self, operations: Vec<OperationId>, code: Code) {
        self.look_up(operations.clone()).await;
        let alone = operations.len() == 1;
        for operation in operations {
            let Some(mut waiting) = self.waiting.remove(&operation) else { continue };
            let now = (self.check)(&waiting.verified);
            match now.err().or(alone.then_some(code)) {
                // Executed, but its block is not stored yet: it is about to be announced. If not, then it was another operation
                // that did the same, an abort for another reason for example, and this one will never have a receipt.
                Some(Code::DuplicateSame) if !waiting.repeated => {
                    waiting.repeated = true;
                    waiting.due = Some(Instant::now() + ROUNDS);
                    self.waiting.insert(operation, waiting);
                }
                None => {
                    waiting.due = Some(Instant::now() + RESUBMIT);
                    self.waiting.insert(operation, waiting);
                }
                Some(code) => waiting.tell_all(&Fate::Refused { code, detail: code.meaning().to_owned() }),
            }
        }
    }

    async fn settle(&mut self, block: &DecidedBlock) {
        let mut duplicates = Vec::new();
        for receipt in &block.receipts {
            if receipt.code == Code::DuplicateSame {
                duplicates.push(receipt.operation);
            } else if let Some(waiting) = self.waiting.remove(&receipt.operation) {
                waiting.tell_all(&Fate::Decided { at: block.at, receipt: *receipt });
            }
        }
        // A duplicate's author wants the receipt of the original.
        self.look_up(duplicates).await;
        self.admit_held();
    }

    /// Admits what was held unless its slot is still another's, or now taken.
    fn admit_held(&mut self) {
        let now = Instant::now();
        for post in std::mem::take(&mut self.held) {
            match (self.check)(&post.verified) {
                _ if post.until <= now || post.reply.is_closed() => {}
                Err(code) if code != Code::DuplicateSame => {
                    let _ = post.reply.send(Fate::Refused { code, detail: code.meaning().to_owned() });
                }
                _ => self.admit(post),
            }
        }
    }

    /// Tells who waits for operations that the store knows to be decided.
    async fn look_up(&mut self, operations: Vec<OperationId>) {
        for operation in operations {
            if !self.waiting.contains_key(&operation) {
                continue;
            }
            match self.store.receipt(&operation).await {
                Ok(found) => {
                    let Some(receipt) = found.value.filter(|receipt| is_settled(receipt.code)) else { continue };
                    if let Some(waiting) = self.waiting.remove(&operation) {
                        waiting.tell_all(&Fate::Decided { at: found.at, receipt });
                    }
                }
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot look up a receipt"),
            }
        }
    }

    /// Forgets what nobody waits for and hands on again what takes too long.
    async fn go_round(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, waiting| waiting.is_wanted(now));
        self.slots.retain(|_, operation| self.waiting.contains_key(operation));
        self.admit_held();
        let is_due = |waiting: &Waiting| waiting.due.is_some_and(|due| due <= now);
        let late: Vec<OperationId> =
            self.waiting.iter().filter(|(_, waiting)| is_due(waiting)).map(|(operation, _)| *operation).collect();
        if late.is_empty() {
            return;
        }
        self.look_up(late.clone()).await;
        for operation in late {
            if let Some(waiting) = self.waiting.get_mut(&operation) {
                waiting.due = None;
                self.forming.push_back((operation, waiting.bytes));
                self.forming_bytes = self.forming_bytes.saturating_add(waiting.bytes);
                self.flush_at.get_or_insert(now);
            }
        }
    }
}

/// True if handing the same operation in again can bring nothing else.
pub fn is_settled(code: Code) -> bool {
    matches!(code, Code::Accepted | Code::DuplicateSame)
}

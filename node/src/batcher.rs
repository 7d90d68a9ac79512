//! The batcher: collects operations for a few milliseconds into one transaction, hands it to consensus, and does so again until
//! each operation is decided or nobody waits for it any more. Those whose payloads travel beside consensus are first delivered to
//! the nodes in a bundle.

use crate::{
    abci::now_ms,
    bundler::{Bundler, Delivered, is_solution},
    consensus::{Consensus, SubmitError},
    feed::{DecidedBlock, Feed},
    forming::Forming,
    pace::{Pace, SHORTEST},
    payloads::Records,
    store::Store,
    submit::{Check, Fate, Post, is_settled},
    waiting::{Slot, Waiting, slot},
};
use ledger::Event;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{broadcast, mpsc},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use wire::{
    Code, ConfirmedBundle, Operation, OperationId, Transaction,
    limits::{
        MAX_BUNDLE_OPERATIONS, MAX_BUNDLE_SOLUTIONS, MAX_TRANSACTION_OPERATIONS, TARGET_DELIVERY_BYTES,
        TARGET_SOLUTIONS_BYTES, TARGET_TRANSACTION_BYTES,
    },
};

/// An operation that is not decided after this time is handed on again.
const RESUBMIT: Duration = Duration::from_secs(2);
/// How often the batcher looks for operations to hand on again or to forget.
const ROUNDS: Duration = Duration::from_millis(200);
/// Transactions that consensus is being handed at the same time.
const SUBMISSIONS: usize = 16;
/// Bundles that are being delivered at the same time.
const DELIVERIES: usize = 4;
/// The same for solutions, each of which every node has to verify: from the first of a bundle until it is delivered, and bundles at the
/// same time.
const COLLECT_SOLUTIONS: Duration = Duration::from_millis(100);
const SOLUTION_DELIVERIES: usize = 4;
/// A payload that too few nodes have stored is delivered again after this time, so often in all.
const DELIVER_AGAIN: Duration = Duration::from_millis(400);
const MAX_FAILURES: u32 = 8;

type Submission = (Vec<OperationId>, Result<(), SubmitError>);
type Delivery = (Vec<OperationId>, Result<Delivered, Code>);

pub(crate) struct Batcher {
    store: Store,
    consensus: Consensus,
    check: Check,
    records: Records,
    bundler: Bundler,
    decided: broadcast::Receiver<Arc<DecidedBlock>>,
    waiting: BTreeMap<OperationId, Waiting>,
    pace: Pace,
    /// Which of the operations that wait has each of their slots.
    slots: BTreeMap<Slot, OperationId>,
    /// Operations whose slot another one has, until that is decided. All but one would be refused, but before they are they would
    /// fill blocks, beyond the author's quota.
    held: Vec<Post>,
    /// Operations for the next transactions.
    forming: Forming,
    submissions: JoinSet<Submission>,
    /// Operations whose payloads travel beside, for the next bundles.
    bundling: Forming,
    deliveries: JoinSet<Delivery>,
    /// The same for solutions, so that no write waits for proofs of work.
    solutions: Forming,
    solution_deliveries: JoinSet<Delivery>,
}

impl Batcher {
    pub(crate) fn new(
        store: Store,
        feed: &Feed,
        consensus: Consensus,
        (check, records): (Check, Records),
        bundler: Bundler,
    ) -> Self {
        Self {
            store,
            consensus,
            check,
            records,
            bundler,
            decided: feed.decided(),
            waiting: BTreeMap::new(),
            pace: Pace::default(),
            slots: BTreeMap::new(),
            held: Vec::new(),
            forming: Forming::new(MAX_TRANSACTION_OPERATIONS, TARGET_TRANSACTION_BYTES),
            submissions: JoinSet::new(),
            bundling: Forming::new(MAX_BUNDLE_OPERATIONS, TARGET_DELIVERY_BYTES),
            deliveries: JoinSet::new(),
            solutions: Forming::new(MAX_BUNDLE_SOLUTIONS, TARGET_SOLUTIONS_BYTES),
            solution_deliveries: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Post>, shutdown: CancellationToken) {
        let mut rounds = interval(ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let flush_at = self.forming.due().filter(|_| self.submissions.len() < SUBMISSIONS);
            let deliver_at = self.bundling.due().filter(|_| self.deliveries.len() < DELIVERIES);
            let solutions_at = self.solutions.due().filter(|_| self.solution_deliveries.len() < SOLUTION_DELIVERIES);
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
                Some(done) = next_delivery(&mut self.deliveries, &mut self.solution_deliveries) => match done {
                    Ok((operations, result)) => self.delivered(operations, result),
                    Err(error) => tracing::error!(%error, "delivering a bundle failed"),
                },
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => self.flush(),
                () = sleep_until(deliver_at.unwrap_or_else(Instant::now)), if deliver_at.is_some() => {
                    let operations = self.bundling.take(|operation| self.waiting.contains_key(operation));
                    self.deliveries.spawn(self.delivery(&operations));
                }
                () = sleep_until(solutions_at.unwrap_or_else(Instant::now)), if solutions_at.is_some() => {
                    let operations = self.solutions.take(|operation| self.waiting.contains_key(operation));
                    self.solution_deliveries.spawn(self.delivery(&operations));
                }
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
        let is_new = !self.waiting.contains_key(&operation);
        let waiting = self.waiting.entry(operation).or_insert_with(|| Waiting {
            verified: post.verified,
            envelope: post.envelope,
            bytes: post.bytes,
            until: post.until,
            stored: None,
            failures: 0,
            due: None,
            taken: false,
            repeated: false,
            want_taken: Vec::new(),
            want_decided: Vec::new(),
            promised: false,
            _place: post.place,
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
        if is_new {
            let collect = self.collect(&operation);
            self.queue(operation, collect);
        }
    }

    /// How long an operation that has come now may wait for others.
    fn collect(&mut self, operation: &OperationId) -> Duration {
        let body = self.waiting.get(operation).map(|waiting| waiting.verified.body());
        let Some(Operation::Write { mailbox, .. }) = body else { return SHORTEST };
        let records = &self.records;
        self.pace.admit(*mailbox, Instant::now(), now_ms(), || records(&mailbox.session))
    }

    /// Puts an operation where it goes next: into a transaction, or into a bundle if its payload travels beside and has not been
    /// stored.
    fn queue(&mut self, operation: OperationId, collect: Duration) {
        let Some(waiting) = self.waiting.get_mut(&operation) else { return };
        let is_fresh = waiting.stored.as_ref().is_some_and(|(stored, _)| self.bundler.is_fresh(&stored.bundle));
        if is_fresh {
            self.forming.push(operation, waiting.bytes.saturating_sub(waiting.envelope.payload.0.len()), collect);
        } else if self.bundler.travels_beside(waiting.verified.body()) {
            waiting.stored = None;
            if is_solution(waiting.verified.body()) {
                let collect = if collect.is_zero() { collect } else { COLLECT_SOLUTIONS };
                self.solutions.push(operation, waiting.bytes, collect);
            } else {
                self.bundling.push(operation, waiting.bytes, collect);
            }
        } else {
            self.forming.push(operation, waiting.bytes, collect);
        }
    }

    /// Delivers one bundle of operations that wait.
    fn delivery(&self, operations: &[OperationId]) -> impl Future<Output = Delivery> + Send + 'static {
        let find = |operation: &OperationId| Some((*operation, self.waiting.get(operation)?));
        let found: Vec<_> = operations.iter().filter_map(find).collect();
        let writes: Vec<_> =
            found.iter().map(|(_, waiting)| (waiting.verified.clone(), waiting.envelope.clone())).collect();
        let operations: Vec<OperationId> = found.into_iter().map(|(operation, _)| operation).collect();
        let bundler = self.bundler.clone();
        async move {
            if writes.is_empty() {
                return (operations, Err(Code::Malformed));
            }
            metrics::histogram!("white_city_bundle_operations").record(count(writes.len()));
            let started = Instant::now();
            let result = bundler.deliver(writes).await;
            metrics::histogram!("white_city_delivery_seconds").record(started.elapsed().as_secs_f64());
            (operations, result)
        }
    }

    /// What enough nodes have stored goes into the next transaction. What they have not is delivered again a few times, for nodes
    /// may be starting or behind; if the rules would not take it, its author is told.
    fn delivered(&mut self, operations: Vec<OperationId>, result: Result<Delivered, Code>) {
        let (bundle, stored) = match result {
            Ok(Delivered { bundle, stored }) => (Some(bundle), stored),
            Err(_) => (None, vec![false; operations.len()]),
        };
        for ((operation, stored), place) in operations.into_iter().zip(stored).zip(0_u16..) {
            let Some(waiting) = self.waiting.get_mut(&operation) else { continue };
            if let Some(bundle) = bundle.as_ref().filter(|_| stored) {
                waiting.stored = Some((Arc::clone(bundle), place));
                self.queue(operation, Duration::ZERO);
                continue;
            }
            waiting.failures = waiting.failures.saturating_add(1);
            let refused = (self.check)(&waiting.verified).err().filter(|code| *code != Code::DuplicateSame);
            let given_up = (waiting.failures >= MAX_FAILURES).then_some(Code::NotStored);
            match refused.or(given_up).filter(|_| !waiting.taken) {
                None => waiting.due = Some(Instant::now() + DELIVER_AGAIN),
                Some(code) => {
                    if let Some(waiting) = self.waiting.remove(&operation) {
                        waiting.tell_all(&Fate::Refused { code, detail: code.meaning().to_owned() });
                    }
                }
            }
        }
    }

    /// Hands one transaction on. What does not fit, or is in another bundle, forms the next.
    fn flush(&mut self) {
        let waiting = &self.waiting;
        let candidates = self.forming.take(|operation| waiting.contains_key(operation));
        let (mut operations, mut items, mut bundle) = (Vec::new(), Vec::new(), None::<Arc<ConfirmedBundle>>);
        let mut later = Vec::new();
        for operation in candidates {
            let Some(waiting) = self.waiting.get(&operation) else { continue };
            match (&waiting.stored, &bundle) {
                (Some((own, _)), Some(bundle)) if !Arc::ptr_eq(own, bundle) => {
                    later.push(operation);
                    continue;
                }
                (Some((own, _)), None) => bundle = Some(Arc::clone(own)),
                _ => {}
            }
            operations.push(operation);
            items.push(waiting.item());
        }
        later.into_iter().for_each(|operation| self.queue(operation, Duration::ZERO));
        if items.is_empty() {
            return;
        }
        metrics::histogram!("white_city_batch_operations").record(count(items.len()));
        let consensus = self.consensus.clone();
        self.submissions.spawn(async move {
            let bundle = bundle.as_deref().cloned();
            let result = consensus.submit(Transaction { items, bundle }.encode()).await;
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
                // Its bundle has expired on the way.
                Some(Code::NotStored) => {
                    (waiting.stored, waiting.due) = (None, Some(Instant::now()));
                    self.waiting.insert(operation, waiting);
                }
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
        let (now, records) = (Instant::now(), &self.records);
        for event in &block.events {
            if let Event::Entry(entry) = event {
                let waited = self.waiting.contains_key(&entry.operation);
                self.pace.decide(entry, waited, now, block.at.time_ms, || records(&entry.mailbox.session));
            }
        }
        let mut duplicates = Vec::new();
        for receipt in &block.receipts {
            if receipt.code == Code::DuplicateSame {
                duplicates.push(receipt.operation);
            } else if receipt.code == Code::NotStored {
                // Its bundle has expired on the way, or somebody else has handed it in without one.
                if let Some(waiting) = self.waiting.get_mut(&receipt.operation) {
                    (waiting.stored, waiting.due) = (None, Some(Instant::now()));
                }
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
        self.pace.tidy(now);
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
                self.queue(operation, Duration::ZERO);
            }
        }
    }
}

/// The next bundle that was delivered; none if nothing is being delivered.
async fn next_delivery(
    writes: &mut JoinSet<Delivery>,
    solutions: &mut JoinSet<Delivery>,
) -> Option<Result<Delivery, JoinError>> {
    tokio::select! {
        Some(done) = writes.join_next() => Some(done),
        Some(done) = solutions.join_next() => Some(done),
        else => None,
    }
}

fn count(length: usize) -> f64 {
    f64::from(u32::try_from(length).unwrap_or(u32::MAX))
}

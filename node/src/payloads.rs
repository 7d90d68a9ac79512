//! Payloads beside consensus, at one node: stored before they are confirmed, kept until their session is erased, fetched from other
//! nodes if the board has accepted a write whose payload is not here.

mod backups;
pub mod examiner;
pub mod fetch;
mod follower;
mod lanes;
pub mod routes;
mod shelf;
mod solutions;

use crate::{
    abci::now_ms,
    feed::Feed,
    keeper::Keeper,
    store::{PayloadStore, Pending, Slot, Store, StoreError, Wanted},
    submit::Check,
};
use examiner::{Examiner, Verify};
use ledger::StoredEntry;
use rand_core::OsRng;
use schnorrkel::Keypair;
use shelf::{Shelf, Verdict};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex, MutexGuard, Notify, Semaphore, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use wire::{
    BoardAt, Bundle, Bytes, Code, Confirmation, Delivery, Envelope, NetworkParameters, Operation, OperationId,
    PublicKey, SessionId, SessionRecord, Signed, Verified, limits::MAX_BUNDLE_MS, signed::verify_all,
};

/// A node that is behind the gateway's board waits so long to catch up before it judges a delivery.
const CATCH_UP: Duration = Duration::from_secs(2);
/// A read waits so long for a payload that is being fetched.
pub const READ_PATIENCE: Duration = Duration::from_secs(2);

/// The record of a session as the rules see it now.
pub type Records = Arc<dyn Fn(&SessionId) -> Option<SessionRecord> + Send + Sync>;

/// What a node's payloads are made of.
pub struct Parts {
    /// Their database.
    pub rows: PayloadStore,
    /// The board as stored.
    pub board: Store,
    /// What tells of new blocks.
    pub feed: Arc<Feed>,
    /// What the rules would say of an operation now.
    pub check: Check,
    /// What the rules know of a session.
    pub records: Records,
    /// What verifies solutions: [`examiner::Task::verify`], but for tests.
    pub verify: Verify,
    /// What opens the node's shares of backups.
    pub keeper: Keeper,
    /// The node's identity key, which signs confirmations.
    pub identity: Keypair,
    /// What genesis fixed.
    pub parameters: NetworkParameters,
}

/// The payloads of one node. Clones share them.
#[derive(Clone)]
pub struct Payloads(Arc<Inner>);

struct Inner {
    /// Places for checks of backups that clients bring, and for those that other nodes deliver: neither keeps the other waiting.
    brought: Semaphore,
    delivered: Semaphore,
    rows: PayloadStore,
    board: Store,
    feed: Arc<Feed>,
    check: Check,
    records: Records,
    examiner: Examiner,
    keeper: Keeper,
    identity: Keypair,
    parameters: NetworkParameters,
    /// `None` after the database has failed, until it is read again.
    shelf: Mutex<Option<Shelf>>,
    /// Counts payloads that have arrived late, and erasures.
    arrivals: watch::Sender<u64>,
    /// Told when a payload is missing.
    wanted: Notify,
    /// Told when a session's payloads were deleted.
    erasures: Arc<Notify>,
    /// What follows the board.
    follower: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// One payload that was delivered, and checked against its operation.
struct Item {
    operation: Verified<Operation>,
    payload: Bytes,
}

impl Payloads {
    /// Reads what is here, drops what is of no more use, and follows the board from now on, until `shutdown`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Database`], or [`StoreError::Thread`].
    pub async fn start(parts: Parts, shutdown: CancellationToken) -> Result<Self, StoreError> {
        let Parts { rows, board, feed, check, records, verify, keeper, identity, parameters } = parts;
        let examiner =
            Examiner::start(parameters.nodes.len(), verify).map_err(|source| StoreError::Thread { source })?;
        let (shelf, arrivals, wanted) = (Mutex::new(None), watch::Sender::new(0), Notify::new());
        let (decided, follower, erasures) = (feed.decided(), std::sync::Mutex::default(), Arc::new(Notify::new()));
        let (brought, delivered) = (Semaphore::new(1), Semaphore::new(1));
        let inner = Inner {
            brought,
            delivered,
            rows,
            board,
            feed,
            check,
            records,
            examiner,
            keeper,
            identity,
            parameters,
            shelf,
            arrivals,
            wanted,
            erasures: Arc::clone(&erasures),
            follower,
        };
        let payloads = Self(Arc::new(inner));
        drop(payloads.0.shelf().await?);
        // An erasure may have been cut off by the end of the process.
        payloads.0.erasures.notify_one();
        let weak = Arc::downgrade(&payloads.0);
        let follower = tokio::spawn(async move {
            tokio::join!(
                follower::follow(weak.clone(), decided, shutdown.clone()),
                follower::purge(weak, erasures, shutdown)
            );
        });
        *payloads.0.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(follower);
        Ok(payloads)
    }

    /// Waits until what is being written is written, and closes the database. The shutdown must have been told.
    pub async fn close(&self) {
        let follower = self.0.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower {
            let _ = follower.await;
        }
        self.0.examiner.close().await;
        self.0.rows.close().await;
    }

    /// This node's identity.
    pub fn identity(&self) -> PublicKey {
        PublicKey(self.0.identity.public.to_bytes())
    }

    /// What opens this node's shares of backups.
    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// What the rules know of a session.
    pub(crate) fn records(&self) -> Records {
        Arc::clone(&self.0.records)
    }

    /// What genesis fixed.
    pub fn parameters(&self) -> &NetworkParameters {
        &self.0.parameters
    }

    /// This node's place in genesis.
    fn own(&self) -> usize {
        let identity = self.identity();
        self.0.parameters.nodes.iter().position(|node| node.identity == identity).unwrap_or(usize::MAX)
    }

    /// The newest block.
    pub fn at(&self) -> Option<BoardAt> {
        *self.0.feed.head().borrow()
    }

    /// Takes what the node `gateway` has delivered: checks everything, stores what is good, and only then confirms. What is
    /// refused is told by its place.
    ///
    /// # Errors
    /// [`Code::NotPermitted`] for another's delivery, [`Code::HeightOutOfRange`] for an expiry that is past or too far ahead,
    /// [`Code::Unavailable`] if the database failed.
    pub async fn take(&self, gateway: usize, delivery: Delivery) -> Result<Signed<Confirmation>, Code> {
        let sender = self.0.parameters.nodes.get(gateway).map(|node| node.identity);
        if sender != Some(delivery.gateway) {
            return Err(Code::NotPermitted);
        }
        self.catch_up(delivery.height).await;
        let chain = self.0.parameters.chain.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let bundle = delivery.bundle();
            (bundle, check(delivery.envelopes, &chain))
        });
        let (bundle, items) = checked.await.map_err(|_| Code::Internal)?;
        let items = self.examine_all(gateway, items).await;
        self.confirm(bundle, items).await
    }

    /// As [`Payloads::take`] for what this node delivers itself, whose signatures it has checked before.
    pub(crate) async fn take_own(
        &self,
        bundle: Bundle,
        operations: Vec<(Verified<Operation>, Bytes)>,
    ) -> Result<Signed<Confirmation>, Code> {
        let items = operations.into_iter().map(|(operation, payload)| Some(Item { operation, payload })).collect();
        let items = self.examine_all(self.own(), items).await;
        self.confirm(bundle, items).await
    }

    async fn catch_up(&self, height: u64) {
        let mut head = self.0.feed.head();
        // A gateway that lies about the height gains nothing but this delay of its own delivery.
        let _ = timeout(CATCH_UP, head.wait_for(|at| at.is_some_and(|at| at.height >= height))).await;
    }

    async fn confirm(&self, bundle: Bundle, items: Vec<Option<Item>>) -> Result<Signed<Confirmation>, Code> {
        let time_ms = self.at().map_or(0, |at| at.time_ms);
        // After a rest the newest block is old, and this node's clock tells better when the next ones will be.
        let latest = time_ms.max(now_ms()).saturating_add(MAX_BUNDLE_MS);
        if !(time_ms.saturating_add(1)..=latest).contains(&bundle.expiry_ms) {
            return Err(Code::HeightOutOfRange);
        }
        let (inner, chain) = (Arc::clone(&self.0), self.0.parameters.chain.clone());
        let digest = bundle.digest(&chain);
        let expiry_ms = bundle.expiry_ms;
        // A task of its own, for a gateway that hangs up must not leave the database and the shelf apart.
        let kept = tokio::spawn(async move { inner.keep(&bundle, items).await }).await.map_err(|_| Code::Internal)?;
        let refused = kept.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot store payloads");
            Code::Unavailable
        })?;
        metrics::counter!("white_city_payloads_refused_total").increment(refused.len() as u64);
        let confirmation = Confirmation { bundle: digest, expiry_ms, refused };
        Ok(Signed::sign(&self.0.identity, chain, confirmation, OsRng))
    }

    /// The payload of an accepted write that travels beside consensus. Waits until `until` for one that is not here yet.
    ///
    /// # Errors
    /// [`StoreError::MissingPayload`] if it has not come; [`StoreError::Erased`].
    pub async fn of_entry(&self, entry: &StoredEntry, until: Instant) -> Result<Bytes, StoreError> {
        self.awaited(&entry.operation, until, Some(&entry.mailbox.session)).await
    }

    /// An accepted payload, waited for until `until`, and only as long as `session` is not erased.
    async fn awaited(
        &self,
        operation: &OperationId,
        until: Instant,
        session: Option<&SessionId>,
    ) -> Result<Bytes, StoreError> {
        let mut arrivals = self.0.arrivals.subscribe();
        loop {
            arrivals.mark_unchanged();
            if let Some(payload) = self.0.rows.payload(operation).await? {
                return Ok(payload);
            }
            if let Some(session) = session {
                self.check_kept(session).await?;
            }
            if timeout_at(until, arrivals.changed()).await.is_err() {
                metrics::counter!("white_city_reads_without_payload_total").increment(1);
                return Err(StoreError::MissingPayload { operation: *operation });
            }
        }
    }

    /// Checks that the store has the session and has not erased it.
    ///
    /// # Errors
    /// [`StoreError::Erased`], [`StoreError::Database`].
    pub async fn check_kept(&self, session: &SessionId) -> Result<(), StoreError> {
        let session = self.0.board.session(session).await?.value;
        let is_kept = session.is_some_and(|session| session.record.phase != wire::Phase::Erased);
        if is_kept { Ok(()) } else { Err(StoreError::Erased) }
    }

    /// A payload for another node, if it is here.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn for_peer(&self, operation: &OperationId) -> Result<Option<Bytes>, StoreError> {
        self.0.rows.payload(operation).await
    }

    /// Stores a payload that was fetched, if it is still missing.
    async fn arrived(&self, wanted: &Wanted, payload: Bytes) -> Result<(), StoreError> {
        let mut shelf = self.0.shelf().await?;
        let Wanted { operation, slot, author, length, .. } = *wanted;
        if shelf.as_ref().is_some_and(|shelf| shelf.is_missing(&operation)) {
            let row = Pending { operation, slot, author, gateway: self.identity(), expiry_ms: 0, length };
            self.0.rows.keep(&[(row, payload)], &[]).await?;
            shelf.as_mut().map(|shelf| shelf.arrived(&operation));
        }
        drop(shelf);
        self.0.arrivals.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }
}

/// Checks signatures in one batch, and payloads against what is signed. Only writes, solutions and backups have payloads.
fn check(envelopes: Vec<Envelope>, chain: &wire::ChainId) -> Vec<Option<Item>> {
    let is_sound = |envelope: &Envelope| {
        let operation = &envelope.signed.body;
        Slot::of(operation).is_some()
            && operation.check_shape().is_ok()
            && operation.check_payload(&envelope.payload).is_ok()
    };
    let sound: Vec<bool> = envelopes.iter().map(is_sound).collect();
    let signed = envelopes.iter().map(|envelope| envelope.signed.clone()).collect();
    let verified = verify_all(signed, chain, OsRng);
    let items = envelopes.into_iter().zip(verified).zip(sound).map(|((envelope, verified), sound)| {
        let operation = verified.ok().filter(|_| sound)?;
        Some(Item { operation, payload: envelope.payload })
    });
    items.collect()
}

impl Inner {
    /// The shelf, read again if the database has failed before.
    async fn shelf(&self) -> Result<MutexGuard<'_, Option<Shelf>>, StoreError> {
        let mut shelf = self.shelf.lock().await;
        if shelf.is_none() {
            let beside = self.board.beside().await?;
            let (restored, useless) = Shelf::restore(self.rows.load().await?, &beside);
            if !useless.is_empty() {
                self.rows.erase(&useless, &[]).await?;
            }
            tracing::info!(waiting = restored.waiting(), missing = restored.lacking(), "payloads restored");
            // Of a solution that is stored it is known that it is right.
            for (session, author, operation) in restored.solutions() {
                self.examiner.remember(session, author, operation);
            }
            *shelf = Some(restored);
            self.forget_solved();
            self.wanted.notify_one();
        }
        Ok(shelf)
    }

    /// Stores what is good of a bundle, durably; the places of what is not.
    async fn keep(&self, bundle: &Bundle, items: Vec<Option<Item>>) -> Result<Vec<u16>, StoreError> {
        let mut guard = self.shelf().await?;
        // Whatever happens below, the shelf says nothing that the database does not: it is put back last.
        let Some(mut shelf) = guard.take() else { return Err(StoreError::Busy) };
        let (mut new, mut longer, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (item, place) in items.into_iter().zip(0_u16..) {
            let Some((row, payload)) = item.and_then(|item| self.row(bundle, item)) else {
                refused.push(place);
                continue;
            };
            match shelf.offer(&row) {
                Verdict::Store => new.push((row, payload)),
                Verdict::Longer => longer.push(row),
                Verdict::Here => {}
                Verdict::Refuse => refused.push(place),
            }
        }
        let arrived = !new.is_empty();
        self.rows.keep(&new, &longer).await?;
        follower::gauge(&shelf);
        *guard = Some(shelf);
        drop(guard);
        if arrived {
            self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(refused)
    }

    /// What is stored of an item, if the rules would take the operation, or have taken the write.
    fn row(&self, bundle: &Bundle, Item { operation, payload }: Item) -> Option<(Pending, Bytes)> {
        let (slot, length) = (Slot::of(operation.body())?, operation.body().payload_bytes()?);
        let is_wanted = match (self.check)(&operation) {
            Ok(()) => true,
            // Then its payload is here or missing, or was taken this moment. Of a solution nobody needs it any more.
            Err(Code::DuplicateSame) => !matches!(slot, Slot::Solution(_)),
            Err(_) => false,
        };
        let row = Pending {
            operation: OperationId(operation.digest().0),
            slot,
            author: operation.author(),
            gateway: bundle.gateway,
            expiry_ms: bundle.expiry_ms,
            length,
        };
        is_wanted.then_some((row, payload))
    }
}

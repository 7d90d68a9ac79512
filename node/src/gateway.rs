//! The REST gateway: what all its handlers share.

use crate::{
    attempts::Attempts,
    bundler::Bundler,
    certified::{CertifiedBoard, CertifiedFeed},
    consensus::Consensus,
    feed::Feed,
    http::{self, backups::RESTORES_AT_ONCE, checking::Checks, lists::Lists, mailboxes::Pages, private::Trees},
    payloads::Payloads,
    problem::Failure,
    progress::Progress,
    report::Reporter,
    store::Store,
    submit::{Check, Submitter},
};
use axum::Router;
use schnorrkel::Keypair;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wire::{ChainId, Code, NetworkParameters};

/// Reads and event streams that wait at the same time.
pub const MAX_WAITS: usize = 4096;
/// Bytes of request bodies that have arrived and are not yet dealt with.
pub const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;
/// Bytes of long answers that are kept or have not been taken yet by those who asked for them.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024 * 1024;

/// A certificate of a block that is stored comes within milliseconds. Who has seen that there is one waits for it so long.
const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of solutions whose proofs of work wait here to be verified.
pub const MAX_SOLUTION_BYTES: usize = 32 * 1024 * 1024;
/// What each counts at least.
pub(crate) const SOLUTION_BYTES: usize = 4 * 1024;

/// What a gateway is made of.
pub struct Parts {
    /// What it reads.
    pub store: Store,
    /// What brings receipts.
    pub feed: Arc<Feed>,
    /// What it answers from, and what wakes those who wait.
    pub certified: CertifiedFeed,
    /// Where writes go.
    pub consensus: Consensus,
    /// What the rules would say of a write now.
    pub check: Check,
    /// What delivers payloads beside consensus; none at a read-only replica, which takes no operations.
    pub bundler: Option<Bundler>,
    /// The payloads that are here.
    pub payloads: Payloads,
    /// The node's identity key.
    pub identity: Keypair,
    /// What genesis fixed.
    pub parameters: NetworkParameters,
    /// The node's name.
    pub name: String,
    /// At a replica: base URLs of gateways that take operations, as far as they are known.
    pub writes_at: Vec<String>,
    /// How far the nodes are with their threshold key.
    pub progress: watch::Receiver<Progress>,
    /// Ends waits and the batcher.
    pub shutdown: CancellationToken,
}

/// The state that all handlers share.
pub struct Gateway {
    pub(crate) store: Store,
    pub(crate) certified: CertifiedFeed,
    pub(crate) consensus: Consensus,
    pub(crate) check: Check,
    pub(crate) payloads: Payloads,
    pub(crate) reporter: Reporter,
    pub(crate) parameters: NetworkParameters,
    pub(crate) name: String,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) shutdown: CancellationToken,
    submitter: Option<Submitter>,
    writes_at: Vec<String>,
    pub(crate) trees: Trees,
    pub(crate) pages: Pages,
    pub(crate) lists: Lists,
    pub(crate) waits: Arc<Semaphore>,
    pub(crate) body_bytes: Arc<Semaphore>,
    pub(crate) answer_bytes: Arc<Semaphore>,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) solution_bytes: Semaphore,
    pub(crate) restores: Semaphore,
    pub(crate) attempts: Attempts,
    pub(crate) checks: Checks,
}

impl Gateway {
    /// Starts the batcher, on the current runtime.
    pub fn start(parts: Parts) -> Arc<Self> {
        let Parts { store, feed, certified, consensus, check, bundler, payloads, writes_at, .. } = parts;
        let (identity, parameters, name) = (parts.identity, parts.parameters, parts.name);
        let (progress, shutdown) = (parts.progress, parts.shutdown);
        let submitter = bundler.map(|bundler| {
            let rules = (Arc::clone(&check), payloads.records());
            Submitter::start(store.clone(), &feed, consensus.clone(), rules, bundler, shutdown.clone())
        });
        crate::telemetry::keep_up(shutdown.clone());
        let (decided, stop) = (feed.decided(), shutdown.clone());
        let gateway = Arc::new(Self {
            store,
            certified,
            consensus,
            check,
            payloads,
            reporter: Reporter::new(identity, parameters.chain.clone()),
            parameters,
            name,
            progress,
            shutdown,
            submitter,
            writes_at,
            trees: Trees::default(),
            pages: Pages::default(),
            lists: Lists::default(),
            waits: Arc::new(Semaphore::new(MAX_WAITS)),
            body_bytes: Arc::new(Semaphore::new(MAX_BODY_BYTES)),
            answer_bytes: Arc::new(Semaphore::new(MAX_ANSWER_BYTES)),
            turns: Arc::new(Semaphore::new(http::mailboxes::TURNS)),
            solution_bytes: Semaphore::new(MAX_SOLUTION_BYTES),
            restores: Semaphore::new(RESTORES_AT_ONCE),
            attempts: Attempts::default(),
            checks: Checks::default(),
        });
        tokio::spawn(http::erasure::follow(Arc::downgrade(&gateway), decided, stop));
        gateway
    }

    /// How many parts of mailboxes are kept in memory for those who ask again.
    pub fn kept(&self) -> usize {
        self.trees.count().saturating_add(self.pages.count())
    }

    /// The REST interface, to be served by [`crate::http::server::serve`].
    pub fn router(self: &Arc<Self>) -> Router {
        http::router(Arc::clone(self))
    }

    /// What takes operations.
    ///
    /// # Errors
    /// [`Code::ReadOnly`] at a replica.
    pub(crate) fn submitter(&self) -> Result<&Submitter, Failure> {
        self.submitter.as_ref().ok_or_else(|| {
            let nodes = match self.writes_at.as_slice() {
                [] => "that the network file names".to_owned(),
                urls => format!("of the network: {}", urls.join(", ")),
            };
            Failure::new(Code::ReadOnly, format!("this is a read-only replica; ask a node {nodes}"))
        })
    }

    pub(crate) fn chain(&self) -> &ChainId {
        &self.parameters.chain
    }

    /// The newest certified board.
    ///
    /// # Errors
    /// [`Code::NotReady`] before the first.
    pub(crate) fn board(&self) -> Result<Arc<CertifiedBoard>, Failure> {
        self.certified.newest().borrow().clone().ok_or_else(|| Code::NotReady.into())
    }

    /// A certified board that is newer than `height`, which should come soon.
    ///
    /// # Errors
    /// [`Code::Unavailable`] if it does not.
    pub(crate) async fn board_after(&self, height: u64) -> Result<Arc<CertifiedBoard>, Failure> {
        let mut newest = self.certified.newest();
        let newer = newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height > height));
        let found = timeout(CERTIFICATE_TIMEOUT, newer).await.ok().and_then(Result::ok).and_then(|board| board.clone());
        found.ok_or_else(|| Failure::new(Code::Unavailable, "the node waits for a newer certificate"))
    }
}

//! Certifies the board together with the other nodes: brings executed blocks, keys and what comes on the node channel to the
//! [`Certifier`], and does what follows.
//!
//! No consensus call waits for anything here: executed blocks come on a queue of [`crate::feed`] that loses the oldest if this is slow. A
//! share is sent as soon as its block is executed, and again on every new connection and every second until its height or a later
//! one is certified; who gets it answers with the newest certificate that it knows. What has a certificate is published once this
//! node's own store has the block.

mod peer;
mod seeker;

use crate::{
    certified::{CertifiedBoard, CertifiedFeed},
    certifier::{Certifier, Effect, Fault, WINDOW},
    channel::{Channel, Members, Peer},
    feed::{ExecutedBoard, Feed},
    home,
    home::Home,
    keyring::EpochKeys,
    problem::Failure,
};
use axum::{Extension, Router, body::Bytes, extract::State, routing::post};
use borsh::BorshDeserialize;
use ledger::Snapshot;
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::{BoardAt, Certificate, CertificateShare, ChainId, Code, FactKey, NetworkParameters, Signed};

/// How often a share is sent again, or a certificate asked for.
const AGAIN: Duration = Duration::from_secs(1);
/// What came on the channel and waits; more waits at its senders.
const INBOX: usize = 256;
/// The newest certificate is kept on disk, at most so often while there is always a newer one.
const KEEP_INTERVAL: Duration = Duration::from_millis(200);
/// Paths on the node channel.
const SHARES: &str = "/shares";
const CERTIFICATE: &str = "/certificate";
const NEXT: &str = "/certificate/next";
/// Who asks for the next certificate is told after so long that there is none yet.
const NEXT_PATIENCE: Duration = Duration::from_secs(1);

/// What a node certifies with.
pub struct Parts {
    /// What genesis fixed.
    pub parameters: NetworkParameters,
    /// The node's identity key, which signs its shares.
    pub identity: Keypair,
    /// All nodes, and which one this is.
    pub members: Members,
    /// The way to the others.
    pub channel: Channel,
    /// Where executed and stored blocks are announced.
    pub feed: Arc<Feed>,
    /// The board as restored from the store; `None` before the first block.
    pub restored: Option<(BoardAt, Snapshot)>,
    /// The newest endorsed epoch.
    pub keys: watch::Receiver<Option<Arc<EpochKeys>>>,
    /// Where certified boards are published.
    pub certified: CertifiedFeed,
    /// Where the newest certificate outlives the process.
    pub home: Home,
}

/// The certifying part of a running node.
pub struct Certification {
    inbox: mpsc::Sender<Message>,
    standing: watch::Receiver<Standing>,
    tasks: JoinSet<()>,
}

/// What came on the channel of a node.
enum Message {
    Share(usize, Box<Signed<CertificateShare>>),
    Certificate(usize, Certificate),
}

/// What those who speak to the other nodes must know.
#[derive(Clone, Default)]
struct Standing {
    /// This node's newest share, with its height.
    share: Option<(u64, Bytes)>,
    /// The newest certificate, also of a block to come.
    latest: Option<Certificate>,
    /// The newest executed block is not certified.
    is_open: bool,
}

impl Standing {
    fn height(&self) -> u64 {
        self.latest.map_or(0, |latest| latest.at.height)
    }
}

impl Certification {
    /// Starts to certify, until `stop`, on the current runtime.
    pub fn start(parts: Parts, stop: &CancellationToken) -> Self {
        let mut tasks = JoinSet::new();
        let (channel, (inbox, standing)) = (parts.channel.clone(), Self::work(parts, &mut tasks, stop));
        for peer in channel.peers() {
            let courier = peer::Courier::new(peer, channel.clone(), standing.clone(), inbox.clone());
            let ended = stop.clone();
            tasks.spawn(async move {
                ended.run_until_cancelled(courier.run()).await;
            });
        }
        Self { inbox, standing, tasks }
    }

    /// Starts a replica's, which has no shares to send and asks `nodes` for every certificate.
    pub fn follow(parts: Parts, nodes: &[usize], stop: &CancellationToken) -> Self {
        let mut tasks = JoinSet::new();
        let (channel, (inbox, standing)) = (parts.channel.clone(), Self::work(parts, &mut tasks, stop));
        for peer in nodes {
            let seeker = seeker::Seeker::new(*peer, channel.clone(), standing.clone(), inbox.clone());
            let ended = stop.clone();
            tasks.spawn(async move {
                ended.run_until_cancelled(seeker.run()).await;
            });
        }
        Self { inbox, standing, tasks }
    }

    /// Starts what owns the certifier, and what keeps the newest certificate.
    fn work(
        parts: Parts,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> (mpsc::Sender<Message>, watch::Receiver<Standing>) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let (sender, standing) = watch::channel(Standing::default());
        let (path, newest) = (parts.home.certificate(), parts.certified.newest());
        let sources = Sources {
            messages,
            executed: parts.feed.executed(),
            head: parts.feed.head(),
            keys: parts.keys.clone(),
            kept: kept(&path),
        };
        let worker = Worker::new(parts, sender);
        let ended = stop.clone();
        tasks.spawn(async move {
            ended.run_until_cancelled(worker.run(sources)).await;
        });
        tasks.spawn(keep(path, newest, stop.clone()));
        (inbox, standing)
    }

    /// What the other nodes may ask on the channel.
    pub fn router(&self) -> Router {
        let shared = Shared { inbox: self.inbox.clone(), standing: self.standing.clone() };
        Router::new().route(SHARES, post(take_share)).route(CERTIFICATE, post(tell_certificate)).with_state(shared)
    }

    /// What read-only replicas may ask on the channel.
    pub fn replica_router(&self) -> Router {
        let shared = Shared { inbox: self.inbox.clone(), standing: self.standing.clone() };
        Router::new().route(NEXT, post(next_certificate)).with_state(shared)
    }

    /// Waits until all has ended, after `stop`.
    pub async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[derive(Clone)]
struct Shared {
    inbox: mpsc::Sender<Message>,
    standing: watch::Receiver<Standing>,
}

/// Takes a share. The answer is the newest certificate, if it covers the share's height.
async fn take_share(
    State(shared): State<Shared>,
    Extension(Peer(node)): Extension<Peer>,
    body: Bytes,
) -> Result<Vec<u8>, Failure> {
    let share: Signed<CertificateShare> = decode(&body)?;
    let height = share.body.at.height;
    let latest = shared.standing.borrow().latest.filter(|latest| latest.at.height >= height);
    let sent = shared.inbox.send(Message::Share(node, Box::new(share))).await;
    sent.map_err(|_| Failure::from(Code::Unavailable))?;
    Ok(encode(&latest))
}

/// Tells the newest certificate to who knows none, or none above the height that it names.
async fn tell_certificate(State(shared): State<Shared>, body: Bytes) -> Result<Vec<u8>, Failure> {
    let known: u64 = decode(&body)?;
    Ok(encode(&shared.standing.borrow().latest.filter(|latest| latest.at.height > known)))
}

/// Tells the newest certificate as soon as there is one above the height that is named, or after a while that there is none.
async fn next_certificate(State(mut shared): State<Shared>, body: Bytes) -> Result<Vec<u8>, Failure> {
    let known: u64 = decode(&body)?;
    let newer = timeout(NEXT_PATIENCE, shared.standing.wait_for(|standing| standing.height() > known)).await;
    Ok(encode(&newer.ok().and_then(Result::ok).and_then(|standing| standing.latest)))
}

fn decode<T: BorshDeserialize>(body: &[u8]) -> Result<T, Failure> {
    borsh::from_slice(body).map_err(|error| Failure::new(Code::Malformed, error.to_string()))
}

fn encode(certificate: &Option<Certificate>) -> Vec<u8> {
    borsh::to_vec(certificate).expect("memory takes a certificate")
}

/// Where the worker hears what happens.
struct Sources {
    messages: mpsc::Receiver<Message>,
    executed: broadcast::Receiver<ExecutedBoard>,
    head: watch::Receiver<Option<BoardAt>>,
    keys: watch::Receiver<Option<Arc<EpochKeys>>>,
    /// The certificate that was the newest when the node ended.
    kept: Option<Certificate>,
}

/// Owns the certifier.
struct Worker {
    certifier: Certifier,
    chain: ChainId,
    identity: Keypair,
    members: Members,
    restored: Option<(BoardAt, Snapshot)>,
    certified: CertifiedFeed,
    standing: watch::Sender<Standing>,
    /// Executed blocks that may still get a certificate.
    boards: BTreeMap<u64, ExecutedBoard>,
    /// The newest epoch whose endorsed key is on the board; 0 before the first.
    endorsed: u64,
    /// Certified, and published once the store has the block.
    pending: Option<CertifiedBoard>,
    accused: BTreeSet<(usize, Fault)>,
}

impl Worker {
    fn new(parts: Parts, standing: watch::Sender<Standing>) -> Self {
        let identities = parts.parameters.nodes.iter().map(|node| node.identity).collect();
        Self {
            certifier: Certifier::new(parts.parameters.chain.clone(), parts.members.own, identities),
            chain: parts.parameters.chain,
            identity: parts.identity,
            members: parts.members,
            restored: parts.restored,
            certified: parts.certified,
            standing,
            boards: BTreeMap::new(),
            endorsed: 0,
            pending: None,
            accused: BTreeSet::new(),
        }
    }

    async fn run(mut self, mut sources: Sources) {
        if let Some((at, snapshot)) = self.restored.take() {
            // Without a key nothing follows from it yet.
            self.execute(ExecutedBoard { at, snapshot, executed: Instant::now() });
        }
        sources.keys.mark_changed();
        let mut tick = interval(AGAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let effects = tokio::select! {
                Ok(board) = sources.executed.recv() => self.execute(board),
                Some(message) = sources.messages.recv() => match message {
                    Message::Share(node, share) => self.certifier.receive(node, *share),
                    Message::Certificate(node, certificate) => self.certifier.accept(node, certificate),
                },
                Ok(()) = sources.keys.changed() => {
                    let keys = sources.keys.borrow_and_update().clone();
                    let Some(keys) = keys else { continue };
                    let mut effects = self.certifier.adopt(keys);
                    // What this node has kept itself is checked like what anybody else gives.
                    let kept = sources.kept.take();
                    effects.extend(kept.into_iter().flat_map(|kept| self.certifier.accept(self.members.own, kept)));
                    effects
                }
                Ok(()) = sources.head.changed() => Vec::new(),
                _ = tick.tick() => {
                    for node in self.certifier.missing() {
                        let name = self.members.name(node).to_owned();
                        metrics::counter!("white_city_missing_shares_total", "node" => name).increment(1);
                    }
                    continue;
                }
            };
            let stored = sources.head.borrow_and_update().map_or(0, |at| at.height);
            self.follow(effects, stored);
        }
    }
    fn execute(&mut self, board: ExecutedBoard) -> Vec<Effect> {
        while board.snapshot.value(&FactKey::Keys(self.endorsed.saturating_add(1))).is_some() {
            self.endorsed = self.endorsed.saturating_add(1);
        }
        let at = board.at;
        self.boards.insert(at.height, board);
        while self.boards.len() > WINDOW {
            self.boards.pop_first();
        }
        self.certifier.execute(at, Some(self.endorsed).filter(|epoch| *epoch > 0))
    }

    /// Does what follows; `stored` is the newest height that the store has.
    fn follow(&mut self, effects: Vec<Effect>, stored: u64) {
        let mut share = None;
        for effect in effects {
            match effect {
                Effect::Send(body) => {
                    let height = body.at.height;
                    let signed = Signed::sign(&self.identity, self.chain.clone(), body, OsRng);
                    let encoded = borsh::to_vec(&signed).expect("memory takes a share");
                    share = Some((height, Bytes::from(encoded)));
                }
                Effect::Certified(certificate) => self.settle(certificate),
                Effect::Blame { node, fault, evidence } => self.accuse(node, fault, evidence.as_deref()),
                Effect::Diverged(certificate) => {
                    let (height, root) = (certificate.at.height, certificate.at.root);
                    tracing::error!(height, %root, "the cluster has certified another board than this node has");
                    metrics::counter!("white_city_diverged_total").increment(1);
                }
            }
        }
        let (latest, is_open) = (self.certifier.latest().copied(), self.certifier.is_open());
        self.standing.send_if_modified(|standing| {
            let is_new = share.is_some() || standing.latest != latest || standing.is_open != is_open;
            *standing = Standing { share: share.or_else(|| standing.share.take()), latest, is_open };
            is_new
        });
        if let Some(board) = self.pending.take_if(|board| board.certificate.at.height <= stored) {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; heights stay far below 2^52")]
            metrics::gauge!("white_city_certified_height").set(board.certificate.at.height as f64);
            self.certified.publish(board);
        }
    }

    fn settle(&mut self, certificate: Certificate) {
        let height = certificate.at.height;
        let board = self.boards.remove(&height);
        self.boards = self.boards.split_off(&height);
        // The certifier keeps as many blocks as this does.
        let Some(ExecutedBoard { snapshot, executed, .. }) = board else { return };
        metrics::histogram!("white_city_certificate_seconds").record(executed.elapsed());
        tracing::debug!(height, epoch = certificate.epoch, "certified");
        self.pending = Some(CertifiedBoard { certificate, snapshot });
    }

    fn accuse(&mut self, node: usize, fault: Fault, evidence: Option<&Signed<CertificateShare>>) {
        let (name, fault_name) = (self.members.name(node).to_owned(), fault.as_str());
        metrics::counter!("white_city_bad_shares_total", "node" => name.clone(), "fault" => fault_name).increment(1);
        if !self.accused.insert((node, fault)) {
            return;
        }
        let evidence = evidence.and_then(|signed| borsh::to_vec(signed).ok()).map(hex::encode);
        if node == self.members.own {
            tracing::error!(fault = fault_name, "this node's own share or certificate is wrong");
        } else {
            tracing::warn!(node = name, fault = fault_name, evidence, "a node has sent what no honest node sends");
        }
    }
}

/// The certificate that was kept, if it can be read; if not, other nodes are asked as they are anyway.
fn kept(path: &Path) -> Option<Certificate> {
    const EXPECTED: &str = "a certificate";
    let read = path.exists().then(|| home::read_json(path, EXPECTED))?;
    read.inspect_err(|error| tracing::warn!(error = error.line(), "the newest certificate is asked for anew")).ok()
}

/// Keeps the newest certificate on disk, so that a node that starts again alone can serve at once. It is not in the store, whose one
/// writer is for consensus.
async fn keep(path: PathBuf, mut newest: watch::Receiver<Option<Arc<CertifiedBoard>>>, stop: CancellationToken) {
    let mut kept = None;
    loop {
        let is_last = stop.run_until_cancelled(newest.changed()).await.is_none_or(|changed| changed.is_err());
        let certificate = newest.borrow_and_update().as_ref().map(|board| board.certificate);
        if let Some(certificate) = certificate.filter(|certificate| kept != Some(*certificate)) {
            let path = path.clone();
            let written = move || home::replace(&path, &home::to_json(&certificate));
            match tokio::task::spawn_blocking(written).await {
                Ok(Ok(())) => kept = Some(certificate),
                Ok(Err(error)) => tracing::warn!(error = error.line(), "the newest certificate cannot be kept"),
                Err(_) => return,
            }
        }
        if is_last {
            return;
        }
        stop.run_until_cancelled(sleep(KEEP_INTERVAL)).await;
    }
}

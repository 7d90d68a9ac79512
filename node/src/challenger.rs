//! Draws the challenge of each open session whose requests are over: gives this node's share to the other nodes, and, when it is its turn, asks them for
//! theirs, combines f + 1 and hands the challenge in.
//!
//! A share is given only once this node's own store has the block that closed the session's requests. Nothing is remembered: a node that restarts
//! at any step asks again, and whoever is asked again gives the same share.

use crate::{
    NodeError,
    challenge::{self, Fault, Shares},
    channel::{ChannelError, Peer},
    consensus::{Consensus, SubmitError},
    feed::Feed,
    keyring::Keyring,
    peers::Peers,
    problem::Failure,
    store::Store,
};
use axum::{Extension, Router, body::Bytes, extract::State, routing::post};
use futures::{StreamExt, stream::FuturesUnordered};
use ledger::{Event, StoredSession};
use moka::sync::Cache;
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, broadcast},
    task::{AbortHandle, JoinSet, spawn_blocking},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use wire::{
    Admission, ChainId, ChallengeShare, Code, Envelope, G1Bytes, NetworkParameters, Operation, Phase, PublicKey,
    SessionId, SessionRecord, Signed, Transaction,
};

/// The route on the node channel.
pub const ROUTE: &str = "/challenge";
/// So much longer than the one before it does a node wait for its turn, if the session gives the nodes that long.
const TURN: Duration = Duration::from_millis(250);
/// For one node's share.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Between two times that shares are asked for, or that consensus could not take the challenge; doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
/// The same between two times that the challenge is handed in. Each time it is signed anew, for a mempool that has seen and lost a transaction does
/// not take the same bytes again.
const SUBMIT_PAUSE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 4;
/// Sessions whose shares are being asked for at the same time.
const AT_ONCE: usize = 8;
/// Requests of one node for shares that are answered at the same time; further ones wait. As many as an honest node asks at once.
const GIVEN_AT_ONCE: usize = AT_ONCE;
/// Bytes of a wrong share that the log shows.
const SHOWN_BYTES: usize = 1024;
/// Shares of this node that are kept, so that being asked again costs nothing.
const KEPT_SHARES: u64 = 1024;

/// What a challenger needs.
pub struct Parts {
    /// What genesis fixed.
    pub parameters: NetworkParameters,
    /// The node's identity key.
    pub identity: Keypair,
    /// Its place in genesis.
    pub own: usize,
    /// The board as stored.
    pub store: Store,
    /// What tells of new blocks.
    pub feed: Arc<Feed>,
    /// The keys of all epochs.
    pub keyring: Arc<Keyring>,
    /// The other nodes.
    pub peers: Peers,
}

/// A node's part in challenges. Clones share it.
#[derive(Clone)]
pub struct Challenger(Arc<Inner>);

struct Inner {
    chain: ChainId,
    nodes: Arc<[PublicKey]>,
    names: Vec<String>,
    identity: Keypair,
    own: usize,
    store: Store,
    feed: Arc<Feed>,
    keyring: Arc<Keyring>,
    peers: Peers,
    given: Cache<SessionId, Bytes>,
    places: Semaphore,
    /// For each node.
    giving: Vec<Semaphore>,
    accused: Mutex<BTreeSet<(usize, Fault)>>,
}

/// A challenge that is to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    session: SessionId,
    epoch: u64,
    head_start_ms: u64,
}

impl Due {
    /// What is due of a session now.
    fn of(session: SessionId, record: &SessionRecord) -> Option<Self> {
        let (Admission::Open { terms }, Some(registration)) = (&record.spec.admission, record.registration) else {
            return None;
        };
        let is_due = record.phase == Phase::Solving && registration.challenge.is_none();
        is_due.then_some(Self { session, epoch: registration.epoch, head_start_ms: terms.head_start_ms })
    }

    /// How long node `own` of `nodes` leaves it to those before it, whom the session's id decides: in half of the time that there is, everybody has
    /// its turn.
    fn turn(&self, own: usize, nodes: usize) -> Duration {
        let first = self.session.0.iter().fold(0_usize, |sum, byte| sum.wrapping_add(usize::from(*byte)));
        let first = first.checked_rem(nodes).unwrap_or(0);
        let rank = own.saturating_add(nodes).saturating_sub(first).checked_rem(nodes).unwrap_or(0);
        let share = (self.head_start_ms / 2).checked_div(nodes as u64).unwrap_or(0);
        TURN.min(Duration::from_millis(share)) * u32::try_from(rank).unwrap_or(u32::MAX)
    }
}

impl Challenger {
    /// A challenger that has done nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { parameters, identity, own, store, feed, keyring, peers } = parts;
        let nodes = parameters.nodes.iter().map(|node| node.identity).collect();
        let giving = parameters.nodes.iter().map(|_| Semaphore::new(GIVEN_AT_ONCE)).collect();
        let names = parameters.nodes.into_iter().map(|node| node.name).collect();
        Self(Arc::new(Inner {
            chain: parameters.chain,
            nodes,
            names,
            identity,
            own,
            store,
            feed,
            keyring,
            peers,
            given: Cache::new(KEPT_SHARES),
            places: Semaphore::new(AT_ONCE),
            giving,
            accused: Mutex::default(),
        }))
    }

    /// What the other nodes may ask on the channel.
    pub fn router(&self) -> Router {
        Router::new().route(ROUTE, post(give)).with_state(self.clone())
    }

    /// This node's share, for a peer.
    ///
    /// # Errors
    /// [`Code::UnknownSession`], [`Code::NotOpen`], [`Code::WrongPhase`] unless the stored board has closed the session's requests and no list yet,
    /// [`Code::NotReady`] if this node has no share of the key.
    pub async fn share(&self, session: SessionId) -> Result<Bytes, Failure> {
        let inner = &self.0;
        if let Some(share) = inner.given.get(&session) {
            return Ok(share);
        }
        let stored = inner.store.session_for_nodes(&session).await?.ok_or(Code::UnknownSession)?;
        let registration = stored.record.registration.ok_or(Code::NotOpen)?;
        if stored.record.phase != Phase::Solving {
            return Err(Code::WrongPhase.into());
        }
        let signed = inner.own_share(session, registration.epoch).ok_or(Code::NotReady)?;
        let share = Bytes::from(borsh::to_vec(&signed).map_err(|_| Failure::from(Code::Internal))?);
        inner.given.insert(session, share.clone());
        Ok(share)
    }

    /// Draws challenges until `stop`.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub async fn run(self, consensus: Consensus, stop: CancellationToken) -> Result<(), NodeError> {
        let mut following = Following { challenger: self, consensus, draws: JoinSet::new(), due: BTreeMap::new() };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = following.follow() => result,
        }
    }
}

async fn give(
    State(challenger): State<Challenger>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let session = SessionId(body.as_ref().try_into().map_err(|_| Failure::from(Code::Malformed))?);
    let place = challenger.0.giving.get(peer).ok_or(Code::NotPermitted)?.acquire().await;
    let _place = place.map_err(|_| Failure::from(Code::Unavailable))?;
    challenger.share(session).await
}

/// What is being drawn, as the board has it. What is drawn, or too late, is given up.
struct Following {
    challenger: Challenger,
    consensus: Consensus,
    draws: JoinSet<()>,
    due: BTreeMap<SessionId, (Instant, AbortHandle)>,
}

impl Following {
    async fn follow(&mut self) -> Result<(), NodeError> {
        let mut decided = self.challenger.0.feed.decided();
        self.read_all().await?;
        loop {
            let next = tokio::select! {
                next = decided.recv() => next,
                Some(_) = self.draws.join_next() => continue,
            };
            match next {
                Ok(block) => {
                    for event in &block.events {
                        if let Event::Session { session, stored } = event {
                            self.look(*session, &stored.record);
                        }
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.read_all().await?,
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// Looks at the whole board.
    async fn read_all(&mut self) -> Result<(), NodeError> {
        let found: BTreeMap<SessionId, StoredSession> =
            self.challenger.0.store.in_phase(Phase::Solving).await?.into_iter().collect();
        self.due.retain(|session, (_, draw)| {
            let is_there = found.contains_key(session);
            if !is_there {
                draw.abort();
            }
            is_there
        });
        for (session, stored) in &found {
            self.look(*session, &stored.record);
        }
        Ok(())
    }

    fn look(&mut self, session: SessionId, record: &SessionRecord) {
        match Due::of(session, record) {
            Some(due) => {
                let (challenger, consensus) = (&self.challenger, &self.consensus);
                self.due.entry(session).or_insert_with(|| {
                    let draw = Arc::clone(&challenger.0).draw(due, consensus.clone());
                    (Instant::now(), self.draws.spawn(draw))
                });
            }
            None => {
                let Some((since, draw)) = self.due.remove(&session) else { return };
                draw.abort();
                if record.registration.is_some_and(|registration| registration.challenge.is_some()) {
                    metrics::histogram!("white_city_challenge_seconds").record(since.elapsed());
                }
            }
        }
    }
}

impl Inner {
    fn own_share(&self, session: SessionId, epoch: u64) -> Option<Signed<ChallengeShare>> {
        let keys = self.keyring.epoch(epoch)?;
        challenge::share(&self.chain, session, &keys, &self.identity, OsRng)
    }

    /// Draws one challenge and hands it in until this is aborted, when the board has one or takes none.
    async fn draw(self: Arc<Self>, due: Due, consensus: Consensus) {
        sleep(due.turn(self.own, self.nodes.len())).await;
        let (mut pause, mut signature) = (Pause::new(PAUSE), None);
        while signature.is_none() {
            signature = self.collect(&due).await;
            if signature.is_none() {
                tracing::debug!(session = %due.session, "too few nodes have given their shares of the challenge");
                pause.rest().await;
            }
        }
        let Some(signature) = signature else { return };
        let (mut pause, mut short_pause) = (Pause::new(SUBMIT_PAUSE), Pause::new(PAUSE));
        loop {
            match consensus.submit(self.transaction(due.session, signature)).await {
                Ok(()) | Err(SubmitError::AlreadyKnown) => pause.rest().await,
                // Most likely the board has one, and this node is about to see it.
                Err(SubmitError::Refused { code }) => {
                    tracing::debug!(%code, session = %due.session, "the board would not take the challenge");
                    pause.rest().await;
                }
                Err(error @ (SubmitError::Full | SubmitError::Unavailable { .. })) => {
                    tracing::debug!(%error, session = %due.session, "the challenge is not taken yet");
                    short_pause.rest().await;
                }
            }
        }
    }

    fn transaction(&self, session: SessionId, signature: G1Bytes) -> wire::Bytes {
        let operation = Operation::Challenge { session, signature };
        let signed = Signed::sign(&self.identity, self.chain.clone(), operation, OsRng);
        Transaction::inline([Envelope { signed, payload: wire::Bytes::default() }]).encode()
    }

    /// Asks all others at once, and combines as soon as there are enough good shares.
    async fn collect(&self, due: &Due) -> Option<G1Bytes> {
        let _place = self.places.acquire().await.ok()?;
        let keys = self.keyring.epoch(due.epoch)?;
        let mut shares = Shares::new(self.chain.clone(), due.session, keys, Arc::clone(&self.nodes));
        if let Some(own) = self.own_share(due.session, due.epoch) {
            // It is what this node has just signed.
            let _ = shares.receive(self.own, own);
        }
        let body = Bytes::copy_from_slice(&due.session.0);
        let ask = |peer: usize| {
            let body = body.clone();
            async move { (peer, self.peers.post(peer, ROUTE, body, TIMEOUT).await) }
        };
        let mut answers: FuturesUnordered<_> = self.peers.others().map(ask).collect();
        loop {
            let drawn = spawn_blocking(move || {
                let drawn = shares.draw();
                (shares, drawn)
            });
            let (rest, drawn) = drawn.await.ok()?;
            shares = rest;
            for (node, signed) in &drawn.culprits {
                self.accuse(*node, Fault::Partial, borsh::to_vec(signed).ok());
            }
            if drawn.signature.is_some() {
                return drawn.signature;
            }
            let (peer, answer) = answers.next().await?;
            self.hear(peer, answer, &mut shares);
        }
    }

    fn hear(&self, peer: usize, answer: Result<Bytes, ChannelError>, shares: &mut Shares) {
        let answer = match answer {
            Ok(answer) => answer,
            // One that is behind, or has no share, says so.
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a node gave no share of a challenge");
                return;
            }
        };
        let signed = borsh::from_slice::<Signed<ChallengeShare>>(&answer).map_err(|_| Fault::Envelope);
        if let Err(fault) = signed.and_then(|signed| shares.receive(peer, signed)) {
            self.accuse(peer, fault, Some(answer.to_vec()));
        }
    }

    fn accuse(&self, node: usize, fault: Fault, evidence: Option<Vec<u8>>) {
        let (name, fault_name) = (self.names.get(node).map_or("?", String::as_str), fault.as_str());
        metrics::counter!("white_city_bad_challenge_shares_total", "node" => name.to_owned(), "fault" => fault_name)
            .increment(1);
        if self.accused.lock().unwrap_or_else(PoisonError::into_inner).insert((node, fault)) {
            let evidence = evidence.as_deref().map(shown);
            tracing::warn!(node = name, fault = fault_name, evidence, "a node gave a wrong share of a challenge");
        }
    }
}

/// The beginning of what a node gave, in hex, for the log: it may have given a lot.
fn shown(evidence: &[u8]) -> String {
    match evidence.split_at_checked(SHOWN_BYTES) {
        Some((first, rest)) if !rest.is_empty() => format!("{}... ({} bytes)", hex::encode(first), evidence.len()),
        _ => hex::encode(evidence),
    }
}

/// A pause that becomes longer.
struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    fn new(first: Duration) -> Self {
        Self { next: first, longest: first * 2_u32.pow(MAX_DOUBLINGS) }
    }

    async fn rest(&mut self) {
        sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_share_the_log_has_the_beginning() {
        assert_eq!(shown(&[7; 2]), "0707");
        assert_eq!(shown(&[7; SHOWN_BYTES]), "07".repeat(SHOWN_BYTES));
        let long = shown(&[7; 16 * SHOWN_BYTES]);
        assert!(long.len() < 2 * SHOWN_BYTES + 30 && long.ends_with("07... (16384 bytes)"), "{long}");
    }

    #[test]
    fn nodes_take_turns_that_fit_into_the_time_that_there_is() {
        for (head_start_ms, turn_ms) in [(600_000, 250), (1_000, 125), (4, 0)] {
            for first in 0..4_u8 {
                let due =
                    Due { session: SessionId([first; 32].map(|byte| byte.wrapping_mul(33))), epoch: 1, head_start_ms };
                let mut turns: Vec<_> = (0..4).map(|own| due.turn(own, 4)).collect();
                turns.sort();
                let expected: Vec<_> = (0..4).map(|rank| Duration::from_millis(rank * turn_ms)).collect();
                assert_eq!(turns, expected, "{head_start_ms}");
            }
        }
        let first = |session: u8| {
            let due = Due { session: SessionId([session; 32]), epoch: 1, head_start_ms: 10_000 };
            (0..3).position(|own| due.turn(own, 3) == Duration::ZERO).unwrap()
        };
        let firsts: BTreeSet<_> = (0..3).map(first).collect();
        assert_eq!(firsts.len(), 3, "another session, another node");
    }
}

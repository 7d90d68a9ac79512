//! A cluster as a client sees it: asks one node, believes what is proved, moves on to another.

use crate::{
    Board, Error, Tried, Verifier,
    health::Health,
    listed::Known,
    network,
    progress::{Event, Listener, Progress, Traffic},
    reached::Reached,
    reader::Wait,
    secrets,
    solving::Speeds,
    survey::{Caught, FACT, Question, no_answer},
    transport::Transport,
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wire::{
    BoardAt, Certificate, Certified, EndorsedKeyRecord, NetworkFile, NetworkParameters, NodeAddress, SessionFact,
    SessionId, SessionRecord,
    api::{NodeStatus, PhaseStatus, SessionPage},
};

/// A connection to a cluster. If the network file names read-only replicas, what is only read is asked of them before it is asked of nodes; that nothing
/// is there, and that somebody is missing, is believed of f + 1 nodes only, as without them.
///
/// One serves hundreds of parties in a process: each takes a clone, which costs three words. Clones share the pool of connections (HTTP/1.1: a request that
/// waits holds one, so there are at most about as many as parties), what is verified (threshold keys, certificates, final lists), how each
/// node has served, the counters, and the ephemeral keys, by session and identity. A listener and a patience are each clone's own.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    listener: Option<Listener>,
    /// Longest time to ask for a fact.
    pub(crate) patience: Duration,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) network: NetworkFile,
    pub(crate) transport: Transport,
    /// The node that is asked first.
    pub(crate) home: AtomicUsize,
    /// The keys, and the greatest height that was found certified.
    pub(crate) verifier: Mutex<Verifier>,
    /// Where that height is kept.
    pub(crate) reached: Mutex<Reached>,
    /// How each node has served lately, and after them each replica.
    pub(crate) health: Mutex<Vec<Health>>,
    /// The latest answers that did not count.
    pub(crate) caught: Mutex<VecDeque<Caught>>,
    /// Lists of parties that are final.
    pub(crate) known: Mutex<Known>,
    /// What [`crate::session::Session::join`] made in this process, so that joining again finds it.
    pub(crate) secrets: Mutex<secrets::Held>,
    /// How fast this device is.
    pub(crate) speeds: Speeds,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let height = self.verifier.get_mut().unwrap_or_else(PoisonError::into_inner).height();
        self.reached.get_mut().unwrap_or_else(PoisonError::into_inner).settle(height);
    }
}

impl Client {
    /// A client of the network file's cluster. Opens no connection yet.
    ///
    /// # Errors
    /// [`Error::NetworkFile`], also if its threshold keys do not follow from its identity keys.
    pub fn new(network: NetworkFile) -> Result<Self, Error> {
        network::check(&network)?;
        let verifier = Verifier::new(&network).map_err(|bad| Error::NetworkFile { reason: bad.to_string() })?;
        let (nodes, replicas) = (network.nodes.len(), network.replicas.len());
        let urls = network.nodes.iter().map(|node| node.url.as_str());
        let shared = Shared {
            transport: Transport::new(urls.chain(network.replicas.iter().map(|replica| replica.url.as_str())))?,
            home: AtomicUsize::new(
                usize::try_from(rand_core::RngCore::next_u32(&mut rand_core::OsRng)).unwrap_or(0) % nodes,
            ),
            verifier: Mutex::new(verifier),
            reached: Mutex::new(Reached::new(network.digest())),
            health: Mutex::new(vec![Health::default(); nodes + replicas]),
            caught: Mutex::default(),
            known: Mutex::default(),
            secrets: Mutex::default(),
            speeds: Speeds::default(),
            network,
        };
        Ok(Self { shared: Arc::new(shared), listener: None, patience: FACT })
    }

    /// The same client, which tells `listener` what happens in sessions that are joined or created with it. The listener must not block.
    #[must_use]
    pub fn with_progress(self, listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Listener(Arc::new(listener))), ..self }
    }

    /// The same client, which asks for a fact for so long (20 s otherwise) until it gives up: `block` and the waits of a session
    /// have their own.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Lets this client and its clones ask the node at `place` in the network file first, and hand operations in there, as long as
    /// it serves. Without this a random one is.
    pub fn prefer(&self, place: usize) {
        self.shared.home.store(place % self.network().nodes.len(), Ordering::Relaxed);
    }

    /// Believes no older board than the newest that a client of this network with this directory has seen, and keeps there what this client and its clones
    /// see. [`crate::Session::join`] and [`crate::Session::attach`] do this with [`crate::Options::state`]. The directory is made when there is something to keep.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::FileFormat`].
    pub fn remember(&self, folder: &Path) -> Result<(), Error> {
        let mut reached = self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = reached.open(folder)?;
        self.verifier().has_reached(kept);
        Ok(())
    }

    /// The network file.
    pub fn network(&self) -> &NetworkFile {
        &self.shared.network
    }

    /// What this client and its clones have sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.transport.counters.snapshot()
    }

    /// The greatest height that this client and its clones have found certified; 0 before the first.
    pub fn height(&self) -> u64 {
        self.verifier().newest().map_or(0, |at| at.height)
    }

    /// How many certificates this client and its clones have found good, at a pairing each.
    pub fn pairings(&self) -> u64 {
        self.verifier().pairings()
    }

    /// Answers of nodes that did not count, the latest last: at most 64.
    pub fn caught(&self) -> Vec<Caught> {
        self.shared.caught.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The cluster's parameters, which hash to the network file's genesis.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn parameters(&self) -> Result<NetworkParameters, Error> {
        let question = Question::new("the network's parameters", "network");
        self.certified(&question, |board, answer: Certified<NetworkParameters>| {
            board.parameters(&answer)?;
            Ok(answer.fact)
        })
        .await
    }

    /// The cluster's threshold keys of all epochs, for a network file: those that are known and those that a node adds.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn keys(&self) -> Result<Vec<EndorsedKeyRecord>, Error> {
        let question = Question::new("the threshold keys", "keys");
        let mut tried = BTreeMap::new();
        let learnt = self.survey(&question, self.reading(), |node| self.learn_from(node), &mut tried).await;
        let keys = self.verifier().keys();
        if learnt.is_some() && !keys.is_empty() { Ok(keys) } else { Err(no_answer(&question.what, &tried)) }
    }

    /// A session's record.
    ///
    /// # Errors
    /// [`Error::Refused`] with `unknown_session` if f + 1 nodes prove that there is none, [`Error::NoAnswer`].
    pub async fn session(&self, session: &SessionId) -> Result<SessionRecord, Error> {
        Ok(self.session_at(session).await?.1)
    }

    /// The newest certified block of the node that is asked, which is no older than any that this client has seen.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn latest_block(&self) -> Result<BoardAt, Error> {
        self.block_from(0, Duration::ZERO).await
    }

    /// A certified block of this height or a later one; waits up to `poll` for it.
    pub(crate) async fn block_from(&self, height: u64, poll: Duration) -> Result<BoardAt, Error> {
        let question = Question::new("the newest certificate", format!("certificate?height={height}"));
        let question = Question { poll, ..question };
        let mut tried = BTreeMap::new();
        let ask = async |node: usize| {
            let since = self.verifier().height();
            let certificate: Certificate = self.fetch(node, &question.path, poll).await?;
            Ok(self.board(node, &certificate, since).await?.at())
        };
        let found = self.survey(&question, self.reading(), ask, &mut tried).await;
        found.map(|(_, at)| at).ok_or_else(|| no_answer(&question.what, &tried))
    }

    /// A page of the list of sessions, from one node, for people: it has no proof.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn sessions(&self, cursor: Option<&str>, limit: u32) -> Result<SessionPage, Error> {
        let safe = |cursor: &&str| cursor.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        let cursor = cursor.filter(safe).map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("sessions?limit={limit}{cursor}");
        let question = Question::new("the list of sessions", path);
        let ask = |node: usize| self.fetch::<SessionPage>(node, &question.path, Duration::ZERO);
        let mut tried = BTreeMap::new();
        let page = self.survey(&question, self.reading(), ask, &mut tried).await;
        page.map(|(_, page)| page).ok_or_else(|| no_answer(&question.what, &tried))
    }

    /// Where a session stands and how much time is left, from one node, for people: it has no proof.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn phase(&self, session: &SessionId) -> Result<PhaseStatus, Error> {
        let what = format!("the phase of session {session}");
        let question = Question::about(session, what, format!("sessions/{session}/phase"));
        let ask = |node: usize| self.fetch::<PhaseStatus>(node, &question.path, Duration::ZERO);
        let mut tried = BTreeMap::new();
        let status = self.survey(&question, self.reading(), ask, &mut tried).await;
        status.map(|(_, status)| status).ok_or_else(|| no_answer(&question.what, &tried))
    }

    /// How every node says it is doing, in the order of the network file. Without proof.
    pub async fn status(&self) -> Vec<(NodeAddress, Result<NodeStatus, Tried>)> {
        let ask = |node: usize, address: &NodeAddress| {
            let address = address.clone();
            async move {
                let status = self.fetch::<NodeStatus>(node, "status", Duration::ZERO).await;
                (address, status.map_err(|failure| self.tried(node, &failure)))
            }
        };
        futures::future::join_all(self.network().nodes.iter().enumerate().map(|(node, address)| ask(node, address)))
            .await
    }

    /// A session's record, and the board on which it is so.
    pub(crate) async fn session_at(&self, session: &SessionId) -> Result<(BoardAt, SessionRecord), Error> {
        let question = Question::about(session, format!("session {session}"), format!("sessions/{session}"));
        self.certified(&question, |board, answer: Certified<SessionFact>| {
            board.session(session, &answer)?;
            Ok((board.at(), answer.fact.record))
        })
        .await
    }

    /// The same from the first node of one round of asking whose answer counts, those that `wait` has not asked yet first. The node waits
    /// up to `poll` for what the query says.
    pub(crate) async fn session_once(
        &self,
        session: &SessionId,
        poll: Duration,
        query: &str,
        wait: &mut Wait,
    ) -> Option<(usize, BoardAt, SessionRecord)> {
        let path = format!("sessions/{session}?{query}");
        let question = Question { poll, ..Question::about(session, format!("session {session}"), path) };
        let check = |board: &Board, answer: Certified<SessionFact>| {
            board.session(session, &answer)?;
            Ok((board.at(), answer.fact.record))
        };
        let ask = |node: usize| self.prove(node, &question, check);
        let found = self.survey(&question, self.order_past(wait.asked()), ask, &mut wait.tried).await;
        found.map(|(node, (at, record))| (node, at, record))
    }

    /// True if somebody listens.
    pub(crate) fn is_watched(&self) -> bool {
        self.listener.is_some()
    }

    pub(crate) fn tell(&self, session: SessionId, event: Event) {
        if let Some(Listener(listener)) = &self.listener {
            listener(&Progress { session, event });
        }
    }
}

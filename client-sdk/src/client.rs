//! A cluster as a client sees it: asks f + 1 nodes, moves on to others, believes what f + 1 agree on.

use crate::{
    BadAnswer, Error, Tried,
    handshake::Ephemeral,
    network,
    progress::{Event, Listener, Progress, Traffic},
    survey::{FACT, Health, Question},
    transport::Transport,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use wire::{
    Answer, BlockFact, BoardAt, NetworkFile, NetworkParameters, NodeAddress, OperationId, PartiesFact, PublicKey,
    Receipt, SessionFact, SessionId, SessionRecord,
    api::{NodeStatus, SessionPage},
    list_digest,
};

/// One long poll for a block. Then other nodes are asked.
const POLL: Duration = Duration::from_secs(2);

/// A connection to a cluster. Cheap to clone; clones share connections, counters and ephemeral keys.
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
    /// How each node has served lately.
    pub(crate) health: Mutex<Vec<Health>>,
    /// What [`crate::session::Session::join`] made in this process, so that joining again finds it.
    ephemerals: Mutex<BTreeMap<(SessionId, PublicKey), Ephemeral>>,
}

impl Client {
    /// A client of the network file's cluster. Opens no connection yet.
    ///
    /// # Errors
    /// [`Error::NetworkFile`].
    pub fn new(network: NetworkFile) -> Result<Self, Error> {
        network::check(&network)?;
        let nodes = network.nodes.len();
        let shared = Shared {
            transport: Transport::new(&network)?,
            home: AtomicUsize::new(
                usize::try_from(rand_core::RngCore::next_u32(&mut rand_core::OsRng)).unwrap_or(0) % nodes,
            ),
            health: Mutex::new(vec![Health::default(); nodes]),
            ephemerals: Mutex::default(),
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

    /// The network file.
    pub fn network(&self) -> &NetworkFile {
        &self.shared.network
    }

    /// What this client and its clones have sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.transport.counters.snapshot()
    }

    /// The cluster's parameters, which hash to the network file's genesis.
    ///
    /// # Errors
    /// [`Error::NoAgreement`], [`Error::WrongGenesis`].
    pub async fn parameters(&self) -> Result<NetworkParameters, Error> {
        let question = Question::new("the network's parameters", "network");
        let answer = self.agree(&question, |_: &NetworkParameters| Ok(()), |fact| fact.digest()).await?;
        let (found, expected) = (answer.digest(), self.network().genesis);
        if found == expected { Ok(answer) } else { Err(Error::WrongGenesis { expected, found }) }
    }

    /// A session's record, as f + 1 nodes report it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `unknown_session`, [`Error::NoAgreement`].
    pub async fn session(&self, session: &SessionId) -> Result<SessionRecord, Error> {
        self.session_part(session, Duration::ZERO, None, SessionRecord::clone).await
    }

    /// A session's parties in index order, as f + 1 nodes report them.
    ///
    /// # Errors
    /// As [`Client::session`].
    pub async fn parties(&self, session: &SessionId) -> Result<Vec<PublicKey>, Error> {
        let question =
            Question::new(format!("the parties of session {session}"), format!("sessions/{session}/parties"));
        let same = |fact: &PartiesFact| match fact.session == *session {
            true => Ok(()),
            false => Err(BadAnswer::AboutSomethingElse { what: "session" }),
        };
        Ok(self.agree(&question, same, |fact| list_digest(&fact.parties)).await?.parties)
    }

    /// The block at a height, as f + 1 nodes report it; waits up to `wait` for it to be made.
    ///
    /// # Errors
    /// [`Error::Refused`] with `unknown_height`, [`Error::NoAgreement`].
    pub async fn block(&self, height: u64, wait: Duration) -> Result<BoardAt, Error> {
        let question = Question::new(format!("block {height}"), format!("blocks/{height}"));
        let question = Question { poll: wait.min(POLL), wait: (!wait.is_zero()).then_some(wait), ..question };
        let same = |fact: &BlockFact| match fact.block.height == height {
            true => Ok(()),
            false => Err(BadAnswer::AboutSomethingElse { what: "block" }),
        };
        Ok(self.agree(&question, same, |fact| fact.block).await?.block)
    }

    /// The newest block that f + 1 nodes have.
    ///
    /// # Errors
    /// [`Error::NoAgreement`].
    pub async fn latest_block(&self) -> Result<BoardAt, Error> {
        let ask = |node: usize, _| self.report::<BlockFact>(node, "blocks/latest", Duration::ZERO);
        let (mut heights, mut tried) = (Vec::new(), BTreeMap::new());
        // At least f + 1 of so many are honest, so that the f who may lie cannot hide what those have.
        let asked = self.network().nodes.len().saturating_sub(self.needed()).saturating_add(1);
        let enough = |_, answer: Answer<BlockFact>| {
            heights.push(answer.fact.block.height);
            Ok((heights.len() >= asked).then_some(()))
        };
        // With fewer answers, what they say is the best that can be known.
        let _ = self.survey(asked, ask, enough, &mut tried).await;
        heights.sort_unstable_by(|a, b| b.cmp(a));
        match heights.get(self.needed() - 1) {
            Some(height) => self.block(*height, Duration::ZERO).await,
            None => Err(self.no_agreement("the newest block", &tried)),
        }
    }

    /// What the board did with an operation, as f + 1 nodes report it.
    ///
    /// # Errors
    /// [`Error::Refused`] with `unknown_operation`, [`Error::NoAgreement`].
    pub async fn receipt(&self, operation: &OperationId) -> Result<Receipt, Error> {
        let question = Question::new(format!("the receipt of {operation}"), format!("operations/{operation}"));
        let same = |fact: &Receipt| match fact.operation == *operation {
            true => Ok(()),
            false => Err(BadAnswer::AboutSomethingElse { what: "operation" }),
        };
        self.agree(&question, same, |fact| *fact).await
    }

    /// A page of the list of sessions, from one node, for people: it is not signed.
    ///
    /// # Errors
    /// [`Error::NoAgreement`] if no node answers.
    pub async fn sessions(&self, cursor: Option<&str>, limit: u32) -> Result<SessionPage, Error> {
        let safe = |cursor: &&str| cursor.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        let cursor = cursor.filter(safe).map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("sessions?limit={limit}{cursor}");
        let ask = |node: usize, _| self.fetch::<SessionPage>(node, &path, Duration::ZERO);
        let mut tried = BTreeMap::new();
        let page = self.survey(1, ask, |_, page| Ok(Some(page)), &mut tried).await;
        page.ok_or_else(|| self.no_agreement("the list of sessions", &tried))
    }

    /// How every node says it is doing, in the order of the network file. Not signed.
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

    /// A session's record, of which f + 1 nodes report the same `part`: beyond that, and what hashes to the session's id, it is one node's word. With `not_phase` set the nodes wait up to `poll` until
    /// the session is in another phase than that.
    pub(crate) async fn session_part<K: PartialEq>(
        &self,
        session: &SessionId,
        poll: Duration,
        not_phase: Option<&str>,
        part: impl Fn(&SessionRecord) -> K,
    ) -> Result<SessionRecord, Error> {
        let filter = not_phase.map(|phase| format!("?not_phase={phase}")).unwrap_or_default();
        let question = Question::new(format!("session {session}"), format!("sessions/{session}{filter}"));
        let question = Question { poll, ..question };
        let check = |fact: &SessionFact| check_record(self.network(), session, fact);
        Ok(self.agree(&question, check, |fact| part(&fact.record)).await?.record)
    }

    pub(crate) fn tell(&self, session: SessionId, event: Event) {
        if let Some(Listener(listener)) = &self.listener {
            listener(&Progress { session, event });
        }
    }

    /// The ephemeral key that `party` uses in `session`, made by `make` the first time.
    pub(crate) fn ephemeral(
        &self,
        session: SessionId,
        party: PublicKey,
        make: Option<impl FnOnce() -> Ephemeral>,
    ) -> Option<Ephemeral> {
        let mut ephemerals = self.shared.ephemerals.lock().unwrap_or_else(PoisonError::into_inner);
        match (ephemerals.get(&(session, party)), make) {
            (Some(known), _) => Some(known.clone()),
            (None, Some(make)) => Some(ephemerals.entry((session, party)).or_insert_with(make).clone()),
            (None, None) => None,
        }
    }

    /// Wipes an ephemeral key that is needed no more.
    pub(crate) fn forget_ephemeral(&self, session: SessionId, party: PublicKey) {
        self.shared.ephemerals.lock().unwrap_or_else(PoisonError::into_inner).remove(&(session, party));
    }
}

/// A session's record proves itself: its specification hashes to the id, and of an invited session also its list.
fn check_record(network: &NetworkFile, session: &SessionId, fact: &SessionFact) -> Result<(), BadAnswer> {
    if fact.session != *session {
        return Err(BadAnswer::AboutSomethingElse { what: "session" });
    }
    let record = &fact.record;
    if !record.belongs_to(&network.chain, session) {
        return Err(BadAnswer::ForeignRecord { what: "the specification" });
    }
    let wire::Admission::Invited { keys } = &record.spec.admission;
    if record.list != list_digest(keys) || usize::from(record.parties) != keys.len() {
        return Err(BadAnswer::ForeignRecord { what: "the list of parties" });
    }
    Ok(())
}

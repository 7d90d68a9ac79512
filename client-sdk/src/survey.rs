//! Asking nodes: one, and others when its answer does not count or does not come; everybody's words are kept for the error.

use crate::{
    BadAnswer, Board, Client, Error, Tried, Verifier,
    health::{Fault, Health},
    progress::Event,
    transport::{Failure, Transport},
};
use borsh::BorshDeserialize;
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use wire::{Certificate, Certified, Code, EndorsedKeyRecord, NetworkFile, NoSession, NodeAddress, Provable, SessionId};

/// A node that takes longer than it was asked to wait and this gets company: one more node is asked.
const HEDGE: Duration = Duration::from_millis(700);
/// Time for a fact that needs no waiting.
pub(crate) const FACT: Duration = Duration::from_secs(20);
/// How long "I do not know that" is taken for a node that is behind.
pub(crate) const BEHIND: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many answers that do not count are remembered.
const MAX_CAUGHT: usize = 64;

/// An answer that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The node's or replica's name in the network file.
    pub node: String,
    /// What it was asked for.
    pub what: String,
    /// What is wrong with its answer.
    pub bad: BadAnswer,
}

/// Something that is asked of a node.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) what: String,
    /// The session that it is about, if any.
    pub(crate) session: Option<SessionId>,
    pub(crate) path: String,
    /// How long a node may wait for what is not there yet.
    pub(crate) poll: Duration,
    /// Longest time to ask for it, if not the client's.
    pub(crate) wait: Option<Duration>,
}

impl Question {
    pub(crate) fn new(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self { what: what.into(), session: None, path: path.into(), poll: Duration::ZERO, wait: None }
    }

    pub(crate) fn about(session: &SessionId, what: impl Into<String>, path: impl Into<String>) -> Self {
        Self { session: Some(*session), ..Self::new(what, path) }
    }
}

impl Client {
    /// Asks until a node proves its answer, or the question's deadline. `check` looks at what is proved.
    pub(crate) async fn certified<F: Provable + BorshDeserialize, O>(
        &self,
        question: &Question,
        check: impl Fn(&Board, Certified<F>) -> Result<O, BadAnswer>,
    ) -> Result<O, Error> {
        let started = Instant::now();
        let wait = question.wait.unwrap_or(self.patience);
        let (mut tried, mut pauses) = (BTreeMap::new(), Pauses::default());
        loop {
            let ask = |node: usize| self.prove(node, question, &check);
            let asked = self.survey(question, self.reading(), ask, &mut tried);
            if let Ok(Some((_, found))) = timeout_at(started + wait, asked).await {
                return Ok(found);
            }
            let waited = started.elapsed();
            let refusal = self.common_refusal(&tried);
            let unknown = refusal.is_some_and(is_unknown) && question.wait.is_none();
            let patience = if unknown { wait.min(BEHIND) } else { wait };
            if waited >= patience || refusal.is_some_and(|code| !is_transient(code)) {
                return Err(match refusal {
                    Some(code) => Error::Refused { operation: None, code, tried: into_list(tried) },
                    None => no_answer(&question.what, &tried),
                });
            }
            pauses.pause().await;
        }
    }

    /// One node's answer with its proof, and what `check` makes of it.
    pub(crate) async fn prove<F: Provable + BorshDeserialize, O>(
        &self,
        node: usize,
        question: &Question,
        check: impl Fn(&Board, Certified<F>) -> Result<O, BadAnswer>,
    ) -> Result<O, Failure> {
        let since = self.verifier().height();
        let separator = if question.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{separator}proof=true", question.path);
        let answer: Certified<F> = match self.fetch(node, &path, question.poll).await {
            Err(failure) if failure.code == Some(Code::UnknownSession) => {
                return Err(self.unknown_session(node, since, question.session, failure).await?);
            }
            answer => answer?,
        };
        let board = self.board(node, &answer.certificate, since).await?;
        Ok(check(&board, answer)?)
    }

    /// Checks a certificate; asks the node that showed it for the key, if that is new.
    pub(crate) async fn board(&self, node: usize, certificate: &Certificate, since: u64) -> Result<Board, Failure> {
        let mut checked = self.verifier().check_certificate(certificate, since);
        if let Err(BadAnswer::UnknownEpoch { .. }) = checked {
            self.learn_from(node).await?;
            checked = self.verifier().check_certificate(certificate, since);
        }
        let height = self.verifier().height();
        self.shared.reached.lock().unwrap_or_else(PoisonError::into_inner).note(height);
        Ok(checked?)
    }

    /// Takes in the keys that a node has and this client has not, page by page. Each page must lead to a later epoch, and each key takes
    /// nodes of the epoch before to vouch for it, so that this ends.
    pub(crate) async fn learn_from(&self, node: usize) -> Result<(), Failure> {
        loop {
            let known = self.verifier().epoch();
            let path = format!("keys?from={}", known.saturating_add(1));
            let keys: Vec<EndorsedKeyRecord> = self.fetch(node, &path, Duration::ZERO).await?;
            let mut verifier = self.verifier();
            keys.iter().try_for_each(|endorsed| verifier.learn(endorsed))?;
            if verifier.epoch() == known {
                return Ok(());
            }
        }
    }

    /// That there is no such session is believed of a node only with a proof; then it is a refusal like any other.
    async fn unknown_session(
        &self,
        node: usize,
        since: u64,
        session: Option<SessionId>,
        failure: Failure,
    ) -> Result<Failure, Failure> {
        let (Some(session), Some(absence)) = (session, &failure.absence) else {
            return Err(BadAnswer::ProofCount { expected: 1, found: 0 }.into());
        };
        let absence: &Certified<NoSession> = absence;
        self.board(node, &absence.certificate, since).await?.no_session(&session, absence)?;
        Ok(failure)
    }

    /// Asks the nodes of `order` one after another until one's answer counts. One that fails is followed by the next at once, one that is
    /// slow gets company. `tried` gets everybody's latest word.
    pub(crate) async fn survey<O, Asked: Future<Output = Result<O, Failure>>>(
        &self,
        question: &Question,
        order: Vec<usize>,
        ask: impl Fn(usize) -> Asked,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Option<(usize, O)> {
        let mut waiting = order.into_iter();
        let launch = |node: usize| {
            let asked = ask(node);
            async move { (node, asked.await) }
        };
        let patience = question.poll.saturating_add(HEDGE);
        let (mut asked, mut silent) = (FuturesUnordered::new(), BTreeSet::new());
        let mut hedge_at = Instant::now();
        loop {
            if asked.is_empty() || Instant::now() >= hedge_at {
                match waiting.next() {
                    Some(node) => {
                        silent.insert(node);
                        asked.push(launch(node));
                    }
                    None if asked.is_empty() => return None,
                    None => {}
                }
                hedge_at = Instant::now() + patience;
            }
            let hedge = sleep_until(hedge_at);
            let (node, result) = tokio::select! {
                Some(next) = asked.next() => next,
                () = hedge, if waiting.len() > 0 => continue,
            };
            silent.remove(&node);
            match result {
                Ok(found) => {
                    tried.insert(node, self.tried(node, &Failure::new("it answered")));
                    self.praise(node);
                    // Who has kept the others waiting is asked after them from now on.
                    silent.iter().for_each(|node| self.blame(*node, Fault::Outage));
                    return Some((node, found));
                }
                Err(failure) => {
                    self.judge(node, question, &failure);
                    tried.insert(node, self.tried(node, &failure));
                    hedge_at = Instant::now();
                }
            }
        }
    }

    /// Remembers what a failure says of a node.
    pub(crate) fn judge(&self, node: usize, question: &Question, failure: &Failure) {
        match &failure.bad {
            Some(bad) => self.catch(node, &question.what, question.session, bad),
            None if is_outage(failure) => self.blame(node, Fault::Outage),
            None => {}
        }
    }

    /// Remembers an answer that does not count, and tells of it.
    pub(crate) fn catch(&self, node: usize, what: &str, session: Option<SessionId>, bad: &BadAnswer) {
        self.blame(node, if bad.is_lie() { Fault::Lie } else { Fault::Lag });
        let caught = Caught { node: self.name(node), what: what.to_owned(), bad: bad.clone() };
        if let Some(session) = session {
            self.tell(session, Event::Caught { node: caught.node.clone(), bad: bad.clone() });
        }
        let mut all = self.shared.caught.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_CAUGHT {
            all.pop_front();
        }
        all.push_back(caught);
    }

    pub(crate) async fn fetch<T: BorshDeserialize>(
        &self,
        node: usize,
        path: &str,
        poll: Duration,
    ) -> Result<T, Failure> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let waiting = match poll.as_millis() {
            0 => String::new(),
            millis => format!("{separator}timeout_ms={millis}"),
        };
        let url = format!("{}{waiting}", self.url(node, path)?);
        let height = self.verifier().height();
        self.shared.transport.get(&url, poll, height).await
    }

    pub(crate) fn url(&self, node: usize, path: &str) -> Result<String, Failure> {
        let (_, url) = self.place(node).ok_or_else(nobody)?;
        Ok(format!("{}/v1/{path}", url.trim_end_matches('/')))
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.shared.transport
    }

    /// Not to be held over an await.
    pub(crate) fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.shared.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn address(&self, node: usize) -> Result<&NodeAddress, Failure> {
        self.network().nodes.get(node).ok_or_else(nobody)
    }

    /// Name and base URL of a node, or of the replica whose number follows theirs.
    fn place(&self, node: usize) -> Option<(&str, &str)> {
        let NetworkFile { nodes, replicas, .. } = self.network();
        match node.checked_sub(nodes.len()) {
            None => nodes.get(node).map(|node| (node.name.as_str(), node.url.as_str())),
            Some(replica) => replicas.get(replica).map(|replica| (replica.name.as_str(), replica.url.as_str())),
        }
    }

    /// f + 1: among so many nodes is an honest one.
    pub(crate) fn needed(&self) -> usize {
        self.network().faults().saturating_add(1)
    }

    /// All nodes in the order in which they are asked for what takes a node: those that did not fail lately first, who lied last, the home node first
    /// among equals.
    pub(crate) fn order(&self) -> Vec<usize> {
        let nodes = self.network().nodes.len();
        self.reading().into_iter().filter(|node| *node < nodes).collect()
    }

    /// The same for what is only read: replicas are asked before nodes that serve as well.
    pub(crate) fn reading(&self) -> Vec<usize> {
        self.order_past(&BTreeSet::new())
    }

    /// The same, with `asked` after the others of their kind.
    pub(crate) fn order_past(&self, asked: &BTreeSet<usize>) -> Vec<usize> {
        let (nodes, replicas) = (self.network().nodes.len(), self.network().replicas.len());
        let home = self.shared.home.load(Ordering::Relaxed);
        let now = Instant::now();
        let health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        let rank = |node: &usize| (health.get(*node).map(|health| health.rank(now)), asked.contains(node));
        let turn = |first: usize, count: usize| (0..count).map(move |step| first + (home + step) % count);
        let mut order: Vec<usize> = turn(nodes, replicas).chain(turn(0, nodes)).collect();
        order.sort_by_key(rank);
        order
    }

    /// Lets another node be asked first from now on.
    pub(crate) fn rotate(&self) {
        let nodes = self.network().nodes.len();
        let next = |home: usize| Some((home + 1) % nodes);
        self.shared.home.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
    }

    pub(crate) fn blame(&self, node: usize, fault: Fault) {
        self.with_health(node, |health| health.blame(fault, Instant::now()));
    }

    pub(crate) fn praise(&self, node: usize) {
        self.with_health(node, Health::praise);
    }

    fn with_health(&self, node: usize, change: impl FnOnce(&mut Health)) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = health.get_mut(node) {
            change(health);
        }
    }

    pub(crate) fn tried(&self, node: usize, failure: &Failure) -> Tried {
        let Failure { code, said, bad, .. } = failure.clone();
        Tried { node: self.name(node), code, said, bad: bad.map(|bad| *bad) }
    }

    fn name(&self, node: usize) -> String {
        self.place(node).map_or_else(|| node.to_string(), |(name, _)| name.to_owned())
    }

    /// A code that f + 1 nodes gave, so an honest one among them. Nobody says how many replicas are honest.
    pub(crate) fn common_refusal(&self, tried: &BTreeMap<usize, Tried>) -> Option<Code> {
        let nodes = self.network().nodes.len();
        let codes = || tried.range(..nodes).filter_map(|(_, tried)| tried.code);
        codes().find(|code| codes().filter(|other| other == code).count() >= self.needed())
    }
}

fn nobody() -> Failure {
    Failure::new("the network file has no such node")
}

pub(crate) fn no_answer(what: &str, tried: &BTreeMap<usize, Tried>) -> Error {
    Error::NoAnswer { what: what.to_owned(), tried: into_list(tried.clone()) }
}

/// Pauses between tries, each twice as long as the one before, up to a second.
#[derive(Default)]
pub(crate) struct Pauses(u32);

impl Pauses {
    pub(crate) async fn pause(&mut self) {
        sleep((FIRST_PAUSE * 2u32.saturating_pow(self.0)).min(LONGEST_PAUSE)).await;
        self.0 = (self.0 + 1).min(16);
    }
}

pub(crate) fn into_list(tried: BTreeMap<usize, Tried>) -> Vec<Tried> {
    tried.into_values().collect()
}

/// Takes it for no answer yet that no node gave one: the caller has a deadline of its own.
///
/// # Errors
/// All other errors.
pub(crate) fn or_later<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NoAnswer { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// True if the node cannot serve. A refusal is an answer like any other.
pub(crate) fn is_outage(failure: &Failure) -> bool {
    failure.code.is_none_or(|code| {
        matches!(code, Code::Overloaded | Code::Unavailable | Code::Internal | Code::RequestTimeout | Code::NotDecided)
    })
}

fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownSession | Code::UnknownHeight | Code::UnknownOperation)
}

/// True for refusals that may only mean that the node is behind or busy.
pub(crate) fn is_transient(code: Code) -> bool {
    let busy =
        matches!(code, Code::Overloaded | Code::Unavailable | Code::NotDecided | Code::Internal | Code::RequestTimeout);
    busy || is_unknown(code) || matches!(code, Code::WrongPhase | Code::HeightOutOfRange | Code::NotReady)
}

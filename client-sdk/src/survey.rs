//! Asking nodes: f + 1 at first, others when those fail, disagree or are slow; everybody's words are kept for the error.

use crate::{
    BadAnswer, Client, Error, Tried,
    quorum::{Ballot, check_report},
    transport::{Failure, Transport},
};
use borsh::BorshDeserialize;
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use wire::{Answer, Code, Fact, NodeAddress, Report};

/// Once a node has answered, one more is asked each time this has passed without agreement.
const HEDGE: Duration = Duration::from_millis(700);
/// A node that failed is asked after the others for this long.
const PENALTY: Duration = Duration::from_secs(10);
/// A node that fails again and again is asked after the others for up to 2 to this power as long.
const MAX_DOUBLINGS: u32 = 5;
/// Time for a fact that needs no waiting.
pub(crate) const FACT: Duration = Duration::from_secs(20);
/// How long "I do not know that" is taken for a node that is behind.
pub(crate) const BEHIND: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How a node has served lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    avoid_until: Option<Instant>,
    /// In a row.
    failures: u32,
}

/// Something that is asked of f + 1 nodes.
pub(crate) struct Question {
    pub(crate) what: String,
    pub(crate) path: String,
    /// How long a node may wait for what is not there yet.
    pub(crate) poll: Duration,
    /// Longest time to ask for it, if not the client's.
    pub(crate) wait: Option<Duration>,
}

impl Question {
    pub(crate) fn new(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self { what: what.into(), path: path.into(), poll: Duration::ZERO, wait: None }
    }
}

impl Client {
    /// Asks until f + 1 nodes report the same `part` of a fact, or the question's deadline.
    pub(crate) async fn agree<F: Fact + BorshDeserialize + Clone, K: PartialEq>(
        &self,
        question: &Question,
        check: impl Fn(&F) -> Result<(), BadAnswer>,
        part: impl Fn(&F) -> K,
    ) -> Result<F, Error> {
        let started = Instant::now();
        let wait = question.wait.unwrap_or(self.patience);
        let (mut tried, mut pauses) = (BTreeMap::new(), Pauses::default());
        loop {
            let mut ballot: Ballot<Answer<F>> = Ballot::new(self.needed());
            let ask = |node: usize, _| self.report::<F>(node, &question.path, question.poll);
            let judge = |node: usize, answer: Answer<F>| {
                check(&answer.fact)?;
                ballot.insert(node, answer);
                Ok(ballot.agreed(|answer| part(&answer.fact)).map(|answer| answer.fact.clone()))
            };
            let agreed = timeout_at(started + wait, self.survey(self.needed(), ask, judge, &mut tried)).await;
            if let Ok(Some(fact)) = agreed {
                return Ok(fact);
            }
            let waited = started.elapsed();
            let refusal = self.common_refusal(&tried);
            let unknown = refusal.is_some_and(is_unknown) && question.wait.is_none();
            let patience = if unknown { wait.min(BEHIND) } else { wait };
            if waited >= patience || refusal.is_some_and(|code| !is_transient(code)) {
                return Err(match refusal {
                    Some(code) => Error::Refused { operation: None, code, tried: into_list(tried) },
                    None => self.no_agreement(&question.what, &tried),
                });
            }
            pauses.pause().await;
        }
    }

    /// Asks nodes one after another, `at_once` at a time, and hands each answer to `judge` until that has come to a decision. A node that
    /// fails is followed by the next one at once; and when some have answered without a decision, one more is asked every [`HEDGE`].
    /// Every node is asked once at most. `tried` gets everybody's latest word.
    pub(crate) async fn survey<T, O, Asked: Future<Output = Result<T, Failure>>>(
        &self,
        at_once: usize,
        ask: impl Fn(usize, usize) -> Asked,
        mut judge: impl FnMut(usize, T) -> Result<Option<O>, BadAnswer>,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Option<O> {
        let order = self.order();
        let mut waiting = order.iter().copied().enumerate();
        let launch = |(rank, node): (usize, usize)| {
            let asked = ask(node, rank);
            async move { (node, asked.await) }
        };
        let mut asked: FuturesUnordered<_> = waiting.by_ref().take(at_once).map(launch).collect();
        let mut silent: BTreeSet<usize> = order.iter().copied().take(at_once).collect();
        let (mut hedge_at, mut hedged): (Option<Instant>, bool) = (None, false);
        loop {
            let hedge = sleep_until(hedge_at.unwrap_or_else(Instant::now));
            let next = tokio::select! {
                next = asked.next() => next,
                () = hedge, if hedge_at.is_some() => {
                    asked.extend(waiting.next().map(launch));
                    hedge_at = (waiting.len() > 0).then(|| Instant::now() + HEDGE);
                    hedged = true;
                    continue;
                }
            };
            let (node, result) = next?;
            silent.remove(&node);
            tried.insert(node, Tried { node: self.name(node), code: None, said: "it answered".to_owned() });
            let judged = match result {
                Ok(answer) => judge(node, answer).map_err(|bad| (is_lie(&bad), Failure::new(bad.to_string()))),
                Err(failure) => Err((is_outage(&failure), failure)),
            };
            let failed = judged.is_err();
            match judged {
                Ok(Some(decision)) => {
                    self.praise(node);
                    // Who has kept the others waiting is asked after them from now on.
                    silent.iter().filter(|_| hedged).for_each(|node| self.blame(*node));
                    return Some(decision);
                }
                Ok(None) => {
                    hedge_at = hedge_at.or_else(|| (waiting.len() > 0).then(|| Instant::now() + HEDGE));
                }
                Err((blame, failure)) => {
                    if blame {
                        self.blame(node);
                    }
                    tried.insert(node, self.tried(node, &failure));
                }
            }
            if failed || asked.is_empty() {
                asked.extend(waiting.next().map(launch));
            }
        }
    }

    /// Asks one node for a report and checks who signed it.
    pub(crate) async fn report<F: Fact + BorshDeserialize>(
        &self,
        node: usize,
        path: &str,
        poll: Duration,
    ) -> Result<Answer<F>, Failure> {
        let report: Report<F> = self.fetch(node, path, poll).await?;
        let address = self.address(node)?;
        check_report(self.network(), &address.identity, report).map_err(|bad| Failure::new(bad.to_string()))
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
        self.shared.transport.get(&url, poll).await
    }

    pub(crate) fn url(&self, node: usize, path: &str) -> Result<String, Failure> {
        Ok(format!("{}/v1/{path}", self.address(node)?.url.trim_end_matches('/')))
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.shared.transport
    }

    fn address(&self, node: usize) -> Result<&NodeAddress, Failure> {
        self.network().nodes.get(node).ok_or_else(|| Failure::new("the network file has no such node"))
    }

    /// f + 1.
    pub(crate) fn needed(&self) -> usize {
        self.network().reports_needed()
    }

    /// All nodes in the order in which they are asked: those that did not fail lately first, the home node first among them.
    pub(crate) fn order(&self) -> Vec<usize> {
        let nodes = self.network().nodes.len();
        let home = self.shared.home.load(Ordering::Relaxed);
        let now = Instant::now();
        let health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        let avoided =
            |node: &usize| health.get(*node).is_some_and(|health| health.avoid_until.is_some_and(|at| at > now));
        let mut order: Vec<usize> = (0..nodes).map(|step| (home + step) % nodes).collect();
        order.sort_by_key(avoided);
        order
    }

    /// Lets another node be asked first from now on.
    pub(crate) fn rotate(&self) {
        let nodes = self.network().nodes.len();
        let next = |home: usize| Some((home + 1) % nodes);
        self.shared.home.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
    }

    /// Remembers that a node failed: it is asked after the others for a while, each time in a row for longer.
    pub(crate) fn blame(&self, node: usize) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = health.get_mut(node) {
            let penalty = PENALTY * 2u32.saturating_pow(health.failures.min(MAX_DOUBLINGS));
            health.avoid_until = Some(Instant::now() + penalty);
            health.failures = health.failures.saturating_add(1);
        }
    }

    /// Remembers that a node served well.
    pub(crate) fn praise(&self, node: usize) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = health.get_mut(node) {
            *health = Health::default();
        }
    }

    pub(crate) fn tried(&self, node: usize, failure: &Failure) -> Tried {
        Tried { node: self.name(node), code: failure.code, said: failure.said.clone() }
    }

    fn name(&self, node: usize) -> String {
        self.address(node).map_or_else(|_| node.to_string(), |address| address.name.clone())
    }

    /// A code that f + 1 nodes gave.
    pub(crate) fn common_refusal(&self, tried: &BTreeMap<usize, Tried>) -> Option<Code> {
        let mut ballot = Ballot::new(self.needed());
        for (node, tried) in tried {
            if let Some(code) = tried.code {
                ballot.insert(*node, code);
            }
        }
        ballot.agreed(|code| *code).copied()
    }

    pub(crate) fn no_agreement(&self, what: &str, tried: &BTreeMap<usize, Tried>) -> Error {
        Error::NoAgreement { what: what.to_owned(), needed: self.needed(), tried: into_list(tried.clone()) }
    }
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

/// Takes it for no answer yet that too few nodes could be reached or agreed: the caller has a deadline of its own.
///
/// # Errors
/// All other errors.
pub(crate) fn or_later<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NoAgreement { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// True if the node cannot serve. A refusal is an answer like any other.
pub(crate) fn is_outage(failure: &Failure) -> bool {
    failure.code.is_none_or(|code| {
        matches!(code, Code::Overloaded | Code::Unavailable | Code::Internal | Code::RequestTimeout | Code::NotDecided)
    })
}

/// True for answers that an honest node does not give. One that is behind may have a shorter mailbox than the reader holds.
pub(crate) fn is_lie(bad: &BadAnswer) -> bool {
    !matches!(bad, BadAnswer::Discontinuous { .. })
}

fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownSession | Code::UnknownHeight | Code::UnknownOperation)
}

/// True for refusals that may only mean that the node is behind or busy.
pub(crate) fn is_transient(code: Code) -> bool {
    let busy =
        matches!(code, Code::Overloaded | Code::Unavailable | Code::NotDecided | Code::Internal | Code::RequestTimeout);
    busy || is_unknown(code) || matches!(code, Code::WrongPhase | Code::HeightOutOfRange)
}

//! Fetches payloads that the board has accepted and this node lacks, from the nodes that have confirmed them and then from any.
//! Who answers with something else, or has nothing of what it confirmed, is remembered and asked last; who gives no answer in time, for a while.

use super::{Payloads, shelf::Missing};
use crate::{
    channel::ChannelError,
    peers::Peers,
    stored::{Slot, Wanted},
};
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wire::{Bytes, Code, MailboxKind, Operation, OperationId};

/// The route of fetches.
pub const ROUTE: &str = "/payloads";
/// A delivery that is a little late makes a fetch needless.
const GRACE: Duration = Duration::from_millis(100);
/// Payloads that are fetched at the same time.
const AT_ONCE: usize = 8;
/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A node that has not answered within this gets company: one more is asked. Reads wait twice as long for a payload.
const HEDGE: Duration = Duration::from_secs(1);
/// Who has kept others waiting so, or gave no answer at all, is asked after the others for so long.
const AVOIDED: Duration = Duration::from_secs(60);
/// Between two rounds over what is still missing: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Fetches what one node lacks.
pub struct Fetcher {
    payloads: Payloads,
    peers: Peers,
    records: Mutex<BTreeMap<usize, Record>>,
    /// Nobody delivers to a replica; and it may follow the board from long ago, of which nodes have erased what they confirmed.
    is_replica: bool,
}

/// How a peer has served.
#[derive(Clone, Copy, Default)]
struct Record {
    /// How often it had something else, or nothing of what it confirmed.
    broken_promises: u32,
    /// It gave no answer in time, and is avoided until then.
    hung_until: Option<Instant>,
}

impl Fetcher {
    /// A fetcher that has fetched nothing yet.
    pub fn new(payloads: Payloads, peers: Peers) -> Self {
        Self { payloads, peers, records: Mutex::default(), is_replica: false }
    }

    /// The same for a replica.
    #[must_use]
    pub fn of_replica(self) -> Self {
        Self { is_replica: true, ..self }
    }

    /// Fetches until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let (mut pause, grace) = (FIRST_PAUSE, if self.is_replica { Duration::ZERO } else { GRACE });
        loop {
            let missing = match self.payloads.0.shelf().await {
                Ok(shelf) => shelf.as_ref().map(super::shelf::Shelf::missing).unwrap_or_default(),
                Err(_) => Vec::new(),
            };
            if missing.is_empty() {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.payloads.0.wanted.notified(), if missing.is_empty() => sleep(grace).await,
                found = self.fetch_all(missing.clone()), if !missing.is_empty() => {
                    if found < missing.len() {
                        tracing::warn!(missing = missing.len() - found, "payloads are missing and nobody has given them");
                        tokio::select! {
                            () = shutdown.cancelled() => return,
                            () = self.payloads.0.wanted.notified() => sleep(grace).await,
                            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                        }
                    } else {
                        pause = FIRST_PAUSE;
                    }
                }
            }
        }
    }

    /// How many were found.
    async fn fetch_all(&self, missing: Vec<Missing>) -> usize {
        let fetches = missing.into_iter().map(|missing| self.fetch(missing));
        stream::iter(fetches).buffer_unordered(AT_ONCE).filter(|found| std::future::ready(*found)).count().await
    }

    /// True if the payload is here now, or of no more use. Peers are asked one after the other; one that takes its time gets company.
    pub(crate) async fn fetch(&self, Missing { wanted, holders }: Missing) -> bool {
        let nodes = &self.payloads.parameters().nodes;
        let confirmed = |peer: &usize| nodes.get(*peer).is_some_and(|node| holders.contains(&node.identity));
        let recipients = self.recipients(&wanted).await;
        let mut order = self.order(&wanted.operation, confirmed).into_iter();
        let (mut answers, mut silent) = (FuturesUnordered::new(), BTreeMap::new());
        loop {
            if let Some(peer) = order.next() {
                silent.insert(peer, Instant::now());
                answers.push(self.ask(peer, &wanted.operation));
            }
            let (peer, answer) = tokio::select! {
                answer = answers.next() => match answer {
                    Some(answer) => answer,
                    None => return false,
                },
                () = sleep(HEDGE), if order.len() > 0 => continue,
            };
            silent.remove(&peer);
            match answer {
                Ok(answer) if is_payload_of(&wanted, &answer, recipients) => {
                    let hung = silent.into_iter().filter(|(_, since)| since.elapsed() >= HEDGE);
                    hung.for_each(|(peer, _)| self.avoid(peer));
                    return self.keep(&wanted, answer).await;
                }
                Ok(_) => self.blame(peer, "gave something else than the payload that it was asked for"),
                // A peer that is ahead may have erased a backup that was replaced: it broke no promise.
                Err(ChannelError::Refused { code: Code::UnknownOperation, .. })
                    if confirmed(&peer) && !matches!(wanted.slot, Slot::Backup(..)) && !self.is_replica =>
                {
                    self.blame(peer, "has nothing of a payload that it confirmed");
                }
                Err(error) => {
                    if let ChannelError::TimedOut { .. } = error {
                        self.avoid(peer);
                    }
                    tracing::debug!(error = &error as &dyn std::error::Error, "a payload was not given");
                }
            }
        }
    }

    async fn ask(&self, peer: usize, operation: &OperationId) -> (usize, Result<axum::body::Bytes, ChannelError>) {
        (peer, self.peers.post(peer, ROUTE, operation.0.to_vec().into(), TIMEOUT).await)
    }

    async fn keep(&self, wanted: &Wanted, payload: axum::body::Bytes) -> bool {
        if let Err(error) = self.payloads.arrived(wanted, Bytes(payload.into())).await {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot store a payload");
            return false;
        }
        metrics::counter!("white_city_payloads_fetched_total").increment(1);
        true
    }

    /// All peers: those who answer in time first, of them those who keep their promises, of them those who have confirmed, from a place that
    /// differs from payload to payload, so that no node is asked for everything.
    fn order(&self, operation: &OperationId, confirmed: impl Fn(&usize) -> bool) -> Vec<usize> {
        let mut peers: Vec<usize> = self.peers.others().collect();
        let turn = operation.0.first().map_or(0, |byte| usize::from(*byte)) % peers.len().max(1);
        peers.rotate_left(turn);
        let (records, now) = (self.records.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        peers.sort_by_key(|peer| {
            let Record { broken_promises, hung_until } = records.get(peer).copied().unwrap_or_default();
            (hung_until.is_some_and(|until| until > now), broken_promises, !confirmed(peer))
        });
        peers
    }

    fn blame(&self, peer: usize, what: &str) {
        self.record(peer, |record| record.broken_promises = record.broken_promises.saturating_add(1));
        let name = self.payloads.parameters().nodes.get(peer).map_or("?", |node| node.name.as_str()).to_owned();
        tracing::warn!(node = name, what, "a node broke its promise");
        metrics::counter!("white_city_broken_promises_total", "node" => name).increment(1);
    }

    fn avoid(&self, peer: usize) {
        self.record(peer, |record| record.hung_until = Some(Instant::now() + AVOIDED));
    }

    fn record(&self, peer: usize, change: impl FnOnce(&mut Record)) {
        change(self.records.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default());
    }

    /// Number of items that the payload must have, if it is a private one.
    async fn recipients(&self, wanted: &Wanted) -> u16 {
        if !matches!(wanted.slot, Slot::Mailbox(mailbox) if mailbox.kind == MailboxKind::Private) {
            return 0;
        }
        let session =
            self.payloads.0.board.session(&wanted.slot.session()).await.ok().and_then(|session| session.value);
        session.map_or(0, |session| session.record.parties)
    }
}

fn is_payload_of(wanted: &Wanted, payload: &[u8], recipients: u16) -> bool {
    let Wanted { slot, length, digest, .. } = *wanted;
    let operation = match slot {
        Slot::Mailbox(mailbox) => Operation::Write { mailbox, digest, length, recipients },
        // Of what else it signs, the payload tells nothing.
        Slot::Backup(session, number) => Operation::Backup { session, number, digest, length, keep_ms: 0 },
        Slot::Solution(session) => Operation::Solve { session, digest, length },
    };
    operation.check_payload(&Bytes(payload.to_vec())).is_ok()
}

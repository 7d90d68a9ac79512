//! What arrives for a protocol: every mailbox from which something is expected is polled all the time.

use super::{Execution, Place, lock};
use crate::{
    Difference, Error, crash,
    journal::Record,
    mailbox::{Message, Slot},
    reader::{Held, Reached, Wait},
    session::{SHORTEST_POLL, long_poll, millis},
    survey::{Pauses, into_list, no_answer},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use round_based::{Incoming, MessageType};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::{MailboxHead, MailboxKind, OperationId};

type Key = (MailboxKind, u32);

/// The receiving end of an execution.
pub(super) struct Inbox<'e> {
    execution: &'e Execution<'e>,
    arrived: VecDeque<Result<Arrived, Error>>,
    /// Who has been seen in which mailbox, of those that the execution is among; in their indices of the session.
    seen: BTreeMap<Key, BTreeSet<u16>>,
    /// Mailboxes that are not polled at the moment.
    idle: BTreeMap<Key, Mailbox>,
    polled: BTreeSet<Key>,
    /// What this run has read before, which it reads again first.
    before: VecDeque<(MailboxKind, u32, MailboxHead)>,
    /// So many of the journal's reads have been handed on.
    reads: usize,
    /// Closed by the board: nothing more comes there.
    closed: BTreeSet<Key>,
    polls: FuturesUnordered<BoxFuture<'e, Polled>>,
}

/// A message, not yet decoded.
pub(super) struct Arrived {
    kind: MailboxKind,
    round: u32,
    /// In the session.
    seat: u16,
    /// In the protocol.
    party: u16,
    data: Vec<u8>,
}

struct Mailbox {
    held: Held,
    /// So many of its messages have been received.
    received: usize,
    wait: Wait,
    polls_in_vain: u32,
}

struct Polled {
    key: Key,
    mailbox: Mailbox,
    reached: Reached,
}

impl Mailbox {
    fn start(execution: &Execution<'_>, slot: &Slot<'_>) -> Self {
        let held = Held::start(slot, Arc::clone(&execution.session.sightings));
        Self { held, received: 0, wait: Wait::default(), polls_in_vain: 0 }
    }
}

impl Arrived {
    pub(super) fn decode<M: DeserializeOwned>(self) -> Result<Incoming<M>, Error> {
        let Self { kind, round, seat, party, data } = self;
        let undecodable = |reason: String| Error::Undecodable { sender: seat, kind, round, reason };
        let mut rest = data.as_slice();
        let msg = ciborium::from_reader(&mut rest).map_err(|error| undecodable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(undecodable(format!("{} bytes follow it", rest.len())));
        }
        let msg_type = if kind == MailboxKind::Private { MessageType::P2P } else { MessageType::Broadcast };
        Ok(Incoming { id: Execution::message_id(kind, round, seat), sender: party, msg_type, msg })
    }
}

impl<'e> Inbox<'e> {
    pub(super) fn new(execution: &'e Execution<'e>) -> Self {
        Self {
            execution,
            arrived: VecDeque::new(),
            seen: BTreeMap::new(),
            idle: BTreeMap::new(),
            polled: BTreeSet::new(),
            before: execution.place.lock().reads(execution.place.execution).into(),
            reads: 0,
            closed: BTreeSet::new(),
            polls: FuturesUnordered::new(),
        }
    }

    /// The next message; `None` if nobody can write any more.
    pub(super) async fn next(&mut self) -> Option<Result<Arrived, Error>> {
        let started = Instant::now();
        loop {
            if let Err(error) = self.execution.let_out().await {
                return Some(Err(error));
            }
            if let Some(arrived) = self.arrived.pop_front() {
                return Some(arrived);
            }
            if let Some((kind, round, head)) = self.before.front().copied() {
                if let Err(error) = self.again((kind, round), head, started).await {
                    return Some(Err(error));
                }
                self.before.pop_front();
                self.has_read();
                continue;
            }
            self.listen(started);
            if self.polls.is_empty() {
                let closed = *self.closed.iter().next()?;
                return Some(Err(self.missing(closed, true, started, Wait::default())));
            }
            tokio::select! {
                Some(polled) = self.polls.next() => {
                    if let Err(error) = self.take(polled, started).await {
                        return Some(Err(error));
                    }
                }
                () = self.execution.news.notified() => {}
            }
        }
    }

    /// One more of the journal's reads is behind the protocol.
    fn has_read(&mut self) {
        self.reads += 1;
        self.execution.reads.fetch_max(self.reads, Ordering::Relaxed);
    }

    /// Of every other party, for each kind, the first slot in which it has not been seen.
    fn expected(&self) -> BTreeSet<Key> {
        let execution = self.execution;
        let private = execution.session.channels().is_open().then_some(MailboxKind::Private);
        let kinds = [MailboxKind::Broadcast].into_iter().chain(private);
        let first_unseen = |kind: MailboxKind, seat: u16| {
            let unseen = |round: &u32| !self.seen.get(&(kind, *round)).is_some_and(|seen| seen.contains(&seat));
            execution.rounds.clone().find(unseen).map(|round| (kind, round))
        };
        kinds.flat_map(|kind| self.others().filter_map(move |seat| first_unseen(kind, seat))).collect()
    }

    fn others(&self) -> impl Iterator<Item = u16> {
        let own = self.execution.session.seat().index;
        self.execution.parties.iter().copied().filter(move |seat| *seat != own)
    }

    /// Polls every mailbox from which something is expected.
    fn listen(&mut self, started: Instant) {
        let expected: Vec<Key> = self
            .expected()
            .into_iter()
            .filter(|key| !self.polled.contains(key) && !self.closed.contains(key))
            .collect();
        for key in expected {
            let slot = self.execution.slot(key.0, key.1);
            let execution = self.execution;
            let mailbox = self.idle.remove(&key).unwrap_or_else(|| Mailbox::start(execution, &slot));
            let left = self.patience().saturating_sub(started.elapsed());
            let poll = long_poll(mailbox.polls_in_vain).min(left);
            self.polled.insert(key);
            self.polls.push(poll_one(self.execution, key, mailbox, poll).boxed());
        }
    }

    fn patience(&self) -> Duration {
        self.execution.session.patience(self.execution.session.spec().running_ms)
    }

    async fn take(&mut self, polled: Polled, started: Instant) -> Result<(), Error> {
        let Polled { key, mut mailbox, reached } = polled;
        self.polled.remove(&key);
        let session = self.execution.session;
        let written = session.drop_held(
            &mut self.execution.outbox().unconfirmed,
            &self.execution.slot(key.0, key.1),
            &mailbox.held,
        );
        let news = mailbox.held.messages.len() > mailbox.received;
        if reached == Reached::Closed {
            self.closed.insert(key);
        }
        let outcome = match written {
            Err(error) => Err(error),
            Ok(()) if news => {
                (mailbox.wait, mailbox.polls_in_vain) = (Wait::default(), 0);
                self.receive(key, &mut mailbox)
            }
            Ok(()) => {
                mailbox.polls_in_vain += 1;
                self.in_vain(key, &mut mailbox.wait, started).await
            }
        };
        self.idle.insert(key, mailbox);
        outcome
    }

    /// Reads what an earlier run has read: the same, or nothing goes on.
    async fn again(&mut self, key: Key, journal: MailboxHead, started: Instant) -> Result<(), Error> {
        let start = || Mailbox::start(self.execution, &self.execution.slot(key.0, key.1));
        let mut mailbox = self.idle.remove(&key).unwrap_or_else(start);
        let outcome = self.read_again(key, &mut mailbox, journal, started).await;
        self.idle.insert(key, mailbox);
        outcome
    }

    async fn read_again(
        &mut self,
        key: Key,
        mailbox: &mut Mailbox,
        journal: MailboxHead,
        started: Instant,
    ) -> Result<(), Error> {
        let (kind, round) = key;
        let (execution, session) = (self.execution, self.execution.session);
        let slot = execution.slot(kind, round);
        let (mut pauses, patience) = (Pauses::default(), self.patience());
        let upto = usize::try_from(journal.count).unwrap_or(usize::MAX);
        while mailbox.held.messages.len() < upto {
            session.client.read_on(&slot, &mut mailbox.held, journal.count, Duration::ZERO, &mut mailbox.wait).await;
            if mailbox.held.messages.len() >= upto {
                break;
            }
            session.check_alive().await?;
            if mailbox.wait.is_over(started, patience, session.client.needed()) {
                return Err(no_answer(
                    &format!("what this party has read in {kind} round {round}"),
                    &mailbox.wait.tried,
                ));
            }
            pauses.pause().await;
        }
        let head = mailbox.held.head_after(&slot, upto).expect("so many messages are held");
        let now = MailboxHead { count: journal.count, head };
        if now != journal {
            return Err(execution.differs(Difference::Messages { kind, round, journal, now }));
        }
        session.drop_held(&mut execution.outbox().unconfirmed, &slot, &mailbox.held)?;
        self.hand_on(key, mailbox, upto)
    }

    /// Takes in all messages of a mailbox that have not been received, once that is in the journal.
    fn receive(&mut self, key: Key, mailbox: &mut Mailbox) -> Result<(), Error> {
        let place = &self.execution.place;
        let height = self.execution.session.client.verifier().height();
        let ((kind, round), head) = (key, mailbox.held.position.head);
        crash::point();
        place.lock().append(vec![Record::Read { execution: place.number(), kind, round, head, height }])?;
        self.has_read();
        self.hand_on(key, mailbox, mailbox.held.messages.len())
    }

    /// Hands on the messages of a mailbox up to a position.
    fn hand_on(&mut self, key: Key, mailbox: &mut Mailbox, upto: usize) -> Result<(), Error> {
        let (kind, round) = key;
        let (execution, slot, held) = (self.execution, self.execution.slot(kind, round), &mailbox.held);
        for (position, message) in held.messages.iter().enumerate().take(upto).skip(mailbox.received) {
            let Message { sender: seat, .. } = *message;
            let party = (0u16..).zip(&execution.parties).find(|(_, other)| **other == seat);
            let Some((party, _)) = party.filter(|(party, _)| *party != execution.index) else { continue };
            self.seen.entry(key).or_default().insert(seat);
            let head = held.head_after(&slot, position).expect("so many messages are held");
            let count = u32::try_from(position).expect("no mailbox has more entries than parties");
            let digest = *held.digests.get(&seat).expect("every message that is held has its digest");
            let place = Place { before: MailboxHead { count, head }, digest };
            lock(&execution.places).insert(Execution::message_id(kind, round, seat), place);
            let (received, unreadable) = execution.session.channels().receive(round, vec![message.clone()])?;
            self.arrived.extend(unreadable.into_iter().map(|sender| Err(Error::CannotOpen { sender, round })));
            let data = received.into_iter().filter_map(|received| received.data);
            self.arrived.extend(data.map(|data| Ok(Arrived { kind, round, seat, party, data })));
        }
        mailbox.received = mailbox.received.max(upto);
        Ok(())
    }

    /// After a poll that has brought nothing: is the session alive, are this party's own writes there, has it been too long?
    async fn in_vain(&mut self, key: Key, wait: &mut Wait, started: Instant) -> Result<(), Error> {
        let session = self.execution.session;
        let seen = session.check_alive().await?;
        let mut unconfirmed = self.execution.outbox().unconfirmed.clone();
        let asked: Vec<OperationId> = unconfirmed.iter().map(|write| write.envelope.id()).collect();
        session.tend(&mut unconfirmed, Duration::ZERO, &mut wait.tried).await?;
        self.execution.outbox().settle(&asked, &unconfirmed);
        let (closed, open): (Vec<Key>, Vec<Key>) =
            self.expected().into_iter().partition(|key| self.closed.contains(key));
        let others_awaited = open.iter().any(|open| self.is_awaited(open));
        if let Some(closed) = closed.into_iter().find(|closed| self.is_awaited(closed) && !others_awaited) {
            return Err(self.missing(closed, true, started, std::mem::take(wait)));
        }
        let awaited = self.is_awaited(&key) || !others_awaited;
        if awaited && wait.is_over(started, self.patience(), session.client.needed()) {
            session.not_there(&format!("{} round {}", key.0, key.1), wait, seen)?;
            return Err(self.missing(key, false, started, std::mem::take(wait)));
        }
        Ok(())
    }

    /// This party has written there, so the others probably will: their silence counts.
    fn is_awaited(&self, (kind, round): &Key) -> bool {
        *round < self.execution.outbox().next(*kind)
    }

    fn missing(&self, key: Key, closed: bool, started: Instant, wait: Wait) -> Error {
        let (kind, round) = key;
        let there = |seat: &u16| self.seen.get(&key).is_some_and(|seen| seen.contains(seat));
        let mut missing: Vec<u16> = self.others().filter(|seat| !there(seat)).collect();
        missing.sort_unstable();
        let wanted = self.execution.parties();
        Error::Missing {
            kind,
            round,
            wanted,
            seen: self.execution.session.sightings.of(&missing),
            missing,
            closed,
            waited_ms: millis(started),
            tried: into_list(wait.tried),
        }
    }
}

/// Reads on in a mailbox: waits for one more entry, and takes what has come with it.
async fn poll_one(execution: &Execution<'_>, key: Key, mut mailbox: Mailbox, poll: Duration) -> Polled {
    let (client, slot, since) = (&execution.session.client, execution.slot(key.0, key.1), Instant::now());
    let Mailbox { held, wait, received, .. } = &mut mailbox;
    let before = held.messages.len();
    if before > *received {
        // What came with an earlier read, and belongs to no read of the journal.
        return Polled { key, mailbox, reached: Reached::Open };
    }
    let one_more = held.position.head.count.saturating_add(1);
    let mut reached = client.read_on(&slot, held, one_more, poll, wait).await;
    let all = u32::from(execution.session.seat().parties);
    if held.messages.len() > before && held.position.head.count < all {
        reached = client.read_on(&slot, held, all, Duration::ZERO, wait).await;
    } else if since.elapsed() < SHORTEST_POLL {
        sleep(SHORTEST_POLL).await;
    }
    Polled { key, mailbox, reached }
}

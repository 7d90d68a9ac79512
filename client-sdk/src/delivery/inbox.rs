//! What arrives for a protocol: every mailbox from which something is expected is polled all the time.

use super::{Execution, Place, lock};
use crate::{
    Error,
    mailbox::Message,
    reader::{Held, Reached, Wait},
    session::{SHORTEST_POLL, long_poll, millis},
    survey::into_list,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use round_based::{Incoming, MessageType};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::{MailboxHead, MailboxKind};

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
    wait: Wait,
    polls_in_vain: u32,
}

struct Polled {
    key: Key,
    mailbox: Mailbox,
    /// So many messages were held before.
    before: usize,
    reached: Reached,
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
            let held = || Held::start(&slot, Arc::clone(&self.execution.session.sightings));
            let new = || Mailbox { held: held(), wait: Wait::default(), polls_in_vain: 0 };
            let mailbox = self.idle.remove(&key).unwrap_or_else(new);
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
        let Polled { key, mut mailbox, before, reached } = polled;
        self.polled.remove(&key);
        let session = self.execution.session;
        let written = session.drop_held(
            &mut self.execution.outbox().unconfirmed,
            &self.execution.slot(key.0, key.1),
            &mailbox.held,
        );
        let news = mailbox.held.messages.len() > before;
        if reached == Reached::Closed {
            self.closed.insert(key);
        }
        let outcome = match written {
            Err(error) => Err(error),
            Ok(()) if news => {
                (mailbox.wait, mailbox.polls_in_vain) = (Wait::default(), 0);
                self.receive(key, &mailbox.held, before)
            }
            Ok(()) => {
                mailbox.polls_in_vain += 1;
                self.in_vain(key, &mut mailbox.wait, started).await
            }
        };
        self.idle.insert(key, mailbox);
        outcome
    }

    /// Takes in the messages of a mailbox from position `before` on.
    fn receive(&mut self, key: Key, held: &Held, before: usize) -> Result<(), Error> {
        let (kind, round) = key;
        let (execution, slot) = (self.execution, self.execution.slot(kind, round));
        for (position, message) in held.messages.iter().enumerate().skip(before) {
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
        Ok(())
    }

    /// After a poll that has brought nothing: is the session alive, are this party's own writes there, has it been too long?
    async fn in_vain(&mut self, key: Key, wait: &mut Wait, started: Instant) -> Result<(), Error> {
        let session = self.execution.session;
        let seen = session.check_alive().await?;
        let mut unconfirmed = std::mem::take(&mut self.execution.outbox().unconfirmed);
        let tended = session.tend(&mut unconfirmed, Duration::ZERO, &mut wait.tried).await;
        self.execution.outbox().unconfirmed.append(&mut unconfirmed);
        tended?;
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
    let Mailbox { held, wait, .. } = &mut mailbox;
    let before = held.messages.len();
    let one_more = held.position.head.count.saturating_add(1);
    let mut reached = client.read_on(&slot, held, one_more, poll, wait).await;
    let all = u32::from(execution.session.seat().parties);
    if held.messages.len() > before && held.position.head.count < all {
        reached = client.read_on(&slot, held, all, Duration::ZERO, wait).await;
    } else if since.elapsed() < SHORTEST_POLL {
        sleep(SHORTEST_POLL).await;
    }
    Polled { key, mailbox, before, reached }
}

//! A party's seat in a session: writing, reading, running a program.

use crate::{
    Channels, Client, Error, Identity, PartyKeys, Tried,
    driver::{Action, Driver},
    journal::Journal,
    mailbox::{Message, Slot},
    progress::Event,
    protocol::{Protocol, Round, Seat},
    reader::{Found, Held, Reached, Wait},
    sighting::Sightings,
    submit::{SETTLE, Word},
    survey::{Pauses, into_list, no_answer, or_later},
};
use rand_core::OsRng;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use wire::{
    BoardAt, Bytes, Code, EndReason, Envelope, MailboxId, MailboxKind, Operation, Phase, PrivateSet, PrivateTree,
    PublicKey, SessionId, SessionRecord, SessionSpec, message_digest,
};

/// Local clocks and the board's may differ, and a block takes its time: waits go on for so long after the board's own deadlines.
pub(crate) const SLACK: Duration = Duration::from_secs(30);
/// A long poll that has been answered early and in vain is not repeated sooner than this.
pub(crate) const SHORTEST_POLL: Duration = Duration::from_millis(100);
const FIRST_POLL: Duration = Duration::from_secs(1);
/// Of the first poll's length, to the longest's of 8 seconds.
const MAX_DOUBLINGS: u32 = 3;

/// How a session is taken part in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Longest wait for anything. Without it the specification's own times hold: its deadlines for registering and solving, `keying_ms` for the
    /// handshake, `running_ms` for messages and the session's end.
    pub wait: Option<Duration>,
    /// A directory for what is needed after a restart: the secrets of the channels, how far the proof of work has come, and the
    /// [`crate::journal`] of programs' executions. Without it, who is killed on the way has lost them.
    pub state: Option<PathBuf>,
    /// So many threads solve the proof of work; without it as many as there are cores.
    pub threads: Option<NonZeroUsize>,
    /// Try also where this device is too slow to solve in time, as far as can be told.
    pub even_if_slow: bool,
    /// Keep the secrets of the channels after the session's end, for sessions of its group that are to follow, until [`Session::forget`].
    pub keep_keys: bool,
}

/// What a mailbox held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The entries in consensus order, and the chain's head after them.
    pub round: Round,
    /// Indices of the senders, ascending, that wrote this party something that their keys do not open: they cheated. Their data is `None`.
    pub unreadable: Vec<u16>,
}

/// One party in one session. Dropping it leaves the session as it is.
#[derive(Debug)]
pub struct Session {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) spec: SessionSpec,
    pub(crate) keys: Arc<PartyKeys>,
    pub(crate) absent: Vec<u16>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) options: Options,
    pub(crate) mailboxes: Mailboxes,
    /// When each party was last seen.
    pub(crate) sightings: Arc<Sightings>,
    /// Opened by the first execution.
    pub(crate) journal: Mutex<Option<Arc<Mutex<Journal>>>>,
}

/// A write that is not yet proved to be on the board.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) envelope: Envelope,
    /// The latest gateway's word for it.
    pub(crate) word: Option<Word>,
    /// When it was handed in last.
    pub(crate) since: Instant,
}

impl Unconfirmed {
    /// Whether it is time that the board of `height` has it.
    fn should_be_there(&self, height: u64) -> bool {
        let named = self.word.and_then(|word| word.height);
        named.is_some_and(|named| named <= height) || self.since.elapsed() >= SETTLE
    }
}

/// What has been read of each mailbox; whoever reads on in one holds its lock.
type Mailboxes = Mutex<BTreeMap<(MailboxKind, u32), Arc<tokio::sync::Mutex<Held>>>>;

impl Session {
    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.seat().session
    }

    /// This party's seat.
    pub fn seat(&self) -> &Seat {
        self.channels.seat()
    }

    /// The session's specification, checked against its id.
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// The parties' public keys, in index order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Indices of the parties that gave no key in time and take no part, as of joining.
    pub fn absent(&self) -> &[u16] {
        &self.absent
    }

    /// The private channels.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Runs a program to its output. All its messages are on the board when this returns `Ok`; the session goes on until
    /// enough parties [`Session::leave`]. Who dies on the way cannot go on; for that there is [`Session::execution`].
    ///
    /// # Errors
    /// [`Error::Aborted`] if the program gives up, [`Error::Missing`] with the parties that have not written in time,
    /// [`Error::SessionEnded`] if others gave up, and the errors of [`Driver::step`] and of writing.
    pub async fn run<P: Protocol>(&self, program: P) -> Result<P::Output, Error> {
        let mut driver = Driver::new(program, Arc::clone(&self.channels), &self.spec);
        let mut unsent: Vec<Envelope> = Vec::new();
        let mut unconfirmed: Vec<Unconfirmed> = Vec::new();
        loop {
            let action = driver.step()?;
            if let Action::Write { kind, round, payload } = action {
                unsent.push(self.envelope(kind, round, payload));
                continue;
            }
            unconfirmed.append(&mut self.hand_in(std::mem::take(&mut unsent)).await?);
            match action {
                Action::Read { kind, round, count } => {
                    let reading = self.read_messages(kind, round, count, &mut unconfirmed).await?;
                    driver.deliver(kind, round, reading.0, reading.1)?;
                }
                Action::Output(output) => {
                    self.confirm(unconfirmed).await?;
                    return Ok(output);
                }
                Action::Write { .. } => {}
            }
        }
    }

    /// Writes `data` for all parties to read. Returns when it is on the board. With a state directory it is in the journal before it leaves: written
    /// again after a crash, the same is sent byte for byte.
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`] if the journal holds another message for the round, [`Error::SlotTaken`] if the board does; [`Error::TooLong`],
    /// [`Error::NoSuchRound`], [`Error::Refused`], [`Error::NotOnBoard`]; [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub async fn broadcast(&self, round: u32, data: Vec<u8>) -> Result<(), Error> {
        self.write(MailboxKind::Broadcast, round, data, "the broadcast").await
    }

    /// Writes this party's private messages of a round, by recipient; all of them, for a second set is refused. Returns when they are on the board.
    ///
    /// # Errors
    /// As [`Session::broadcast`]; [`Error::NoChannels`], [`Error::NoRecipient`].
    pub async fn send_private(&self, round: u32, messages: &BTreeMap<u16, Vec<u8>>) -> Result<(), Error> {
        let set: PrivateSet = self.channels.seal(round, messages)?;
        self.write(MailboxKind::Private, round, set.encode().0, "the set of private messages").await
    }

    /// Waits for the first `count` entries of a mailbox.
    ///
    /// # Errors
    /// [`Error::Missing`], at once if there can never be so many, for some parties are absent; [`Error::SessionEnded`]; [`Error::NoChannels`] if there is a private message and no key to open it.
    pub async fn read(&self, kind: MailboxKind, round: u32, count: u16) -> Result<Reading, Error> {
        let (head, messages) = self.read_messages(kind, round, count, &mut Vec::new()).await?;
        self.open(round, head, messages)
    }

    /// What a mailbox holds now, without waiting.
    ///
    /// # Errors
    /// [`Error::NoChannels`] if there is a private message and no key to open it; [`Error::NoAnswer`] if no node does.
    pub async fn read_available(&self, kind: MailboxKind, round: u32) -> Result<Reading, Error> {
        let slot = self.slot(kind, round);
        let mailbox = self.held(&slot);
        let mut held = mailbox.lock().await;
        let mut wait = Wait::default();
        loop {
            let (before, parties) = (held.messages.len(), u32::from(self.seat().parties));
            let reached = self.client.read_on(&slot, &mut held, parties, Duration::ZERO, &mut wait).await;
            if held.messages.len() > before {
                // There may be more than one page.
                continue;
            }
            if reached == Reached::Nothing {
                return Err(no_answer(&format!("{kind} round {round}"), &wait.tried));
            }
            return self.open(round, held.position.head.head, held.messages.clone());
        }
    }

    pub(crate) fn slot(&self, kind: MailboxKind, round: u32) -> Slot<'_> {
        let recipient = (kind == MailboxKind::Private).then_some(self.seat().index);
        let mailbox = MailboxId { session: self.id(), kind, round };
        Slot { chain: &self.client.network().chain, mailbox, keys: &self.keys, recipient }
    }

    pub(crate) fn held(&self, slot: &Slot<'_>) -> Arc<tokio::sync::Mutex<Held>> {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (slot.mailbox.kind, slot.mailbox.round);
        let start = || Arc::new(tokio::sync::Mutex::new(Held::start(slot, Arc::clone(&self.sightings))));
        Arc::clone(mailboxes.entry(key).or_insert_with(start))
    }

    /// The longest wait where the specification allows `spec_ms`.
    pub(crate) fn patience(&self, spec_ms: u64) -> Duration {
        let spec = Duration::from_millis(spec_ms).saturating_add(SLACK);
        self.options.wait.map_or(spec, |wait| wait.min(spec))
    }

    /// This party's signed write.
    pub(crate) fn envelope(&self, kind: MailboxKind, round: u32, payload: Vec<u8>) -> Envelope {
        let payload = Bytes(payload);
        let (digest, recipients) = match kind {
            MailboxKind::Keying | MailboxKind::Broadcast => (message_digest(&payload.0), 0),
            MailboxKind::Private => {
                let tree = PrivateTree::decode(payload.clone())
                    .expect("private payloads are encoded here, with 1 to MAX_PARTIES items");
                (tree.root(), self.seat().parties)
            }
        };
        let mailbox = MailboxId { session: self.id(), kind, round };
        let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients };
        self.identity.envelope(&self.client.network().chain, operation, payload, OsRng)
    }

    /// Hands writes in and tells of it.
    pub(crate) async fn hand_in(&self, writes: Vec<Envelope>) -> Result<Vec<Unconfirmed>, Error> {
        let handed_in = self.client.hand_in(&writes, self.patience(self.spec.running_ms)).await;
        let words = match handed_in {
            Err(Error::Refused { operation, code: Code::DuplicateDifferent, tried }) => {
                let taken = writes.iter().find(|write| Some(write.id()) == operation).and_then(slot_of);
                let (kind, round) = taken.ok_or(Error::Refused { operation, code: Code::DuplicateDifferent, tried })?;
                return Err(Error::SlotTaken { kind, round });
            }
            other => other?,
        };
        for write in &writes {
            if let Some((kind, round)) = slot_of(write) {
                self.client.tell(self.id(), Event::Written { kind, round, bytes: write.payload.0.len() });
            }
        }
        let since = Instant::now();
        let unconfirmed =
            |envelope: Envelope| Unconfirmed { word: words.get(&envelope.id()).copied(), envelope, since };
        Ok(writes.into_iter().map(unconfirmed).collect())
    }

    async fn write(&self, kind: MailboxKind, round: u32, payload: Vec<u8>, what: &'static str) -> Result<(), Error> {
        let limit = usize::try_from(self.spec.max_message_bytes).unwrap_or(usize::MAX);
        if payload.len() > limit {
            return Err(Error::TooLong { what, length: payload.len(), limit });
        }
        if round >= self.spec.max_rounds {
            return Err(Error::NoSuchRound { round, rounds: self.spec.max_rounds });
        }
        let handed_in = self.hand_in(vec![self.write_once(kind, round, payload)?]).await?;
        self.confirm(handed_in).await
    }

    /// Returns when all these writes were found on the board; hands in again what was not.
    pub(crate) async fn confirm(&self, mut writes: Vec<Unconfirmed>) -> Result<(), Error> {
        let started = Instant::now();
        let mut tried = BTreeMap::new();
        loop {
            self.tend(&mut writes, SETTLE, &mut tried).await?;
            let Some(first) = writes.first() else { return Ok(()) };
            if started.elapsed() >= self.patience(self.spec.running_ms) {
                let (operation, waited_ms) = (first.envelope.id(), millis(started));
                return Err(Error::NotOnBoard { operation, waited_ms, tried: into_list(tried) });
            }
        }
    }

    /// Drops from `writes` those that are proved to be on the board and hands in again, elsewhere, what is not there after `patience` and should be.
    pub(crate) async fn tend(
        &self,
        writes: &mut Vec<Unconfirmed>,
        patience: Duration,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Result<(), Error> {
        let (mut lost, mut young) = (Vec::new(), Vec::new());
        for write in writes.drain(..) {
            let Operation::Write { mailbox: MailboxId { kind, round, .. }, digest, .. } = &write.envelope.signed.body
            else {
                continue;
            };
            let (slot, id) = (self.slot(*kind, *round), write.envelope.id());
            match self.client.find_write(&slot, (id, self.seat().index, digest), patience, tried).await {
                Found::Here => {}
                Found::Other => return Err(Error::SlotTaken { kind: *kind, round: *round }),
                Found::Nothing { height } if write.should_be_there(height) => {
                    write.word.iter().for_each(|word| self.client.check_word(word, &id, height));
                    lost.push(write.envelope);
                }
                Found::Unknown if write.since.elapsed() >= SETTLE => lost.push(write.envelope),
                Found::Nothing { .. } | Found::Unknown => young.push(write),
            }
        }
        *writes = young;
        if !lost.is_empty() {
            self.client.rotate();
            let since = Instant::now();
            let words = match self.client.hand_in(&lost, SETTLE).await {
                Ok(words) => words,
                // Not now: the caller tries again until its own deadline.
                Err(Error::NotOnBoard { .. }) => BTreeMap::new(),
                Err(other) => return Err(other),
            };
            let again = |envelope: Envelope| Unconfirmed { word: words.get(&envelope.id()).copied(), envelope, since };
            writes.extend(lost.into_iter().map(again));
        }
        Ok(())
    }

    /// The first `count` entries, as soon as they are there. In the meantime, looks after this party's own writes.
    pub(crate) async fn read_messages(
        &self,
        kind: MailboxKind,
        round: u32,
        count: u16,
        unconfirmed: &mut Vec<Unconfirmed>,
    ) -> Result<(wire::Hash, Vec<Message>), Error> {
        let started = Instant::now();
        let patience = self.patience(self.spec.running_ms);
        let slot = self.slot(kind, round);
        let mailbox = self.held(&slot);
        let mut held = mailbox.lock().await;
        let (mut wait, mut polls, mut pauses) = (Wait::default(), 0, Pauses::default());
        let missing = |missing: Vec<u16>, closed: bool, wait: Wait| {
            let (seen, wanted) = (self.sightings.of(&missing), count);
            let (waited_ms, tried) = (millis(started), into_list(wait.tried));
            Error::Missing { kind, round, wanted, missing, seen, closed, waited_ms, tried }
        };
        loop {
            self.drop_held(unconfirmed, &slot, &held)?;
            if let Some(done) = self.first_entries(&slot, &held, count) {
                return Ok(done);
            }
            if usize::from(count).saturating_add(self.absent.len()) > self.keys.len() {
                return Err(missing(self.missing_or_absent(&held.position.senders), false, wait));
            }
            let polled = Instant::now();
            let poll = long_poll(polls).min(patience.saturating_sub(started.elapsed()));
            polls += 1;
            let before = held.messages.len();
            let reached = self.client.read_on(&slot, &mut held, u32::from(count), poll, &mut wait).await;
            let have = u16::try_from(held.messages.len()).unwrap_or(u16::MAX);
            self.client.tell(self.id(), Event::Read { kind, round, have: have.min(count), want: count });
            if have >= count {
                continue;
            }
            if reached == Reached::Closed {
                return Err(missing(self.missing(&held.position.senders), true, wait));
            }
            let is_over = wait.is_over(started, patience, self.client.needed());
            // Where others still write, the session goes on.
            let seen = if held.messages.len() > before && !is_over { None } else { self.check_alive().await? };
            if is_over {
                self.not_there(&format!("{kind} round {round}"), &wait, seen)?;
                return Err(missing(self.missing(&held.position.senders), false, wait));
            }
            self.tend(unconfirmed, Duration::ZERO, &mut wait.tried).await?;
            if polled.elapsed() < SHORTEST_POLL {
                pauses.pause().await;
            }
        }
    }

    /// What was waited for in vain is not there, if f + 1 nodes have shown that; and where the time of the session itself is meant, only under
    /// a certificate whose time is past that. Returns the session as it was `seen`.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] if that is not so: then nobody is missing, but too few nodes have answered, or the board stands still.
    pub(crate) fn not_there(
        &self,
        what: &str,
        wait: &Wait,
        seen: Option<(BoardAt, SessionRecord)>,
    ) -> Result<(BoardAt, SessionRecord), Error> {
        let by_own_clock = self.options.wait.is_some();
        let is_past = |(at, record): &(BoardAt, SessionRecord)| {
            record.phase >= Phase::Ended || record.deadline_ms.is_some_and(|deadline_ms| at.time_ms >= deadline_ms)
        };
        seen.filter(|seen| wait.shown() >= self.client.needed() && (by_own_clock || is_past(seen)))
            .ok_or_else(|| no_answer(what, &wait.tried))
    }

    pub(crate) fn still_in(&self, phase: Phase, missing: Vec<u16>, started: Instant, wait: Wait) -> Error {
        let (session, waited_ms, tried) = (self.id(), millis(started), into_list(wait.tried));
        let seen = self.sightings.of(&missing);
        Error::StillInPhase { session, phase, missing, seen, waited_ms, tried }
    }

    /// Drops from `unconfirmed` the write to the mailbox that is held, if it is in there.
    pub(crate) fn drop_held(
        &self,
        unconfirmed: &mut Vec<Unconfirmed>,
        slot: &Slot<'_>,
        held: &Held,
    ) -> Result<(), Error> {
        let Some(written) = held.digests.get(&self.seat().index) else { return Ok(()) };
        let here = |write: &Unconfirmed| matches!(&write.envelope.signed.body, Operation::Write { mailbox, .. } if *mailbox == slot.mailbox);
        let same = |write: &Unconfirmed| matches!(&write.envelope.signed.body, Operation::Write { digest, .. } if digest == written);
        if unconfirmed.iter().any(|write| here(write) && !same(write)) {
            return Err(Error::SlotTaken { kind: slot.mailbox.kind, round: slot.mailbox.round });
        }
        unconfirmed.retain(|write| !here(write));
        Ok(())
    }

    fn first_entries(&self, slot: &Slot<'_>, held: &Held, count: u16) -> Option<(wire::Hash, Vec<Message>)> {
        let count = usize::from(count);
        let messages = held.messages.get(..count)?.to_vec();
        Some((held.head_after(slot, count)?, messages))
    }

    /// All parties that take part and are not among `senders`.
    pub(crate) fn missing(&self, senders: &BTreeSet<u16>) -> Vec<u16> {
        let waited_for = |index: &u16| !senders.contains(index) && !self.absent.contains(index);
        (0..self.seat().parties).filter(waited_for).collect()
    }

    /// All parties that are not among `senders`, the absent ones too.
    fn missing_or_absent(&self, senders: &BTreeSet<u16>) -> Vec<u16> {
        (0..self.seat().parties).filter(|index| !senders.contains(index)).collect()
    }

    /// The session as a node proves it to be, if one does.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] if nobody will write any more, because the session was aborted, has expired or is erased.
    pub(crate) async fn check_alive(&self) -> Result<Option<(BoardAt, SessionRecord)>, Error> {
        let Some((at, record)) = or_later(self.client.session_at(&self.id()).await)? else { return Ok(None) };
        match record.end {
            Some(end) if end.reason != EndReason::Terminated || record.phase == Phase::Erased => {
                Err(Error::SessionEnded { session: self.id(), reason: end.reason, votes: record.aborted })
            }
            _ => Ok(Some((at, record))),
        }
    }

    fn open(&self, round: u32, head: wire::Hash, messages: Vec<Message>) -> Result<Reading, Error> {
        let (received, unreadable) = self.channels.receive(round, messages)?;
        Ok(Reading { round: Round { head, received }, unreadable: unreadable.into_iter().collect() })
    }
}

fn slot_of(write: &Envelope) -> Option<(MailboxKind, u32)> {
    match &write.signed.body {
        Operation::Write { mailbox, .. } => Some((mailbox.kind, mailbox.round)),
        _ => None,
    }
}

/// The length of the next long poll after so many in vain: after each, progress is shown and this party's own writes are looked after.
pub(crate) fn long_poll(polls: u32) -> Duration {
    FIRST_POLL * 2u32.pow(polls.min(MAX_DOUBLINGS))
}

pub(crate) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

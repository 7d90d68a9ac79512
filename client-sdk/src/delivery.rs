//! Protocols written for the crate [`round_based`], run unmodified on the board (feature `round-based`).
//!
//! An [`Execution`] is one run of one protocol on a range of a session's rounds that its parties have agreed on;
//! [`Execution::delivery`] is what [`round_based::MpcParty::connected`] takes. Messages travel in CBOR, and none is
//! longer than the session allows.
//!
//! ```no_run
//! # use client_sdk::{Error, Session, delivery::{Delivery, Execution}};
//! # use round_based::MpcParty;
//! # use serde::{Serialize, de::DeserializeOwned};
//! # async fn run<M, F: Future<Output = u64>>(
//! #     session: &Session,
//! #     protocol: impl FnOnce(u16, u16, MpcParty<M, Delivery<'_, M>>) -> F,
//! # ) -> Result<u64, Error>
//! # where
//! #     M: Serialize + DeserializeOwned + Send + 'static,
//! # {
//! let execution = Execution::new(session, 0..4, b"all that it computes with besides messages and seed")?;
//! let party = MpcParty::connected(execution.delivery());
//! let output = protocol(execution.index(), execution.parties(), party).await;
//! execution.finish().await?; // what the protocol sent last is on the board
//! # Ok(output)
//! # }
//! ```
//!
//! # Broadcast is reliable
//! A slot of the board is written once, and consensus shows everybody the same entry: nobody can send different broadcasts to different
//! parties. A protocol's own echo round adds nothing and can be switched off; `givre`, `cggmp21` and `cggmp24` have
//! `enforce_reliable_broadcast(false)` for that.
//!
//! # Which message is in which round of the board
//! Messages of `round_based` say themselves to which round of their protocol they belong, and its router keeps those that come
//! early. So a round of the board need not be one of the protocol; it only counts:
//! - A party's n-th broadcast is its entry in the n-th broadcast mailbox of the range.
//! - Its private messages are gathered and leave together, in the next private mailbox of the range: when the protocol waits for a
//!   message, when it sends a second one to the same recipient, or at [`Execution::finish`]. For on the board a party's
//!   private messages of a round are one operation, and who is written to stays hidden by that.
//!
//! The two count separately. A protocol that mixes both kinds in one round, or in which a party is silent in a round, leaves no gap: whoever
//! sends next writes to the slot that follows its own last one. A reader waits, of every party, for the first slot of each kind that it
//! has not seen, so that nobody's silence keeps others' messages away, and hands every message on as it comes.
//!
//! # Going on after a crash
//! An execution has a place in the party's journal ([`crate::journal`]), by its range of rounds: what the protocol sends is there, as it was signed, before it leaves, and
//! in which order it received what. Run again over the same rounds, with the same [`crate::Options::state`], it receives the same in the same order, and
//! what it sends must be what it sent, which then leaves again byte for byte. So a protocol goes on if it draws all its randomness, in
//! order, from a generator that is seeded with [`Execution::seed`], and is otherwise a function of its input and of what it receives. One that is not stops
//! with [`Error::ReplayDiffers`] before anything that differs has left: no nonce of it can answer twice. For the same reason the execution is begun with its
//! input: nonces of many protocols follow from the seed and not from what is signed, so a run over the same rounds with another message or key must not even
//! begin. One that sends or receives less than the journal holds does not come to its end, [`Execution::finish`].
//!
//! # Time
//! Time is that of the session: a wait without any new message ends as [`Session::read`] does, with the parties that have not written
//! where this party has. A session with a round time-out suits protocols in which everybody writes in every round.

mod inbox;
mod outbox;

use crate::{
    Difference, Error, Session, crash, execution,
    journal::{Record, Step},
    mailbox::{Position, Slot, check_entries},
    survey::Question,
};
use futures::{Sink, StreamExt, stream::BoxStream};
use inbox::Inbox;
use outbox::Outbox;
use rand_core::OsRng;
use round_based::{Incoming, MessageDestination, MsgId, Outgoing};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    ops::Range,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::Notify;
use wire::{Certified, Hash, MailboxFact, MailboxHead, MailboxId, MailboxKind, OperationId, PublicKey, message_digest};
use zeroize::Zeroizing;

/// One run of a protocol by parties of a session, on a range of its rounds that no other run uses.
pub struct Execution<'s> {
    session: &'s Session,
    rounds: Range<u32>,
    /// The session's index of each of the protocol's parties.
    parties: Vec<u16>,
    /// This party's index in the protocol.
    index: u16,
    name: String,
    seed: Zeroizing<[u8; 32]>,
    place: execution::Place,
    /// True once the board was seen not to be ahead of the journal.
    is_level: AtomicBool,
    /// So many of the journal's reads the protocol has come past.
    reads: AtomicUsize,
    outbox: Mutex<Outbox>,
    /// Held by who hands in what is in the outbox.
    leaving: tokio::sync::Mutex<()>,
    /// Something has been put into the outbox.
    news: Notify,
    /// Where each message stands in its mailbox.
    places: Mutex<BTreeMap<MsgId, Place>>,
}

/// Position in a mailbox, and the chain's head before it.
#[derive(Clone, Copy, Debug)]
struct Place {
    before: MailboxHead,
    digest: Hash,
}

/// A message as its sender signed it, with proof that it is on the board.
#[derive(Clone, Debug)]
pub struct Original {
    /// Who signed it.
    pub author: PublicKey,
    /// The session's index of the author.
    pub sender: u16,
    /// Certificate, the mailbox's page whose first entry is the message, and the proof of the mailbox's head. Of private messages the entry has this
    /// party's item, sealed, and its path to what was signed.
    pub proof: Certified<MailboxFact>,
}

/// What a protocol sends and receives by: the two ends of an [`Execution`].
pub struct Delivery<'e, M> {
    execution: &'e Execution<'e>,
    messages: PhantomData<fn(M) -> M>,
}

/// The end that a protocol writes to.
pub struct Sending<'e, M> {
    execution: &'e Execution<'e>,
    messages: PhantomData<fn(M)>,
}

impl<'s> Execution<'s> {
    /// A run among all parties of the session, under the indices that they have there. `input` is whatever the protocol computes with besides messages and
    /// seed, such as the message that it signs and the key, or a digest of it; it must be the same whenever a run over these rounds goes on. The journal keeps
    /// its digest.
    ///
    /// # Errors
    /// [`Error::InvalidExecution`] if the session has not all these rounds; and as [`Session::execution`].
    pub fn new(session: &'s Session, rounds: Range<u32>, input: &[u8]) -> Result<Self, Error> {
        let all: Vec<u16> = (0..session.seat().parties).collect();
        Self::among(session, rounds, &all, input)
    }

    /// A run among some parties of the session, of which this is one: the i-th of `parties` has index i in the protocol. Others read its broadcasts. `input` as
    /// in [`Execution::new`].
    ///
    /// # Errors
    /// [`Error::InvalidExecution`]; and as [`Session::execution`].
    pub fn among(session: &'s Session, rounds: Range<u32>, parties: &[u16], input: &[u8]) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidExecution { reason };
        if rounds.is_empty() || rounds.end > session.spec().max_rounds {
            return Err(invalid("the session does not have these rounds"));
        }
        let distinct: std::collections::BTreeSet<&u16> = parties.iter().collect();
        if distinct.len() != parties.len() || distinct.last().is_some_and(|last| **last >= session.seat().parties) {
            return Err(invalid("its parties are not distinct indices of the session's"));
        }
        let own = (0u16..).zip(parties).find(|(_, party)| **party == session.seat().index);
        let (index, _) = own.ok_or_else(|| invalid("this party does not take part in it"))?;
        let name = format!("round_based {}..{}", rounds.start, rounds.end);
        let bound = (parties, message_digest(input));
        let input = borsh::to_vec(&bound).expect("borsh to a vector fails only beyond u32 lengths");
        let (place, seed) = session.begin(&name, &input)?;
        let outbox = Mutex::new(Outbox::new(rounds.start));
        let (news, leaving, places) = (Notify::new(), tokio::sync::Mutex::default(), Mutex::default());
        let (parties, is_level, reads) = (parties.to_vec(), AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Self { session, rounds, parties, index, name, seed, place, is_level, reads, outbox, leaving, news, places })
    }

    /// This party's index in the protocol.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// How many parties run the protocol.
    pub fn parties(&self) -> u16 {
        u16::try_from(self.parties.len()).unwrap_or(u16::MAX)
    }

    /// 32 secret random bytes: the same whenever a run over these rounds goes on, others for any other.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }

    /// The two ends for the protocol. Call it once: a second one would receive everything again.
    pub fn delivery<M>(&self) -> Delivery<'_, M> {
        Delivery { execution: self, messages: PhantomData }
    }

    /// Lets out what the protocol has sent since it last waited, and returns when all that it has sent is on the board. After an error, or if it was dropped
    /// before it had returned, it may be called again.
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`] if an earlier run has sent or received more; those of [`Session::broadcast`] and [`Session::send_private`].
    pub async fn finish(&self) -> Result<(), Error> {
        self.outbox().seal(self)?;
        self.check_end()?;
        self.let_out().await?;
        // What is asked for stays in the outbox until it is found: a failure, or a caller who waits no longer, loses nothing.
        let unconfirmed = self.outbox().unconfirmed.clone();
        let asked: Vec<OperationId> = unconfirmed.iter().map(|write| write.envelope.id()).collect();
        self.session.confirm(unconfirmed).await?;
        self.outbox().settle(&asked, &[]);
        let mut journal = self.place.lock();
        if journal.is_finished(self.place.execution) {
            return Ok(());
        }
        journal.append(vec![Record::Finished { execution: self.place.number() }])
    }

    /// The id under which a party's message in a slot is delivered; `sender` is the index in the session.
    pub fn message_id(kind: MailboxKind, round: u32, sender: u16) -> MsgId {
        (u64::from(kind == MailboxKind::Private) << 48) | (u64::from(round) << 16) | u64::from(sender)
    }

    /// Fetches the signed original of a message that has been received, as evidence for others. [`crate::Board::page`] checks it.
    ///
    /// # Errors
    /// [`Error::UnknownMessage`]; [`Error::NoAnswer`] or [`Error::Refused`] if no node shows it, because the session is erased.
    pub async fn original(&self, message: MsgId) -> Result<Original, Error> {
        let unknown = || Error::UnknownMessage { message };
        let place = *lock(&self.places).get(&message).ok_or_else(unknown)?;
        let kind = if message >> 48 == 0 { MailboxKind::Broadcast } else { MailboxKind::Private };
        let round = u32::try_from((message >> 16) & u64::from(u32::MAX)).map_err(|_| unknown())?;
        let sender = u16::try_from(message & u64::from(u16::MAX)).map_err(|_| unknown())?;
        let author = *self.session.keys().get(usize::from(sender)).ok_or_else(unknown)?;
        let slot = self.session.slot(kind, round);
        let MailboxId { session, .. } = slot.mailbox;
        let recipient = slot.recipient.map(|index| format!("&recipient={index}")).unwrap_or_default();
        let path = format!("sessions/{session}/{kind}/{round}?from={}&count=1{recipient}", place.before.count);
        let question = Question::about(&session, format!("party {sender}'s entry in {kind} round {round}"), path);
        let before = Position { head: place.before, senders: Default::default() };
        let check = |board: &crate::Board, answer: Certified<MailboxFact>| {
            board.mailbox(&slot, &before, &answer)?;
            check_entries(&slot, &answer.fact.entries, OsRng)?;
            let first = answer.fact.entries.first();
            let same = first.is_some_and(|entry| entry.sender == sender && entry.digest == place.digest);
            if same { Ok(answer) } else { Err(crate::BadAnswer::OtherEntry) }
        };
        let proof = self.session.client.certified(&question, check).await?;
        Ok(Original { author, sender, proof })
    }

    /// The protocol is at its end: nothing may be left of what an earlier run has done.
    fn check_end(&self) -> Result<(), Error> {
        let next = [MailboxKind::Broadcast, MailboxKind::Private].map(|kind| (kind, self.outbox().next(kind)));
        let journal = self.place.lock();
        let written = next.iter().find_map(|(kind, round)| journal.written(self.place.execution, *kind, *round));
        let read = journal.reads(self.place.execution).get(self.reads.load(Ordering::Relaxed)).copied();
        let read = read.map(|(kind, round, head)| Step::Read { kind, round, head });
        written.or(read.as_ref()).map_or(Ok(()), |left| Err(self.differs(left.as_end())))
    }

    fn slot(&self, kind: MailboxKind, round: u32) -> Slot<'_> {
        self.session.slot(kind, round)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    /// The session's index of a party of the protocol.
    fn seat_of(&self, party: u16) -> Result<u16, Error> {
        let seat = self.parties.get(usize::from(party)).filter(|_| party != self.index);
        seat.copied().ok_or(Error::NoRecipient { party, parties: self.parties() })
    }

    /// Takes in what the protocol sends.
    fn put(&self, recipient: MessageDestination, data: Vec<u8>) -> Result<(), Error> {
        match recipient {
            MessageDestination::AllParties => self.outbox().broadcast(self, data)?,
            MessageDestination::OneParty(party) => {
                let to = self.seat_of(party)?;
                self.outbox().private(self, to, data)?;
            }
        }
        self.news.notify_one();
        Ok(())
    }

    /// Hands in all that the protocol has sent, once it is in the journal.
    async fn let_out(&self) -> Result<(), Error> {
        let _alone = self.leaving.lock().await;
        let fresh = {
            let mut outbox = self.outbox();
            outbox.seal(self)?;
            outbox.fresh.clone()
        };
        if !fresh.is_empty() && !self.is_level.load(Ordering::Relaxed) {
            let steps = self.place.lock().steps(self.place.execution);
            self.session.check_level(&fresh, steps).await?;
            self.is_level.store(true, Ordering::Relaxed);
        }
        let execution = self.place.number();
        self.place
            .lock()
            .append(fresh.iter().map(|envelope| Record::Write { execution, envelope: envelope.clone() }).collect())?;
        let leaving = {
            let mut outbox = self.outbox();
            outbox.fresh.drain(..fresh.len());
            outbox.leaving.extend(fresh);
            outbox.leaving.clone()
        };
        if leaving.is_empty() {
            return Ok(());
        }
        let count = leaving.len();
        let mut unconfirmed = self.session.hand_in(leaving).await?;
        crash::point();
        let mut outbox = self.outbox();
        outbox.leaving.drain(..count);
        outbox.unconfirmed.append(&mut unconfirmed);
        Ok(())
    }

    fn differs(&self, difference: Difference) -> Error {
        Error::ReplayDiffers { execution: self.name.clone(), difference }
    }
}

impl<'e, M> round_based::Delivery<M> for Delivery<'e, M>
where
    M: Serialize + DeserializeOwned + Send + 'e,
{
    type Send = Sending<'e, M>;
    type Receive = BoxStream<'e, Result<Incoming<M>, Error>>;
    type SendError = Error;
    type ReceiveError = Error;

    fn split(self) -> (Self::Receive, Self::Send) {
        let inbox = Inbox::new(self.execution);
        let arrivals =
            futures::stream::unfold(inbox, |mut inbox| async move { inbox.next().await.map(|next| (next, inbox)) });
        let messages = arrivals.map(|arrival| arrival.and_then(|arrived| arrived.decode()));
        (messages.boxed(), Sending { execution: self.execution, messages: PhantomData })
    }
}

/// Always ready: how much there can be is bounded by the execution's slots, and what is taken in leaves when the protocol waits.
impl<M: Serialize> Sink<Outgoing<M>> for Sending<'_, M> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, Outgoing { recipient, msg }: Outgoing<M>) -> Result<(), Error> {
        let mut data = Vec::new();
        ciborium::into_writer(&msg, &mut data).map_err(|error| Error::Unencodable { reason: error.to_string() })?;
        self.execution.put(recipient, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, parties, index, outbox, .. } = self;
        let shown = (name, parties, index, outbox);
        f.debug_tuple("Execution").field(&shown).finish()
    }
}

impl<M> fmt::Debug for Delivery<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("execution", self.execution).finish()
    }
}

impl<M> fmt::Debug for Sending<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("execution", self.execution).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

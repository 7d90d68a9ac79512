//! The loop of P5.2 without I/O: turns a [`Protocol`]'s steps into writes and reads of mailboxes, and what was read into messages.

use crate::{
    Channels, Error,
    mailbox::{Content, Message},
    protocol::{Messages, Protocol, Received, Round, Step},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use wire::{Hash, MailboxKind, SessionSpec};

/// What has to be done for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<O> {
    /// Write `payload` to a mailbox. The driver goes on at once: writes that follow each other may leave together.
    Write {
        /// `Broadcast` or `Private`.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// The payload: the message, or an encoded [`wire::PrivateSet`].
        payload: Vec<u8>,
    },
    /// Wait for the first `count` entries of a mailbox and hand them to [`Driver::deliver`].
    Read {
        /// `Broadcast` or `Private`.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// How many.
        count: u16,
    },
    /// The program's output. There is no further action.
    Output(O),
}

/// Runs one program in one seat.
pub struct Driver<P: Protocol> {
    program: P,
    channels: Arc<Channels>,
    max_rounds: u32,
    max_message_bytes: u32,
    messages: Messages,
    /// Private messages that have not left yet, by round and recipient.
    unsealed: BTreeMap<u32, BTreeMap<u16, Vec<u8>>>,
    sealed: BTreeSet<u32>,
    /// The program's `Read` or `Output`, until the private messages before it have left.
    held_back: Option<Step<P::Output>>,
    waiting: Option<(MailboxKind, u32, u16)>,
    finished: bool,
}

impl<P: Protocol> Driver<P> {
    /// Seats a program.
    pub fn new(program: P, channels: Arc<Channels>, spec: &SessionSpec) -> Self {
        Self {
            program,
            channels,
            max_rounds: spec.max_rounds,
            max_message_bytes: spec.max_message_bytes,
            messages: Messages::default(),
            unsealed: BTreeMap::new(),
            sealed: BTreeSet::new(),
            held_back: None,
            waiting: None,
            finished: false,
        }
    }

    /// All messages so far.
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    /// The next thing to do. While a read is waiting, that read again.
    ///
    /// # Errors
    /// [`Error::Aborted`] if the program gives up; [`Error::WrittenTwice`], [`Error::RoundSealed`], [`Error::NoRecipient`],
    /// [`Error::NoChannels`], [`Error::NoSuchRound`], [`Error::TooLong`], [`Error::InvalidRead`] if it asks for what cannot be;
    /// [`Error::OutOfTurn`] after its output.
    pub fn step(&mut self) -> Result<Action<P::Output>, Error> {
        if self.finished {
            return Err(Error::OutOfTurn { reason: "the program has given its output" });
        }
        if let Some((kind, round, count)) = self.waiting {
            return Ok(Action::Read { kind, round, count });
        }
        loop {
            let step = match self.held_back.take() {
                Some(step) => step,
                None => self.program.next_message(&self.messages)?,
            };
            match step {
                Step::Broadcast { round, data } => return self.broadcast(round, data),
                Step::P2p { round, to, data } => self.keep_private(round, to, data)?,
                Step::Read { .. } | Step::Output(_) if !self.unsealed.is_empty() => {
                    self.held_back = Some(step);
                    return self.seal();
                }
                Step::Read { kind, round, count } => {
                    self.check_read(kind, round, count)?;
                    self.waiting = Some((kind, round, count));
                    return Ok(Action::Read { kind, round, count });
                }
                Step::Output(output) => {
                    self.finished = true;
                    return Ok(Action::Output(output));
                }
            }
        }
    }

    /// Hands over the first `count` entries of the mailbox that the driver waits for, in consensus order, and the chain's head after
    /// them. Private items are opened here; one that does not open is recorded as its sender's fault and the program decides.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] if the driver waits for something else, or the entries are not what it waits for; [`Error::NoChannels`].
    pub fn deliver(&mut self, kind: MailboxKind, round: u32, head: Hash, entries: Vec<Message>) -> Result<(), Error> {
        match self.waiting {
            Some((k, r, count)) if (k, r) == (kind, round) && usize::from(count) == entries.len() => {}
            _ => return Err(Error::OutOfTurn { reason: "it waits for another read" }),
        }
        let mut received = Vec::with_capacity(entries.len());
        for Message { sender, content } in entries {
            let data = match content {
                Content::Message(data) => Some(data),
                Content::Private(None) => None,
                Content::Private(Some(item)) => match self.channels.open(sender, round, &item) {
                    Ok(data) => Some(data),
                    Err(Error::CannotOpen { .. }) => {
                        self.messages.insert_unreadable(round, sender);
                        None
                    }
                    Err(other) => return Err(other),
                },
            };
            received.push(Received { sender, data });
        }
        self.messages.insert_round(kind, round, Round { head, received });
        self.waiting = None;
        Ok(())
    }

    fn broadcast(&mut self, round: u32, data: Vec<u8>) -> Result<Action<P::Output>, Error> {
        let kind = MailboxKind::Broadcast;
        self.check_round(round)?;
        if self.messages.sent_broadcast(round).is_some() {
            return Err(Error::WrittenTwice { kind, round });
        }
        self.check_length("the broadcast", data.len())?;
        self.messages.insert_broadcast(round, data.clone());
        Ok(Action::Write { kind, round, payload: data })
    }

    fn keep_private(&mut self, round: u32, to: u16, data: Vec<u8>) -> Result<(), Error> {
        self.check_round(round)?;
        let seat = self.channels.seat();
        if to >= seat.parties || to == seat.index {
            return Err(Error::NoRecipient { party: to, parties: seat.parties });
        }
        if !self.channels.is_open() {
            return Err(Error::NoChannels);
        }
        if self.messages.sent_private(round, to).is_some() {
            return Err(Error::WrittenTwice { kind: MailboxKind::Private, round });
        }
        if self.sealed.contains(&round) {
            return Err(Error::RoundSealed { round });
        }
        self.messages.insert_private(round, to, data.clone());
        self.unsealed.entry(round).or_default().insert(to, data);
        Ok(())
    }

    /// Lets the private messages of the first round that has any leave.
    fn seal(&mut self) -> Result<Action<P::Output>, Error> {
        let (round, messages) = self.unsealed.pop_first().expect("step calls this only while a round is unsealed");
        let payload = self.channels.seal(round, &messages)?.encode().0;
        self.check_length("the set of private messages", payload.len())?;
        self.sealed.insert(round);
        Ok(Action::Write { kind: MailboxKind::Private, round, payload })
    }

    fn check_round(&self, round: u32) -> Result<(), Error> {
        if round < self.max_rounds { Ok(()) } else { Err(Error::NoSuchRound { round, rounds: self.max_rounds }) }
    }

    fn check_length(&self, what: &'static str, length: usize) -> Result<(), Error> {
        let limit = usize::try_from(self.max_message_bytes).unwrap_or(usize::MAX);
        if length <= limit { Ok(()) } else { Err(Error::TooLong { what, length, limit }) }
    }

    /// A read must be able to end, and to bring something new: a program that got back what it has would ask for it for ever.
    fn check_read(&self, kind: MailboxKind, round: u32, count: u16) -> Result<(), Error> {
        self.check_round(round)?;
        let invalid = |reason| Err(Error::InvalidRead { kind, round, count, reason });
        if kind == MailboxKind::Keying {
            return invalid("the keying mailbox is the handshake's");
        }
        if count > self.channels.seat().parties {
            return invalid("there are not so many parties");
        }
        match self.messages.round(kind, round) {
            Some(have) if have.received.len() >= usize::from(count) => invalid("it has read as many before"),
            _ => Ok(()),
        }
    }
}

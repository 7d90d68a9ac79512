//! The loop of P5.2 without I/O: turns a [`Protocol`]'s steps into writes and reads of mailboxes, and what was read into messages.

use crate::{
    Channels, Error,
    mailbox::Message,
    protocol::{Messages, Protocol, Round, Step},
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
        let (received, unreadable) = self.channels.receive(round, entries)?;
        for sender in unreadable {
            self.messages.insert_unreadable(round, sender);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        handshake::tests::session,
        mailbox::Content,
        protocol::{Abort, Seat},
    };
    use proptest::prelude::*;
    use wire::{Admission, MailboxHead, MailboxId, PrivateSet, Program};

    fn spec(n: u16) -> SessionSpec {
        SessionSpec {
            title: String::new(),
            program: Program { name: String::new(), version: String::new(), digest: Hash([0; 32]) },
            admission: Admission::Invited { keys: vec![] },
            min_parties: n,
            max_parties: n,
            corruption_threshold: n - 1,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 3,
            max_message_bytes: 4096,
            max_party_bytes: 65_536,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 1,
            running_ms: 1,
            retention_ms: 1,
            round_timeout_ms: None,
        }
    }

    /// Functionality 5.1 in memory: entries in the order in which they came.
    #[derive(Default)]
    struct Board(BTreeMap<(MailboxKind, u32), Entries>);

    /// Senders and payloads.
    type Entries = Vec<(u16, Vec<u8>)>;

    impl Board {
        fn write(&mut self, kind: MailboxKind, round: u32, sender: u16, payload: Vec<u8>) {
            let entries = self.0.entry((kind, round)).or_default();
            assert!(entries.iter().all(|(other, _)| *other != sender), "a slot is written once");
            entries.push((sender, payload));
        }

        fn read(&self, seat: &Seat, kind: MailboxKind, round: u32, count: u16) -> Option<(Hash, Vec<Message>)> {
            let entries = self.0.get(&(kind, round))?.get(..usize::from(count))?;
            let mailbox = MailboxId { session: seat.session, kind, round };
            let mut head = MailboxHead::empty(&seat.chain, &mailbox);
            let messages = entries.iter().map(|(sender, payload)| {
                head.append(*sender, &wire::message_digest(payload));
                let content = match kind {
                    MailboxKind::Private => {
                        let set = PrivateSet::decode(payload).unwrap();
                        assert_eq!(set.items.len(), usize::from(seat.parties));
                        Content::Private(set.items[usize::from(seat.index)].clone())
                    }
                    _ => Content::Message(payload.clone()),
                };
                Message { sender: *sender, content }
            });
            let messages = messages.collect();
            Some((head.head, messages))
        }
    }

    /// Everybody sends everybody a number, sums what it got, broadcasts the sum, and adds up the sums.
    struct Sums(Seat);

    impl Protocol for Sums {
        type Output = (u64, Vec<u16>);

        fn next_message(&self, messages: &Messages) -> Result<Step<Self::Output>, Abort> {
            let Seat { index, parties, .. } = self.0;
            let number = |to: u16| u64::from(index) * 100 + u64::from(to);
            if let Some(to) = (0..parties).find(|to| *to != index && messages.sent_private(0, *to).is_none()) {
                return Ok(Step::P2p { round: 0, to, data: number(to).to_le_bytes().to_vec() });
            }
            let Some(shares) = messages.round(MailboxKind::Private, 0) else {
                return Ok(Step::Read { kind: MailboxKind::Private, round: 0, count: parties });
            };
            let value = |data: &[u8]| u64::from_le_bytes(data.try_into().unwrap());
            let sum = shares.received.iter().filter_map(|share| share.data.as_deref()).map(value).sum::<u64>();
            if messages.sent_broadcast(1).is_none() {
                return Ok(Step::Broadcast { round: 1, data: sum.to_le_bytes().to_vec() });
            }
            let Some(sums) = messages.round(MailboxKind::Broadcast, 1) else {
                return Ok(Step::Read { kind: MailboxKind::Broadcast, round: 1, count: parties });
            };
            let own = sums.from(index).map(value);
            assert_eq!(own, Some(sum), "a read returns the reader's own broadcast");
            let cheaters = (0..parties).filter(|sender| messages.is_unreadable(0, *sender)).collect();
            Ok(Step::Output((sums.received.iter().filter_map(|s| s.data.as_deref()).map(value).sum(), cheaters)))
        }
    }

    /// Steps parties in the order of `schedule` until all have their output. Party `cheater`'s private sets are spoilt.
    fn run(n: u16, schedule: &[u16], cheater: Option<u16>) -> Vec<(u64, Vec<u16>)> {
        let channels = session(n, Some(16), &[]).into_iter().map(Arc::new);
        let mut drivers: Vec<_> = channels
            .map(|channels| Driver::new(Sums(channels.seat().clone()), Arc::clone(&channels), &spec(n)))
            .collect();
        let mut board = Board::default();
        let mut outputs: Vec<Option<(u64, Vec<u16>)>> = vec![None; usize::from(n)];
        let fair = (0..n).cycle().take(usize::from(n) * 20);
        for party in schedule.iter().map(|party| party % n).chain(fair) {
            let place = usize::from(party);
            if outputs[place].is_some() {
                continue;
            }
            let driver = &mut drivers[place];
            match driver.step().unwrap() {
                Action::Write { kind, round, mut payload } => {
                    if Some(party) == cheater && kind == MailboxKind::Private {
                        let mut set = PrivateSet::decode(&payload).unwrap();
                        set.items.iter_mut().flatten().for_each(|item| item.ciphertext.0[30] ^= 1);
                        payload = set.encode().0;
                    }
                    board.write(kind, round, party, payload);
                }
                Action::Read { kind, round, count } => {
                    let seat = driver.channels.seat().clone();
                    if let Some((head, messages)) = board.read(&seat, kind, round, count) {
                        driver.deliver(kind, round, head, messages).unwrap();
                    }
                }
                Action::Output(output) => outputs[place] = Some(output),
            }
        }
        outputs.into_iter().map(Option::unwrap).collect()
    }

    proptest! {
        #[test]
        fn the_order_in_which_parties_step_does_not_matter(
            n in 2u16..5, schedule in proptest::collection::vec(any::<u16>(), 0..120),
        ) {
            let all: u64 = (0..n).flat_map(|i| (0..n).filter(move |j| *j != i).map(move |j| u64::from(i) * 100 + u64::from(j))).sum();
            prop_assert_eq!(run(n, &schedule, None), vec![(all, vec![]); usize::from(n)]);
        }
    }

    #[test]
    fn who_spoils_its_private_messages_is_named_and_the_others_go_on() {
        let outputs = run(3, &[], Some(1));
        assert_eq!(outputs[0].1, [1]);
        assert_eq!(outputs[2].1, [1]);
        assert_eq!(outputs[1].1, [0u16; 0]);
    }

    /// A program that takes its steps from a list, whatever it reads.
    struct Script(Vec<Step<()>>, std::cell::Cell<usize>);

    impl Protocol for Script {
        type Output = ();

        fn next_message(&self, _: &Messages) -> Result<Step<()>, Abort> {
            let place = self.1.replace(self.1.get() + 1);
            Ok(self.0.get(place).cloned().unwrap_or(Step::Output(())))
        }
    }

    /// Runs a script for party 0 of 2, with empty mailboxes read as they are asked for; what it wrote, or why it stopped.
    fn script(steps: Vec<Step<()>>) -> Result<Vec<(MailboxKind, u32)>, Error> {
        let channels = Arc::new(session(2, None, &[]).remove(0));
        let mut driver = Driver::new(Script(steps, std::cell::Cell::new(0)), channels, &spec(2));
        let mut written = Vec::new();
        loop {
            match driver.step()? {
                Action::Write { kind, round, .. } => written.push((kind, round)),
                Action::Read { kind, round, count } => {
                    let message = |sender| Message { sender, content: Content::Private(None) };
                    driver.deliver(kind, round, Hash([0; 32]), (0..count).map(message).collect())?;
                }
                Action::Output(()) => return Ok(written),
            }
        }
    }

    fn p2p(round: u32, to: u16) -> Step<()> {
        Step::P2p { round, to, data: vec![] }
    }

    fn read(kind: MailboxKind, round: u32, count: u16) -> Step<()> {
        Step::Read { kind, round, count }
    }

    fn say(round: u32, bytes: usize) -> Step<()> {
        Step::Broadcast { round, data: vec![0; bytes] }
    }

    #[test]
    fn private_messages_leave_at_the_next_read_or_at_the_output() {
        let (private, broadcast) = (MailboxKind::Private, MailboxKind::Broadcast);
        let steps = vec![p2p(1, 1), say(0, 1), p2p(0, 1), read(broadcast, 0, 0), p2p(2, 1)];
        assert_eq!(script(steps).unwrap(), [(broadcast, 0), (private, 0), (private, 1), (private, 2)]);
    }

    #[test]
    fn what_a_program_cannot_ask_for_is_named() {
        let broadcast = MailboxKind::Broadcast;
        let sealed = script(vec![read(broadcast, 0, 0), p2p(1, 1), read(broadcast, 1, 0), p2p(1, 1)]);
        assert!(matches!(sealed, Err(Error::WrittenTwice { round: 1, .. })), "{sealed:?}");
        let refused = |steps| script(steps).unwrap_err().to_string();
        assert_eq!(refused(vec![say(0, 1), say(0, 2)]), "the program writes broadcast round 0 twice");
        assert_eq!(refused(vec![p2p(0, 0)]), "party 0 is no recipient of a private message in a session of 2");
        assert_eq!(refused(vec![p2p(0, 2)]), "party 2 is no recipient of a private message in a session of 2");
        assert_eq!(refused(vec![say(3, 1)]), "round 3 is not below the session's 3 rounds");
        assert_eq!(refused(vec![say(0, 5000)]), "the broadcast is 5000 bytes long; the session allows 4096");
        assert!(matches!(script(vec![read(broadcast, 0, 3)]), Err(Error::InvalidRead { .. })));
        assert!(matches!(script(vec![read(MailboxKind::Keying, 0, 1)]), Err(Error::InvalidRead { .. })));
        let again = vec![read(broadcast, 0, 1), read(broadcast, 0, 2), read(broadcast, 0, 2)];
        assert!(matches!(script(again), Err(Error::InvalidRead { count: 2, .. })), "it would read for ever");
    }

    #[test]
    fn a_late_private_message_names_its_round() {
        let channels = Arc::new(session(3, None, &[]).remove(0));
        let steps = vec![p2p(1, 1), read(MailboxKind::Private, 1, 0), p2p(1, 2)];
        let mut driver = Driver::new(Script(steps, std::cell::Cell::new(0)), channels, &spec(3));
        assert!(matches!(driver.step().unwrap(), Action::Write { kind: MailboxKind::Private, round: 1, .. }));
        assert!(matches!(driver.step().unwrap(), Action::Read { .. }));
        assert!(
            driver.deliver(MailboxKind::Private, 0, Hash([0; 32]), vec![]).is_err(),
            "another round than it waits for"
        );
        driver.deliver(MailboxKind::Private, 1, Hash([0; 32]), vec![]).unwrap();
        assert!(matches!(driver.step(), Err(Error::RoundSealed { round: 1 })));
    }

    #[test]
    fn without_channels_a_program_can_only_broadcast() {
        let seat = session(2, None, &[]).remove(0).seat().clone();
        let steps = vec![say(0, 1), p2p(0, 1)];
        let script = Script(steps, std::cell::Cell::new(0));
        let mut driver = Driver::new(script, Arc::new(Channels::none(seat)), &spec(2));
        assert!(matches!(driver.step().unwrap(), Action::Write { .. }));
        assert!(matches!(driver.step(), Err(Error::NoChannels)));
    }
}

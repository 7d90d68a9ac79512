//! Programs among parties in one process: F 5.1 in memory, for trying a program and for its tests.

use crate::ProtocolError;
use client_sdk::protocol::{Abort, Messages, Protocol, Received, Round, Step};
use std::collections::{BTreeMap, BTreeSet};
use wire::{
    Hash, MailboxHead, MailboxId, MailboxKind, SessionId, hash::TaggedHash, limits::MAX_PARTIES, message_digest,
};

/// How a program ended for one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<O> {
    /// It has its output.
    Output(O),
    /// It gave up.
    Aborted(Abort),
    /// It waits for parties that ended before they wrote.
    Waiting {
        /// The mailbox that it reads: broadcast or private.
        kind: MailboxKind,
        /// The round that it reads.
        round: u32,
        /// Indices of the parties that have not written there, ascending.
        missing: Vec<u16>,
    },
}

impl<O> Ending<O> {
    /// The output, if there is one.
    pub fn output(self) -> Option<O> {
        match self {
            Self::Output(output) => Some(output),
            Self::Aborted(_) | Self::Waiting { .. } => None,
        }
    }
}

/// Runs one program for each party, by index, until none can go on. In which order the parties take their steps, and
/// thus the order of writes in each mailbox, follows from `order`: another number, another interleaving; the same
/// number, the same run.
///
/// There are no nodes, no signatures and no encryption: this is the ideal functionality itself. A program that writes a
/// slot twice, or to a private round after it was sent, is aborted.
///
/// # Errors
/// [`ProtocolError::TooManyParties`] for more than a session can have.
pub fn run_local<O>(parties: &[&dyn Protocol<Output = O>], order: u64) -> Result<Vec<Ending<O>>, ProtocolError> {
    let count = u16::try_from(parties.len()).ok().filter(|count| *count <= MAX_PARTIES);
    let count = count.ok_or(ProtocolError::TooManyParties { parties: parties.len() })?;
    let mut board = Board { count, mailboxes: BTreeMap::new() };
    let mut local: Vec<Party<'_, O>> =
        (0..count).zip(parties).map(|(index, program)| Party::new(index, *program)).collect();
    for turn in 0u64.. {
        let mut ready: Vec<&mut Party<'_, O>> = local.iter_mut().filter(|party| party.is_ready(&board)).collect();
        let among = u64::try_from(ready.len()).unwrap_or(u64::MAX);
        let Some(pick) = draw(order, turn).checked_rem(among) else { break };
        if let Some(party) = usize::try_from(pick).ok().and_then(|pick| ready.get_mut(pick)) {
            party.advance(&mut board);
        }
    }
    Ok(local.into_iter().map(|party| party.finish(&board)).collect())
}

fn draw(order: u64, turn: u64) -> u64 {
    let hash = TaggedHash::new("local/order").value(&order).value(&turn).finish();
    hash.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

struct Mailbox {
    head: MailboxHead,
    entries: Vec<Entry>,
}

struct Entry {
    sender: u16,
    contents: Contents,
    /// The mailbox's head after this entry.
    head: Hash,
}

enum Contents {
    Broadcast(Vec<u8>),
    Private(BTreeMap<u16, Vec<u8>>),
}

struct Board {
    count: u16,
    mailboxes: BTreeMap<(MailboxKind, u32), Mailbox>,
}

impl Board {
    fn length(&self, kind: MailboxKind, round: u32) -> usize {
        self.mailboxes.get(&(kind, round)).map_or(0, |mailbox| mailbox.entries.len())
    }

    /// Appends an entry, unless the sender has one there already (F 5.1 ignores the second).
    fn write(&mut self, kind: MailboxKind, round: u32, sender: u16, contents: Contents) -> Result<(), Abort> {
        let mailbox = self.mailboxes.entry((kind, round)).or_insert_with(|| Mailbox::new(kind, round));
        if mailbox.entries.iter().any(|entry| entry.sender == sender) {
            return Err(broken(format!("the program wrote twice to the {kind} mailbox of round {round}")));
        }
        let digest = match &contents {
            Contents::Broadcast(data) => message_digest(data),
            Contents::Private(items) => TaggedHash::new("local/private").value(items).finish(),
        };
        mailbox.head.append(sender, &digest);
        mailbox.entries.push(Entry { sender, contents, head: mailbox.head.head });
        Ok(())
    }

    /// The first `count` entries, if they are there.
    fn read(&self, kind: MailboxKind, round: u32, count: u16, reader: u16) -> Option<Round> {
        let entries = self.mailboxes.get(&(kind, round))?.entries.get(..usize::from(count))?;
        let received = entries.iter().map(|entry| {
            let data = match &entry.contents {
                Contents::Broadcast(data) => Some(data.clone()),
                Contents::Private(items) => items.get(&reader).cloned(),
            };
            Received { sender: entry.sender, data }
        });
        Some(Round { head: entries.last()?.head, received: received.collect() })
    }

    fn missing(&self, kind: MailboxKind, round: u32) -> Vec<u16> {
        let entries = self.mailboxes.get(&(kind, round)).map(|mailbox| mailbox.entries.as_slice()).unwrap_or_default();
        let written: BTreeSet<u16> = entries.iter().map(|entry| entry.sender).collect();
        (0..self.count).filter(|index| !written.contains(index)).collect()
    }
}

impl Mailbox {
    fn new(kind: MailboxKind, round: u32) -> Self {
        let chain = "local".parse().expect("five lowercase letters are a chain id");
        let id = MailboxId { session: SessionId([0; 32]), kind, round };
        Self { head: MailboxHead::empty(&chain, &id), entries: Vec::new() }
    }
}

fn broken(reason: String) -> Abort {
    Abort { reason, culprits: vec![] }
}

struct Party<'a, O> {
    index: u16,
    program: &'a dyn Protocol<Output = O>,
    messages: Messages,
    unsent: BTreeMap<u32, BTreeMap<u16, Vec<u8>>>,
    reading: Option<(MailboxKind, u32, u16)>,
    ending: Option<Ending<O>>,
}

impl<'a, O> Party<'a, O> {
    fn new(index: u16, program: &'a dyn Protocol<Output = O>) -> Self {
        Self { index, program, messages: Messages::default(), unsent: BTreeMap::new(), reading: None, ending: None }
    }

    fn is_ready(&self, board: &Board) -> bool {
        let satisfied = |(kind, round, count)| board.length(kind, round) >= usize::from(count);
        self.ending.is_none() && self.reading.is_none_or(satisfied)
    }

    /// Finishes a read if there is one, and takes one step.
    fn advance(&mut self, board: &mut Board) {
        if let Some((kind, round, count)) = self.reading.take()
            && let Some(messages) = board.read(kind, round, count, self.index)
        {
            self.messages.insert_round(kind, round, messages);
        }
        let outcome = match self.program.next_message(&self.messages) {
            Ok(step) => self.take(step, board),
            Err(abort) => Err(abort),
        };
        if let Err(abort) = outcome {
            self.ending = Some(Ending::Aborted(abort));
        }
    }

    fn take(&mut self, step: Step<O>, board: &mut Board) -> Result<(), Abort> {
        match step {
            Step::Broadcast { round, data } => {
                board.write(MailboxKind::Broadcast, round, self.index, Contents::Broadcast(data.clone()))?;
                self.messages.insert_broadcast(round, data);
            }
            Step::P2p { round, to, data } => {
                let twice = self.messages.sent_private(round, to).is_some();
                if twice || to == self.index || to >= board.count {
                    return Err(broken(format!("the program may not write to party {to} in round {round}")));
                }
                self.unsent.entry(round).or_default().insert(to, data.clone());
                self.messages.insert_private(round, to, data);
            }
            Step::Read { kind, round, count } => {
                self.send_private(board)?;
                let known = self.messages.round(kind, round).map_or(0, |round| round.received.len());
                if known >= usize::from(count) {
                    return Err(broken(format!(
                        "the program reads what it has of the {kind} mailbox of round {round}"
                    )));
                }
                self.reading = Some((kind, round, count));
            }
            Step::Output(output) => {
                self.send_private(board)?;
                self.ending = Some(Ending::Output(output));
            }
        }
        Ok(())
    }

    fn send_private(&mut self, board: &mut Board) -> Result<(), Abort> {
        for (round, items) in std::mem::take(&mut self.unsent) {
            board.write(MailboxKind::Private, round, self.index, Contents::Private(items))?;
        }
        Ok(())
    }

    fn finish(self, board: &Board) -> Ending<O> {
        match (self.ending, self.reading) {
            (Some(ending), _) => ending,
            (None, Some((kind, round, _))) => Ending::Waiting { kind, round, missing: board.missing(kind, round) },
            (None, None) => Ending::Aborted(broken("the program never took a step".to_owned())),
        }
    }
}

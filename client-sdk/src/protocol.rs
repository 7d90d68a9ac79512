//! The paper's `nextMsg`: an MPC program as a pure function from the messages so far to the next thing to do (§V, P5.2).

use std::collections::{BTreeMap, BTreeSet};
use wire::{ChainId, Hash, MailboxKind, SessionId};

/// A party's seat in a session: what every program may bind its messages to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The chain.
    pub chain: ChainId,
    /// The session.
    pub session: SessionId,
    /// H(list): digest of all parties' keys in index order.
    pub list: Hash,
    /// n: number of parties on the list.
    pub parties: u16,
    /// i: this party's index, from 0.
    pub index: u16,
}

/// What a party does next. Rounds are numbered from 0; a party writes each slot once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<O> {
    /// Write `data` for all to read.
    Broadcast {
        /// Round to write in.
        round: u32,
        /// The message.
        data: Vec<u8>,
    },
    /// Write `data` for party `to` alone. All private messages of a round leave together, at the first `Read` after them.
    P2p {
        /// Round to write in.
        round: u32,
        /// Index of the recipient; not this party's own.
        to: u16,
        /// The message.
        data: Vec<u8>,
    },
    /// Wait until so many parties have written to a mailbox, this one included if it writes there.
    Read {
        /// `Broadcast` or `Private`.
        kind: MailboxKind,
        /// Round to read.
        round: u32,
        /// Number of entries to wait for, at most n.
        count: u16,
    },
    /// The program has its output and is done.
    Output(O),
}

/// The program cannot go on, and whose fault that is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", blame(culprits))]
pub struct Abort {
    /// What happened, for people.
    pub reason: String,
    /// Indices of the parties that provably caused it, ascending; may be empty.
    pub culprits: Vec<u16>,
}

fn blame(culprits: &[u16]) -> String {
    match culprits {
        [] => String::new(),
        [one] => format!(" (party {one})"),
        many => format!(" (parties {})", many.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// An MPC program.
///
/// `next_message` is the paper's `nextMsg(state_i, x_i, s_i)`: input x_i and randomness s_i (a seed) live in `self`, which does
/// not change, and the result depends on nothing else. So a party that lost its memory comes to the same step again by
/// reading the same messages.
pub trait Protocol {
    /// What a party has at the end.
    type Output;

    /// The next thing to do after `messages`.
    ///
    /// # Errors
    /// [`Abort`] if the messages show that the program cannot succeed.
    fn next_message(&self, messages: &Messages) -> Result<Step<Self::Output>, Abort>;
}

/// One message as a program sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Index of the sender.
    pub sender: u16,
    /// The message; for a private mailbox `None` if the sender wrote nothing for this party.
    pub data: Option<Vec<u8>>,
}

/// The entries of one mailbox that a finished `Read` returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The mailbox's hash chain up to the last entry here: the same at all parties that read as many.
    pub head: Hash,
    /// In consensus order. Contains this party's own broadcast; its own private set is seen through [`Messages::sent_private`].
    pub received: Vec<Received>,
}

impl Round {
    /// The message from `sender`, if it is here.
    pub fn from(&self, sender: u16) -> Option<&[u8]> {
        self.received.iter().find(|message| message.sender == sender)?.data.as_deref()
    }
}

/// All messages that a party has sent and received so far: the paper's state_i.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    rounds: BTreeMap<(MailboxKind, u32), Round>,
    sent_broadcast: BTreeMap<u32, Vec<u8>>,
    sent_private: BTreeMap<(u32, u16), Vec<u8>>,
    unreadable: BTreeSet<(u32, u16)>,
}

impl Messages {
    /// The result of a finished `Read` of a mailbox; of the latest, if there was more than one.
    pub fn round(&self, kind: MailboxKind, round: u32) -> Option<&Round> {
        self.rounds.get(&(kind, round))
    }

    /// What this party has broadcast in `round`.
    pub fn sent_broadcast(&self, round: u32) -> Option<&[u8]> {
        self.sent_broadcast.get(&round).map(Vec::as_slice)
    }

    /// What this party has written privately to `to` in `round`.
    pub fn sent_private(&self, round: u32, to: u16) -> Option<&[u8]> {
        self.sent_private.get(&(round, to)).map(Vec::as_slice)
    }

    /// True if `sender` wrote this party something in the private mailbox of `round` that its key does not open. The sender cheated;
    /// its message is `None` in the [`Round`].
    pub fn is_unreadable(&self, round: u32, sender: u16) -> bool {
        self.unreadable.contains(&(round, sender))
    }

    /// Records that `sender`'s private message cannot be opened. Called by the driver, and by tests of programs.
    pub fn insert_unreadable(&mut self, round: u32, sender: u16) {
        self.unreadable.insert((round, sender));
    }

    /// Records a finished `Read`. Called by the driver, and by tests of programs.
    pub fn insert_round(&mut self, kind: MailboxKind, round: u32, messages: Round) {
        self.rounds.insert((kind, round), messages);
    }

    /// Records a broadcast. Called by the driver, and by tests of programs.
    pub fn insert_broadcast(&mut self, round: u32, data: Vec<u8>) {
        self.sent_broadcast.insert(round, data);
    }

    /// Records a private message. Called by the driver, and by tests of programs.
    pub fn insert_private(&mut self, round: u32, to: u16, data: Vec<u8>) {
        self.sent_private.insert((round, to), data);
    }
}

//! What a party can be told while it waits, and what its taking part has cost.

use crate::BadAnswer;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use wire::{EndReason, MailboxKind, Phase, SessionId};

/// Something that happened to a party's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session was found and checked; the party has this seat.
    Seated {
        /// This party's index.
        index: u16,
        /// n.
        parties: u16,
    },
    /// An open session waits for the end of a phase. As one node says, for people.
    Waiting {
        /// The phase.
        phase: Phase,
        /// What is left of it, in milliseconds, if its clock runs.
        left_ms: Option<u64>,
        /// How many have asked to take part.
        registrants: u32,
        /// How many of them have solved.
        solvers: u32,
    },
    /// The party's request to take part was found on the board.
    Registered {
        /// How many have asked so far.
        registrants: u32,
    },
    /// The nodes' challenge is there, and checked: work begins.
    Challenged,
    /// So much of the proof of work is done. Told on the threads that work.
    Solving {
        /// Hashes done.
        done: u64,
        /// Hashes in all.
        total: u64,
        /// Hashes a second since this process began with it.
        rate: u64,
    },
    /// The party's solution was found on the board.
    Solved {
        /// How many have solved so far.
        solvers: u32,
    },
    /// The handshake is done.
    Channels {
        /// Parties that are absent or gave no usable key.
        without: Vec<u16>,
    },
    /// A message of this party was handed in and decided.
    Written {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// Length of the payload.
        bytes: usize,
    },
    /// So much of a mailbox has been read.
    Read {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// Entries that are there.
        have: u16,
        /// Entries that are waited for.
        want: u16,
    },
    /// The party's operation that ends its part was found on the board: it is done, or gives up.
    Voted {
        /// True for `Abort`, false for `Terminate`.
        abort: bool,
    },
    /// The session has ended.
    Ended {
        /// Why.
        reason: EndReason,
    },
    /// The party has acknowledged the end.
    Acknowledged,
    /// A node gave an answer that does not count; another is asked.
    Caught {
        /// The node's name in the network file.
        node: String,
        /// What is wrong with the answer.
        bad: BadAnswer,
    },
}

/// An event with the session in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The session.
    pub session: SessionId,
    /// What happened.
    pub event: Event,
}

/// Called for every event, on the task where it happens: it must not block.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<dyn Fn(&Progress) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What a client has sent and received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// HTTP requests.
    pub requests: u64,
    /// Answers that came, refusals among them. A request that is given up costs its connection.
    pub answers: u64,
    /// Operations handed to gateways; one that was handed in twice counts twice.
    pub operations: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answers' bodies.
    pub bytes_received: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) answers: AtomicU64,
    pub(crate) operations: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
        }
    }
}

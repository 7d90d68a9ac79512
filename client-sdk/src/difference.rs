//! In what a program that is run again differs from before.

use wire::{Hash, MailboxHead, MailboxKind};

/// In what a program that is run again differs from what its journal holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// It was begun with another input.
    #[error("its input had the digest {journal} and now has {now}")]
    Input {
        /// Digest of the input then.
        journal: Hash,
        /// Digest of the input now.
        now: Hash,
    },
    /// It computes another message.
    #[error("its message of {kind} round {round} had the digest {journal} and now has {now}")]
    Message {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// Digest of the payload then.
        journal: Hash,
        /// Digest of the payload now.
        now: Hash,
    },
    /// The board shows other messages than it did.
    #[error("{} messages of {kind} round {round} had the head {}, and the board now shows {}", journal.count, journal.head, now.head)]
    Messages {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// Count and head then.
        journal: MailboxHead,
        /// Count and head now.
        now: MailboxHead,
    },
    /// It does something else.
    #[error("then it {journal}, and now it {now}")]
    Step {
        /// What it did.
        journal: String,
        /// What it does.
        now: String,
    },
}

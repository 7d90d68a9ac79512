//! What goes into the state machine, and what comes out.

use borsh::{BorshDeserialize, BorshSerialize};
use wire::{
    Code, Hash, MailboxId, Operation, OperationId, PublicKey, Receipt, RoundState, SessionId, SessionRecord, Signature,
    Verified,
};

/// A decided block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970. Consensus makes it grow from block to block.
    pub time_ms: u64,
    /// The operations of all its transactions, in order.
    pub operations: Vec<Submitted>,
}

/// One operation of a decided block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Its author signed it for this chain. That its payload matches is the caller's to check, for the ledger knows no payloads.
    Verified(Verified<Operation>),
    /// It did not pass verification. It gets its receipt in its place and changes nothing.
    Refused {
        /// The operation's name.
        operation: OperationId,
        /// Why it did not pass.
        code: Code,
    },
}

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Root over all facts after the block: the app hash.
    pub root: Hash,
    /// One for each operation, in order.
    pub receipts: Vec<Receipt>,
    /// What changed: first `Session`, then `Round`, `Entry` and `Erased`, each kind in the order in which the block touched
    /// it. Of a session or round that changed more than once there is only the last state.
    pub events: Vec<Event>,
}

/// A change of the board. Whoever stores the changes of all blocks can rebuild the state with [`crate::State::restore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session was created or changed.
    Session {
        /// The session.
        session: SessionId,
        /// All of it but mailboxes and rounds.
        stored: Box<StoredSession>,
    },
    /// The clock of a round changed.
    Round {
        /// The session.
        session: SessionId,
        /// The round.
        round: u32,
        /// Its state.
        state: RoundState,
    },
    /// A mailbox has a new entry.
    Entry(StoredEntry),
    /// A session's entries, round states and payloads are to be dropped. Its record and parties stay.
    Erased {
        /// The session.
        session: SessionId,
    },
}

/// A session as it is stored. A live session whose record has no deadline waits for the next block to start its clock.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredSession {
    /// The session's fact.
    pub record: SessionRecord,
    /// Its list of parties, in index order.
    pub parties: Vec<PublicKey>,
}

/// One entry of a mailbox as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredEntry {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Place in the mailbox, from 0.
    pub position: u32,
    /// The write that made it.
    pub operation: OperationId,
    /// Who signed that write.
    pub author: PublicKey,
    /// Index of the author on the session's list.
    pub sender: u16,
    /// Digest (keying, broadcast) or root (private) of the payload.
    pub digest: Hash,
    /// Length of the payload in bytes.
    pub length: u32,
    /// The author's signature over the operation.
    pub signature: Signature,
    /// The mailbox's hash chain up to and with this entry.
    pub head: Hash,
}

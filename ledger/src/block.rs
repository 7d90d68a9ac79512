//! What goes into the state machine, and what comes out.

use borsh::{BorshDeserialize, BorshSerialize};
use std::{collections::BTreeMap, sync::Arc};
use wire::{
    BackupRecord, Bundle, ChainId, Code, Confirmation, Hash, ListKind, MailboxId, Operation, OperationId, PublicKey,
    Receipt, RoundState, SessionId, SessionRecord, Signature, Verified,
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
    /// Its author signed it for this chain. That an inline payload matches is the caller's to check, for the ledger knows no payloads.
    Verified(Verified<Operation>, Payload),
    /// It did not pass verification. It gets its receipt in its place and changes nothing.
    Refused {
        /// The operation's name.
        operation: OperationId,
        /// Why it did not pass.
        code: Code,
    },
}

/// Where an operation's payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the transaction, or the operation has none.
    Inline,
    /// Beside consensus.
    Beside {
        /// The bundle in which it was handed to the nodes.
        bundle: Arc<StoredBundle>,
        /// Its place in the bundle.
        place: u16,
    },
}

/// A bundle and what nodes have confirmed of it. Only those confirmations that are over exactly this bundle are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBundle {
    bundle: Bundle,
    confirmations: BTreeMap<PublicKey, Confirmation>,
}

impl StoredBundle {
    /// Takes the confirmations whose digest is that of `bundle` on `chain`, one for each author; all others count for nothing.
    pub fn new(chain: &ChainId, bundle: Bundle, confirmations: Vec<Verified<Confirmation>>) -> Self {
        let digest = bundle.digest(chain);
        let sound = |confirmation: &Verified<Confirmation>| {
            let body = confirmation.body();
            (body.bundle, body.expiry_ms) == (digest, bundle.expiry_ms) && body.check().is_ok()
        };
        let confirmations = confirmations
            .into_iter()
            .filter(sound)
            .map(|confirmation| (confirmation.author(), confirmation.into_body()))
            .collect();
        Self { bundle, confirmations }
    }

    /// The list.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Who says to have stored the payload at `place`: keys of any kind, of which only nodes' count.
    pub fn holders(&self, place: u16) -> impl Iterator<Item = &PublicKey> {
        self.confirmations.iter().filter(move |(_, confirmation)| confirmation.covers(place)).map(|(author, _)| author)
    }
}

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Root over all facts after the block: the app hash.
    pub root: Hash,
    /// One for each operation, in order.
    pub receipts: Vec<Receipt>,
    /// What changed: first `Generation`, then `Session`, then `Round`, `Entry`, `Listed`, `Backup` and `Erased`, each kind in the order in which the
    /// block touched it. Of a generation, session, round or backup that changed more than once there is only the last state.
    pub events: Vec<Event>,
}

/// A change of the board. Whoever stores the changes of all blocks can rebuild the state with [`crate::State::restore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The generation of an epoch's threshold key has begun or gone on.
    Generation {
        /// All of it.
        generation: Box<wire::Generation>,
    },
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
    /// A list of an open session has grown.
    Listed(StoredListing),
    /// A party's backup is new or another, or gone: then its payload is to be dropped, as is that of the one before.
    Backup(StoredBackup),
    /// A session's entries, lists, round states and payloads are to be dropped. Its record, parties and backups stay.
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

/// One key on a list of an open session as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredListing {
    /// The session.
    pub session: SessionId,
    /// Which of its lists.
    pub list: ListKind,
    /// Place on the list, from 0.
    pub position: u32,
    /// The key.
    pub key: PublicKey,
    /// The request or solution that put it there.
    pub operation: OperationId,
    /// The list's hash chain up to and with this key.
    pub head: Hash,
}

/// What the board knows of a party's backup as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredBackup {
    /// The session.
    pub session: SessionId,
    /// Index of the party.
    pub party: u16,
    /// Its key.
    pub author: PublicKey,
    /// The backup's fact.
    pub record: BackupRecord,
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

//! What comes out of the store: values and errors.

use ledger::{StoredBackup, StoredEntry, StoredListing, StoredSession};
use std::collections::{BTreeMap, BTreeSet};
use wire::{
    BoardAt, Bytes, Generation, Hash, MailboxHead, MailboxId, Operation, OperationId, Phase, PublicKey, RoundState,
    SessionId,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("the database {path} is in use: is this node already running?")]
    InUse {
        /// The database.
        path: String,
    },
    /// The lock file or its folder cannot be made.
    #[error("cannot open {path}")]
    Open {
        /// What was to be opened.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A row that this program cannot have written.
    #[error("the database is corrupt: a {what} row makes no sense; restore the node from another one")]
    Corrupt {
        /// What the row should be.
        what: &'static str,
    },
    /// A number beyond what the store can keep.
    #[error("a {what} number is beyond the range of the database")]
    OutOfRange {
        /// What it is about.
        what: &'static str,
    },
    /// An accepted write's payload, which travels beside consensus, is not here yet.
    #[error("the payload of operation {operation} is being fetched from other nodes")]
    MissingPayload {
        /// The write.
        operation: OperationId,
    },
    /// The operating system has no thread left.
    #[error("cannot start a thread")]
    Thread {
        /// Why not.
        source: std::io::Error,
    },
    /// A payload was erased with its session since the entry was read.
    #[error("the session was erased meanwhile")]
    Erased,
    /// Several readers wanted the same and it failed for all.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
    /// There is no block yet.
    #[error("the node has no block yet")]
    NoBlock,
    /// All connections were in use for too long.
    #[error("the database is busy")]
    Busy,
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database")]
    Migrate {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed.
    #[error("the database failed")]
    Database {
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a payload that travels beside consensus is for. Of each author the board takes one, and one backup after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// A write to this mailbox.
    Mailbox(MailboxId),
    /// A solution in this open session. Nobody needs it once the board has accepted it.
    Solution(SessionId),
    /// A party's backup of this number in this session. It stays when the session is erased.
    Backup(SessionId, u32),
}

impl Slot {
    /// The slot of an operation, if it has a payload.
    pub fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Write { mailbox, .. } => Some(Self::Mailbox(*mailbox)),
            Operation::Solve { session, .. } => Some(Self::Solution(*session)),
            Operation::Backup { session, number, .. } => Some(Self::Backup(*session, *number)),
            _ => None,
        }
    }

    /// Its session.
    pub fn session(&self) -> SessionId {
        match self {
            Self::Mailbox(mailbox) => mailbox.session,
            Self::Solution(session) | Self::Backup(session, _) => *session,
        }
    }
}

/// A payload that travels beside consensus, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The operation whose payload it is.
    pub operation: OperationId,
    /// What it is for.
    pub slot: Slot,
    /// Who signed the operation.
    pub author: PublicKey,
    /// The node that last asked to keep it.
    pub gateway: PublicKey,
    /// Until a block has this time, it is kept whatever the board says.
    pub expiry_ms: u64,
    /// Its length in bytes.
    pub length: u32,
}

/// A payload that the board has accepted, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The operation whose payload it is.
    pub operation: OperationId,
    /// What it is for.
    pub slot: Slot,
    /// Who signed the operation.
    pub author: PublicKey,
    /// Its length in bytes.
    pub length: u32,
    /// Its digest or root.
    pub digest: Hash,
}

impl From<&StoredEntry> for Wanted {
    fn from(entry: &StoredEntry) -> Self {
        let StoredEntry { operation, author, length, digest, .. } = *entry;
        Self { operation, slot: Slot::Mailbox(entry.mailbox), author, length, digest }
    }
}

impl Wanted {
    /// The payload of a party's backup, if it has one.
    pub fn of_backup(backup: &StoredBackup) -> Option<Self> {
        let (record, kept) = (backup.record, backup.record.kept?);
        let (slot, author) = (Slot::Backup(backup.session, record.number), backup.author);
        Some(Self { operation: record.operation, slot, author, length: kept.length, digest: kept.digest })
    }
}

/// What the board knows of payloads that travel beside consensus.
#[derive(Debug, Default)]
pub struct Beside {
    /// The newest block; `None` on a new node.
    pub at: Option<BoardAt>,
    /// Sessions that are not erased.
    pub live: BTreeSet<SessionId>,
    /// Their entries whose payloads are not among those of the blocks.
    pub entries: Vec<StoredEntry>,
    /// The backups that parties have.
    pub backups: Vec<StoredBackup>,
    /// Sessions that take solutions.
    pub solving: BTreeSet<SessionId>,
    /// The solutions that they have taken.
    pub solved: BTreeSet<OperationId>,
}

/// Everything from which the ledger's state is rebuilt.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest block; `None` on a new node.
    pub at: Option<BoardAt>,
    /// All sessions in order of creation.
    pub sessions: Vec<(SessionId, StoredSession)>,
    /// The clocks of all rounds that have one.
    pub rounds: Vec<(SessionId, u32, RoundState)>,
    /// The entries of all mailboxes, each mailbox in order.
    pub entries: Vec<StoredEntry>,
    /// Who is on which list of which open session, each list in order.
    pub listings: Vec<StoredListing>,
    /// What the board knows of every party's backup.
    pub backups: Vec<StoredBackup>,
    /// The generations of all threshold keys by epoch; none before the first has changed.
    pub generations: Vec<Generation>,
}

/// A value and the newest block at the moment at which it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsOf<T> {
    /// The newest block.
    pub at: BoardAt,
    /// The value.
    pub value: T,
}

/// How far a mailbox has come, and whether more can come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxState {
    /// Phase of its session.
    pub phase: Phase,
    /// Number of parties of its session.
    pub parties: u16,
    /// `None` if nobody has written.
    pub head: Option<MailboxHead>,
    /// The clock of its round, if it has one.
    pub round: Option<RoundState>,
}

/// A part of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxPage {
    /// The mailbox's state in the same block.
    pub state: MailboxState,
    /// Head before the first entry; `None` before the mailbox's first.
    pub from_head: Option<Hash>,
    /// Entries from the wanted position on.
    pub entries: Vec<StoredEntry>,
    /// Inline payloads of the entries by digest, if they were asked for.
    pub payloads: BTreeMap<Hash, Bytes>,
}

//! Why a state could not be built.

use wire::{Hash, ListKind, MailboxId, SessionId};

/// Genesis parameters or stored rows that are no state of this board. The variants name what differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The network's parameters break a bound of the system.
    #[error("the network's parameters are out of bounds")]
    InvalidParameters,
    /// A generation of another epoch than the next one, or one that cannot stand so in a cluster of these nodes.
    #[error("what is stored as the generation of the key of epoch {epoch} cannot be it")]
    WrongGeneration {
        /// The epoch that it names.
        epoch: u64,
    },
    /// A record whose specification, creator and nonce do not hash to its id, or whose specification is not valid.
    #[error("the record stored for session {session} belongs to no session of that id on this chain")]
    WrongRecord {
        /// The id under which it was stored.
        session: SessionId,
    },
    /// A list of parties that is not the one whose digest the record holds.
    #[error("the parties stored for session {session} are not the ones of its record")]
    WrongParties {
        /// The session.
        session: SessionId,
    },
    /// A key on a list of a session that has no such list, or on it twice, or who solved without having asked; or one whose position
    /// or hash chain does not follow from those before it.
    #[error("place {position} of the {list} of session {session} is stored otherwise than it can be")]
    WrongListing {
        /// The session.
        session: SessionId,
        /// The list.
        list: ListKind,
        /// Place on it.
        position: u32,
    },
    /// A backup of nobody on the list, a second one of the same party, or one that is not what its operation says.
    #[error("the backup stored for party {party} of session {session} cannot be its")]
    WrongBackup {
        /// The session.
        session: SessionId,
        /// Index of the party.
        party: u16,
    },
    /// Two records for one id.
    #[error("session {session} is stored twice")]
    RepeatedSession {
        /// The id.
        session: SessionId,
    },
    /// A round, an entry, a listing or a backup of a session that is not stored, or one other than a backup of one that is erased.
    #[error("a row belongs to session {session}, which is not stored or erased")]
    UnknownSession {
        /// The session that the row names.
        session: SessionId,
    },
    /// The state of a round in a session without round timeout, or beyond its rounds, or a second one.
    #[error("session {session} cannot have the state stored for round {round}")]
    WrongRound {
        /// The session.
        session: SessionId,
        /// The round.
        round: u32,
    },
    /// A mailbox that has a gap, or entries that were not given in order.
    #[error("{} has entry {found} where {expected} should follow", slot(mailbox))]
    WrongPosition {
        /// The mailbox.
        mailbox: MailboxId,
        /// Position of the next entry.
        expected: u32,
        /// Position that was given.
        found: u32,
    },
    /// An entry whose sender is not on the list under the author's key, or has written here before.
    #[error("entry {position} of {} names sender {sender}, who cannot have written it", slot(mailbox))]
    WrongSender {
        /// The mailbox.
        mailbox: MailboxId,
        /// Position of the entry.
        position: u32,
        /// The sender that it names.
        sender: u16,
    },
    /// An entry whose fields are not those of the operation that it names.
    #[error("entry {position} of {} is not what its operation says", slot(mailbox))]
    WrongOperation {
        /// The mailbox.
        mailbox: MailboxId,
        /// Position of the entry.
        position: u32,
    },
    /// A mailbox whose hash chain is not the stored one.
    #[error("{} has head {computed} after entry {position}, but {stored} was stored", slot(mailbox))]
    WrongHead {
        /// The mailbox.
        mailbox: MailboxId,
        /// Position of the entry.
        position: u32,
        /// The head over all entries up to this one.
        computed: Hash,
        /// The head that was stored with this entry.
        stored: Hash,
    },
}

fn slot(mailbox: &MailboxId) -> String {
    format!("mailbox {} {} of session {}", mailbox.kind, mailbox.round, mailbox.session)
}

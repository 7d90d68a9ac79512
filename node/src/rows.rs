//! Between rows of the store and values: every number and blob that comes back is checked.

use crate::stored::{Pending, Slot, StoreError};
use ledger::{StoredBackup, StoredEntry, StoredListing, StoredSession};
use wire::{
    BoardAt, Code, Generation, Hash, Link, ListKind, MailboxHead, MailboxId, MailboxKind, Phase, PublicKey, Receipt,
    RoundState, SessionId, api::SessionSummary,
};

/// A row of `entries` without its slot: position, operation, author, sender, digest, length, signature, head.
pub(crate) type EntryRow = (i64, Vec<u8>, Vec<u8>, i64, Vec<u8>, i64, Vec<u8>, Vec<u8>);

/// A row of `sessions`: number, session, title, program, phase, parties, created.
pub(crate) type SummaryRow = (i64, Vec<u8>, String, String, i64, i64, i64);

/// A row of `payloads` without the payload: operation, session, kind, round, author, gateway, expiry_ms, length.
pub(crate) type PayloadRow = (Vec<u8>, Vec<u8>, i64, i64, Vec<u8>, Vec<u8>, i64, i64);

/// A row of `listings`: session, list, position, key, operation, head.
pub(crate) type ListingRow = (Vec<u8>, i64, i64, Vec<u8>, Vec<u8>, Vec<u8>);

fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

/// A number as SQLite keeps it.
pub(crate) fn number(value: u64, what: &'static str) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::OutOfRange { what })
}

/// A number as it came back.
pub(crate) fn unsigned<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| corrupt(what))
}

/// The bytes of a fixed-size value as they came back.
pub(crate) fn fixed<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| corrupt(what))
}

pub(crate) fn board_at((height, time_ms, root): (i64, i64, Vec<u8>)) -> Result<BoardAt, StoreError> {
    let what = "block";
    Ok(BoardAt { height: unsigned(height, what)?, time_ms: unsigned(time_ms, what)?, root: Hash(fixed(&root, what)?) })
}

pub(crate) fn receipt((operation, height, position, code): (Vec<u8>, i64, i64, i64)) -> Result<Receipt, StoreError> {
    let what = "receipt";
    let number: u8 = unsigned(code, what)?;
    Ok(Receipt {
        operation: wire::OperationId(fixed(&operation, what)?),
        height: unsigned(height, what)?,
        position: unsigned(position, what)?,
        code: borsh::from_slice(&[number]).map_err(|_| corrupt(what))?,
    })
}

/// A code as a number: its borsh encoding, which is stable.
pub(crate) fn code_number(code: Code) -> i64 {
    i64::from(code as u8)
}

pub(crate) fn kind_number(kind: MailboxKind) -> i64 {
    match kind {
        MailboxKind::Keying => 0,
        MailboxKind::Broadcast => 1,
        MailboxKind::Private => 2,
    }
}

pub(crate) fn kind(number: i64) -> Result<MailboxKind, StoreError> {
    match number {
        0 => Ok(MailboxKind::Keying),
        1 => Ok(MailboxKind::Broadcast),
        2 => Ok(MailboxKind::Private),
        _ => Err(corrupt("mailbox")),
    }
}

pub(crate) fn phase_number(phase: Phase) -> i64 {
    match phase {
        Phase::Registering => 0,
        Phase::Solving => 1,
        Phase::Keying => 2,
        Phase::Running => 3,
        Phase::Ended => 4,
        Phase::Erased => 5,
    }
}

pub(crate) fn phase(number: i64) -> Result<Phase, StoreError> {
    Phase::ALL.into_iter().find(|phase| phase_number(*phase) == number).ok_or(corrupt("session"))
}

pub(crate) fn list_number(list: ListKind) -> i64 {
    match list {
        ListKind::Registrants => 0,
        ListKind::Solvers => 1,
    }
}

pub(crate) fn session_id(bytes: &[u8]) -> Result<SessionId, StoreError> {
    fixed(bytes, "session").map(SessionId)
}

pub(crate) fn summary(row: SummaryRow) -> Result<(u64, SessionSummary), StoreError> {
    let (number, session, title, program, phase_number, parties, created) = row;
    let summary = SessionSummary {
        session: session_id(&session)?,
        title,
        program,
        phase: phase(phase_number)?,
        parties: unsigned(parties, "session")?,
        created: unsigned(created, "session")?,
    };
    Ok((unsigned(number, "session")?, summary))
}

pub(crate) fn stored_session(bytes: &[u8]) -> Result<StoredSession, StoreError> {
    borsh::from_slice(bytes).map_err(|_| corrupt("session"))
}

pub(crate) fn backup((session, party, stored): (Vec<u8>, i64, Vec<u8>)) -> Result<StoredBackup, StoreError> {
    let backup: StoredBackup = borsh::from_slice(&stored).map_err(|_| corrupt("backup"))?;
    let is_there = (session_id(&session)?, unsigned::<u16>(party, "backup")?) == (backup.session, backup.party);
    if is_there { Ok(backup) } else { Err(corrupt("backup")) }
}

pub(crate) fn generation((epoch, stored): (i64, Vec<u8>)) -> Result<Generation, StoreError> {
    let generation: Generation = borsh::from_slice(&stored).map_err(|_| corrupt("generation"))?;
    if unsigned::<u64>(epoch, "generation")? == generation.epoch { Ok(generation) } else { Err(corrupt("generation")) }
}

pub(crate) fn round_state((deadline_ms, closed): (Option<i64>, i64)) -> Result<RoundState, StoreError> {
    let deadline_ms = deadline_ms.map(|ms| unsigned(ms, "round")).transpose()?;
    Ok(RoundState { deadline_ms, closed: closed != 0 })
}

pub(crate) fn mailbox_head((position, head): (i64, Vec<u8>)) -> Result<MailboxHead, StoreError> {
    let position: u32 = unsigned(position, "entry")?;
    Ok(MailboxHead { count: position.saturating_add(1), head: Hash(fixed(&head, "entry")?) })
}

pub(crate) fn entry(mailbox: MailboxId, row: EntryRow) -> Result<StoredEntry, StoreError> {
    let what = "entry";
    let (position, operation, author, sender, digest, length, signature, head) = row;
    Ok(StoredEntry {
        mailbox,
        position: unsigned(position, what)?,
        operation: wire::OperationId(fixed(&operation, what)?),
        author: PublicKey(fixed(&author, what)?),
        sender: unsigned(sender, what)?,
        digest: Hash(fixed(&digest, what)?),
        length: unsigned(length, what)?,
        signature: wire::Signature(fixed(&signature, what)?),
        head: Hash(fixed(&head, what)?),
    })
}

pub(crate) fn link((sender, digest): (i64, Vec<u8>)) -> Result<Link, StoreError> {
    let what = "entry";
    Ok(Link { sender: unsigned(sender, what)?, digest: Hash(fixed(&digest, what)?) })
}

pub(crate) fn place(row: (Vec<u8>, i64, i64, i64)) -> Result<(MailboxId, u32), StoreError> {
    let (session, kind_number, round, position) = row;
    let what = "entry";
    let mailbox = MailboxId { session: session_id(&session)?, kind: kind(kind_number)?, round: unsigned(round, what)? };
    Ok((mailbox, unsigned(position, what)?))
}

pub(crate) fn listed((position, key, head): (i64, Vec<u8>, Vec<u8>)) -> Result<(u32, PublicKey, Hash), StoreError> {
    let what = "listing";
    Ok((unsigned(position, what)?, PublicKey(fixed(&key, what)?), Hash(fixed(&head, what)?)))
}

pub(crate) fn listing(row: ListingRow) -> Result<StoredListing, StoreError> {
    let what = "listing";
    let (session, list, position, key, operation, head) = row;
    let kind = [ListKind::Registrants, ListKind::Solvers].into_iter().find(|kind| list_number(*kind) == list);
    let (position, key, head) = listed((position, key, head))?;
    Ok(StoredListing {
        session: session_id(&session)?,
        list: kind.ok_or(corrupt(what))?,
        position,
        key,
        operation: wire::OperationId(fixed(&operation, what)?),
        head,
    })
}

/// The kinds of rows of `payloads` that are no mailbox's.
const SOLUTION: i64 = 3;
pub(crate) const BACKUP: i64 = 4;

/// What a row of `payloads` is for, as kind and round.
pub(crate) fn slot_numbers(slot: &Slot) -> (i64, u32) {
    match slot {
        Slot::Mailbox(mailbox) => (kind_number(mailbox.kind), mailbox.round),
        Slot::Solution(_) => (SOLUTION, 0),
        Slot::Backup(_, number) => (BACKUP, *number),
    }
}

pub(crate) fn pending(row: PayloadRow) -> Result<Pending, StoreError> {
    let what = "payload";
    let (operation, session, number, round, author, gateway, expiry_ms, length) = row;
    let session = session_id(&session)?;
    let slot = match number {
        SOLUTION => Slot::Solution(session),
        BACKUP => Slot::Backup(session, unsigned(round, what)?),
        number => Slot::Mailbox(MailboxId { session, kind: kind(number)?, round: unsigned(round, what)? }),
    };
    Ok(Pending {
        operation: wire::OperationId(fixed(&operation, what)?),
        slot,
        author: PublicKey(fixed(&author, what)?),
        gateway: PublicKey(fixed(&gateway, what)?),
        expiry_ms: unsigned(expiry_ms, what)?,
        length: unsigned(length, what)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_what_they_were() {
        for code in Code::ALL {
            let row = (vec![7; 32], 5, 6, code_number(*code));
            assert_eq!(receipt(row).unwrap().code, *code);
        }
        for value in [MailboxKind::Keying, MailboxKind::Broadcast, MailboxKind::Private] {
            assert_eq!(kind(kind_number(value)).unwrap(), value);
        }
        for value in Phase::ALL {
            assert_eq!(phase(phase_number(value)).unwrap(), value);
        }
    }

    #[test]
    fn what_the_store_cannot_have_written_is_called_corrupt() {
        assert!(matches!(board_at((-1, 0, vec![0; 32])), Err(StoreError::Corrupt { what: "block" })));
        assert!(matches!(board_at((1, 0, vec![0; 31])), Err(StoreError::Corrupt { what: "block" })));
        assert!(matches!(receipt((vec![0; 32], 1, 1, 250)), Err(StoreError::Corrupt { what: "receipt" })));
        assert!(matches!(stored_session(&[1, 2, 3]), Err(StoreError::Corrupt { what: "session" })));
        assert!(matches!(kind(9), Err(StoreError::Corrupt { .. })));
    }
}

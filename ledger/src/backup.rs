//! Backups that parties leave at the nodes (§V-E d): one for each party of a session, which outlives the session.

use crate::{LedgerError, State, StoredBackup, apply::Change, changes::Changes, clock::Clock, session::Session};
use std::cmp::Ordering;
use wire::{
    BackupRecord, Code, ExchangeKey, KeptBackup, Operation, OperationId, SessionId, Verified,
    limits::{BACKUP_ROW_BYTES, BACKUP_SHARE, MAX_BACKUPS},
    signed,
};

impl State {
    /// What the board knows of a party's backup; `None` if it has never made or erased one.
    pub fn backup(&self, session: &SessionId, party: u16) -> Option<&BackupRecord> {
        self.sessions.get(session)?.backups.get(&party)
    }

    /// Whoever takes part may leave a backup from keying on, and goes on to when the session is erased: what it keeps, a group's secret for
    /// example, is worth something for longer. An older one than the newest that the board has seen is refused, also if that is erased, so
    /// that nobody who holds old bytes back can bring them back. That the shares in the payload are right is what nodes say by confirming it, each of its
    /// own, see [`State::check_stored`].
    pub(crate) fn decide_backup(&self, operation: &Verified<Operation>) -> Result<Change, Code> {
        let (session, number, kept) = match *operation.body() {
            Operation::Backup { session, number, digest, length, keep_ms } => {
                (session, number, Some(KeptBackup { digest, length, keep_ms, deadline_ms: None }))
            }
            Operation::EraseBackup { session, number } => (session, number, None),
            _ => return Ok(Change::Nothing),
        };
        let (author, name) = (operation.author(), OperationId(operation.digest().0));
        let found = self.sessions.get(&session).ok_or(Code::UnknownSession)?;
        let party = found.party(&author)?;
        let before = found.backups.get(&party);
        match before {
            Some(before) => check_number(before, number, name, kept.is_some())?,
            // A record stays for ever: without a payload that nodes have confirmed, nobody gets one.
            None if kept.is_none() => return Err(Code::NoBackup),
            None => {}
        }
        if kept.is_some() && found.is_absent(party) {
            return Err(Code::Absent);
        }
        // Each makes all nodes calculate and store, and none counts against the session's quota.
        if number > MAX_BACKUPS.saturating_add(u32::from(kept.is_none())) {
            return Err(Code::QuotaExceeded);
        }
        let others = self.usage.backup_bytes().saturating_sub(before.map_or(0, kept_bytes));
        let record = BackupRecord { number, operation: name, kept };
        if others.saturating_add(kept_bytes(&record)) > self.parameters.quotas.live_bytes / BACKUP_SHARE {
            return Err(Code::QuotaExceeded);
        }
        Ok(Change::Backup { backup: StoredBackup { session, party, author, record } })
    }

    /// Puts a backup in place of the one before; or nothing, if it is the order to erase that.
    pub(crate) fn keep_backup(&mut self, backup: StoredBackup, changes: &mut Changes) {
        let StoredBackup { session, party, record, .. } = backup;
        let before = self.session_mut(&session).backups.insert(party, record);
        if let Some((before, kept)) = before.and_then(|before| Some((before, before.kept?))) {
            self.clocks.remove(Clock::Backup(session, party), kept.deadline_ms);
            self.usage.remove_backup(kept_bytes(&before));
        }
        self.count_backup(session, party, &record);
        changes.backup(session, party);
    }

    /// The time of a backup is over.
    pub(crate) fn expire_backup(&mut self, session: SessionId, party: u16, changes: &mut Changes) {
        let Some(record) = self.session_mut(&session).backups.get_mut(&party) else { return };
        let bytes = kept_bytes(record);
        record.kept = None;
        self.usage.remove_backup(bytes);
        changes.backup(session, party);
    }

    /// Starts the clock of a backup that was taken in the block before.
    pub(crate) fn start_backup_clock(
        &mut self,
        session: SessionId,
        party: u16,
        time_ms: u64,
        changes: &mut Changes,
    ) -> Option<u64> {
        let kept = self.session_mut(&session).backups.get_mut(&party)?.kept.as_mut()?;
        kept.deadline_ms = Some(time_ms.saturating_add(kept.keep_ms));
        changes.backup(session, party);
        kept.deadline_ms
    }

    pub(crate) fn restore_backup(&mut self, backup: &StoredBackup) -> Result<(), LedgerError> {
        let StoredBackup { session: id, party, author, record } = *backup;
        let wrong = LedgerError::WrongBackup { session: id, party };
        let chain = self.parameters.chain.clone();
        let session = self.sessions.get_mut(&id).ok_or(LedgerError::UnknownSession { session: id })?;
        let is_named = record.kept.is_none_or(|KeptBackup { digest, length, keep_ms, .. }| {
            let operation = Operation::Backup { session: id, number: record.number, digest, length, keep_ms };
            signed::digest(&chain, &author, &operation).0 == record.operation.0
        });
        if !is_named || session.index(&author) != Some(party) || session.backups.insert(party, record).is_some() {
            return Err(wrong);
        }
        self.count_backup(id, party, &record);
        Ok(())
    }

    /// The nodes' exchange keys, if one of them has replaced that of genesis: to them, backups are sealed.
    pub(crate) fn exchange_keys(&self) -> Option<&[ExchangeKey]> {
        let keys = &self.generation().next_exchange_keys;
        let genesis = self.parameters.nodes.iter().map(|node| &node.keys.exchange);
        (!keys.iter().eq(genesis)).then_some(keys)
    }

    fn count_backup(&mut self, session: SessionId, party: u16, record: &BackupRecord) {
        let Some(kept) = record.kept else { return };
        self.clocks.insert(Clock::Backup(session, party), kept.deadline_ms);
        self.usage.add_backup(kept_bytes(record));
    }
}

impl Session {
    /// The party's backup as it is stored.
    pub(crate) fn stored_backup(&self, session: SessionId, party: u16) -> Option<StoredBackup> {
        let (author, record) = (*self.parties.get(usize::from(party))?, *self.backups.get(&party)?);
        Some(StoredBackup { session, party, author, record })
    }
}

/// What a backup takes of the quota.
fn kept_bytes(record: &BackupRecord) -> u64 {
    record.kept.map_or(0, |kept| u64::from(kept.length).saturating_add(BACKUP_ROW_BYTES))
}

/// Of one number there is one operation, and none of a number below that of the newest. Who sends it again learns that nothing is lost; or, of
/// a backup whose time is over, that it is.
fn check_number(newest: &BackupRecord, number: u32, operation: OperationId, is_backup: bool) -> Result<(), Code> {
    match number.cmp(&newest.number) {
        Ordering::Greater => Ok(()),
        Ordering::Equal if newest.operation != operation => Err(Code::DuplicateDifferent),
        Ordering::Equal if is_backup && newest.kept.is_none() => Err(Code::NoBackup),
        Ordering::Equal => Err(Code::DuplicateSame),
        Ordering::Less => Err(Code::OutdatedBackup),
    }
}

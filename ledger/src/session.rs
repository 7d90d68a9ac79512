//! A session in memory: its record, and what the rules must know beside it. Never a payload.

use crate::{StoredEntry, StoredSession};
use std::collections::BTreeMap;
use wire::{MailboxHead, MailboxKind, OperationId, PublicKey, RoundState, SessionRecord};

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) record: SessionRecord,
    pub(crate) parties: Vec<PublicKey>,
    indices: BTreeMap<PublicKey, u16>,
    written_bytes: BTreeMap<u16, u64>,
    pub(crate) mailboxes: BTreeMap<(MailboxKind, u32), Mailbox>,
    pub(crate) rounds: BTreeMap<u32, RoundState>,
}

/// One mailbox: how far it has come, and who has written what.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) head: MailboxHead,
    pub(crate) writes: BTreeMap<u16, OperationId>,
}

impl Session {
    /// A session without entries.
    pub(crate) fn new(stored: StoredSession) -> Self {
        let indices = stored.parties.iter().copied().zip(0..).collect();
        Self {
            record: stored.record,
            parties: stored.parties,
            indices,
            written_bytes: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            rounds: BTreeMap::new(),
        }
    }

    /// What of the session is stored as one row.
    pub(crate) fn stored(&self) -> StoredSession {
        StoredSession { record: self.record.clone(), parties: self.parties.clone() }
    }

    /// The party's place on the list.
    pub(crate) fn index(&self, key: &PublicKey) -> Option<u16> {
        self.indices.get(key).copied()
    }

    /// True if the party gave no key by the keying deadline.
    pub(crate) fn is_absent(&self, party: u16) -> bool {
        self.record.absent.binary_search(&party).is_ok()
    }

    /// Payload bytes that the party has written in all mailboxes.
    pub(crate) fn written_bytes(&self, party: u16) -> u64 {
        self.written_bytes.get(&party).copied().unwrap_or(0)
    }

    /// The party's write to a mailbox, if it is taken.
    pub(crate) fn write(&self, kind: MailboxKind, round: u32, party: u16) -> Option<OperationId> {
        self.mailboxes.get(&(kind, round))?.writes.get(&party).copied()
    }

    /// Adds an entry, whose position and head are those of `next`, the mailbox's head after it.
    pub(crate) fn append(&mut self, entry: &StoredEntry, next: MailboxHead) {
        let mailbox = self
            .mailboxes
            .entry((entry.mailbox.kind, entry.mailbox.round))
            .or_insert_with(|| Mailbox { head: next, writes: BTreeMap::new() });
        mailbox.head = next;
        mailbox.writes.insert(entry.sender, entry.operation);
        let bytes = self.written_bytes.entry(entry.sender).or_default();
        *bytes = bytes.saturating_add(entry.length.into());
    }

    /// True if all parties have written all rounds of the key agreement.
    pub(crate) fn is_keyed(&self) -> bool {
        let full = |round| {
            let mailbox = self.mailboxes.get(&(MailboxKind::Keying, round));
            mailbox.is_some_and(|mailbox| mailbox.writes.len() == self.parties.len())
        };
        (0..self.record.spec.keying_rounds).all(full)
    }

    /// Indices of the parties that have not written all rounds of the key agreement, ascending.
    pub(crate) fn keyless(&self) -> Vec<u16> {
        let keyed =
            |party| (0..self.record.spec.keying_rounds).all(|r| self.write(MailboxKind::Keying, r, party).is_some());
        (0..self.record.parties).filter(|party| !keyed(*party)).collect()
    }

    /// True if every party that takes part has acknowledged the session's end.
    pub(crate) fn is_read_by_all(&self) -> bool {
        let record = &self.record;
        record.acknowledged.len() == self.parties.len().saturating_sub(record.absent.len())
    }

    /// Forgets everything but record and list.
    pub(crate) fn clear(&mut self) {
        self.written_bytes.clear();
        self.mailboxes.clear();
        self.rounds.clear();
    }
}

//! A session in memory: its record, and what the rules must know beside it. Never a payload.

use crate::{StoredEntry, StoredSession, list::List};
use std::collections::BTreeMap;
use wire::{
    Admission, BackupRecord, Code, ListKind, MailboxHead, MailboxKind, OpenTerms, OperationId, Phase, PublicKey,
    RoundState, SessionId, SessionRecord,
};

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) record: SessionRecord,
    pub(crate) parties: Vec<PublicKey>,
    indices: BTreeMap<PublicKey, u16>,
    /// Of a group: the open session from which its parties come, if they come from one.
    pub(crate) origin: Option<SessionId>,
    /// Of an open session: who has asked, who has solved.
    pub(crate) lists: BTreeMap<ListKind, List>,
    written_bytes: BTreeMap<u16, u64>,
    pub(crate) mailboxes: BTreeMap<(MailboxKind, u32), Mailbox>,
    pub(crate) rounds: BTreeMap<u32, RoundState>,
    /// By party. They outlive the session's erasure.
    pub(crate) backups: BTreeMap<u16, BackupRecord>,
}

/// One mailbox: how far it has come, and who has written what.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub(crate) head: MailboxHead,
    pub(crate) writes: BTreeMap<u16, OperationId>,
}

impl Session {
    /// A session without entries and listings.
    pub(crate) fn new(stored: StoredSession, origin: Option<SessionId>) -> Self {
        let indices = stored.parties.iter().copied().zip(0..).collect();
        Self {
            origin,
            lists: BTreeMap::new(),
            record: stored.record,
            parties: stored.parties,
            indices,
            written_bytes: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            rounds: BTreeMap::new(),
            backups: BTreeMap::new(),
        }
    }

    /// What of the session is stored as one row.
    pub(crate) fn stored(&self) -> StoredSession {
        StoredSession { record: self.record.clone(), parties: self.parties.clone() }
    }

    /// The epoch of the key under which the session's challenge is still to be made.
    pub(crate) fn awaited_epoch(&self) -> Option<u64> {
        let registration = self.record.registration.filter(|registration| registration.challenge.is_none())?;
        (self.record.phase <= Phase::Solving).then_some(registration.epoch)
    }

    /// The party's place on the list.
    pub(crate) fn index(&self, key: &PublicKey) -> Option<u16> {
        self.indices.get(key).copied()
    }

    /// The author's place on the list, if it may have a say at all. While strangers come there is no list yet.
    pub(crate) fn party(&self, key: &PublicKey) -> Result<u16, Code> {
        let refusal = if self.record.phase < Phase::Keying { Code::WrongPhase } else { Code::NotAParty };
        self.index(key).ok_or(refusal)
    }

    /// Fixes the parties of a session to which strangers have come.
    pub(crate) fn seat(&mut self, parties: Vec<PublicKey>) {
        self.indices = parties.iter().copied().zip(0..).collect();
        self.parties = parties;
    }

    /// What an open session asks of strangers.
    pub(crate) fn terms(&self) -> Option<&OpenTerms> {
        match &self.record.spec.admission {
            Admission::Open { terms } => Some(terms),
            Admission::Invited { .. } | Admission::Group { .. } => None,
        }
    }

    /// The open session from which the parties come, if they come from one: this one, whose id is `own`, or an earlier one.
    pub(crate) fn origin(&self, own: SessionId) -> Option<SessionId> {
        self.terms().map_or(self.origin, |_| Some(own))
    }

    /// True if the parties have come to compute: they all know who takes part.
    pub(crate) fn has_run(&self) -> bool {
        self.record.phase == Phase::Running || self.record.end.is_some_and(|end| end.phase == Phase::Running)
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

    /// Forgets everything but record, parties and backups.
    pub(crate) fn clear(&mut self) {
        self.written_bytes.clear();
        self.mailboxes.clear();
        self.rounds.clear();
        self.lists.clear();
    }
}

//! Writes to mailboxes (P4.10 WriteKA, P5.4 Write).

use crate::{Payload, State, StoredEntry, apply::Change, changes::Changes, clock::Clock, session::Session};
use wire::{ChainId, Code, MailboxHead, MailboxId, MailboxKind, Operation, OperationId, Phase, RoundState, Verified};

impl State {
    /// A slot that is taken says so before anything else that could be wrong now, so that a party that resends after a crash
    /// learns that nothing is lost, whatever has happened to the session since; only after erasure nobody knows.
    pub(crate) fn decide_write(&self, operation: &Verified<Operation>) -> Result<Change, Code> {
        let Operation::Write { mailbox, digest, length, recipients } = *operation.body() else {
            return Ok(Change::Nothing);
        };
        let (author, id) = (operation.author(), OperationId(operation.digest().0));
        let session = self.sessions.get(&mailbox.session).ok_or(Code::UnknownSession)?;
        let sender = session.party(&author)?;
        if let Some(first) = session.write(mailbox.kind, mailbox.round, sender) {
            return Err(if first == id { Code::DuplicateSame } else { Code::DuplicateDifferent });
        }
        session.check_writer(sender, mailbox.kind)?;
        session.check_round(&mailbox)?;
        if recipients != session.recipients(mailbox.kind) {
            return Err(Code::WrongRecipients);
        }
        if length > session.record.spec.max_message_bytes {
            return Err(Code::PayloadTooLarge);
        }
        if session.written_bytes(sender).saturating_add(length.into()) > session.record.spec.max_party_bytes {
            return Err(Code::QuotaExceeded);
        }
        let mut head = session.head(&self.parameters.chain, &mailbox);
        let position = head.count;
        head.append(sender, &digest);
        let (signature, head) = (operation.signature(), head.head);
        let entry = StoredEntry { mailbox, position, operation: id, author, sender, digest, length, signature, head };
        Ok(Change::Append { entry })
    }

    /// Whether the payload of a write or a solution is in the hands of enough nodes. In the transaction it may be if it is short and not private,
    /// and the session permits it. Beside, 2f + 1 different nodes must have confirmed it in a bundle that lists this very operation
    /// and length and is not expired at `time_ms`: of those f + 1 are honest, so that it is there whatever the others do.
    /// Of a solution they say by it that its proof of work is right (P4.5 step 7), so that it never comes in the transaction.
    pub(crate) fn check_stored(
        &self,
        operation: &Verified<Operation>,
        payload: &Payload,
        time_ms: u64,
    ) -> Result<(), Code> {
        let body = operation.body();
        let Some(length) = body.payload_bytes() else { return Ok(()) };
        let stored = match payload {
            Payload::Inline => {
                let session = body.session().and_then(|id| self.sessions.get(&id));
                body.may_be_inline() && session.is_some_and(|session| session.record.spec.inline_payloads)
            }
            Payload::Beside { bundle, place } => {
                let item = bundle.bundle().items.get(usize::from(*place));
                let is_listed =
                    item.is_some_and(|item| (item.operation.0, item.length) == (operation.digest().0, length));
                let nodes = bundle.holders(*place).filter(|author| self.parameters.is_node(author)).count();
                is_listed && time_ms < bundle.bundle().expiry_ms && nodes >= self.parameters.confirmations_needed()
            }
        };
        if stored { Ok(()) } else { Err(Code::NotStored) }
    }

    /// Appends, starts the round's clock on its first write, and lets the session run once all keys are there.
    pub(crate) fn append(&mut self, entry: StoredEntry, changes: &mut Changes) {
        let MailboxId { session: id, kind, round } = entry.mailbox;
        let session = self.sessions.get_mut(&id).expect("the decision has found the session");
        let next = MailboxHead { count: entry.position.saturating_add(1), head: entry.head };
        session.append(&entry, next);
        let timed = kind != MailboxKind::Keying && session.record.spec.round_timeout_ms.is_some();
        if timed && !session.rounds.contains_key(&round) {
            session.rounds.insert(round, RoundState { deadline_ms: None, closed: false });
            self.clocks.insert(Clock::of_round(id, round), None);
            changes.round(id, round);
        }
        let keyed = kind == MailboxKind::Keying && session.is_keyed();
        changes.entry(entry);
        if keyed {
            self.enter(id, Phase::Running, changes);
        }
    }
}

impl Session {
    /// Number of items that a write of this kind must have.
    pub(crate) fn recipients(&self, kind: MailboxKind) -> u16 {
        match kind {
            MailboxKind::Keying | MailboxKind::Broadcast => 0,
            MailboxKind::Private => self.record.parties,
        }
    }

    /// How far the mailbox has come, also if nobody has written.
    pub(crate) fn head(&self, chain: &ChainId, mailbox: &MailboxId) -> MailboxHead {
        let written = self.mailboxes.get(&(mailbox.kind, mailbox.round));
        written.map_or_else(|| MailboxHead::empty(chain, mailbox), |mailbox| mailbox.head)
    }

    /// Whether the party may write such a message now. Keys are taken in keying only, messages from running on; a session
    /// that ended in keying never ran, so that there is nothing for slower parties to finish.
    fn check_writer(&self, party: u16, kind: MailboxKind) -> Result<(), Code> {
        let record = &self.record;
        if record.phase == Phase::Erased {
            Err(Code::WrongPhase)
        } else if self.is_absent(party) {
            Err(Code::Absent)
        } else if record.acknowledged.contains(&party) {
            Err(Code::AlreadyAcknowledged)
        } else {
            match (kind, record.phase) {
                (MailboxKind::Keying, Phase::Keying) => Ok(()),
                (MailboxKind::Broadcast | MailboxKind::Private, Phase::Running) => Ok(()),
                (MailboxKind::Broadcast | MailboxKind::Private, Phase::Ended) if self.has_run() => Ok(()),
                _ => Err(Code::WrongPhase),
            }
        }
    }

    fn check_round(&self, mailbox: &MailboxId) -> Result<(), Code> {
        let spec = &self.record.spec;
        match mailbox.kind {
            MailboxKind::Keying if mailbox.round >= spec.keying_rounds => Err(Code::RoundOutOfRange),
            MailboxKind::Keying => Ok(()),
            MailboxKind::Broadcast | MailboxKind::Private => {
                let closed = self.rounds.get(&mailbox.round).is_some_and(|state| state.closed);
                if mailbox.round >= spec.max_rounds {
                    Err(Code::RoundOutOfRange)
                } else if closed {
                    Err(Code::RoundClosed)
                } else {
                    Ok(())
                }
            }
        }
    }
}

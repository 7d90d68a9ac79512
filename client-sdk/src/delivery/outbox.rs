//! What a protocol has sent and is not yet proved to be on the board.

use super::Execution;
use crate::{Error, session::Unconfirmed};
use std::{collections::BTreeMap, fmt};
use wire::{Envelope, MailboxKind, OperationId};
use zeroize::Zeroize;

/// Writes of one execution. Each takes the next slot of its kind.
pub(super) struct Outbox {
    next_broadcast: u32,
    next_private: u32,
    /// Private messages that leave with the next set, by recipient.
    pending: BTreeMap<u16, Vec<u8>>,
    /// Signed, and not yet in the journal.
    pub(super) fresh: Vec<Envelope>,
    /// In the journal, and not yet handed in.
    pub(super) leaving: Vec<Envelope>,
    /// Handed in, and not yet found.
    pub(super) unconfirmed: Vec<Unconfirmed>,
}

impl Outbox {
    pub(super) fn new(first: u32) -> Self {
        let (next_broadcast, next_private) = (first, first);
        let (fresh, leaving, unconfirmed) = (Vec::new(), Vec::new(), Vec::new());
        Self { next_broadcast, next_private, pending: BTreeMap::new(), fresh, leaving, unconfirmed }
    }

    /// How many slots of `kind` this party has used, as the first round that it has not written to.
    pub(super) fn next(&self, kind: MailboxKind) -> u32 {
        if kind == MailboxKind::Private { self.next_private } else { self.next_broadcast }
    }

    pub(super) fn broadcast(&mut self, execution: &Execution<'_>, data: Vec<u8>) -> Result<(), Error> {
        let round = self.next_broadcast;
        self.sign(execution, (MailboxKind::Broadcast, round), data, "the broadcast")?;
        self.next_broadcast += 1;
        Ok(())
    }

    pub(super) fn private(&mut self, execution: &Execution<'_>, to: u16, data: Vec<u8>) -> Result<(), Error> {
        if !execution.session.channels().is_open() {
            return Err(Error::NoChannels);
        }
        if self.pending.contains_key(&to) {
            self.seal(execution)?;
        }
        self.pending.insert(to, data);
        Ok(())
    }

    /// Seals the pending private messages into a set.
    pub(super) fn seal(&mut self, execution: &Execution<'_>) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let round = self.next_private;
        let payload = execution.session.channels().seal(round, &self.pending)?.encode().0;
        self.sign(execution, (MailboxKind::Private, round), payload, "the set of private messages")?;
        self.next_private += 1;
        self.pending.values_mut().for_each(Zeroize::zeroize);
        self.pending.clear();
        Ok(())
    }

    /// Of the writes that were asked for, those that are still `open` stay, as they now stand; the others were found.
    pub(super) fn settle(&mut self, asked: &[OperationId], open: &[Unconfirmed]) {
        self.unconfirmed.retain_mut(|write| {
            let id = write.envelope.id();
            let now = open.iter().find(|open| open.envelope.id() == id);
            if let Some(now) = now {
                (write.word, write.since) = (now.word, now.since);
            }
            now.is_some() || !asked.contains(&id)
        });
    }

    /// Signs a message, or takes it from the journal, if the protocol has sent it before.
    fn sign(
        &mut self,
        execution: &Execution<'_>,
        (kind, round): (MailboxKind, u32),
        payload: Vec<u8>,
        what: &'static str,
    ) -> Result<(), Error> {
        let limit = usize::try_from(execution.session.spec().max_message_bytes).unwrap_or(usize::MAX);
        if payload.len() > limit {
            return Err(Error::TooLong { what, length: payload.len(), limit });
        }
        if round >= execution.rounds.end {
            return Err(Error::NoSuchRound { round, rounds: execution.rounds.end });
        }
        let known = execution.place.lock().written(execution.place.execution, kind, round).cloned();
        match known.map(|step| step.as_write(kind, round, &payload)).transpose() {
            Ok(Some((envelope, _))) => self.leaving.push(envelope),
            Ok(None) => self.fresh.push(execution.session.envelope(kind, round, payload)),
            Err(difference) => return Err(execution.differs(difference)),
        }
        Ok(())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.pending.values_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending: Vec<&u16> = self.pending.keys().collect();
        f.debug_struct("Outbox")
            .field("next_broadcast", &self.next_broadcast)
            .field("next_private", &self.next_private)
            .field("pending", &pending)
            .finish_non_exhaustive()
    }
}

//! An operation that the batcher has, until it is decided.

use crate::submit::Fate;
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};
use wire::{Carried, ConfirmedBundle, Envelope, MailboxId, Operation, PublicKey, SessionId, TransactionItem, Verified};

/// An operation until it is decided.
pub(crate) struct Waiting {
    pub(crate) verified: Verified<Operation>,
    pub(crate) envelope: Envelope,
    pub(crate) bytes: usize,
    pub(crate) until: Instant,
    /// The bundle in which enough nodes have its payload, and its place there.
    pub(crate) stored: Option<(Arc<ConfirmedBundle>, u16)>,
    /// How often too few nodes had it.
    pub(crate) failures: u32,
    /// When to hand it on again; none while it is in a batch that forms or is being handed on.
    pub(crate) due: Option<Instant>,
    /// True once consensus had it.
    pub(crate) taken: bool,
    /// True once it was refused as something that the board has done already.
    pub(crate) repeated: bool,
    pub(crate) want_taken: Vec<oneshot::Sender<Fate>>,
    pub(crate) want_decided: Vec<oneshot::Sender<Fate>>,
    /// True if it goes on without anybody waiting, since somebody was told that it was handed in.
    pub(crate) promised: bool,
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Waiting {
    pub(crate) fn tell_all(self, fate: &Fate) {
        for reply in self.want_taken.into_iter().chain(self.want_decided) {
            // Who has gone away need not be told.
            let _ = reply.send(fate.clone());
        }
    }

    pub(crate) fn is_wanted(&mut self, now: Instant) -> bool {
        self.want_decided.retain(|reply| !reply.is_closed());
        self.want_taken.retain(|reply| !reply.is_closed());
        self.until > now && (self.promised || !self.want_decided.is_empty() || !self.want_taken.is_empty())
    }
}

impl Waiting {
    /// The operation as a transaction carries it.
    pub(crate) fn item(&self) -> TransactionItem {
        match &self.stored {
            Some((_, place)) => {
                TransactionItem { signed: self.envelope.signed.clone(), payload: Carried::Beside { place: *place } }
            }
            None => TransactionItem::inline(self.envelope.clone()),
        }
    }
}

/// What only one operation can have: the board takes a write to it, an abort, an acknowledgement only once.
pub(crate) type Slot = (PublicKey, SessionId, Option<MailboxId>, &'static str);

pub(crate) fn slot(verified: &Verified<Operation>) -> Option<Slot> {
    let (mailbox, what) = match verified.body() {
        Operation::Write { mailbox, .. } => (Some(*mailbox), "write"),
        Operation::Register { .. } => (None, "register"),
        Operation::Solve { .. } => (None, "solve"),
        Operation::Terminate { .. } => (None, "terminate"),
        Operation::Abort { .. } => (None, "abort"),
        Operation::Ack { .. } => (None, "ack"),
        Operation::CreateSession { .. }
        | Operation::Challenge { .. }
        | Operation::Tick { .. }
        | Operation::Generate { .. }
        | Operation::ReplaceExchangeKey { .. }
        | Operation::RenewKey { .. }
        | Operation::Backup { .. }
        | Operation::EraseBackup { .. } => return None,
    };
    Some((verified.author(), verified.body().session()?, mailbox, what))
}

//! Checking what one node shows of a mailbox: the hash chain first, then payloads, paths and the senders' signatures.

use crate::BadAnswer;
use rand_core::{CryptoRng, RngCore};
use std::collections::BTreeSet;
use wire::{
    Body, ChainId, Entry, Hash, MailboxFact, MailboxHead, MailboxId, MailboxKind, PrivateItem, PublicKey,
    message_digest, signed, verify_item,
};

/// The mailbox that is read, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The chain.
    pub chain: &'a ChainId,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The keys of the session's list, in index order.
    pub keys: &'a [PublicKey],
    /// Whose private items are read, if any.
    pub recipient: Option<u16>,
}

/// What an entry says, once checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A keying message or broadcast.
    Message(Vec<u8>),
    /// The reader's item of a private set; `None` if the sender wrote nothing for it.
    Private(Option<PrivateItem>),
}

/// One checked entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Index of the sender.
    pub sender: u16,
    /// What it says.
    pub content: Content,
}

/// How far a reader has come in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Count and head.
    pub head: MailboxHead,
    /// Who has written up to here.
    pub senders: BTreeSet<u16>,
}

impl Position {
    /// Before the first entry.
    pub fn start(slot: &Slot<'_>) -> Self {
        Self { head: MailboxHead::empty(slot.chain, &slot.mailbox), senders: BTreeSet::new() }
    }

    /// Moves on over entries that [`check_chain`] has accepted.
    pub fn advance(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.head.append(entry.sender, &entry.digest);
            self.senders.insert(entry.sender);
        }
    }
}

/// Checks that a page is about `slot`, continues `held`, names possible senders once each and hashes to its own head.
/// Payloads and signatures are not looked at. Returns the head after each entry.
///
/// # Errors
/// Why the answer does not count.
pub fn check_chain(slot: &Slot<'_>, held: &Position, page: &MailboxFact) -> Result<Vec<Hash>, BadAnswer> {
    if page.mailbox != slot.mailbox || page.recipient != slot.recipient {
        return Err(BadAnswer::AboutSomethingElse { what: "mailbox" });
    }
    if page.from != held.head.count || page.from_head != held.head.head {
        return Err(BadAnswer::Discontinuous { position: held.head.count });
    }
    let (mut head, mut senders, mut heads) = (held.head, BTreeSet::new(), Vec::with_capacity(page.entries.len()));
    for entry in &page.entries {
        let sender = entry.sender;
        if usize::from(sender) >= slot.keys.len() || held.senders.contains(&sender) || !senders.insert(sender) {
            return Err(BadAnswer::ImpossibleSender { position: head.count, sender });
        }
        head.append(sender, &entry.digest);
        heads.push(head.head);
    }
    let whole = head.count == page.head.count;
    if head.count > page.head.count || (whole && head.head != page.head.head) {
        return Err(BadAnswer::BrokenChain);
    }
    Ok(heads)
}

/// Checks payloads, paths and signatures of entries whose chain was checked; the signatures in one batch, and singly only to name the bad
/// ones. `rng` must be unpredictable ([`signed::check_batch`]).
///
/// # Errors
/// Why the answer does not count.
pub fn check_entries<R: RngCore + CryptoRng>(
    slot: &Slot<'_>,
    entries: &[Entry],
    rng: R,
) -> Result<Vec<Message>, BadAnswer> {
    let parties = u16::try_from(slot.keys.len()).unwrap_or(u16::MAX);
    let mut items = Vec::with_capacity(entries.len());
    for entry in entries {
        let stranger = BadAnswer::ForgedEntries { senders: vec![entry.sender] };
        let key = slot.keys.get(usize::from(entry.sender)).ok_or(stranger)?;
        items.push((*key, entry.signed_digest(slot.chain, key, &slot.mailbox, parties), entry.signature));
    }
    if signed::check_batch(&items, rng).is_err() {
        let single = items.iter().map(|(key, digest, signature)| signed::check(key, digest, signature));
        let forged = single.zip(entries).filter(|(checked, _)| checked.is_err());
        return Err(BadAnswer::ForgedEntries { senders: forged.map(|(_, entry)| entry.sender).collect() });
    }
    entries.iter().map(|entry| check_body(slot, parties, entry)).collect()
}

fn check_body(slot: &Slot<'_>, parties: u16, entry: &Entry) -> Result<Message, BadAnswer> {
    let sender = entry.sender;
    let content = match (slot.mailbox.kind, &entry.body, slot.recipient) {
        (MailboxKind::Keying | MailboxKind::Broadcast, Body::Message { payload }, _) => {
            if payload.length() != entry.length || message_digest(&payload.0) != entry.digest {
                return Err(BadAnswer::WrongPayload { sender });
            }
            Content::Message(payload.0.clone())
        }
        (MailboxKind::Private, Body::Private { item, path }, Some(recipient)) => {
            if !verify_item(&entry.digest, parties, recipient, item.as_ref(), path) {
                return Err(BadAnswer::WrongPath { sender });
            }
            Content::Private(item.clone())
        }
        _ => return Err(BadAnswer::WrongPayload { sender }),
    };
    Ok(Message { sender, content })
}

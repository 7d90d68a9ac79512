//! Checking what one node shows of a mailbox: the hash chain first, then payloads, paths and the senders' signatures.

use crate::{BadAnswer, PartyKeys};
use rand_core::{CryptoRng, RngCore};
use std::collections::BTreeSet;
use wire::{
    Body, ChainId, Entry, Hash, MailboxFact, MailboxHead, MailboxId, MailboxKind, PrivateItem, message_digest, signed,
    verify_item,
};

/// The mailbox that is read, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The chain.
    pub chain: &'a ChainId,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The keys of the session's list, in index order.
    pub keys: &'a PartyKeys,
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

    /// Moves on over entries that [`check_page`] has accepted.
    pub fn advance(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.head.append(entry.sender, &entry.digest);
            self.senders.insert(entry.sender);
        }
    }
}

/// Checks that the entries of a page and what follows them hash from the head that it begins with to the mailbox's. Returns the head
/// after each entry.
///
/// # Errors
/// [`BadAnswer::BrokenChain`].
pub fn check_links(page: &MailboxFact) -> Result<Vec<Hash>, BadAnswer> {
    let mut head = MailboxHead { count: page.from, head: page.from_head };
    let mut heads = Vec::with_capacity(page.entries.len());
    for entry in &page.entries {
        head.append(entry.sender, &entry.digest);
        heads.push(head.head);
    }
    page.rest.iter().for_each(|link| head.append(link.sender, &link.digest));
    if head == page.head { Ok(heads) } else { Err(BadAnswer::BrokenChain) }
}

/// Checks that a page continues `held`, names possible senders once each, hashes to its head ([`check_links`]) and shows something if there is
/// something. That the head is the board's, and payloads and signatures, are not looked at. Returns the head after each entry.
///
/// # Errors
/// Why the answer does not count.
pub fn check_page(slot: &Slot<'_>, held: &Position, page: &MailboxFact) -> Result<Vec<Hash>, BadAnswer> {
    if page.from != held.head.count || page.from_head != held.head.head {
        return Err(BadAnswer::Discontinuous { position: held.head.count });
    }
    let heads = check_links(page)?;
    let shown = page.entries.iter().map(|entry| entry.sender);
    let mut senders = BTreeSet::new();
    for (position, sender) in (page.from..).zip(shown.chain(page.rest.iter().map(|link| link.sender))) {
        if usize::from(sender) >= slot.keys.len() || held.senders.contains(&sender) || !senders.insert(sender) {
            return Err(BadAnswer::ImpossibleSender { position, sender });
        }
    }
    if page.entries.is_empty() && !page.rest.is_empty() {
        return Err(BadAnswer::Withheld { position: page.from });
    }
    Ok(heads)
}

/// Checks payloads, paths and signatures of entries whose chain was checked; the signatures in one batch, and singly only to name the bad
/// ones. `rng` must be unpredictable ([`signed::check_batch_under`]).
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
        let sender = entry.sender;
        let author = slot.keys.get(usize::from(sender)).zip(slot.keys.decoded(sender));
        let (key, decoded) = author.ok_or(BadAnswer::ForgedEntries { senders: vec![sender] })?;
        items.push((*decoded, entry.signed_digest(slot.chain, key, &slot.mailbox, parties), entry.signature));
    }
    if signed::check_batch_under(&items, rng).is_err() {
        let single = items.iter().map(|(key, digest, signature)| key.check(digest, signature));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use rand_core::OsRng;
    use wire::{Bytes, Link, Operation, PrivateSet, SessionId};
    use zeroize::Zeroizing;

    struct Setting {
        chain: ChainId,
        parties: Vec<Identity>,
        keys: PartyKeys,
    }

    impl Setting {
        fn new(n: u8) -> Self {
            let parties: Vec<Identity> = (0..n).map(|i| Identity::from_seed(Zeroizing::new([i; 32]))).collect();
            let keys = PartyKeys::from(parties.iter().map(Identity::public).collect::<Vec<_>>());
            Self { chain: "here".parse().unwrap(), parties, keys }
        }

        fn slot(&self, kind: MailboxKind, recipient: Option<u16>) -> Slot<'_> {
            let mailbox = MailboxId { session: SessionId([7; 32]), kind, round: 2 };
            Slot { chain: &self.chain, mailbox, keys: &self.keys, recipient }
        }

        /// What an honest node shows: an entry of each of `senders`.
        fn page(&self, slot: &Slot<'_>, senders: &[u16]) -> MailboxFact {
            let start = MailboxHead::empty(&self.chain, &slot.mailbox);
            let mut head = start;
            let entries: Vec<Entry> = senders.iter().map(|sender| self.entry(slot, *sender)).collect();
            entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
            let (mailbox, recipient) = (slot.mailbox, slot.recipient);
            MailboxFact {
                mailbox,
                recipient,
                head,
                round: None,
                from: 0,
                from_head: start.head,
                entries,
                rest: vec![],
                session: None,
            }
        }

        fn entry(&self, slot: &Slot<'_>, sender: u16) -> Entry {
            let (payload, digest, body, recipients) = match slot.recipient {
                None => {
                    let payload = Bytes(vec![sender.to_le_bytes()[0]; 5]);
                    (payload.clone(), message_digest(&payload.0), Body::Message { payload }, 0)
                }
                Some(recipient) => {
                    let item = |to: u8| PrivateItem { commitment: Hash([to; 32]), ciphertext: Bytes(vec![to; 9]) };
                    let set = PrivateSet { items: (0..4).map(|to| (to != 3).then(|| item(to))).collect() };
                    let place = usize::from(recipient);
                    let body = Body::Private { item: set.items[place].clone(), path: set.paths()[place].clone() };
                    (set.encode(), set.root(), body, 4)
                }
            };
            let operation = Operation::Write { mailbox: slot.mailbox, digest, length: payload.length(), recipients };
            let signed = self.parties[usize::from(sender)].sign(slot.chain, operation, OsRng);
            Entry { sender, digest, length: payload.length(), signature: signed.signature, body }
        }
    }

    fn check(slot: &Slot<'_>, held: &Position, page: &MailboxFact) -> Result<Vec<Message>, BadAnswer> {
        check_page(slot, held, page)?;
        check_entries(slot, &page.entries, OsRng)
    }

    #[test]
    fn an_honest_page_and_its_continuation_pass() {
        let setting = Setting::new(4);
        for recipient in [None, Some(1), Some(3)] {
            let kind = if recipient.is_some() { MailboxKind::Private } else { MailboxKind::Broadcast };
            let slot = setting.slot(kind, recipient);
            let mut held = Position::start(&slot);
            let whole = setting.page(&slot, &[2, 0, 3]);
            let link = |entry: &Entry| Link { sender: entry.sender, digest: entry.digest };
            let links = whole.entries.iter().map(link).collect::<Vec<_>>();
            let first =
                MailboxFact { entries: whole.entries[..1].to_vec(), rest: links[1..].to_vec(), ..whole.clone() };
            assert_eq!(check(&slot, &held, &first).unwrap().len(), 1, "a page may end early");
            let nothing = MailboxFact { entries: vec![], rest: links, ..whole.clone() };
            assert_eq!(check(&slot, &held, &nothing), Err(BadAnswer::Withheld { position: 0 }));
            held.advance(&first.entries);
            let rest = MailboxFact {
                from: 1,
                from_head: held.head.head,
                entries: whole.entries[1..].to_vec(),
                ..whole.clone()
            };
            let messages = check(&slot, &held, &rest).unwrap();
            assert_eq!(messages.iter().map(|message| message.sender).collect::<Vec<_>>(), [0, 3]);
            let nothing = matches!(messages[0].content, Content::Private(None));
            assert_eq!(nothing, recipient == Some(3), "nothing for me is no error");
            assert_eq!(check(&slot, &held, &whole), Err(BadAnswer::Discontinuous { position: 1 }));
            held.advance(&rest.entries);
            assert_eq!(held.head, whole.head);
        }
    }

    #[test]
    fn every_lie_about_a_broadcast_mailbox_is_named() {
        let setting = Setting::new(4);
        let slot = setting.slot(MailboxKind::Broadcast, None);
        let start = Position::start(&slot);
        let honest = setting.page(&slot, &[2, 0, 3]);
        let lie = |change: &dyn Fn(&mut MailboxFact)| {
            let mut page = honest.clone();
            change(&mut page);
            check(&slot, &start, &page).unwrap_err()
        };
        let signature = honest.entries[0].signature;
        assert_eq!(lie(&|page| page.from = 1), BadAnswer::Discontinuous { position: 0 });
        assert_eq!(lie(&|page| page.from_head = Hash([0; 32])), BadAnswer::Discontinuous { position: 0 });
        assert_eq!(lie(&|page| page.entries.swap(0, 1)), BadAnswer::BrokenChain);
        assert_eq!(lie(&|page| page.head.count = 2), BadAnswer::BrokenChain);
        assert_eq!(lie(&|page| page.entries[1].digest = Hash([0; 32])), BadAnswer::BrokenChain);
        assert_eq!(lie(&|page| page.entries[1].sender = 2), BadAnswer::BrokenChain);
        for sender in [2, 4] {
            let twice = lie(&|page| {
                page.entries[1].sender = sender;
                (page.head.count, page.head.head) = (0, page.from_head);
                page.entries.iter().for_each(|entry| page.head.append(entry.sender, &entry.digest));
            });
            assert_eq!(twice, BadAnswer::ImpossibleSender { position: 1, sender });
        }
        assert_eq!(lie(&|page| page.entries[1].signature = signature), BadAnswer::ForgedEntries { senders: vec![0] });
        assert_eq!(lie(&|page| page.entries[1].length = 6), BadAnswer::ForgedEntries { senders: vec![0] });
        let other = Body::Message { payload: Bytes(vec![9; 5]) };
        assert_eq!(lie(&|page| page.entries[1].body = other.clone()), BadAnswer::WrongPayload { sender: 0 });
        assert_eq!(lie(&|page| page.entries[1].body = Body::Omitted), BadAnswer::WrongPayload { sender: 0 });
    }

    #[test]
    fn a_node_can_neither_swap_nor_hide_nor_invent_a_private_item() {
        let setting = Setting::new(4);
        let slot = setting.slot(MailboxKind::Private, Some(1));
        let (start, honest) = (Position::start(&slot), setting.page(&slot, &[0, 2]));
        let for_two = setting.entry(&setting.slot(MailboxKind::Private, Some(2)), 2).body;
        let Body::Private { item, path } = honest.entries[1].body.clone() else { panic!("a private body") };
        let hidden = Body::Private { item: None, path: path.clone() };
        let shortened = Body::Private { item, path: path[1..].to_vec() };
        for body in [for_two, hidden, shortened] {
            let mut page = honest.clone();
            page.entries[1].body = body;
            assert_eq!(check(&slot, &start, &page), Err(BadAnswer::WrongPath { sender: 2 }));
        }
        let none = setting.slot(MailboxKind::Private, Some(3));
        let mut invented = setting.page(&none, &[0]);
        invented.entries[0].body = honest.entries[0].body.clone();
        assert_eq!(check(&none, &start, &invented), Err(BadAnswer::WrongPath { sender: 0 }));
    }
}

//! Reading a mailbox through f + 1 nodes: all of them show the chain, one of them the payloads.

use crate::{
    Client, Tried,
    mailbox::{Message, Position, Slot, check_chain, check_entries},
    quorum::{Ballot, shared_prefix},
    survey::Pauses,
    transport::Failure,
};
use rand_core::OsRng;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use wire::{Hash, MailboxFact, MailboxHead, limits::MAX_PAGE_ENTRIES};

/// What a reader holds of a mailbox: agreed by f + 1 nodes and checked to the last signature.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) position: Position,
    pub(crate) messages: Vec<Message>,
    /// The chain's head after each message.
    pub(crate) heads: Vec<Hash>,
    /// What each sender wrote, as it was signed.
    pub(crate) digests: BTreeMap<u16, Hash>,
}

impl Held {
    pub(crate) fn start(slot: &Slot<'_>) -> Self {
        Self { position: Position::start(slot), messages: Vec::new(), heads: Vec::new(), digests: BTreeMap::new() }
    }

    /// The head after the first `count` messages.
    pub(crate) fn head_after(&self, slot: &Slot<'_>, count: usize) -> Option<Hash> {
        match count.checked_sub(1) {
            None => Some(MailboxHead::empty(slot.chain, &slot.mailbox).head),
            Some(last) => self.heads.get(last).copied(),
        }
    }
}

/// What came of reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Too few nodes gave usable answers, or they are at different points. What they share was taken.
    Nothing,
    /// What f + 1 nodes have is held, or as much as was wanted.
    Open,
    /// All that was written is held, and f + 1 nodes report that the board has closed the round.
    Closed,
}

/// A node's page whose chain holds.
struct Page {
    page: MailboxFact,
    heads: Vec<Hash>,
    has_bodies: bool,
}

/// What f + 1 nodes share beyond what was held.
struct Shared {
    heads: Vec<Hash>,
    nodes: Vec<usize>,
    closed_at: Option<MailboxHead>,
}

impl Client {
    /// Reads on until `held` has `want` entries or `poll` is over. Says how far f + 1 nodes agree that this is.
    pub(crate) async fn read_on(
        &self,
        slot: &Slot<'_>,
        held: &mut Held,
        want: u32,
        poll: Duration,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Reached {
        let count = want.saturating_sub(held.position.head.count).min(MAX_PAGE_ENTRIES);
        let mut pages = BTreeMap::new();
        let ask = |node: usize, rank: usize| self.page(slot, &held.position, count, rank == 0, node, poll);
        let position = &held.position;
        let judge = |node: usize, (has_bodies, page): (bool, MailboxFact)| {
            let heads = check_chain(&chain_slot(slot, has_bodies), position, &page)?;
            pages.insert(node, Page { page, heads, has_bodies });
            let decided = self.shared(&pages).is_decided(&pages, count, self.needed());
            Ok(decided.then_some(()))
        };
        let decided = self.survey(self.needed(), ask, judge, tried).await.is_some();
        let shared = self.shared(&pages);
        self.take(slot, held, &shared, &pages, tried).await;
        match shared.closed_at {
            Some(head) if head == held.position.head => Reached::Closed,
            _ if decided => Reached::Open,
            _ => Reached::Nothing,
        }
    }

    /// `Some(true)` if `sender` has written `digest`, `Some(false)` if it has written something else, `None` if nothing, as far as
    /// f + 1 nodes show; nodes that are behind are given `patience`.
    pub(crate) async fn find_write(
        &self,
        slot: &Slot<'_>,
        sender: u16,
        digest: &Hash,
        patience: Duration,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Option<bool> {
        let started = Instant::now();
        let mut pauses = Pauses::default();
        let start = Position::start(slot);
        loop {
            let ask = |node: usize, _| self.page(slot, &start, MAX_PAGE_ENTRIES, false, node, Duration::ZERO);
            let mut pages = BTreeMap::new();
            let judge = |node: usize, (has_bodies, page): (bool, MailboxFact)| {
                let heads = check_chain(&chain_slot(slot, has_bodies), &start, &page)?;
                pages.insert(node, Page { page, heads, has_bodies });
                Ok(self.shared(&pages).written_by(&pages, sender))
            };
            if let Some(found) = self.survey(self.needed(), ask, judge, tried).await {
                return Some(found == *digest);
            }
            if started.elapsed() >= patience {
                return None;
            }
            pauses.pause().await;
        }
    }

    async fn page(
        &self,
        slot: &Slot<'_>,
        from: &Position,
        count: u32,
        bodies: bool,
        node: usize,
        poll: Duration,
    ) -> Result<(bool, MailboxFact), Failure> {
        let wire::MailboxId { session, kind, round } = slot.mailbox;
        let recipient =
            slot.recipient.filter(|_| bodies).map(|index| format!("&recipient={index}")).unwrap_or_default();
        let from = from.head.count;
        let path = format!("sessions/{session}/{kind}/{round}?from={from}&count={count}&bodies={bodies}{recipient}");
        Ok((bodies, self.report::<MailboxFact>(node, &path, poll).await?.fact))
    }

    fn shared(&self, pages: &BTreeMap<usize, Page>) -> Shared {
        let chains = pages.iter().map(|(node, page)| (*node, page.heads.clone())).collect();
        let (length, nodes) = shared_prefix(&chains, self.needed());
        let chain = nodes.first().and_then(|node| chains.get(node)).and_then(|chain| chain.get(..length));
        let mut closed = Ballot::new(self.needed());
        for (node, page) in pages {
            if page.page.round.is_some_and(|round| round.closed) {
                closed.insert(*node, page.page.head);
            }
        }
        let closed_at = closed.agreed(|head| *head).copied();
        Shared { heads: chain.map(<[Hash]>::to_vec).unwrap_or_default(), nodes, closed_at }
    }

    /// Takes what is shared into `held`, with payloads from whichever sharing node has the right ones.
    async fn take(
        &self,
        slot: &Slot<'_>,
        held: &mut Held,
        shared: &Shared,
        pages: &BTreeMap<usize, Page>,
        tried: &mut BTreeMap<usize, Tried>,
    ) {
        let there = shared.nodes.iter().filter(|node| pages.get(node).is_some_and(|page| page.has_bodies));
        let elsewhere = shared.nodes.iter().filter(|node| !pages.get(node).is_some_and(|page| page.has_bodies));
        for node in there.chain(elsewhere) {
            if shared.heads.is_empty() {
                return;
            }
            let count = u32::try_from(shared.heads.len()).unwrap_or(MAX_PAGE_ENTRIES);
            let page = match pages.get(node).filter(|page| page.has_bodies) {
                Some(page) => Ok((true, page.page.clone())),
                None => self.page(slot, &held.position, count, true, *node, Duration::ZERO).await,
            };
            let taken = page.and_then(|(_, page)| accept(slot, held, shared, &page));
            match taken {
                Ok(()) => return,
                Err(failure) => {
                    self.blame(*node);
                    tried.insert(*node, self.tried(*node, &failure));
                }
            }
        }
    }
}

impl Shared {
    /// Nothing more can be learnt: as much as was asked for is shared, or f + 1 nodes are at the same point.
    fn is_decided(&self, pages: &BTreeMap<usize, Page>, count: u32, needed: usize) -> bool {
        let full = u32::try_from(self.heads.len()).is_ok_and(|length| length >= count);
        let mut points = Ballot::new(needed);
        for (node, page) in pages {
            points.insert(*node, page.page.head);
        }
        full || points.agreed(|head| *head).is_some()
    }

    /// What `sender` has written, as far as is shared.
    fn written_by(&self, pages: &BTreeMap<usize, Page>, sender: u16) -> Option<Hash> {
        let page = pages.get(self.nodes.first()?)?;
        let shared = page.page.entries.get(..self.heads.len())?;
        shared.iter().find(|entry| entry.sender == sender).map(|entry| entry.digest)
    }
}

/// Only a request for bodies names a recipient.
fn chain_slot<'a>(slot: &Slot<'a>, has_bodies: bool) -> Slot<'a> {
    Slot { recipient: slot.recipient.filter(|_| has_bodies), ..*slot }
}

/// Checks what of a page is shared, and takes it into `held`. A page may end early, for its size is bounded.
fn accept(slot: &Slot<'_>, held: &mut Held, shared: &Shared, page: &MailboxFact) -> Result<(), Failure> {
    let bad = |bad: crate::BadAnswer| Failure::new(bad.to_string());
    let heads = check_chain(slot, &held.position, page).map_err(bad)?;
    let length = heads.len().min(shared.heads.len());
    if length == 0 || heads.get(length - 1) != shared.heads.get(length - 1) {
        return Err(Failure::new("it shows another mailbox than others"));
    }
    let entries = page.entries.get(..length).unwrap_or_default();
    let messages = check_entries(slot, entries, OsRng).map_err(bad)?;
    held.position.advance(entries);
    held.digests.extend(entries.iter().map(|entry| (entry.sender, entry.digest)));
    held.messages.extend(messages);
    held.heads.extend(heads.into_iter().take(length));
    Ok(())
}

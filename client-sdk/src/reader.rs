//! Reading a mailbox: one node's page at a time, each proved to be all that the certified board has of it.

use crate::{
    BadAnswer, Board, Client, Tried,
    mailbox::{Message, Position, Slot, check_entries},
    sighting::Sightings,
    survey::{Pauses, Question},
};
use rand_core::OsRng;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use wire::{BoardAt, Certified, Hash, MailboxFact, MailboxHead, OperationId, limits::MAX_PAGE_ENTRIES};

/// What a reader holds of a mailbox: proved, and checked to the last signature.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) position: Position,
    pub(crate) messages: Vec<Message>,
    /// The chain's head after each message.
    pub(crate) heads: Vec<Hash>,
    /// What each sender wrote, as it was signed.
    pub(crate) digests: BTreeMap<u16, Hash>,
    /// The seat's, of all mailboxes.
    sightings: Arc<Sightings>,
}

impl Held {
    pub(crate) fn start(slot: &Slot<'_>, sightings: Arc<Sightings>) -> Self {
        let (position, digests) = (Position::start(slot), BTreeMap::new());
        Self { position, messages: Vec::new(), heads: Vec::new(), digests, sightings }
    }

    /// The head after the first `count` messages.
    pub(crate) fn head_after(&self, slot: &Slot<'_>, count: usize) -> Option<Hash> {
        match count.checked_sub(1) {
            None => Some(MailboxHead::empty(slot.chain, &slot.mailbox).head),
            Some(last) => self.heads.get(last).copied(),
        }
    }

    fn take(&mut self, slot: &Slot<'_>, Page { at, page, heads, messages }: Page) {
        let wire::MailboxId { kind, round, .. } = slot.mailbox;
        self.sightings.note(page.entries.iter().map(|entry| entry.sender), (kind, round), &at);
        self.position.advance(&page.entries);
        self.digests.extend(page.entries.iter().map(|entry| (entry.sender, entry.digest)));
        self.messages.extend(messages);
        self.heads.extend(heads);
    }
}

/// One wait for something, at several nodes.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    /// Nodes that have shown, with proof, that it is not there.
    shown: BTreeSet<usize>,
    /// Those that were asked since all have been.
    turn: BTreeSet<usize>,
    /// Questions since the time was up.
    late: usize,
    /// Everybody's latest word.
    pub(crate) tried: BTreeMap<usize, Tried>,
}

impl Wait {
    /// How many nodes have shown that it is not there.
    pub(crate) fn shown(&self) -> usize {
        self.shown.len()
    }

    /// Of `nodes` nodes, `node` has shown that it is not there: the next question goes to another. What a replica shows may be true, and old.
    pub(crate) fn in_vain(&mut self, node: usize, nodes: usize) {
        if node < nodes {
            self.shown.insert(node);
        }
        self.turn.insert(node);
        if self.turn.range(..nodes).count() >= nodes {
            self.turn.clear();
        }
    }

    /// True once `patience` is over and `needed` nodes have shown that it is not there, or so many more questions have brought nothing.
    pub(crate) fn is_over(&mut self, started: Instant, patience: Duration, needed: usize) -> bool {
        if started.elapsed() < patience {
            return false;
        }
        self.late += 1;
        self.shown.len() >= needed || self.late > needed
    }

    /// Nodes that are asked after the others.
    pub(crate) fn asked(&self) -> &BTreeSet<usize> {
        &self.turn
    }
}

/// What came of reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// No node gave an answer that counts.
    Nothing,
    /// What a node has proved is held.
    Open,
    /// All that was written is held, and the board has closed the round.
    Closed,
}

/// What became of a write, as far as is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there.
    Here,
    /// The author has written something else to the slot.
    Other,
    /// The author has written nothing up to this height.
    Nothing {
        /// The height.
        height: u64,
    },
    /// No node gave an answer that counts.
    Unknown,
}

struct Page {
    at: BoardAt,
    page: MailboxFact,
    heads: Vec<Hash>,
    messages: Vec<Message>,
}

impl Client {
    /// Reads on until `held` has `want` entries or `poll` is over.
    pub(crate) async fn read_on(
        &self,
        slot: &Slot<'_>,
        held: &mut Held,
        want: u32,
        poll: Duration,
        wait: &mut Wait,
    ) -> Reached {
        let wire::MailboxId { session, kind, round } = slot.mailbox;
        let from = held.position.head.count;
        let count = want.saturating_sub(from).min(MAX_PAGE_ENTRIES);
        let recipient = slot.recipient.map(|index| format!("&recipient={index}")).unwrap_or_default();
        let path = format!("sessions/{session}/{kind}/{round}?from={from}&count={count}{recipient}");
        let question = Question { poll, ..Question::about(&session, format!("{kind} round {round}"), path) };
        let position = &held.position;
        let check = |board: &Board, answer: Certified<MailboxFact>| {
            let heads = board.mailbox(slot, position, &answer)?;
            let messages = check_entries(slot, &answer.fact.entries, OsRng)?;
            Ok(Page { at: board.at(), page: answer.fact, heads, messages })
        };
        let ask = |node: usize| self.prove(node, &question, check);
        let found = self.survey(&question, self.order_past(wait.asked()), ask, &mut wait.tried).await;
        let Some((node, page)) = found else { return Reached::Nothing };
        let (head, closed) = (page.page.head, page.page.round.is_some_and(|round| round.closed));
        held.take(slot, page);
        if held.position.head.count < want {
            wait.in_vain(node, self.network().nodes.len());
        }
        if closed && head == held.position.head { Reached::Closed } else { Reached::Open }
    }

    /// Looks for `operation`, by which `sender` writes `digest`; nodes that are behind are given `patience`.
    pub(crate) async fn find_write(
        &self,
        slot: &Slot<'_>,
        (operation, sender, digest): (OperationId, u16, &Hash),
        patience: Duration,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Found {
        let started = Instant::now();
        let mut pauses = Pauses::default();
        let mailbox = slot.mailbox;
        let what = format!("the entry of operation {operation}");
        loop {
            let poll = patience.saturating_sub(started.elapsed());
            let question = Question::about(&mailbox.session, what.clone(), format!("operations/{operation}"));
            let question = Question { poll, ..question };
            let check = |board: &Board, answer| board.written(&mailbox, sender, digest, &answer);
            let ask = |node: usize| self.prove(node, &question, check);
            if self.survey(&question, self.order(), ask, tried).await.is_some() {
                return Found::Here;
            }
            // No node shows the entry: is there another one in its place?
            let found = self.look_up(slot, sender, digest, tried).await;
            if matches!(found, Found::Here | Found::Other) || started.elapsed() >= patience {
                return found;
            }
            pauses.pause().await;
        }
    }

    /// What `sender` has written to a mailbox, by its chain.
    pub(crate) async fn look_up(
        &self,
        slot: &Slot<'_>,
        sender: u16,
        digest: &Hash,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Found {
        let wire::MailboxId { session, kind, round } = slot.mailbox;
        let path = format!("sessions/{session}/{kind}/{round}?bodies=false");
        let question = Question::about(&session, format!("{kind} round {round}"), path);
        let slot = Slot { recipient: None, ..*slot };
        let check = |board: &Board, answer: Certified<MailboxFact>| -> Result<Found, BadAnswer> {
            board.mailbox(&slot, &Position::start(&slot), &answer)?;
            let shown = answer.fact.entries.iter().map(|entry| (entry.sender, entry.digest));
            let rest = answer.fact.rest.iter().map(|link| (link.sender, link.digest));
            let written = shown.chain(rest).find(|(author, _)| *author == sender);
            Ok(match written {
                None => Found::Nothing { height: board.at().height },
                Some((_, found)) if found == *digest => Found::Here,
                Some(_) => Found::Other,
            })
        };
        let ask = |node: usize| self.prove(node, &question, check);
        let found = self.survey(&question, self.order(), ask, tried).await;
        found.map_or(Found::Unknown, |(_, found)| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_moves_on_until_all_were_asked_and_counts_each_node_once() {
        let mut wait = Wait::default();
        wait.in_vain(2, 3);
        wait.in_vain(2, 3);
        assert_eq!((wait.shown(), wait.asked().len()), (1, 1));
        wait.in_vain(0, 3);
        wait.in_vain(1, 3);
        assert_eq!((wait.shown(), wait.asked().len()), (3, 0), "then it begins again");
        wait.in_vain(3, 3);
        assert_eq!(
            (wait.shown(), wait.asked().len()),
            (3, 1),
            "a replica is asked after nodes then, and shows nothing"
        );
    }
}

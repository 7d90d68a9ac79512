//! What a block has touched so far. Events and the tree are made from it once, at the block's end.

use crate::{Event, State, StoredEntry, StoredListing};
use borsh::BorshSerialize;
use std::collections::{BTreeMap, BTreeSet};
use wire::{FactKey, Generation, Hash, ListKind, SessionId};

/// A list without repetitions that keeps the order of insertion.
#[derive(Debug)]
struct Touched<T> {
    order: Vec<T>,
    seen: BTreeSet<T>,
}

impl<T> Default for Touched<T> {
    fn default() -> Self {
        Self { order: Vec::new(), seen: BTreeSet::new() }
    }
}

impl<T: Copy + Ord> Touched<T> {
    fn insert(&mut self, item: T) {
        if self.seen.insert(item) {
            self.order.push(item);
        }
    }
}

/// The journal of one block.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    generations: Touched<u64>,
    sessions: Touched<SessionId>,
    /// Sessions whose parties are new.
    parties: Touched<SessionId>,
    rounds: Touched<(SessionId, u32)>,
    entries: Vec<StoredEntry>,
    lists: Touched<(SessionId, ListKind)>,
    listings: Vec<StoredListing>,
    backups: Touched<(SessionId, u16)>,
    erased: Vec<SessionId>,
    /// Keys of facts that are no more.
    removed: Vec<FactKey>,
}

impl Changes {
    /// The generation of this epoch's key has begun or gone on.
    pub(crate) fn generation(&mut self, epoch: u64) {
        self.generations.insert(epoch);
    }

    /// The session's record is new or another.
    pub(crate) fn session(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    /// The session's list of parties is there.
    pub(crate) fn parties(&mut self, session: SessionId) {
        self.parties.insert(session);
    }

    /// The round's state is new or another.
    pub(crate) fn round(&mut self, session: SessionId, round: u32) {
        self.rounds.insert((session, round));
    }

    /// A mailbox has grown.
    pub(crate) fn entry(&mut self, entry: StoredEntry) {
        self.entries.push(entry);
    }

    /// A list has grown.
    pub(crate) fn listed(&mut self, listing: StoredListing) {
        self.lists.insert((listing.session, listing.list));
        self.listings.push(listing);
    }

    /// A party's backup is new, another, or gone.
    pub(crate) fn backup(&mut self, session: SessionId, party: u16) {
        self.backups.insert((session, party));
    }

    /// The session's mailboxes, rounds and lists are gone, and with them these facts.
    pub(crate) fn erased(&mut self, session: SessionId, facts: impl Iterator<Item = FactKey>) {
        self.session(session);
        self.erased.push(session);
        self.removed.extend(facts);
    }

    /// The block's events, in the order that [`crate::Outcome::events`] promises.
    pub(crate) fn events(&self, state: &State) -> Vec<Event> {
        let generations = self.generations.order.iter().filter_map(|epoch| {
            let generation = Box::new(state.generations.get(epoch)?.clone());
            Some(Event::Generation { generation })
        });
        let sessions = self.sessions.order.iter().filter_map(|id| {
            let stored = Box::new(state.sessions.get(id)?.stored());
            Some(Event::Session { session: *id, stored })
        });
        let rounds = self.rounds.order.iter().filter_map(|(id, round)| {
            let state = *state.sessions.get(id)?.rounds.get(round)?;
            Some(Event::Round { session: *id, round: *round, state })
        });
        let entries = self.entries.iter().cloned().map(Event::Entry);
        let listings = self.listings.iter().copied().map(Event::Listed);
        let backups = self
            .backups
            .order
            .iter()
            .filter_map(|(id, party)| Some(Event::Backup(state.sessions.get(id)?.stored_backup(*id, *party)?)));
        let erased = self.erased.iter().map(|session| Event::Erased { session: *session });
        generations.chain(sessions).chain(rounds).chain(entries).chain(listings).chain(backups).chain(erased).collect()
    }

    /// The facts that the block has set (`Some`) or removed (`None`), by the hashes of their keys.
    pub(crate) fn facts(&self, state: &State) -> BTreeMap<Hash, Option<Vec<u8>>> {
        let mut facts: BTreeMap<Hash, Option<Vec<u8>>> = self.removed.iter().map(|key| (key.hash(), None)).collect();
        for generation in self.generations.order.iter().filter_map(|epoch| state.generations.get(epoch)) {
            facts.extend(generation_facts(generation));
            facts.insert(FactKey::ExchangeKeys.hash(), state.exchange_keys().map(encode));
        }
        for id in &self.sessions.order {
            let Some(session) = state.sessions.get(id) else { continue };
            facts.insert(FactKey::Session(*id).hash(), Some(encode(&session.record)));
        }
        for id in &self.parties.order {
            let parties = state.sessions.get(id).map(|session| encode(&session.parties));
            facts.extend(parties.map(|parties| (FactKey::Parties(*id).hash(), Some(parties))));
        }
        for (id, list) in &self.lists.order {
            let head = state.list(id, *list);
            facts.extend(head.map(|value| (FactKey::List(*id, *list).hash(), Some(encode(&value)))));
        }
        for (id, party) in &self.backups.order {
            let record = state.backup(id, *party);
            facts.extend(record.map(|record| (FactKey::Backup(*id, *party).hash(), Some(encode(record)))));
        }
        for (id, round) in &self.rounds.order {
            let round_state = state.sessions.get(id).and_then(|session| session.rounds.get(round));
            facts.extend(round_state.map(|value| (FactKey::Round(*id, *round).hash(), Some(encode(value)))));
        }
        for entry in &self.entries {
            let head = state.mailbox(&entry.mailbox);
            facts.extend(head.map(|value| (FactKey::Mailbox(entry.mailbox).hash(), Some(encode(&value)))));
        }
        facts
    }
}

/// The facts of one generation.
pub(crate) fn generation_facts(generation: &Generation) -> impl Iterator<Item = (Hash, Option<Vec<u8>>)> {
    let keys = generation.endorsed.iter();
    let keys = keys.map(|endorsed| (FactKey::Keys(generation.epoch).hash(), Some(encode(endorsed))));
    keys.chain([(FactKey::Generation(generation.epoch).hash(), Some(encode(&generation.digest())))])
}

/// The value of a fact.
pub(crate) fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value)
        .expect("borsh to a vector fails only for collections beyond u32 lengths, far above every limit")
}

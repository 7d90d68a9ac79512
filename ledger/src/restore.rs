//! The state as it was stored: every row is checked against those that it follows from.

use crate::{
    LedgerError, State, StoredBackup, StoredEntry, StoredListing, StoredSession,
    changes::{encode, generation_facts},
    clock::{Clock, Clocks},
    create::Usage,
    session::Session,
    tree::Tree,
};
use std::collections::BTreeMap;
use wire::{
    Admission, FactKey, Generation, ListKind, NetworkParameters, Operation, Phase, RoundState, SessionId, list_digest,
    signed,
};

impl State {
    /// The state after the block of `height`, from what all events up to then have left: the last `Session` of each session,
    /// the last `Round` of each round, all `Entry`s and `Listed`s of sessions that are not erased, the last `Backup` of each party, and the last
    /// `Generation` of each epoch. Root
    /// and behaviour are the same as if the blocks had been applied. Sessions, rounds and backups come in any order, a mailbox's entries and a list's
    /// listings in that of their positions, registrants before solvers, generations in that of their epochs; none at all if the first has not changed since genesis.
    ///
    /// # Errors
    /// [`LedgerError`] names the first row that cannot be part of a state. Signatures are not checked again.
    #[expect(clippy::too_many_arguments, reason = "one for each kind of row, as they come out of the store")]
    pub fn restore(
        parameters: NetworkParameters,
        height: u64,
        sessions: impl IntoIterator<Item = (SessionId, StoredSession)>,
        rounds: impl IntoIterator<Item = (SessionId, u32, RoundState)>,
        entries: impl IntoIterator<Item = StoredEntry>,
        listings: impl IntoIterator<Item = StoredListing>,
        backups: impl IntoIterator<Item = StoredBackup>,
        generations: impl IntoIterator<Item = Generation>,
    ) -> Result<Self, LedgerError> {
        parameters.check().map_err(|_| LedgerError::InvalidParameters)?;
        let tree = Tree::new([(FactKey::Network.hash(), Some(encode(&parameters)))].into());
        let (clocks, usage) = (Clocks::default(), Usage::default());
        let (generations_by_epoch, sessions_by_id) = (BTreeMap::new(), BTreeMap::new());
        let mut state = Self {
            parameters,
            height,
            time_ms: 0,
            generations: generations_by_epoch,
            sessions: sessions_by_id,
            clocks,
            usage,
            tree,
        };
        state.restore_generations(generations)?;
        for (session, stored) in sessions {
            state.restore_session(session, stored)?;
        }
        state.restore_groups()?;
        for (session, round, round_state) in rounds {
            state.restore_round(session, round, round_state)?;
        }
        for entry in entries {
            state.restore_entry(&entry)?;
        }
        for listing in listings {
            state.restore_listing(&listing)?;
        }
        for backup in backups {
            state.restore_backup(&backup)?;
        }
        for session in state.sessions.values_mut().filter(|session| session.record.phase > Phase::Solving) {
            state.usage.remove_requests(session.forget_requests());
        }
        let mut facts = state.session_facts();
        facts.extend(state.generations.values().flat_map(generation_facts));
        facts.extend(state.exchange_keys().map(|keys| (FactKey::ExchangeKeys.hash(), Some(encode(keys)))));
        state.tree.update(facts);
        Ok(state)
    }

    fn restore_session(&mut self, id: SessionId, stored: StoredSession) -> Result<(), LedgerError> {
        let record = &stored.record;
        if !record.belongs_to(&self.parameters.chain, &id) || record.spec.check().is_err() {
            return Err(LedgerError::WrongRecord { session: id });
        }
        if !self.has_its_parties(&stored) {
            return Err(LedgerError::WrongParties { session: id });
        }
        if self.sessions.contains_key(&id) {
            return Err(LedgerError::RepeatedSession { session: id });
        }
        if record.phase != Phase::Erased {
            self.usage.add(record);
            self.clocks.insert(Clock::of_phase(id), record.deadline_ms);
        }
        self.sessions.insert(id, Session::new(stored, None));
        Ok(())
    }

    fn live_session_mut(&mut self, id: SessionId) -> Result<&mut Session, LedgerError> {
        let session = self.sessions.get_mut(&id).filter(|session| session.record.phase != Phase::Erased);
        session.ok_or(LedgerError::UnknownSession { session: id })
    }

    fn restore_round(&mut self, id: SessionId, round: u32, state: RoundState) -> Result<(), LedgerError> {
        let session = self.live_session_mut(id)?;
        let spec = &session.record.spec;
        let possible = spec.round_timeout_ms.is_some() && round < spec.max_rounds;
        if !possible || session.rounds.insert(round, state).is_some() {
            return Err(LedgerError::WrongRound { session: id, round });
        }
        if !state.closed {
            self.clocks.insert(Clock::of_round(id, round), state.deadline_ms);
        }
        Ok(())
    }

    fn restore_entry(&mut self, entry: &StoredEntry) -> Result<(), LedgerError> {
        let StoredEntry { mailbox, position, sender, .. } = *entry;
        let chain = self.parameters.chain.clone();
        let session = self.live_session_mut(mailbox.session)?;
        let taken = session.write(mailbox.kind, mailbox.round, sender).is_some();
        if session.index(&entry.author) != Some(sender) || taken {
            return Err(LedgerError::WrongSender { mailbox, position, sender });
        }
        let (digest, length) = (entry.digest, entry.length);
        let recipients = session.recipients(mailbox.kind);
        let operation = Operation::Write { mailbox, digest, length, recipients };
        if signed::digest(&chain, &entry.author, &operation).0 != entry.operation.0 {
            return Err(LedgerError::WrongOperation { mailbox, position });
        }
        let mut head = session.head(&chain, &mailbox);
        if head.count != position {
            return Err(LedgerError::WrongPosition { mailbox, expected: head.count, found: position });
        }
        head.append(sender, &digest);
        if head.head != entry.head {
            return Err(LedgerError::WrongHead { mailbox, position, computed: head.head, stored: entry.head });
        }
        session.append(entry, head);
        Ok(())
    }

    /// Whether the parties are those of the record, and can be: invited by it, or there once strangers are through.
    fn has_its_parties(&self, stored: &StoredSession) -> bool {
        let StoredSession { record, parties } = stored;
        let is_gathering = matches!(record.phase, Phase::Registering | Phase::Solving);
        let possible = match &record.spec.admission {
            Admission::Invited { keys } => parties == keys && !is_gathering && record.registration.is_none(),
            Admission::Group { .. } => !is_gathering && record.registration.is_none(),
            Admission::Open { .. } => {
                let epoch = record.registration.map(|registration| registration.epoch);
                let is_key = |epoch| self.generations.get(&epoch).is_some_and(|made| made.endorsed.is_some());
                let ended_early = record.end.is_some_and(|end| end.phase < Phase::Keying);
                parties.is_empty() == (is_gathering || ended_early) && epoch.is_some_and(is_key)
            }
        };
        possible && usize::from(record.parties) == parties.len() && record.list == list_digest(parties)
    }

    /// Finds what every group goes back to. Its parent has its list; ids are hashes, so that no session is its own ancestor.
    fn restore_groups(&mut self) -> Result<(), LedgerError> {
        let parent = |id: &SessionId| match self.sessions.get(id)?.record.spec.admission {
            Admission::Group { parent } => Some(parent),
            Admission::Invited { .. } | Admission::Open { .. } => None,
        };
        let mut origins: BTreeMap<SessionId, Option<SessionId>> = BTreeMap::new();
        for id in self.sessions.keys() {
            let mut line = vec![*id];
            let mut newest = *id;
            let origin = loop {
                if let Some(origin) = origins.get(&newest) {
                    break *origin;
                }
                let Some(before) = parent(&newest) else {
                    break self.sessions.get(&newest).and_then(|s| s.origin(newest));
                };
                let list = |id: &SessionId| Some(self.sessions.get(id)?.record.list);
                if list(&before) != list(&newest) {
                    return Err(LedgerError::WrongParties { session: newest });
                }
                line.push(before);
                newest = before;
            };
            origins.extend(line.into_iter().map(|id| (id, origin)));
        }
        for (id, session) in &mut self.sessions {
            session.origin = origins.get(id).copied().flatten();
        }
        Ok(())
    }

    fn restore_listing(&mut self, listing: &StoredListing) -> Result<(), LedgerError> {
        let StoredListing { session: id, list, position, key, operation, .. } = *listing;
        let chain = self.parameters.chain.clone();
        let session = self.live_session_mut(id)?;
        let was_let_in = list == ListKind::Registrants || session.listed(ListKind::Registrants, &key).is_some();
        if session.terms().is_none() || session.listed(list, &key).is_some() || !was_let_in {
            return Err(LedgerError::WrongListing { session: id, list, position });
        }
        if session.listing((&chain, id), list, key, operation) != *listing {
            return Err(LedgerError::WrongListing { session: id, list, position });
        }
        session.enlist(listing);
        if list == ListKind::Registrants {
            self.usage.add_request();
        }
        Ok(())
    }
}

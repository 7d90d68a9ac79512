//! The board's state in memory: built from genesis or from what was stored, and read.

use crate::{
    LedgerError, Snapshot, StoredEntry, StoredSession,
    changes::{encode, generation_facts},
    clock::{Clock, Clocks},
    create::Usage,
    session::Session,
    tree::Tree,
};
use std::collections::BTreeMap;
use wire::{
    Admission, FactKey, Generation, Hash, MailboxHead, MailboxId, NetworkParameters, Operation, Phase, PublicKey,
    RoundState, SessionId, SessionRecord, list_digest, signed,
};

/// The replicated state of all sessions (the paper's `state`), without payloads.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) parameters: NetworkParameters,
    /// Height of the last block.
    pub(crate) height: u64,
    /// By epoch, from 1 without gaps. All but the newest are done.
    pub(crate) generations: BTreeMap<u64, Generation>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) clocks: Clocks,
    pub(crate) usage: Usage,
    pub(crate) tree: Tree,
}

impl State {
    /// The state before the first block.
    ///
    /// # Errors
    /// [`LedgerError::InvalidParameters`].
    pub fn genesis(parameters: NetworkParameters) -> Result<Self, LedgerError> {
        Self::restore(parameters, 0, [], [], [], [])
    }

    /// The state after the block of `height`, from what all events up to then have left: the last `Session` of each session,
    /// the last `Round` of each round, all `Entry`s of sessions that are not erased, and the last `Generation` of each epoch. Root
    /// and behaviour are the same as if the blocks had been applied. Sessions and rounds come in any order, a mailbox's entries in
    /// that of their positions, generations in that of their epochs; none at all if the first has not changed since genesis.
    ///
    /// # Errors
    /// [`LedgerError`] names the first row that cannot be part of a state. Signatures are not checked again.
    pub fn restore(
        parameters: NetworkParameters,
        height: u64,
        sessions: impl IntoIterator<Item = (SessionId, StoredSession)>,
        rounds: impl IntoIterator<Item = (SessionId, u32, RoundState)>,
        entries: impl IntoIterator<Item = StoredEntry>,
        generations: impl IntoIterator<Item = Generation>,
    ) -> Result<Self, LedgerError> {
        parameters.check().map_err(|_| LedgerError::InvalidParameters)?;
        let tree = Tree::new([(FactKey::Network.hash(), Some(encode(&parameters)))].into());
        let (clocks, usage) = (Clocks::default(), Usage::default());
        let (generations_by_epoch, sessions_by_id) = (BTreeMap::new(), BTreeMap::new());
        let mut state = Self {
            parameters,
            height,
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
        for (session, round, round_state) in rounds {
            state.restore_round(session, round, round_state)?;
        }
        for entry in entries {
            state.restore_entry(&entry)?;
        }
        let mut facts = state.session_facts();
        facts.extend(state.generations.values().flat_map(generation_facts));
        state.tree.update(facts);
        Ok(state)
    }

    /// Root over all facts: the app hash. It holds no height, so a block that changes nothing leaves it unchanged.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// All facts as they are now, which the state's further course does not change.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.tree.clone())
    }

    /// Height of the last block; 0 before the first.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// What genesis fixed.
    pub fn parameters(&self) -> &NetworkParameters {
        &self.parameters
    }

    /// A session's record.
    pub fn session(&self, session: &SessionId) -> Option<&SessionRecord> {
        Some(&self.sessions.get(session)?.record)
    }

    /// A session's parties, in index order.
    pub fn parties(&self, session: &SessionId) -> Option<&[PublicKey]> {
        Some(&self.sessions.get(session)?.parties)
    }

    /// How far a mailbox has come; `None` if nobody has written, or it is erased.
    pub fn mailbox(&self, mailbox: &MailboxId) -> Option<MailboxHead> {
        let session = self.sessions.get(&mailbox.session)?;
        Some(session.mailboxes.get(&(mailbox.kind, mailbox.round))?.head)
    }

    /// The clock of a round; `None` without round timeout, before its first write, and once erased.
    pub fn round(&self, session: &SessionId, round: u32) -> Option<RoundState> {
        self.sessions.get(session)?.rounds.get(&round).copied()
    }

    /// The earliest deadline that runs, in milliseconds of block time. A block of that time or later fires it.
    pub fn next_deadline(&self) -> Option<u64> {
        self.clocks.next_deadline()
    }

    /// True if a clock waits for the next block to start it. The block before has changed the root then, so that consensus
    /// engines which confirm every new app hash by another block make that block by themselves; others must be told.
    pub fn is_clock_pending(&self) -> bool {
        self.clocks.is_any_pending()
    }

    /// Number of sessions that are not erased.
    pub fn live_sessions(&self) -> u32 {
        self.usage.live_sessions()
    }

    fn restore_session(&mut self, id: SessionId, stored: StoredSession) -> Result<(), LedgerError> {
        let record = &stored.record;
        if !record.belongs_to(&self.parameters.chain, &id) || record.spec.check().is_err() {
            return Err(LedgerError::WrongRecord { session: id });
        }
        let Admission::Invited { keys } = &record.spec.admission else {
            return Err(LedgerError::WrongParties { session: id });
        };
        let same = *keys == stored.parties && usize::from(record.parties) == keys.len();
        if !same || record.list != list_digest(keys) {
            return Err(LedgerError::WrongParties { session: id });
        }
        if self.sessions.contains_key(&id) {
            return Err(LedgerError::RepeatedSession { session: id });
        }
        if record.phase != Phase::Erased {
            self.usage.add(record);
            self.clocks.insert(Clock::of_phase(id), record.deadline_ms);
        }
        self.sessions.insert(id, Session::new(stored));
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

    /// Every fact of every session.
    fn session_facts(&self) -> BTreeMap<Hash, Option<Vec<u8>>> {
        let mut facts = BTreeMap::new();
        for (id, session) in &self.sessions {
            facts.insert(FactKey::Session(*id).hash(), Some(encode(&session.record)));
            facts.insert(FactKey::Parties(*id).hash(), Some(encode(&session.parties)));
            for ((kind, round), mailbox) in &session.mailboxes {
                let id = MailboxId { session: *id, kind: *kind, round: *round };
                facts.insert(FactKey::Mailbox(id).hash(), Some(encode(&mailbox.head)));
            }
            for (round, state) in &session.rounds {
                facts.insert(FactKey::Round(*id, *round).hash(), Some(encode(state)));
            }
        }
        facts
    }
}

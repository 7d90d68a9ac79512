//! The board's state in memory: built from genesis, and read.

use crate::{LedgerError, Snapshot, changes::encode, clock::Clocks, create::Usage, session::Session, tree::Tree};
use std::collections::BTreeMap;
use wire::{
    FactKey, Generation, Hash, MailboxHead, MailboxId, NetworkParameters, PublicKey, RoundState, SessionId,
    SessionRecord,
};

/// The replicated state of all sessions (the paper's `state`), without payloads.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) parameters: NetworkParameters,
    /// Height of the last block.
    pub(crate) height: u64,
    /// Time of the last block; 0 before the first, and after restoring until the next.
    pub(crate) time_ms: u64,
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
        Self::restore(parameters, 0, [], [], [], [], [], [])
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

    /// Every fact of every session.
    pub(crate) fn session_facts(&self) -> BTreeMap<Hash, Option<Vec<u8>>> {
        let mut facts = BTreeMap::new();
        for (id, session) in &self.sessions {
            facts.insert(FactKey::Session(*id).hash(), Some(encode(&session.record)));
            facts.insert(FactKey::Parties(*id).hash(), Some(encode(&session.parties)));
            for (list, keys) in &session.lists {
                facts.insert(FactKey::List(*id, *list).hash(), Some(encode(&keys.head)));
            }
            for ((kind, round), mailbox) in &session.mailboxes {
                let id = MailboxId { session: *id, kind: *kind, round: *round };
                facts.insert(FactKey::Mailbox(id).hash(), Some(encode(&mailbox.head)));
            }
            for (party, record) in &session.backups {
                facts.insert(FactKey::Backup(*id, *party).hash(), Some(encode(record)));
            }
            for (round, state) in &session.rounds {
                facts.insert(FactKey::Round(*id, *round).hash(), Some(encode(state)));
            }
        }
        facts
    }
}

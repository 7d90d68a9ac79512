//! New sessions, and what all sessions together may take.

use crate::{State, StoredSession, apply::Change, changes::Changes, clock::Clock, session::Session};
use std::collections::BTreeMap;
use wire::{Admission, Code, Hash, Phase, PublicKey, Quotas, SessionId, SessionRecord, SessionSpec, list_digest};

/// What the live sessions take of the network's quotas. It is freed when a session is erased.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    sessions: u32,
    by_creator: BTreeMap<PublicKey, u32>,
    reserved_bytes: u64,
}

impl Usage {
    pub(crate) fn live_sessions(&self) -> u32 {
        self.sessions
    }

    pub(crate) fn add(&mut self, record: &SessionRecord) {
        self.sessions = self.sessions.saturating_add(1);
        let own = self.by_creator.entry(record.creator).or_default();
        *own = own.saturating_add(1);
        self.reserved_bytes = self.reserved_bytes.saturating_add(record.spec.reserved_bytes());
    }

    pub(crate) fn remove(&mut self, record: &SessionRecord) {
        self.sessions = self.sessions.saturating_sub(1);
        let own = self.by_creator.get(&record.creator).map_or(0, |own| own.saturating_sub(1));
        match own {
            0 => self.by_creator.remove(&record.creator),
            own => self.by_creator.insert(record.creator, own),
        };
        self.reserved_bytes = self.reserved_bytes.saturating_sub(record.spec.reserved_bytes());
    }

    fn has_room(&self, quotas: &Quotas, creator: &PublicKey, spec: &SessionSpec) -> bool {
        let own = self.by_creator.get(creator).copied().unwrap_or(0);
        let reserved_bytes = self.reserved_bytes.checked_add(spec.reserved_bytes());
        self.sessions < quotas.live_sessions
            && own < quotas.live_sessions_per_creator
            && reserved_bytes.is_some_and(|bytes| bytes <= quotas.live_bytes)
    }
}

impl State {
    /// The id binds chain, specification, creator and nonce, so a second creation of one id is always the same operation:
    /// a duplicate while the session lives, [`Code::SessionExists`] when it is erased, for nothing can bring it back. Before the nodes
    /// have their key there are no sessions, for nobody could be shown anything of them.
    pub(crate) fn decide_create(
        &self,
        spec: &SessionSpec,
        nonce: Hash,
        creator: PublicKey,
        height: u64,
    ) -> Result<Change, Code> {
        if !self.parameters.may_create(&creator) {
            return Err(Code::NotPermitted);
        }
        let id = spec.session_id(&self.parameters.chain, &creator, &nonce);
        if let Some(session) = self.sessions.get(&id) {
            let erased = session.record.phase == Phase::Erased;
            return Err(if erased { Code::SessionExists } else { Code::DuplicateSame });
        }
        if self.newest_keys().is_none() {
            return Err(Code::NotReady);
        }
        if !self.usage.has_room(&self.parameters.quotas, &creator, spec) {
            return Err(Code::QuotaExceeded);
        }
        let Admission::Invited { keys } = &spec.admission else { return Err(Code::NotOpen) };
        let record = SessionRecord {
            creator,
            nonce,
            created: height,
            phase: Phase::Keying,
            deadline_ms: None,
            registration: None,
            parties: spec.max_parties,
            list: list_digest(keys),
            absent: Vec::new(),
            terminated: Vec::new(),
            aborted: Vec::new(),
            end: None,
            acknowledged: Vec::new(),
            spec: spec.clone(),
        };
        Ok(Change::Create { session: id, record: Box::new(record) })
    }

    pub(crate) fn create(&mut self, id: SessionId, record: SessionRecord, changes: &mut Changes) {
        let parties = match &record.spec.admission {
            Admission::Invited { keys } => keys.clone(),
            _ => Vec::new(),
        };
        self.usage.add(&record);
        self.clocks.insert(Clock::of_phase(id), None);
        self.sessions.insert(id, Session::new(StoredSession { record, parties }));
        changes.session(id);
    }
}

//! New sessions, and what all sessions together may take.

use crate::{State, StoredSession, apply::Change, changes::Changes, clock::Clock, session::Session, work};
use std::collections::BTreeMap;
use wire::{
    Admission, Code, Hash, OpenTerms, Phase, PublicKey, Quotas, RegistrationState, SessionId, SessionRecord,
    SessionSpec, list_digest,
};

/// What the live sessions take of the network's quotas. It is freed when a session is erased.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    sessions: u32,
    by_creator: BTreeMap<PublicKey, u32>,
    reserved_bytes: u64,
    requests: u32,
    backup_bytes: u64,
}

impl Usage {
    pub(crate) fn live_sessions(&self) -> u32 {
        self.sessions
    }

    /// Keys that have asked to take part in any of them.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    pub(crate) fn add_request(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    pub(crate) fn remove_requests(&mut self, requests: u32) {
        self.requests = self.requests.saturating_sub(requests);
    }

    /// What backups take, which is freed when they are erased.
    pub(crate) fn backup_bytes(&self) -> u64 {
        self.backup_bytes
    }

    pub(crate) fn add_backup(&mut self, bytes: u64) {
        self.backup_bytes = self.backup_bytes.saturating_add(bytes);
    }

    pub(crate) fn remove_backup(&mut self, bytes: u64) {
        self.backup_bytes = self.backup_bytes.saturating_sub(bytes);
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
        let epoch = self.newest_keys().ok_or(Code::NotReady)?.record.epoch;
        if !self.usage.has_room(&self.parameters.quotas, &creator, spec) {
            return Err(Code::QuotaExceeded);
        }
        let begin = match &spec.admission {
            Admission::Invited { keys } => Beginning::invited(keys),
            Admission::Open { terms } => self.open(terms, spec.corruption_threshold, epoch)?,
            Admission::Group { parent } => self.follow(parent, spec)?,
        };
        let record = SessionRecord {
            creator,
            nonce,
            created: height,
            phase: begin.phase,
            deadline_ms: None,
            registration: begin.registration,
            parties: u16::try_from(begin.parties.len()).map_err(|_| Code::InvalidSpecification)?,
            list: list_digest(&begin.parties),
            absent: begin.absent,
            terminated: Vec::new(),
            aborted: Vec::new(),
            end: None,
            acknowledged: Vec::new(),
            spec: spec.clone(),
        };
        let stored = Box::new(StoredSession { record, parties: begin.parties });
        Ok(Change::Create { session: id, stored, origin: begin.origin })
    }

    /// Strangers may come, if what they must bring holds off the adversary that the session names.
    fn open(&self, terms: &OpenTerms, corruption_threshold: u16, epoch: u64) -> Result<Beginning, Code> {
        work::check(&self.parameters.chain, terms)?;
        work::check_threshold(terms, corruption_threshold)?;
        let registration = Some(RegistrationState { epoch, drawn_from_ms: None, challenge: None });
        let (parties, absent) = (Vec::new(), Vec::new());
        Ok(Beginning { phase: Phase::Registering, registration, parties, absent, origin: None })
    }

    /// The parties of an earlier session go on (§I-A), who have their keys. If strangers came there, here are as many of the
    /// adversary's identities among them as there.
    fn follow(&self, parent: &SessionId, spec: &SessionSpec) -> Result<Beginning, Code> {
        let before = self.sessions.get(parent).filter(|session| session.has_run()).ok_or(Code::WrongParent)?;
        let present = before.parties.len().saturating_sub(before.record.absent.len());
        if spec.max_parties != before.record.parties || usize::from(spec.min_parties) > present {
            return Err(Code::WrongParent);
        }
        let origin = before.origin(*parent);
        let terms = origin.and_then(|origin| self.sessions.get(&origin)?.terms());
        terms.map_or(Ok(()), |terms| work::check_threshold(terms, spec.corruption_threshold))?;
        let (parties, absent) = (before.parties.clone(), before.record.absent.clone());
        Ok(Beginning { phase: Phase::Running, registration: None, parties, absent, origin })
    }

    pub(crate) fn create(
        &mut self,
        id: SessionId,
        stored: StoredSession,
        origin: Option<SessionId>,
        changes: &mut Changes,
    ) {
        self.usage.add(&stored.record);
        self.clocks.insert(Clock::of_phase(id), None);
        self.sessions.insert(id, Session::new(stored, origin));
        changes.session(id);
        changes.parties(id);
    }
}

/// How a session begins: what follows from its admission.
struct Beginning {
    phase: Phase,
    registration: Option<RegistrationState>,
    parties: Vec<PublicKey>,
    absent: Vec<u16>,
    origin: Option<SessionId>,
}

impl Beginning {
    fn invited(keys: &[PublicKey]) -> Self {
        let (parties, absent) = (keys.to_vec(), Vec::new());
        Self { phase: Phase::Keying, registration: None, parties, absent, origin: None }
    }
}

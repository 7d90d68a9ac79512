//! How strangers become parties (§IV-A, P4.5): requests, the challenge, solutions, and the final list.
//!
//! What is cheap to see comes first: nobody but a node makes anybody calculate a pairing, and no stranger more than a hash.

use crate::{State, StoredListing, apply::Change, changes::Changes, session::Session, work};
use bls::{Domain, GroupKey, Signature};
use wire::{
    Admission, Code, EndReason, G1Bytes, ListHead, ListKind, OpenTerms, Operation, OperationId, Phase, PublicKey,
    RegistrationState, SessionId, SessionRecord, Stamp, Verified, challenge, challenge_message, final_list,
    limits::{MAX_LIVE_REQUESTS, MAX_REQUESTS},
    list_digest,
};

impl State {
    /// How far a list of an open session has come; `None` if nobody is on it, or it is erased.
    pub fn list(&self, session: &SessionId, list: ListKind) -> Option<ListHead> {
        Some(self.sessions.get(session)?.lists.get(&list)?.head)
    }

    /// True if the key is on a list of an open session that is not erased.
    pub fn is_listed(&self, session: &SessionId, list: ListKind, key: &PublicKey) -> bool {
        self.sessions.get(session).is_some_and(|session| session.listed(list, key).is_some())
    }

    /// A key that is on the list hears so before anything else that could be wrong by now, so that who resends after a crash learns
    /// that nothing is lost, as long as there is something to solve; then nobody is asked any more. Who comes in the block that creates the session cannot know its deadline.
    pub(crate) fn decide_register(&self, operation: &Verified<Operation>, time_ms: u64) -> Result<Change, Code> {
        let Operation::Register { session: id, stamp } = *operation.body() else { return Ok(Change::Nothing) };
        let (author, name) = (operation.author(), OperationId(operation.digest().0));
        let (session, terms) = self.open_session(&id)?;
        if let Some(first) = session.listed(ListKind::Registrants, &author) {
            return Err(if first == name { Code::DuplicateSame } else { Code::AlreadyRegistered });
        }
        if session.record.phase != Phase::Registering {
            return Err(Code::RegistrationClosed);
        }
        let deadline_ms = session.record.deadline_ms.ok_or(Code::TooEarly)?;
        if session.list_length(ListKind::Registrants) >= MAX_REQUESTS || self.usage.requests() >= MAX_LIVE_REQUESTS {
            return Err(Code::RequestsFull);
        }
        if stamp.expiry_ms <= time_ms || stamp.expiry_ms > deadline_ms {
            return Err(Code::StampExpired);
        }
        let context = Stamp::context(&self.parameters.chain, &id, &author, stamp.expiry_ms);
        if !work::is_paid(&context, terms.stamp_bits, &stamp) {
            return Err(Code::BadStamp);
        }
        Ok(self.enlisting(session, id, ListKind::Registrants, author, name))
    }

    /// There is one challenge, whoever brings it: the signature under the key that was the newest when the session was created.
    pub(crate) fn decide_challenge(
        &self,
        id: SessionId,
        signature: &G1Bytes,
        author: &PublicKey,
    ) -> Result<Change, Code> {
        self.node(author)?;
        let (session, _) = self.open_session(&id)?;
        let registration = session.record.registration.ok_or(Code::NotOpen)?;
        if registration.challenge == Some(*signature) {
            return Err(Code::DuplicateSame);
        }
        if session.record.phase != Phase::Solving || registration.challenge.is_some() {
            return Err(Code::WrongPhase);
        }
        let keys = self.generations.get(&registration.epoch).and_then(|generation| generation.endorsed.as_ref());
        let keys = keys.ok_or(Code::BadChallenge)?;
        let message = challenge_message(&self.parameters.chain, &id);
        let checked = GroupKey::from_bytes(&keys.record.group_key.0).and_then(|key| {
            let signature = Signature::from_bytes(&signature.0)?;
            key.verify(Domain::Challenge, &message.0, &signature)
        });
        checked.map_err(|_| Code::BadChallenge)?;
        Ok(Change::Challenge { session: id, signature: *signature })
    }

    /// That the proof of work is right is what the nodes say by confirming the payload, see [`State::check_stored`].
    pub(crate) fn decide_solve(&self, operation: &Verified<Operation>) -> Result<Change, Code> {
        let Operation::Solve { session: id, length, .. } = *operation.body() else { return Ok(Change::Nothing) };
        let (author, name) = (operation.author(), OperationId(operation.digest().0));
        let (session, terms) = self.open_session(&id)?;
        if let Some(first) = session.listed(ListKind::Solvers, &author) {
            return Err(if first == name { Code::DuplicateSame } else { Code::DuplicateDifferent });
        }
        let record = &session.record;
        if record.phase > Phase::Solving {
            return Err(Code::SolvingClosed);
        }
        if session.listed(ListKind::Registrants, &author).is_none() {
            return Err(Code::NotRegistered);
        }
        if record.registration.is_none_or(|registration| registration.challenge.is_none()) {
            return Err(Code::NoChallenge);
        }
        if session.list_length(ListKind::Solvers) >= u32::from(record.spec.max_parties) {
            return Err(Code::ListFull);
        }
        let longest = work::max_solution_bytes(&self.parameters.chain, terms)?;
        if usize::try_from(length).is_ok_and(|length| length <= longest) {
            Ok(self.enlisting(session, id, ListKind::Solvers, author, name))
        } else {
            Err(Code::PayloadTooLarge)
        }
    }

    pub(crate) fn enlist(&mut self, listing: StoredListing, changes: &mut Changes) {
        if listing.list == ListKind::Registrants {
            self.usage.add_request();
        }
        self.session_mut(&listing.session).enlist(&listing);
        changes.listed(listing);
    }

    /// The time for solutions begins, with the next block.
    pub(crate) fn draw(&mut self, id: SessionId, signature: G1Bytes, changes: &mut Changes) {
        if let Some(registration) = &mut self.session_mut(&id).record.registration {
            registration.challenge = Some(signature);
        }
        self.enter(id, Phase::Solving, changes);
    }

    /// T_req: requests are over. Who could not become enough parties by any solution need not solve.
    ///
    /// Nodes begin to draw the challenge when this block is final. Its time is that of honest votes before it, so that no share is given
    /// earlier than that, whatever votes a faulty proposer picks for the time of the next.
    pub(crate) fn close_requests(&mut self, id: SessionId, height: u64, time_ms: u64, changes: &mut Changes) {
        let session = self.session_mut(&id);
        if session.list_length(ListKind::Registrants) < u32::from(session.record.spec.min_parties) {
            self.end(id, EndReason::Expired, height, changes);
        } else {
            session.record.registration.iter_mut().for_each(|state| state.drawn_from_ms = Some(time_ms));
            self.enter(id, Phase::Solving, changes);
        }
    }

    /// False if the time for solutions would now begin longer after the nodes could draw the challenge than the head start that the
    /// session reckons with: a block can be decided long after its own time, which is that of the votes before it.
    pub(crate) fn is_within_head_start(&self, id: &SessionId, time_ms: u64) -> bool {
        let Some(Session { record, .. }) = self.sessions.get(id) else { return true };
        let (Phase::Solving, Admission::Open { terms }) = (record.phase, &record.spec.admission) else { return true };
        let drawn_from_ms = record.registration.and_then(|registration| registration.drawn_from_ms);
        drawn_from_ms.is_none_or(|from_ms| time_ms <= from_ms.saturating_add(terms.head_start_ms))
    }

    /// Solutions are over, and with enough of them the list of parties is fixed; or the challenge was not drawn in time.
    pub(crate) fn close_solutions(&mut self, id: SessionId, height: u64, changes: &mut Changes) {
        let session = self.session_mut(&id);
        let signature = session.record.registration.and_then(|registration| registration.challenge);
        let solvers = session.lists.get(&ListKind::Solvers);
        let solvers = solvers.into_iter().flat_map(|list| list.keys.keys().copied());
        let parties = signature.map_or_else(Vec::new, |signature| final_list(&challenge(&signature), solvers));
        if parties.len() < usize::from(session.record.spec.min_parties) {
            self.end(id, EndReason::Expired, height, changes);
            return;
        }
        session.record.parties = u16::try_from(parties.len())
            .expect("solutions are refused beyond the most parties, who are counted in u16");
        session.record.list = list_digest(&parties);
        session.seat(parties);
        changes.parties(id);
        self.enter(id, Phase::Keying, changes);
    }

    fn open_session(&self, id: &SessionId) -> Result<(&Session, &OpenTerms), Code> {
        let session = self.sessions.get(id).ok_or(Code::UnknownSession)?;
        Ok((session, session.terms().ok_or(Code::NotOpen)?))
    }

    fn enlisting(
        &self,
        session: &Session,
        id: SessionId,
        list: ListKind,
        key: PublicKey,
        operation: OperationId,
    ) -> Change {
        let listing = session.listing((&self.parameters.chain, id), list, key, operation);
        Change::Enlist { listing }
    }
}

/// The end of the time that the bound on an adversary's identities reckons with, in milliseconds: from the moment at which the nodes could
/// begin to draw the challenge, head start and time for solutions. No block whose solutions count has a later time; but a block may be
/// decided long after its own time, and so nodes let no solution through that reaches them after this, by their own clocks (P4.5 step 6).
pub fn solutions_until_ms(record: &SessionRecord) -> Option<u64> {
    let Admission::Open { terms } = &record.spec.admission else { return None };
    let drawn_from_ms = record.registration?.drawn_from_ms?;
    Some(drawn_from_ms.saturating_add(terms.head_start_ms).saturating_add(work::solving_ms(terms)))
}

/// How long the phase lasts that ends with requests or solutions, by the terms.
pub(crate) fn duration_ms(terms: &OpenTerms, phase: Phase, registration: Option<&RegistrationState>) -> Option<u64> {
    match phase {
        Phase::Registering => Some(terms.registering_ms),
        Phase::Solving if registration.is_some_and(|registration| registration.challenge.is_some()) => {
            Some(work::solving_ms(terms))
        }
        Phase::Solving => Some(terms.head_start_ms),
        Phase::Keying | Phase::Running | Phase::Ended | Phase::Erased => None,
    }
}

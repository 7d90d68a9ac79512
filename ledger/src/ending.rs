//! The way of a session from phase to phase, and its end (§V-E a).

use crate::{State, apply::Change, changes::Changes, clock::Clock, session::Session};
use wire::{AbortVote, Code, End, EndReason, FactKey, MailboxId, Phase, PublicKey, SessionId};

impl State {
    /// A second Terminate of a party says the same as the first, whenever it comes.
    pub(crate) fn decide_terminate(&self, id: SessionId, author: &PublicKey) -> Result<Change, Code> {
        let (session, party) = self.party(&id, author)?;
        if session.record.terminated.contains(&party) {
            return Err(Code::DuplicateSame);
        }
        session.check_voter(party)?;
        Ok(Change::Terminate { session: id, party })
    }

    /// A party aborts once: a second Abort says the same as the first, even with another reason, which is for people only.
    pub(crate) fn decide_abort(&self, id: SessionId, author: &PublicKey, reason: &str) -> Result<Change, Code> {
        let (session, party) = self.party(&id, author)?;
        if session.record.aborted.iter().any(|vote| vote.party == party) {
            return Err(Code::DuplicateSame);
        }
        session.check_voter(party)?;
        Ok(Change::Abort { session: id, party, reason: reason.to_owned() })
    }

    /// Whether the party can have read the end at height `read`, in a block of `height`. The root that an Ack names is the
    /// party's own statement of what it has read, signed for others to see; the ledger keeps no old roots and does not check it.
    pub(crate) fn decide_ack(&self, id: SessionId, author: &PublicKey, read: u64, height: u64) -> Result<Change, Code> {
        let (session, party) = self.party(&id, author)?;
        let record = &session.record;
        if record.acknowledged.contains(&party) {
            return Err(Code::DuplicateSame);
        }
        let Some(end) = record.end.filter(|_| record.phase == Phase::Ended) else {
            return Err(Code::WrongPhase);
        };
        if session.is_absent(party) {
            Err(Code::Absent)
        } else if (end.height..height).contains(&read) {
            Ok(Change::Acknowledge { session: id, party })
        } else {
            Err(Code::HeightOutOfRange)
        }
    }

    pub(crate) fn terminate(&mut self, id: SessionId, party: u16, height: u64, changes: &mut Changes) {
        let session = self.session_mut(&id);
        session.record.terminated.push(party);
        let needed = usize::from(session.record.spec.corruption_threshold).saturating_add(1);
        let over = session.record.terminated.len() >= needed;
        changes.session(id);
        if over {
            self.end(id, EndReason::Terminated, height, changes);
        }
    }

    pub(crate) fn abort(&mut self, id: SessionId, party: u16, reason: String, height: u64, changes: &mut Changes) {
        let session = self.session_mut(&id);
        session.record.aborted.push(AbortVote { party, reason });
        let over = session.record.aborted.len() >= usize::from(session.record.spec.abort_quorum);
        changes.session(id);
        if over {
            self.end(id, EndReason::Aborted, height, changes);
        }
    }

    /// The last Ack of a party that takes part erases the session. One in which nobody takes part waits for its retention.
    pub(crate) fn acknowledge(&mut self, id: SessionId, party: u16, changes: &mut Changes) {
        let session = self.session_mut(&id);
        session.record.acknowledged.push(party);
        let over = session.is_read_by_all();
        changes.session(id);
        if over {
            self.erase(id, changes);
        }
    }

    /// Ends a session in the phase in which it is.
    pub(crate) fn end(&mut self, id: SessionId, reason: EndReason, height: u64, changes: &mut Changes) {
        let record = &mut self.session_mut(&id).record;
        record.end = Some(End { reason, height, phase: record.phase });
        self.enter(id, Phase::Ended, changes);
    }

    /// Lets a session begin its next phase, whose clock the next block starts.
    pub(crate) fn enter(&mut self, id: SessionId, phase: Phase, changes: &mut Changes) {
        if phase > Phase::Solving {
            let requests = self.session_mut(&id).forget_requests();
            self.usage.remove_requests(requests);
        }
        let record = &mut self.session_mut(&id).record;
        record.phase = phase;
        let before = record.deadline_ms.take();
        self.clocks.remove(Clock::of_phase(id), before);
        if phase != Phase::Erased {
            self.clocks.insert(Clock::of_phase(id), None);
        }
        changes.session(id);
    }

    /// Drops a session's mailboxes, rounds and lists of who came, and frees its quota. Its record and its list of parties stay, so that
    /// its id is used up and groups can go on.
    pub(crate) fn erase(&mut self, id: SessionId, changes: &mut Changes) {
        self.enter(id, Phase::Erased, changes);
        let session = self.sessions.get_mut(&id).expect("only existing sessions are erased");
        self.usage.remove(&session.record);
        for (round, state) in &session.rounds {
            self.clocks.remove(Clock::of_round(id, *round), state.deadline_ms);
        }
        let mailbox = |(kind, round): &_| FactKey::Mailbox(MailboxId { session: id, kind: *kind, round: *round });
        let mailboxes = session.mailboxes.keys().map(mailbox);
        let rounds = session.rounds.keys().map(|round| FactKey::Round(id, *round));
        let lists = session.lists.keys().map(|list| FactKey::List(id, *list));
        changes.erased(id, mailboxes.chain(rounds).chain(lists));
        session.clear();
    }

    fn party(&self, id: &SessionId, key: &PublicKey) -> Result<(&Session, u16), Code> {
        let session = self.sessions.get(id).ok_or(Code::UnknownSession)?;
        Ok((session, session.party(key)?))
    }

    pub(crate) fn session_mut(&mut self, id: &SessionId) -> &mut Session {
        self.sessions.get_mut(id).expect("decisions and clocks name existing sessions only")
    }
}

impl Session {
    /// Whether the party has a say in the session's end.
    fn check_voter(&self, party: u16) -> Result<(), Code> {
        if !matches!(self.record.phase, Phase::Keying | Phase::Running) {
            Err(Code::WrongPhase)
        } else if self.is_absent(party) {
            Err(Code::Absent)
        } else {
            Ok(())
        }
    }
}

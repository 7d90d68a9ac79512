//! How a stranger becomes a party of an open session (§IV-A, P4.3 and P4.5): it asks with a stamp, waits for the nodes' challenge, brings a proof
//! of work, and waits for the final list. Whoever starts again goes on where the board, or the state directory, shows it to be.

use crate::{
    Client, Error, Identity, NotAdmitted,
    list::List,
    listed::Listed,
    progress::Event,
    reader::Wait,
    session::{Options, SLACK, long_poll, millis},
    solving::{self, Tell, Work},
    state::State,
    submit::{SETTLE, index_of},
    survey::{Pauses, into_list, or_later},
    transport::time_for,
};
use rand_core::{OsRng, RngCore};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use wire::{
    Admission, BoardAt, Bytes, Code, Envelope, ListKind, OpenTerms, Operation, Phase, SessionId, SessionRecord,
    Solution, Stamp, message_digest,
};

/// A gateway may take so long, and be at work for so long without an answer, perhaps verifying others' solutions first, before another one is
/// asked; less where there is little time, so that a faulty one costs a part of the slack only.
const AT_WORK: Duration = Duration::from_secs(8);

/// A stranger on its way into a session.
pub(crate) struct Applicant<'a> {
    client: &'a Client,
    identity: &'a Identity,
    session: SessionId,
    options: &'a Options,
    terms: OpenTerms,
    work: pow::Terms,
    /// The session as it was seen last.
    at: BoardAt,
    record: SessionRecord,
    registrants: List,
    solvers: List,
}

impl Client {
    /// Brings the identity onto the final list of an open session, if it is not final yet.
    ///
    /// # Errors
    /// [`Error::NotAdmitted`]; [`Error::StillInPhase`] if the board stands still; errors in reading, writing and of state files.
    pub(crate) async fn register(
        &self,
        identity: &Identity,
        session: &SessionId,
        options: &Options,
    ) -> Result<Listed, Error> {
        options.state.as_deref().map_or(Ok(()), |folder| self.remember(folder))?;
        let (at, record) = self.session_at(session).await?;
        let Admission::Open { terms } = record.spec.admission else {
            let keys = self.keys_of(session, &record).await?;
            return Ok(Listed { record, keys });
        };
        let refused = |why| Error::NotAdmitted { session: *session, why };
        let chain = &self.network().chain;
        let list = |list| List::start(chain, session, list);
        let mut applicant = Applicant {
            client: self,
            identity,
            session: *session,
            options,
            terms,
            work: solving::terms(&terms).map_err(refused)?,
            at,
            record,
            registrants: list(ListKind::Registrants),
            solvers: list(ListKind::Solvers),
        };
        if applicant.record.phase == Phase::Registering {
            applicant.ask().await?;
            applicant.wait_past(Phase::Registering).await?;
        }
        if applicant.record.phase == Phase::Solving {
            applicant.solve().await?;
            applicant.wait_past(Phase::Solving).await?;
        }
        applicant.outcome().await
    }
}

impl Applicant<'_> {
    fn refused(&self, why: NotAdmitted) -> Error {
        Error::NotAdmitted { session: self.session, why }
    }

    fn state(&self) -> Option<State> {
        let folder = self.options.state.as_deref()?;
        Some(State::new(folder, &self.client.network().chain, &self.session, self.identity))
    }

    /// How long to wait for the end of a phase that is `at_most_ms` away if its clock does not run yet. A block's time is never ahead of now.
    fn patience(&self, at_most_ms: u64) -> Duration {
        let patience = Duration::from_millis(self.left_ms().unwrap_or(at_most_ms)).saturating_add(SLACK);
        self.options.wait.map_or(patience, |wait| wait.min(patience))
    }

    /// No less than what is left of the phase, if its clock runs.
    fn left_ms(&self) -> Option<u64> {
        Some(self.record.deadline_ms?.saturating_sub(self.at.time_ms))
    }

    /// Looks at the session again. That no node answers now is for the caller's deadline.
    async fn look(&mut self) -> Result<(), Error> {
        if let Some((at, record)) = or_later(self.client.session_at(&self.session).await)? {
            (self.at, self.record) = (at, record);
        }
        Ok(())
    }

    /// Waits until the session is past `phase`.
    async fn wait_past(&mut self, phase: Phase) -> Result<(), Error> {
        let at_most_ms = match phase {
            Phase::Registering => self.terms.registering_ms,
            _ => self.work.solving_ms().saturating_add(self.terms.head_start_ms),
        };
        self.wait_until(&format!("not_phase={}", phase.as_str()), at_most_ms, |record| record.phase != phase).await
    }

    /// Waits until the session `is_there`, of which nodes tell at once if they are asked for `query`; for as long as its phase may last.
    async fn wait_until(
        &mut self,
        query: &str,
        at_most_ms: u64,
        is_there: impl Fn(&SessionRecord) -> bool,
    ) -> Result<(), Error> {
        let (started, patience, phase) = (Instant::now(), self.patience(at_most_ms), self.record.phase);
        let (mut wait, mut polls, mut pauses) = (Wait::default(), 0, Pauses::default());
        while !is_there(&self.record) {
            self.tell_of_waiting().await;
            let poll = long_poll(polls).min(patience.saturating_sub(started.elapsed()));
            polls += 1;
            match self.client.session_once(&self.session, poll, query, &mut wait).await {
                Some((node, at, record)) => {
                    (self.at, self.record) = (at, record);
                    if is_there(&self.record) {
                        break;
                    }
                    wait.in_vain(node, self.client.network().nodes.len());
                }
                None => pauses.pause().await,
            }
            self.still_in(phase, started, patience, &mut wait)?;
        }
        Ok(())
    }

    /// An error once `patience` is over.
    fn still_in(&self, phase: Phase, started: Instant, patience: Duration, wait: &mut Wait) -> Result<(), Error> {
        if !wait.is_over(started, patience, self.client.needed()) {
            return Ok(());
        }
        let (session, waited_ms, tried) = (self.session, millis(started), into_list(std::mem::take(&mut wait.tried)));
        let (missing, seen) = (Vec::new(), BTreeMap::new());
        Err(Error::StillInPhase { session, phase, missing, seen, waited_ms, tried })
    }

    async fn tell_of_waiting(&self) {
        if !self.client.is_watched() {
            return;
        }
        if let Ok(Ok(status)) = timeout(SETTLE, self.client.phase(&self.session)).await {
            let wire::api::PhaseStatus { phase, left_ms, registrants, solvers, .. } = status;
            self.client.tell(self.session, Event::Waiting { phase, left_ms, registrants, solvers });
        }
    }

    /// P4.5 steps 1 to 3: gets onto the list of those who asked, unless this party is there already.
    async fn ask(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let patience = self.patience(self.terms.registering_ms);
        let (mut wait, mut pauses, mut request) = (Wait::default(), Pauses::default(), None);
        while self.record.phase == Phase::Registering {
            self.read(ListKind::Registrants, &mut wait).await;
            if self.registrants.has(&self.identity.public()) {
                let registrants = self.registrants.head.count;
                self.client.tell(self.session, Event::Registered { registrants });
                return Ok(());
            }
            if let (None, Some(deadline_ms)) = (&request, self.record.deadline_ms) {
                self.check_speed(self.work.solving_ms(), 0).await?;
                // A stamp that takes longer than requests are taken is not looked for any longer.
                let left = Duration::from_millis(deadline_ms.saturating_sub(self.at.time_ms)).saturating_add(SETTLE);
                request = timeout(left, self.request(deadline_ms)).await.unwrap_or_default();
            }
            match &request {
                Some(request) if self.hand_in(request).await? => continue,
                Some(_) => {}
                None => {}
            }
            self.still_in(Phase::Registering, started, patience, &mut wait)?;
            pauses.pause().await;
            self.look().await?;
        }
        Ok(())
    }

    /// A request with its stamp, good until `deadline_ms`.
    async fn request(&self, deadline_ms: u64) -> Option<Envelope> {
        let chain = &self.client.network().chain;
        let context = Stamp::context(chain, &self.session, &self.identity.public(), deadline_ms);
        let start = OsRng.next_u64() >> 1;
        let nonce = solving::mint(context, self.terms.stamp_bits, start).await?;
        let stamp = Stamp { expiry_ms: deadline_ms, nonce };
        let operation = Operation::Register { session: self.session, stamp };
        Some(self.identity.envelope(chain, operation, Bytes::default(), OsRng))
    }

    /// Hands a request or a solution in. True if it is found on its list.
    async fn hand_in(&mut self, envelope: &Envelope) -> Result<bool, Error> {
        let at_work = Duration::from_millis(self.terms.slack_ms / 4).clamp(SETTLE, AT_WORK);
        let (patience, mut grace) = (at_work.saturating_add(time_for(envelope.payload.0.len())), Duration::ZERO);
        let handed_in = self.client.hand_in(std::slice::from_ref(envelope), SETTLE);
        let word = match timeout(patience, handed_in).await {
            Ok(Ok(words)) => words.get(&envelope.id()).copied(),
            Ok(Err(Error::NotOnBoard { tried, .. })) => {
                if tried.iter().any(|tried| tried.code == Some(Code::NotDecided)) {
                    grace = at_work;
                }
                None
            }
            // It is silent, or has more to do than there is time for.
            Err(_) => None,
            Ok(Err(Error::Refused { code, tried, operation })) => match code {
                // The board itself is asked what is late, and what was there before.
                Code::RegistrationClosed
                | Code::StampExpired
                | Code::SolvingClosed
                | Code::WrongPhase
                | Code::DuplicateDifferent => None,
                Code::RequestsFull => return Err(self.refused(NotAdmitted::RequestsFull)),
                Code::ListFull => {
                    let most = self.record.spec.max_parties;
                    return Err(self.refused(NotAdmitted::ListFull { most }));
                }
                code => return Err(Error::Refused { code, tried, operation }),
            },
            Ok(Err(other)) => return Err(other),
        };
        if let Some(height) = word.and_then(|word| word.height) {
            // Then whoever is asked knows of it. That it takes long may be the gateway's lie.
            let _ = timeout(SETTLE, self.client.block_from(height, SETTLE)).await;
        }
        let list = match &envelope.signed.body {
            Operation::Register { .. } => ListKind::Registrants,
            _ => ListKind::Solvers,
        };
        let (started, mut pauses, key) = (Instant::now(), Pauses::default(), self.identity.public());
        loop {
            self.read(list, &mut Wait::default()).await;
            if self.held(list).has(&key) {
                return Ok(true);
            }
            if started.elapsed() >= grace {
                break;
            }
            pauses.pause().await;
        }
        if let Some(word) = word {
            let height = self.client.verifier().height();
            self.client.check_word(&word, &envelope.id(), height);
        }
        self.client.rotate();
        Ok(false)
    }

    fn held(&mut self, list: ListKind) -> &mut List {
        match list {
            ListKind::Registrants => &mut self.registrants,
            ListKind::Solvers => &mut self.solvers,
        }
    }

    async fn read(&mut self, list: ListKind, wait: &mut Wait) -> bool {
        let (client, session) = (self.client, self.session);
        client.read_list(&session, list, self.held(list), Duration::ZERO, wait).await
    }

    /// An error if this device would need longer than `left_ms` for what is not `done` of the work.
    async fn check_speed(&mut self, left_ms: u64, done: u64) -> Result<(), Error> {
        if self.options.even_if_slow {
            return Ok(());
        }
        let rate = self.client.speed(&self.work.parameters, solving::threads(self.options.threads)).await;
        let hashes = u128::from(self.work.parameters.total_hashes().saturating_sub(done));
        let needed = u64::try_from(hashes * 1000 / u128::from(left_ms.max(1))).unwrap_or(u64::MAX);
        if rate >= needed { Ok(()) } else { Err(self.refused(NotAdmitted::TooSlow { rate, needed })) }
    }

    /// P4.5 steps 4 to 8: waits for the challenge, works, and gets onto the list of those who solved.
    async fn solve(&mut self) -> Result<(), Error> {
        let (started, patience) = (Instant::now(), self.patience(self.terms.head_start_ms));
        let (mut wait, mut pauses) = (Wait::default(), Pauses::default());
        // Only a list that was read now that requests are over says who is not on it.
        while !self.read(ListKind::Registrants, &mut wait).await && !self.registrants.has(&self.identity.public()) {
            self.still_in(Phase::Solving, started, patience, &mut wait)?;
            pauses.pause().await;
        }
        if !self.registrants.has(&self.identity.public()) {
            return Err(self.refused(NotAdmitted::RegistrationOver { late_ms: self.registering_over_ms() }));
        }
        let drawn = |record: &SessionRecord| record.registration.is_some_and(|state| state.challenge.is_some());
        let is_there = |record: &SessionRecord| record.phase != Phase::Solving || drawn(record);
        self.wait_until("challenge=true", self.terms.head_start_ms, is_there).await?;
        if self.record.phase != Phase::Solving {
            return Ok(());
        }
        let challenge = self.client.challenge(&self.session, &self.record).await?;
        self.client.tell(self.session, Event::Challenged);
        self.read(ListKind::Solvers, &mut wait).await;
        if self.solvers.has(&self.identity.public()) {
            return Ok(());
        }
        let puzzle = pow::Puzzle { challenge: challenge.0, key: self.identity.public().0 };
        let work = Arc::new(Work::new(self.session, self.work.parameters, puzzle, self.state()));
        let proof = match work.finished()? {
            Some(proof) => Some(proof),
            None => self.work(work).await?,
        };
        match proof {
            Some(proof) => self.bring(proof).await,
            None => Ok(()),
        }
    }

    /// Solves, unless the deadline passes first: then there is no proof.
    async fn work(&mut self, work: Arc<Work>) -> Result<Option<Bytes>, Error> {
        let solver = work.solver()?;
        // A chain at rest shows an old time: then there may be less. What is certified can only let this party work in vain.
        let left_ms = self.left_ms().unwrap_or(self.work.solving_ms());
        self.check_speed(left_ms, solver.done_hashes()).await?;
        let client = self.client.clone();
        let tell: Tell = Arc::new(move |session, event| client.tell(session, event));
        let solving = work.solve(solver, solving::threads(self.options.threads), tell);
        tokio::select! {
            proof = solving => Ok(Some(proof?)),
            over = self.wait_past(Phase::Solving) => over.map(|()| None),
        }
    }

    /// Brings a solution to the board.
    async fn bring(&mut self, proof: Bytes) -> Result<(), Error> {
        let chain = &self.client.network().chain;
        let solution = Solution { chain: chain.clone(), session: self.session, key: self.identity.public(), proof };
        let payload = solution.encode();
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Solve { session: self.session, digest, length };
        let envelope = self.identity.envelope(chain, operation, payload, OsRng);
        let (started, patience) = (Instant::now(), self.patience(self.work.solving_ms()));
        let (mut wait, mut pauses) = (Wait::default(), Pauses::default());
        while self.record.phase == Phase::Solving {
            if self.hand_in(&envelope).await? {
                self.client.tell(self.session, Event::Solved { solvers: self.solvers.head.count });
                return Ok(());
            }
            self.still_in(Phase::Solving, started, patience, &mut wait)?;
            pauses.pause().await;
            self.look().await?;
        }
        Ok(())
    }

    /// What became of it: the list, if it is final and this party on it.
    async fn outcome(self) -> Result<Listed, Error> {
        let needed = self.record.spec.min_parties;
        if let Some(end) = self.record.end {
            let count = |list: &List| Some(list.head.count).filter(|count| *count > 0);
            let drawn = self.record.registration.is_some_and(|state| state.challenge.is_some());
            let why = match end.phase {
                Phase::Registering => {
                    let registered = self.length(ListKind::Registrants).await.or(count(&self.registrants));
                    Some(NotAdmitted::TooFewRegistered { registered, needed })
                }
                Phase::Solving if !drawn => Some(NotAdmitted::NotDrawn),
                Phase::Solving => {
                    let solved = self.length(ListKind::Solvers).await.or(count(&self.solvers));
                    Some(NotAdmitted::TooFewSolved { solved, needed })
                }
                _ => None,
            };
            if let Some(why) = why {
                return Err(self.refused(why));
            }
        }
        let keys = self.client.keys_of(&self.session, &self.record).await?;
        if index_of(&keys, &self.identity.public()).is_none() {
            return Err(self.refused(self.missed().await));
        }
        self.state().map_or(Ok(false), |state| state.remove())?;
        Ok(Listed { record: self.record, keys })
    }

    /// How long a list of an ended session is, as long as it is there.
    async fn length(&self, list: ListKind) -> Option<u32> {
        let read = timeout(SETTLE, self.client.list(&self.session, list)).await;
        read.ok()?.ok().and_then(|keys| u32::try_from(keys.len()).ok())
    }

    /// Which deadline a stranger missed that is not on the final list.
    async fn missed(&self) -> NotAdmitted {
        let key = self.identity.public();
        let registered = match timeout(SETTLE, self.client.list(&self.session, ListKind::Registrants)).await {
            Ok(Ok(keys)) => keys.contains(&key),
            _ => self.registrants.has(&key),
        };
        if registered {
            NotAdmitted::SolvingOver { late_ms: self.solving_over_ms() }
        } else {
            NotAdmitted::RegistrationOver { late_ms: self.registering_over_ms() }
        }
    }

    /// How long requests are over at least.
    fn registering_over_ms(&self) -> Option<u64> {
        self.at.time_ms.checked_sub(self.record.registration?.drawn_from_ms?)
    }

    /// How long solutions are over at least, if the clock of the phase that the session is in runs.
    fn solving_over_ms(&self) -> Option<u64> {
        let lasts_ms = match self.record.phase {
            Phase::Keying => self.record.spec.keying_ms,
            Phase::Running => self.record.spec.running_ms,
            Phase::Ended => self.record.spec.retention_ms,
            Phase::Registering | Phase::Solving | Phase::Erased => return None,
        };
        let began_ms = self.record.deadline_ms?.checked_sub(lasts_ms)?;
        self.at.time_ms.checked_sub(began_ms)
    }
}

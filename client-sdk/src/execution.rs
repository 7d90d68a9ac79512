//! One execution of a program, which goes on where it was if the party died ([`crate::journal`]).

use crate::{
    Difference, Error, Session, crash,
    driver::{Action, Driver},
    journal::{Journal, Record, Step},
    mailbox::Message,
    protocol::Protocol,
    reader::Found,
    session::Unconfirmed,
    submit::SETTLE,
    survey::{Pauses, no_answer},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use wire::{Envelope, Hash, MailboxHead, MailboxKind, Operation, OperationId};
use zeroize::Zeroizing;

/// An execution of a program in a session, begun with [`Session::execution`]. It is run at once or, by who died on the way, again.
pub struct Execution<'a> {
    session: &'a Session,
    name: String,
    seed: Zeroizing<[u8; 32]>,
    place: Place,
}

impl fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution").field("name", &self.name).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Its place in the journal, which is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    journal: Arc<Mutex<Journal>>,
    pub(crate) execution: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lock().release(self.execution);
    }
}

impl Place {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn number(&self) -> u32 {
        u32::try_from(self.execution)
            .expect("a journal holds fewer executions than bytes, of which there are 2^32 at most")
    }
}

/// How far a run has come.
struct Run<'a> {
    execution: &'a Execution<'a>,
    /// Steps that were taken and are in the journal.
    at: usize,
    /// Writes that are in no journal yet.
    fresh: Vec<Envelope>,
    unconfirmed: Vec<Unconfirmed>,
    /// Steps of writes that are not marked as found on the board.
    unmarked: BTreeMap<OperationId, usize>,
    /// True once the run has gone beyond what the journal held.
    is_live: bool,
    /// True once the board was seen not to be ahead of the journal.
    is_level: bool,
}

impl Session {
    /// Begins an execution of a program, or goes on with one that was begun before: in this process, or in an earlier one with the same
    /// [`crate::Options::state`] directory, however that ended. `name` tells the session's executions apart; `input` is whatever the program
    /// computes with besides messages and seed, or a digest of it, and must be the same whenever the execution goes on. The journal keeps it
    /// ([`Session::executions`]).
    ///
    /// # Errors
    /// [`Error::JournalInUse`] if another process, or another seat in this one, has the journal open; [`Error::ExecutionRuns`];
    /// [`Error::ReplayDiffers`] if the input is another; [`Error::FileFormat`] if the journal is damaged; [`Error::File`].
    pub fn execution(&self, name: &str, input: &[u8]) -> Result<Execution<'_>, Error> {
        let (place, seed) = self.begin(name, input)?;
        Ok(Execution { session: self, name: name.to_owned(), seed, place })
    }

    /// An execution's place in the journal, and its seed.
    pub(crate) fn begin(&self, name: &str, input: &[u8]) -> Result<(Place, Zeroizing<[u8; 32]>), Error> {
        let journal = self.journal()?;
        let (execution, seed) = self.lock(&journal).begin(name, input)?;
        Ok((Place { journal, execution }, seed))
    }

    /// The journal, which is opened when it is needed first.
    pub(crate) fn journal(&self) -> Result<Arc<Mutex<Journal>>, Error> {
        let mut opened = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = opened.as_ref() {
            return Ok(Arc::clone(journal));
        }
        let journal = match self.state() {
            Some(state) => Journal::open(&state, &self.identity)?,
            None => Journal::in_memory(),
        };
        self.client.verifier().has_reached(journal.height());
        Ok(Arc::clone(opened.insert(Arc::new(Mutex::new(journal)))))
    }

    /// The journal, if this seat has opened it.
    pub(crate) fn opened_journal(&self) -> Option<Arc<Mutex<Journal>>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn lock<'j>(&self, journal: &'j Mutex<Journal>) -> MutexGuard<'j, Journal> {
        journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execution<'_> {
    /// 32 secret random bytes from which the program draws all its randomness: the same whenever the execution goes on, others for any other.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }

    /// True if it was begun before and has taken steps.
    pub fn is_resumed(&self) -> bool {
        self.place.lock().steps(self.place.execution) > 0
    }

    /// True if it has come to its output before.
    pub fn is_finished(&self) -> bool {
        self.place.lock().is_finished(self.place.execution)
    }

    /// Runs the program to its output; `program` must be a function of the execution's input and seed. What it did before is done again from the
    /// journal: nothing is written that was not, and nothing is computed from a board that shows something else. All its messages are on the board when
    /// this returns `Ok`; the session goes on until enough parties [`Session::leave`].
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`] if the program, or the board, is another than the journal's; [`Error::JournalMissing`] and
    /// [`Error::JournalBehind`] if this party has written what its journal does not hold; [`Error::File`]; and those of [`Session::run`].
    pub async fn run<P: Protocol>(self, program: P) -> Result<P::Output, Error> {
        let session = self.session;
        let mut driver = Driver::new(program, Arc::clone(&session.channels), &session.spec);
        let mut run = Run {
            execution: &self,
            at: 0,
            fresh: Vec::new(),
            unconfirmed: Vec::new(),
            unmarked: BTreeMap::new(),
            is_live: false,
            is_level: false,
        };
        loop {
            match driver.step()? {
                Action::Write { kind, round, payload } => run.write(kind, round, payload)?,
                Action::Read { kind, round, count } => {
                    run.send().await?;
                    let (head, messages) = run.read(kind, round, count).await?;
                    driver.deliver(kind, round, head, messages)?;
                }
                Action::Output(output) => {
                    run.send().await?;
                    run.end().await?;
                    return Ok(output);
                }
            }
        }
    }

    fn differs(&self, difference: Difference) -> Error {
        Error::ReplayDiffers { execution: self.name.clone(), difference }
    }
}

impl Run<'_> {
    fn step(&self) -> Option<Step> {
        let place = &self.execution.place;
        place.lock().step(place.execution, self.at).cloned()
    }

    fn write(&mut self, kind: MailboxKind, round: u32, payload: Vec<u8>) -> Result<(), Error> {
        let Some(step) = self.step() else {
            self.fresh.push(self.execution.session.envelope(kind, round, payload));
            return Ok(());
        };
        let written = step.as_write(kind, round, &payload);
        let (envelope, certified) = written.map_err(|difference| self.execution.differs(difference))?;
        if !certified {
            self.unmarked.insert(envelope.id(), self.at);
            // It may never have been sent: if it is not found, it is sent again at once.
            let since = Instant::now().checked_sub(SETTLE).unwrap_or_else(Instant::now);
            self.unconfirmed.push(Unconfirmed { envelope, word: None, since });
        }
        self.at += 1;
        Ok(())
    }

    /// Hands in what is new, once it is in the journal.
    async fn send(&mut self) -> Result<(), Error> {
        let session = self.execution.session;
        if !self.is_live && self.step().is_none() {
            self.is_live = true;
            session.tend(&mut self.unconfirmed, Duration::ZERO, &mut BTreeMap::new()).await?;
        }
        if self.fresh.is_empty() {
            return Ok(());
        }
        if !self.is_level {
            session.check_level(&self.fresh, self.at).await?;
            self.is_level = true;
        }
        let execution = self.execution.place.number();
        let record = |envelope: &Envelope| Record::Write { execution, envelope: envelope.clone() };
        let records = self.fresh.iter().map(record).collect();
        self.append(records)?;
        let fresh = std::mem::take(&mut self.fresh);
        self.unmarked.extend(fresh.iter().map(Envelope::id).zip(self.at..));
        self.at += fresh.len();
        let mut handed_in = session.hand_in(fresh).await?;
        crash::point();
        self.unconfirmed.append(&mut handed_in);
        Ok(())
    }

    async fn read(&mut self, kind: MailboxKind, round: u32, count: u16) -> Result<(Hash, Vec<Message>), Error> {
        let session = self.execution.session;
        let before = self.step().map(|step| step.as_read(kind, round, count)).transpose();
        let before = before.map_err(|difference| self.execution.differs(difference))?;
        let (head, messages) = session.read_messages(kind, round, count, &mut self.unconfirmed).await?;
        let now = MailboxHead { count: u32::from(count), head };
        match before {
            Some(journal) if journal != now => {
                return Err(self.execution.differs(Difference::Messages { kind, round, journal, now }));
            }
            Some(_) => {}
            None => {
                let (execution, height) = (self.execution.place.number(), session.client.verifier().height());
                let mut records = self.marks();
                records.push(Record::Read { execution, kind, round, head: now, height });
                crash::point();
                self.append(records)?;
            }
        }
        self.at += 1;
        Ok((head, messages))
    }

    async fn end(&mut self) -> Result<(), Error> {
        if let Some(step) = self.step() {
            return Err(self.execution.differs(step.as_end()));
        }
        self.execution.session.confirm(std::mem::take(&mut self.unconfirmed)).await?;
        let mut records = self.marks();
        if !self.execution.is_finished() {
            records.push(Record::Finished { execution: self.execution.place.number() });
        }
        self.append(records)?;
        crash::point();
        Ok(())
    }

    fn append(&self, records: Vec<Record>) -> Result<(), Error> {
        self.execution.place.lock().append(records)
    }

    /// Marks for the writes that were found on the board since the last ones.
    fn marks(&mut self) -> Vec<Record> {
        let (execution, height) = (self.execution.place.number(), self.execution.session.client.verifier().height());
        let open: Vec<OperationId> = self.unconfirmed.iter().map(|write| write.envelope.id()).collect();
        let found: Vec<OperationId> = self.unmarked.keys().filter(|id| !open.contains(id)).copied().collect();
        let steps = found.iter().filter_map(|id| self.unmarked.remove(id));
        let mark = |step| Record::Certified { execution, step: u32::try_from(step).unwrap_or(u32::MAX), height };
        steps.map(mark).collect()
    }
}

impl Session {
    /// Before the first writes of a run that are in no journal: the board must not have any in their places. If it has, this party has been further
    /// than its journal knows, with a seed or with reads that are lost. `steps`: so many the journal knows of the execution.
    pub(crate) async fn check_level(&self, fresh: &[Envelope], steps: usize) -> Result<(), Error> {
        for write in fresh {
            let Operation::Write { mailbox, digest, .. } = &write.signed.body else { continue };
            let (session, kind, round) = (self.id(), mailbox.kind, mailbox.round);
            if !self.has_written(kind, round, digest).await? {
                continue;
            }
            return Err(if steps == 0 {
                Error::JournalMissing { session, kind, round }
            } else {
                Error::JournalBehind { session, kind, round }
            });
        }
        Ok(())
    }

    /// Whether the certified board shows something of this party's in a slot.
    async fn has_written(&self, kind: MailboxKind, round: u32, digest: &Hash) -> Result<bool, Error> {
        let (started, mut pauses, mut tried) = (Instant::now(), Pauses::default(), BTreeMap::new());
        let slot = self.slot(kind, round);
        loop {
            match self.client.look_up(&slot, self.seat().index, digest, &mut tried).await {
                Found::Here | Found::Other => return Ok(true),
                Found::Nothing { .. } => return Ok(false),
                Found::Unknown if started.elapsed() >= self.patience(self.spec.running_ms) => {
                    return Err(no_answer(&format!("{kind} round {round}"), &tried));
                }
                Found::Unknown => pauses.pause().await,
            }
        }
    }
}

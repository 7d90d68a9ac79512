//! What a party has begun and may go on with: all its journals in a state directory.

use super::Journal;
use crate::{Error, Identity, Options, Session, state::State};
use std::{collections::BTreeMap, fmt, fs, path::Path};
use wire::{ChainId, SessionId};

/// An execution that a journal knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its name.
    pub name: String,
    /// Its input, as it was given to [`Session::execution`].
    pub input: Vec<u8>,
    /// How many writes and reads the journal holds of it.
    pub steps: usize,
    /// True once it gave its output, and all that it wrote was on the board.
    pub finished: bool,
}

/// An input may be secret.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, steps, finished, .. } = self;
        f.debug_struct("Begun")
            .field("name", name)
            .field("steps", steps)
            .field("finished", finished)
            .finish_non_exhaustive()
    }
}

/// A session in which a party has something to go on with.
#[derive(Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The chain.
    pub chain: ChainId,
    /// The session.
    pub session: SessionId,
    /// What the application wanted to do there and has not said to be done, by name ([`Session::begin_task`]).
    pub tasks: BTreeMap<String, Vec<u8>>,
    /// All executions that were begun there, the finished ones too, in that order.
    pub executions: Vec<Begun>,
}

/// A task may be secret.
impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<&String> = self.tasks.keys().collect();
        f.debug_struct("Unfinished")
            .field("session", &self.session)
            .field("tasks", &tasks)
            .field("executions", &self.executions)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The sessions in which this party has something to go on with, by the journals in the state directory: a task that is not done, or an
    /// execution without its output. Nothing is locked, written or asked. A journal that cannot be read is an error in its place.
    ///
    /// # Errors
    /// [`Error::File`] if the directory cannot be read.
    pub fn unfinished(identity: &Identity, options: &Options) -> Result<Vec<Result<Unfinished, Error>>, Error> {
        let Some(folder) = options.state.as_deref().filter(|folder| folder.exists()) else { return Ok(Vec::new()) };
        let failed = |source| crate::state::failed("read", folder, source);
        let mut paths = Vec::new();
        for file in fs::read_dir(folder).map_err(failed)? {
            paths.push(file.map_err(failed)?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|end| end == "journal"));
        paths.sort();
        Ok(paths.iter().filter_map(|path| look(path, identity).transpose()).collect())
    }

    /// Keeps a note of what the application is about to do in a session, in place of one of the same name, until [`Session::end_task`]: on the disk
    /// when this returns. [`Session::unfinished`] shows it. Without a state directory nothing is kept.
    ///
    /// # Errors
    /// [`Error::JournalInUse`] if this party is at work in the session; [`Error::FileFormat`], [`Error::File`].
    pub fn begin_task(
        chain: &ChainId,
        identity: &Identity,
        session: &SessionId,
        options: &Options,
        (name, task): (&str, &[u8]),
    ) -> Result<(), Error> {
        let Some(folder) = options.state.as_deref() else { return Ok(()) };
        let state = State::new(folder, chain, session, identity);
        Journal::open(&state, identity)?.put_task(name, Some(task))
    }

    /// Says that a task is done, or that nothing can come of it. No error if it is not known, or the journal is gone with the session.
    ///
    /// # Errors
    /// [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub fn end_task(
        chain: &ChainId,
        identity: &Identity,
        session: &SessionId,
        options: &Options,
        name: &str,
    ) -> Result<(), Error> {
        let Some(folder) = options.state.as_deref() else { return Ok(()) };
        let state = State::new(folder, chain, session, identity);
        if !state.journal().exists() {
            return Ok(());
        }
        Journal::open(&state, identity)?.put_task(name, None)
    }

    /// The same as [`Session::end_task`] for who is at work in the session.
    ///
    /// # Errors
    /// As there.
    pub fn finish_task(&self, name: &str) -> Result<(), Error> {
        let journal = self.journal()?;
        self.lock(&journal).put_task(name, None)
    }

    /// True if this party has begun an execution in the session, by its journal.
    ///
    /// # Errors
    /// [`Error::FileFormat`], [`Error::File`].
    pub fn has_begun(
        chain: &ChainId,
        identity: &Identity,
        session: &SessionId,
        options: &Options,
    ) -> Result<bool, Error> {
        let Some(folder) = options.state.as_deref() else { return Ok(false) };
        let state = State::new(folder, chain, session, identity);
        Ok(Journal::peek_of(&state, identity)?.is_some_and(|journal| !journal.begun().is_empty()))
    }

    /// The executions that were begun in this session, in that order, by this party's journal.
    ///
    /// # Errors
    /// [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub fn executions(&self) -> Result<Vec<Begun>, Error> {
        let journal = self.journal()?;
        Ok(self.lock(&journal).begun())
    }
}

/// What there is to go on with by one journal; none if that is another identity's.
fn look(path: &Path, identity: &Identity) -> Result<Option<Unfinished>, Error> {
    let Some((owner, journal)) = Journal::peek(path, identity)? else { return Ok(None) };
    let (tasks, executions) = (journal.tasks(), journal.begun());
    let any = !tasks.is_empty() || executions.iter().any(|begun| !begun.finished);
    Ok(any.then_some(Unfinished { chain: owner.chain, session: owner.session, tasks, executions }))
}

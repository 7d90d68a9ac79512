//! The journal: what a party must find again so that it may die at any instruction and never contradict itself (§V, P5.2).
//!
//! One file for each chain, party and session, in [`crate::Options::state`]. Of each [`crate::Execution`] of a program it holds, in order: its name, the digest of its
//! input and its seed; what each read has consumed (mailbox, count and head), before anything is computed with it; each write as it was signed, before
//! it is sent; which of those are proved to be on the board; and the greatest height that was found certified. Each is on the disk before the
//! first byte that depends on it leaves. It is sealed under a key that follows from the identity; one process has it open at a time.
//!
//! A program is a function of its messages, input and seed. So going on is running it again ([`crate::Execution::run`]): reads return what they returned then,
//! writes must be what they were, and what is sent again is sent from here, never computed from what the board shows now.

mod log;
mod replay;

pub(crate) use replay::Step;

use crate::{Difference, Error, Identity, state::State};
use borsh::{BorshDeserialize, BorshSerialize};
use log::Log;
use rand_core::{OsRng, RngCore};
use std::{collections::BTreeSet, fmt, path::Path};
use wire::{Envelope, Hash, MailboxHead, MailboxKind};
use zeroize::Zeroizing;

/// What one record says. Executions are numbered in the order in which they began, their steps in the order of theirs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    Begun { name: String, input: Hash, seed: [u8; 32] },
    Write { execution: u32, envelope: Envelope },
    Read { execution: u32, kind: MailboxKind, round: u32, head: MailboxHead, height: u64 },
    Certified { execution: u32, step: u32, height: u64 },
}

/// One execution, as far as it has come.
struct Known {
    name: String,
    input: Hash,
    seed: Zeroizing<[u8; 32]>,
    steps: Vec<Step>,
}

/// A party's journal of one session.
pub(crate) struct Journal {
    /// None for who has no state directory: then it lasts as long as the process.
    log: Option<Log>,
    executions: Vec<Known>,
    running: BTreeSet<usize>,
    height: u64,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("executions", &self.executions.len()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the party's journal, or makes one.
    ///
    /// # Errors
    /// [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub(crate) fn open(state: &State, identity: &Identity) -> Result<Self, Error> {
        let path = state.journal();
        let (log, records) = Log::open(&path, identity, &state.journal_context())?;
        let mut journal = Self { log: Some(log), ..Self::in_memory() };
        for record in records {
            let record = Zeroizing::new(record);
            let decoded = Record::try_from_slice(&record).ok().and_then(|record| journal.take(record));
            decoded.ok_or_else(|| damaged(&path))?;
        }
        Ok(journal)
    }

    /// One that is gone with the process.
    pub(crate) fn in_memory() -> Self {
        Self { log: None, executions: Vec::new(), running: BTreeSet::new(), height: 0 }
    }

    /// The greatest height that was found certified before.
    pub(crate) fn height(&self) -> u64 {
        self.height
    }

    /// Begins an execution, or goes on with it. Its number and seed; the seed is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`] if it was begun with another input, [`Error::ExecutionRuns`] if it is still running in this process,
    /// [`Error::File`].
    pub(crate) fn begin(&mut self, name: &str, input: &Hash) -> Result<(usize, Zeroizing<[u8; 32]>), Error> {
        let known = self.executions.iter().position(|known| known.name == name);
        let at = match known {
            Some(at) => at,
            None => {
                let mut seed = Zeroizing::new([0; 32]);
                OsRng.fill_bytes(seed.as_mut());
                self.append(vec![Record::Begun { name: name.to_owned(), input: *input, seed: *seed }])?;
                self.executions.len().saturating_sub(1)
            }
        };
        let known = self.executions.get(at).expect("it was found, or begun");
        if known.input != *input {
            let difference = Difference::Input { journal: known.input, now: *input };
            return Err(Error::ReplayDiffers { execution: name.to_owned(), difference });
        }
        let seed = known.seed.clone();
        if !self.running.insert(at) {
            return Err(Error::ExecutionRuns { execution: name.to_owned() });
        }
        Ok((at, seed))
    }

    /// Lets an execution be begun again.
    pub(crate) fn release(&mut self, execution: usize) {
        self.running.remove(&execution);
    }

    /// What an execution did at a step, if it has come so far.
    pub(crate) fn step(&self, execution: usize, at: usize) -> Option<&Step> {
        self.executions.get(execution)?.steps.get(at)
    }

    /// How many steps an execution has taken.
    pub(crate) fn steps(&self, execution: usize) -> usize {
        self.executions.get(execution).map_or(0, |known| known.steps.len())
    }

    /// Adds records, which are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`]; what was to depend on them must then not happen.
    pub(crate) fn append(&mut self, records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            let encode = |record| borsh::to_vec(record).expect("borsh to a vector fails only beyond u32 lengths");
            let encoded: Vec<_> = records.iter().map(encode).map(Zeroizing::new).collect();
            log.append(&encoded)?;
        }
        for record in records {
            self.take(record).expect("records are made for executions and steps that there are");
        }
        Ok(())
    }

    /// Wipes the file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn wipe(&mut self) -> Result<bool, Error> {
        let Some(log) = self.log.take() else { return Ok(false) };
        log.wipe().map(|()| true)
    }

    /// None if a record refers to what is not there.
    fn take(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Begun { name, input, seed } => {
                self.executions.push(Known { name, input, seed: Zeroizing::new(seed), steps: Vec::new() });
            }
            Record::Write { execution, envelope } => {
                self.known(execution)?.steps.push(Step::write(envelope)?);
            }
            Record::Read { execution, kind, round, head, height } => {
                self.known(execution)?.steps.push(Step::Read { kind, round, head });
                self.height = self.height.max(height);
            }
            Record::Certified { execution, step, height } => {
                self.known(execution)?.steps.get_mut(usize::try_from(step).ok()?)?.certify()?;
                self.height = self.height.max(height);
            }
        }
        Some(())
    }

    fn known(&mut self, execution: u32) -> Option<&mut Known> {
        self.executions.get_mut(usize::try_from(execution).ok()?)
    }
}

/// Wipes a journal that nobody has open. True if there was one.
///
/// # Errors
/// [`Error::JournalInUse`], [`Error::File`].
pub(crate) fn forget(state: &State) -> Result<bool, Error> {
    log::remove(&state.journal())
}

fn damaged(path: &Path) -> Error {
    let reason = "it holds records that this program does not know".to_owned();
    crate::file::format_error(path, "a journal", reason)
}

#[cfg(test)]
mod tests;

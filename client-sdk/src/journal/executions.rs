//! The executions that a journal knows.

use super::{Begun, Journal, PLAIN, Record, Step};
use crate::{Difference, Error};
use rand_core::{OsRng, RngCore};
#[cfg(feature = "round-based")]
use wire::{MailboxHead, MailboxKind};
use wire::{MailboxId, Operation, message_digest};
use zeroize::Zeroizing;

/// One execution, as far as it has come.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) input: Zeroizing<Vec<u8>>,
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) steps: Vec<Step>,
    pub(super) finished: bool,
}

impl Journal {
    /// Begins an execution, or goes on with it. Its number and seed; the seed is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`] if it was begun with another input, [`Error::ExecutionRuns`] if it is still running in this process,
    /// [`Error::File`].
    pub(crate) fn begin(&mut self, name: &str, input: &[u8]) -> Result<(usize, Zeroizing<[u8; 32]>), Error> {
        let known = self.executions.iter().position(|known| known.name == name);
        let at = match known {
            Some(at) => at,
            None => {
                let mut seed = Zeroizing::new([0; 32]);
                OsRng.fill_bytes(seed.as_mut());
                self.append(vec![Record::Begun { name: name.to_owned(), input: input.to_vec(), seed: *seed }])?;
                self.executions.len().saturating_sub(1)
            }
        };
        let known = self.executions.get(at).expect("it was found, or begun");
        if known.input.as_slice() != input {
            let (journal, now) = (message_digest(&known.input), message_digest(input));
            let difference = Difference::Input { journal, now };
            return Err(Error::ReplayDiffers { execution: name.to_owned(), difference });
        }
        let seed = known.seed.clone();
        if !self.running.insert(at) {
            return Err(Error::ExecutionRuns { execution: name.to_owned() });
        }
        Ok((at, seed))
    }

    /// What an execution has written to a slot, or was about to.
    #[cfg(feature = "round-based")]
    pub(crate) fn written(&self, execution: usize, kind: MailboxKind, round: u32) -> Option<&Step> {
        self.executions.get(execution)?.steps.iter().find(|step| step.is_write(kind, round))
    }

    /// What an execution has read, in order.
    #[cfg(feature = "round-based")]
    pub(crate) fn reads(&self, execution: usize) -> Vec<(MailboxKind, u32, MailboxHead)> {
        let steps = self.executions.get(execution).map_or(&[][..], |known| &known.steps);
        let read = |step: &Step| match step {
            Step::Read { kind, round, head } => Some((*kind, *round, *head)),
            Step::Write { .. } => None,
        };
        steps.iter().filter_map(read).collect()
    }

    /// A slot has one message, also before it is on the board: another execution's, or another run's, must not leave beside it.
    pub(super) fn check_slot(&self, record: &Record) -> Result<(), Error> {
        let (Record::Write { envelope, .. } | Record::Plain { envelope }) = record else { return Ok(()) };
        let Operation::Write { mailbox: MailboxId { kind, round, .. }, .. } = envelope.signed.body else {
            return Ok(());
        };
        let taken = |steps: &[Step]| steps.iter().any(|step| step.is_write(kind, round));
        let execution = self.executions.iter().find(|known| taken(&known.steps)).map(|known| known.name.as_str());
        match execution.or_else(|| taken(&self.plain).then_some(PLAIN)) {
            Some(execution) => Err(Error::SlotJournalled { kind, round, execution: execution.to_owned() }),
            None => Ok(()),
        }
    }

    /// The executions that were begun, in that order.
    pub(crate) fn begun(&self) -> Vec<Begun> {
        let begun = |known: &Known| {
            let (steps, finished) = (known.steps.len(), known.finished);
            Begun { name: known.name.clone(), input: known.input.to_vec(), steps, finished }
        };
        self.executions.iter().map(begun).collect()
    }

    /// Lets an execution be begun again.
    pub(crate) fn release(&mut self, execution: usize) {
        self.running.remove(&execution);
    }

    /// What an execution did at a step, if it has come so far.
    pub(crate) fn step(&self, execution: usize, at: usize) -> Option<&Step> {
        self.executions.get(execution)?.steps.get(at)
    }

    /// Whether an execution came to its output.
    pub(crate) fn is_finished(&self, execution: usize) -> bool {
        self.executions.get(execution).is_some_and(|known| known.finished)
    }

    /// How many steps an execution has taken.
    pub(crate) fn steps(&self, execution: usize) -> usize {
        self.executions.get(execution).map_or(0, |known| known.steps.len())
    }
}

//! What a journal's records say, in the order in which they were written.

use super::{Journal, Step, executions::Known};
use crate::{handshake::Ephemeral, secrets::Secrets};
use borsh::{BorshDeserialize, BorshSerialize};
use wire::{Envelope, MailboxHead, MailboxKind};
use zeroize::Zeroizing;

/// What one record says. Executions are numbered in the order in which they began, their steps in the order of theirs. There are secrets in it: it cannot
/// be printed.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    /// What the application is about to do; none: it is done.
    Task {
        name: String,
        task: Option<Vec<u8>>,
    },
    /// The secret of this party's message in the handshake, and that message as it was signed.
    Offered {
        secret: [u8; 32],
        envelope: Envelope,
    },
    /// What is shared with each party, encoded.
    Agreed {
        keys: Vec<u8>,
    },
    Begun {
        name: String,
        input: Vec<u8>,
        seed: [u8; 32],
    },
    Write {
        execution: u32,
        envelope: Envelope,
    },
    Read {
        execution: u32,
        kind: MailboxKind,
        round: u32,
        head: MailboxHead,
        height: u64,
    },
    Certified {
        execution: u32,
        step: u32,
        height: u64,
    },
    /// A message that no program writes.
    Plain {
        envelope: Envelope,
    },
    /// A vote on the session's end, or the acknowledgement of it. `leaves`: nothing is kept after it.
    Vote {
        envelope: Envelope,
        leaves: bool,
    },
    /// The program gave its output, and all that it wrote is on the board.
    Finished {
        execution: u32,
    },
}

impl Journal {
    /// None if a record refers to what is not there.
    pub(super) fn take(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Task { name, task: Some(task) } => {
                self.tasks.insert(name, Zeroizing::new(task));
            }
            Record::Task { name, task: None } => {
                self.tasks.remove(&name);
            }
            Record::Offered { secret, envelope } => {
                let own = Ephemeral::from_secret(Zeroizing::new(secret));
                self.secrets = Some(Secrets::Offered(own, Box::new(envelope)));
            }
            Record::Agreed { keys } => self.secrets = Some(Secrets::decode(&Zeroizing::new(keys))?),
            Record::Begun { name, input, seed } => {
                let (input, seed) = (Zeroizing::new(input), Zeroizing::new(seed));
                self.executions.push(Known { name, input, seed, steps: Vec::new(), finished: false });
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
            Record::Plain { envelope } => self.plain.push(Step::write(envelope)?),
            Record::Vote { envelope, leaves } => {
                self.leaves |= leaves;
                self.votes.push(envelope);
            }
            Record::Finished { execution } => self.known(execution)?.finished = true,
        }
        Some(())
    }

    fn known(&mut self, execution: u32) -> Option<&mut Known> {
        self.executions.get_mut(usize::try_from(execution).ok()?)
    }
}

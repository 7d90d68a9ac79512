//! The steps of an execution, which one that is run again takes again.

use crate::Difference;
use wire::{Envelope, MailboxHead, MailboxKind, Operation, message_digest};

/// What an execution did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wrote this, and whether it is proved to be on the board.
    Write { kind: MailboxKind, round: u32, envelope: Envelope, certified: bool },
    /// Read a mailbox up to this head.
    Read { kind: MailboxKind, round: u32, head: MailboxHead },
}

impl Step {
    /// A write that may not be on the board yet. None if the operation is no write.
    pub(crate) fn write(envelope: Envelope) -> Option<Self> {
        let Operation::Write { mailbox, .. } = &envelope.signed.body else { return None };
        Some(Self::Write { kind: mailbox.kind, round: mailbox.round, envelope, certified: false })
    }

    /// True if it writes to this slot.
    pub(crate) fn is_write(&self, kind: MailboxKind, round: u32) -> bool {
        matches!(self, Self::Write { kind: k, round: r, .. } if (*k, *r) == (kind, round))
    }

    /// None if it is no write.
    pub(crate) fn certify(&mut self) -> Option<()> {
        match self {
            Self::Write { certified, .. } => {
                *certified = true;
                Some(())
            }
            Self::Read { .. } => None,
        }
    }

    /// What was written, if the program now writes the same.
    ///
    /// # Errors
    /// The difference.
    pub(crate) fn as_write(
        &self,
        kind: MailboxKind,
        round: u32,
        payload: &[u8],
    ) -> Result<(Envelope, bool), Difference> {
        match self {
            Self::Write { kind: k, round: r, envelope, certified } if (*k, *r) == (kind, round) => {
                if envelope.payload.0 == payload {
                    return Ok((envelope.clone(), *certified));
                }
                let (journal, now) = (message_digest(&envelope.payload.0), message_digest(payload));
                Err(Difference::Message { kind, round, journal, now })
            }
            other => Err(Difference::Step { journal: other.did(), now: format!("writes {kind} round {round}") }),
        }
    }

    /// Up to where was read, if the program now reads the same.
    ///
    /// # Errors
    /// The difference.
    pub(crate) fn as_read(&self, kind: MailboxKind, round: u32, count: u16) -> Result<MailboxHead, Difference> {
        match self {
            Self::Read { kind: k, round: r, head } if (*k, *r, head.count) == (kind, round, u32::from(count)) => {
                Ok(*head)
            }
            other => {
                let now = format!("reads {count} messages of {kind} round {round}");
                Err(Difference::Step { journal: other.did(), now })
            }
        }
    }

    /// That the program is at its end.
    pub(crate) fn as_end(&self) -> Difference {
        Difference::Step { journal: self.did(), now: "is at its end".to_owned() }
    }

    fn did(&self) -> String {
        match self {
            Self::Write { kind, round, .. } => format!("wrote {kind} round {round}"),
            Self::Read { kind, round, head } => format!("read {} messages of {kind} round {round}", head.count),
        }
    }
}

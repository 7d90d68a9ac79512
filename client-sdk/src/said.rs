//! What a party says outside of executions: signed once, and in the journal before it leaves.

use crate::{
    Difference, Error, Session,
    journal::{PLAIN, Record, Step},
};
use rand_core::OsRng;
use wire::{Bytes, Envelope, MailboxKind, Operation};

impl Session {
    /// A vote on the session's end, or the acknowledgement of it. What this party said first is what it says again. `leaves`: nothing is kept after it.
    pub(crate) fn vote_once(&self, operation: Operation, leaves: bool) -> Result<Envelope, Error> {
        let journal = self.journal()?;
        let mut journal = self.lock(&journal);
        if let Some(said) = journal.vote(&operation).cloned() {
            if leaves && !journal.leaves() {
                journal.append(vec![Record::Vote { envelope: said.clone(), leaves }])?;
            }
            return Ok(said);
        }
        let envelope = self.identity.envelope(&self.client.network().chain, operation, Bytes::default(), OsRng);
        journal.append(vec![Record::Vote { envelope: envelope.clone(), leaves }])?;
        Ok(envelope)
    }

    /// A message that no program writes. One that is written again must be the same, and is sent byte for byte as it was; without a state
    /// directory the board alone sees to that.
    ///
    /// # Errors
    /// [`Error::ReplayDiffers`]; [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub(crate) fn write_once(&self, kind: MailboxKind, round: u32, payload: Vec<u8>) -> Result<Envelope, Error> {
        if self.options.state.is_none() {
            return Ok(self.envelope(kind, round, payload));
        }
        let journal = self.journal()?;
        let mut journal = self.lock(&journal);
        if let Some(said) = journal.plain(kind, round) {
            return same(said, kind, round, &payload)
                .map_err(|difference| Error::ReplayDiffers { execution: PLAIN.to_owned(), difference });
        }
        let envelope = self.envelope(kind, round, payload);
        journal.append(vec![Record::Plain { envelope: envelope.clone() }])?;
        Ok(envelope)
    }
}

fn same(said: &Step, kind: MailboxKind, round: u32, payload: &[u8]) -> Result<Envelope, Difference> {
    said.as_write(kind, round, payload).map(|(envelope, _)| envelope)
}

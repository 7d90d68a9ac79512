//! Leaving a session (§V-E a): terminate or abort, wait for the end, acknowledge it.

use crate::{
    Error,
    progress::Event,
    session::{Session, long_poll, millis},
    survey::{Pauses, or_later},
};
use rand_core::OsRng;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Bytes, End, Operation, Phase, SessionRecord, limits::MAX_REASON_BYTES};

/// Time for a vote or an acknowledgement to get onto the board.
const VOTE: Duration = Duration::from_secs(60);

impl Session {
    /// Says that this party has its output and needs the session no more. t + 1 such votes end the session.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn terminate(&self) -> Result<(), Error> {
        self.vote(Operation::Terminate { session: self.id() }).await?;
        self.client.tell(self.id(), Event::Voted { abort: false });
        Ok(())
    }

    /// Gives up. The specification's abort quorum of such votes ends the session. A long reason is cut.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn abort(&self, reason: &str) -> Result<(), Error> {
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        self.vote(Operation::Abort { session: self.id(), reason }).await?;
        self.client.tell(self.id(), Event::Voted { abort: true });
        Ok(())
    }

    /// Waits for the session's end.
    ///
    /// # Errors
    /// [`Error::StillInPhase`], with the parties that have not terminated.
    pub async fn ended(&self) -> Result<End, Error> {
        let started = Instant::now();
        let patience = self.patience(self.spec.running_ms);
        let (mut polls, mut pauses) = (0, Pauses::default());
        loop {
            let poll = long_poll(polls).min(patience.saturating_sub(started.elapsed()));
            let asked = self.client.session_part(&self.id(), poll, Some("running"), |record| record.end).await;
            polls += 1;
            if let Ok(SessionRecord { end: Some(end), .. }) = &asked {
                self.client.tell(self.id(), Event::Ended { reason: end.reason });
                return Ok(*end);
            }
            if started.elapsed() >= patience {
                asked?;
                let SessionRecord { terminated, phase, .. } = self.record().await?;
                let missing = self.missing(&terminated.into_iter().collect());
                let (session, tried) = (self.id(), Vec::new());
                return Err(Error::StillInPhase { session, phase, missing, waited_ms: millis(started), tried });
            }
            self.client.rotate();
            if or_later(asked)?.is_none_or(|record| record.phase != Phase::Running) {
                pauses.pause().await;
            }
        }
    }

    /// Says that this party has read the ended session and writes no more: names the block of the end as f + 1 nodes report it. When all
    /// parties have, the board erases the session's messages.
    ///
    /// # Errors
    /// [`Error::StillInPhase`] if the session has not ended; [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn acknowledge(&self) -> Result<(), Error> {
        let end = self.ended().await?;
        self.acknowledge_end(&end).await
    }

    async fn acknowledge_end(&self, end: &End) -> Result<(), Error> {
        let block = self.client.block(end.height, self.options.wait.unwrap_or(VOTE)).await?;
        self.vote(Operation::Ack { session: self.id(), height: block.height, root: block.root }).await?;
        self.client.forget_ephemeral(self.id(), self.identity.public());
        self.client.tell(self.id(), Event::Acknowledged);
        Ok(())
    }

    /// Terminates, waits until the session has ended, and acknowledges that.
    ///
    /// # Errors
    /// Those of [`Session::terminate`], [`Session::ended`] and [`Session::acknowledge`].
    pub async fn leave(self) -> Result<End, Error> {
        self.terminate().await?;
        let end = self.ended().await?;
        self.acknowledge_end(&end).await?;
        Ok(end)
    }

    /// The session's record now, as f + 1 nodes report it.
    ///
    /// # Errors
    /// [`Error::NoAgreement`].
    pub async fn record(&self) -> Result<SessionRecord, Error> {
        self.client.session(&self.id()).await
    }

    async fn vote(&self, operation: Operation) -> Result<(), Error> {
        let envelope = self.identity.envelope(&self.client.network().chain, operation, Bytes::default(), OsRng);
        self.client.submit(&envelope, self.options.wait.unwrap_or(VOTE)).await
    }
}

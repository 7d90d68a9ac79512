//! Leaving a session (§V-E a): terminate or abort, wait for the end, acknowledge it.

use crate::{
    Error, crash,
    progress::Event,
    reader::Wait,
    session::{Session, long_poll},
    survey::Pauses,
};
use std::time::Duration;
use tokio::time::Instant;
use wire::{BoardAt, End, Operation, Phase, SessionRecord, limits::MAX_REASON_BYTES};

/// Time for a vote or an acknowledgement to get onto the board.
const VOTE: Duration = Duration::from_secs(60);

impl Session {
    /// Says that this party has its output and needs the session no more. t + 1 such votes end the session.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn terminate(&self) -> Result<(), Error> {
        self.vote(Operation::Terminate { session: self.id() }, false).await?;
        self.client.tell(self.id(), Event::Voted { abort: false });
        Ok(())
    }

    /// Gives up. The specification's abort quorum of such votes ends the session. A long reason is cut, and who has given up before says again what it
    /// said then.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn abort(&self, reason: &str) -> Result<(), Error> {
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        self.vote(Operation::Abort { session: self.id(), reason }, false).await?;
        self.client.tell(self.id(), Event::Voted { abort: true });
        Ok(())
    }

    /// Waits for the session's end.
    ///
    /// # Errors
    /// [`Error::StillInPhase`], with the parties that have not terminated; [`Error::NoAnswer`].
    pub async fn ended(&self) -> Result<End, Error> {
        Ok(self.ended_at().await?.1)
    }

    /// The end, and a board on which it is seen.
    async fn ended_at(&self) -> Result<(BoardAt, End), Error> {
        let started = Instant::now();
        let patience = self.patience(self.spec.running_ms);
        let (mut polls, mut pauses, mut wait) = (0, Pauses::default(), Wait::default());
        loop {
            let poll = long_poll(polls).min(patience.saturating_sub(started.elapsed()));
            let asked = self.client.session_once(&self.id(), poll, "not_phase=running", &mut wait).await;
            polls += 1;
            if let Some((_, at, SessionRecord { end: Some(end), .. })) = &asked {
                self.client.tell(self.id(), Event::Ended { reason: end.reason });
                return Ok((*at, *end));
            }
            if let Some((node, ..)) = &asked {
                wait.in_vain(*node, self.client.network().nodes.len());
            }
            if wait.is_over(started, patience, self.client.needed()) {
                let seen = asked.map(|(_, at, record)| (at, record));
                let (_, record) = self.not_there("the session's end", &wait, seen)?;
                let missing = self.missing(&record.terminated.into_iter().collect());
                return Err(self.still_in(record.phase, missing, started, wait));
            }
            if asked.is_none_or(|(_, _, record)| record.phase != Phase::Running) {
                pauses.pause().await;
            }
        }
    }

    /// Says that this party has read the ended session and writes no more: names a certified block at or after the end. When all parties have, the
    /// board erases the session's messages.
    ///
    /// # Errors
    /// [`Error::StillInPhase`] if the session has not ended; [`Error::Refused`], [`Error::NotOnBoard`].
    pub async fn acknowledge(&self) -> Result<(), Error> {
        let (at, _) = self.ended_at().await?;
        self.acknowledge_at(&at).await
    }

    async fn acknowledge_at(&self, at: &BoardAt) -> Result<(), Error> {
        let leaves = !self.options.keep_keys;
        self.vote(Operation::Ack { session: self.id(), height: at.height, root: at.root }, leaves).await?;
        if leaves {
            self.forget_secrets()?;
        } else {
            self.keep_channels()?;
        }
        self.client.tell(self.id(), Event::Acknowledged);
        Ok(())
    }

    /// Terminates, waits until the session has ended, and acknowledges that.
    ///
    /// # Errors
    /// Those of [`Session::terminate`], [`Session::ended`] and [`Session::acknowledge`].
    pub async fn leave(self) -> Result<End, Error> {
        self.terminate().await?;
        let (at, end) = self.ended_at().await?;
        self.acknowledge_at(&at).await?;
        Ok(end)
    }

    /// Ends this party's part after an error, as [`Session::leave`] does after an output: tells the others why, who would wait in vain, unless the
    /// session has ended already; and if it has ended, acknowledges that, so that its messages can be erased, and wipes this party's
    /// secrets. `None` if the session goes on without this party, because its abort quorum is not reached.
    ///
    /// # Errors
    /// Those of [`Session::abort`] and [`Session::acknowledge`].
    pub async fn give_up(&self, because: &Error) -> Result<Option<End>, Error> {
        if !matches!(because, Error::SessionEnded { .. }) && self.record().await?.end.is_none() {
            let reason = match because {
                Error::Aborted { source } => source.to_string(),
                other => other.to_string(),
            };
            self.abort(&reason).await?;
        }
        match self.record().await? {
            SessionRecord { end: Some(end), phase: Phase::Ended, .. } => {
                self.acknowledge().await?;
                Ok(Some(end))
            }
            SessionRecord { end, phase: Phase::Erased, .. } if !self.options.keep_keys => {
                self.forget_secrets()?;
                Ok(end)
            }
            SessionRecord { end, .. } => Ok(end),
        }
    }

    /// The session's record now.
    ///
    /// # Errors
    /// [`Error::NoAnswer`].
    pub async fn record(&self) -> Result<SessionRecord, Error> {
        self.client.session(&self.id()).await
    }

    /// Brings a vote to the board.
    async fn vote(&self, operation: Operation, leaves: bool) -> Result<(), Error> {
        let envelope = self.vote_once(operation, leaves)?;
        self.client.submit(&envelope, self.options.wait.unwrap_or(VOTE)).await?;
        crash::point();
        Ok(())
    }
}

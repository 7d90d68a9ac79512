//! Coming to a session: creating it, taking a seat, the handshake.

use crate::{
    Channels, Client, Error, Identity,
    board::parties,
    handshake::{Ephemeral, ROUND, agree},
    mailbox::Content,
    network,
    progress::Event,
    protocol::Seat,
    reader::{Held, Wait},
    session::{Options, Session, long_poll},
    submit::index_of,
    survey::{Pauses, or_later},
};
use rand_core::{OsRng, RngCore};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use wire::{Bytes, Code, End, Hash, Invitation, MailboxKind, Operation, Phase, SessionId, SessionRecord, SessionSpec};

/// Time for a new session to get onto the board.
const CREATE: Duration = Duration::from_secs(30);

impl Client {
    /// Creates a session under a fresh nonce. Returns when it is proved to be on the board.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with `invalid_specification`, `not_permitted` or `quota_exceeded`; [`Error::NotOnBoard`].
    pub async fn create(&self, creator: &Identity, spec: SessionSpec) -> Result<SessionId, Error> {
        spec.check().map_err(|code| Error::Refused { operation: None, code, tried: Vec::new() })?;
        let chain = &self.network().chain;
        let mut nonce = Hash([0; 32]);
        OsRng.fill_bytes(&mut nonce.0);
        let session = spec.session_id(chain, &creator.public(), &nonce);
        let operation = Operation::CreateSession { spec: Box::new(spec), nonce };
        let envelope = creator.envelope(chain, operation, Bytes::default(), OsRng);
        self.submit(&envelope, CREATE).await?;
        Ok(session)
    }

    /// The invitation to a session of this network.
    pub fn invite(&self, session: SessionId) -> Invitation {
        network::invite(self.network(), session)
    }

    /// The session of an invitation, if that is for this network.
    ///
    /// # Errors
    /// [`Error::ForeignInvitation`].
    pub fn accept(&self, invitation: &Invitation) -> Result<SessionId, Error> {
        network::accept(self.network(), invitation)
    }
}

impl Session {
    /// Takes the identity's seat and makes the handshake with all parties: returns when the session is running and the channels are up. A
    /// second time in one process (and with clones of one client) it finds the channels' keys again.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::Absent`], [`Error::KeysLost`], [`Error::UnknownKeyAgreement`]; [`Error::StillInPhase`] with the
    /// parties that gave no key in time; [`Error::SessionEnded`]; errors in reading and writing.
    pub async fn join(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
    ) -> Result<Self, Error> {
        let (mut seated, record) = Self::sit_down(client, identity, session, options).await?;
        if seated.spec.keying_rounds != 1 {
            return Err(Error::UnknownKeyAgreement { session: *session, rounds: seated.spec.keying_rounds });
        }
        let own = seated.own_ephemeral(&record)?;
        let messages = seated.exchange(&own, record).await?;
        if messages.get(&seated.seat().index) != Some(&own.message()) {
            return Err(Error::KeysLost { session: *session });
        }
        let channels = agree(seated.seat(), &seated.keys, &own, &messages, seated.spec.padded_bytes);
        let without = channels.faults().into_iter().map(|(party, _)| party).collect();
        client.tell(*session, Event::Channels { without });
        seated.channels = Arc::new(channels);
        Ok(seated)
    }

    /// Takes the identity's seat without a handshake: enough to read, to broadcast and to end, not for private messages.
    ///
    /// # Errors
    /// [`Error::NotAParty`]; errors in reading.
    pub async fn attach(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
    ) -> Result<Self, Error> {
        Ok(Self::sit_down(client, identity, session, options).await?.0)
    }

    async fn sit_down(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
    ) -> Result<(Self, SessionRecord), Error> {
        let (_, record) = client.session_at(session).await?;
        let keys = parties(&record);
        let key = identity.public();
        let index = index_of(keys, &key).ok_or(Error::NotAParty { session: *session, key })?;
        let chain = client.network().chain.clone();
        let seat = Seat { chain, session: *session, list: record.list, parties: record.parties, index };
        client.tell(*session, Event::Seated { index, parties: record.parties });
        let seated = Self {
            client: client.clone(),
            identity: identity.clone(),
            spec: record.spec.clone(),
            keys: keys.to_vec(),
            absent: record.absent.clone(),
            channels: Arc::new(Channels::none(seat)),
            options,
            mailboxes: Mutex::default(),
        };
        Ok((seated, record))
    }

    /// This party's ephemeral key: during keying made if need be, later only what this process has.
    fn own_ephemeral(&self, record: &SessionRecord) -> Result<Ephemeral, Error> {
        self.check_keyed(record)?;
        let make = (record.phase == Phase::Keying).then_some(|| Ephemeral::generate(&mut OsRng));
        let known = self.client.ephemeral(self.id(), self.identity.public(), make);
        // Who comes when all is over has lost nothing.
        known.ok_or_else(|| match record.end {
            Some(end) => self.over(end, record),
            None => Error::KeysLost { session: self.id() },
        })
    }

    /// Writes this party's message of the handshake and reads everybody's, by index.
    async fn exchange(&mut self, own: &Ephemeral, mut record: SessionRecord) -> Result<BTreeMap<u16, Vec<u8>>, Error> {
        let started = Instant::now();
        let patience = self.patience(self.spec.keying_ms);
        let kind = MailboxKind::Keying;
        let mut unconfirmed = Vec::new();
        if record.phase == Phase::Keying {
            match self.hand_in(vec![self.envelope(kind, ROUND, own.message())]).await {
                Ok(handed_in) => unconfirmed = handed_in,
                Err(Error::SlotTaken { .. }) => return Err(Error::KeysLost { session: self.id() }),
                // Keying may have ended in between; the record then says with or without this party.
                Err(Error::Refused { code: Code::WrongPhase, .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let mailbox = self.held(&self.slot(kind, ROUND));
        let mut held = mailbox.lock().await;
        let (mut wait, mut polls, mut pauses) = (Wait::default(), 0, Pauses::default());
        loop {
            let want = self.seat().parties.saturating_sub(u16::try_from(self.absent.len()).unwrap_or(0));
            let poll = long_poll(polls).min(patience.saturating_sub(started.elapsed()));
            self.client.read_on(&self.slot(kind, ROUND), &mut held, u32::from(want), poll, &mut wait).await;
            polls += 1;
            let have = u16::try_from(held.messages.len()).unwrap_or(u16::MAX);
            self.client.tell(self.id(), Event::Read { kind, round: ROUND, have, want });
            if have >= want {
                return Ok(by_sender(&held));
            }
            let seen = or_later(self.client.session_at(&self.id()).await)?;
            if let Some((_, now)) = &seen {
                record.clone_from(now);
                self.check_keyed(&record)?;
                self.absent.clone_from(&record.absent);
            }
            if wait.is_over(started, patience, self.client.needed()) {
                let missing = self.missing(&held.position.senders);
                self.not_there("everybody's key", &wait, seen)?;
                return Err(self.still_in(record.phase, missing, started, wait));
            }
            self.tend(&mut unconfirmed, Duration::ZERO, &mut wait.tried).await?;
            pauses.pause().await;
        }
    }

    /// An error if the session ended before it ran, or runs without this party.
    fn check_keyed(&self, record: &SessionRecord) -> Result<(), Error> {
        let (session, index) = (self.id(), self.seat().index);
        match record.end {
            Some(end) if end.phase == Phase::Keying => Err(self.over(end, record)),
            _ if record.absent.contains(&index) => Err(Error::Absent { session, index }),
            _ => Ok(()),
        }
    }

    fn over(&self, end: End, record: &SessionRecord) -> Error {
        Error::SessionEnded { session: self.id(), reason: end.reason, votes: record.aborted.clone() }
    }
}

fn by_sender(held: &Held) -> BTreeMap<u16, Vec<u8>> {
    let message = |message: &crate::mailbox::Message| match &message.content {
        Content::Message(data) => Some((message.sender, data.clone())),
        Content::Private(_) => None,
    };
    held.messages.iter().filter_map(message).collect()
}

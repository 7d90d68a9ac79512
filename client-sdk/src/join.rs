//! Coming to a session: creating it, taking a seat, the handshake.

use crate::{
    BadAnswer, Channels, Client, Error, Identity, crash, group,
    handshake::{ROUND, agree},
    listed::Listed,
    mailbox::Content,
    network,
    progress::Event,
    protocol::Seat,
    reader::{Held, Wait},
    secrets::Secrets,
    session::{Options, Session, long_poll},
    state::State,
    submit::index_of,
    survey::{Pauses, or_later},
};
use futures::future::BoxFuture;
use rand_core::{OsRng, RngCore};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use wire::{
    Admission, Bytes, Code, End, Envelope, Hash, Invitation, MailboxKind, Operation, Phase, SessionId, SessionRecord,
    SessionSpec,
};

/// Time for a new session to get onto the board.
const CREATE: Duration = Duration::from_secs(30);
/// A session of a group may have a parent that is of a group, and so on, so many times.
const MAX_GENERATIONS: u32 = 16;

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
    /// Takes the identity's seat and makes the channels with all parties: returns when the session is running and the channels are up.
    ///
    /// An invited session takes the handshake alone. In an open one a stranger first registers: asks with a stamp, waits for the nodes' challenge,
    /// brings a proof of work, and waits for the final list (P4.5). A session of a group derives its keys from its parent's
    /// ([`crate::group`]), which this party must have.
    ///
    /// A second time in one process (with clones of one client), or in another one with the same [`Options::state`] directory, it goes on where it
    /// was: who has registered does not register again, work that was done is not done again, and the channels' keys are found again.
    ///
    /// # Errors
    /// [`Error::NotAdmitted`]; [`Error::NotAParty`], [`Error::Absent`], [`Error::KeysLost`], [`Error::UnknownKeyAgreement`];
    /// [`Error::StillInPhase`] with the parties that gave no key in time; [`Error::SessionEnded`]; errors in reading and writing, and of
    /// state files.
    pub async fn join(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
    ) -> Result<Self, Error> {
        let listed = client.register(identity, session, &options).await?;
        let record = listed.record.clone();
        let mut seated = Self::sit_down(client, identity, session, options, listed)?;
        let (index, parties) = (seated.seat().index, seated.seat().parties);
        client.tell(*session, Event::Seated { index, parties });
        if let (Phase::Erased, Some(end)) = (record.phase, record.end) {
            seated.forget_if_left()?;
            return Err(seated.over(end, &record));
        }
        seated.channels = Arc::new(seated.open_channels(record).await?);
        let without = seated.channels.faults().into_iter().map(|(party, _)| party).collect();
        client.tell(*session, Event::Channels { without });
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
        options.state.as_deref().map_or(Ok(()), |folder| client.remember(folder))?;
        let listed = client.listed(session).await?;
        let seated = Self::sit_down(client, identity, session, options, listed)?;
        let (index, parties) = (seated.seat().index, seated.seat().parties);
        client.tell(*session, Event::Seated { index, parties });
        Ok(seated)
    }

    /// Goes on in a session in which this party has begun something ([`Session::unfinished`]), as [`Session::join`] does; but it begins nothing: who
    /// gives another state directory or identity than then is told. [`Session::executions`] says what can be gone on with, by
    /// [`Session::execution`].
    ///
    /// # Errors
    /// [`Error::NothingBegun`]; those of [`Session::join`].
    pub async fn resume(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
    ) -> Result<Self, Error> {
        let state = options.state.as_deref();
        let state = state.map(|folder| State::new(folder, &client.network().chain, session, identity));
        if !state.as_ref().is_some_and(State::is_known) {
            return Err(Error::NothingBegun { session: *session, party: identity.public() });
        }
        Self::join(client, identity, session, options).await
    }

    /// Wipes what this party keeps for a session: the secrets of its channels, which sessions of its group need, too, work that was not handed
    /// in, and the journal. True if there was something.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::JournalInUse`].
    pub fn forget(client: &Client, identity: &Identity, session: &SessionId, options: &Options) -> Result<bool, Error> {
        let state =
            options.state.as_deref().map(|folder| State::new(folder, &client.network().chain, session, identity));
        let held = client.held_secrets().remove(&(*session, identity.public())).is_some();
        let stored = state.map_or(Ok(false), |state| state.forget())?;
        Ok(held || stored)
    }

    fn sit_down(
        client: &Client,
        identity: &Identity,
        session: &SessionId,
        options: Options,
        Listed { record, keys }: Listed,
    ) -> Result<Self, Error> {
        let key = identity.public();
        let index = index_of(&keys, &key).ok_or(Error::NotAParty { session: *session, key })?;
        let chain = client.network().chain.clone();
        let seat = Seat { chain, session: *session, list: record.list, parties: record.parties, index };
        Ok(Self {
            client: client.clone(),
            identity: identity.clone(),
            spec: record.spec,
            keys,
            absent: record.absent,
            channels: Arc::new(Channels::none(seat)),
            options,
            mailboxes: Mutex::default(),
            sightings: Arc::default(),
            journal: Mutex::default(),
        })
    }

    /// This party's files for the session.
    pub(crate) fn state(&self) -> Option<State> {
        let folder = self.options.state.as_deref()?;
        Some(State::new(folder, &self.client.network().chain, &self.id(), &self.identity))
    }

    /// Agrees on keys with all parties, finds them again, or derives them.
    async fn open_channels(&mut self, record: SessionRecord) -> Result<Channels, Error> {
        self.check_keyed(&record)?;
        if let Admission::Group { parent } = record.spec.admission {
            return self.derive_channels(parent, MAX_GENERATIONS).await;
        }
        if self.spec.keying_rounds != 1 {
            return Err(Error::UnknownKeyAgreement { session: self.id(), rounds: self.spec.keying_rounds });
        }
        let secrets = match record.phase {
            Phase::Keying => Some(self.offer()?),
            _ => self.secrets()?,
        };
        let (seat, padded_bytes) = (self.seat().clone(), self.spec.padded_bytes);
        let (own, envelope) = match secrets {
            Some(Secrets::Agreed(peers)) => return Ok(Channels::new(seat, padded_bytes, peers)),
            // What the others gave is gone.
            Some(Secrets::Offered(..)) if record.phase == Phase::Erased => {
                return Err(Error::KeysLost { session: self.id() });
            }
            Some(Secrets::Offered(own, envelope)) => (own, envelope),
            // Who comes when all is over has lost nothing.
            None => {
                self.forget_if_left()?;
                return Err(record.end.map_or(Error::KeysLost { session: self.id() }, |end| self.over(end, &record)));
            }
        };
        let messages = self.exchange(*envelope, record).await?;
        if messages.get(&seat.index) != Some(&own.message()) {
            return Err(Error::KeysLost { session: self.id() });
        }
        let channels = agree(&seat, &self.keys, &own, &messages, padded_bytes);
        self.agreed(channels.peers())?;
        Ok(channels)
    }

    /// The channels of a session of a group. The parent's are found as [`Session::join`] finds them, so that it may be of a group itself.
    fn derive_channels(&self, parent: SessionId, generations: u32) -> BoxFuture<'_, Result<Channels, Error>> {
        Box::pin(async move {
            let listed = self.client.listed(&parent).await?;
            let record = listed.record.clone();
            let mut elder = Self::sit_down(&self.client, &self.identity, &parent, self.options.clone(), listed)?;
            if elder.seat().list != self.seat().list {
                return Err(BadAnswer::ForeignRecord { what: "the list of its group" }.into());
            }
            let channels = match (record.spec.admission.clone(), generations.checked_sub(1)) {
                (Admission::Group { parent }, Some(left)) => elder.derive_channels(parent, left).await?,
                (Admission::Group { .. }, None) => return Err(Error::KeysLost { session: parent }),
                _ if elder.secrets()?.is_none() => return Err(Error::KeysLost { session: parent }),
                _ => Box::pin(elder.open_channels(record)).await?,
            };
            Ok(group::derive(&channels, self.seat(), self.spec.padded_bytes))
        })
    }

    /// Writes this party's message of the handshake and reads everybody's, by index.
    async fn exchange(&mut self, own: Envelope, mut record: SessionRecord) -> Result<BTreeMap<u16, Vec<u8>>, Error> {
        let started = Instant::now();
        let patience = self.patience(self.spec.keying_ms);
        let kind = MailboxKind::Keying;
        let mut unconfirmed = Vec::new();
        if record.phase == Phase::Keying {
            match self.hand_in(vec![own]).await {
                Ok(handed_in) => {
                    crash::point();
                    unconfirmed = handed_in;
                }
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

//! Leaving backups at the nodes and getting them back (§V-E d).

use crate::{
    BadAnswer, Board, Client, Error, Identity, Session,
    backup::{Opener, Opening, Owner, seal},
    submit::index_of,
    survey::{Pauses, Question, into_list, is_outage, is_transient, or_later},
    transport::Failure,
};
use futures::{StreamExt, stream::FuturesUnordered};
use rand_core::OsRng;
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout_at};
use wire::{
    Backup, BackupFact, BackupRecord, Bytes, Certified, Code, ExchangeKey, ExchangeKeysFact, Operation, PublicKey,
    RestoreAnswer, RestoreQuestion, RestoreRequest, SessionId, limits::MAX_BACKUP_MS, message_digest,
};
use zeroize::Zeroizing;

/// How long it is tried to bring a backup to the board.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a backup is left at the nodes.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// It is kept for so long, at least a millisecond and at most 366 days, which is what [`BackupOptions::default`] says.
    pub keep: Duration,
    /// What it opens with; without one, with the identity. Whoever has f + 1 of the nodes can try passphrases as fast as the machines at hand allow; f of them, and
    /// everybody else, no faster than honest nodes answer.
    pub passphrase: Option<SecretString>,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self { keep: Duration::from_millis(MAX_BACKUP_MS), passphrase: None }
    }
}

/// A backup as the board has it.
struct Kept {
    party: u16,
    record: BackupRecord,
    backup: Backup,
}

/// What came of asking the nodes for their parts.
enum Opened {
    Secret(Zeroizing<Vec<u8>>),
    /// The board has another backup of the party by now, or none.
    Replaced,
}

impl Client {
    /// What the board knows of a party's backup, by the party's index; `None` if it has never made one.
    ///
    /// # Errors
    /// As [`Client::session`].
    pub async fn backup(&self, session: &SessionId, party: u16) -> Result<Option<BackupRecord>, Error> {
        self.reach_newest().await?;
        Ok(self.backup_fact(session, party, false).await?.record)
    }

    /// Leaves a backup of `secret` at the nodes, at most 64 KiB, in place of the one before. Returns its number when it is on the board.
    /// `identity` must be a party of the session, which may have ended and be erased since.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::TooLong`], [`Error::Refused`], [`Error::NotOnBoard`]; errors in reading the board.
    pub async fn back_up(
        &self,
        identity: &Identity,
        session: &SessionId,
        secret: &[u8],
        options: &BackupOptions,
    ) -> Result<u32, Error> {
        self.reach_newest().await?;
        let party = self.party(session, &identity.public()).await?;
        let nodes = self.exchange_keys().await?;
        let number = self.next_number(session, party).await?;
        let owner = Owner { chain: self.network().chain.clone(), session: *session, key: identity.public() };
        let backup = seal_aside(secret, owner, nodes, identity, options.passphrase.clone()).await?;
        let payload = backup.encode();
        let keep_ms = u64::try_from(options.keep.as_millis()).unwrap_or(u64::MAX).clamp(1, MAX_BACKUP_MS);
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Backup { session: *session, number, digest, length, keep_ms };
        self.submit(&identity.envelope(&self.network().chain, operation, payload, OsRng), PATIENCE).await?;
        Ok(number)
    }

    /// Lets the nodes erase the party's backup. Returns when the board has taken that: honest nodes do it then, each when it has got so far.
    ///
    /// # Errors
    /// As [`Client::back_up`].
    pub async fn erase_backup(&self, identity: &Identity, session: &SessionId) -> Result<(), Error> {
        self.reach_newest().await?;
        let party = self.party(session, &identity.public()).await?;
        let number = self.next_number(session, party).await?;
        let operation = Operation::EraseBackup { session: *session, number };
        let envelope = identity.envelope(&self.network().chain, operation, Bytes::default(), OsRng);
        self.submit(&envelope, PATIENCE).await
    }

    /// Gets back what the party has backed up under its identity: the newest that any of 2f + 1 nodes shows, or of at least f + 1 if there are no more.
    /// Any f nodes may be down or lie.
    ///
    /// # Errors
    /// [`Error::NotAParty`], [`Error::NoBackup`], [`Error::OtherLock`]; [`Error::BackupShares`] with every node's word if fewer than f + 1
    /// do their part; errors in reading the board.
    pub async fn restore(&self, identity: &Identity, session: &SessionId) -> Result<Zeroizing<Vec<u8>>, Error> {
        let until = Instant::now() + self.patience;
        self.reach_newest().await?;
        let party = self.party(session, &identity.public()).await?;
        loop {
            let kept = self.kept(session, party).await?;
            let opening = Opening::new(kept.backup.clone(), &Opener::Identity(identity), &mut OsRng)?;
            if let Opened::Secret(secret) = self.open(&kept, opening, Some(identity), until).await? {
                return Ok(secret);
            }
        }
    }

    /// Gets back what the party at this index has backed up under a passphrase. A device that has nothing but that and a network file or an
    /// invitation can do it. Every try counts at the nodes, which answer ten in a row and then one in six minutes.
    ///
    /// # Errors
    /// As [`Client::restore`]; [`Error::BackupUnopened`] if the passphrase is another.
    pub async fn restore_with_passphrase(
        &self,
        session: &SessionId,
        party: u16,
        passphrase: &SecretString,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let until = Instant::now() + self.patience;
        self.reach_newest().await?;
        loop {
            let kept = self.kept(session, party).await?;
            let (backup, passphrase) = (kept.backup.clone(), passphrase.clone());
            let opening = aside(move || {
                Opening::new(backup, &Opener::Passphrase(passphrase.expose_secret().as_bytes()), &mut OsRng)
            });
            if let Opened::Secret(secret) = self.open(&kept, opening.await?, None, until).await? {
                return Ok(secret);
            }
        }
    }

    async fn party(&self, session: &SessionId, key: &PublicKey) -> Result<u16, Error> {
        let keys = self.listed(session).await?.keys;
        index_of(&keys, key).ok_or(Error::NotAParty { session: *session, key: *key })
    }

    async fn next_number(&self, session: &SessionId, party: u16) -> Result<u32, Error> {
        let before = self.backup_fact(session, party, false).await?.record;
        Ok(before.map_or(1, |before| before.number.saturating_add(1)))
    }

    pub(crate) async fn backup_fact(
        &self,
        session: &SessionId,
        party: u16,
        with_payload: bool,
    ) -> Result<BackupFact, Error> {
        let what = format!("the backup of party {party} in session {session}");
        let path = format!("sessions/{session}/backups/{party}?payload={with_payload}");
        let question = Question::about(session, what, path);
        self.certified(&question, |board: &Board, answer: Certified<BackupFact>| {
            board.backup(session, party, &answer)?;
            if with_payload && answer.fact.record.is_some_and(|record| record.kept.is_some()) {
                let payload = answer.fact.payload.as_ref().ok_or(BadAnswer::WrongBackup)?;
                let kept = answer.fact.record.and_then(|record| record.kept);
                if kept.is_none_or(|kept| kept.digest != message_digest(&payload.0)) {
                    return Err(BadAnswer::WrongBackup);
                }
            }
            Ok(answer.fact)
        })
        .await
    }

    async fn kept(&self, session: &SessionId, party: u16) -> Result<Kept, Error> {
        let keys = self.listed(session).await?.keys;
        let no_backup = |number| Error::NoBackup { session: *session, party, number };
        let owner = keys.get(usize::from(party)).copied().ok_or_else(|| no_backup(None))?;
        let fact = self.backup_fact(session, party, true).await?;
        let record = fact.record.ok_or_else(|| no_backup(None))?;
        let payload = fact.payload.filter(|_| record.kept.is_some()).ok_or_else(|| no_backup(Some(record.number)))?;
        let (chain, nodes) = (&self.network().chain, self.network().nodes.len());
        let backup = Backup::decode(&payload.0, chain, session, &owner, nodes).map_err(|_| BadAnswer::WrongBackup)?;
        Ok(Kept { party, record, backup })
    }

    /// The keys to which nodes' shares are sealed, in the order of genesis.
    async fn exchange_keys(&self) -> Result<Vec<ExchangeKey>, Error> {
        let question = Question::new("the nodes' exchange keys", "exchange-keys");
        let replaced = self.certified(&question, |board: &Board, answer: Certified<ExchangeKeysFact>| {
            board.proves(&answer)?;
            Ok(answer.fact.keys)
        });
        match replaced.await? {
            Some(keys) => Ok(keys),
            None => Ok(self.parameters().await?.nodes.iter().map(|node| node.keys.exchange).collect()),
        }
    }

    /// Asks all nodes at once, and again those that may only be behind or busy, until there are enough right answers. Where f + 1 nodes
    /// do not know the backup, the board is read again: it may have been replaced meanwhile.
    async fn open(
        &self,
        kept: &Kept,
        mut opening: Opening,
        identity: Option<&Identity>,
        until: Instant,
    ) -> Result<Opened, Error> {
        let what = format!("its part in opening the backup of party {}", kept.party);
        let question = Question::about(&kept.backup.session, what, "evaluations");
        let (mut tried, mut pauses) = (BTreeMap::new(), Pauses::default());
        let mut open = self.order();
        loop {
            let ask = |node: usize| {
                let asked = self.evaluate(node, kept, opening.point(), identity);
                async move {
                    (node, timeout_at(until, asked).await.unwrap_or_else(|_| Err(Failure::new("no answer in time"))))
                }
            };
            let mut asked: FuturesUnordered<_> = open.drain(..).map(ask).collect();
            while let Some((node, answer)) = asked.next().await {
                let place = u16::try_from(node).unwrap_or(u16::MAX);
                let taken = answer.and_then(|answer| Ok(opening.take(place, &answer.partial)?));
                match taken {
                    Ok(()) => {
                        self.praise(node);
                        tried.insert(node, self.tried(node, &Failure::new("it did its part")));
                    }
                    Err(failure) => {
                        self.judge(node, &question, &failure);
                        tried.insert(node, self.tried(node, &failure));
                        let may_pass = failure.bad.is_none() && may_pass(&failure);
                        open.extend(may_pass.then_some(node));
                    }
                }
                if opening.taken() >= opening.needed() {
                    return opening.open().map(Opened::Secret);
                }
            }
            if open.is_empty() || Instant::now() >= until {
                let (found, needed) = (opening.taken(), opening.needed());
                return Err(Error::BackupShares { found, needed, tried: into_list(tried) });
            }
            let is_unknown = self.common_refusal(&tried) == Some(Code::NoBackup);
            if is_unknown && self.is_replaced(kept, until).await? {
                return Ok(Opened::Replaced);
            }
            pauses.pause().await;
        }
    }

    /// True if the board's newest record is of another operation by now.
    async fn is_replaced(&self, kept: &Kept, until: Instant) -> Result<bool, Error> {
        let read = async {
            self.reach_newest().await?;
            self.backup_fact(&kept.backup.session, kept.party, false).await
        };
        let read = timeout_at(until, read).await.ok().map(or_later).transpose()?.flatten();
        Ok(read.and_then(|fact| fact.record).is_some_and(|record| record.operation != kept.record.operation))
    }

    async fn evaluate(
        &self,
        node: usize,
        kept: &Kept,
        point: wire::G1Bytes,
        identity: Option<&Identity>,
    ) -> Result<RestoreAnswer, Failure> {
        let (session, backup) = (kept.backup.session, kept.record.operation);
        let address = self.address(node)?;
        let request = RestoreRequest { session, backup, node: address.identity, point };
        let signature = identity.map(|identity| identity.sign(&self.network().chain, request, OsRng).signature);
        let question = RestoreQuestion { backup, point, signature };
        let body = borsh::to_vec(&question).map_err(|_| Failure::new("the question cannot be encoded"))?;
        let url = self.url(node, &format!("sessions/{session}/backups/{}/evaluations", kept.party))?;
        self.transport().post(&url, body, Duration::ZERO).await
    }
}

/// Leaving and getting back this party's own backup.
impl Session {
    /// Leaves a backup of `secret`, at most 64 KiB, at the nodes, in place of the one before. It opens with the identity, and is kept for 366 days,
    /// beyond the session's end and erasure. Returns its number.
    ///
    /// # Errors
    /// As [`Client::back_up`].
    pub async fn backup(&self, secret: &[u8]) -> Result<u32, Error> {
        self.client.back_up(&self.identity, &self.id(), secret, &BackupOptions::default()).await
    }

    /// The same, to be opened with a passphrase instead of the identity ([`Client::restore_with_passphrase`]).
    ///
    /// # Errors
    /// As [`Client::back_up`].
    pub async fn backup_with_passphrase(&self, secret: &[u8], passphrase: SecretString) -> Result<u32, Error> {
        let options = BackupOptions { passphrase: Some(passphrase), ..BackupOptions::default() };
        self.client.back_up(&self.identity, &self.id(), secret, &options).await
    }

    /// Gets back what this party has backed up under its identity. Without a seat: [`Client::restore`].
    ///
    /// # Errors
    /// As [`Client::restore`].
    pub async fn restore(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.client.restore(&self.identity, &self.id()).await
    }

    /// Lets the nodes erase this party's backup.
    ///
    /// # Errors
    /// As [`Client::back_up`].
    pub async fn erase_backup(&self) -> Result<(), Error> {
        self.client.erase_backup(&self.identity, &self.id()).await
    }
}

/// True if the same node may answer later.
fn may_pass(failure: &Failure) -> bool {
    is_outage(failure) || failure.code.is_none_or(|code| is_transient(code) || code == Code::NoBackup)
}

async fn seal_aside(
    secret: &[u8],
    owner: Owner,
    nodes: Vec<ExchangeKey>,
    identity: &Identity,
    passphrase: Option<SecretString>,
) -> Result<Backup, Error> {
    let (secret, identity) = (Zeroizing::new(secret.to_vec()), identity.clone());
    aside(move || {
        let opener = match &passphrase {
            Some(passphrase) => Opener::Passphrase(passphrase.expose_secret().as_bytes()),
            None => Opener::Identity(&identity),
        };
        seal(&secret, &owner, &nodes, &opener, &mut OsRng)
    })
    .await
}

/// Passphrases take their time: others on this thread are not to wait for them.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::InvalidExecution { reason: "this process is ending" }),
        },
    }
}

//! The secrets of a party's private channels in one session: in this process, and in its journal if there is a state directory.
//!
//! The ephemeral secret is on the disk, and with it the message in which its public part leaves, before that leaves: who loses power in keying, or goes on in
//! another process, still has it and sends the same bytes again. The pairwise keys follow as soon as those are agreed. They stay until the party
//! acknowledges the session's end, or, where sessions of its group are to follow, until it forgets them.

use crate::{
    Client, Error, Session,
    channel::{Fault, Pair, Peer},
    crash,
    handshake::{Ephemeral, ROUND},
    journal::{Journal, Record},
};
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, MutexGuard, PoisonError},
};
use wire::{Envelope, MailboxKind, PublicKey, SessionId};
use zeroize::Zeroizing;

/// How far the secrets of a session have come.
#[derive(Clone)]
pub(crate) enum Secrets {
    /// The public part may be on the board, by this message.
    Offered(Ephemeral, Box<Envelope>),
    /// Everybody's key has been read: what is shared with each.
    Agreed(Arc<[Peer]>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered(..) => "Offered",
            Self::Agreed(_) => "Agreed",
        })
    }
}

/// Those of one process.
pub(crate) type Held = BTreeMap<(SessionId, PublicKey), Secrets>;

const OPEN: u8 = 0;
/// Places in this list and 1 are how faults are written.
const FAULTS: [Fault; 4] = [Fault::Own, Fault::Absent, Fault::Malformed, Fault::NonContributory];

impl Secrets {
    /// As the journal keeps it.
    pub(crate) fn record(&self) -> Record {
        match self {
            Self::Offered(own, envelope) => {
                Record::Offered { secret: *own.secret(), envelope: envelope.as_ref().clone() }
            }
            Self::Agreed(peers) => Record::Agreed { keys: std::mem::take(&mut encode(peers)) },
        }
    }

    /// The keys of [`Record::Agreed`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut peers) = (bytes, Vec::new());
        while let Some((tag, after)) = rest.split_first() {
            rest = after;
            peers.push(match tag.checked_sub(1) {
                Some(fault) => Peer::Closed(*FAULTS.get(usize::from(fault))?),
                None => {
                    let (outgoing, after) = rest.split_first_chunk::<32>()?;
                    let (incoming, after) = after.split_first_chunk::<32>()?;
                    rest = after;
                    let (outgoing, incoming) = (Zeroizing::new(*outgoing), Zeroizing::new(*incoming));
                    Peer::Open(Pair { outgoing, incoming })
                }
            });
        }
        Some(Self::Agreed(peers.into()))
    }
}

/// For each party a byte and, if its channel is open, the outgoing and the incoming key.
fn encode(peers: &[Peer]) -> Zeroizing<Vec<u8>> {
    // Never grown, so that no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(65 * peers.len()));
    for peer in peers {
        match peer {
            Peer::Open(pair) => {
                bytes.push(OPEN);
                bytes.extend_from_slice(pair.outgoing.as_slice());
                bytes.extend_from_slice(pair.incoming.as_slice());
            }
            Peer::Closed(fault) => {
                bytes.extend((1u8..).zip(FAULTS).find(|(_, known)| known == fault).map(|(at, _)| at))
            }
        }
    }
    bytes
}

impl Session {
    /// This party's secrets: those of its journal, which another process may have open, before those of this process.
    pub(crate) fn secrets(&self) -> Result<Option<Secrets>, Error> {
        let kept = match (self.opened_journal(), self.state()) {
            (Some(journal), _) => self.lock(&journal).secrets().cloned(),
            (None, Some(state)) => {
                Journal::peek_of(&state, &self.identity)?.and_then(|journal| journal.secrets().cloned())
            }
            (None, None) => None,
        };
        let mut held = self.held_secrets();
        if let Some(secrets) = &kept {
            held.insert(self.secrets_at(), secrets.clone());
        }
        Ok(held.get(&self.secrets_at()).cloned())
    }

    /// The same, and if there are none a fresh ephemeral secret with its message. They are on the disk when this returns.
    pub(crate) fn offer(&self) -> Result<Secrets, Error> {
        let journal = self.journal()?;
        let mut journal = self.lock(&journal);
        if let Some(known) = journal.secrets() {
            return Ok(known.clone());
        }
        let fresh = || {
            let own = Ephemeral::generate(&mut OsRng);
            let envelope = self.envelope(MailboxKind::Keying, ROUND, own.message());
            Secrets::Offered(own, Box::new(envelope))
        };
        // Of two that join at once in this process both take the first one's.
        let secrets = self.held_secrets().entry(self.secrets_at()).or_insert_with(fresh).clone();
        journal.put_secrets(&secrets)?;
        Ok(secrets)
    }

    /// Adds the pairwise keys.
    pub(crate) fn agreed(&self, peers: &Arc<[Peer]>) -> Result<(), Error> {
        let secrets = Secrets::Agreed(Arc::clone(peers));
        crash::point();
        let journal = self.journal()?;
        self.lock(&journal).put_secrets(&secrets)?;
        self.held_secrets().insert(self.secrets_at(), secrets);
        Ok(())
    }

    /// Wipes all secrets of this party in the session, which needs them no more: of its channels, and the journal.
    pub(crate) fn forget_secrets(&self) -> Result<(), Error> {
        self.held_secrets().remove(&self.secrets_at());
        match (self.opened_journal(), self.state()) {
            (Some(journal), _) => self.lock(&journal).wipe().map(|_| ()),
            (None, Some(state)) => crate::journal::forget(&state).map(|_| ()),
            (None, None) => Ok(()),
        }
    }

    /// Wipes all that the journal has but the secrets of the channels.
    pub(crate) fn keep_channels(&self) -> Result<(), Error> {
        let Some(state) = self.state() else { return Ok(()) };
        let journal = self.journal()?;
        self.lock(&journal).keep_channels(&state, &self.identity)
    }

    /// For who comes when all is over: wipes what a party that has left, and died over that, has left behind.
    pub(crate) fn forget_if_left(&self) -> Result<(), Error> {
        let Some(state) = self.state().filter(|state| state.journal().exists()) else { return Ok(()) };
        let has_left = Journal::peek_of(&state, &self.identity)?.is_none_or(|journal| journal.leaves());
        if has_left { self.forget_secrets() } else { Ok(()) }
    }

    fn secrets_at(&self) -> (SessionId, PublicKey) {
        (self.id(), self.identity.public())
    }

    fn held_secrets(&self) -> MutexGuard<'_, Held> {
        self.client.held_secrets()
    }
}

impl Client {
    /// The secrets of all sessions in this process.
    pub(crate) fn held_secrets(&self) -> MutexGuard<'_, Held> {
        self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::session;

    #[test]
    fn secrets_come_back_as_they_were() {
        let channels = session(4, None, &[(2, None), (3, Some(vec![1]))]);
        let encoded = encode(channels[1].peers());
        let Some(Secrets::Agreed(peers)) = Secrets::decode(&encoded) else { panic!() };
        let again = crate::Channels::new(channels[1].seat().clone(), None, peers);
        assert_eq!(again.faults(), channels[1].faults());
        let set = channels[0].seal(3, &BTreeMap::from([(1, b"hello".to_vec())])).unwrap();
        assert_eq!(again.open(0, 3, set.items[1].as_ref().unwrap()).unwrap(), b"hello");
        for bytes in [&encoded[..40], &[9], &[OPEN]] {
            assert!(Secrets::decode(bytes).is_none());
        }
    }
}

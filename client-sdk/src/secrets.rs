//! The secrets of a party's private channels in one session: in this process, and in a file if there is a state directory.
//!
//! The ephemeral secret is on the disk before its public part leaves, so that who loses power in keying, or goes on in another process,
//! still has it. It is replaced by the pairwise keys as soon as those are agreed. They stay until the party acknowledges the session's end, or, where
//! sessions of its group are to follow, until it forgets them.

use crate::{
    Client, Error,
    channel::{Fault, Pair, Peer},
    crash,
    handshake::Ephemeral,
    state::{Kind, State},
};
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, MutexGuard, PoisonError},
};
use wire::{PublicKey, SessionId};
use zeroize::Zeroizing;

/// How far the secrets of a session have come.
#[derive(Clone)]
pub(crate) enum Secrets {
    /// The public part may be on the board.
    Offered(Ephemeral),
    /// Everybody's key has been read: what is shared with each.
    Agreed(Arc<[Peer]>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered(_) => "Offered",
            Self::Agreed(_) => "Agreed",
        })
    }
}

/// Those of this process.
pub(crate) type Held = BTreeMap<(SessionId, PublicKey), Secrets>;

const OFFERED: u8 = 0;
const AGREED: u8 = 1;
const OPEN: u8 = 0;
/// Places in this list and 1 are how faults are written.
const FAULTS: [Fault; 4] = [Fault::Own, Fault::Absent, Fault::Malformed, Fault::NonContributory];

impl Secrets {
    /// A byte for the kind; the ephemeral secret, or for each party a byte and, if its channel is open, the outgoing and the incoming key.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Offered(own) => Zeroizing::new([&[OFFERED][..], own.secret().as_slice()].concat()),
            Self::Agreed(peers) => {
                // Never grown, so that no copy is left behind.
                let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 65 * peers.len()));
                bytes.push(AGREED);
                for peer in peers.iter() {
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
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        if *kind == OFFERED {
            let secret: [u8; 32] = rest.try_into().ok()?;
            return Some(Self::Offered(Ephemeral::from_secret(Zeroizing::new(secret))));
        }
        let mut peers = Vec::new();
        while let Some((tag, after)) = rest.split_first().filter(|_| *kind == AGREED) {
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
        (*kind == AGREED).then(|| Self::Agreed(peers.into()))
    }
}

impl Client {
    /// The secrets that `party` has for `session`: those on the disk, which may be another process's, before those of this one.
    pub(crate) fn secrets(&self, at: (SessionId, PublicKey), state: Option<&State>) -> Result<Option<Secrets>, Error> {
        let stored = state.map(|state| state.read(Kind::Keys)).transpose()?.flatten();
        let Some(bytes) = stored else { return Ok(self.held_secrets().get(&at).cloned()) };
        let secrets = Secrets::decode(&bytes);
        if let Some(secrets) = &secrets {
            self.held_secrets().insert(at, secrets.clone());
        }
        Ok(secrets)
    }

    /// The same, and if there are none a fresh ephemeral secret, which is on the disk when this returns.
    pub(crate) fn offer(&self, at: (SessionId, PublicKey), state: Option<&State>) -> Result<Secrets, Error> {
        let known = match self.secrets(at, state)? {
            Some(known) => known,
            // Of two that join at once in this process both take the first one's.
            None => {
                let fresh = || Secrets::Offered(Ephemeral::generate(&mut OsRng));
                self.held_secrets().entry(at).or_insert_with(fresh).clone()
            }
        };
        let Some(state) = state else { return Ok(known) };
        crash::point();
        if state.create(Kind::Keys, &known.encode())? {
            crash::point();
            return Ok(known);
        }
        // It was there already, or another process was faster.
        Ok(self.secrets(at, Some(state))?.unwrap_or(known))
    }

    /// Puts the pairwise keys in place of the ephemeral secret.
    pub(crate) fn agreed(
        &self,
        at: (SessionId, PublicKey),
        peers: &Arc<[Peer]>,
        state: Option<&State>,
    ) -> Result<(), Error> {
        let secrets = Secrets::Agreed(Arc::clone(peers));
        if let Some(state) = state {
            crash::point();
            state.replace(Kind::Keys, &secrets.encode())?;
            crash::point();
        }
        self.held_secrets().insert(at, secrets);
        Ok(())
    }

    /// Wipes the secrets of a session that needs them no more.
    pub(crate) fn forget_secrets(&self, at: (SessionId, PublicKey), state: Option<&State>) -> Result<bool, Error> {
        let held = self.held_secrets().remove(&at).is_some();
        let stored = state.map_or(Ok(false), |state| state.remove(Kind::Keys))?;
        Ok(held || stored)
    }

    fn held_secrets(&self) -> MutexGuard<'_, Held> {
        self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::session;

    #[test]
    fn secrets_come_back_as_they_were() {
        let own = Ephemeral::generate(&mut OsRng);
        let Some(Secrets::Offered(again)) = Secrets::decode(&Secrets::Offered(own.clone()).encode()) else { panic!() };
        assert_eq!(again.message(), own.message());
        let channels = session(4, None, &[(2, None), (3, Some(vec![1]))]);
        let encoded = Secrets::Agreed(Arc::clone(channels[1].peers())).encode();
        let Some(Secrets::Agreed(peers)) = Secrets::decode(&encoded) else { panic!() };
        let again = crate::Channels::new(channels[1].seat().clone(), None, peers);
        assert_eq!(again.faults(), channels[1].faults());
        let set = channels[0].seal(3, &BTreeMap::from([(1, b"hello".to_vec())])).unwrap();
        assert_eq!(again.open(0, 3, set.items[1].as_ref().unwrap()).unwrap(), b"hello");
        for bytes in [&[][..], &[2], &[OFFERED, 1], &encoded[..40], &[AGREED, 9]] {
            assert!(Secrets::decode(bytes).is_none());
        }
    }
}

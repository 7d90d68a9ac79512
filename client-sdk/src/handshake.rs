//! The party-to-party handshake (§IV-B, F4.7, P4.10): one signed ephemeral X25519 key per party, broadcast in keying round 0,
//! gives every ordered pair of parties a key of its own.

use crate::{
    channel::{Channels, Fault, Pair, Peer},
    protocol::Seat,
};
use hkdf::Hkdf;
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt};
use wire::{PublicKey, hash::TaggedHash};
use x25519_dalek::{PublicKey as Point, StaticSecret};
use zeroize::Zeroizing;

/// First byte of the handshake's message: X25519, HKDF-SHA256, XChaCha20-Poly1305 as in [`crate::channel`].
const VERSION: u8 = 1;

/// The keying round of the handshake.
pub const ROUND: u32 = 0;

/// One party's ephemeral key for one session. Wiped from memory on drop.
#[derive(Clone)]
pub struct Ephemeral(StaticSecret);

impl Ephemeral {
    /// A new key; never to be used in two sessions.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// The key of a secret that was kept.
    #[cfg(feature = "net")]
    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(StaticSecret::from(*secret))
    }

    /// The secret, for who keeps it.
    #[cfg(feature = "net")]
    pub(crate) fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// What the party writes to keying round 0: the version and 32 bytes.
    pub fn message(&self) -> Vec<u8> {
        let mut message = vec![VERSION];
        message.extend_from_slice(Point::from(&self.0).as_bytes());
        message
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ephemeral").field(&hex::encode(Point::from(&self.0).as_bytes())).finish()
    }
}

/// Ends the handshake. `keys` are the long-term keys of the session's list in index order, `messages` what the parties wrote, by
/// index. A party that wrote nothing is absent; one whose key is malformed, or gives a shared secret that does not depend on
/// ours (RFC 7748 section 6.1), loses its channels and is named by [`Channels::faults`]; all others are unharmed.
pub fn agree(
    seat: &Seat,
    keys: &[PublicKey],
    own: &Ephemeral,
    messages: &BTreeMap<u16, Vec<u8>>,
    padded_bytes: Option<u32>,
) -> Channels {
    let own_point = Point::from(&own.0);
    let peers = (0u16..).zip(keys).map(|(index, key)| {
        if index == seat.index {
            return Peer::Closed(Fault::Own);
        }
        let Some(message) = messages.get(&index) else { return Peer::Closed(Fault::Absent) };
        let Some(point) = parse(message) else { return Peer::Closed(Fault::Malformed) };
        let shared = own.0.diffie_hellman(&point);
        if !shared.was_contributory() {
            return Peer::Closed(Fault::NonContributory);
        }
        let us = End { index: seat.index, key: keys.get(usize::from(seat.index)).copied(), point: own_point };
        let them = End { index, key: Some(*key), point };
        let kdf = Hkdf::<Sha256>::new(None, shared.as_bytes());
        Peer::Open(Pair { outgoing: direction(&kdf, seat, &us, &them), incoming: direction(&kdf, seat, &them, &us) })
    });
    Channels::new(seat.clone(), padded_bytes, peers.collect())
}

struct End {
    index: u16,
    key: Option<PublicKey>,
    point: Point,
}

fn parse(message: &[u8]) -> Option<Point> {
    let (version, key) = message.split_first()?;
    let key: [u8; 32] = key.try_into().ok()?;
    (*version == VERSION).then(|| Point::from(key))
}

/// The key from one end to another: everything that the two must agree on goes into it.
fn direction(kdf: &Hkdf<Sha256>, seat: &Seat, from: &End, to: &End) -> Zeroizing<[u8; 32]> {
    let context = TaggedHash::new("handshake")
        .value(&seat.chain)
        .bytes(seat.session.0)
        .bytes(seat.list.0)
        .value(&(from.index, to.index))
        .value(&(from.key, to.key))
        .bytes(from.point.as_bytes())
        .bytes(to.point.as_bytes())
        .finish();
    let mut key = Zeroizing::new([0; 32]);
    kdf.expand(&context.0, key.as_mut()).expect("HKDF-SHA256 expands to up to 8160 bytes");
    key
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Error;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use wire::{Hash, SessionId, list_digest};

    /// All parties' channels of one session, with some parties' messages replaced (`None`: nothing written).
    pub(crate) fn session(n: u16, padded: Option<u32>, replaced: &[(u16, Option<Vec<u8>>)]) -> Vec<Channels> {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let keys: Vec<PublicKey> = (0..n).map(|i| PublicKey([u8::try_from(i).unwrap(); 32])).collect();
        let secrets: Vec<Ephemeral> = keys.iter().map(|_| Ephemeral::generate(&mut rng)).collect();
        let mut messages: BTreeMap<u16, Vec<u8>> = (0..).zip(secrets.iter().map(Ephemeral::message)).collect();
        for (index, message) in replaced {
            match message {
                Some(message) => messages.insert(*index, message.clone()),
                None => messages.remove(index),
            };
        }
        let seat = |index| Seat {
            chain: "here".parse().unwrap(),
            session: SessionId([7; 32]),
            list: list_digest(&keys),
            parties: n,
            index,
        };
        (0..n).zip(&secrets).map(|(i, own)| agree(&seat(i), &keys, own, &messages, padded)).collect()
    }

    fn one(to: u16, data: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        BTreeMap::from([(to, data.to_vec())])
    }

    #[test]
    fn every_pair_gets_two_keys() {
        let channels = session(4, None, &[]);
        for i in 0..4u16 {
            for j in (0..4u16).filter(|j| *j != i) {
                let set = channels[usize::from(i)].seal(2, &one(j, b"hello")).unwrap();
                let item = set.items[usize::from(j)].as_ref().unwrap();
                assert_eq!(channels[usize::from(j)].open(i, 2, item).unwrap(), b"hello");
                assert!(matches!(
                    channels[usize::from(i)].open(j, 2, item),
                    Err(Error::CannotOpen { sender, .. }) if sender == j
                ));
            }
        }
    }

    #[test]
    fn bad_keys_cost_their_parties_their_channels_and_nobody_else() {
        let zero = [&[VERSION][..], &[0; 32]].concat();
        let of_order_eight = hex::decode("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800").unwrap();
        let replaced = [
            (1, Some(zero)),
            (2, Some(vec![VERSION; 5])),
            (3, None),
            (4, Some([&[VERSION][..], &of_order_eight].concat())),
            (5, Some(vec![9; 33])),
        ];
        let channels = session(8, None, &replaced);
        let expected = [
            (1, Fault::NonContributory),
            (2, Fault::Malformed),
            (3, Fault::Absent),
            (4, Fault::NonContributory),
            (5, Fault::Malformed),
        ];
        for i in [0u16, 6, 7] {
            assert_eq!(channels[usize::from(i)].faults(), expected);
        }
        let set = channels[0].seal(0, &one(7, b"x")).unwrap();
        assert_eq!(channels[7].open(0, 0, set.items[7].as_ref().unwrap()).unwrap(), b"x");
    }

    #[test]
    fn another_session_list_or_place_gives_other_keys() {
        let keys = [PublicKey([0; 32]), PublicKey([1; 32])];
        let mut rng = ChaCha20Rng::from_seed([4; 32]);
        let secrets = [Ephemeral::generate(&mut rng), Ephemeral::generate(&mut rng)];
        let messages: BTreeMap<u16, Vec<u8>> = (0..).zip(secrets.iter().map(Ephemeral::message)).collect();
        let seat = Seat {
            chain: "here".parse().unwrap(),
            session: SessionId([7; 32]),
            list: list_digest(&keys),
            parties: 2,
            index: 0,
        };
        let them = |seat: &Seat| agree(&Seat { index: 1, ..seat.clone() }, &keys, &secrets[1], &messages, None);
        let sealed = agree(&seat, &keys, &secrets[0], &messages, None).seal(0, &one(1, b"x")).unwrap();
        let item = sealed.items[1].as_ref().unwrap();
        assert!(them(&seat).open(0, 0, item).is_ok());
        assert!(them(&Seat { session: SessionId([8; 32]), ..seat.clone() }).open(0, 0, item).is_err());
        assert!(them(&Seat { chain: "there".parse().unwrap(), ..seat.clone() }).open(0, 0, item).is_err());
        assert!(them(&Seat { list: Hash([8; 32]), ..seat.clone() }).open(0, 0, item).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let own = Ephemeral(StaticSecret::from([0xcd; 32]));
        assert!(!format!("{own:?}").contains("cdcdcd"));
    }
}

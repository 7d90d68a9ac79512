//! Private channels: what Enc and Dec under e_ij are in P5.2.
//!
//! Every message has a secret of its own, s = HKDF(k_ij, context) with context = (chain, session, round, i, j). Of s come the
//! encryption key, the nonce key and the commitment H(s), which travels with the ciphertext: XChaCha20-Poly1305 alone commits to
//! no key, and s can later be shown as evidence without giving any other message away. The nonce is a PRF of the plaintext, so
//! that sealing needs no randomness and sealing twice gives the same bytes.

use crate::{
    Error,
    mailbox::{Content, Message},
    protocol::{Received, Seat},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};
use subtle::ConstantTimeEq;
use wire::{Bytes, Hash, PrivateItem, PrivateSet, hash::TaggedHash};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an XChaCha20 nonce, which stands before the ciphertext.
const NONCE_BYTES: usize = 24;
/// Bytes of the length before a padded message.
const PREFIX_BYTES: usize = 4;

/// Why there is no channel with a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is this party itself.
    Own,
    /// The party gave no key.
    Absent,
    /// The party's key is none.
    Malformed,
    /// The party chose a key that makes the shared secret independent of ours.
    NonContributory,
}

/// The two keys of a pair of parties.
pub(crate) struct Pair {
    pub(crate) outgoing: Zeroizing<[u8; 32]>,
    pub(crate) incoming: Zeroizing<[u8; 32]>,
}

pub(crate) enum Peer {
    Open(Pair),
    Closed(Fault),
}

/// One party's channels with all others in one session. The keys are wiped from memory on drop.
pub struct Channels {
    seat: Seat,
    padded_bytes: Option<u32>,
    /// By index; empty if no handshake was made.
    peers: Arc<[Peer]>,
}

struct MessageKeys {
    cipher: XChaCha20Poly1305,
    nonce_key: Zeroizing<[u8; 32]>,
    commitment: Hash,
    context: Hash,
}

impl Channels {
    pub(crate) fn new(seat: Seat, padded_bytes: Option<u32>, peers: Arc<[Peer]>) -> Self {
        Self { seat, padded_bytes, peers }
    }

    /// A seat without private channels: for programs that only broadcast, and for reading.
    pub fn none(seat: Seat) -> Self {
        Self { seat, padded_bytes: None, peers: Arc::default() }
    }

    /// Whose channels these are.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The keys with every party, by index.
    pub(crate) fn peers(&self) -> &Arc<[Peer]> {
        &self.peers
    }

    /// True unless made by [`Channels::none`].
    pub fn is_open(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The parties with which there is no channel, and why, by ascending index. This party itself is not named.
    pub fn faults(&self) -> Vec<(u16, Fault)> {
        let fault = |(index, peer): (u16, &Peer)| match peer {
            Peer::Open(_) | Peer::Closed(Fault::Own) => None,
            Peer::Closed(fault) => Some((index, *fault)),
        };
        (0u16..).zip(self.peers.iter()).filter_map(fault).collect()
    }

    /// Seals this party's private messages of a round, by recipient, into a set with an item for each of the n parties. A message for
    /// a party with which there is no channel is left out: that party has given no usable key, which everybody can see.
    ///
    /// # Errors
    /// [`Error::NoChannels`], [`Error::NoRecipient`] for this party's own index or one beyond the list, [`Error::TooLong`] if
    /// a message is longer than the session's padded size.
    pub fn seal(&self, round: u32, messages: &BTreeMap<u16, Vec<u8>>) -> Result<PrivateSet, Error> {
        if !self.is_open() {
            return Err(Error::NoChannels);
        }
        let stranger = |party: &&u16| **party >= self.seat.parties || **party == self.seat.index;
        if let Some(party) = messages.keys().find(stranger) {
            return Err(Error::NoRecipient { party: *party, parties: self.seat.parties });
        }
        let seal_one = |(to, peer): (u16, &Peer)| match (messages.get(&to), peer) {
            (Some(data), Peer::Open(pair)) => {
                self.message_keys(&pair.outgoing, round, self.seat.index, to).seal(&self.frame(data)?).map(Some)
            }
            _ => Ok(None),
        };
        let items = (0u16..).zip(self.peers.iter()).map(seal_one).collect::<Result<_, Error>>()?;
        Ok(PrivateSet { items })
    }

    /// Opens what `sender` sealed for this party in `round`. That the item lies under the root that the sender signed has been
    /// checked before ([`crate::mailbox`]), so a failure here is the sender's doing.
    ///
    /// # Errors
    /// [`Error::CannotOpen`] names the sender; [`Error::NoChannels`].
    pub fn open(&self, sender: u16, round: u32, item: &PrivateItem) -> Result<Vec<u8>, Error> {
        if !self.is_open() {
            return Err(Error::NoChannels);
        }
        let cheated = Error::CannotOpen { sender, round };
        let Some(Peer::Open(pair)) = self.peers.get(usize::from(sender)) else { return Err(cheated) };
        let keys = self.message_keys(&pair.incoming, round, sender, self.seat.index);
        match keys.open(item).and_then(|plaintext| self.unframe(plaintext)) {
            Some(data) => Ok(data),
            None => Err(cheated),
        }
    }

    /// What checked entries of a round say to this party, in their order, and the senders whose items do not open: they cheated, and
    /// their message is `None`.
    ///
    /// # Errors
    /// [`Error::NoChannels`] if there is something to open.
    pub(crate) fn receive(&self, round: u32, entries: Vec<Message>) -> Result<(Vec<Received>, BTreeSet<u16>), Error> {
        let mut unreadable = BTreeSet::new();
        let mut received = Vec::with_capacity(entries.len());
        for Message { sender, content } in entries {
            let data = match content {
                Content::Message(data) => Some(data),
                Content::Private(None) => None,
                Content::Private(Some(item)) => match self.open(sender, round, &item) {
                    Ok(data) => Some(data),
                    Err(Error::CannotOpen { .. }) => {
                        unreadable.insert(sender);
                        None
                    }
                    Err(other) => return Err(other),
                },
            };
            received.push(Received { sender, data });
        }
        Ok((received, unreadable))
    }

    /// Plaintext bytes of a message: itself, or its length, itself and zeros up to the session's padded size.
    fn frame(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Some(padded) = self.padded_bytes else { return Ok(Zeroizing::new(data.to_vec())) };
        let limit = usize::try_from(padded).unwrap_or(usize::MAX);
        let length = u32::try_from(data.len()).ok().filter(|length| *length <= padded);
        let too_long = Error::TooLong { what: "the private message", length: data.len(), limit };
        let length = length.ok_or(too_long)?;
        let mut framed = Zeroizing::new(Vec::with_capacity(PREFIX_BYTES + limit));
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(data);
        framed.resize(PREFIX_BYTES + limit, 0);
        Ok(framed)
    }

    fn unframe(&self, mut plaintext: Vec<u8>) -> Option<Vec<u8>> {
        let Some(padded) = self.padded_bytes else { return Some(plaintext) };
        let (length, rest) = plaintext.split_first_chunk::<PREFIX_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let whole = rest.len() == usize::try_from(padded).ok()? && length <= rest.len();
        let data = rest.get(..length).filter(|_| whole).map(<[u8]>::to_vec);
        plaintext.zeroize();
        data
    }

    fn message_keys(&self, pair_key: &[u8; 32], round: u32, from: u16, to: u16) -> MessageKeys {
        let context = TaggedHash::new("private-message")
            .value(&self.seat.chain)
            .bytes(self.seat.session.0)
            .value(&(round, from, to))
            .finish();
        let secret = expand(&Hkdf::new(None, pair_key), &context.0);
        let kdf = Hkdf::new(None, secret.as_slice());
        let key = expand(&kdf, b"encryption");
        MessageKeys {
            cipher: XChaCha20Poly1305::new(key.as_slice().into()),
            nonce_key: expand(&kdf, b"nonce"),
            commitment: TaggedHash::new("private-commitment").bytes(secret.as_slice()).finish(),
            context,
        }
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("seat", &self.seat).field("faults", &self.faults()).finish_non_exhaustive()
    }
}

fn expand(kdf: &Hkdf<Sha256>, info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    kdf.expand(info, key.as_mut()).expect("HKDF-SHA256 expands to up to 8160 bytes");
    key
}

impl MessageKeys {
    fn seal(&self, plaintext: &[u8]) -> Result<PrivateItem, Error> {
        let mut prf =
            <Hmac<Sha256> as Mac>::new_from_slice(self.nonce_key.as_slice()).expect("HMAC takes any key length");
        prf.update(&self.context.0);
        prf.update(plaintext);
        let tag = prf.finalize().into_bytes();
        let nonce = XNonce::clone_from_slice(tag.get(..NONCE_BYTES).expect("a SHA-256 output has 32 bytes"));
        let payload = Payload { msg: plaintext, aad: &self.context.0 };
        let too_long = |_| Error::TooLong {
            what: "the private message",
            length: plaintext.len(),
            limit: usize::try_from(wire::limits::MAX_PAYLOAD_BYTES).unwrap_or(usize::MAX),
        };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(too_long)?;
        let ciphertext = Bytes([nonce.as_slice(), &sealed].concat());
        Ok(PrivateItem { commitment: self.commitment, ciphertext })
    }

    fn open(&self, item: &PrivateItem) -> Option<Vec<u8>> {
        let committed = bool::from(self.commitment.0.ct_eq(&item.commitment.0));
        let (nonce, sealed) = item.ciphertext.0.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: &self.context.0 };
        let opened = self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        committed.then_some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::session;
    use proptest::prelude::*;

    fn one(to: u16, data: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        BTreeMap::from([(to, data.to_vec())])
    }

    fn item(set: &PrivateSet, j: usize) -> PrivateItem {
        set.items[j].clone().unwrap()
    }

    #[test]
    fn a_set_has_an_item_for_every_party() {
        let channels = session(4, None, &[(3, None)]);
        let set = channels[0].seal(0, &BTreeMap::from([(1, vec![1]), (3, vec![3])])).unwrap();
        let there: Vec<bool> = set.items.iter().map(Option::is_some).collect();
        assert_eq!(there, [false, true, false, false], "nothing for oneself, for nobody else, and for the absent");
        assert!(matches!(channels[0].seal(0, &one(0, b"")), Err(Error::NoRecipient { party: 0, .. })));
        assert!(matches!(channels[0].seal(0, &one(4, b"")), Err(Error::NoRecipient { party: 4, .. })));
        let without = Channels::none(channels[0].seat().clone());
        assert!(matches!(without.seal(0, &one(1, b"")), Err(Error::NoChannels)));
    }

    #[test]
    fn padding_hides_the_length_and_has_a_limit() {
        let channels = session(2, Some(10), &[]);
        let lengths = [0usize, 1, 10].map(|length| {
            let set = channels[0].seal(1, &one(1, &vec![7; length])).unwrap();
            assert_eq!(channels[1].open(0, 1, &item(&set, 1)).unwrap(), vec![7; length]);
            item(&set, 1).ciphertext.0.len()
        });
        assert_eq!(lengths, [lengths[0]; 3]);
        let error = channels[0].seal(1, &one(1, &[7; 11])).unwrap_err();
        assert!(matches!(error, Error::TooLong { length: 11, limit: 10, .. }), "{error}");
        let bare = session(2, None, &[])[0].seal(1, &one(1, &[1; 14])).unwrap();
        let error = channels[1].open(0, 1, &item(&bare, 1)).unwrap_err();
        assert_eq!(error.culprits(), [0], "a sender that does not pad cheats");
    }

    #[test]
    fn a_changed_commitment_or_place_blames_the_sender() {
        let channels = session(3, None, &[]);
        let set = channels[0].seal(5, &one(1, b"secret")).unwrap();
        let good = item(&set, 1);
        let other_commitment = PrivateItem { commitment: Hash([0; 32]), ..good.clone() };
        let short = PrivateItem { ciphertext: Bytes(vec![1; 3]), ..good.clone() };
        for (round, item) in [(5, &other_commitment), (5, &short), (6, &good)] {
            assert_eq!(channels[1].open(0, round, item).unwrap_err().culprits(), [0]);
        }
        assert!(channels[1].open(2, 5, &good).is_err());
        assert!(channels[2].open(0, 5, &good).is_err());
        assert!(channels[1].open(9, 5, &good).is_err());
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_what_is_changed_does_not(
            data in proptest::collection::vec(any::<u8>(), 0..200), round: u32, at: prop::sample::Index, bit in 0u8..8,
        ) {
            let channels = session(2, None, &[]);
            let set = channels[0].seal(round, &one(1, &data)).unwrap();
            prop_assert_eq!(&set, &channels[0].seal(round, &one(1, &data)).unwrap(), "sealing is deterministic");
            let mut sealed = item(&set, 1);
            prop_assert_eq!(channels[1].open(0, round, &sealed).unwrap(), data);
            let at = at.index(sealed.ciphertext.0.len());
            sealed.ciphertext.0[at] ^= 1 << bit;
            prop_assert!(channels[1].open(0, round, &sealed).is_err());
        }
    }
}

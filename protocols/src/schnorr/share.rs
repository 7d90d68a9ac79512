//! What a party keeps of the common key.

use super::{
    PublicKey,
    encoding::{Point, decode_scalar},
};
use crate::ProtocolError;
use borsh::{BorshDeserialize, BorshSerialize};
use client_sdk::protocol::Seat;
use curve25519_dalek::Scalar;
use std::fmt;
use wire::{Hash, limits::MAX_PARTIES};
use zeroize::{Zeroize, Zeroizing};

/// First byte of a stored share; another layout gets another number.
const VERSION: u8 = 1;

/// Bytes of a stored share beside its public shares: version, list, index, A, length, secret.
const FIXED_BYTES: usize = 1 + 32 + 2 + 32 + 4 + 32;

/// One party's share of the common key: its secret x_i, everybody's X_j, and A, their sum. All n parties are needed to
/// sign.
///
/// The secret is wiped when the share is dropped. A share belongs to a list of parties and an index on it, not to a
/// session: the same parties in the same order can sign in other sessions.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyShare {
    list: Hash,
    index: u16,
    secret: Scalar,
    public_shares: Vec<Point>,
    public_key: Point,
}

/// The layout on disk.
#[derive(BorshSerialize, BorshDeserialize)]
struct Stored {
    list: Hash,
    index: u16,
    public_key: [u8; 32],
    public_shares: Vec<[u8; 32]>,
    secret: [u8; 32],
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl KeyShare {
    /// Puts a share together from what adds up to `public_key`; `None` if secret, index and public shares do not belong together.
    pub(crate) fn new(
        list: Hash,
        index: u16,
        secret: &Scalar,
        public_shares: Vec<Point>,
        public_key: Point,
    ) -> Option<Self> {
        let own = public_shares.get(usize::from(index))?;
        (Point::of_secret(secret) == *own).then_some(Self { list, index, secret: *secret, public_shares, public_key })
    }

    /// A: the common public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::of_point(&self.public_key)
    }

    /// The encoded X_j of all parties, in index order.
    pub fn public_shares(&self) -> impl ExactSizeIterator<Item = &[u8; 32]> {
        self.public_shares.iter().map(Point::bytes)
    }

    /// i: this party's index.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// H(list) of the parties that made the key.
    pub fn list(&self) -> Hash {
        self.list
    }

    /// The share as it is stored: a version byte and borsh. **It contains the secret**: store it encrypted.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let stored = Stored {
            list: self.list,
            index: self.index,
            public_key: *self.public_key.bytes(),
            public_shares: self.public_shares.iter().map(|point| *point.bytes()).collect(),
            secret: self.secret.to_bytes(),
        };
        // Reserved at once, for a vector that grows leaves copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FIXED_BYTES + 32 * self.public_shares.len()));
        bytes.push(VERSION);
        stored.serialize(&mut *bytes).expect("writing to a vector fails only for collections beyond u32 lengths");
        bytes
    }

    /// Reads a stored share and checks that it adds up.
    ///
    /// # Errors
    /// [`ProtocolError::MalformedShare`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let malformed = |reason| ProtocolError::MalformedShare { reason };
        let (version, rest) = bytes.split_first().ok_or(malformed("it is empty"))?;
        if *version != VERSION {
            return Err(malformed("its version is not known here"));
        }
        if rest.len() > FIXED_BYTES + 32 * usize::from(MAX_PARTIES) {
            return Err(malformed("it is too long"));
        }
        let stored: Stored = borsh::from_slice(rest).map_err(|_| malformed("it is cut off or has another layout"))?;
        let points: Option<Vec<Point>> = stored.public_shares.iter().map(|bytes| Point::decode(bytes)).collect();
        let points = points.ok_or(malformed("a public share is no point"))?;
        let secret = Zeroizing::new(decode_scalar(&stored.secret).ok_or(malformed("the secret is no scalar"))?);
        let key = Point::sum(&points).ok().filter(|key| *key.bytes() == stored.public_key);
        key.and_then(|key| Self::new(stored.list, stored.index, &secret, points, key))
            .ok_or(malformed("its parts do not belong together"))
    }

    /// Checks that the share is of the party in `seat`.
    pub(crate) fn check_seat(&self, seat: &Seat) -> Result<(), ProtocolError> {
        let same =
            self.list == seat.list && self.index == seat.index && self.public_shares.len() == usize::from(seat.parties);
        if same { Ok(()) } else { Err(ProtocolError::ForeignShare { share: self.index, seat: seat.index }) }
    }

    pub(crate) fn secret(&self) -> &Scalar {
        &self.secret
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.public_shares
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyShare")
            .field("list", &self.list)
            .field("index", &self.index)
            .field("parties", &self.public_shares.len())
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> KeyShare {
        let secrets: Vec<Scalar> = (1..=3u8).map(Scalar::from).collect();
        let points: Vec<Point> = secrets.iter().map(Point::of_secret).collect();
        let key = Point::sum(&points).unwrap();
        KeyShare::new(Hash([9; 32]), 1, &secrets[1], points, key).unwrap()
    }

    #[test]
    fn a_stored_share_comes_back() {
        let bytes = share().to_bytes();
        assert_eq!(bytes.len(), bytes.capacity(), "it never grew");
        assert_eq!(KeyShare::from_bytes(&bytes), Ok(share()));
    }

    #[test]
    fn a_damaged_share_is_refused() {
        let bytes = share().to_bytes();
        for length in 0..bytes.len() {
            assert!(KeyShare::from_bytes(&bytes[..length]).is_err());
        }
        for position in (0..bytes.len()).filter(|position| !(1..33).contains(position)) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert!(KeyShare::from_bytes(&damaged).is_err(), "byte {position}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(KeyShare::from_bytes(&longer).is_err());
    }

    #[test]
    fn a_printed_share_shows_no_secret() {
        let text = format!("{:?}", share());
        assert!(text.contains("public_key") && !text.contains("secret"), "{text}");
        assert!(!text.contains(&hex::encode(share().secret.as_bytes())));
    }
}

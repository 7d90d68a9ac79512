//! Numbers of shares.

use crate::error::Error;
use borsh::{
    BorshDeserialize, BorshSerialize,
    io::{ErrorKind, Read, Result as IoResult, Write},
};
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU16};

/// The most shares that one key has.
pub const MAX_SHARES: u16 = 64;

/// The number of a share, in `1..=MAX_SHARES`: where the polynomials are evaluated. Zero is where the secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Index(NonZeroU16);

impl Index {
    /// The share numbered `index`.
    ///
    /// # Errors
    /// [`Error::NoSuchShare`] outside `1..=MAX_SHARES`.
    pub fn new(index: u16) -> Result<Self, Error> {
        let allowed = NonZeroU16::new(index).filter(|index| index.get() <= MAX_SHARES);
        allowed.map(Self).ok_or(Error::NoSuchShare { index })
    }

    /// `1..=count`.
    ///
    /// # Errors
    /// [`Error::NoSuchShare`] if `count` is above [`MAX_SHARES`].
    pub fn all(count: u16) -> Result<impl Iterator<Item = Self>, Error> {
        if count > MAX_SHARES {
            return Err(Error::NoSuchShare { index: count });
        }
        Ok((1..=count).filter_map(NonZeroU16::new).map(Self))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// The share's place in a list of all shares.
    pub(crate) fn place(self) -> usize {
        usize::from(self.get()) - 1
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u16> for Index {
    type Error = Error;

    fn try_from(index: u16) -> Result<Self, Error> {
        Self::new(index)
    }
}

impl From<Index> for u16 {
    fn from(index: Index) -> Self {
        index.get()
    }
}

impl BorshSerialize for Index {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        BorshSerialize::serialize(&self.get(), writer)
    }
}

impl BorshDeserialize for Index {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let index = u16::deserialize_reader(reader)?;
        Self::new(index).map_err(|error| borsh::io::Error::new(ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_too_large_are_no_shares() {
        for index in [0, MAX_SHARES + 1, u16::MAX] {
            assert_eq!(Index::new(index), Err(Error::NoSuchShare { index }));
            assert!(serde_json::from_str::<Index>(&index.to_string()).is_err());
            assert!(borsh::from_slice::<Index>(&index.to_le_bytes()).is_err());
        }
        let all: Vec<u16> = Index::all(3).unwrap().map(Index::get).collect();
        assert_eq!(all, [1, 2, 3]);
        assert!(Index::all(MAX_SHARES + 1).is_err());
        let last = Index::new(MAX_SHARES).unwrap();
        assert_eq!(borsh::from_slice::<Index>(&borsh::to_vec(&last).unwrap()).unwrap(), last);
        assert_eq!(serde_json::from_str::<Index>(&serde_json::to_string(&last).unwrap()).unwrap(), last);
    }
}

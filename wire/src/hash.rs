//! Domain-separated hashing. Everything that is hashed or signed goes through here, but for the nodes of the Merkle tree of facts
//! ([`crate::proof`]), which are hashed as `jmt` does.

use crate::bytes::Hash;
use borsh::BorshSerialize;
use sha2::{Digest, Sha256};

/// Prefix of every domain tag; a change of any encoding changes the version in it.
const PREFIX: &str = "white-city/v1/";

/// SHA-256 over a domain tag and a sequence of parts, each preceded by its length as a little-endian `u64`, so that no two
/// different sequences give the same input.
#[derive(Clone)]
pub struct TaggedHash(Sha256);

impl TaggedHash {
    /// Starts a hash in the domain `tag`.
    pub fn new(tag: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.absorb(&[PREFIX.as_bytes(), tag.as_bytes()].concat());
        hash
    }

    fn absorb(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds raw bytes as one part.
    #[must_use]
    pub fn bytes(mut self, part: impl AsRef<[u8]>) -> Self {
        self.absorb(part.as_ref());
        self
    }

    /// Adds the borsh encoding of `part` as one part.
    #[must_use]
    pub fn value<T: BorshSerialize + ?Sized>(mut self, part: &T) -> Self {
        let bytes = borsh::to_vec(part)
            .expect("borsh to a vector fails only for collections beyond u32 lengths, far above every limit");
        self.absorb(&bytes);
        self
    }

    /// The hash of all parts so far.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_tags_separate() {
        let whole = TaggedHash::new("a").bytes(b"xy").finish();
        assert_ne!(whole, TaggedHash::new("a").bytes(b"x").bytes(b"y").finish());
        assert_ne!(whole, TaggedHash::new("b").bytes(b"xy").finish());
    }
}

//! The result: a plain Ed25519 key and signature.

use super::encoding::Point;
use crate::ProtocolError;
use ed25519_dalek::VerifyingKey;
use std::{fmt, str::FromStr};

/// The DER prefix of an Ed25519 public key (RFC 8410, section 4); the 32 bytes of the key follow.
const DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The parties' common public key A, an Ed25519 public key: canonical, torsion-free, not the identity. Text is
/// lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// An Ed25519 signature (RFC 8032): R, then s. Text is lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 64]);

impl PublicKey {
    pub(crate) fn of_point(point: &Point) -> Self {
        Self(*point.bytes())
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`ProtocolError::MalformedKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        Point::decode(bytes).map(|point| Self(*point.bytes())).ok_or(ProtocolError::MalformedKey)
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as 44 bytes of DER (RFC 8410), which `openssl pkeyutl -pubin -keyform DER` reads.
    pub fn to_der(&self) -> Vec<u8> {
        [DER_PREFIX.as_slice(), &self.0].concat()
    }

    /// Verifies a signature strictly: RFC 8032 5.1.7, and besides refuses R of small order.
    ///
    /// # Errors
    /// [`ProtocolError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), ProtocolError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| ProtocolError::MalformedKey)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| ProtocolError::BadSignature)
    }
}

impl Signature {
    /// Takes 64 bytes; whether they are a valid signature shows in [`PublicKey::verify`].
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The signature's 64 bytes.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ProtocolError::MalformedKey)?;
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl FromStr for Signature {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ProtocolError::BadSignature)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 7.1, test 2.
    #[test]
    fn verifies_the_rfc_vector_and_nothing_near_it() {
        let key: PublicKey = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c".parse().unwrap();
        let signature: Signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            .parse()
            .unwrap();
        assert_eq!(key.verify(&[0x72], &signature), Ok(()));
        assert_eq!(key.verify(&[0x73], &signature), Err(ProtocolError::BadSignature));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(signature.to_string().parse(), Ok(signature));
    }
}

//! Byte strings: fixed-size newtypes and [`Bytes`]. In JSON all of them are lowercase hex, in borsh raw bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A text that is not the hex form of the wanted number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes as {} hex digits", expected * 2)]
pub struct NotHex {
    /// The number of bytes that the type has.
    pub expected: usize,
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::bytes::NotHex;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $size];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| $crate::bytes::NotHex { expected: $size })?;
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::bytes::hex_schema(Some($size))
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

fixed_bytes!(
    /// A SHA-256 hash, always made by [`crate::hash::TaggedHash`].
    Hash,
    32
);
fixed_bytes!(
    /// The name of a session: a hash of chain, specification, creator and nonce ([`crate::SessionSpec::session_id`]).
    SessionId,
    32
);
fixed_bytes!(
    /// The name of an operation: the digest that its author signed ([`crate::Signed::digest`]).
    OperationId,
    32
);
fixed_bytes!(
    /// An sr25519 public key of a party, an operator or a node. Any 32 bytes parse; those that are no key verify nothing.
    PublicKey,
    32
);
fixed_bytes!(
    /// An sr25519 signature.
    Signature,
    64
);

fixed_bytes!(
    /// An X25519 public key. Any 32 bytes parse; whoever uses it refuses a result that is not contributory (RFC 7748 §6.1).
    ExchangeKey,
    32
);
fixed_bytes!(
    /// An Ed25519 public key (RFC 8032) under which a node speaks TLS.
    TlsKey,
    32
);
fixed_bytes!(
    /// A compressed point of BLS12-381's G1: a signature or partial signature. Any 48 bytes parse; `bls` checks the point.
    G1Bytes,
    48
);
fixed_bytes!(
    /// A compressed point of BLS12-381's G2: a key or a commitment. Any 96 bytes parse; `bls` checks the point.
    G2Bytes,
    96
);
fixed_bytes!(
    /// A scalar of BLS12-381, big-endian: a share that an accused dealer has published. Any 32 bytes parse.
    ScalarBytes,
    32
);

/// A byte string of any length; whoever holds one has checked its bound.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The length in bytes; `u32::MAX` for anything longer, which is above every limit.
    pub fn length(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Bytes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        hex_schema(None)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Bytes {}

#[cfg(feature = "openapi")]
pub(crate) fn hex_schema(size: Option<usize>) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    let pattern = match size {
        Some(size) => format!("^[0-9a-f]{{{}}}$", size * 2),
        None => "^([0-9a-f]{2})*$".to_owned(),
    };
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .pattern(Some(pattern))
        .description(Some("bytes as lowercase hex"))
        .into()
}

//! Fixed-size encodings of points: compressed bytes in borsh, lowercase hex in JSON and for people.

use crate::error::Error;
use blst::BLST_ERROR;

/// What blst finds wrong with a point that comes from outside or out of a sum.
pub(crate) fn refusal(error: BLST_ERROR) -> Error {
    match error {
        BLST_ERROR::BLST_PK_IS_INFINITY => Error::Identity,
        BLST_ERROR::BLST_POINT_NOT_IN_GROUP => Error::NotInSubgroup,
        _ => Error::NotAPoint,
    }
}

/// Declares a point that is never the identity and always in the subgroup, with its encodings.
macro_rules! point {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $size:literal, $decode:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub(crate) $inner);

        impl $name {
            #[doc = concat!("The length of the encoding: ", $size, " bytes.")]
            pub const BYTES: usize = $size;

            /// Decodes the compressed form and checks the point.
            ///
            /// # Errors
            /// [`Error::NotAPoint`], [`Error::NotInSubgroup`] or [`Error::Identity`].
            pub fn from_bytes(bytes: &[u8; $size]) -> Result<Self, $crate::Error> {
                $decode(bytes).map(Self).map_err($crate::encoding::refusal)
            }

            /// The compressed form; each point has exactly one.
            pub fn to_bytes(&self) -> [u8; $size] {
                self.0.to_bytes()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.to_bytes()))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $size];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| $crate::Error::NotHex { bytes: $size })?;
                Self::from_bytes(&bytes)
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

        impl borsh::BorshSerialize for $name {
            fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
                writer.write_all(&self.to_bytes())
            }
        }

        impl borsh::BorshDeserialize for $name {
            fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
                let mut bytes = [0; $size];
                reader.read_exact(&mut bytes)?;
                Self::from_bytes(&bytes)
                    .map_err(|error| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, error))
            }
        }
    };
}

pub(crate) use point;

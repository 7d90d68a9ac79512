//! The chain id: the name of one cluster's board for all time.

use crate::limits::MAX_CHAIN_ID_BYTES;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The name of a chain: 1 to 48 of `a-z`, `0-9` and `-`. Every signature binds it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainId(String);

/// A text that cannot be a chain id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain id has 1 to {MAX_CHAIN_ID_BYTES} characters of a-z, 0-9 and -")]
pub struct NotAChainId;

impl ChainId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChainId {
    type Error = NotAChainId;

    fn try_from(text: String) -> Result<Self, NotAChainId> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=MAX_CHAIN_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed);
        if fits { Ok(Self(text)) } else { Err(NotAChainId) }
    }
}

impl FromStr for ChainId {
    type Err = NotAChainId;

    fn from_str(text: &str) -> Result<Self, NotAChainId> {
        text.to_owned().try_into()
    }
}

impl From<ChainId> for String {
    fn from(chain: ChainId) -> Self {
        chain.0
    }
}

impl BorshDeserialize for ChainId {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let text = String::deserialize_reader(reader)?;
        text.try_into().map_err(|e| borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, e))
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainId({})", self.0)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ChainId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(format!("^[a-z0-9-]{{1,{MAX_CHAIN_ID_BYTES}}}$")))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ChainId {}

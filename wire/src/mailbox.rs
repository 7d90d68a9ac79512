//! Mailboxes: append-only hash chains, one for each session, kind and round.

use crate::{ChainId, Hash, SessionId, hash::TaggedHash};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What is written in a mailbox.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MailboxKind {
    /// Messages of the key agreement (F4.7).
    Keying,
    /// Broadcasts of the running protocol (F5.1).
    Broadcast,
    /// Roots of sets of private messages (F5.1).
    Private,
}

impl MailboxKind {
    /// The kind as it stands in URLs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keying => "keying",
            Self::Broadcast => "broadcast",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for MailboxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MailboxKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        [Self::Keying, Self::Broadcast, Self::Private].into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// A text that names no kind of mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mailbox is keying, broadcast or private")]
pub struct UnknownKind;

/// The slot of a mailbox.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MailboxId {
    /// The session.
    pub session: SessionId,
    /// What is written there.
    pub kind: MailboxKind,
    /// The round, from 0.
    pub round: u32,
}

/// How far a mailbox has come: the value of [`crate::FactKey::Mailbox`]. A mailbox without writes has no fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MailboxHead {
    /// Number of entries.
    pub count: u32,
    /// Hash chain over all entries in consensus order.
    pub head: Hash,
}

impl MailboxHead {
    /// The head before the first entry: H(tag, chain, session, kind, round).
    pub fn empty(chain: &ChainId, mailbox: &MailboxId) -> Self {
        Self { count: 0, head: TaggedHash::new("mailbox").value(chain).value(mailbox).finish() }
    }

    /// Appends an entry: head' = H(head, sender, digest).
    pub fn append(&mut self, sender: u16, digest: &Hash) {
        self.count = self.count.saturating_add(1);
        self.head = TaggedHash::new("entry").bytes(self.head.0).value(&sender).bytes(digest.0).finish();
    }
}

/// The value of [`crate::FactKey::Round`], for sessions with a round timeout only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoundState {
    /// When later writes are refused, in milliseconds of block time; `None` until the block after the first write.
    pub deadline_ms: Option<u64>,
    /// True once the deadline has fired: who has not written by now is missing, for everybody.
    pub closed: bool,
}

//! What a session is, as its creator specifies it and as the board records it.

use crate::{
    ChainId, Code, Hash, OpenTerms, PublicKey, RegistrationState, SessionId,
    hash::TaggedHash,
    limits::{
        MAX_DURATION_MS, MAX_KEYING_ROUNDS, MAX_NAME_BYTES, MAX_PARTIES, MAX_PARTY_BYTES, MAX_PAYLOAD_BYTES, MAX_ROUNDS,
    },
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the parties agree to run.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// For example `schnorr`.
    pub name: String,
    /// For example `1`.
    pub version: String,
    /// Hash of whatever else the parties agree on: code, parameters, the text that a person has read.
    pub digest: Hash,
}

/// Who may be a party.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Admission {
    /// Exactly these keys, in this order: a party's index is its place in the list. The session starts at keying.
    Invited {
        /// Distinct sr25519 keys.
        keys: Vec<PublicKey>,
    },
    /// Anybody who registers and brings a proof of work in time (§IV-A). The session starts at registering.
    Open {
        /// What is asked of them.
        terms: OpenTerms,
    },
    /// The parties of an earlier session, with their indices; who was absent there is absent here. Their keys are derived from
    /// those of that session, so this one starts at running (§I-A: one set-up serves many executions).
    Group {
        /// The earlier session, which has come to run; it may have ended, and even be erased.
        parent: SessionId,
    },
}

/// Everything that is fixed when a session is created. Its hash is part of the [`SessionId`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// For people: at most 128 bytes.
    pub title: String,
    /// What the parties agree to run.
    pub program: Program,
    /// Who may be a party.
    pub admission: Admission,
    /// With fewer parties that have registered, solved or given a key by the deadline for it, the session expires. At least 1.
    pub min_parties: u16,
    /// Most parties; for `invited` exactly the number of keys, for `group` that of the parent's parties.
    pub max_parties: u16,
    /// t: so many parties may be corrupted; t + 1 end the session by `terminate`.
    pub corruption_threshold: u16,
    /// So many parties end the session by `abort`: 1 for programs secure with abort, t + 1 for honest-majority ones.
    pub abort_quorum: u16,
    /// Rounds of the key agreement; 1 for the built-in handshake.
    pub keying_rounds: u32,
    /// Running rounds are numbered from 0 to below this.
    pub max_rounds: u32,
    /// Longest payload of one operation: a broadcast, or a party's private messages of a round together.
    pub max_message_bytes: u32,
    /// Most payload bytes that one party may write in the session.
    pub max_party_bytes: u64,
    /// Every private message is padded to this many plaintext bytes by the parties, if set; longer ones are refused there.
    pub padded_bytes: Option<u32>,
    /// True if short keying and broadcast payloads may stand in blocks, which is a little faster. What stood in a block cannot be
    /// erased. Private ones never do.
    pub inline_payloads: bool,
    /// From the start of keying to its deadline.
    pub keying_ms: u64,
    /// From the start of running to the session's expiry.
    pub running_ms: u64,
    /// From the session's end to its erasure, if not all parties have acknowledged before.
    pub retention_ms: u64,
    /// From a round's first write until later writes of that round are refused, if set.
    pub round_timeout_ms: Option<u64>,
}

impl SessionSpec {
    /// H(chain id, specification, creator, nonce).
    pub fn session_id(&self, chain: &ChainId, creator: &PublicKey, nonce: &Hash) -> SessionId {
        let hash = TaggedHash::new("session").value(chain).value(self).bytes(creator.0).bytes(nonce.0).finish();
        SessionId(hash.0)
    }

    /// Checks all bounds.
    ///
    /// # Errors
    /// [`Code::InvalidSpecification`].
    pub fn check(&self) -> Result<(), Code> {
        let names = [&self.title, &self.program.name, &self.program.version];
        let durations = [self.keying_ms, self.running_ms, self.retention_ms, self.round_timeout_ms.unwrap_or(1)];
        let sound = names.iter().all(|name| name.len() <= MAX_NAME_BYTES)
            && durations.iter().all(|ms| (1..=MAX_DURATION_MS).contains(ms))
            && (1..=MAX_PARTIES).contains(&self.max_parties)
            && (1..=self.max_parties).contains(&self.min_parties)
            && self.is_admission_sound()
            && self.corruption_threshold < self.max_parties
            && (1..=self.max_parties).contains(&self.abort_quorum)
            && (1..=MAX_KEYING_ROUNDS).contains(&self.keying_rounds)
            && (1..=MAX_ROUNDS).contains(&self.max_rounds)
            && (1..=MAX_PAYLOAD_BYTES).contains(&self.max_message_bytes)
            && (1..=MAX_PARTY_BYTES).contains(&self.max_party_bytes)
            && self.padded_bytes.is_none_or(|bytes| (1..=self.max_message_bytes).contains(&bytes));
        if sound { Ok(()) } else { Err(Code::InvalidSpecification) }
    }

    /// Of an open session the list is not known yet, so what goes for every number of parties must go for the least.
    fn is_admission_sound(&self) -> bool {
        match &self.admission {
            Admission::Invited { keys } => {
                keys.len() == usize::from(self.max_parties) && keys.iter().collect::<BTreeSet<_>>().len() == keys.len()
            }
            Admission::Open { terms } => {
                terms.is_sound()
                    && self.corruption_threshold < self.min_parties
                    && self.abort_quorum <= self.min_parties
            }
            Admission::Group { .. } => true,
        }
    }

    /// Payload bytes that the session may come to hold, which its creation reserves of the network's quota.
    pub fn reserved_bytes(&self) -> u64 {
        u64::from(self.max_parties).saturating_mul(self.max_party_bytes)
    }
}

/// Where a session is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Strangers ask to take part (P4.5 steps 1 to 3).
    Registering,
    /// The nodes draw the challenge (P4.5 step 4), and those who asked solve it (steps 5 to 8).
    Solving,
    /// Parties exchange keys (P4.10).
    Keying,
    /// Parties compute (P5.4).
    Running,
    /// Slower parties still read and write (§V-E a).
    Ended,
    /// Payloads are gone; this record and the list of parties stay.
    Erased,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// t + 1 parties said that they are done.
    Terminated,
    /// The abort quorum gave up.
    Aborted,
    /// Too few parties registered, solved or gave a key in time, the challenge was not drawn in time, or the running time was over.
    Expired,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// The height at which it ended. An `Ack` must name this one or a later one.
    pub height: u64,
    /// The phase in which it ended.
    pub phase: Phase,
}

/// One party's abort.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AbortVote {
    /// Index of the party.
    pub party: u16,
    /// Why, in its words.
    pub reason: String,
}

/// What the board knows of a session, apart from its mailboxes: the value of [`crate::FactKey::Session`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRecord {
    /// The specification; with creator and nonce it hashes to the session's id.
    pub spec: SessionSpec,
    /// Who created the session.
    pub creator: PublicKey,
    /// The creator's nonce.
    pub nonce: Hash,
    /// Height of the creating block.
    pub created: u64,
    /// Where the session is in its life.
    pub phase: Phase,
    /// When the phase ends by itself, in milliseconds of block time. `None` until the block after the phase's first, whose
    /// time starts the clock, and once erased.
    pub deadline_ms: Option<u64>,
    /// How far the registration of an open session has come.
    pub registration: Option<RegistrationState>,
    /// Number of parties on the list; 0 until an open session's list is final.
    pub parties: u16,
    /// [`list_digest`] of the parties' keys in order.
    pub list: Hash,
    /// Indices of the parties that gave no key in time, ascending. They keep their index and may not write.
    pub absent: Vec<u16>,
    /// Indices of the parties that are done, in the order in which they said so.
    pub terminated: Vec<u16>,
    /// The parties that gave up, in the order in which they said so.
    pub aborted: Vec<AbortVote>,
    /// How the session ended, if it has.
    pub end: Option<End>,
    /// Indices of the parties that have read the ended session, in the order in which they said so.
    pub acknowledged: Vec<u16>,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 6] =
        [Self::Registering, Self::Solving, Self::Keying, Self::Running, Self::Ended, Self::Erased];

    /// The phase as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registering => "registering",
            Self::Solving => "solving",
            Self::Keying => "keying",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Erased => "erased",
        }
    }
}

impl SessionRecord {
    /// True if specification, creator and nonce hash to `session`: a record for another session cannot pass for this one.
    pub fn belongs_to(&self, chain: &ChainId, session: &SessionId) -> bool {
        self.spec.session_id(chain, &self.creator, &self.nonce) == *session
    }
}

/// H(list): the digest of the parties' keys in index order, which everything agreed among them binds.
pub fn list_digest(keys: &[PublicKey]) -> Hash {
    TaggedHash::new("list").value(keys).finish()
}

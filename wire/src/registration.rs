//! How strangers become parties of an open session (§IV-A, P4.3 and P4.5): requests with a stamp, a challenge that nobody can aim for,
//! solutions with a proof of work, and the lists of who asked and who solved.

use crate::{
    Bytes, ChainId, Code, FactKey, G1Bytes, Hash, Message, Provable, PublicKey, SessionId, SessionRecord,
    fact::encode,
    hash::TaggedHash,
    limits::{MAX_ADVERSARY, MAX_DURATION_MS, MAX_HASH_RATE, MAX_HEAD_START_MS, MAX_SOUNDNESS_BITS, MAX_STAMP_BITS},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The proof of work that every party of an open session must bring (§III-A), as crate `pow` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Version of the leaf function: 1.
    pub version: u8,
    /// w: hashes in the chain that makes a leaf.
    pub leaf_hashes: u32,
    /// log2 of L, the number of leaves.
    pub leaves_log2: u8,
    /// m: leaves that the root makes the prover open.
    pub openings: u16,
}

/// What an open session asks of strangers, and against whom it is meant to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenTerms {
    /// T_req: so long requests are taken.
    pub registering_ms: u64,
    /// Leading zero bits that a request's stamp must show, at most 48. It keeps the list of requests short, no more.
    pub stamp_bits: u8,
    /// The proof of work.
    pub work: Work,
    /// pi: hashes a second that an honest device can be expected to do. Who is slower than this may miss the deadline.
    pub hash_rate: u64,
    /// T_sol: so much longer than an honest device needs for its work solutions are taken, for the network's and the blocks' sake.
    pub slack_ms: u64,
    /// Nodes have so long to draw the challenge once requests are over; who corrupts a node may know it so much earlier. If it is not
    /// drawn in time, the session ends.
    pub head_start_ms: u64,
    /// t: the adversary's hash rate as a multiple of `hash_rate`.
    pub adversary: u32,
    /// Less work than an identity is reckoned to cost gets one with a probability of at most 2 to the minus this.
    pub soundness_bits: u16,
}

impl OpenTerms {
    /// Checks all bounds that need no arithmetic of the proof of work.
    pub(crate) fn is_sound(&self) -> bool {
        let durations = [self.registering_ms, self.slack_ms, self.head_start_ms];
        durations.iter().all(|ms| (1..=MAX_DURATION_MS).contains(ms))
            && self.head_start_ms <= MAX_HEAD_START_MS
            && self.stamp_bits <= MAX_STAMP_BITS
            && (1..=MAX_HASH_RATE).contains(&self.hash_rate)
            && (1..=MAX_ADVERSARY).contains(&self.adversary)
            && (1..=MAX_SOUNDNESS_BITS).contains(&self.soundness_bits)
    }
}

/// Hashcash for one request: SHA-256 over [`Stamp::context`] and the nonce shows enough leading zero bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// From this block time on the stamp is worth nothing, in milliseconds; no later than the deadline for requests.
    pub expiry_ms: u64,
    /// What was searched for.
    pub nonce: u64,
}

impl Stamp {
    /// What the work is done on: nobody's stamp serves another key, session or chain.
    pub fn context(chain: &ChainId, session: &SessionId, key: &PublicKey, expiry_ms: u64) -> Hash {
        TaggedHash::new("stamp").value(chain).bytes(session.0).bytes(key.0).value(&expiry_ms).finish()
    }
}

/// How far the registration of an open session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistrationState {
    /// The epoch of the nodes' key under which the challenge is drawn: the newest when the session was created, so that there is only
    /// one challenge.
    pub epoch: u64,
    /// Block time from which on an adversary may know the challenge: that of the block that closed requests.
    pub drawn_from_ms: Option<u64>,
    /// The nodes' threshold signature over [`challenge_message`], once they have made it.
    pub challenge: Option<G1Bytes>,
}

/// What the nodes sign, as BLS domain `Challenge`, when requests are over (P4.5 step 4).
pub fn challenge_message(chain: &ChainId, session: &SessionId) -> Hash {
    TaggedHash::new("challenge-message").value(chain).bytes(session.0).finish()
}

/// c: the hash of the nodes' signature, which is the only one that there is.
pub fn challenge(signature: &G1Bytes) -> Hash {
    TaggedHash::new("challenge").bytes(signature.0).finish()
}

/// One node's share of a challenge. It travels under the node's identity key, so that a wrong one convinces a third person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChallengeShare {
    /// The session.
    pub session: SessionId,
    /// Epoch of the key.
    pub epoch: u64,
    /// The node's partial signature over [`challenge_message`].
    pub partial: G1Bytes,
}

impl Message for ChallengeShare {
    const TAG: &'static str = "challenge-share";
}

/// Sorts those who solved by H(c, key): the parties' order, for which no key can be chosen, as c comes later.
pub fn final_list(challenge: &Hash, solvers: impl IntoIterator<Item = PublicKey>) -> Vec<PublicKey> {
    let place = |key: &PublicKey| TaggedHash::new("place").bytes(challenge.0).bytes(key.0).finish();
    let mut list: Vec<PublicKey> = solvers.into_iter().collect();
    list.sort_by_cached_key(|key| (place(key), *key));
    list
}

/// The payload of [`crate::Operation::Solve`]. It names what the proof is of, so that who brings another's hears that.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Solution {
    /// The chain,
    pub chain: ChainId,
    /// the session,
    pub session: SessionId,
    /// and the key for which the work was done.
    pub key: PublicKey,
    /// The proof in the form of crate `pow`.
    pub proof: Bytes,
}

impl Solution {
    /// Parses a payload, which must be for this key in this session of this chain.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::ForeignSolution`] or [`Code::StolenSolution`].
    pub fn decode(payload: &[u8], chain: &ChainId, session: &SessionId, key: &PublicKey) -> Result<Self, Code> {
        let solution: Self = borsh::from_slice(payload).map_err(|_| Code::Malformed)?;
        if (&solution.chain, &solution.session) != (chain, session) {
            Err(Code::ForeignSolution)
        } else if solution.key != *key {
            Err(Code::StolenSolution)
        } else {
            Ok(solution)
        }
    }

    /// The payload's bytes.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }
}

/// One of the two lists that grow while a session registers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// L: who has asked in time.
    Registrants,
    /// L': who of those has solved in time, in the order in which they did.
    Solvers,
}

impl ListKind {
    /// The list as it stands in URLs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registrants => "registrants",
            Self::Solvers => "solvers",
        }
    }
}

impl fmt::Display for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ListKind {
    type Err = UnknownList;

    fn from_str(text: &str) -> Result<Self, UnknownList> {
        [Self::Registrants, Self::Solvers].into_iter().find(|list| list.as_str() == text).ok_or(UnknownList)
    }
}

/// A text that names no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list is registrants or solvers")]
pub struct UnknownList;

/// How far a list has come: the value of [`FactKey::List`]. An empty list has no fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ListHead {
    /// Number of keys.
    pub count: u32,
    /// Hash chain over all keys in consensus order.
    pub head: Hash,
}

impl ListHead {
    /// The head before the first key: H(tag, chain, session, list).
    pub fn empty(chain: &ChainId, session: &SessionId, list: ListKind) -> Self {
        Self { count: 0, head: TaggedHash::new("list-head").value(chain).bytes(session.0).value(&list).finish() }
    }

    /// Appends a key: head' = H(head, key).
    pub fn append(&mut self, key: &PublicKey) {
        self.count = self.count.saturating_add(1);
        self.head = TaggedHash::new("list-entry").bytes(self.head.0).bytes(key.0).finish();
    }
}

/// A list, from a position to its end.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ListFact {
    /// The session.
    pub session: SessionId,
    /// Which of its lists.
    pub list: ListKind,
    /// How far the list has come.
    pub head: ListHead,
    /// Position of the first key below.
    pub from: u32,
    /// The chain's head before the first key below.
    pub from_head: Hash,
    /// All keys from there to the end, in consensus order.
    pub keys: Vec<PublicKey>,
    /// The session's record, if the list is empty: that says something only of an open session that is not erased.
    pub record: Option<Box<SessionRecord>>,
}

/// The head, which is not there if the list is empty; then the session's record, too.
impl Provable for ListFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        let is_empty = self.head.count == 0;
        let mut values = vec![(FactKey::List(self.session, self.list), (!is_empty).then(|| encode(&self.head)))];
        if is_empty {
            values.push((FactKey::Session(self.session), self.record.as_ref().map(encode)));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_list_depends_on_the_challenge_and_not_on_who_came_first() {
        let keys: Vec<PublicKey> = (0..20).map(|byte| PublicKey([byte; 32])).collect();
        let list = final_list(&Hash([1; 32]), keys.clone());
        assert_eq!(list, final_list(&Hash([1; 32]), keys.iter().rev().copied()));
        assert_ne!(list, final_list(&Hash([2; 32]), keys.clone()));
        assert_eq!(list.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn a_solution_names_whose_it_is() {
        let (here, there): (ChainId, ChainId) = ("here".parse().unwrap(), "there".parse().unwrap());
        let (session, key) = (SessionId([1; 32]), PublicKey([2; 32]));
        let solution = Solution { chain: here.clone(), session, key, proof: Bytes(vec![3; 9]) };
        let payload = solution.encode().0;
        assert_eq!(Solution::decode(&payload, &here, &session, &key), Ok(solution));
        assert_eq!(Solution::decode(&payload, &there, &session, &key), Err(Code::ForeignSolution));
        assert_eq!(Solution::decode(&payload, &here, &SessionId([9; 32]), &key), Err(Code::ForeignSolution));
        assert_eq!(Solution::decode(&payload, &here, &session, &PublicKey([9; 32])), Err(Code::StolenSolution));
        assert_eq!(Solution::decode(&payload[1..], &here, &session, &key), Err(Code::Malformed));
    }

    #[test]
    fn stamps_and_challenges_are_bound() {
        let (here, there): (ChainId, ChainId) = ("here".parse().unwrap(), "there".parse().unwrap());
        let (session, key) = (SessionId([1; 32]), PublicKey([2; 32]));
        let contexts = [
            Stamp::context(&here, &session, &key, 5),
            Stamp::context(&there, &session, &key, 5),
            Stamp::context(&here, &SessionId([9; 32]), &key, 5),
            Stamp::context(&here, &session, &PublicKey([9; 32]), 5),
            Stamp::context(&here, &session, &key, 6),
            challenge_message(&here, &session),
            challenge_message(&there, &session),
            challenge_message(&here, &SessionId([9; 32])),
        ];
        assert_eq!(contexts.iter().collect::<std::collections::BTreeSet<_>>().len(), contexts.len());
    }
}

//! Distributed generation of the cluster's threshold key, as it stands on the board. Nobody deals for others: every node deals a polynomial
//! of its own, and the key belongs to the sum of those that nobody could fault.

use crate::{
    Code, EndorsedKeyRecord, Endorsement, ExchangeKey, G1Bytes, G2Bytes, Hash, KeyRecord, ScalarBytes, Signature,
    fault_tolerance, hash::TaggedHash, limits::MAX_NODES,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A share as its dealer seals it to one node: ciphertext and tag of a 32-byte scalar.
pub const SEALED_SHARE_BYTES: usize = 48;

/// What one node deals: f + 1 commitments and a share for every node.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Dealing {
    /// Commitments to the coefficients, lowest first: f + 1 of them.
    pub commitments: Vec<G2Bytes>,
    /// The dealer's ephemeral key, to which the shares are sealed together with the recipients' keys.
    pub ephemeral: ExchangeKey,
    /// Share i + 1, sealed to node i: [`SEALED_SHARE_BYTES`] each, k of them.
    pub shares: Vec<crate::Bytes>,
}

impl Dealing {
    /// What the sealed shares bind beside chain, epoch, attempt, dealer and recipient: H(commitments).
    pub fn commitments_digest(&self) -> Hash {
        TaggedHash::new("commitments").value(&self.commitments).finish()
    }
}

/// A share that its dealer publishes because its recipient says that it got none, or a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishedShare {
    /// The node that accused the dealer.
    pub recipient: u16,
    /// Its share.
    pub share: ScalarBytes,
}

/// What a node does in a generation: each once.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum GenerationStep {
    /// Deals.
    Deal {
        /// What.
        dealing: Dealing,
    },
    /// Has looked at all dealings.
    Check {
        /// Dealers whose share for this node is missing or wrong, ascending.
        accused: Vec<u16>,
    },
    /// An accused dealer defends itself.
    Answer {
        /// One for each accuser, ascending by recipient.
        shares: Vec<PublishedShare>,
    },
    /// A node of the epoch before (of genesis, for the first) vouches for the outcome.
    Endorse {
        /// Its signature over the [`KeyRecord`], as [`crate::Signed`] makes it.
        signature: Signature,
        /// Its partial signature under the key before over [`KeyRecord::succession_message`]; none for the first epoch, and none of a
        /// node that has no share of that key.
        partial: Option<G1Bytes>,
    },
}

impl GenerationStep {
    /// The phase to which the step belongs.
    pub fn phase(&self) -> GenerationPhase {
        match self {
            Self::Deal { .. } => GenerationPhase::Dealing,
            Self::Check { .. } => GenerationPhase::Checking,
            Self::Answer { .. } => GenerationPhase::Answering,
            Self::Endorse { .. } => GenerationPhase::Endorsing,
        }
    }

    /// Checks what can be known from the step alone.
    ///
    /// # Errors
    /// [`Code::Malformed`].
    pub fn check_shape(&self) -> Result<(), Code> {
        let ascending = |places: &mut dyn Iterator<Item = u16>| {
            let places: Vec<u16> = places.collect();
            places.windows(2).all(|pair| pair.first() < pair.last()) && places.len() <= MAX_NODES
        };
        let sound = match self {
            Self::Deal { dealing } => {
                (1..=MAX_NODES).contains(&dealing.shares.len())
                    && dealing.commitments.len() == fault_tolerance(dealing.shares.len()) + 1
                    && dealing.shares.iter().all(|share| share.0.len() == SEALED_SHARE_BYTES)
            }
            Self::Check { accused } => ascending(&mut accused.iter().copied()),
            Self::Answer { shares } => !shares.is_empty() && ascending(&mut shares.iter().map(|share| share.recipient)),
            Self::Endorse { .. } => true,
        };
        if sound { Ok(()) } else { Err(Code::Malformed) }
    }
}

/// Where a generation stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GenerationPhase {
    /// Nodes deal. Closes when all k have, or past the deadline as soon as 2f + 1 have.
    Dealing,
    /// Nodes say whom they accuse. Closes likewise.
    Checking,
    /// Accused dealers answer. Closes when all have, or at the deadline.
    Answering,
    /// The key is fixed; f + 1 nodes of the epoch before have yet to vouch for it.
    Endorsing,
    /// The key is in force.
    Done,
}

impl GenerationPhase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Dealing, Self::Checking, Self::Answering, Self::Endorsing, Self::Done];
}

/// The whole generation of one epoch's key as the board holds it: a node that restarts finds its share here, as long as anybody needs shares of that
/// key ([`Generation::forget_dealings`]); the outcome is kept for good. The board's root covers it by [`Generation::digest`], the value of
/// [`crate::FactKey::Generation`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Generation {
    /// The epoch whose key is made; 1 is the first.
    pub epoch: u64,
    /// Runs that came to nothing before this one.
    pub attempt: u32,
    /// Where it stands.
    pub phase: GenerationPhase,
    /// When the phase ends by itself, in milliseconds of block time; none until the block after its first (of the very first phase on a
    /// chain: until height 2, since block 1 carries genesis' time), and while it is `Endorsing`. Of `Done` it is the time from which
    /// nodes may renew the key.
    pub deadline_ms: Option<u64>,
    /// True once that time has come: who is late is not waited for, but 2f + 1 are.
    pub overdue: bool,
    /// Keys to which shares are sealed, by node.
    pub exchange_keys: Vec<ExchangeKey>,
    /// Keys to which the next run's shares will be sealed, by node: others only for nodes that have replaced theirs.
    pub next_exchange_keys: Vec<ExchangeKey>,
    /// What was dealt, by node; none of all three, once it is forgotten.
    pub dealings: Vec<Option<Dealing>>,
    /// Whom each node accuses, by node.
    pub checks: Vec<Option<Vec<u16>>>,
    /// What accused dealers have published, by node, and was found right.
    pub answers: Vec<Option<Vec<PublishedShare>>>,
    /// Dealers whose dealings count, ascending; fixed when `Endorsing` begins.
    pub qualified: Vec<u16>,
    /// Public keys of the shares, by node; fixed when `Endorsing` begins. The identity, `c0` and zeros, stands for a share that is zero: that
    /// node has none.
    pub public_shares: Vec<G2Bytes>,
    /// The outcome; fixed when `Endorsing` begins.
    pub record: Option<KeyRecord>,
    /// Nodes that have vouched for it.
    pub endorsements: Vec<Endorsement>,
    /// Their partial signatures under the key before, right ones only, by node of the epoch before.
    pub partials: Vec<(u16, G1Bytes)>,
    /// The outcome with all that makes it follow from the key before; there when `Done`.
    pub endorsed: Option<EndorsedKeyRecord>,
}

impl Generation {
    /// A generation that begins.
    pub fn new(epoch: u64, attempt: u32, exchange_keys: Vec<ExchangeKey>) -> Self {
        let nodes = exchange_keys.len();
        Self {
            epoch,
            attempt,
            phase: GenerationPhase::Dealing,
            deadline_ms: None,
            overdue: false,
            next_exchange_keys: exchange_keys.clone(),
            exchange_keys,
            dealings: vec![None; nodes],
            checks: vec![None; nodes],
            answers: vec![None; nodes],
            qualified: Vec::new(),
            public_shares: Vec::new(),
            record: None,
            endorsements: Vec::new(),
            partials: Vec::new(),
            endorsed: None,
        }
    }

    /// f of this cluster: so many nodes may be faulty.
    pub fn faults(&self) -> usize {
        fault_tolerance(self.exchange_keys.len())
    }

    /// True if `dealer` has to publish shares so that its dealing counts: it is accused, but not by so many that one of them is
    /// honest for certain, which would disqualify it.
    pub fn must_answer(&self, dealer: u16) -> bool {
        (1..=self.faults()).contains(&self.accusers(dealer).count())
    }

    /// Forgets what was dealt, checked and answered, from which nodes learn their shares: a key has followed this one, and nobody needs shares of it any
    /// more. Outcome, public keys and record stay.
    pub fn forget_dealings(&mut self) {
        self.dealings.fill(None);
        self.checks.fill(None);
        self.answers.fill(None);
    }

    /// True if nodes can learn their shares: what the qualified have dealt is here.
    pub fn has_dealings(&self) -> bool {
        self.qualified.iter().all(|dealer| self.dealings.get(usize::from(*dealer)).is_some_and(Option::is_some))
    }

    /// The digest that the board's root covers.
    pub fn digest(&self) -> Hash {
        TaggedHash::new("generation").value(self).finish()
    }

    /// The nodes that accuse `dealer`, ascending.
    pub fn accusers(&self, dealer: u16) -> impl Iterator<Item = u16> {
        let accuses = move |check: &Option<Vec<u16>>| check.as_ref().is_some_and(|accused| accused.contains(&dealer));
        (0..).zip(&self.checks).filter(move |(_, check)| accuses(check)).map(|(node, _)| node)
    }
}

//! Requests and answers of the REST gateway that are no board facts.

use crate::{
    Bytes, Certified, ChainId, Code, ConfirmedBundle, Envelope, Generation, GenerationPhase, NoSession, Operation,
    OperationId, Phase, Receipt, Report, SessionId, Signed, fact::BoardAt,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/operations`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// 1 to [`crate::limits::MAX_REQUEST_OPERATIONS`] operations.
    pub operations: Vec<Envelope>,
}

/// What a gateway can say of an operation that it was handed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The board has decided.
    Decided {
        /// What it did.
        #[cfg_attr(feature = "openapi", schema(value_type = Signed<crate::Answer<Receipt>>))]
        receipt: Box<Report<Receipt>>,
    },
    /// The gateway has not handed it on, for the board would refuse it.
    Refused {
        /// Why.
        code: Code,
    },
    /// Handed on, not decided within the time that the request gave.
    Pending,
}

/// The outcome of one operation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OperationOutcome {
    /// The operation.
    pub operation: OperationId,
    /// What became of it.
    pub outcome: Outcome,
}

/// Answer to `POST /v1/operations`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmissionOutcome {
    /// In the order of the request.
    pub operations: Vec<OperationOutcome>,
}

/// A problem document (RFC 9457), media type `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `https://white-city.invalid/problems/CODE`: a name, not an address.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What was wrong this time.
    pub detail: String,
    /// The receipt, if the board itself refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Signed<crate::Answer<Receipt>>>))]
    pub receipt: Option<Box<Report<Receipt>>>,
    /// The proof that the session does not exist, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Box<Certified<NoSession>>>,
}

/// One line of the list of sessions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionSummary {
    /// The session.
    pub session: SessionId,
    /// Its title.
    pub title: String,
    /// Name of its program.
    pub program: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Number of parties.
    pub parties: u16,
    /// Height of the creating block.
    pub created: u64,
}

/// A page of the list of sessions, in order of creation, for people: it is not signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionSummary>,
    /// Give this as `cursor` to get the next page; none on the last.
    pub next: Option<String>,
}

/// Where a session stands and how long that lasts, for people: it is not signed, and the time left is by the node's own clock.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PhaseStatus {
    /// The newest certified block.
    pub at: BoardAt,
    /// The session.
    pub session: SessionId,
    /// Where it is in its life.
    pub phase: Phase,
    /// When the phase ends by itself, in milliseconds of block time; none while no clock runs.
    pub deadline_ms: Option<u64>,
    /// What is left until then, in milliseconds; 0 if it is about to end.
    pub left_ms: Option<u64>,
    /// True once the nodes have drawn the challenge of an open session.
    pub challenge: bool,
    /// How many have asked to take part in an open session.
    pub registrants: u32,
    /// How many of them have solved.
    pub solvers: u32,
    /// Number of parties on the final list.
    pub parties: u16,
}

/// How far the nodes are with a threshold key, for people. Nodes are named by their places.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GenerationStatus {
    /// The epoch whose key is made, or was.
    pub epoch: u64,
    /// Runs that came to nothing before this one.
    pub attempt: u32,
    /// Where it stands.
    pub phase: GenerationPhase,
    /// Nodes that have dealt.
    pub dealt: Vec<u16>,
    /// Nodes that have looked at all dealings.
    pub checked: Vec<u16>,
    /// Dealers that some node accuses.
    pub accused: Vec<u16>,
    /// Accused dealers that have answered.
    pub answered: Vec<u16>,
    /// Nodes that have vouched for the outcome.
    pub endorsed: Vec<u16>,
}

impl GenerationStatus {
    /// Where `generation` stands.
    pub fn of(generation: &Generation) -> Self {
        fn there<T>(by_node: &[Option<T>]) -> Vec<u16> {
            (0..).zip(by_node).filter(|(_, step)| step.is_some()).map(|(node, _)| node).collect()
        }
        let dealt = there(&generation.dealings);
        Self {
            epoch: generation.epoch,
            attempt: generation.attempt,
            phase: generation.phase,
            checked: there(&generation.checks),
            accused: dealt.iter().copied().filter(|dealer| generation.accusers(*dealer).next().is_some()).collect(),
            answered: there(&generation.answers),
            endorsed: generation.endorsements.iter().map(|endorsement| endorsement.node).collect(),
            dealt,
        }
    }
}

/// How a node is doing, for people: it is not signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {
    /// The chain.
    pub chain: ChainId,
    /// The node's name.
    pub name: String,
    /// Version of the software.
    pub version: String,
    /// What orders the blocks: `cometbft` or `solo`.
    pub consensus: String,
    /// The newest block.
    pub at: BoardAt,
    /// Sessions that are not erased.
    pub live_sessions: u32,
    /// True if the node can take writes now.
    pub ready: bool,
    /// Why not, if not.
    pub reasons: Vec<String>,
    /// What its operator should know though it takes writes.
    pub warnings: Vec<String>,
    /// The newest generation of the nodes' threshold key; none until the node has looked at the board.
    pub generation: Option<GenerationStatus>,
}

/// How the payload of an operation in a transaction travels.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Carried {
    /// In the transaction, and so in a block for all time: at most [`crate::limits::MAX_INLINE_BYTES`], never a private one. Empty for
    /// an operation that has no payload.
    Inline {
        /// The payload.
        payload: Bytes,
    },
    /// Beside consensus.
    Beside {
        /// Its place in the transaction's bundle.
        place: u16,
    },
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TransactionItem {
    /// The operation.
    pub signed: Signed<Operation>,
    /// Where its payload is.
    pub payload: Carried,
}

impl TransactionItem {
    /// An operation with its payload in the transaction.
    pub fn inline(envelope: Envelope) -> Self {
        Self { signed: envelope.signed, payload: Carried::Inline { payload: envelope.payload } }
    }

    /// Checks what can be known from the item alone, apart from the signature.
    ///
    /// # Errors
    /// The code that a receipt would carry: [`Code::NotStored`] for a payload that must not stand in a block.
    pub fn check(&self) -> Result<(), Code> {
        let operation = &self.signed.body;
        operation.check_shape()?;
        match &self.payload {
            Carried::Inline { .. } if !operation.may_be_inline() => Err(Code::NotStored),
            Carried::Inline { payload } => operation.check_payload(payload),
            Carried::Beside { .. } if operation.payload_bytes().is_some() => Ok(()),
            Carried::Beside { .. } => Err(Code::PayloadMismatch),
        }
    }
}

/// A batch of operations as consensus orders it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// 1 to [`crate::limits::MAX_TRANSACTION_OPERATIONS`] operations.
    pub items: Vec<TransactionItem>,
    /// The bundle of those whose payloads travel beside, if there are any.
    pub bundle: Option<ConfirmedBundle>,
}

impl Transaction {
    /// A transaction that carries everything itself.
    pub fn inline(envelopes: impl IntoIterator<Item = Envelope>) -> Self {
        Self { items: envelopes.into_iter().map(TransactionItem::inline).collect(), bundle: None }
    }

    /// Parses a transaction within its bounds.
    ///
    /// # Errors
    /// [`Code::RequestTooLarge`] or [`Code::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Code> {
        if bytes.len() > crate::limits::MAX_TRANSACTION_BYTES {
            return Err(Code::RequestTooLarge);
        }
        let transaction: Self = borsh::from_slice(bytes).map_err(|_| Code::Malformed)?;
        let beside = transaction.items.iter().any(|item| matches!(item.payload, Carried::Beside { .. }));
        let sound = (1..=crate::limits::MAX_TRANSACTION_OPERATIONS).contains(&transaction.items.len())
            && beside == transaction.bundle.is_some();
        if !sound {
            return Err(Code::Malformed);
        }
        transaction.bundle.as_ref().map_or(Ok(()), ConfirmedBundle::check)?;
        Ok(transaction)
    }

    /// The transaction's bytes.
    pub fn encode(&self) -> Bytes {
        Bytes(borsh::to_vec(self).expect("borsh to a vector fails only for collections beyond u32 lengths"))
    }
}

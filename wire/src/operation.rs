//! What can be asked of the board.

use crate::{
    Bytes, Code, Envelope, ExchangeKey, G1Bytes, GenerationStep, Hash, MailboxId, MailboxKind, Message, PrivateTree,
    SessionId, SessionSpec, Stamp,
    hash::TaggedHash,
    limits::{MAX_BACKUP_BYTES, MAX_BACKUP_MS, MAX_INLINE_BYTES, MAX_PAYLOAD_BYTES, MAX_REASON_BYTES},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A request to change the board. The author is the key that signs it; a party's index follows from the session's list.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Opens a session; its id is [`SessionSpec::session_id`].
    CreateSession {
        /// What the session is.
        spec: Box<SessionSpec>,
        /// Lets one creator open the same specification more than once.
        nonce: Hash,
    },
    /// Appends to a mailbox, once per sender (P4.10 WriteKA, P5.4 Write).
    Write {
        /// The session and slot.
        mailbox: MailboxId,
        /// [`message_digest`] of a keying or broadcast payload; the Merkle root of a [`crate::PrivateSet`] for a private one.
        digest: Hash,
        /// Length of the payload in bytes.
        length: u32,
        /// Number of items of a private set, which must be n; 0 for every other kind.
        recipients: u16,
    },
    /// The author asks to take part in an open session (P4.3 step 1): its signature over this is the paper's sigma.
    Register {
        /// The session.
        session: SessionId,
        /// What the request has cost.
        stamp: Stamp,
    },
    /// The nodes' joint challenge for those who asked (P4.5 step 4), from any node.
    Challenge {
        /// The session.
        session: SessionId,
        /// The threshold signature over [`crate::challenge_message`].
        signature: G1Bytes,
    },
    /// The author has solved the challenge (P4.3 step 2). The payload is a [`Solution`] and travels beside consensus.
    Solve {
        /// The session.
        session: SessionId,
        /// [`message_digest`] of the payload.
        digest: Hash,
        /// Length of the payload in bytes.
        length: u32,
    },
    /// The author has its output and needs the session no more (§V-E a).
    Terminate {
        /// The session.
        session: SessionId,
    },
    /// The author gives up (§V-E a).
    Abort {
        /// The session.
        session: SessionId,
        /// Why, for people: at most [`MAX_REASON_BYTES`].
        reason: String,
    },
    /// The author has read the ended session and will write no more (§V-E a).
    Ack {
        /// The session.
        session: SessionId,
        /// A height at or after the session's end that the author has read,
        height: u64,
        /// and the board's root at that height.
        root: Hash,
    },
    /// A node asks an idle chain for a block, for a deadline has come by its clock. Changes nothing itself.
    Tick {
        /// The deadline, in milliseconds of block time.
        deadline_ms: u64,
        /// Makes each repetition a new transaction.
        attempt: u32,
    },
    /// A node takes part in the generation of the cluster's threshold key.
    Generate {
        /// The epoch whose key is made.
        epoch: u64,
        /// The run.
        attempt: u32,
        /// What the node does.
        step: Box<GenerationStep>,
    },
    /// A node that has lost the secret of its exchange key names another, to which shares are sealed from the next run on.
    ReplaceExchangeKey {
        /// The new key.
        key: ExchangeKey,
    },
    /// An operator, or a node whose share is lost, wants a new threshold key: its generation begins.
    RenewKey {
        /// Its epoch: one after the newest.
        epoch: u64,
    },
    /// A party leaves a backup at the nodes (§V-E d), in place of any that it has left before. The payload is a [`crate::Backup`] and
    /// travels beside consensus; it stays when the session is erased.
    Backup {
        /// The session.
        session: SessionId,
        /// Greater than that of any backup that the party has made or erased before, and at most [`crate::limits::MAX_BACKUPS`].
        number: u32,
        /// [`message_digest`] of the payload.
        digest: Hash,
        /// Length of the payload in bytes.
        length: u32,
        /// It is to be kept for so long, in milliseconds of block time.
        keep_ms: u64,
    },
    /// A party wants its backup erased.
    EraseBackup {
        /// The session.
        session: SessionId,
        /// Greater than that of any backup that the party has made or erased before, and at most one more than the greatest of a backup.
        number: u32,
    },
}

impl Message for Operation {
    const TAG: &'static str = "operation";
}

/// The digest under which a keying or broadcast payload is signed and chained.
pub fn message_digest(payload: &[u8]) -> Hash {
    TaggedHash::new("message").bytes(payload).finish()
}

impl Operation {
    /// The session that the operation is about, if it is about an existing one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Write { mailbox, .. } => Some(mailbox.session),
            Self::Register { session, .. }
            | Self::Challenge { session, .. }
            | Self::Solve { session, .. }
            | Self::Terminate { session }
            | Self::Abort { session, .. }
            | Self::Ack { session, .. }
            | Self::Backup { session, .. }
            | Self::EraseBackup { session, .. } => Some(*session),
            Self::CreateSession { .. }
            | Self::Tick { .. }
            | Self::Generate { .. }
            | Self::ReplaceExchangeKey { .. }
            | Self::RenewKey { .. } => None,
        }
    }

    /// Length of the operation's payload in bytes; none for an operation that has no payload.
    pub fn payload_bytes(&self) -> Option<u32> {
        match self {
            Self::Write { length, .. } | Self::Solve { length, .. } | Self::Backup { length, .. } => Some(*length),
            _ => None,
        }
    }

    /// True if the payload may stand in a block, as far as the operation alone tells: short ones that are not private, and neither solutions
    /// nor backups, of which nodes say that they are right by confirming them.
    pub fn may_be_inline(&self) -> bool {
        match self {
            Self::Write { mailbox, length, .. } => mailbox.kind != MailboxKind::Private && *length <= MAX_INLINE_BYTES,
            Self::Solve { .. } | Self::Backup { .. } => false,
            _ => true,
        }
    }

    /// Checks what can be known from the operation alone.
    ///
    /// # Errors
    /// The code that a receipt would carry.
    pub fn check_shape(&self) -> Result<(), Code> {
        match self {
            Self::CreateSession { spec, .. } => spec.check(),
            Self::Write { mailbox, length, .. } => {
                if *length > MAX_PAYLOAD_BYTES {
                    Err(Code::PayloadTooLarge)
                } else if mailbox.round >= crate::limits::MAX_ROUNDS {
                    Err(Code::RoundOutOfRange)
                } else {
                    Ok(())
                }
            }
            Self::Solve { length, .. } if *length > MAX_PAYLOAD_BYTES => Err(Code::PayloadTooLarge),
            Self::Backup { length, .. } if *length > MAX_BACKUP_BYTES => Err(Code::PayloadTooLarge),
            Self::Backup { keep_ms, .. } if !(1..=MAX_BACKUP_MS).contains(keep_ms) => Err(Code::Malformed),
            Self::Abort { reason, .. } if reason.len() > MAX_REASON_BYTES => Err(Code::Malformed),
            Self::Generate { step, .. } => step.check_shape(),
            Self::Register { .. }
            | Self::Challenge { .. }
            | Self::Solve { .. }
            | Self::Terminate { .. }
            | Self::Abort { .. }
            | Self::Ack { .. }
            | Self::Tick { .. }
            | Self::ReplaceExchangeKey { .. }
            | Self::RenewKey { .. }
            | Self::Backup { .. }
            | Self::EraseBackup { .. } => Ok(()),
        }
    }

    /// Checks that `payload` is the one that this operation signs, and nothing else.
    ///
    /// # Errors
    /// [`Code::PayloadMismatch`], or [`Code::Malformed`] for a private payload that is no [`crate::PrivateSet`] encoding.
    pub fn check_payload(&self, payload: &Bytes) -> Result<(), Code> {
        let is_same = match self {
            Self::Write { length, .. } | Self::Solve { length, .. } | Self::Backup { length, .. }
                if payload.length() != *length =>
            {
                false
            }
            Self::Write { mailbox, digest, recipients, .. } if mailbox.kind == MailboxKind::Private => {
                let tree = PrivateTree::decode(payload.clone())?;
                tree.root() == *digest && tree.parties() == usize::from(*recipients)
            }
            Self::Write { digest, recipients, .. } => message_digest(&payload.0) == *digest && *recipients == 0,
            Self::Solve { digest, .. } | Self::Backup { digest, .. } => message_digest(&payload.0) == *digest,
            _ => payload.0.is_empty(),
        };
        if is_same { Ok(()) } else { Err(Code::PayloadMismatch) }
    }
}

impl Envelope {
    /// Checks everything that can be checked without the board: bounds, payload, chain, signature.
    /// Whether a private set has an item for each party is left to the ledger, which knows the session's list.
    ///
    /// # Errors
    /// The code that a receipt would carry.
    pub fn verify(self, chain: &crate::ChainId) -> Result<(crate::Verified<Operation>, Bytes), Code> {
        self.signed.body.check_shape()?;
        self.signed.body.check_payload(&self.payload)?;
        Ok((self.signed.verify(chain)?, self.payload))
    }

    /// The operation's name.
    pub fn id(&self) -> crate::OperationId {
        crate::OperationId(self.signed.digest().0)
    }
}

//! Board facts: the key/value pairs under the root, and the answers in which nodes tell them.

use crate::{
    Bytes, ChainId, Code, Hash, ListKind, MailboxHead, MailboxId, MailboxKind, Message, OperationId, PrivateItem,
    PublicKey, RoundState, SessionId, SessionRecord, Signature, Signed, hash::TaggedHash,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The key of a fact. Its value is the borsh encoding of the type named with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize)]
pub enum FactKey {
    /// [`crate::NetworkParameters`].
    Network,
    /// [`SessionRecord`].
    Session(SessionId),
    /// The parties' keys in index order, `Vec<PublicKey>`.
    Parties(SessionId),
    /// [`MailboxHead`].
    Mailbox(MailboxId),
    /// [`RoundState`].
    Round(SessionId, u32),
    /// [`crate::ListHead`] of one of an open session's lists.
    List(SessionId, ListKind),
    /// [`crate::EndorsedKeyRecord`] of an epoch.
    Keys(u64),
    /// [`crate::Generation::digest`] of the generation of an epoch's key.
    Generation(u64),
    /// [`crate::BackupRecord`] of a party, by its index.
    Backup(SessionId, u16),
    /// The nodes' exchange keys, `Vec<ExchangeKey>`, once one of them has replaced its own. Without this fact they are those of genesis.
    ExchangeKeys,
}

impl FactKey {
    /// The key under which the fact lies in the Jellyfish Merkle tree.
    pub fn hash(&self) -> Hash {
        TaggedHash::new("fact").value(self).finish()
    }
}

/// A decided block, as far as the board is concerned.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BoardAt {
    /// Height of the block.
    pub height: u64,
    /// Time of the block, in milliseconds since 1970.
    pub time_ms: u64,
    /// Root of the board after the block.
    pub root: Hash,
}

/// A fact and the block as of which a node tells it. Nobody signs it, unless as a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer<F> {
    /// The block: the newest certified one, for a receipt the newest.
    pub at: BoardAt,
    /// What the board holds.
    pub fact: F,
}

/// An answer under the node's identity key: what one node says. Of facts of the board there are better answers, [`crate::Certified`]; of a
/// receipt there is only this.
pub type Report<F> = Signed<Answer<F>>;

impl Message for Answer<Receipt> {
    const TAG: &'static str = "answer-receipt";
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionFact {
    /// Its id.
    pub session: SessionId,
    /// Its record.
    pub record: SessionRecord,
}

/// A session's list of parties. Its digest is in the session's record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PartiesFact {
    /// The session's id.
    pub session: SessionId,
    /// All keys, in index order.
    pub parties: Vec<PublicKey>,
}

/// What of an entry's payload an answer carries.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Body {
    /// Nothing: a private mailbox was read without naming a recipient, or the reader asked for none.
    Omitted,
    /// The whole payload of a keying or broadcast write.
    Message {
        /// The payload.
        payload: Bytes,
    },
    /// The recipient's item of a private write.
    Private {
        /// The item, or none.
        item: Option<PrivateItem>,
        /// Its path to the root that the sender signed.
        path: Vec<Hash>,
    },
}

/// One entry of a mailbox, with all that is needed to check that its sender signed it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Index of the sender.
    pub sender: u16,
    /// Digest (keying, broadcast) or root (private) of the payload.
    pub digest: Hash,
    /// Length of the whole payload in bytes.
    pub length: u32,
    /// The sender's signature over the write operation.
    pub signature: Signature,
    /// The payload, or what concerns the reader of it.
    pub body: Body,
}

/// A part of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MailboxFact {
    /// The slot.
    pub mailbox: MailboxId,
    /// Whose items the entries carry, for a private mailbox.
    pub recipient: Option<u16>,
    /// How far the mailbox has come.
    pub head: MailboxHead,
    /// The state of the round, if the session has a round timeout and somebody has written.
    pub round: Option<RoundState>,
    /// Position of the first entry below.
    pub from: u32,
    /// The chain's head before the first entry below, so that a page can be checked by itself.
    pub from_head: Hash,
    /// Entries in consensus order, without gaps. Fewer than asked for if the page is full or the mailbox ends.
    pub entries: Vec<Entry>,
    /// What of the chain follows the entries, up to the head.
    pub rest: Vec<Link>,
    /// The session's record, if nobody has written: an empty mailbox says so only while the session is not erased.
    pub session: Option<Box<SessionRecord>>,
}

/// What an entry adds to a mailbox's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Index of the sender.
    pub sender: u16,
    /// Digest or root of the payload.
    pub digest: Hash,
}

/// That there is no such session and never was one, for its record outlives its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoSession {
    /// The id.
    pub session: SessionId,
}

/// A fact that can be proved.
pub trait Provable {
    /// The values under the root that the fact is made of, in the order of the proofs in [`crate::Certified`]: their keys, and their
    /// encodings, or `None` for one that is not there.
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)>;
}

/// One value: the parameters.
impl Provable for crate::NetworkParameters {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::Network, Some(encode(self)))]
    }
}

/// One value: the record.
impl Provable for SessionFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::Session(self.session), Some(encode(&self.record)))]
    }
}

/// One value, which is not there: the record.
impl Provable for NoSession {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::Session(self.session), None)]
    }
}

/// One value: the list.
impl Provable for PartiesFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::Parties(self.session), Some(encode(&self.parties)))]
    }
}

/// The head, which is not there if nobody has written; unless the mailbox is a keying one, the state of the round, which is there only if the
/// session has a round timeout and somebody has written in the round; and if nobody has written here, the session's record.
impl Provable for MailboxFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        let MailboxId { session, kind, round } = self.mailbox;
        let is_empty = self.head.count == 0;
        let mut values = vec![(FactKey::Mailbox(self.mailbox), (!is_empty).then(|| encode(&self.head)))];
        if kind != MailboxKind::Keying {
            values.push((FactKey::Round(session, round), self.round.as_ref().map(encode)));
        }
        if is_empty {
            values.push((FactKey::Session(session), self.session.as_ref().map(encode)));
        }
        values
    }
}

pub(crate) fn encode<T: BorshSerialize>(value: &T) -> Bytes {
    Bytes(borsh::to_vec(value).expect("borsh to a vector fails only for collections beyond u32 lengths"))
}

/// What the board did with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The operation.
    pub operation: OperationId,
    /// Height of the block that decided it.
    pub height: u64,
    /// Place in that block, from 0, over all its operations.
    pub position: u32,
    /// What was done.
    pub code: Code,
}

impl Entry {
    /// The digest that the entry's sender signed, if `author` is that sender and the session has `parties` parties.
    pub fn signed_digest(&self, chain: &ChainId, author: &PublicKey, mailbox: &MailboxId, parties: u16) -> Hash {
        let recipients = if mailbox.kind == MailboxKind::Private { parties } else { 0 };
        let operation =
            crate::Operation::Write { mailbox: *mailbox, digest: self.digest, length: self.length, recipients };
        crate::signed::digest(chain, author, &operation)
    }
}

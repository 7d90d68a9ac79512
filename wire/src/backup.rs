//! Backups: what a party keeps at the nodes for the day on which it loses its device (§V-E d).
//!
//! The owner picks a polynomial, seals one share of it to each node, and encrypts its bytes under a key that needs two things: the value
//! of a function that f + 1 nodes must evaluate together with their shares, and what only the owner has, its identity or a passphrase.
//! The nodes evaluate it blindly (`bls::oblivious`), so that none of them learns the key, and none can try a passphrase by itself.

use crate::{
    Bytes, ChainId, Code, ExchangeKey, FactKey, G1Bytes, G2Bytes, Hash, Message, OperationId, Provable, PublicKey,
    SEALED_SHARE_BYTES, SessionId, Signature,
    fact::encode,
    fault_tolerance,
    hash::TaggedHash,
    limits::{MAX_BACKUP_BYTES, MAX_NODES, MAX_PASSPHRASE_LANES, MAX_PASSPHRASE_MEMORY_KIB, MAX_PASSPHRASE_PASSES},
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Bytes of a passphrase's salt.
pub const SALT_BYTES: usize = 16;

/// What the owner must have to open a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Lock {
    /// The identity under which it is a party. Nodes answer nobody else.
    Identity,
    /// A passphrase, through Argon2id (RFC 9106). Nodes answer anybody, but not often.
    Passphrase {
        /// Random.
        salt: [u8; SALT_BYTES],
        /// m, in KiB.
        memory_kib: u32,
        /// t.
        passes: u32,
        /// p.
        lanes: u32,
    },
}

impl Lock {
    fn is_sound(&self) -> bool {
        match *self {
            Self::Identity => true,
            Self::Passphrase { memory_kib, passes, lanes, .. } => {
                (1..=MAX_PASSPHRASE_LANES).contains(&lanes)
                    && (1..=MAX_PASSPHRASE_PASSES).contains(&passes)
                    && (lanes.saturating_mul(8)..=MAX_PASSPHRASE_MEMORY_KIB).contains(&memory_kib)
            }
        }
    }
}

/// The payload of [`crate::Operation::Backup`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Backup {
    /// The chain,
    pub chain: ChainId,
    /// the session,
    pub session: SessionId,
    /// and the party whose backup it is.
    pub owner: PublicKey,
    /// What opens it beside the nodes.
    pub lock: Lock,
    /// Commitments to the polynomial's f + 1 coefficients, lowest first.
    pub commitments: Vec<G2Bytes>,
    /// The owner's ephemeral key, to which the shares are sealed together with the nodes' exchange keys.
    pub ephemeral: ExchangeKey,
    /// Share i + 1, sealed to node i: [`SEALED_SHARE_BYTES`] each, k of them.
    pub shares: Vec<Bytes>,
    /// What is backed up, encrypted.
    pub ciphertext: Bytes,
}

impl Backup {
    /// The payload's bytes.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// Parses a payload within its bounds, of a party in a session and for so many nodes.
    ///
    /// # Errors
    /// [`Code::BadBackup`].
    pub fn decode(
        payload: &[u8],
        chain: &ChainId,
        session: &SessionId,
        owner: &PublicKey,
        nodes: usize,
    ) -> Result<Self, Code> {
        let is_short = u32::try_from(payload.len()).is_ok_and(|length| length <= MAX_BACKUP_BYTES);
        let parsed = is_short.then(|| borsh::from_slice::<Self>(payload).ok()).flatten().ok_or(Code::BadBackup)?;
        let is_theirs = (&parsed.chain, &parsed.session, &parsed.owner) == (chain, session, owner);
        let is_sound = parsed.lock.is_sound()
            && (1..=MAX_NODES).contains(&nodes)
            && parsed.shares.len() == nodes
            && parsed.commitments.len() == fault_tolerance(nodes) + 1
            && parsed.shares.iter().all(|share| share.0.len() == SEALED_SHARE_BYTES);
        if is_theirs && is_sound { Ok(parsed) } else { Err(Code::BadBackup) }
    }

    /// The context in which the share of the node at `place` is sealed to its `exchange` key.
    pub fn place(&self, place: u16, exchange: &ExchangeKey) -> Hash {
        let hash = TaggedHash::new("sealed-backup-share").bytes(self.context().0);
        hash.value(&place).value(exchange).finish()
    }

    /// What the ciphertext's key is bound to: everything but shares and ciphertext.
    pub fn context(&self) -> Hash {
        let hash = TaggedHash::new("backup").value(&self.chain).bytes(self.session.0).bytes(self.owner.0);
        hash.value(&self.lock).value(&self.commitments).value(&self.ephemeral).finish()
    }
}

/// A backup that the nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeptBackup {
    /// [`crate::message_digest`] of its payload.
    pub digest: Hash,
    /// Length of its payload in bytes.
    pub length: u32,
    /// It is kept for so long, in milliseconds.
    pub keep_ms: u64,
    /// When it is erased, in milliseconds of block time. `None` until the block after the one that took it, whose time starts the clock.
    pub deadline_ms: Option<u64>,
}

/// What the board knows of a party's backup: the value of [`FactKey::Backup`]. It outlives the backup, so that an older one is never
/// taken for new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BackupRecord {
    /// The number that its owner gave it; the next one's must be greater.
    pub number: u32,
    /// The operation of that number.
    pub operation: OperationId,
    /// The backup; `None` once it is erased, by its owner or because its time is over.
    pub kept: Option<KeptBackup>,
}

/// A party's backup.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BackupFact {
    /// The session.
    pub session: SessionId,
    /// Index of the party.
    pub party: u16,
    /// What the board knows; `None` if the party has never made a backup.
    pub record: Option<BackupRecord>,
    /// The payload, if it was asked for and is kept. Its digest is in the record.
    pub payload: Option<Bytes>,
}

/// One value: the record.
impl Provable for BackupFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::Backup(self.session, self.party), self.record.as_ref().map(encode))]
    }
}

/// The nodes' exchange keys, as far as they are not those of genesis.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExchangeKeysFact {
    /// By node; `None` if all nodes have those of genesis.
    pub keys: Option<Vec<ExchangeKey>>,
}

/// One value: the keys.
impl Provable for ExchangeKeysFact {
    fn values(&self) -> Vec<(FactKey, Option<Bytes>)> {
        vec![(FactKey::ExchangeKeys, self.keys.as_ref().map(encode))]
    }
}

/// An owner asks a node for its part of what opens a backup. What is signed; a question about a backup that a passphrase opens is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RestoreRequest {
    /// The session.
    pub session: SessionId,
    /// The operation that made the backup.
    pub backup: OperationId,
    /// Identity of the node that is asked.
    pub node: PublicKey,
    /// The blinded input.
    pub point: G1Bytes,
}

impl Message for RestoreRequest {
    const TAG: &'static str = "restore-request";
}

/// Body of `POST /v1/sessions/{session}/backups/{party}/evaluations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreQuestion {
    /// The operation that made the backup.
    pub backup: OperationId,
    /// The blinded input: a point of G1, compressed.
    pub point: G1Bytes,
    /// The owner's signature over the [`RestoreRequest`], as [`crate::Signed`] makes it, if the backup opens with its identity.
    pub signature: Option<Signature>,
}

/// The node's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RestoreAnswer {
    /// The blinded input to the power of the node's share: a point of G1, compressed. The backup's commitments show that it is right.
    pub partial: G1Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(nodes: usize) -> Backup {
        Backup {
            chain: "here".parse().unwrap(),
            session: SessionId([1; 32]),
            owner: PublicKey([2; 32]),
            lock: Lock::Identity,
            commitments: vec![G2Bytes([3; 96]); fault_tolerance(nodes) + 1],
            ephemeral: ExchangeKey([4; 32]),
            shares: vec![Bytes(vec![5; SEALED_SHARE_BYTES]); nodes],
            ciphertext: Bytes(vec![6; 100]),
        }
    }

    #[test]
    fn a_backup_names_whose_it_is_and_is_for_as_many_nodes_as_there_are() {
        let whole = backup(4);
        let (chain, session, owner) = (&whole.chain, &whole.session, &whole.owner);
        let payload = whole.encode().0;
        assert_eq!(Backup::decode(&payload, chain, session, owner, 4), Ok(whole.clone()));
        let refused = Err(Code::BadBackup);
        assert_eq!(Backup::decode(&payload, &"there".parse().unwrap(), session, owner, 4), refused);
        assert_eq!(Backup::decode(&payload, chain, &SessionId([9; 32]), owner, 4), refused);
        assert_eq!(Backup::decode(&payload, chain, session, &PublicKey([9; 32]), 4), refused);
        assert_eq!(Backup::decode(&payload, chain, session, owner, 5), refused);
        assert_eq!(Backup::decode(&payload[1..], chain, session, owner, 4), refused);
        assert_eq!(Backup::decode(&[payload, vec![0]].concat(), chain, session, owner, 4), refused);
        let mut short = whole.clone();
        short.shares[3].0.pop();
        assert_eq!(Backup::decode(&short.encode().0, chain, session, owner, 4), refused);
        let few = Backup { commitments: vec![G2Bytes([3; 96])], ..whole.clone() };
        assert_eq!(Backup::decode(&few.encode().0, chain, session, owner, 4), refused);
    }

    #[test]
    fn what_a_passphrase_costs_has_bounds() {
        let whole = backup(1);
        let decode = |memory_kib, passes, lanes| {
            let lock = Lock::Passphrase { salt: [7; SALT_BYTES], memory_kib, passes, lanes };
            let payload = Backup { lock, ..whole.clone() }.encode().0;
            Backup::decode(&payload, &whole.chain, &whole.session, &whole.owner, 1).is_ok()
        };
        assert!(decode(1 << 16, 3, 4) && decode(32, 1, 4));
        assert!(!decode(31, 1, 4) && !decode(u32::MAX, 3, 4));
        assert!(!decode(1 << 16, 0, 4) && !decode(1 << 16, u32::MAX, 4));
        assert!(!decode(1 << 16, 3, 0) && !decode(1 << 16, 3, u32::MAX));
    }

    #[test]
    fn the_longest_fits() {
        let most = Backup { ciphertext: Bytes(vec![6; crate::limits::MAX_SECRET_BYTES + 16]), ..backup(MAX_NODES) };
        assert!(most.encode().length() <= MAX_BACKUP_BYTES);
    }

    #[test]
    fn a_share_has_its_own_place() {
        let whole = backup(4);
        let key = ExchangeKey([8; 32]);
        let mut places = vec![whole.place(0, &key), whole.place(1, &key), whole.place(0, &ExchangeKey([9; 32]))];
        let lock = Lock::Passphrase { salt: [7; SALT_BYTES], memory_kib: 64, passes: 1, lanes: 1 };
        let others = [
            Backup { chain: "there".parse().unwrap(), ..whole.clone() },
            Backup { session: SessionId([9; 32]), ..whole.clone() },
            Backup { owner: PublicKey([9; 32]), ..whole.clone() },
            Backup { lock, ..whole.clone() },
            Backup { commitments: vec![G2Bytes([9; 96]); 2], ..whole.clone() },
            Backup { ephemeral: ExchangeKey([9; 32]), ..whole.clone() },
        ];
        places.extend(others.iter().map(|other| other.place(0, &key)));
        assert_eq!(places.iter().collect::<std::collections::BTreeSet<_>>().len(), places.len());
    }
}

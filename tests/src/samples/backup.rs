//! What crosses a wire when a party leaves a backup, and restores it.

use super::{chain, key, session};
use wire::{
    Backup, BackupFact, BackupRecord, Bytes, ExchangeKey, ExchangeKeysFact, G1Bytes, G2Bytes, KeptBackup, Lock,
    Operation, OperationId, RestoreAnswer, RestoreQuestion, RestoreRequest, SEALED_SHARE_BYTES, Signature,
    message_digest,
};

/// What locks a backup with a passphrase.
pub const PASSPHRASE: Lock = Lock::Passphrase { salt: [5; 16], memory_kib: 65_536, passes: 3, lanes: 4 };

/// The operation that leaves [`backup`].
pub fn backup_operation() -> Operation {
    let payload = backup().encode();
    let (digest, length) = (message_digest(&payload.0), payload.length());
    Operation::Backup { session: session(), number: 3, digest, length, keep_ms: 86_400_000 }
}

/// A backup for four nodes, of bytes that are no points and open with nothing.
pub fn backup() -> Backup {
    Backup {
        chain: chain(),
        session: session(),
        owner: key(1),
        lock: PASSPHRASE,
        commitments: vec![G2Bytes([6; 96]); 2],
        ephemeral: ExchangeKey([7; 32]),
        shares: vec![Bytes(vec![8; SEALED_SHARE_BYTES]); 4],
        ciphertext: Bytes(vec![9; 20]),
    }
}

/// What is kept of it.
pub fn kept_backup() -> KeptBackup {
    let payload = backup().encode();
    let (digest, length) = (message_digest(&payload.0), payload.length());
    KeptBackup { digest, length, keep_ms: 86_400_000, deadline_ms: Some(1_700_086_400_000) }
}

/// What the board knows of it.
pub fn backup_record() -> BackupRecord {
    BackupRecord { number: 3, operation: OperationId([4; 32]), kept: Some(kept_backup()) }
}

/// The same as a node shows it.
pub fn backup_fact() -> BackupFact {
    BackupFact { session: session(), party: 0, record: Some(backup_record()), payload: Some(backup().encode()) }
}

/// Four nodes' exchange keys, of which one has been replaced.
pub fn exchange_keys() -> ExchangeKeysFact {
    ExchangeKeysFact { keys: Some([1, 2, 77, 4].map(|byte| ExchangeKey([byte; 32])).into()) }
}

/// What an owner signs to restore.
pub fn restore_request() -> RestoreRequest {
    RestoreRequest { session: session(), backup: OperationId([4; 32]), node: key(20), point: G1Bytes([5; 48]) }
}

/// What it asks.
pub fn restore_question() -> RestoreQuestion {
    let RestoreRequest { backup, point, .. } = restore_request();
    RestoreQuestion { backup, point, signature: Some(Signature([6; 64])) }
}

/// What a node answers.
pub fn restore_answer() -> RestoreAnswer {
    RestoreAnswer { partial: G1Bytes([7; 48]) }
}

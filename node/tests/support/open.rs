//! Open sessions: what strangers must do to become parties.

#![allow(dead_code, reason = "each test uses a part")]

use pow::{Parameters, Puzzle, hashcash};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::sync::atomic::AtomicBool;
use wire::*;

pub(crate) fn key(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

/// Terms with work of some milliseconds, for which devices are given `work_ms`: an adversary like two of them gets two identities.
pub(crate) fn terms(registering_ms: u64, work_ms: u64) -> OpenTerms {
    let work = Work { version: pow::VERSION, leaf_hashes: 64, leaves_log2: 10, openings: 64 };
    let hashes = Parameters::new(work.leaf_hashes, work.leaves_log2, work.openings).unwrap().total_hashes();
    OpenTerms {
        registering_ms,
        stamp_bits: 4,
        work,
        hash_rate: hashes * 1000 / work_ms,
        slack_ms: work_ms / 8,
        head_start_ms: work_ms / 2,
        adversary: 1,
        soundness_bits: 20,
    }
}

pub(crate) fn spec(terms: OpenTerms, min_parties: u16, max_parties: u16) -> SessionSpec {
    SessionSpec {
        title: "for strangers".to_owned(),
        program: Program { name: "none".to_owned(), version: "1".to_owned(), digest: Hash([0; 32]) },
        admission: Admission::Open { terms },
        min_parties,
        max_parties,
        corruption_threshold: 2,
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 1,
        max_message_bytes: 10,
        max_party_bytes: 10,
        padded_bytes: None,
        inline_payloads: true,
        keying_ms: 3_600_000,
        running_ms: 1000,
        retention_ms: 1000,
        round_timeout_ms: None,
    }
}

pub(crate) fn sign(chain: &ChainId, author: &Keypair, operation: Operation) -> Envelope {
    Envelope { signed: Signed::sign(author, chain.clone(), operation, OsRng), payload: Bytes::default() }
}

/// A request with a stamp that is good until `expiry_ms`.
pub(crate) fn request(
    chain: &ChainId,
    session: SessionId,
    terms: &OpenTerms,
    author: &Keypair,
    expiry_ms: u64,
) -> Envelope {
    let context = Stamp::context(chain, &session, &key(author), expiry_ms);
    let nonce = hashcash::mint(&context.0, terms.stamp_bits, 0, &|_| {}, &AtomicBool::new(false)).unwrap();
    sign(chain, author, Operation::Register { session, stamp: Stamp { expiry_ms, nonce } })
}

/// The solution of a key.
pub(crate) fn solution(chain: &ChainId, session: SessionId, terms: &OpenTerms, key: PublicKey, c: Hash) -> Solution {
    let Work { leaf_hashes, leaves_log2, openings, .. } = terms.work;
    let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).unwrap();
    let puzzle = Puzzle { challenge: c.0, key: key.0 };
    let proof = pow::solve(&parameters, &puzzle, 1, &|_| {}, &AtomicBool::new(false)).unwrap();
    Solution { chain: chain.clone(), session, key, proof: Bytes(proof) }
}

/// The operation that brings `payload` as a solution.
pub(crate) fn solve(chain: &ChainId, session: SessionId, author: &Keypair, payload: Bytes) -> Envelope {
    let (digest, length) = (message_digest(&payload.0), payload.length());
    Envelope { payload, ..sign(chain, author, Operation::Solve { session, digest, length }) }
}

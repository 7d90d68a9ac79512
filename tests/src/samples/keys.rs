//! One fixed value of everything that the threshold key is made of. The points are no points: `bls` has vectors of its own.

use super::{at, chain, key, keypair, mailbox, node_keys, rng, session, sign};
use wire::{
    Bytes, Certificate, CertificateShare, Dealing, EndorsedKeyRecord, Endorsement, ExchangeKey, FactKey, FactLeaf,
    FactProof, G1Bytes, G2Bytes, Generation, GenerationPhase, GenerationStep, Hash, KeyRecord, MailboxKind,
    PublishedShare, ScalarBytes, Signed,
};

/// The key of epoch 1, of persons 21 to 24.
pub fn key_record() -> KeyRecord {
    KeyRecord { epoch: 1, first_height: 5, group_key: G2Bytes([0xa1; 96]), identities: (21..25).map(key).collect() }
}

/// Node `node`'s word for it.
pub fn endorsement(node: u16) -> Endorsement {
    let seed = 21 + u8::try_from(node).expect("one of four nodes");
    Endorsement { node, signature: Signed::sign(&keypair(seed), chain(), key_record(), rng()).signature }
}

/// The record as a client gets it; as no first one has it, with a signature of the key before.
pub fn endorsed() -> EndorsedKeyRecord {
    let endorsements = vec![endorsement(0), endorsement(2)];
    EndorsedKeyRecord { record: key_record(), endorsements, previous: Some(G1Bytes([0xb1; 48])) }
}

/// A certificate of the block of all samples.
pub fn certificate() -> Certificate {
    Certificate { epoch: 1, at: at(), signature: G1Bytes([0xb2; 48]) }
}

/// Node 0's share of it.
pub fn certificate_share() -> Signed<CertificateShare> {
    sign(21, CertificateShare { epoch: 1, at: at(), partial: G1Bytes([0xb3; 48]) })
}

/// A path to another leaf, and one to none.
pub fn fact_proofs() -> Vec<FactProof> {
    let fact = FactKey::Mailbox(mailbox(MailboxKind::Broadcast, 7));
    let leaf = FactLeaf { key: fact.hash(), value: Hash([4; 32]) };
    vec![
        FactProof { other: Some(leaf), siblings: vec![Hash([1; 32]), Hash([2; 32])] },
        FactProof { other: None, siblings: vec![Hash([3; 32])] },
        FactProof { other: Some(FactLeaf { key: FactKey::Session(session()).hash(), ..leaf }), siblings: Vec::new() },
    ]
}

/// What a node of four deals.
pub fn dealing() -> Dealing {
    Dealing {
        commitments: vec![G2Bytes([0xc1; 96]), G2Bytes([0xc2; 96])],
        ephemeral: ExchangeKey([0xe1; 32]),
        shares: (1..5).map(|share| Bytes(vec![share; wire::generation::SEALED_SHARE_BYTES])).collect(),
    }
}

/// Each step.
pub fn generation_steps() -> Vec<(&'static str, GenerationStep)> {
    let share = PublishedShare { recipient: 2, share: ScalarBytes([0x0d; 32]) };
    let signature = endorsement(1).signature;
    vec![
        ("a deal", GenerationStep::Deal { dealing: dealing() }),
        ("nobody is accused", GenerationStep::Check { accused: Vec::new() }),
        ("two are accused", GenerationStep::Check { accused: vec![0, 3] }),
        ("an answer", GenerationStep::Answer { shares: vec![share] }),
        ("an endorsement of the first key", GenerationStep::Endorse { signature, partial: None }),
        ("an endorsement of a later key", GenerationStep::Endorse { signature, partial: Some(G1Bytes([0xb4; 48])) }),
    ]
}

/// A generation in which much has happened.
pub fn generation() -> Generation {
    let begun = Generation::new(1, 2, (21..25).map(|seed| node_keys(seed).exchange).collect());
    let share = PublishedShare { recipient: 2, share: ScalarBytes([0x0d; 32]) };
    Generation {
        phase: GenerationPhase::Done,
        deadline_ms: Some(1_700_000_030_000),
        dealings: vec![Some(dealing()), Some(dealing()), Some(dealing()), None],
        checks: vec![Some(vec![]), Some(vec![]), Some(vec![0]), None],
        answers: vec![Some(vec![share]), None, None, None],
        qualified: vec![0, 1, 2],
        public_shares: vec![G2Bytes([0xd1; 96]); 4],
        record: Some(key_record()),
        endorsements: vec![endorsement(0), endorsement(2)],
        partials: vec![(0, G1Bytes([0xb4; 48]))],
        endorsed: Some(endorsed()),
        ..begun
    }
}

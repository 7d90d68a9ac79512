//! One fixed value of everything by which strangers come into a session.

use super::{NONCE, at, chain, key, session, sign, spec};
use wire::{
    Admission, Bytes, ChallengeShare, G1Bytes, ListFact, ListHead, ListKind, OpenTerms, Operation, Phase,
    RegistrationState, SessionId, SessionRecord, SessionSpec, Signed, Solution, Stamp, Work, api::PhaseStatus,
    challenge, final_list, list_digest, message_digest,
};

/// A minute of work for a device that does 17.9 million hashes a second.
pub fn terms() -> OpenTerms {
    OpenTerms {
        registering_ms: 600_000,
        stamp_bits: 20,
        work: Work { version: 1, leaf_hashes: 4096, leaves_log2: 18, openings: 93 },
        hash_rate: 17_900_000,
        slack_ms: 10_000,
        head_start_ms: 5000,
        adversary: 4,
        soundness_bits: 64,
    }
}

/// A session to which strangers come: 20 to 50 parties, 10 of whom may be corrupted.
pub fn open_spec() -> SessionSpec {
    let (min_parties, max_parties, corruption_threshold) = (20, 50, 10);
    SessionSpec {
        admission: Admission::Open { terms: terms() },
        min_parties,
        max_parties,
        corruption_threshold,
        ..spec()
    }
}

/// A session of the parties of another one.
pub fn group_spec() -> SessionSpec {
    SessionSpec { admission: Admission::Group { parent: session() }, ..spec() }
}

/// The open session, created by person 9.
pub fn open_session() -> SessionId {
    open_spec().session_id(&chain(), &key(9), &NONCE)
}

/// The nodes' signature that makes the challenge; no point.
pub const CHALLENGE: G1Bytes = G1Bytes([0xb5; 48]);

/// How far registration is: still open; to be drawn; drawn.
pub fn registrations() -> [RegistrationState; 3] {
    let open = RegistrationState { epoch: 1, drawn_from_ms: None, challenge: None };
    let closed = RegistrationState { drawn_from_ms: Some(1_700_000_000_000), ..open };
    [open, closed, RegistrationState { challenge: Some(CHALLENGE), ..closed }]
}

/// The open session while its challenge is being solved.
pub fn open_record() -> SessionRecord {
    SessionRecord {
        spec: open_spec(),
        phase: Phase::Solving,
        registration: Some(registrations()[2]),
        parties: 0,
        list: list_digest(&[]),
        ..super::young_record()
    }
}

/// A stamp, which shows no work.
pub fn stamp() -> Stamp {
    Stamp { expiry_ms: 1_700_000_600_000, nonce: 0x0123_4567_89ab_cdef }
}

/// What person 1 hands in; no proof.
pub fn solution() -> Solution {
    Solution { chain: chain(), session: open_session(), key: key(1), proof: Bytes((0..40).collect()) }
}

/// Node 0's share of the challenge.
pub fn challenge_share() -> Signed<ChallengeShare> {
    sign(21, ChallengeShare { session: open_session(), epoch: 1, partial: G1Bytes([0xb6; 48]) })
}

/// What strangers and nodes ask of the board, with what it is called.
pub fn registration_operations() -> Vec<(&'static str, Operation)> {
    let (session, payload) = (open_session(), solution().encode());
    vec![
        ("create an open session", Operation::CreateSession { spec: Box::new(open_spec()), nonce: NONCE }),
        ("create a group", Operation::CreateSession { spec: Box::new(group_spec()), nonce: NONCE }),
        ("register", Operation::Register { session, stamp: stamp() }),
        ("bring the challenge", Operation::Challenge { session, signature: CHALLENGE }),
        ("solve", Operation::Solve { session, digest: message_digest(&payload.0), length: payload.length() }),
    ]
}

/// Persons 1 to 3 on the list of those who have asked: all of it, its end, and an empty list.
pub fn lists() -> Vec<(&'static str, ListFact)> {
    let (session, list) = (open_session(), ListKind::Registrants);
    let empty = ListHead::empty(&chain(), &session, list);
    let keys = vec![key(3), key(1), key(2)];
    let mut head = empty;
    head.append(&keys[0]);
    let from_head = head.head;
    keys[1..].iter().for_each(|key| head.append(key));
    let all = ListFact { session, list, head, from: 0, from_head: empty.head, keys, record: None };
    let end = ListFact { from: 1, from_head, keys: all.keys[1..].to_vec(), ..all.clone() };
    let none = ListHead::empty(&chain(), &session, ListKind::Solvers);
    let nobody = ListFact {
        list: ListKind::Solvers,
        head: none,
        from_head: none.head,
        keys: Vec::new(),
        record: Some(Box::new(open_record())),
        ..all.clone()
    };
    vec![("those who have asked", all), ("without the first", end), ("nobody has solved", nobody)]
}

/// The final list if all three have solved.
pub fn final_parties() -> Vec<wire::PublicKey> {
    final_list(&challenge(&CHALLENGE), lists()[0].1.keys.clone())
}

/// The session's phase as people read it.
pub fn phase_status() -> PhaseStatus {
    PhaseStatus {
        at: at(),
        session: open_session(),
        phase: Phase::Solving,
        deadline_ms: Some(1_700_000_090_000),
        left_ms: Some(12_345),
        challenge: true,
        registrants: 3,
        solvers: 0,
        parties: 0,
    }
}

//! Everything that a stranger, a node or a creator can do wrong has its own code, and changes nothing.

use super::world::{REGISTERING_MS, SOLVING_MS, World, open_spec, terms};
use ledger::{Block, Payload, Submitted};
use wire::{
    Admission, Bytes, Code, G1Bytes, ListKind, OpenTerms, Operation, Phase, SessionId, SessionSpec, Stamp, Work,
};

fn challenge(session: SessionId, signature: G1Bytes) -> Operation {
    Operation::Challenge { session, signature }
}

#[test]
fn every_flaw_of_a_request_has_its_code() {
    let mut world = World::new(false);
    let nowhere = SessionId([9; 32]);
    assert_eq!(world.register("ann", nowhere), Code::UnknownSession);
    let ann = world.cast.key("ann");
    let invited = world.create("invited", crate::kit::spec(vec![ann]));
    assert_eq!(world.register("ann", invited), Code::NotOpen);
    let (one, other) = (open_spec(), SessionSpec { max_rounds: 1, ..open_spec() });
    let other = world.create("other", other);

    // In the very block that creates it, a session has no deadline for which a stamp could be made.
    let spec = SessionSpec { title: "one".to_owned(), ..one };
    let creator = world.cast.key("olga");
    let id = spec.session_id(&world.cast.chain, &creator, &wire::Hash([0; 32]));
    let create = Operation::CreateSession { spec: Box::new(spec), nonce: wire::Hash([0; 32]) };
    let create = world.cast.submit("olga", create, Bytes::default()).unwrap();
    let stamp = world.stamp("bob", id, world.now + REGISTERING_MS);
    let early = world.cast.submit("bob", Operation::Register { session: id, stamp }, Bytes::default()).unwrap();
    let both = [create, early.clone()].map(|operation| Submitted::Verified(operation, Payload::Inline));
    let receipts = world.apply(both.into()).receipts;
    assert_eq!([receipts[0].code, receipts[1].code], [Code::Accepted, Code::TooEarly]);
    assert_eq!(world.state.check(&early), Err(Code::TooEarly));
    world.wait(0);
    let deadline = world.phase(id).1.unwrap();

    let with = |world: &mut World, stamp: Stamp| {
        world.submit("ann", Operation::Register { session: id, stamp }, Bytes::default())
    };
    let now = world.now;
    for (expiry_ms, code) in [
        (now, Code::StampExpired),
        (deadline + 1, Code::StampExpired),
        (0, Code::StampExpired),
        (u64::MAX, Code::StampExpired),
    ] {
        let stamp = world.stamp("ann", id, expiry_ms);
        assert_eq!(with(&mut world, stamp), code, "{expiry_ms}");
    }
    let good = world.stamp("ann", id, deadline);
    let of_another_session = world.unlike((id, "ann"), (other, "ann"), deadline);
    let of_another_key = world.unlike((id, "ann"), (id, "ben"), deadline);
    let nonce = (0..).find(|nonce| !world.is_stamp("ann", id, deadline, *nonce)).unwrap();
    for stamp in [of_another_session, of_another_key, Stamp { nonce, ..good }] {
        assert_eq!(with(&mut world, stamp), Code::BadStamp);
    }
    assert_eq!(with(&mut world, good), Code::Accepted);
    assert_eq!(with(&mut world, good), Code::DuplicateSame);
    let again = world.stamp("ann", id, deadline - 1);
    assert_eq!(with(&mut world, again), Code::AlreadyRegistered);
    let soon = world.stamp("ben", id, now + 1);
    assert_eq!(world.submit("ben", Operation::Register { session: id, stamp: soon }, Bytes::default()), Code::Accepted);
    world.now = deadline;
    assert_eq!(world.register("dan", id), Code::RegistrationClosed);
    assert_eq!(
        world.submit("ann", Operation::Register { session: id, stamp: good }, Bytes::default()),
        Code::RegistrationClosed
    );
}

/// A session in which ann to fay have asked and the nodes may draw.
pub fn asked(world: &mut World, title: &str, spec: SessionSpec) -> SessionId {
    let id = world.create(title, spec);
    world.wait(0);
    for name in super::SIX {
        assert_eq!(world.register(name, id), Code::Accepted);
    }
    world.wait(REGISTERING_MS);
    world.wait(0);
    assert_eq!(world.phase(id).0, Phase::Solving);
    id
}

#[test]
fn only_the_nodes_joint_signature_is_the_challenge() {
    let mut world = World::new(false);
    let other = world.create("other", open_spec());
    let id = world.create("party", open_spec());
    let good = world.challenge(id, 1);
    assert_eq!(world.submit("east", challenge(id, good), Bytes::default()), Code::WrongPhase, "requests are not over");
    world.wait(0);
    for name in &super::SIX[..4] {
        assert_eq!(world.register(name, id), Code::Accepted);
    }
    world.wait(REGISTERING_MS);
    world.wait(0);
    let foreign = world.challenge(other, 1);
    assert_eq!(world.submit("ann", challenge(id, good), Bytes::default()), Code::NotPermitted);
    assert_eq!(world.submit("east", challenge(SessionId([9; 32]), good), Bytes::default()), Code::UnknownSession);
    for wrong in [foreign, G1Bytes([0; 48]), G1Bytes([0xff; 48])] {
        assert_eq!(world.submit("east", challenge(id, wrong), Bytes::default()), Code::BadChallenge);
    }
    assert_eq!(world.solve("ann", id), Code::NoChallenge);

    // Who sends a wrong one is not heard again in that block; the others are, and so is it in the next one.
    let all = [("east", foreign), ("east", good), ("west", good), ("east", good), ("north", good)];
    let submit = |(by, signature)| {
        let verified = world.cast.submit(by, challenge(id, signature), Bytes::default()).unwrap();
        Submitted::Verified(verified, Payload::Inline)
    };
    let operations = all.map(submit).into();
    let receipts = world.apply(operations).receipts;
    let codes: Vec<Code> = receipts.iter().map(|receipt| receipt.code).collect();
    let expected = [Code::BadChallenge, Code::BadChallenge, Code::Accepted, Code::BadChallenge, Code::DuplicateSame];
    assert_eq!(codes, expected);
    assert_eq!(world.submit("east", challenge(id, good), Bytes::default()), Code::DuplicateSame);
    assert_eq!(world.submit("east", challenge(id, foreign), Bytes::default()), Code::WrongPhase);
    let ann = world.cast.key("ann");
    let invited = world.create("invited", crate::kit::spec(vec![ann]));
    assert_eq!(world.submit("east", challenge(invited, good), Bytes::default()), Code::NotOpen);
}

#[test]
fn every_flaw_of_a_solution_has_its_code() {
    let mut world = World::new(false);
    let ann = world.cast.key("ann");
    let invited = world.create("invited", crate::kit::spec(vec![ann]));
    assert_eq!(world.solve("ann", invited), Code::NotOpen);
    assert_eq!(world.solve("ann", SessionId([9; 32])), Code::UnknownSession);
    let id = asked(&mut world, "party", open_spec());
    assert_eq!(world.solve("gil", id), Code::NotRegistered);
    assert_eq!(world.draw("north", id, 1), Code::Accepted);
    assert_eq!(world.solve("gil", id), Code::NotRegistered);
    assert_eq!(world.solve_by("ann", id, &[1; 30_000], &[]), Code::PayloadTooLarge, "no proof is as long as that");

    let inline = world.solution("ann", id, b"proof");
    assert_eq!(
        world.one(Submitted::Verified(inline, Payload::Inline)),
        Code::NotStored,
        "somebody must have verified it"
    );
    let two = [("north", false), ("east", false), ("south", true), ("ann", false)];
    assert_eq!(world.solve_by("ann", id, b"proof", &two), Code::NotStored);
    assert_eq!(world.solve("ann", id), Code::Accepted);
    assert_eq!(world.solve_by("ann", id, b"proof", &[]), Code::DuplicateSame, "whoever confirms it");
    assert_eq!(world.solve_by("ann", id, b"another proof", &[]), Code::DuplicateDifferent);
    for name in &super::SIX[1..5] {
        assert_eq!(world.solve(name, id), Code::Accepted);
    }
    assert_eq!(world.solve("fay", id), Code::ListFull, "there is room for five");
    assert_eq!(world.state.list(&id, ListKind::Solvers).unwrap().count, 5);
    world.wait(SOLVING_MS);
    assert_eq!(world.solve("fay", id), Code::SolvingClosed);
    assert_eq!(world.solve("ann", id), Code::DuplicateSame);
}

#[test]
fn terms_that_hold_nobody_off_are_refused() {
    let mut world = World::new(false);
    let with = |change: fn(&mut OpenTerms)| {
        let mut terms = terms();
        change(&mut terms);
        SessionSpec { admission: Admission::Open { terms }, ..open_spec() }
    };
    let work = |leaf_hashes, leaves_log2, openings| Work { version: 1, leaf_hashes, leaves_log2, openings };
    let weak = |work: Work| SessionSpec {
        admission: Admission::Open { terms: OpenTerms { work, hash_rate: 1 << 40, ..terms() } },
        ..open_spec()
    };
    for (why, spec, code) in [
        (
            "two identities are more than one",
            SessionSpec { corruption_threshold: 1, ..open_spec() },
            Code::ThresholdTooSmall,
        ),
        ("two devices have more", with(|terms| terms.adversary = 2), Code::ThresholdTooSmall),
        ("so has a head start", with(|terms| terms.head_start_ms = 600), Code::ThresholdTooSmall),
        ("another leaf function", with(|terms| terms.work.version = 2), Code::WeakWork),
        ("no leaf hashes", weak(work(0, 10, 64)), Code::WeakWork),
        ("no openings", weak(work(64, 10, 0)), Code::WeakWork),
        ("too few openings for the soundness", weak(work(1, 10, 1)), Code::WeakWork),
        ("proofs of more than a megabyte", weak(work(64, 24, 8192)), Code::WeakWork),
        ("proofs that take seconds to verify", weak(work(1 << 17, 8, 64)), Code::WeakWork),
        (
            "more than a year to solve",
            with(|terms| {
                (terms.hash_rate, terms.work) = (1, Work { leaf_hashes: 1 << 12, leaves_log2: 14, ..terms.work })
            }),
            Code::InvalidSpecification,
        ),
        ("no time to register", with(|terms| terms.registering_ms = 0), Code::InvalidSpecification),
        (
            "more than half corrupted at least",
            SessionSpec { min_parties: 2, ..open_spec() },
            Code::InvalidSpecification,
        ),
    ] {
        assert_eq!(world.try_create(why, spec).1, code, "{why}");
    }
    assert_eq!(world.try_create("good", open_spec()).1, Code::Accepted);
}

#[test]
fn a_block_takes_a_thousand_requests() {
    let mut world = World::new(false);
    let id = world.create("party", open_spec());
    world.wait(0);
    let requests: Vec<_> = (0..1000).map(|i| world.request(&format!("stranger {i}"), id)).collect();
    let mut state = world.state.clone();
    let operations: Vec<_> =
        requests.into_iter().map(|request| Submitted::Verified(request, Payload::Inline)).collect();
    let outcome = world.apply(operations.clone());
    assert!(outcome.receipts.iter().all(|receipt| receipt.code == Code::Accepted));
    assert_eq!(world.state.list(&id, ListKind::Registrants).unwrap().count, 1000);
    let block = Block { height: state.height() + 1, time_ms: world.now, operations };
    assert_eq!(state.apply(&block), outcome);
}

//! Sessions to which too few came, or whose challenge was not drawn in time; and a challenge under a key that is no longer the newest.

use super::{
    SIX,
    refusals::asked,
    world::{HEAD_START_MS, REGISTERING_MS, SOLVING_MS, World, open_spec},
};
use wire::{
    Bytes, Code, EndReason, FactKey, ListHead, ListKind, MailboxId, MailboxKind, Operation, Phase, Quotas, SessionId,
    SessionSpec, message_digest,
};

fn ended(world: &World, session: SessionId) -> (EndReason, Phase) {
    let end = world.state.session(&session).unwrap().end.unwrap();
    assert_eq!(end.height, world.state.height());
    (end.reason, end.phase)
}

/// Nobody is a party of it: nothing can be done but wait until it is gone.
fn is_dead(world: &mut World, session: SessionId) {
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let (height, root) = (world.state.height(), world.state.root());
    for by in ["ann", "olga", "north"] {
        for operation in [
            Operation::Terminate { session },
            Operation::Abort { session, reason: String::new() },
            Operation::Ack { session, height, root },
        ] {
            assert_eq!(world.submit(by, operation, Bytes::default()), Code::NotAParty);
        }
        let write = Operation::Write { mailbox, digest: message_digest(b""), length: 0, recipients: 0 };
        assert_eq!(world.submit(by, write, Bytes::default()), Code::NotAParty);
    }
    let drawn = world.state.session(&session).unwrap().registration.unwrap().challenge.is_some();
    let code = if drawn { Code::DuplicateSame } else { Code::WrongPhase };
    assert_eq!(world.draw("east", session, 1), code);
    assert_eq!(world.register("gil", session), Code::RegistrationClosed);
    assert_eq!(world.solve("gil", session), Code::SolvingClosed);
    let (phase, deadline) = world.phase(session);
    assert_eq!(phase, Phase::Ended);
    let live = world.state.live_sessions();
    world.now = deadline.unwrap();
    world.wait(0);
    assert_eq!((world.phase(session), world.state.live_sessions()), ((Phase::Erased, None), live - 1));
    for list in [ListKind::Registrants, ListKind::Solvers] {
        assert_eq!(world.value::<ListHead>(FactKey::List(session, list)), None);
        let ann = world.cast.key("ann");
        assert!(!world.state.is_listed(&session, list, &ann));
    }
    assert_eq!(world.value::<Vec<wire::PublicKey>>(FactKey::Parties(session)), Some(vec![]));
    assert!(world.state.next_deadline().is_none_or(|due| due > 3_600_000), "only the nodes' key has a clock");
}

#[test]
fn with_too_few_requests_it_ends_at_once() {
    let mut world = World::new(false);
    let id = world.create("party", open_spec());
    let terminate = Operation::Terminate { session: id };
    assert_eq!(world.submit("ann", terminate, Bytes::default()), Code::WrongPhase, "there are no parties yet");
    world.wait(0);
    for name in &SIX[..3] {
        assert_eq!(world.register(name, id), Code::Accepted);
    }
    world.wait(REGISTERING_MS);
    assert_eq!(ended(&world, id), (EndReason::Expired, Phase::Registering));
    is_dead(&mut world, id);
}

#[test]
fn without_a_challenge_in_time_it_ends() {
    let mut world = World::new(false);
    let id = asked(&mut world, "party", open_spec());
    world.wait(HEAD_START_MS - 1);
    assert_eq!(world.phase(id).0, Phase::Solving);
    world.now += 1;
    assert_eq!(world.draw("east", id, 1), Code::WrongPhase, "late by one block");
    assert_eq!(ended(&world, id), (EndReason::Expired, Phase::Solving));
    is_dead(&mut world, id);
}

/// The block that holds the challenge has a good time; but the votes for it are late, and their time is the next block's.
#[test]
fn a_challenge_that_was_decided_late_is_late() {
    for (late, phase) in [(0, Phase::Solving), (1, Phase::Ended)] {
        let mut world = World::new(late == 1);
        let id = asked(&mut world, "party", open_spec());
        let last = world.phase(id).1.unwrap();
        world.wait(HEAD_START_MS - 1);
        assert_eq!(world.draw("east", id, 1), Code::Accepted);
        world.now = last + late;
        world.wait(0);
        assert_eq!(world.phase(id).0, phase);
        if phase == Phase::Ended {
            assert_eq!(ended(&world, id), (EndReason::Expired, Phase::Solving));
            world.wait(0);
            is_dead(&mut world, id);
        } else {
            assert_eq!(world.phase(id).1, Some(last + SOLVING_MS));
        }
    }
}

#[test]
fn with_too_few_solutions_it_ends() {
    let mut world = World::new(true);
    let id = asked(&mut world, "party", open_spec());
    assert_eq!(world.draw("east", id, 1), Code::Accepted);
    for name in &SIX[..3] {
        assert_eq!(world.solve(name, id), Code::Accepted);
    }
    world.wait(SOLVING_MS);
    assert_eq!(ended(&world, id), (EndReason::Expired, Phase::Solving));
    is_dead(&mut world, id);
}

#[test]
fn a_session_that_came_to_nothing_gives_its_place_back() {
    let quotas = Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 50_000 };
    let mut world = World::with(quotas, false);
    let id = world.create("party", open_spec());
    let second = SessionSpec { keying_ms: 9, ..open_spec() };
    assert_eq!(world.try_create("second", second.clone()).1, Code::QuotaExceeded);
    world.wait(0);
    world.wait(REGISTERING_MS);
    world.wait(0);
    world.now = world.phase(id).1.unwrap();
    assert_eq!(world.try_create("second", second).1, Code::Accepted);
    assert_eq!(world.phase(id).0, Phase::Erased);
}

/// Orders the key of `epoch`, which the nodes make.
fn renew(world: &mut World, epoch: u64) {
    assert_eq!(world.submit("olga", Operation::RenewKey { epoch }, Bytes::default()), Code::Accepted);
    for _ in 0..3 {
        let outcome = world.nodes.block(&mut world.state, world.now);
        world.store.keep(&outcome.events);
    }
    assert_eq!(world.state.newest_keys().unwrap().record.epoch, epoch);
}

/// The challenge's key is the one that was the newest when the session was created, so that there is only one challenge. What makes the shares of it
/// is kept until they are not needed any more.
#[test]
fn the_key_may_be_renewed_meanwhile() {
    let mut world = World::new(false);
    let old = world.create("old", open_spec());
    world.wait(0);
    for name in &SIX[..5] {
        assert_eq!(world.register(name, old), Code::Accepted);
    }
    renew(&mut world, 2);
    let new = world.create("new", open_spec());
    let epoch = |world: &World, id| world.state.session(&id).unwrap().registration.unwrap().epoch;
    assert_eq!((epoch(&world, old), epoch(&world, new)), (1, 2));
    world.wait(0);
    for name in &SIX[..5] {
        assert_eq!(world.register(name, new), Code::Accepted);
    }
    world.wait(REGISTERING_MS);
    world.wait(0);
    let has_dealings = |world: &World| -> Vec<bool> {
        world.state.generations().values().map(wire::Generation::has_dealings).collect()
    };
    assert_eq!(has_dealings(&world), [true, true]);
    assert_eq!(world.draw("east", old, 2), Code::BadChallenge);
    assert_eq!(world.draw("west", old, 1), Code::Accepted);
    renew(&mut world, 3);
    assert_eq!(has_dealings(&world), [false, true, true], "of the first nobody needs a share now");
    assert_eq!(world.draw("east", new, 2), Code::Accepted);
    assert_eq!(world.solve("ann", old), Code::Accepted);
}

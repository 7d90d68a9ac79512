//! Strangers come into a session: who is in time is in, who is late is out, and everybody else hears why.

mod backups;
mod ends;
mod groups;
mod histories;
mod refusals;
mod rows;
mod world;

use wire::{
    Bytes, Code, ListKind, MailboxId, MailboxKind, Operation, Phase, SessionId, challenge, final_list, message_digest,
};
use world::{HEAD_START_MS, REGISTERING_MS, SOLVING_MS, World};
pub use world::{open_spec, terms};

const SIX: [&str; 6] = ["ann", "ben", "cho", "dan", "eva", "fay"];

/// All come, five solve; the sixth asks in time and solves too late, a seventh asks too late. Gives the session and all roots.
fn history(restarting: bool) -> (World, SessionId, Vec<wire::Hash>) {
    let mut world = World::new(restarting);
    let id = world.create("party", open_spec());
    assert_eq!(world.phase(id), (Phase::Registering, None), "its clock starts with the next block");
    world.wait(0);
    let begun = world.now;
    let deadline = begun + REGISTERING_MS;
    assert_eq!(world.phase(id), (Phase::Registering, Some(deadline)));
    for name in &SIX[..5] {
        assert_eq!(world.register(name, id), Code::Accepted);
    }
    assert_eq!(world.state.list(&id, ListKind::Registrants).unwrap().count, 5);

    // The last block before the deadline, and the first one at it.
    world.now = deadline - 1;
    assert_eq!(world.register("fay", id), Code::Accepted, "in time is in");
    world.now = deadline;
    assert_eq!(world.register("gil", id), Code::RegistrationClosed, "late is out");
    assert_eq!(world.phase(id), (Phase::Solving, None));
    assert_eq!(world.solve("ann", id), Code::NoChallenge);
    let drawing = world.now + HEAD_START_MS;
    assert_eq!(world.phase(id), (Phase::Solving, Some(drawing)));

    world.now = drawing - 1;
    assert_eq!(world.draw("east", id, 1), Code::Accepted);
    assert_eq!(world.phase(id), (Phase::Solving, None), "its clock starts anew with the next block");
    assert_eq!(world.solve("eva", id), Code::Accepted);
    let deadline = world.now + SOLVING_MS;
    assert_eq!(world.phase(id), (Phase::Solving, Some(deadline)));
    for name in ["ben", "ann", "dan"] {
        assert_eq!(world.solve(name, id), Code::Accepted);
    }
    world.now = deadline - 1;
    assert_eq!(world.solve("cho", id), Code::Accepted, "in time is in");
    assert_eq!(world.state.parties(&id).unwrap(), []);
    world.now = deadline;
    assert_eq!(world.solve("fay", id), Code::SolvingClosed, "late is out");
    assert_eq!(world.phase(id), (Phase::Keying, None));
    let roots = std::mem::take(&mut world.roots);
    (world, id, roots)
}

#[test]
fn who_asks_and_solves_in_time_is_a_party() {
    let (mut world, id, _) = history(false);
    let record = world.state.session(&id).unwrap().clone();
    let solvers = SIX[..5].iter().map(|name| world.cast.key(name));
    let drawn = record.registration.unwrap().challenge.unwrap();
    let expected = final_list(&challenge(&drawn), solvers);
    assert_eq!(world.state.parties(&id).unwrap(), expected, "sorted by H(c, key), whoever solved first");
    assert_eq!((record.parties, record.list), (5, wire::list_digest(&expected)));
    assert_eq!(world.value::<Vec<wire::PublicKey>>(wire::FactKey::Parties(id)), Some(expected.clone()));

    // They go on as parties that were invited do.
    for name in &SIX[..5] {
        let mailbox = MailboxId { session: id, kind: MailboxKind::Keying, round: 0 };
        let write = Operation::Write { mailbox, digest: message_digest(b"key"), length: 3, recipients: 0 };
        assert_eq!(world.submit(name, write, Bytes(b"key".to_vec())), Code::Accepted);
    }
    assert_eq!(world.phase(id).0, Phase::Running);
    let terminate = Operation::Terminate { session: id };
    for name in &SIX[..3] {
        assert_eq!(world.submit(name, terminate.clone(), Bytes::default()), Code::Accepted);
    }
    assert_eq!(world.phase(id).0, Phase::Ended);
    assert_eq!(world.submit("fay", terminate, Bytes::default()), Code::NotAParty, "too late for a solution");
    assert_eq!(
        world.register("ann", id),
        Code::RegistrationClosed,
        "who asked once is not remembered for longer than it matters"
    );
    assert_eq!(world.solve("ann", id), Code::DuplicateSame);
    for name in &SIX[..5] {
        let (height, root) = (world.state.height(), world.state.root());
        let ack = Operation::Ack { session: id, height, root };
        assert_eq!(world.submit(name, ack, Bytes::default()), Code::Accepted);
    }
    assert_eq!(world.phase(id), (Phase::Erased, None));
    assert_eq!(world.value::<wire::ListHead>(wire::FactKey::List(id, ListKind::Registrants)), None);
    assert_eq!(world.state.list(&id, ListKind::Solvers), None);
    assert_eq!(world.register("ann", id), Code::RegistrationClosed, "after erasure nobody knows");
    assert_eq!(world.value(wire::FactKey::Parties(id)), Some(expected), "the list of parties stays");
}

#[test]
fn a_restart_at_every_height_changes_nothing() {
    let (_, _, roots) = history(false);
    assert!(roots.len() > 15);
    assert_eq!(roots, history(false).2, "the same operations give the same roots");
    assert_eq!(roots, history(true).2, "also for a node that restarts after every block");
}

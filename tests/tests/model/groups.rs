//! Parties that go on under a new session: no new registration, no new keys, the same indices.

use super::{
    SIX,
    refusals::asked,
    world::{SOLVING_MS, World, open_spec},
};
use wire::{
    Admission, Bytes, Code, MailboxId, MailboxKind, Operation, Phase, PublicKey, SessionId, SessionSpec, message_digest,
};

fn group_of(parent: SessionId) -> SessionSpec {
    SessionSpec { admission: Admission::Group { parent }, ..open_spec() }
}

fn write(world: &mut World, by: &str, session: SessionId, kind: MailboxKind) -> Code {
    let mailbox = MailboxId { session, kind, round: 0 };
    let operation = Operation::Write { mailbox, digest: message_digest(b"hi"), length: 2, recipients: 0 };
    world.submit(by, operation, Bytes(b"hi".to_vec()))
}

/// Ann to eva are the parties of an open session that runs; eva has given no key.
fn running(world: &mut World) -> SessionId {
    let id = asked(world, "party", open_spec());
    assert_eq!(world.draw("east", id, 1), Code::Accepted);
    for name in &SIX[..5] {
        assert_eq!(world.solve(name, id), Code::Accepted);
    }
    world.wait(SOLVING_MS);
    world.wait(0);
    for name in &SIX[..4] {
        assert_eq!(write(world, name, id, MailboxKind::Keying), Code::Accepted);
    }
    assert_eq!(world.try_create("early", group_of(id)).1, Code::WrongParent, "the parent is still agreeing on keys");
    world.now = world.phase(id).1.unwrap();
    world.wait(0);
    assert_eq!(world.phase(id).0, Phase::Running);
    id
}

fn erase(world: &mut World, id: SessionId) {
    for name in &SIX[..3] {
        assert_eq!(world.submit(name, Operation::Terminate { session: id }, Bytes::default()), Code::Accepted);
    }
    for name in &SIX[..4] {
        let (height, root) = (world.state.height(), world.state.root());
        assert_eq!(world.submit(name, Operation::Ack { session: id, height, root }, Bytes::default()), Code::Accepted);
    }
    assert_eq!(world.phase(id), (Phase::Erased, None));
}

#[test]
fn a_group_is_its_parent_anew() {
    let mut world = World::new(true);
    let parent = running(&mut world);
    let child = world.create("child", group_of(parent));
    let (old, new) = (world.state.session(&parent).unwrap().clone(), world.state.session(&child).unwrap().clone());
    assert_eq!((new.phase, new.deadline_ms, new.registration), (Phase::Running, None, None));
    assert_eq!((new.parties, new.list, &new.absent), (5, old.list, &old.absent));
    assert_eq!(world.state.parties(&child), world.state.parties(&parent));
    assert_eq!(old.absent.len(), 1);
    assert_eq!(write(&mut world, "ann", child, MailboxKind::Keying), Code::WrongPhase, "there are keys");
    assert_eq!(write(&mut world, "ann", child, MailboxKind::Broadcast), Code::Accepted);
    assert_eq!(write(&mut world, "eva", child, MailboxKind::Broadcast), Code::Absent);
    assert_eq!(write(&mut world, "fay", child, MailboxKind::Broadcast), Code::NotAParty);
    assert_eq!(world.register("gil", child), Code::NotOpen);

    // The parent may be gone, and a group's group is one, too.
    erase(&mut world, parent);
    let late = world.create("late", group_of(parent));
    erase(&mut world, child);
    let grandchild = world.create("grandchild", group_of(child));
    for id in [late, grandchild] {
        assert_eq!(world.state.session(&id).unwrap().absent, old.absent);
        assert_eq!(write(&mut world, "dan", id, MailboxKind::Broadcast), Code::Accepted);
        assert_eq!(write(&mut world, "eva", id, MailboxKind::Broadcast), Code::Absent);
    }
}

#[test]
fn a_group_needs_a_parent_that_fits() {
    let mut world = World::new(true);
    assert_eq!(world.try_create("orphan", group_of(SessionId([9; 32]))).1, Code::WrongParent);
    let parent = running(&mut world);
    for (why, spec) in [
        ("more than the parties", SessionSpec { max_parties: 6, ..group_of(parent) }),
        ("fewer than the parties", SessionSpec { max_parties: 4, ..group_of(parent) }),
        ("one is absent", SessionSpec { min_parties: 5, ..group_of(parent) }),
    ] {
        assert_eq!(world.try_create(why, spec).1, Code::WrongParent, "{why}");
    }
    // The adversary's identities are still among them, however often they go on.
    let lax = |parent| SessionSpec { corruption_threshold: 1, ..group_of(parent) };
    assert_eq!(world.try_create("lax child", lax(parent)).1, Code::ThresholdTooSmall);
    let child = world.create("child", group_of(parent));
    assert_eq!(world.try_create("lax grandchild", lax(child)).1, Code::ThresholdTooSmall);

    // A session that failed before it ran has no parties who could go on.
    let abort = |by: &str, world: &mut World, id| {
        let operation = Operation::Abort { session: id, reason: String::new() };
        assert_eq!(world.submit(by, operation, Bytes::default()), Code::Accepted);
    };
    let keys: Vec<PublicKey> = SIX[..5].iter().map(|name| world.cast.key(name)).collect();
    let invited = world.create("invited", crate::kit::spec(keys.clone()));
    abort("ann", &mut world, invited);
    assert_eq!(world.try_create("of one that failed", group_of(invited)).1, Code::WrongParent);

    // Among parties that were invited any threshold goes.
    let other = world.create("invited again", SessionSpec { max_rounds: 1, ..crate::kit::spec(keys) });
    for name in &SIX[..5] {
        assert_eq!(write(&mut world, name, other, MailboxKind::Keying), Code::Accepted);
    }
    abort("ann", &mut world, other);
    let ended = world.create("of one that has ended", lax(other));
    assert_eq!(write(&mut world, "eva", ended, MailboxKind::Broadcast), Code::Accepted);
}

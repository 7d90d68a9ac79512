//! A node that has lost or changed a row of an open session, or of a group, does not come up with another board.

use super::{
    refusals::asked,
    world::{World, open_spec},
};
use crate::kit::Store;
use ledger::{Block, LedgerError, Payload, StoredListing, StoredSession, Submitted};
use wire::{
    Admission, Code, Hash, ListHead, ListKind, OperationId, Phase, PublicKey, SessionId, SessionSpec,
    limits::MAX_REQUESTS,
};

const LISTS: [ListKind; 2] = [ListKind::Registrants, ListKind::Solvers];

/// Six have asked, four have solved; and a session of two that runs, with a group.
fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new(false);
    let keys = [world.cast.key("ann"), world.cast.key("ben")];
    let spec = SessionSpec { keying_ms: 5, min_parties: 1, ..crate::kit::spec(keys.into()) };
    let parent = world.create("pair", spec.clone());
    world.wait(0);
    let ann = wire::MailboxId { session: parent, kind: wire::MailboxKind::Keying, round: 0 };
    let write = wire::Operation::Write { mailbox: ann, digest: wire::message_digest(b""), length: 0, recipients: 0 };
    assert_eq!(world.submit("ann", write, wire::Bytes::default()), Code::Accepted);
    world.wait(5);
    let group = SessionSpec { admission: Admission::Group { parent }, ..spec };
    let group = world.create("group", group);
    let id = asked(&mut world, "party", open_spec());
    assert_eq!(world.draw("east", id, 1), Code::Accepted);
    for name in &super::SIX[..4] {
        assert_eq!(world.solve(name, id), Code::Accepted);
    }
    (world, id, group)
}

fn error(world: &World, tamper: impl FnOnce(&mut Store)) -> LedgerError {
    let mut store = world.store.clone();
    tamper(&mut store);
    store.restore(world.state.parameters(), world.state.height()).unwrap_err()
}

#[test]
fn a_changed_or_lost_listing_is_named() {
    let (world, session, _) = world();
    for list in LISTS {
        let wrong = LedgerError::WrongListing { session, list, position: 2 };
        let lost = error(&world, |store| store.listings.retain(|key, _| *key != (session, list, 1)));
        assert_eq!(lost, wrong);
        let row = |store: &mut Store| *store.listings.get_mut(&(session, list, 2)).unwrap();
        let set = |store: &mut Store, row| store.listings.insert((session, list, 2), row);
        let head = error(&world, |store| {
            let row = StoredListing { head: Hash([0; 32]), ..row(store) };
            set(store, row);
        });
        assert_eq!(head, wrong);
        let key = error(&world, |store| {
            let row = StoredListing { key: PublicKey([1; 32]), ..row(store) };
            set(store, row);
        });
        assert_eq!(key, wrong);
        let twice = error(&world, |store| {
            let first = store.listings[&(session, list, 0)];
            let row = StoredListing { key: first.key, ..row(store) };
            set(store, row);
        });
        assert_eq!(twice, wrong);
    }
    let text = LedgerError::WrongListing { session, list: ListKind::Solvers, position: 2 }.to_string();
    assert!(text.contains("solvers") && text.contains(&session.to_string()), "{text}");
}

/// No test signs so many requests; the rows of them are enough.
#[test]
fn a_session_takes_only_so_many_requests() {
    let mut world = World::new(false);
    let id = world.create("party", open_spec());
    world.wait(0);
    let mut head = ListHead::empty(&world.cast.chain, &id, ListKind::Registrants);
    for position in 0..MAX_REQUESTS - 1 {
        let mut key = PublicKey([0; 32]);
        key.0[..4].copy_from_slice(&position.to_le_bytes());
        head.append(&key);
        let (session, list, operation) = (id, ListKind::Registrants, OperationId([0; 32]));
        let row = StoredListing { session, list, position, key, operation, head: head.head };
        world.store.listings.insert((id, list, position), row);
    }
    world.state = world.store.restore(world.state.parameters(), world.state.height()).unwrap();
    let codes = ["ann", "ben", "ann"].map(|by| {
        let request = Submitted::Verified(world.request(by, id), Payload::Inline);
        let block = Block { height: world.state.height() + 1, time_ms: world.now, operations: vec![request] };
        world.state.apply(&block).receipts[0].code
    });
    assert_eq!(codes, [Code::Accepted, Code::RequestsFull, Code::DuplicateSame]);
}

#[test]
fn a_solver_must_have_asked() {
    let (world, session, _) = world();
    let unasked = error(&world, |store| {
        store.listings.retain(|(_, list, position), _| *list == ListKind::Solvers || *position < 2);
    });
    assert!(matches!(unasked, LedgerError::WrongListing { list: ListKind::Solvers, .. }), "{unasked}");
    let stray = error(&world, |store| {
        let row = StoredListing { session: SessionId([9; 32]), ..store.listings[&(session, LISTS[0], 0)] };
        store.listings.insert((row.session, row.list, 0), row);
    });
    assert_eq!(stray, LedgerError::UnknownSession { session: SessionId([9; 32]) });
}

#[test]
fn parties_that_cannot_be_are_named() {
    let (world, session, group) = world();
    let with = |id: SessionId, change: fn(&mut StoredSession)| {
        error(&world, |store| change(store.sessions.get_mut(&id).unwrap()))
    };
    let seat = |stored: &mut StoredSession| {
        stored.parties = vec![PublicKey([1; 32])];
        (stored.record.parties, stored.record.list) = (1, wire::list_digest(&stored.parties));
    };
    assert_eq!(with(session, seat), LedgerError::WrongParties { session }, "strangers are still coming");
    assert_eq!(with(group, seat), LedgerError::WrongParties { session: group }, "they are not its parent's");
    assert_eq!(with(session, |stored| stored.record.registration = None), LedgerError::WrongParties { session });
    let unknown_key = |stored: &mut StoredSession| {
        stored.record.registration.iter_mut().for_each(|registration| registration.epoch = 7);
    };
    assert_eq!(with(session, unknown_key), LedgerError::WrongParties { session });
    assert_eq!(with(session, |stored| stored.record.phase = Phase::Keying), LedgerError::WrongParties { session });
    let registering = |stored: &mut StoredSession| stored.record.phase = Phase::Registering;
    assert_eq!(with(group, registering), LedgerError::WrongParties { session: group });
    let orphan = error(&world, |store| {
        let Admission::Group { parent } = store.sessions[&group].record.spec.admission else { return };
        store.sessions.remove(&parent);
        store.entries.retain(|(mailbox, _), _| mailbox.session != parent);
    });
    assert_eq!(orphan, LedgerError::WrongParties { session: group });
}

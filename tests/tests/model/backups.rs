//! Backups: who may leave one and when, which one counts, how long it is kept, and what all of them together may take.

use super::world::{HEAD_START_MS, NODES, REGISTERING_MS, World, open_spec};
use crate::kit::{self, Flaw};
use ledger::{Payload, Submitted};
use wire::{
    BackupRecord, Bytes, Code, ExchangeKey, FactKey, Hash, MailboxId, MailboxKind, Operation, Phase, Quotas, SessionId,
    SessionSpec, Verified,
    limits::{BACKUP_ROW_BYTES, MAX_BACKUP_BYTES, MAX_BACKUP_MS, MAX_BACKUPS, MAX_EXPIRED_BACKUPS},
    message_digest,
};

const ALL: [(&str, bool); 4] = [("north", false), ("east", false), ("south", false), ("west", false)];
const KEEP_MS: u64 = 1_000_000;

fn backup(session: SessionId, number: u32, length: u32) -> Operation {
    Operation::Backup { session, number, digest: Hash([7; 32]), length, keep_ms: KEEP_MS }
}

fn sign(world: &mut World, by: &str, operation: Operation) -> Verified<Operation> {
    let chain = world.cast.chain.clone();
    world.cast.sign(by, operation).verify(&chain).unwrap()
}

/// Handed in with these nodes' word for the payload.
fn leave_by(world: &mut World, by: &str, operation: Operation, nodes: &[(&str, bool)]) -> Code {
    let verified = sign(world, by, operation);
    let expiry_ms = world.now + 1000;
    let stored = world.cast.stored(&verified, expiry_ms, nodes, Flaw::None);
    world.one(Submitted::Verified(verified, stored))
}

fn leave(world: &mut World, by: &str, operation: Operation) -> Code {
    leave_by(world, by, operation, &ALL)
}

fn record(world: &World, session: SessionId, party: u16) -> Option<BackupRecord> {
    let fact = world.value(FactKey::Backup(session, party));
    assert_eq!(fact.as_ref(), world.state.backup(&session, party));
    fact
}

/// What is kept of a party: number, length and deadline.
fn kept(world: &World, session: SessionId, party: u16) -> Option<(u32, u32, Option<u64>)> {
    let record = record(world, session, party)?;
    record.kept.map(|kept| (record.number, kept.length, kept.deadline_ms))
}

/// A session of ann and ben, in which nobody has given a key.
fn open(world: &mut World, title: &str) -> SessionId {
    let keys = vec![world.cast.key("ann"), world.cast.key("ben")];
    world.create(title, SessionSpec { min_parties: 1, ..kit::spec(keys) })
}

fn give_key(world: &mut World, by: &str, session: SessionId) {
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let key = Operation::Write { mailbox, digest: message_digest(b"key"), length: 3, recipients: 0 };
    assert_eq!(world.submit(by, key, Bytes(b"key".to_vec())), Code::Accepted);
}

#[test]
fn only_a_greater_number_comes_in_the_place_of_the_one_before() {
    let mut world = World::new(true);
    let id = open(&mut world, "demo");
    assert_eq!(record(&world, id, 0), None);
    let nothing = Operation::EraseBackup { session: id, number: 1 };
    assert_eq!(world.submit("ann", nothing, Bytes::default()), Code::NoBackup, "who has left none has none to erase");
    assert_eq!(record(&world, id, 0), None);
    assert_eq!(leave(&mut world, "ann", backup(id, 3, 100)), Code::Accepted);
    assert_eq!(leave(&mut world, "ann", backup(id, 3, 100)), Code::DuplicateSame);
    assert_eq!(leave(&mut world, "ann", backup(id, 3, 101)), Code::DuplicateDifferent);
    assert_eq!(leave(&mut world, "ann", backup(id, 2, 100)), Code::OutdatedBackup);
    assert_eq!(kept(&world, id, 0).unwrap().0, 3);
    assert_eq!(leave(&mut world, "ann", backup(id, 5, 200)), Code::Accepted);
    assert_eq!((kept(&world, id, 0).unwrap().1, kept(&world, id, 1)), (200, None));
    assert_eq!(leave(&mut world, "ben", backup(id, 1, 300)), Code::Accepted, "everybody has numbers of their own");

    let erase = |number| Operation::EraseBackup { session: id, number };
    assert_eq!(world.submit("ann", erase(4), Bytes::default()), Code::OutdatedBackup);
    assert_eq!(world.submit("ann", erase(5), Bytes::default()), Code::DuplicateDifferent);
    assert_eq!(world.submit("ann", erase(6), Bytes::default()), Code::Accepted);
    assert_eq!(world.submit("ann", erase(6), Bytes::default()), Code::DuplicateSame);
    assert_eq!(leave(&mut world, "ann", backup(id, 5, 200)), Code::OutdatedBackup, "nobody brings it back");
    assert_eq!((record(&world, id, 0).unwrap().number, kept(&world, id, 0)), (6, None));
    assert_eq!(kept(&world, id, 1).unwrap().1, 300);
    assert_eq!(leave(&mut world, "ann", backup(id, 7, 50)), Code::Accepted);

    // There is an end of it, and of that one an end.
    assert_eq!(leave(&mut world, "ann", backup(id, MAX_BACKUPS + 1, 50)), Code::QuotaExceeded);
    assert_eq!(leave(&mut world, "ann", backup(id, MAX_BACKUPS, 50)), Code::Accepted);
    assert_eq!(world.submit("ann", erase(MAX_BACKUPS + 2), Bytes::default()), Code::QuotaExceeded);
    assert_eq!(world.submit("ann", erase(MAX_BACKUPS + 1), Bytes::default()), Code::Accepted);
    assert_eq!(leave(&mut world, "ann", backup(id, MAX_BACKUPS + 2, 50)), Code::QuotaExceeded);
}

#[test]
fn a_party_that_takes_part_may_and_nobody_else() {
    let mut world = World::new(false);
    let unknown = SessionId([9; 32]);
    assert_eq!(leave(&mut world, "ann", backup(unknown, 1, 100)), Code::UnknownSession);
    let party = world.create("party", open_spec());
    world.wait(0);
    assert_eq!(world.register("ann", party), Code::Accepted);
    assert_eq!(leave(&mut world, "ann", backup(party, 1, 100)), Code::WrongPhase, "there are no parties yet");
    world.wait(REGISTERING_MS);
    world.wait(HEAD_START_MS);
    assert_eq!(world.phase(party).0, Phase::Ended);
    assert_eq!(leave(&mut world, "ann", backup(party, 1, 100)), Code::NotAParty);

    let id = open(&mut world, "demo");
    assert_eq!(leave(&mut world, "zoe", backup(id, 1, 100)), Code::NotAParty);
    give_key(&mut world, "ann", id);
    assert_eq!(leave(&mut world, "ben", backup(id, 1, 100)), Code::Accepted, "there is time to give a key");
    let deadline = world.phase(id).1.unwrap();
    world.now = deadline;
    world.wait(0);
    assert_eq!(world.phase(id).0, Phase::Running);
    assert_eq!(leave(&mut world, "ben", backup(id, 2, 100)), Code::Absent);
    let erase = |number| Operation::EraseBackup { session: id, number };
    assert_eq!(world.submit("ben", erase(2), Bytes::default()), Code::Accepted, "it may still have its own erased");
    assert_eq!(leave(&mut world, "ann", backup(id, 1, MAX_BACKUP_BYTES + 1)), Code::PayloadTooLarge);
    for keep_ms in [0, MAX_BACKUP_MS + 1] {
        let session = id;
        let forever = Operation::Backup { session, number: 1, digest: Hash([7; 32]), length: 100, keep_ms };
        assert_eq!(leave(&mut world, "ann", forever), Code::Malformed);
    }
    assert_eq!(leave_by(&mut world, "ann", backup(id, 1, 100), &ALL[..2]), Code::NotStored);
    let refusing = [ALL[0], ALL[1], ("south", true)];
    assert_eq!(leave_by(&mut world, "ann", backup(id, 1, 100), &refusing), Code::NotStored);
    let inline = sign(&mut world, "ann", backup(id, 1, 100));
    assert_eq!(world.one(Submitted::Verified(inline, Payload::Inline)), Code::NotStored, "never in a block");
    assert_eq!(record(&world, id, 0), None);
    assert_eq!(leave_by(&mut world, "ann", backup(id, 1, 100), &ALL[1..]), Code::Accepted);
}

#[test]
fn it_outlives_its_session_until_its_own_time_is_over() {
    let mut world = World::new(true);
    let id = open(&mut world, "demo");
    give_key(&mut world, "ann", id);
    give_key(&mut world, "ben", id);
    assert_eq!(leave(&mut world, "ann", backup(id, 1, 100)), Code::Accepted);
    assert_eq!(kept(&world, id, 0), Some((1, 100, None)), "its clock starts with the next block");
    world.wait(50);
    let deadline = world.now + KEEP_MS;
    assert_eq!(kept(&world, id, 0), Some((1, 100, Some(deadline))));
    // Nobody needs the session any more.
    while world.phase(id).0 != Phase::Erased {
        world.now = world.phase(id).1.unwrap_or(world.now);
        world.wait(0);
        assert!(world.now < deadline);
    }
    assert_eq!(kept(&world, id, 0), Some((1, 100, Some(deadline))));
    assert_eq!(leave(&mut world, "ben", backup(id, 1, 100)), Code::Accepted, "and still one may be left");
    world.now = deadline - 1;
    world.wait(0);
    assert_eq!(kept(&world, id, 0), Some((1, 100, Some(deadline))));
    world.wait(1);
    assert_eq!((record(&world, id, 0).unwrap().number, kept(&world, id, 0)), (1, None));
    assert_eq!(leave(&mut world, "ann", backup(id, 1, 100)), Code::NoBackup, "who resends it hears that it is gone");
    assert!(kept(&world, id, 1).is_some());
    // What replaces one has a clock of its own.
    assert_eq!(leave(&mut world, "ben", backup(id, 2, 100)), Code::Accepted);
    world.wait(KEEP_MS / 2);
    let later = world.now + KEEP_MS;
    assert_eq!(kept(&world, id, 1), Some((2, 100, Some(later))));
    world.now = later - 1;
    world.wait(0);
    assert!(kept(&world, id, 1).is_some());
    world.wait(1);
    assert_eq!(kept(&world, id, 1), None);
    assert_eq!(leave(&mut world, "ann", backup(id, 2, 100)), Code::Accepted);
}

#[test]
fn all_together_have_a_bound() {
    let quotas = Quotas { live_sessions: 5, live_sessions_per_creator: 5, live_bytes: 1 << 20 };
    let mut world = World::with(quotas, true);
    let keys = vec![world.cast.key("ann"), world.cast.key("ben")];
    let id = world.create("demo", SessionSpec { max_party_bytes: 1 << 19, ..kit::spec(keys) });
    give_key(&mut world, "ann", id);
    give_key(&mut world, "ben", id);
    let row = u32::try_from(BACKUP_ROW_BYTES).unwrap();
    let most = (1 << 16) - row;
    assert_eq!(leave(&mut world, "ann", backup(id, 1, 40_000)), Code::Accepted, "beside what sessions reserve");
    assert_eq!(leave(&mut world, "ben", backup(id, 1, most - row - 40_000 + 1)), Code::QuotaExceeded);
    assert_eq!(leave(&mut world, "ann", backup(id, 2, most)), Code::Accepted, "one's own makes room");
    assert_eq!(leave(&mut world, "ben", backup(id, 1, 1)), Code::QuotaExceeded);
    let erase = Operation::EraseBackup { session: id, number: 3 };
    assert_eq!(world.submit("ann", erase, Bytes::default()), Code::Accepted);
    assert_eq!(leave(&mut world, "ben", backup(id, 1, most)), Code::Accepted);
    assert_eq!(leave(&mut world, "ann", backup(id, 4, 1)), Code::QuotaExceeded);
    world.wait(0);
    world.wait(KEEP_MS);
    assert_eq!(leave(&mut world, "ann", backup(id, 4, most)), Code::Accepted, "as does time");
}

#[test]
fn however_many_end_at_one_time_a_block_ends_only_so_many() {
    let mut world = World::new(false);
    let more = MAX_EXPIRED_BACKUPS + 1;
    let names: Vec<String> = (0..more).map(|party| format!("party {party}")).collect();
    let keys = names.iter().map(|name| world.cast.key(name)).collect();
    let id = world.create("crowd", SessionSpec { min_parties: 1, max_party_bytes: 1 << 10, ..kit::spec(keys) });
    let mut operations = vec![];
    for name in &names {
        let verified = sign(&mut world, name, backup(id, 1, 100));
        let expiry_ms = world.now + 1000;
        let stored = world.cast.stored(&verified, expiry_ms, &ALL, Flaw::None);
        operations.push(Submitted::Verified(verified, stored));
    }
    let outcome = world.apply(operations);
    assert!(outcome.receipts.iter().all(|receipt| receipt.code == Code::Accepted));
    world.wait(0);
    let deadline = world.now + KEEP_MS;
    world.now = deadline;
    let left = |world: &World| {
        let parties = 0..u16::try_from(more).unwrap();
        parties.filter(|party| kept(world, id, *party).is_some()).count()
    };
    assert_eq!(left(&world), more);
    world.wait(0);
    assert_eq!((left(&world), world.phase(id).0), (1, Phase::Ended), "a session waits for no backups");
    assert_eq!(world.state.next_deadline(), Some(deadline), "nodes make a block for the rest");
    world.wait(0);
    assert_eq!(left(&world), 0);
    assert!(world.state.next_deadline().is_none_or(|due| due > deadline));
}

#[test]
fn of_two_in_one_block_the_second_stays() {
    let mut world = World::new(true);
    let id = open(&mut world, "demo");
    let submitted = |world: &mut World, number| {
        let verified = sign(world, "ann", backup(id, number, 100 + number));
        let expiry_ms = world.now + 1000;
        let stored = world.cast.stored(&verified, expiry_ms, &ALL, Flaw::None);
        Submitted::Verified(verified, stored)
    };
    let operations = vec![submitted(&mut world, 1), submitted(&mut world, 2), submitted(&mut world, 1)];
    let outcome = world.apply(operations);
    let codes: Vec<Code> = outcome.receipts.iter().map(|receipt| receipt.code).collect();
    assert_eq!(codes, [Code::Accepted, Code::Accepted, Code::OutdatedBackup]);
    let events = outcome.events.iter().filter(|event| matches!(event, ledger::Event::Backup(_))).count();
    assert_eq!((events, kept(&world, id, 0).unwrap().1), (1, 102));
}

#[test]
fn the_keys_to_which_shares_are_sealed_are_a_fact_once_one_is_another() {
    let mut world = World::new(true);
    let keys = |world: &World| world.value::<Vec<ExchangeKey>>(FactKey::ExchangeKeys);
    assert_eq!(keys(&world), None);
    let genesis: Vec<ExchangeKey> = world.state.parameters().nodes.iter().map(|node| node.keys.exchange).collect();
    let replace = |key| Operation::ReplaceExchangeKey { key };
    assert_eq!(world.submit(NODES[1], replace(ExchangeKey([77; 32])), Bytes::default()), Code::Accepted);
    let mut expected = genesis.clone();
    expected[1] = ExchangeKey([77; 32]);
    assert_eq!(keys(&world), Some(expected));
    assert_eq!(world.submit(NODES[1], replace(genesis[1]), Bytes::default()), Code::Accepted);
    assert_eq!(keys(&world), None, "as in the beginning");
}

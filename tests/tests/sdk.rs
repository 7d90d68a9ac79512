//! The SDK against real gateways over HTTP, on a board in this process: what parties notice of honest and of faulty nodes.

#[path = "sdk/beside.rs"]
mod beside;
#[path = "sdk/board.rs"]
mod board;
#[path = "sdk/delivery.rs"]
mod delivery;
#[path = "sdk/ease.rs"]
mod ease;
#[path = "sdk/group.rs"]
mod group;
#[path = "sdk/journal.rs"]
mod journal;
#[path = "sdk/offline.rs"]
mod offline;
#[path = "sdk/reached.rs"]
mod reached;
#[path = "sdk/replicas.rs"]
mod replicas;
#[path = "sdk/waits.rs"]
mod waits;

use board::{Board, Conduct, invited};
use client_sdk::{Caught, Client, Error, Event, Identity, Options, Session, protocol::Seat};
use futures::future::{join_all, try_join_all};
use protocols::{Seed, statistics::Statistics};
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use white_city_tests::liar::Lie;
use wire::{Code, EndReason, MailboxKind, Phase, SessionId, SessionSpec};

async fn join_each(board: &Board, parties: &[Identity], id: &SessionId) -> Vec<Session> {
    let join = |party| async move { Session::join(&board.client(), party, id, Options::default()).await };
    try_join_all(parties.iter().map(join)).await.unwrap()
}

fn program(seat: &Seat, spec: &SessionSpec) -> Statistics {
    Statistics::new(seat.clone(), &spec.program, 0, u64::from(seat.index) + 1, Seed::random(&mut OsRng)).unwrap()
}

/// Joins, computes a sum over private messages, leaves. What each party got.
async fn whole_life(client: Client, party: &Identity, id: &SessionId) -> Result<u128, Error> {
    let session = Session::join(&client, party, id, Options::default()).await?;
    let summary = session.run(program(session.seat(), session.spec())).await?;
    let end = session.leave().await?;
    assert_eq!(end.reason, EndReason::Terminated);
    Ok(summary.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_parties_compute_and_leave_and_the_board_forgets() {
    let board = Board::solo().await;
    let (parties, spec) = invited(5);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let clients: Vec<Client> = parties.iter().map(|_| board.client()).collect();
    let lives = parties.iter().zip(&clients).map(|(party, client)| whole_life(client.clone(), party, &id));
    assert_eq!(try_join_all(lives).await.unwrap(), [15; 5]);
    let record = board.client().session(&id).await.unwrap();
    assert_eq!(record.phase, Phase::Erased);
    assert_eq!(record.acknowledged.len(), 5);
    let traffic = clients[0].traffic();
    assert!(traffic.operations >= 5, "a key, shares, a sum, the end and its acknowledgement: {traffic:?}");
    assert!(traffic.bytes_sent > 0 && traffic.bytes_received > traffic.requests);
    assert_eq!(clients[0].parameters().await.unwrap().digest(), board.network.genesis);
    assert_eq!(clients[0].parties(&id).await.unwrap().len(), 5);
    assert_eq!(clients[0].sessions(None, 10).await.unwrap().sessions[0].session, id);
    assert!(clients[0].latest_block().await.unwrap().height > record.created);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_of_four_may_do_as_it_likes() {
    use Conduct::{Down, Garbage, Honest, Lying, Silent};
    let conducts = [
        (Down, None),
        (Silent, None),
        (Garbage, None),
        (Lying(Lie::Drop), Some("broken_chain")),
        (Lying(Lie::Byte), Some("wrong_payload")),
        (Lying(Lie::Replay), Some("stale")),
        (Lying(Lie::Empty), Some("wrong_proof")),
        (Lying(Lie::Receipt), Some("false_receipt")),
        (Lying(Lie::Truncate), Some("foreign_record")),
        (Lying(Lie::Strangers), Some("bad_certificate")),
    ];
    for (conduct, name) in conducts {
        let board = Board::start(&[Honest, conduct, Honest, Honest]).await;
        let (parties, spec) = invited(4);
        let id = board.client().create(&board.creator, spec).await.unwrap();
        let started = Instant::now();
        let clients: Vec<Client> = (0..4).map(|_| board.client()).collect();
        let lives = parties.iter().zip(&clients).map(|(party, client)| {
            client.prefer(1);
            whole_life(client.clone(), party, &id)
        });
        let sums = try_join_all(lives).await;
        assert_eq!(sums.unwrap(), [10; 4], "{conduct:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "{conduct:?} took {:?}", started.elapsed());
        let faults = board.faults.load(Ordering::Relaxed);
        assert!(faults > 0 || conduct == Down, "{conduct:?} was never asked");
        let caught: Vec<Caught> = clients.iter().flat_map(Client::caught).collect();
        let named = caught.iter().any(|caught| caught.node == "node1" && Some(caught.bad.name()) == name);
        assert!(named || name.is_none(), "{conduct:?}: {caught:?}");
        let framed = caught.iter().find(|caught| caught.node != "node1" && caught.bad.is_lie());
        assert_eq!(framed, None, "{conduct:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_withholds_makes_nobody_missing() {
    use Conduct::{Freezing, Honest};
    let board = Board::start(&[Honest, Freezing, Honest, Honest]).await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let client = board.client();
    client.prefer(1);
    let hurried = Options { wait: Some(Duration::from_millis(400)), ..Options::default() };
    let reader = Session::attach(&client, &parties[0], &id, hurried).await.unwrap();
    board.freeze.store(true, Ordering::Relaxed);
    sessions[1].broadcast(2, b"one".to_vec()).await.unwrap();
    let read = reader.read(MailboxKind::Broadcast, 2, 1).await.unwrap();
    assert_eq!(read.round.from(1), Some(&b"one"[..]), "the first node shows nothing, the second does");
    client.prefer(1);
    let error = reader.read(MailboxKind::Broadcast, 2, 2).await.unwrap_err();
    let Error::Missing { missing, tried, .. } = &error else { panic!("{error}") };
    assert_eq!(*missing, [0, 2], "party 1 has written, which the first node withholds");
    assert!(tried.iter().filter(|tried| tried.bad.is_none()).count() >= 2, "f + 1 nodes have shown it: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_at_once_do_not_touch_each_other() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let client = board.client();
    let ids = [
        client.create(&board.creator, spec.clone()).await.unwrap(),
        client.create(&board.creator, spec).await.unwrap(),
    ];
    let lives = ids.iter().flat_map(|id| parties.iter().map(|party| whole_life(client.clone(), party, id)));
    assert_eq!(try_join_all(lives).await.unwrap(), [6; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_parties_in_one_process() {
    let board = Board::solo().await;
    let (parties, spec) = invited(64);
    let client = board.client();
    let id = client.create(&board.creator, spec).await.unwrap();
    let lives = parties.into_iter().map(|party| {
        let client = client.clone();
        tokio::spawn(async move { whole_life(client, &party, &id).await.unwrap() })
    });
    assert_eq!(try_join_all(lives).await.unwrap(), [64 * 65 / 2; 64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_write_is_named() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let hurried = Options { wait: Some(Duration::from_millis(300)), ..Options::default() };
    sessions[0].broadcast(2, b"zero".to_vec()).await.unwrap();
    sessions[2].broadcast(2, b"two".to_vec()).await.unwrap();
    let reader = Session::attach(&board.client(), &parties[0], &id, hurried).await.unwrap();
    let error = reader.read(MailboxKind::Broadcast, 2, 3).await.unwrap_err();
    let Error::Missing { missing, closed: false, wanted: 3, .. } = &error else { panic!("{error}") };
    assert_eq!(*missing, [1]);
    assert!(error.to_string().contains("broadcast round 2") && error.to_string().contains("missing [1]"), "{error}");
    let have = reader.read(MailboxKind::Broadcast, 2, 2).await.unwrap();
    assert_eq!(have.round.from(2), Some(&b"two"[..]));
    assert_eq!(reader.read_available(MailboxKind::Broadcast, 2).await.unwrap(), have);
    assert!(reader.read_available(MailboxKind::Broadcast, 3).await.unwrap().round.received.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_round_ends_the_wait_for_all() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let spec = SessionSpec { round_timeout_ms: Some(400), ..spec };
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    sessions[1].broadcast(0, vec![1]).await.unwrap();
    let started = Instant::now();
    for outcome in join_all(sessions.iter().map(|session| session.read(MailboxKind::Broadcast, 0, 3))).await {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, Error::Missing { missing, closed: true, .. } if *missing == [0, 2]), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "nobody waits for the session's expiry");
    let error = sessions[0].broadcast(0, vec![0]).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: Code::RoundClosed, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_messages_arrive_and_a_slot_is_written_once() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    sessions[0].send_private(0, &BTreeMap::from([(2, b"psst".to_vec())])).await.unwrap();
    let mail = sessions[2].read(MailboxKind::Private, 0, 1).await.unwrap();
    assert_eq!(mail.round.from(0), Some(&b"psst"[..]));
    let nothing = sessions[1].read(MailboxKind::Private, 0, 1).await.unwrap();
    assert_eq!((nothing.round.from(0), nothing.unreadable.len()), (None, 0));
    sessions[0].send_private(0, &BTreeMap::from([(2, b"psst".to_vec())])).await.expect("the same again is the same");
    let error = sessions[0].send_private(0, &BTreeMap::from([(1, b"more".to_vec())])).await.unwrap_err();
    assert!(matches!(error, Error::SlotTaken { kind: MailboxKind::Private, round: 0 }), "{error}");
    sessions[1].broadcast(0, vec![1]).await.unwrap();
    let error = sessions[1].broadcast(0, vec![2]).await.unwrap_err();
    assert!(matches!(error, Error::SlotTaken { kind: MailboxKind::Broadcast, round: 0 }), "{error}");
    assert!(matches!(sessions[1].broadcast(16, vec![]).await, Err(Error::NoSuchRound { round: 16, rounds: 16 })));
    assert!(matches!(sessions[1].broadcast(1, vec![0; 70_000]).await, Err(Error::TooLong { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_reaches_those_who_wait() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let wait = sessions[0].run(program(sessions[0].seat(), sessions[0].spec()));
    let abort = async {
        sessions[1].abort(&"no trust ".repeat(100)).await.unwrap();
        sessions[1].acknowledge().await.unwrap();
    };
    let started = Instant::now();
    let (error, ()) = tokio::join!(async { wait.await.unwrap_err() }, abort);
    let Error::SessionEnded { reason: EndReason::Aborted, votes, .. } = &error else { panic!("{error}") };
    assert_eq!(votes[0].party, 1);
    assert!(error.to_string().contains("party 1 said: no trust"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn keying_without_a_party_goes_on_or_expires_as_specified() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let spec = SessionSpec { keying_ms: 1500, min_parties: 2, ..spec };
    let id = board.client().create(&board.creator, spec.clone()).await.unwrap();
    let sessions = join_each(&board, &parties[..2], &id).await;
    assert_eq!(sessions[0].absent(), [2]);
    sessions[0].send_private(0, &BTreeMap::from([(1, vec![1]), (2, vec![2])])).await.unwrap();
    assert_eq!(sessions[1].read(MailboxKind::Private, 0, 1).await.unwrap().round.from(0), Some(&[1][..]));
    let late = Session::join(&board.client(), &parties[2], &id, Options::default()).await.unwrap_err();
    assert!(matches!(late, Error::Absent { index: 2, .. }), "{late}");
    let never = sessions[1].run(program(sessions[1].seat(), sessions[1].spec()));
    let error =
        tokio::time::timeout(Duration::from_secs(10), never).await.expect("no wait for who is absent").unwrap_err();
    assert!(matches!(&error, Error::Missing { missing, wanted: 3, .. } if missing.contains(&2)), "{error}");

    let id = board.client().create(&board.creator, SessionSpec { min_parties: 3, ..spec.clone() }).await.unwrap();
    let client = board.client();
    let error = Session::join(&client, &parties[0], &id, Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::SessionEnded { reason: EndReason::Expired, .. }), "{error}");

    let slow = SessionSpec { keying_ms: 600_000, ..spec };
    let id = board.client().create(&board.creator, slow).await.unwrap();
    let hurried = Options { wait: Some(Duration::from_millis(500)), ..Options::default() };
    let error = Session::join(&client, &parties[0], &id, hurried).await.unwrap_err();
    assert!(matches!(&error, Error::StillInPhase { missing, .. } if *missing == [1, 2]), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_again_finds_the_keys_in_this_process_only() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let client = board.client();
    let id = client.create(&board.creator, spec).await.unwrap();
    let all = parties.iter().map(|party| Session::join(&client, party, &id, Options::default()));
    let first = try_join_all(all).await.unwrap();
    let again = Session::join(&client, &parties[0], &id, Options::default()).await.unwrap();
    again.send_private(0, &BTreeMap::from([(1, vec![9])])).await.unwrap();
    assert_eq!(first[1].read(MailboxKind::Private, 0, 1).await.unwrap().round.from(0), Some(&[9][..]));
    let error = Session::join(&board.client(), &parties[0], &id, Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::KeysLost { .. }), "{error}");
    let attached = Session::attach(&board.client(), &parties[0], &id, Options::default()).await.unwrap();
    attached.broadcast(0, vec![5]).await.unwrap();
    let error = attached.send_private(1, &BTreeMap::from([(1, vec![9])])).await.unwrap_err();
    assert!(matches!(error, Error::NoChannels), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_business_here_is_told_so() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let client = board.client();
    let stranger = Identity::generate(&mut OsRng);
    let error = client.create(&stranger, spec.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: Code::NotPermitted, .. }), "{error}");
    let error = client.create(&board.creator, SessionSpec { max_rounds: 0, ..spec.clone() }).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: Code::InvalidSpecification, .. }), "{error}");
    let id = client.create(&board.creator, spec).await.unwrap();
    let error = Session::join(&client, &stranger, &id, Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotAParty { .. }), "{error}");
    let nowhere = SessionId([9; 32]);
    let error = Session::join(&client, &parties[0], &nowhere, Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: Code::UnknownSession, .. }), "{error}");
    let invitation = client.invite(id);
    assert_eq!(client.accept(&invitation).unwrap(), id);
    let other = Board::solo().await;
    assert!(matches!(other.client().accept(&invitation), Err(Error::ForeignInvitation { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_the_error_lists_every_node() {
    let board = Board::start(&[Conduct::Honest, Conduct::Down, Conduct::Garbage, Conduct::Down]).await;
    let client = board.client().with_patience(Duration::from_millis(600));
    let error = client.session(&SessionId([1; 32])).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 4, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("node0: ") && text.contains("unknown_session") && text.contains("node1, node3: cannot connect"),
        "{text}"
    );
    let status = client.status().await;
    assert_eq!(status.iter().map(|(_, status)| status.is_ok()).collect::<Vec<_>>(), [true, false, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_as_it_happens() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let client = board.client().with_progress(move |progress| heard.lock().unwrap().push(progress.event.clone()));
    let lives = [whole_life(client, &parties[0], &id), whole_life(board.client(), &parties[1], &id)];
    try_join_all(lives).await.unwrap();
    let events = events.lock().unwrap();
    let position =
        |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted).unwrap_or_else(|| panic!("{events:?}"));
    let order = [
        position(&|event| *event == Event::Seated { index: 0, parties: 2 }),
        position(&|event| matches!(event, Event::Written { kind: MailboxKind::Keying, .. })),
        position(&|event| *event == Event::Channels { without: vec![] }),
        position(&|event| matches!(event, Event::Written { kind: MailboxKind::Private, .. })),
        position(&|event| *event == Event::Read { kind: MailboxKind::Private, round: 0, have: 2, want: 2 }),
        position(&|event| *event == Event::Voted { abort: false }),
        position(&|event| *event == Event::Ended { reason: EndReason::Terminated }),
        position(&|event| *event == Event::Acknowledged),
    ];
    assert!(order.is_sorted(), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_all_nodes_is_sat_out() {
    let board = Board::start(&[Conduct::Honest; 4]).await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let (keyed, mut wait) = tokio::sync::watch::channel(0);
    let outage = async {
        wait.wait_for(|count| *count >= 2).await.unwrap();
        board.outage.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(3)).await;
        board.outage.store(false, Ordering::Relaxed);
    };
    let lives = parties.iter().map(|party| {
        let keyed = keyed.clone();
        let client = board.client().with_progress(move |progress| {
            if matches!(progress.event, Event::Channels { .. }) {
                keyed.send_modify(|count| *count += 1);
            }
        });
        whole_life(client, party, &id)
    });
    let (sums, ()) = tokio::join!(try_join_all(lives), outage);
    assert_eq!(sums.unwrap(), [6; 3]);
    assert!(board.faults.load(Ordering::Relaxed) > 10, "the outage was noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_runs_twice_in_one_session_is_stopped() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    try_join_all(sessions.iter().map(|session| session.run(program(session.seat(), session.spec())))).await.unwrap();
    let error = sessions[0].run(program(sessions[0].seat(), sessions[0].spec())).await.unwrap_err();
    assert!(
        matches!(error, Error::SlotTaken { kind: MailboxKind::Private, round: 0 }),
        "other shares in a used slot: {error}"
    );
}

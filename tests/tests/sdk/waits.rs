//! Who waits in vain is told for whom, since when, and who was asked; and whom not to ask again.

use super::{
    board::{Board, Conduct, invited},
    join_each,
};
use client_sdk::{Client, Error, Options, Session, Sighting};
use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};
use white_city_tests::liar::Lie;
use wire::{MailboxKind, SessionId};

fn hurried() -> Options {
    Options { wait: Some(Duration::from_millis(300)), ..Options::default() }
}

/// As `sighting` stands in a text.
fn text(sighting: &Sighting) -> String {
    let Sighting { height, round, kind, time_ms } = sighting;
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(*time_ms) * 1_000_000).unwrap();
    let time = time.format(&time::format_description::well_known::Rfc3339).unwrap();
    format!("last seen in {kind} round {round} by block {height}, {time}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_who_is_missing_since_when_and_who_was_asked() {
    use Conduct::{Down, Honest};
    let board = Board::start(&[Down, Honest, Honest, Honest]).await;
    let (parties, spec) = invited(4);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let client = board.client();
    let reader = Session::attach(&client, &parties[0], &id, hurried()).await.unwrap();
    client.prefer(0);
    let error = reader.read(MailboxKind::Broadcast, 1, 4).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("missing [0, 1, 2, 3] (parties 0, 1, 2, 3: not seen since this process began); tried: "),
        "{error}"
    );

    assert_eq!(reader.read_available(MailboxKind::Keying, 0).await.unwrap().round.received.len(), 4);
    let keyed = client.height();
    for (party, round) in [(1, 0), (2, 0), (2, 2), (3, 1)] {
        sessions[party].broadcast(round, vec![7]).await.unwrap();
        reader.read_available(MailboxKind::Broadcast, round).await.unwrap();
    }
    let error = reader.read(MailboxKind::Broadcast, 1, 4).await.unwrap_err();
    let Error::Missing { missing, seen, waited_ms, tried, .. } = &error else { panic!("{error}") };
    assert_eq!((missing.as_slice(), seen.keys().copied().collect::<Vec<_>>()), ([0, 1, 2].as_slice(), vec![0, 1, 2]));
    let places = [0, 1, 2].map(|party| (seen[&party].kind, seen[&party].round));
    assert_eq!(places, [(MailboxKind::Keying, 0), (MailboxKind::Broadcast, 0), (MailboxKind::Broadcast, 2)]);
    let heights = [seen[&0].height, keyed, seen[&1].height, seen[&2].height, client.height()];
    assert!(heights.is_sorted() && heights[1] < heights[2], "{heights:?}");
    assert!(u128::from(seen[&2].time_ms) <= SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis());

    let since = format!("(party 0: {}; party 1: {}; party 2: {})", text(&seen[&0]), text(&seen[&1]), text(&seen[&2]));
    let begin = format!("broadcast round 1: 1 of 4 messages after {waited_ms} ms, missing [0, 1, 2] {since}; tried: ");
    let said = error.to_string();
    let asked = said.strip_prefix(&begin).unwrap_or_else(|| panic!("{said}\nis not\n{begin}"));
    let shown = tried.iter().filter(|tried| tried.said == "it answered");
    assert!(shown.clone().count() >= 2 && shown.clone().all(|one| asked.contains(&one.node)), "f + 1 nodes: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_leave_is_named_with_what_was_seen_of_it() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    sessions[1].broadcast(3, vec![7]).await.unwrap();
    let reader = Session::attach(&board.client(), &parties[0], &id, hurried()).await.unwrap();
    reader.read(MailboxKind::Broadcast, 3, 1).await.unwrap();
    reader.terminate().await.unwrap();
    let error = reader.ended().await.unwrap_err();
    let Error::StillInPhase { missing, seen, .. } = &error else { panic!("{error}") };
    assert_eq!(*missing, [1]);
    let expected = format!("missing [1] (party 1: {}); tried: node0: it answered", text(&seen[&1]));
    assert!(error.to_string().ends_with(&expected), "{error}");
}

async fn ask(client: &Client, id: &SessionId, times: usize) {
    for _ in 0..times {
        client.session(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_caught_is_left_alone() {
    use Conduct::{Honest, Lying};
    let board = Board::start(&[Lying(Lie::Strangers), Honest, Honest, Honest]).await;
    let (_, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let client = board.client();
    client.prefer(0);
    ask(&client, &id, 1).await;
    let told = board.faults.load(Ordering::Relaxed);
    assert_eq!(client.caught().iter().filter(|caught| caught.node == "node0").count(), 1, "{:?}", client.caught());
    // Few, for a busy machine may let a client wait for so long that it asks even those whom it would rather not.
    ask(&client, &id, 4).await;
    client.prefer(0);
    ask(&client, &id, 4).await;
    assert_eq!(board.faults.load(Ordering::Relaxed), told, "it was not asked again, even where it is preferred");
    assert_eq!(client.caught().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_do_not_serve_are_tried_again_at_growing_intervals() {
    let board = Board::start(&[Conduct::Honest; 4]).await;
    let (_, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let client = board.client().with_patience(Duration::from_secs(4));
    board.outage.store(true, Ordering::Relaxed);
    let error = client.session(&id).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 4, "all were tried: {error}");
    // 20, 40, ... 640 ms and then a second: in four seconds nine pauses at most, and so ten rounds.
    let asked = board.faults.load(Ordering::Relaxed);
    assert!((4..=40).contains(&asked), "{asked}");
    board.outage.store(false, Ordering::Relaxed);
    assert_eq!(client.session(&id).await.unwrap().parties, 2, "and then one that serves again");
}

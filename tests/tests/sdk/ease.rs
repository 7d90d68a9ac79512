//! From an invitation alone into a session, and hundreds of parties on one client.

use super::board::{Board, Conduct, invited};
use client_sdk::{BadAnswer, Client, Error, Identity, Options, Session, Traffic, protocol::Abort};
use futures::future::try_join_all;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::net::{TcpListener, TcpStream};
use wire::{EndReason, Invitation, MailboxKind, NetworkFile, Phase, SessionSpec};

#[tokio::test(flavor = "multi_thread")]
async fn one_string_is_all_that_a_party_needs() {
    let board = Board::start(&[Conduct::Down, Conduct::Garbage, Conduct::Honest, Conduct::Honest]).await;
    let (parties, spec) = invited(2);
    let creator = board.client();
    let id = creator.create(&board.creator, spec).await.unwrap();
    let text = creator.invite(id).to_string();
    let join = async |party: &Identity| {
        let invitation: Invitation = text.parse().unwrap();
        let client = Client::invited(&invitation).await?;
        let expected = NetworkFile { keys: Vec::new(), ..board.network.clone() };
        assert_eq!(*client.network(), expected, "it is the network file that the creator has");
        Session::join(&client, party, &client.accept(&invitation)?, Options::default()).await
    };
    try_join_all(parties.iter().map(join)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_network_is_not_taken_for_the_invitations() {
    let two = [Conduct::Honest, Conduct::Honest];
    let (board, other) = (Board::start(&two).await, Board::start(&two).await);
    let invitation = board.client().invite(wire::SessionId([1; 32]));
    let with_urls = |urls: &[&str]| {
        let urls = urls.iter().map(ToString::to_string).collect();
        Invitation { urls, ..invitation.clone() }
    };
    let [own, false_one] = [&board.network.nodes[1].url, &other.network.nodes[0].url];
    // One node that lies about the network costs nothing.
    let client = Client::invited(&with_urls(&[false_one, own])).await.unwrap();
    assert_eq!(client.parameters().await.unwrap().digest(), board.network.genesis);

    let error = Client::invited(&with_urls(&[false_one, false_one])).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    let (expected, found) = (board.network.digest(), other.network.digest());
    assert_eq!(tried.len(), 2);
    assert!(tried.iter().all(|tried| tried.bad == Some(BadAnswer::ForeignNetwork { expected, found })), "{error}");

    let too_few = Client::invited(&with_urls(&[own])).await.unwrap_err();
    assert_eq!(too_few.to_string(), "the invitation is not usable: it has 1 addresses for 2 nodes");
    let none = Client::invited(&with_urls(&[])).await.unwrap_err();
    assert!(matches!(none, Error::Invitation { .. }), "{none}");
    let unsound = Client::invited(&with_urls(&["file:///etc"])).await.unwrap_err();
    assert!(matches!(unsound, Error::Invitation { .. }), "{unsound}");
}

#[allow(dead_code, reason = "its main is for a terminal")]
#[path = "../../../examples/lottery.rs"]
mod lottery;
#[allow(dead_code, reason = "its main is for a terminal")]
#[path = "../../../examples/schnorr.rs"]
mod schnorr;
#[allow(dead_code, reason = "its main is for a terminal")]
#[path = "../../../examples/secure_sum.rs"]
mod secure_sum;

async fn seated(board: &Board, spec: SessionSpec, parties: &[Identity]) -> Vec<Session> {
    let client = board.client();
    let id = client.create(&board.creator, spec).await.unwrap();
    let join = |party| Session::join(&client, party, &id, Options::default());
    try_join_all(parties.iter().map(join)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_do_what_they_say() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let sessions = seated(&board, spec.clone(), &parties).await;
    let sums = sessions.iter().zip([5, 7, u64::MAX]).map(|(session, number)| secure_sum::sum(session, number));
    assert_eq!(try_join_all(sums).await.unwrap(), [11; 3], "modulo 2^64");

    let sessions = seated(&board, spec.clone(), &parties).await;
    let signed = try_join_all(sessions.iter().map(|session| schnorr::sign(session, b"we agree"))).await.unwrap();
    assert!(signed.iter().all(|(key, signature)| key.verify(b"we agree", signature).is_ok()));

    let sessions = seated(&board, spec, &parties).await;
    let draws = try_join_all(sessions.iter().map(lottery::draw)).await.unwrap();
    assert!(draws.iter().all(|draw| *draw == draws[0] && draw.0 < 3 && draw.1.is_empty()), "{draws:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_reveal_or_reveals_another_value_cannot_win() {
    let board = Board::solo().await;
    let (parties, spec) = invited(4);
    let spec = SessionSpec { round_timeout_ms: Some(1500), ..spec };
    let sessions = seated(&board, spec, &parties).await;
    let (silent, liar) = (&sessions[1], &sessions[2]);
    let commit = async |session: &Session| {
        let commitment = lottery::commitment(session.seat(), session.seat().index, &[1; 32]);
        session.broadcast(0, commitment).await
    };
    let lie = async {
        commit(liar).await?;
        liar.read(MailboxKind::Broadcast, 0, 4).await?;
        liar.broadcast(1, vec![2; 32]).await
    };
    let (first, last, ..) =
        tokio::try_join!(lottery::draw(&sessions[0]), lottery::draw(&sessions[3]), commit(silent), lie).unwrap();
    assert_eq!(first, last);
    assert_eq!(first.1, [1, 2]);
    assert!([0, 3].contains(&first.0), "{first:?}");
}

/// Passes connections on to a node, and counts them.
async fn counting(node: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (count, node) = (Arc::new(AtomicUsize::new(0)), node.strip_prefix("http://").unwrap().to_owned());
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let node = node.clone();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(node).await.unwrap();
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_parties_share_one_client() {
    const PARTIES: u16 = 200;
    let (board, started) = (Board::solo().await, Instant::now());
    let (parties, spec) = invited(PARTIES);
    let mut network = board.network.clone();
    let (url, connections) = counting(&network.nodes[0].url).await;
    network.nodes[0].url = url;
    let client = Client::new(network).unwrap();
    let id = client.create(&board.creator, spec).await.unwrap();
    let live = |party: Identity| {
        let client = client.clone();
        tokio::spawn(async move {
            let session = Session::join(&client, &party, &id, Options::default()).await?;
            session.broadcast(0, session.seat().index.to_le_bytes().to_vec()).await?;
            let reading = session.read(MailboxKind::Broadcast, 0, PARTIES).await?;
            session.leave().await?;
            Ok::<_, Error>((reading.round.head, reading.round.received.len()))
        })
    };
    let ends: Vec<_> = try_join_all(parties.into_iter().map(live)).await.unwrap();
    let ends: Vec<_> = ends.into_iter().map(Result::unwrap).collect();
    assert!(ends.iter().all(|end| *end == ends[0] && end.1 == usize::from(PARTIES)));

    let (connections, parties) = (connections.load(Ordering::Relaxed) as u64, u64::from(PARTIES));
    let (Traffic { requests, answers, .. }, pairings, height) = (client.traffic(), client.pairings(), client.height());
    // Where the machine has too much to do, requests are given up, which costs each its connection; a node closes those that were idle for
    // 30 seconds; and who waits for longer asks more often.
    let (given_up, spans) = (requests - answers, 1 + started.elapsed().as_secs() / 30);
    assert!(connections <= 3 * parties * spans + given_up, "used again: {connections}, {given_up} given up, {spans}");
    assert!(answers > 2 * connections.saturating_sub(given_up), "{answers} answers over {connections} connections");
    assert!(requests <= 60 * parties * spans, "what a party asks does not grow with the others: {requests}");
    assert!(pairings <= height, "each certificate is verified once: {pairings} for {height} blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_tells_why_and_everybody_acknowledges_the_end() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let sessions = seated(&board, spec, &parties).await;
    let abort = Abort { reason: "a proof is wrong".to_owned(), culprits: vec![2] };
    let end = sessions[0].give_up(&Error::Aborted { source: abort }).await.unwrap();
    assert_eq!(end.map(|end| end.reason), Some(EndReason::Aborted));
    for session in &sessions[1..] {
        let error = session.read(MailboxKind::Broadcast, 0, 3).await.unwrap_err();
        assert!(error.to_string().contains("party 0 said: a proof is wrong (party 2)"), "{error}");
        assert!(session.give_up(&error).await.unwrap().is_some());
    }
    assert_eq!(board.client().session(&sessions[0].id()).await.unwrap().phase, Phase::Erased);
    // Its secrets are gone, here as on the board.
    let again = Session::join(&board.client(), &parties[0], &sessions[0].id(), Options::default()).await.unwrap_err();
    assert!(matches!(again, Error::SessionEnded { .. }), "{again}");
}

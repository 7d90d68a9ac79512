//! Protocols of the crate `round_based` on the board: kinds that mix, parties that are silent, and what cheaters get.

use super::{
    board::{Board, Conduct, invited},
    join_each,
};
use client_sdk::{Difference, Error, Options, Session, delivery::Execution};
use futures::{SinkExt, StreamExt, future::try_join_all};
use round_based::{Delivery, Incoming, MessageType, Outgoing};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};
use tempfile::TempDir;
use white_city_tests::once::Used;
use wire::{Body, MailboxFact, MailboxKind, SessionSpec, signed};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Message {
    Hello(u16),
    Secret(u16, u16),
    /// Only of party 0, with its secrets in the same round.
    Verdict(String),
    Thanks(u16),
}

const INPUT: &[u8] = b"nothing but what everybody says";

/// What one party received, by the message's id.
type Heard = BTreeMap<u64, Incoming<Message>>;

/// Everybody says hello; all exchange secrets, and party 0 gives a verdict in the same round; all but party 0 thank it privately, twice.
async fn talk(execution: &Execution<'_>) -> Result<Heard, Error> {
    let (i, n) = (execution.index(), execution.parties());
    let (mut receive, mut send) = execution.delivery().split();
    let mut heard = Heard::new();
    let mut until = async |heard: &mut Heard, count: usize| {
        while heard.len() < count {
            let incoming = receive.next().await.expect("there is more to come")?;
            assert!(heard.insert(incoming.id, incoming).is_none(), "every message comes once");
        }
        Ok::<_, Error>(())
    };
    let others = || (0..n).filter(move |j| *j != i);
    send.send(Outgoing::broadcast(Message::Hello(i))).await?;
    until(&mut heard, others().count()).await?;
    for j in others() {
        send.send(Outgoing::p2p(j, Message::Secret(i, j))).await?;
    }
    if i == 0 {
        send.send(Outgoing::broadcast(Message::Verdict("good".to_owned()))).await?;
    }
    until(&mut heard, 2 * others().count() + usize::from(i != 0)).await?;
    if i == 0 {
        until(&mut heard, 4 * others().count()).await?;
    } else {
        send.send(Outgoing::p2p(0, Message::Thanks(1))).await?;
        send.send(Outgoing::p2p(0, Message::Thanks(2))).await?;
    }
    execution.finish().await?;
    Ok(heard)
}

fn of(heard: &Heard, sender: u16) -> Vec<(MessageType, Message)> {
    heard.values().filter(|one| one.sender == sender).map(|one| (one.msg_type, one.msg.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_mix_in_a_round_parties_are_silent_and_nothing_is_lost() {
    let board = Board::solo().await;
    let (parties, spec) = invited(4);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let executions: Vec<_> = sessions.iter().map(|session| Execution::new(session, 0..4, INPUT).unwrap()).collect();
    let heard = try_join_all(executions.iter().map(talk)).await.unwrap();
    for (i, heard) in (0..).zip(&heard) {
        for j in (0..4).filter(|j| *j != i) {
            let mut expected = vec![(MessageType::Broadcast, Message::Hello(j))];
            expected.extend((j == 0).then(|| (MessageType::Broadcast, Message::Verdict("good".to_owned()))));
            expected.push((MessageType::P2P, Message::Secret(j, i)));
            if i == 0 {
                expected.extend([1, 2].map(|count| (MessageType::P2P, Message::Thanks(count))));
            }
            assert_eq!(of(heard, j), expected);
        }
    }
    // A second run, of some of the parties, under other indices, on the rounds that follow.
    let runs = [3, 1].map(|seat: u16| Execution::among(&sessions[usize::from(seat)], 4..8, &[3, 1], INPUT).unwrap());
    let heard = try_join_all(runs.iter().map(talk)).await.unwrap();
    assert_eq!(heard[1].values().filter(|one| one.sender == 0).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_leads_to_what_its_sender_signed() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let executions: Vec<_> = sessions.iter().map(|session| Execution::new(session, 2..6, INPUT).unwrap()).collect();
    let heard = try_join_all(executions.iter().map(talk)).await.unwrap();
    let mut kinds = BTreeMap::new();
    for message in heard[1].values() {
        let original = executions[1].original(message.id).await.unwrap();
        assert_eq!((original.sender, original.author), (message.sender, parties[usize::from(message.sender)].public()));
        let MailboxFact { mailbox, entries, .. } = &original.proof.fact;
        let entry = &entries[0];
        let digest = entry.signed_digest(&board.network.chain, &original.author, mailbox, 3);
        signed::check(&original.author, &digest, &entry.signature).expect("the sender's signature");
        if let Body::Message { payload } = &entry.body {
            let encoded: Message = ciborium::from_reader(payload.0.as_slice()).unwrap();
            assert_eq!(encoded, message.msg);
        }
        *kinds.entry(mailbox.kind).or_insert(0) += 1;
    }
    assert_eq!(kinds, BTreeMap::from([(MailboxKind::Broadcast, 3), (MailboxKind::Private, 2)]));
    let never = Execution::message_id(MailboxKind::Private, 5, 0);
    assert!(matches!(executions[1].original(never).await, Err(Error::UnknownMessage { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_nonsense_or_nothing_is_named() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let client = board.client();
    let hurried = Options { wait: Some(Duration::from_secs(4)), ..Options::default() };
    let join = |party| Session::join(&client, party, &id, hurried.clone());
    let sessions = try_join_all(parties.iter().map(join)).await.unwrap();
    sessions[2].broadcast(0, b"no CBOR \xff".to_vec()).await.unwrap();
    let execution = Execution::new(&sessions[0], 0..4, INPUT).unwrap();
    let error = talk(&execution).await.unwrap_err();
    assert!(matches!(error, Error::Undecodable { sender: 2, round: 0, .. }), "{error}");
    assert_eq!(error.culprits(), [2]);
    let evidence = execution.original(Execution::message_id(MailboxKind::Broadcast, 0, 2)).await.unwrap();
    assert_eq!(evidence.author, parties[2].public());
    // Party 1 has written nothing at all.
    let (mut receive, _) = Delivery::<Message>::split(execution.delivery());
    assert!(receive.next().await.unwrap().is_err());
    let error = receive.next().await.unwrap().unwrap_err();
    let Error::Missing { kind: MailboxKind::Broadcast, round: 0, missing, .. } = &error else { panic!("{error}") };
    assert_eq!(*missing, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_the_board_closes_ends_the_wait() {
    let board = Board::solo().await;
    let (parties, spec) = invited(3);
    let spec = SessionSpec { round_timeout_ms: Some(1500), ..spec };
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let executions: Vec<_> =
        sessions[..2].iter().map(|session| Execution::new(session, 0..4, INPUT).unwrap()).collect();
    let talks = executions.iter().map(async |execution| talk(execution).await.unwrap_err());
    for error in futures::future::join_all(talks).await {
        let Error::Missing { missing, closed: true, .. } = &error else { panic!("{error}") };
        assert_eq!(*missing, [2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_session_does_not_allow_is_refused_before_it_is_sent() {
    let board = Board::solo().await;
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let sessions = join_each(&board, &parties, &id).await;
    let invalid = |rounds, parties: &[u16]| {
        let error = Execution::among(&sessions[0], rounds, parties, INPUT).unwrap_err();
        assert!(matches!(error, Error::InvalidExecution { .. }), "{error}");
    };
    invalid(0..17, &[0, 1]);
    invalid(3..3, &[0, 1]);
    invalid(0..1, &[0, 0]);
    invalid(0..1, &[0, 2]);
    invalid(0..1, &[1]);
    let execution = Execution::new(&sessions[0], 0..1, INPUT).unwrap();
    let (_, mut send) = execution.delivery().split();
    let long = Outgoing::broadcast(Message::Verdict("x".repeat(70_000)));
    assert!(matches!(send.send(long).await, Err(Error::TooLong { .. })));
    for to in [0, 2] {
        let error = send.send(Outgoing::p2p(to, Message::Hello(0))).await.unwrap_err();
        assert!(matches!(error, Error::NoRecipient { .. }), "{error}");
    }
    send.send(Outgoing::broadcast(Message::Hello(0))).await.unwrap();
    let error = send.send(Outgoing::broadcast(Message::Hello(0))).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchRound { round: 1, rounds: 1 }), "{error}");
}

/// Runs again that do less than the first do not come to their end: one that does nothing, and one of party 0 that sends it all and hears one mailbox of several.
async fn ends_too_early(session: &Session) {
    let leaves = async |execution: &Execution<'_>, what: &str| {
        let error = execution.finish().await.unwrap_err();
        let Error::ReplayDiffers { difference: Difference::Step { journal, .. }, .. } = &error else {
            panic!("{error}")
        };
        assert!(journal.starts_with(what), "{error}");
    };
    let execution = Execution::new(session, 0..4, INPUT).unwrap();
    leaves(&execution, "wrote broadcast round 0").await;
    let (mut receive, mut send) = Delivery::<Message>::split(execution.delivery());
    send.send(Outgoing::broadcast(Message::Hello(0))).await.unwrap();
    receive.next().await.unwrap().unwrap();
    send.send(Outgoing::p2p(1, Message::Secret(0, 1))).await.unwrap();
    send.send(Outgoing::broadcast(Message::Verdict("good".to_owned()))).await.unwrap();
    leaves(&execution, "read ").await;
}

/// The node takes the message and then shows nothing new: nobody knows whether it is on the board, however often that is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_finish_is_not_finished_when_asked_again() {
    let board = Board::start(&[Conduct::Freezing]).await;
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let client = board.client();
    let hurried = Options { wait: Some(Duration::from_secs(3)), ..Options::default() };
    let join = |party| Session::join(&client, party, &id, hurried.clone());
    let sessions = try_join_all(parties.iter().map(join)).await.unwrap();
    let execution = Execution::new(&sessions[0], 0..4, INPUT).unwrap();
    let (_, mut send) = execution.delivery().split();
    send.send(Outgoing::broadcast(Message::Hello(0))).await.unwrap();
    board.freeze.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let error = execution.finish().await.unwrap_err();
        assert!(matches!(error, Error::NotOnBoard { .. }), "{error}");
        assert!(!sessions[0].executions().unwrap()[0].finished);
    }
    board.freeze.store(false, Ordering::Relaxed);
    // A block more, which the node shows.
    sessions[1].broadcast(0, b"anything".to_vec()).await.unwrap();
    execution.finish().await.unwrap();
    assert!(sessions[0].executions().unwrap()[0].finished);
    let read = sessions[1].read(MailboxKind::Broadcast, 0, 2).await.unwrap();
    assert_eq!(read.round.received.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_goes_on_and_what_differs_is_not_sent() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let (client, other_client) = (board.client(), board.client());
    let kept = || Options { state: Some(folder.path().to_owned()), ..Options::default() };
    let join = Session::join(&client, &parties[0], &id, kept());
    let (first, other) =
        tokio::try_join!(join, Session::join(&other_client, &parties[1], &id, Options::default())).unwrap();
    let execution = Execution::new(&first, 0..4, INPUT).unwrap();
    let seed = **execution.seed();
    assert!(matches!(Execution::new(&first, 0..4, INPUT), Err(Error::ExecutionRuns { .. })));
    tokio::select! {
        _ = talk(&execution) => panic!("the other one has said nothing"),
        read = other.read(MailboxKind::Broadcast, 0, 1) => drop(read.unwrap()),
    }
    drop(execution);
    drop(first);

    let client = board.client();
    let again = Session::join(&client, &parties[0], &id, kept()).await.unwrap();
    let others = Execution::new(&other, 0..4, INPUT).unwrap();
    let execution = Execution::new(&again, 0..4, INPUT).unwrap();
    assert_eq!(**execution.seed(), seed);
    let (heard, _) = tokio::try_join!(talk(&execution), talk(&others)).unwrap();
    assert_eq!(heard.len(), 4);
    drop(execution);
    // Once more from the start: all that it hears is what it heard.
    let execution = Execution::new(&again, 0..4, INPUT).unwrap();
    assert_eq!(of(&talk(&execution).await.unwrap(), 1), of(&heard, 1));
    drop(execution);
    let other_input = Execution::new(&again, 0..4, b"another message").unwrap_err();
    assert!(matches!(&other_input, Error::ReplayDiffers { difference: Difference::Input { .. }, .. }), "{other_input}");
    ends_too_early(&again).await;
    let execution = Execution::new(&again, 0..4, INPUT).unwrap();
    let (_, mut send) = execution.delivery().split();
    let error = send.send(Outgoing::broadcast(Message::Hello(99))).await.unwrap_err();
    assert!(matches!(&error, Error::ReplayDiffers { difference: Difference::Message { round: 0, .. }, .. }), "{error}");

    let (mut used, party) = (Used::default(), parties[0].public());
    let said = board.heard.lock().unwrap().clone();
    said.iter().filter(|one| one.signed.author == party).for_each(|one| used.operation(one, 0..0));
    assert!(used.twice().is_empty() && used.again > 0, "{used:?}");
}

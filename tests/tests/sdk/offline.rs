//! A phone that sleeps for an hour (§I, §V-E c): its process stands still, its connections lead nowhere, and the board goes on without it.

use super::board::{Board, Conduct, invited};
use client_sdk::{Client, Error, Event, Identity, Options, Session};
use futures::future::try_join_all;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use wire::{EndReason, MailboxKind, NetworkFile, Phase, SessionId, SessionSpec};

const HOUR_MS: u64 = 3_600_000;
const KIND: MailboxKind = MailboxKind::Broadcast;

/// What one party has in place of a network.
struct Line {
    network: NetworkFile,
    /// Connections that were opened before this number changed carry nothing any more, and nobody is told.
    cut: watch::Sender<usize>,
    /// How many lead nowhere.
    dead: Arc<AtomicUsize>,
}

impl Line {
    async fn to(board: &Board) -> Self {
        let (cut, dead) = (watch::channel(0).0, Arc::new(AtomicUsize::new(0)));
        let mut network = board.network.clone();
        for node in &mut network.nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let to = std::mem::replace(&mut node.url, url).strip_prefix("http://").unwrap().to_owned();
            let (cut, dead) = (cut.subscribe(), Arc::clone(&dead));
            tokio::spawn(async move {
                while let Ok((from, _)) = listener.accept().await {
                    tokio::spawn(carry(from, to.clone(), cut.clone(), Arc::clone(&dead)));
                }
            });
        }
        Self { network, cut, dead }
    }
}

/// Carries bytes until the line is cut; then both ends stay open for good.
async fn carry(mut from: TcpStream, to: String, mut cut: watch::Receiver<usize>, dead: Arc<AtomicUsize>) {
    cut.mark_unchanged();
    let mut to = TcpStream::connect(to).await.unwrap();
    tokio::select! {
        biased;
        _ = cut.changed() => {
            dead.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        // Either side may end it.
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
    }
}

/// A party's part: everybody writes to rounds 0 and 1 after having read what came before.
async fn live(client: &Client, party: &Identity, id: &SessionId) -> Result<(EndReason, usize), Error> {
    let session = Session::join(client, party, id, Options::default()).await?;
    let n = session.seat().parties;
    session.broadcast(0, vec![0]).await?;
    session.read(KIND, 0, n).await?;
    // Two are enough to go on, and to end the session.
    let first = session.read(KIND, 1, 2).await?.round.received.len();
    let end = session.leave().await?;
    Ok((end.reason, first))
}

/// The sleeper's device: one thread, which stands still in the middle of a wait until it is told that the hour is over.
fn phone(network: NetworkFile, party: Identity, id: SessionId, asleep: watch::Sender<bool>, wake: mpsc::Receiver<()>) {
    let sleeps = std::sync::Mutex::new(Some((asleep, wake)));
    let client = Client::new(network).unwrap().with_progress(move |progress| {
        if matches!(progress.event, Event::Read { kind: KIND, round: 1, .. })
            && let Some((asleep, wake)) = sleeps.lock().unwrap().take()
        {
            asleep.send_replace(true);
            wake.recv().unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lived = runtime.block_on(live(&client, &party, &id)).unwrap();
    assert_eq!(lived, (EndReason::Terminated, 2), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_offline_for_an_hour_goes_on_where_it_was() {
    let board = Board::start(&[Conduct::Honest; 4]).await;
    let (parties, spec) = invited(3);
    let spec = SessionSpec { corruption_threshold: 1, running_ms: 3 * HOUR_MS, retention_ms: 3 * HOUR_MS, ..spec };
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let line = Line::to(&board).await;
    let (asleep, mut sleeping) = watch::channel(false);
    let (wake, woken) = mpsc::channel();
    let (network, sleeper) = (line.network.clone(), parties[2].clone());
    let phone = tokio::task::spawn_blocking(move || phone(network, sleeper, id, asleep, woken));

    let others = try_join_all(parties[..2].iter().map(async |party| {
        let session = Session::join(&board.client(), party, &id, Options::default()).await?;
        session.broadcast(0, vec![0]).await?;
        session.read(KIND, 0, 3).await?;
        Ok::<_, Error>(session)
    }));
    let others = others.await.unwrap();
    sleeping.wait_for(|asleep| *asleep).await.unwrap();
    line.cut.send_modify(|cuts| *cuts += 1);
    let fell_asleep = board.client().latest_block().await.unwrap().time_ms;
    board.ahead_ms.store(HOUR_MS, Ordering::Relaxed);
    for session in others {
        session.broadcast(1, vec![1]).await.unwrap();
        session.terminate().await.unwrap();
    }
    let client = board.client();
    assert_eq!(client.session(&id).await.unwrap().phase, Phase::Ended, "the others were done without it");
    assert!(client.latest_block().await.unwrap().time_ms >= fell_asleep + HOUR_MS);
    wake.send(()).unwrap();
    phone.await.unwrap();
    assert!(line.dead.load(Ordering::Relaxed) > 0, "it woke to connections that lead nowhere");
}

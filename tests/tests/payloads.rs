//! Payloads beside consensus, on real nodes: what is private stands in no block and is gone after erasure, a gateway may die at any moment,
//! and a node that was away gets what it lacks.

use client_sdk::{Client, Identity, Options, Session, identity_file};
use futures::future::try_join_all;
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    disk::files_with,
    raw::{Raw, parties},
    signing,
};
use wire::{Bytes, MailboxKind, Operation, SessionId, SessionSpec};

/// Stands in no file by chance.
const SECRET: &[u8] = b"what nobody else must read: this very text, and nothing like it.";

/// All files below a folder in which the secret stands, also as hex or base64.
fn files_with_secret(folder: &Path) -> Vec<PathBuf> {
    // Base64 of the secret from each of three positions on, without the digits that its surroundings change.
    let base64 = |skip: usize| base64_of(&SECRET[skip..skip + 30]);
    let needles: Vec<Vec<u8>> =
        [SECRET.to_vec(), hex::encode(SECRET).into_bytes()].into_iter().chain((0..3).map(base64)).collect();
    files_with(folder, &needles)
}

fn base64_of(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |part: &[u8]| {
        let number = part.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| DIGITS[number >> shift & 63])
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

struct Stage {
    cluster: Cluster,
    raw: Arc<Raw>,
    operator: Identity,
}

impl Stage {
    async fn new() -> Self {
        let cluster = Cluster::start(4, &[]).await;
        let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
        let raw = Arc::new(Raw::new(cluster.network.clone()));
        Self { cluster, raw, operator }
    }

    async fn open(&self, n: usize) -> (Vec<Identity>, SessionId) {
        let (parties, keys) = parties(n);
        let spec = SessionSpec { max_message_bytes: 1_000_000, ..signing::spec(keys) };
        let session = self.raw.open(&self.operator, &parties, spec).await;
        (parties, session)
    }

    /// Waits until something holds of every node's folder: of its databases and of CometBFT's block store.
    async fn everywhere(&self, holds: impl Fn(&Path) -> bool) {
        let started = Instant::now();
        while !self.homes().iter().all(|home| holds(home)) {
            let found: Vec<_> = self.homes().iter().flat_map(|home| files_with_secret(home)).collect();
            assert!(started.elapsed() < READY, "the secret stands in {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn homes(&self) -> Vec<PathBuf> {
        self.cluster.nodes.iter().map(|node| node.home().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_stands_in_no_block_and_in_no_file_once_it_is_erased() {
    let stage = Stage::new().await;
    let (parties, session) = stage.open(1).await;
    let write = stage.raw.private(&parties[0], session, 0, 1, SECRET);
    stage.raw.insist(0, &write).await;
    for node in 0..4 {
        stage.raw.comes_to_show(node, session, 0, SECRET).await;
    }
    for home in stage.homes() {
        let found = files_with_secret(&home);
        let beside = found.iter().all(|path| path.file_name().unwrap().to_str().unwrap().starts_with("payloads.db"));
        assert!(beside && !found.is_empty(), "it stands only where payloads are kept: {found:?}");
    }
    let sign = |operation| parties[0].envelope(&stage.raw.network.chain, operation, Bytes::default(), OsRng);
    stage.raw.insist(1, &sign(Operation::Terminate { session })).await;
    let at = stage.cluster.nodes[1].status().await.at;
    stage.raw.insist(1, &sign(Operation::Ack { session, height: at.height, root: at.root })).await;
    stage.everywhere(|home| files_with_secret(home).is_empty()).await;
}

/// As parties take part: keys, a broadcast and a private message by the SDK, an output, an end that all acknowledge.
#[tokio::test(flavor = "multi_thread")]
async fn what_parties_wrote_is_at_no_node_after_they_have_left() {
    let stage = Stage::new().await;
    let (parties, keys) = parties(2);
    let spec = SessionSpec { inline_payloads: false, ..signing::spec(keys) };
    let client = Client::new(stage.cluster.network.clone()).unwrap();
    let id = client.create(&stage.operator, spec).await.unwrap();
    let join = |party| Session::join(&client, party, &id, Options::default());
    let sessions = try_join_all(parties.iter().map(join)).await.unwrap();
    let write = async |session: &Session| {
        session.broadcast(0, SECRET.to_vec()).await?;
        let to = 1 - session.seat().index;
        session.send_private(1, &BTreeMap::from([(to, SECRET.to_vec())])).await?;
        session.read(MailboxKind::Broadcast, 0, 2).await?;
        session.read(MailboxKind::Private, 1, 2).await
    };
    let read = try_join_all(sessions.iter().map(write)).await.unwrap();
    assert!(read.iter().all(|read| read.round.received.iter().any(|message| message.data.as_deref() == Some(SECRET))));
    // A node that is behind has its payload a little later.
    stage.everywhere(|home| !files_with_secret(home).is_empty()).await;
    try_join_all(sessions.into_iter().map(Session::leave)).await.unwrap();
    stage.everywhere(|home| files_with_secret(home).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_gets_what_it_lacks() {
    let mut stage = Stage::new().await;
    let (parties, session) = stage.open(1).await;
    stage.cluster.nodes[3].kill();
    for round in 0..5 {
        stage.raw.insist(0, &stage.raw.private(&parties[0], session, round, 1, &[round as u8; 50_000])).await;
    }
    stage.cluster.nodes[3].start();
    stage.cluster.nodes[3].ready(READY).await;
    for round in 0..5 {
        stage.raw.comes_to_show(3, session, round, &[round as u8; 50_000]).await;
    }
    // What it has got, it keeps.
    stage.cluster.nodes[3].kill();
    stage.cluster.nodes[3].start();
    stage.cluster.nodes[3].ready(READY).await;
    stage.raw.comes_to_show(3, session, 4, &[4; 50_000]).await;
}

/// The gateway is killed at other moments of its work each time: before it has delivered anything, while it does, before or after the
/// transaction is out. Whatever it has left behind, its client brings the same bytes to another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_halfway_costs_its_clients_a_second_attempt() {
    let mut stage = Stage::new().await;
    let (parties, session) = stage.open(1).await;
    let mut cut_off = 0;
    for round in 0..10_u32 {
        let text = [round as u8; 200_000];
        let write = Arc::new(stage.raw.private(&parties[0], session, round, 1, &text));
        let first = tokio::spawn({
            let (raw, write) = (Arc::clone(&stage.raw), Arc::clone(&write));
            async move { raw.post(1, &write).await }
        });
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 4)).await;
        stage.cluster.nodes[1].kill();
        cut_off += usize::from(first.await.unwrap().is_err());
        stage.raw.insist(2, &write).await;
        stage.raw.comes_to_show(0, session, round, &text).await;
        stage.cluster.nodes[1].start();
        stage.cluster.nodes[1].ready(READY).await;
        stage.raw.comes_to_show(1, session, round, &text).await;
    }
    assert!(cut_off > 0, "no attempt was cut off");
}

//! Nodes certify the board together over real connections: at once, after being away, after starting again, alone or in company.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/quorum.rs"]
mod quorum;

use bls::Seed;
use ledger::{Block, Payload, Snapshot, State, Submitted};
use node::{
    certification::{Certification, Parts},
    certified::{CertifiedBoard, CertifiedFeed},
    channel::{Channel, Member, Members, server},
    config::KnownReplica,
    feed::{DecidedBlock, Feed},
    home::Home,
    keyring::EpochKeys,
    participant::Participant,
    secrets::NodeSecrets,
    telemetry,
};
use quorum::{FIRST, Quorum};
use rand_core::OsRng;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::*;

const PATIENCE: Duration = Duration::from_secs(20);
/// So long nothing must happen where nothing may.
const WHILE: Duration = Duration::from_millis(1500);

/// A board with the endorsed key of epoch 1 on it, made by a network of one node.
fn board_with_key() -> Snapshot {
    let identity = schnorrkel::Keypair::generate_with(OsRng);
    let secrets = Arc::new(NodeSecrets::generate());
    let chain: ChainId = "board".parse().unwrap();
    let parameters = NetworkParameters {
        chain: chain.clone(),
        nodes: vec![secrets.record("node0".to_owned(), &identity, &chain)],
        operators: vec![PublicKey(identity.public.to_bytes())],
        creators: Creators::Operators,
        quotas: node::genesis::DEFAULT_QUOTAS,
    };
    let participant = Participant::new(&parameters, 0, identity.clone(), secrets);
    let mut state = State::genesis(parameters).unwrap();
    for height in 1..100 {
        if state.snapshot().value(&FactKey::Keys(1)).is_some() {
            return state.snapshot();
        }
        let step =
            state.generations().get(&1).and_then(|run| participant.due(run, Some(&Seed::new([1; 32])), None, OsRng));
        let operation = |step| {
            let operation = Operation::Generate { epoch: 1, attempt: 0, step: Box::new(step) };
            let signed = Signed::sign(&identity, chain.clone(), operation, OsRng).verify(&chain).unwrap();
            Submitted::Verified(signed, Payload::Inline)
        };
        state.apply(&Block { height, time_ms: 1000 * height, operations: step.map(operation).into_iter().collect() });
    }
    panic!("one node makes a key in a few blocks");
}

/// What all nodes of a test have in common.
struct World {
    quorum: Quorum,
    secrets: Vec<NodeSecrets>,
    replica: NodeSecrets,
    board: Snapshot,
    listeners: Vec<Option<TcpListener>>,
    addresses: Vec<String>,
    folder: TempDir,
}

/// One node, as far as it certifies.
struct Node {
    feed: Arc<Feed>,
    newest: watch::Receiver<Option<Arc<CertifiedBoard>>>,
    keys: watch::Sender<Option<Arc<EpochKeys>>>,
    certification: Certification,
    server: JoinHandle<()>,
    stop: CancellationToken,
    board: Snapshot,
}

impl World {
    async fn new(nodes: usize) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..nodes {
            listeners.push(Some(TcpListener::bind("127.0.0.1:0").await.unwrap()));
        }
        let address = |listener: &Option<TcpListener>| listener.as_ref().unwrap().local_addr().unwrap().to_string();
        Self {
            quorum: Quorum::new(nodes),
            secrets: (0..nodes).map(|_| NodeSecrets::generate()).collect(),
            replica: NodeSecrets::generate(),
            board: board_with_key(),
            addresses: listeners.iter().map(address).collect(),
            listeners,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, height: u64) -> BoardAt {
        BoardAt { height, time_ms: 1000 + height, root: self.board.root() }
    }

    fn members(&self, own: usize) -> Members {
        let member = |(index, (secrets, address)): (usize, (&NodeSecrets, &String))| Member {
            name: format!("node{index}"),
            key: secrets.tls().verifying_key().to_bytes(),
            address: (index != own).then(|| address.clone()),
        };
        let members = self.secrets.iter().zip(&self.addresses).enumerate().map(member).collect();
        let tls = TlsKey(self.replica.tls().verifying_key().to_bytes());
        let replicas = vec![KnownReplica { name: "replica0".to_owned(), tls }];
        let secret = self.secrets.get(own).unwrap_or(&self.replica).tls().clone();
        Members { own, secret, members, replicas }
    }

    fn parameters(&self) -> NetworkParameters {
        let nodes = (0..self.quorum.size()).map(|node| {
            self.secrets[node].record(format!("node{node}"), &self.quorum.identities[node], &self.quorum.chain)
        });
        NetworkParameters {
            chain: self.quorum.chain.clone(),
            nodes: nodes.collect(),
            operators: vec![self.quorum.identity(0)],
            creators: Creators::Operators,
            quotas: node::genesis::DEFAULT_QUOTAS,
        }
    }

    fn home(&self, node: usize) -> Home {
        let path = self.folder.path().join(format!("node{node}"));
        std::fs::create_dir_all(&path).unwrap();
        Home::new(&path).unwrap()
    }

    /// Starts node `node`, whose store has the block of `height`, with a share of the key.
    async fn start(&mut self, node: usize, height: Option<u64>) -> Node {
        let keys = self.quorum.keys(1, node);
        self.start_with(node, height, Some(keys)).await
    }

    async fn start_with(&mut self, node: usize, height: Option<u64>, keys: Option<Arc<EpochKeys>>) -> Node {
        let stop = CancellationToken::new();
        let at = height.map(|height| self.at(height));
        let feed = Arc::new(Feed::new(at));
        let certified = CertifiedFeed::start(&feed, stop.clone());
        let members = self.members(node);
        let channel = Channel::start(&members, &stop).unwrap();
        let (keys, receiver) = watch::channel(keys);
        let parts = Parts {
            parameters: self.parameters(),
            // A replica's is one that genesis does not name.
            identity: self
                .quorum
                .identities
                .get(node)
                .cloned()
                .unwrap_or_else(|| schnorrkel::Keypair::generate_with(OsRng)),
            members: members.clone(),
            channel,
            feed: Arc::clone(&feed),
            restored: at.map(|at| (at, self.board.clone())),
            keys: receiver,
            certified: certified.clone(),
            home: self.home(node),
        };
        let is_node = node < self.secrets.len();
        let certification = match is_node {
            true => Certification::start(parts, &stop),
            false => Certification::follow(parts, &[0, 1], &stop),
        };
        if !is_node {
            let (newest, board, server) = (certified.newest(), self.board.clone(), tokio::spawn(async {}));
            return Node { feed, newest, keys, certification, server, stop, board };
        }
        let listener = match self.listeners[node].take() {
            Some(listener) => listener,
            None => TcpListener::bind(&self.addresses[node]).await.unwrap(),
        };
        let limits = server::ServerLimits::default();
        let routers = server::Routers { nodes: certification.router(), replicas: certification.replica_router() };
        let serving = server::serve(listener, routers, members, limits, stop.clone()).unwrap();
        let (newest, board, server) = (certified.newest(), self.board.clone(), tokio::spawn(serving));
        Node { feed, newest, keys, certification, server, stop, board }
    }
}

impl Node {
    /// Consensus has decided this block, and it is executed.
    fn execute(&self, at: BoardAt) {
        self.feed.execute(at, self.board.clone());
    }

    /// The store has it.
    fn commit(&self, at: BoardAt) {
        let (payloads, snapshot) = (BTreeMap::new(), self.board.clone());
        self.feed.publish(DecidedBlock {
            at,
            receipts: vec![],
            events: vec![],
            payloads,
            beside: BTreeMap::new(),
            snapshot,
        });
    }

    fn block(&self, at: BoardAt) {
        self.execute(at);
        self.commit(at);
    }

    /// Waits until this height is certified here.
    async fn certified(&mut self, height: u64) -> Certificate {
        let reached = self.newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height >= height));
        let board = timeout(PATIENCE, reached).await.expect("it is certified").unwrap().clone().unwrap();
        assert_eq!(board.snapshot.root(), board.at().root);
        board.certificate
    }

    async fn is_not_certified(&mut self, height: u64) {
        let reached = self.newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height >= height));
        assert!(timeout(WHILE, reached).await.is_err(), "height {height} is certified");
    }

    async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap();
        timeout(PATIENCE, self.certification.ended()).await.unwrap();
    }
}

fn is_kept(home: &Home, certificate: &Certificate) -> bool {
    let read =
        |path: &Path| std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Certificate>(&text).ok());
    read(&home.certificate()) == Some(*certificate)
}

#[tokio::test]
async fn four_nodes_certify_each_block_once_it_is_stored() {
    let mut world = World::new(4).await;
    let mut nodes = Vec::new();
    for node in 0..4 {
        nodes.push(world.start(node, None).await);
    }
    for height in FIRST..FIRST + 20 {
        let at = world.at(height);
        nodes.iter().for_each(|node| node.block(at));
        let first = nodes[0].certified(height).await;
        assert!(first.at == at && world.quorum.is_certificate(&first));
        for node in &mut nodes {
            assert_eq!(node.certified(height).await, first);
        }
    }
    // What the store does not have yet is not told, though it is certified.
    let at = world.at(FIRST + 20);
    nodes.iter().for_each(|node| node.execute(at));
    nodes[1..].iter().for_each(|node| node.commit(at));
    nodes[1].certified(at.height).await;
    nodes[0].is_not_certified(at.height).await;
    nodes[0].commit(at);
    nodes[0].certified(at.height).await;
    for node in nodes {
        node.end().await;
    }
}

#[tokio::test]
async fn a_replica_is_told_every_certificate_at_once_and_whenever_it_comes() {
    let mut world = World::new(4).await;
    let (first, second) = (world.start(0, None).await, world.start(1, None).await);
    let mut newest = first.newest.clone();
    // Without the key it can believe nothing yet; what it was told then is told again.
    let mut replica = world.start_with(4, None, None).await;
    let nodes = |at: BoardAt| [&first, &second].into_iter().for_each(|node| node.block(at));
    for height in FIRST..FIRST + 3 {
        nodes(world.at(height));
        replica.block(world.at(height));
    }
    let last = FIRST + 2;
    replica.is_not_certified(FIRST).await;
    replica.keys.send_replace(Some(Arc::new(EpochKeys {
        epoch: 1,
        first_height: FIRST,
        public: world.quorum.public(1),
        share: None,
    })));
    assert!(world.quorum.is_certificate(&replica.certified(last).await));
    let started = Instant::now();
    for height in last + 1..last + 20 {
        nodes(world.at(height));
        replica.block(world.at(height));
        replica.certified(height).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "it does not wait for a second's tick each time");
    // One that always stays a few blocks behind serves what it has executed.
    for height in last + 20..last + 40 {
        nodes(world.at(height));
        newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height >= height)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        replica.block(world.at(height - 5));
    }
    let served = replica.newest.borrow().as_ref().unwrap().at().height;
    assert!(served > last + 20 && served < last + 35, "{served}");
    for node in [first, second, replica] {
        node.end().await;
    }
}

#[tokio::test]
async fn on_a_chain_at_rest_a_node_that_was_cut_off_gets_its_certificate() {
    let mut world = World::new(4).await;
    let at = world.at(FIRST);
    let mut alone = world.start(0, Some(FIRST)).await;
    alone.is_not_certified(FIRST).await;
    // One more node is enough: f + 1 of four are two.
    let mut second = world.start(1, Some(FIRST)).await;
    let made = alone.certified(FIRST).await;
    assert!(made.at == at && second.certified(FIRST).await == made);
    // Who comes later is told, also without a share of the key of its own.
    let keys = EpochKeys { epoch: 1, first_height: FIRST, public: world.quorum.public(1), share: None };
    let mut third = world.start_with(2, Some(FIRST), Some(Arc::new(keys))).await;
    assert_eq!(third.certified(FIRST).await, made);
    // So is who catches up: its certificate is there as soon as its board is.
    let later = world.at(FIRST + 30);
    alone.block(later);
    second.block(later);
    let made = second.certified(later.height).await;
    for height in FIRST + 1..=later.height {
        third.block(world.at(height));
    }
    assert_eq!(third.certified(later.height).await, made);
    // And who gets the key only then.
    let mut fourth = world.start_with(3, Some(later.height), None).await;
    fourth.is_not_certified(FIRST).await;
    fourth.keys.send_replace(Some(world.quorum.keys(1, 3)));
    assert_eq!(fourth.certified(later.height).await, made);
}

#[tokio::test]
async fn a_node_that_starts_again_alone_has_its_certificate() {
    let mut world = World::new(4).await;
    let (mut first, second) = (world.start(0, None).await, world.start(1, None).await);
    let at = world.at(FIRST);
    first.block(at);
    second.block(at);
    let made = first.certified(FIRST).await;
    // The last one is kept however short the time is between it and the end.
    let last = world.at(FIRST + 1);
    first.block(last);
    second.block(last);
    let newest = first.certified(last.height).await;
    assert_ne!(made, newest);
    first.end().await;
    second.end().await;
    assert!(is_kept(&world.home(0), &newest));
    let mut again = world.start(0, Some(last.height)).await;
    assert_eq!(again.certified(last.height).await, newest);
    again.end().await;
    // A file that is no certificate, or not of this board, does no harm: the other node knows.
    for nonsense in ["{}".to_owned(), serde_json::to_string(&made).unwrap()] {
        std::fs::write(world.home(0).certificate(), nonsense).unwrap();
        let mut again = world.start(0, Some(last.height)).await;
        let mut second = world.start(1, Some(last.height)).await;
        assert_eq!(again.certified(last.height).await, newest);
        assert_eq!(second.certified(last.height).await, newest);
        again.end().await;
        second.end().await;
    }
}

#[tokio::test]
async fn a_node_that_lies_on_the_channel_holds_nobody_up() {
    telemetry::start();
    let mut world = World::new(4).await;
    let (mut first, mut second) = (world.start(0, None).await, world.start(1, None).await);
    let liar = Channel::start(&world.members(3), &first.stop).unwrap();
    for peer in [0, 1] {
        liar.connected(peer, 0).await.unwrap();
    }
    for height in FIRST..FIRST + 5 {
        let right = world.quorum.share(3, 1, world.at(height));
        let wrong = CertificateShare { partial: world.quorum.share(2, 1, world.at(height)).body.partial, ..right.body };
        let lies = [
            borsh::to_vec(&world.quorum.envelope(3, wrong)).unwrap(),
            borsh::to_vec(&world.quorum.share(0, 1, world.at(height))).unwrap(),
            b"garbage".to_vec(),
        ];
        for (peer, lie) in [0, 1].into_iter().flat_map(|peer| lies.clone().map(|lie| (peer, lie))) {
            let _ = liar.post(peer, "/shares", lie.into(), PATIENCE).await;
        }
        let began = Instant::now();
        first.block(world.at(height));
        second.block(world.at(height));
        assert_eq!(first.certified(height).await, second.certified(height).await);
        assert!(began.elapsed() < Duration::from_millis(900), "not only when the shares were sent again");
    }
    let (shown, liar) = (telemetry::render(), world.members(0).members[3].name.clone());
    for fault in ["envelope", "partial"] {
        let blamed = format!("white_city_bad_shares_total{{node=\"{liar}\",fault=\"{fault}\"}}");
        assert!(shown.contains(&blamed), "{blamed}");
    }
    let blamed = shown.lines().filter(|line| line.starts_with("white_city_bad_shares_total{"));
    assert!(blamed.clone().all(|line| line.contains(&liar)), "nobody else: {:?}", blamed.collect::<Vec<_>>());
}

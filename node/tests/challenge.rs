//! Nodes draw the challenge of an open session: four of them on one board in this process, one of which may be faulty.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/open.rs"]
mod open;
#[path = "support/quorum.rs"]
mod quorum;

use axum::body::Bytes as Body;
use bls::Domain;
use futures::future::BoxFuture;
use node::{
    challenge::{Drawn, Fault, Shares, share},
    challenger::{Challenger, Parts},
    channel::ChannelError,
    consensus::Consensus,
    executor::Executor,
    generator::Generator,
    keyring::Keyring,
    participant::Participant,
    peers::Peers,
    secrets::NodeSecrets,
    seeds::Seeds,
    solo::Solo,
    store::Store,
    telemetry,
    ticker::Ticker,
};
use open::{key, request, sign};
use quorum::Quorum;
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use wire::*;

const NODES: usize = 4;
const SESSION: SessionId = SessionId([5; 32]);

/// What the last of the four nodes does when it is asked for its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Honest,
    /// It gives no answer.
    Silent,
    /// It says that it has none.
    Withholding,
    /// It signs something else with its share of the key.
    Other,
    /// It gives what another node has signed.
    Borrowed,
    /// It gives bytes that mean nothing.
    Garbage,
}

/// What outlives a restart.
struct Disk {
    folder: tempfile::TempDir,
    identities: Vec<Keypair>,
    secrets: Vec<Arc<NodeSecrets>>,
    parameters: NetworkParameters,
}

struct Cluster {
    executor: Arc<Executor>,
    store: Store,
    consensus: Consensus,
    solo: Solo,
    challengers: Vec<Challenger>,
    keyrings: Vec<Arc<Keyring>>,
    /// How often the last node did what no honest one does.
    faults: watch::Sender<usize>,
    stop: CancellationToken,
}

impl Disk {
    fn new() -> Self {
        let identities: Vec<Keypair> = (0..NODES).map(|_| Keypair::generate_with(OsRng)).collect();
        let secrets: Vec<_> = (0..NODES).map(|_| Arc::new(NodeSecrets::generate())).collect();
        let chain: ChainId = "challenge-test".parse().unwrap();
        let nodes = secrets.iter().zip(&identities).enumerate();
        let parameters = NetworkParameters {
            nodes: nodes.map(|(i, (secrets, identity))| secrets.record(format!("node{i}"), identity, &chain)).collect(),
            operators: vec![key(&identities[0])],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 10, live_sessions_per_creator: 10, live_bytes: 1 << 30 },
            chain,
        };
        Self { folder: tempfile::tempdir().unwrap(), identities, secrets, parameters }
    }

    /// All nodes, which have the key of `epoch`.
    async fn start(&self, conduct: Conduct, epoch: u64) -> Cluster {
        telemetry::start();
        let path: &Path = self.folder.path();
        let store = Store::open(&path.join("board.db")).await.unwrap();
        let executor = Arc::new(Executor::open(self.parameters.clone(), store.clone()).await.unwrap());
        let (stop, faults) = (CancellationToken::new(), watch::Sender::new(0));
        let solo = Solo::start(Arc::clone(&executor));
        let consensus = Consensus::Solo(solo.client.clone());
        let (identity, chain) = (self.identities[0].clone(), self.parameters.chain.clone());
        let ticker =
            Ticker { executor: Arc::clone(&executor), consensus: consensus.clone(), identity, chain, index: 0 };
        tokio::spawn(ticker.run(stop.clone()));
        let all: Arc<OnceLock<(Vec<Challenger>, Arc<Keyring>)>> = Arc::default();
        let (mut challengers, mut keyrings) = (Vec::new(), Vec::new());
        for own in 0..NODES {
            let (identity, secrets) = (self.identities[own].clone(), Arc::clone(&self.secrets[own]));
            let part = Participant::new(&self.parameters, u16::try_from(own).unwrap(), identity.clone(), secrets);
            let seeds = Seeds::new(path.join(format!("seeds{own}")));
            let generator = Generator::open(Arc::clone(&executor), Arc::new(part), seeds).await.unwrap();
            keyrings.push(Arc::clone(generator.keyring()));
            let challenger = Challenger::new(Parts {
                parameters: self.parameters.clone(),
                identity,
                own,
                store: store.clone(),
                feed: Arc::clone(executor.feed()),
                keyring: Arc::clone(generator.keyring()),
                peers: self.peers(own, conduct, &all, &faults),
            });
            tokio::spawn(generator.run(consensus.clone(), stop.clone()));
            if own + 1 < NODES || conduct == Conduct::Honest {
                tokio::spawn(challenger.clone().run(consensus.clone(), stop.clone()));
            }
            challengers.push(challenger);
        }
        all.set((challengers.clone(), Arc::clone(&keyrings[NODES - 1]))).ok().unwrap();
        let cluster = Cluster { executor, store, consensus, solo, challengers, keyrings, faults, stop };
        cluster.has_key(epoch).await;
        cluster
    }

    /// The way of node `own` to the others. If the last one is faulty, the honest ones answer only when it has done what it does.
    fn peers(
        &self,
        own: usize,
        conduct: Conduct,
        all: &Arc<OnceLock<(Vec<Challenger>, Arc<Keyring>)>>,
        faults: &watch::Sender<usize>,
    ) -> Peers {
        let others = (0..NODES).filter(|other| *other != own).collect();
        let (all, faults) = (Arc::clone(all), faults.clone());
        let (chain, last) = (self.parameters.chain.clone(), self.identities[NODES - 1].clone());
        let post = move |peer: usize, path: &'static str, body: Body, _| {
            let (all, faults) = (Arc::clone(&all), faults.clone());
            let (chain, last) = (chain.clone(), last.clone());
            let answer: BoxFuture<'static, Result<Body, ChannelError>> = Box::pin(async move {
                assert_eq!(path, node::challenger::ROUTE);
                let session = SessionId(body.as_ref().try_into().unwrap());
                let (nodes, keyring) = all.get().unwrap();
                let share = async |node: usize| {
                    let refused = |code| ChannelError::Refused { peer, code, detail: String::new() };
                    nodes[node].share(session).await.map_err(|failure| refused(failure.code))
                };
                if peer + 1 < NODES || conduct == Conduct::Honest {
                    if conduct != Conduct::Honest {
                        faults.subscribe().wait_for(|faults| *faults > 0).await.unwrap();
                    }
                    return share(peer).await;
                }
                faults.send_modify(|faults| *faults += 1);
                match conduct {
                    Conduct::Silent => std::future::pending().await,
                    Conduct::Withholding => {
                        Err(ChannelError::Refused { peer, code: Code::WrongPhase, detail: String::new() })
                    }
                    Conduct::Other => {
                        let keys = keyring.epoch(1).unwrap();
                        let other = node::challenge::share(&chain, SESSION, &keys, &last, OsRng).unwrap();
                        let body = ChallengeShare { session, ..other.body };
                        Ok(borsh::to_vec(&Signed::sign(&last, chain, body, OsRng)).unwrap().into())
                    }
                    Conduct::Borrowed => share(own).await,
                    Conduct::Garbage => Ok(Body::from_static(b"garbage")),
                    Conduct::Honest => panic!("it answers as it should"),
                }
            });
            answer
        };
        Peers::new(others, Arc::new(post))
    }
}

impl Cluster {
    /// Waits until all nodes have the key of an epoch.
    async fn has_key(&self, epoch: u64) {
        for keyring in &self.keyrings {
            let mut newest = keyring.newest();
            let found = newest.wait_for(|keys| keys.as_ref().is_some_and(|keys| keys.epoch >= epoch));
            timeout(Duration::from_secs(60), found).await.unwrap().unwrap();
        }
    }

    async fn submit(&self, envelope: Envelope) {
        self.consensus.submit(Transaction::inline([envelope]).encode()).await.unwrap();
    }

    /// Opens a session for which one stranger asks.
    async fn open(&self, disk: &Disk, registering_ms: u64) -> SessionId {
        let (chain, operator) = (&disk.parameters.chain, &disk.identities[0]);
        let terms = open::terms(registering_ms, 20_000);
        let (spec, nonce) = (Box::new(open::spec(terms, 3, 4)), Hash([1; 32]));
        let session = spec.session_id(chain, &key(operator), &nonce);
        self.submit(sign(chain, operator, Operation::CreateSession { spec, nonce })).await;
        let record = self.comes_to(session, |record| record.deadline_ms.is_some()).await;
        for _ in 0..3 {
            let stranger = Keypair::generate_with(OsRng);
            self.submit(request(chain, session, &terms, &stranger, record.deadline_ms.unwrap())).await;
        }
        session
    }

    async fn comes_to(&self, session: SessionId, wanted: impl Fn(&SessionRecord) -> bool) -> SessionRecord {
        let mut head = self.executor.feed().head();
        let look = async {
            loop {
                head.mark_unchanged();
                if let Some(record) = self.executor.session(&session).filter(|record| wanted(record)) {
                    return record;
                }
                head.changed().await.unwrap();
            }
        };
        timeout(Duration::from_secs(60), look).await.unwrap()
    }

    /// The challenge, which must be the nodes' signature under the key of that epoch.
    async fn challenge(&self, session: SessionId, epoch: u64) -> G1Bytes {
        let drawn = |record: &SessionRecord| record.registration.unwrap().challenge.is_some();
        let registration = self.comes_to(session, drawn).await.registration.unwrap();
        assert_eq!(registration.epoch, epoch);
        let signature = registration.challenge.unwrap();
        let message = challenge_message(&self.executor.parameters().unwrap().chain, &session);
        let keys = self.keyrings[0].epoch(epoch).unwrap();
        let parsed = bls::Signature::from_bytes(&signature.0).unwrap();
        keys.public.group_key().verify(Domain::Challenge, &message.0, &parsed).unwrap();
        signature
    }

    async fn stop(self) {
        self.stop.cancel();
        self.solo.stop().await;
        self.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_share_is_given_before_requests_are_over_and_then_the_challenge_comes() {
    let disk = Disk::new();
    let cluster = disk.start(Conduct::Honest, 1).await;
    let refusal = async |session| cluster.challengers[1].share(session).await.unwrap_err().code;
    assert_eq!(refusal(SESSION).await, Code::UnknownSession);
    let session = cluster.open(&disk, 1500).await;
    assert_eq!(refusal(session).await, Code::WrongPhase);
    cluster.challenge(session, 1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_faulty_node_of_four_keeps_nobody_from_the_challenge() {
    for conduct in [Conduct::Silent, Conduct::Withholding, Conduct::Other, Conduct::Borrowed, Conduct::Garbage] {
        let disk = Disk::new();
        let cluster = disk.start(conduct, 1).await;
        let session = cluster.open(&disk, 2000).await;
        cluster.challenge(session, 1).await;
        assert!(*cluster.faults.borrow() > 0, "{conduct:?} was asked");
        cluster.stop().await;
    }
    for fault in ["envelope", "partial"] {
        let blamed = format!("white_city_bad_challenge_shares_total{{node=\"node3\",fault=\"{fault}\"}}");
        assert!(telemetry::render().contains(&blamed), "{blamed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_is_drawn_under_the_key_of_the_sessions_creation_over_a_renewal_and_a_restart() {
    let disk = Disk::new();
    let cluster = disk.start(Conduct::Honest, 1).await;
    let session = cluster.open(&disk, 15_000).await;
    let renewal = sign(&disk.parameters.chain, &disk.identities[0], Operation::RenewKey { epoch: 2 });
    cluster.submit(renewal).await;
    cluster.has_key(2).await;
    let phase = cluster.executor.session(&session).unwrap().phase;
    assert_eq!(phase, Phase::Registering, "the new key came before");
    cluster.stop().await;
    let again = disk.start(Conduct::Honest, 2).await;
    again.challenge(session, 1).await;
    again.stop().await;
}

/// Node `node`'s share of the challenge of a session under an epoch.
fn given(quorum: &Quorum, node: usize, session: SessionId, epoch: u64) -> Signed<ChallengeShare> {
    share(&quorum.chain, session, &quorum.keys(epoch, node), &quorum.identities[node], OsRng).unwrap()
}

fn shares(quorum: &Quorum) -> Shares {
    let nodes = (0..quorum.size()).map(|node| quorum.identity(node)).collect();
    Shares::new(quorum.chain.clone(), SESSION, quorum.keys(1, 0), nodes)
}

#[test]
fn any_f_and_one_good_shares_make_the_one_challenge_and_wrong_ones_are_named() {
    let quorum = Quorum::new(7);
    let of = |nodes: &[usize]| {
        let mut shares = shares(&quorum);
        let mut drawn = Drawn::default();
        for node in nodes {
            assert_eq!(drawn.signature, None, "too few make none");
            shares.receive(*node, given(&quorum, *node, SESSION, 1)).unwrap();
            drawn = shares.draw();
            assert_eq!(drawn.culprits, []);
        }
        drawn.signature.unwrap()
    };
    let signature = of(&[0, 1, 2]);
    assert_eq!(signature, of(&[6, 2, 4]), "there is only one");

    // Two of them sign something else, under their own identities.
    let mut shares = shares(&quorum);
    let wrong = |node: usize| {
        let other = given(&quorum, node, SessionId([6; 32]), 1).body.partial;
        let body = ChallengeShare { session: SESSION, epoch: 1, partial: other };
        Signed::sign(&quorum.identities[node], quorum.chain.clone(), body, OsRng)
    };
    for node in [1, 4] {
        shares.receive(node, wrong(node)).unwrap();
    }
    shares.receive(2, given(&quorum, 2, SESSION, 1)).unwrap();
    let drawn = shares.draw();
    let named: Vec<_> = drawn.culprits.iter().map(|(node, signed)| (*node, signed.author)).collect();
    assert_eq!((drawn.signature, named), (None, vec![(1, quorum.identity(1)), (4, quorum.identity(4))]));
    let evidence = drawn.culprits.into_iter().all(|(_, signed)| signed.verify(&quorum.chain).is_ok());
    assert!(evidence, "what they signed convinces a third person");
    for node in [0, 5] {
        shares.receive(node, given(&quorum, node, SESSION, 1)).unwrap();
    }
    assert_eq!(shares.draw(), Drawn { signature: Some(signature), culprits: vec![] });
}

#[test]
fn a_share_counts_only_as_its_nodes_own_and_for_this_session_and_epoch() {
    let quorum = Quorum::new(4);
    let mut shares = shares(&quorum);
    let mut forged = given(&quorum, 1, SESSION, 1);
    forged.body.partial = given(&quorum, 2, SESSION, 1).body.partial;
    let mut point = given(&quorum, 1, SESSION, 1).body;
    point.partial = G1Bytes([0xff; 48]);
    let point = Signed::sign(&quorum.identities[1], quorum.chain.clone(), point, OsRng);
    let elsewhere = Signed::sign(&quorum.identities[1], "elsewhere".parse().unwrap(), point.body, OsRng);
    for (signed, fault) in [
        (given(&quorum, 2, SESSION, 1), Fault::Envelope),
        (given(&quorum, 1, SessionId([6; 32]), 1), Fault::Envelope),
        (given(&quorum, 1, SESSION, 2), Fault::Envelope),
        (forged, Fault::Envelope),
        (elsewhere, Fault::Envelope),
        (point, Fault::Partial),
    ] {
        assert_eq!(shares.receive(1, signed), Err(fault));
    }
    assert_eq!(shares.receive(9, given(&quorum, 1, SESSION, 1)), Err(Fault::Envelope));
    assert_eq!(shares.draw(), Drawn::default());
}

//! Somebody between the clients and the node that they ask first, who tells one kind of lie after another: each is caught for what it is, and all
//! parties finish through the other nodes.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use client_sdk::{Caught, Client, Error, Event, Identity, Options, Session, identity_file};
use futures::future::{join_all, try_join_all};
use protocols::{Seed, statistics::Statistics};
use rand_core::OsRng;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle};
use white_city_tests::{
    cluster::Cluster,
    liar::{Liar, Lie},
    samples,
};
use wire::{NetworkFile, OpenTerms, SessionId, SessionSpec, Work};

const PARTIES: u16 = 3;
/// A life takes a second; through a node that lies it may take some more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy that lies. Stops when it is dropped.
struct Proxy {
    url: String,
    behind: Arc<Behind>,
    serving: JoinHandle<()>,
}

struct Behind {
    /// The true node.
    url: String,
    http: reqwest::Client,
    liar: Option<Liar>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Stands before the node at `url`. Without a lie it only passes on.
    async fn start(url: &str, liar: Option<Liar>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let behind = Arc::new(Behind { url: url.to_owned(), http, liar });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass_on).with_state(Arc::clone(&behind));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, behind, serving }
    }

    /// The network file with this in the place of its first node.
    fn before(&self, network: &NetworkFile) -> NetworkFile {
        let mut network = network.clone();
        network.nodes[0].url.clone_from(&self.url);
        network
    }

    fn told(&self) -> usize {
        self.behind.liar.as_ref().map_or(0, Liar::told)
    }
}

async fn pass_on(State(behind): State<Arc<Behind>>, request: Request) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let liar = behind.liar.as_ref();
    if parts.method == Method::POST
        && let Some(lie) = liar.and_then(|liar| liar.receive(&body))
    {
        return borsh_response(lie);
    }
    let asked = liar.map_or_else(|| path.clone(), |liar| liar.ask(&path));
    let mut request = behind.http.request(parts.method.clone(), format!("{}{asked}", behind.url)).body(body);
    for name in [header::ACCEPT, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let Ok(truth) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    match liar {
        Some(liar) if parts.method == Method::GET && status.is_success() => {
            borsh_response(liar.answer(&path, truth.into()))
        }
        _ => {
            let mut response = Response::new(Body::from(truth));
            *response.status_mut() = status;
            response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
            response
        }
    }
}

fn borsh_response(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

fn invited() -> (Vec<Identity>, SessionSpec) {
    let parties: Vec<Identity> = (0..PARTIES).map(|_| Identity::generate(&mut OsRng)).collect();
    let keys = parties.iter().map(Identity::public).collect();
    let spec = SessionSpec {
        admission: wire::Admission::Invited { keys },
        min_parties: PARTIES,
        max_parties: PARTIES,
        corruption_threshold: PARTIES - 1,
        keying_ms: 60_000,
        running_ms: 120_000,
        ..samples::plain_spec()
    };
    (parties, spec)
}

/// Strangers, and a session that lets them in.
fn open() -> (Vec<Identity>, SessionSpec) {
    let (strangers, spec) = invited();
    let terms = OpenTerms {
        // Eighteen strangers come at once, on a machine that may be busy.
        registering_ms: 15_000,
        stamp_bits: 6,
        // A million hashes, in six seconds for the device that is meant.
        work: Work { version: 1, leaf_hashes: 256, leaves_log2: 12, openings: 200 },
        hash_rate: 175_000,
        slack_ms: 4000,
        head_start_ms: 3000,
        adversary: 1,
        soundness_bits: 10,
    };
    (strangers, SessionSpec { admission: wire::Admission::Open { terms }, ..spec })
}

async fn create(cluster: &Cluster) -> (SessionId, Vec<Identity>) {
    create_for(cluster, invited()).await
}

async fn create_for(cluster: &Cluster, (parties, spec): (Vec<Identity>, SessionSpec)) -> (SessionId, Vec<Identity>) {
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    (Client::new(cluster.network.clone()).unwrap().create(&operator, spec).await.unwrap(), parties)
}

/// Joins, computes a sum over private messages, says it to all, leaves.
async fn whole_life(client: Client, party: &Identity, id: &SessionId) -> Result<u128, Error> {
    client.prefer(0);
    let session = Session::join(&client, party, id, Options::default()).await?;
    assert_eq!(client.parties(id).await?.len(), usize::from(PARTIES));
    let (seat, spec) = (session.seat().clone(), session.spec());
    let input = u64::from(seat.index) + 1;
    let program = Statistics::new(seat, &spec.program, 0, input, Seed::random(&mut OsRng)).unwrap();
    let summary = session.run(program).await?;
    session.leave().await?;
    Ok(summary.sum())
}

/// All parties' lives in a session, each with a client of its own that knows `network`. What was caught, and what listeners heard of it.
async fn live(network: &NetworkFile, id: &SessionId, parties: &[Identity]) -> (Vec<Caught>, usize) {
    let heard = Arc::new(Mutex::new(0));
    let clients: Vec<Client> = parties
        .iter()
        .map(|_| {
            let heard = Arc::clone(&heard);
            Client::new(network.clone()).unwrap().with_progress(move |progress| {
                *heard.lock().unwrap() += usize::from(matches!(progress.event, Event::Caught { .. }));
            })
        })
        .collect();
    let lives = parties.iter().zip(&clients).map(|(party, client)| whole_life(client.clone(), party, id));
    let sums = tokio::time::timeout(PATIENCE, try_join_all(lives)).await.expect("a lie holds nobody up for long");
    assert_eq!(sums.unwrap(), [6; PARTIES as usize]);
    let caught = clients.iter().flat_map(Client::caught).collect();
    let heard = *heard.lock().unwrap();
    (caught, heard)
}

fn assert_caught(caught: &[Caught], liar: &str, name: &str, case: &str) {
    let named = caught.iter().any(|caught| caught.node == liar && caught.bad.name() == name);
    assert!(named, "{case} is {name}: {caught:?}");
    let framed = caught.iter().find(|caught| caught.node != liar && caught.bad.is_lie());
    assert_eq!(framed, None, "{case}: an honest node is not blamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lie_is_caught_and_all_finish_through_other_nodes() {
    let cluster = Cluster::start(4, &[]).await;
    let other_session = create(&cluster).await.0;
    let (chain, url) = (cluster.network.chain.clone(), &cluster.nodes[0].url);
    let liar = cluster.network.nodes[0].name.clone();
    let lies = [
        ("a dropped message", Lie::Drop, "broken_chain"),
        ("an old answer", Lie::Replay, "stale"),
        ("a changed byte", Lie::Byte, "wrong_payload"),
        ("swapped sessions", Lie::Swap(other_session), "about_something_else"),
        ("a forged empty mailbox", Lie::Empty, "wrong_proof"),
        ("a forged receipt", Lie::Receipt, "not_signed"),
        ("a truncated list of parties", Lie::Truncate, "foreign_record"),
        ("strangers' certificate", Lie::Strangers, "bad_certificate"),
    ];
    for (case, lie, name) in lies {
        let (id, parties) = create(&cluster).await;
        let proxy = Proxy::start(url, Some(Liar::new(lie, chain.clone()))).await;
        let started = Instant::now();
        let (caught, heard) = live(&proxy.before(&cluster.network), &id, &parties).await;
        assert!(proxy.told() > 0, "{case} was not told");
        assert_caught(&caught, &liar, name, case);
        assert!(heard > 0 || name == "not_signed", "{case}: listeners are told");
        println!("{case}: told {} times, caught {} times, {:?}", proxy.told(), caught.len(), started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_come_in_past_every_lie() {
    let cluster = Cluster::start(4, &[]).await;
    let (chain, url) = (cluster.network.chain.clone(), &cluster.nodes[0].url);
    let liar = cluster.network.nodes[0].name.clone();
    let lies = [
        ("a stranger left out", Lie::Drop, "broken_chain"),
        ("an old answer", Lie::Replay, "stale"),
        ("a forged empty list", Lie::Empty, "wrong_proof"),
        ("a forged receipt", Lie::Receipt, "not_signed"),
        ("a truncated list of parties", Lie::Truncate, "wrong_proof"),
        ("strangers' certificate", Lie::Strangers, "bad_certificate"),
    ];
    // All at once, for each waits for its deadlines.
    let tell = |(case, lie, name): (&'static str, Lie, &'static str)| {
        let (chain, cluster, liar) = (chain.clone(), &cluster, &liar);
        async move {
            let (id, strangers) = create_for(cluster, open()).await;
            let proxy = Proxy::start(url, Some(Liar::new(lie, chain))).await;
            let network = proxy.before(&cluster.network);
            let (mut caught, _) = live(&network, &id, &strangers).await;
            // Who was kept waiting by a busy machine has asked other nodes; somebody who knows nothing of that asks this one.
            let started = Instant::now();
            while proxy.told() == 0 {
                assert!(started.elapsed() < PATIENCE, "{case} was not told");
                let client = Client::new(network.clone()).unwrap();
                client.prefer(0);
                client.parties(&id).await.unwrap();
                caught.extend(client.caught());
            }
            assert_caught(&caught, liar, name, case);
        }
    };
    join_all(lies.map(tell)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_not_taken_for_this_one() {
    let cluster = Cluster::start(4, &[]).await;
    let elsewhere = Cluster::solo(&[]).await;
    let proxy = Proxy::start(&elsewhere.nodes[0].url, None).await;
    let liar = &cluster.network.nodes[0].name;
    let stranger = proxy.before(&cluster.network);
    let keys = Client::new(cluster.network.clone()).unwrap().keys().await.unwrap();
    let knowing = NetworkFile { keys, ..stranger.clone() };
    for (network, name) in [(&stranger, "bad_key_record"), (&knowing, "bad_certificate")] {
        let (id, parties) = create(&cluster).await;
        let (caught, _) = live(network, &id, &parties).await;
        assert_caught(&caught, liar, name, "another chain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_lie_the_error_says_who_and_how() {
    let cluster = Cluster::start(4, &[]).await;
    let (id, _) = create(&cluster).await;
    let chain = cluster.network.chain.clone();
    let mut proxies = Vec::new();
    let mut network = cluster.network.clone();
    for node in &mut network.nodes {
        let proxy = Proxy::start(&node.url, Some(Liar::new(Lie::Strangers, chain.clone()))).await;
        node.url.clone_from(&proxy.url);
        proxies.push(proxy);
    }
    let client = Client::new(network).unwrap().with_patience(Duration::from_secs(1));
    let error = client.session(&id).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    let names: Vec<_> = tried.iter().map(|tried| tried.bad.as_ref().map(|bad| bad.name())).collect();
    assert_eq!(names, [Some("bad_certificate"); 4], "{error}");
    assert!(proxies.iter().all(|proxy| proxy.told() > 0));
}

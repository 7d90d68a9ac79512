//! Backups on four real nodes: restored whatever f of them do, opened by nobody else, replaced, and erased for good.

use axum::{
    Router,
    body::Bytes as Body,
    extract::State,
    http::{Method, Uri, header},
    response::{IntoResponse, Response},
};
use client_sdk::{BackupOptions, BadAnswer, Client, Error, Identity, identity_file};
use rand_core::OsRng;
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use white_city_tests::{
    cluster::{Cluster, READY},
    disk::files_with,
    raw::{Raw, parties},
    signing,
};
use wire::{
    Bytes, Code, G1Bytes, NetworkFile, Operation, OperationId, Phase, RestoreAnswer, RestoreQuestion, SessionId,
    SessionSpec, limits::MAX_SECRET_BYTES,
};

const BORSH: &str = "application/octet-stream";
const SECRET: &[u8] = b"a party's share of the group's key, which nobody else may ever see";
/// So long a client tries before it says that too few nodes do their part.
const PATIENCE: Duration = Duration::from_secs(8);

struct Stage {
    cluster: Cluster,
    raw: Raw,
    parties: Vec<Identity>,
    session: SessionId,
}

impl Stage {
    /// A session of two that runs.
    async fn new() -> Self {
        let cluster = Cluster::start(4, &[]).await;
        let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
        let raw = Raw::new(cluster.network.clone());
        let (parties, keys) = parties(2);
        let spec = SessionSpec { corruption_threshold: 0, ..signing::spec(keys) };
        let session = raw.open(&operator, &parties, spec).await;
        Self { cluster, raw, parties, session }
    }

    /// A client that knows nothing but the network file.
    fn client(&self) -> Client {
        Client::new(self.cluster.network.clone()).unwrap().with_patience(PATIENCE)
    }

    /// Leaves a backup, and waits until every node shows it, for one may be a block behind.
    async fn back_up(&self, party: usize, secret: &[u8], passphrase: Option<&str>) -> u32 {
        let passphrase = passphrase.map(SecretString::from);
        let options = BackupOptions { passphrase, ..BackupOptions::default() };
        let number = self.client().back_up(&self.parties[party], &self.session, secret, &options).await.unwrap();
        for node in 0..self.cluster.nodes.len() {
            self.payload(node, party, number).await;
        }
        number
    }

    /// The payload of a party's backup of this number, as a node comes to show it to anybody.
    async fn payload(&self, node: usize, party: usize, number: u32) -> Vec<u8> {
        let node = &self.cluster.nodes[node].url;
        let url = format!("{node}/v1/sessions/{}/backups/{party}?payload=true", self.session);
        let started = Instant::now();
        loop {
            let answer = reqwest::get(&url).await.unwrap();
            let fact = answer.json::<wire::Answer<wire::BackupFact>>().await.ok().map(|answer| answer.fact);
            let shown = fact.filter(|fact| fact.record.is_some_and(|record| record.number == number));
            if let Some(payload) = shown.and_then(|fact| fact.payload) {
                return payload.0;
            }
            assert!(started.elapsed() < READY, "{node} does not show number {number}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The operation that has made the party's newest backup.
    async fn operation(&self, party: u16) -> OperationId {
        self.client().backup(&self.session, party).await.unwrap().unwrap().operation
    }

    /// All that a node answers to who restores a party's backup, as of now.
    async fn record(&self, party: usize) -> Old {
        let (url, session) = (&self.cluster.nodes[0].url, self.session);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut old = BTreeMap::new();
        let paths = [
            "certificate?height=0".to_owned(),
            format!("sessions/{session}?proof=true"),
            format!("sessions/{session}/backups/{party}?payload=true&proof=true"),
            format!("sessions/{session}/backups/{party}?payload=false&proof=true"),
        ];
        for path in paths {
            let path = format!("/v1/{path}");
            let answer = http.get(format!("{url}{path}")).header(header::ACCEPT, BORSH).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            old.insert(path, answer.bytes().await.unwrap().to_vec());
        }
        Arc::new(old)
    }

    fn index(&self, party: usize) -> u16 {
        u16::try_from(party).unwrap()
    }

    async fn restore(&self, client: &Client, party: usize) -> Result<Vec<u8>, Error> {
        client.restore(&self.parties[party], &self.session).await.map(|secret| secret.to_vec())
    }

    async fn restore_with(&self, client: &Client, party: usize, passphrase: &str) -> Result<Vec<u8>, Error> {
        let restored =
            client.restore_with_passphrase(&self.session, self.index(party), &SecretString::from(passphrase)).await;
        restored.map(|secret| secret.to_vec())
    }

    /// The session ends, all acknowledge, and it is erased.
    async fn end(&self) {
        let sign =
            |party: &Identity, operation| party.envelope(&self.raw.network.chain, operation, Bytes::default(), OsRng);
        self.raw.insist(0, &sign(&self.parties[0], Operation::Terminate { session: self.session })).await;
        let at = self.cluster.nodes[0].status().await.at;
        for party in &self.parties {
            let ack = Operation::Ack { session: self.session, height: at.height, root: at.root };
            self.raw.insist(0, &sign(party, ack)).await;
        }
        let (client, started) = (self.client(), Instant::now());
        while client.session(&self.session).await.unwrap().phase != Phase::Erased {
            assert!(started.elapsed() < READY, "the session is not erased");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is so at every node.
    async fn everywhere(&self, needle: &[u8], is_there: bool) {
        let started = Instant::now();
        let stands_in = |home: &Path| !files_with(home, &[needle]).is_empty();
        while let Some(node) = self.cluster.nodes.iter().find(|node| stands_in(node.home()) != is_there) {
            assert!(started.elapsed() < READY, "{} has it: {}", node.url, !is_there);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// The point that it was given: as if its share were one.
    Share,
    /// Bytes that are no answer.
    Garbage,
    /// What the node says of another's backup.
    Another(OperationId),
    /// True once: its answers of an earlier time, as at `Behind::old`, and about the rest the truth.
    Old,
}

/// Stands before a node. One of them lies to those who restore; the others let them wait until it has.
struct Proxy {
    url: String,
    serving: JoinHandle<()>,
}

/// What a node once answered, by path and query.
type Old = Arc<BTreeMap<String, Vec<u8>>>;

struct Behind {
    /// The true node.
    url: String,
    session: SessionId,
    lie: Option<Lie>,
    old: Old,
    told: watch::Sender<usize>,
    http: reqwest::Client,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Before all nodes, of which the one at `liar` lies; and the network in which they are the nodes.
    async fn before_all(stage: &Stage, liar: usize, lie: Lie) -> (Vec<Self>, NetworkFile) {
        Self::before(stage, &[liar], lie, &Old::default()).await
    }

    async fn before(stage: &Stage, liars: &[usize], lie: Lie, old: &Old) -> (Vec<Self>, NetworkFile) {
        let (told, mut network) = (watch::Sender::new(0), stage.cluster.network.clone());
        let mut proxies = Vec::new();
        for (place, node) in network.nodes.iter_mut().enumerate() {
            let lie = liars.contains(&place).then_some(lie);
            let proxy = Self::start(stage, &node.url, lie, (old.clone(), told.clone())).await;
            node.url.clone_from(&proxy.url);
            proxies.push(proxy);
        }
        (proxies, network)
    }

    async fn start(stage: &Stage, url: &str, lie: Option<Lie>, (old, told): (Old, watch::Sender<usize>)) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let behind = Behind { url: url.to_owned(), session: stage.session, lie, old, told, http };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::new(behind));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, serving }
    }
}

async fn answer(State(behind): State<Arc<Behind>>, method: Method, uri: Uri, body: Body) -> Response {
    if behind.lie == Some(Lie::Old) {
        let said = behind.old.get(&uri.to_string());
        if uri.path().starts_with("/v1/sessions/") {
            behind.told.send_modify(|told| *told += 1);
        }
        if let Some(said) = said {
            return borsh_response(said.clone());
        }
    } else if !behind.old.is_empty() && uri.path().starts_with("/v1/sessions/") {
        // Whoever restores is to hear the old answer first.
        behind.told.subscribe().wait_for(|told| *told > 0).await.unwrap();
    }
    if let Some(lie) = behind.lie.filter(|lie| *lie != Lie::Old && uri.path().ends_with("/evaluations")) {
        let lie = told(&behind, lie, borsh::from_slice(&body).unwrap()).await;
        behind.told.send_modify(|told| *told += 1);
        return borsh_response(lie);
    }
    if method == Method::POST && behind.old.is_empty() {
        behind.told.subscribe().wait_for(|told| *told > 0).await.unwrap();
    }
    let request = behind.http.request(method, format!("{}{uri}", behind.url)).body(body);
    let request = request.header(header::ACCEPT, BORSH).header(header::CONTENT_TYPE, BORSH);
    borsh_response(request.send().await.unwrap().bytes().await.unwrap().to_vec())
}

async fn told(behind: &Behind, lie: Lie, question: RestoreQuestion) -> Vec<u8> {
    match lie {
        Lie::Old => unreachable!("it is told about facts"),
        Lie::Share => borsh::to_vec(&RestoreAnswer { partial: question.point }).unwrap(),
        Lie::Garbage => vec![7; 5],
        Lie::Another(backup) => {
            let url = format!("{}/v1/sessions/{}/backups/1/evaluations", behind.url, behind.session);
            let answered = ask(&url, &RestoreQuestion { backup, signature: None, ..question }).await;
            borsh::to_vec(&answered.unwrap()).unwrap()
        }
    }
}

fn borsh_response(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, BORSH)], bytes).into_response()
}

async fn ask(url: &str, question: &RestoreQuestion) -> Result<RestoreAnswer, Code> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(url).json(question).send().await.unwrap();
    if answer.status().is_success() {
        return Ok(answer.json().await.unwrap());
    }
    Err(answer.json::<wire::api::Problem>().await.unwrap().code)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_f_nodes_may_be_down_and_no_more() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.back_up(0, SECRET, None).await, 1);
    assert_eq!(stage.back_up(1, &[9; MAX_SECRET_BYTES], Some("correct horse")).await, 1);
    for node in 0..4 {
        stage.cluster.nodes[node].kill();
        let client = stage.client();
        assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET, "without node {node}");
        assert_eq!(stage.restore_with(&client, 1, "correct horse").await.unwrap(), [9; MAX_SECRET_BYTES]);
        stage.cluster.nodes[node].start();
        stage.cluster.nodes[node].ready(READY).await;
    }
    // One node may show what is long past, and is not believed alone.
    (1..4).for_each(|node| stage.cluster.nodes[node].kill());
    let error = stage.restore(&stage.client(), 0).await.unwrap_err();
    let Error::NoAnswer { tried, .. } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 4);
    let named = stage.cluster.network.nodes.iter().all(|node| error.to_string().contains(&node.name));
    assert!(named, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_is_named_and_does_not_stand_in_the_way() {
    let stage = Stage::new().await;
    stage.back_up(0, SECRET, None).await;
    stage.back_up(1, SECRET, Some("correct horse")).await;
    let another = stage.operation(1).await;
    for (node, lie) in [(2, Lie::Share), (0, Lie::Garbage), (3, Lie::Another(another))] {
        let name = &stage.cluster.network.nodes[node].name;
        let started = Instant::now();
        loop {
            let (proxies, network) = Proxy::before_all(&stage, node, lie).await;
            let client = Client::new(network).unwrap().with_patience(PATIENCE);
            assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET, "{lie:?}");
            drop(proxies);
            let caught = client.caught();
            assert!(caught.iter().all(|caught| caught.node == *name), "{caught:?}");
            // What cannot be read at all is no lie that could be told from a broken line.
            if lie == Lie::Garbage || caught.iter().any(|caught| caught.bad == BadAnswer::WrongEvaluation) {
                break;
            }
            // Two others were faster, though they have waited for it.
            assert!(started.elapsed() < READY, "{lie:?} was not heard");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_show_what_was_once_true_are_not_believed() {
    let stage = Stage::new().await;
    let before = stage.record(0).await;
    stage.back_up(0, b"an older share", None).await;
    let first = stage.record(0).await;
    assert_eq!(stage.back_up(0, SECRET, None).await, 2);
    // One lies; or one lies and another is honest and has not come further.
    for (old, liars) in [(&before, &[1][..]), (&first, &[2]), (&first, &[0, 3])] {
        let (_proxies, network) = Proxy::before(&stage, liars, Lie::Old, old).await;
        let client = Client::new(network).unwrap().with_patience(PATIENCE);
        assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET, "{liars:?}");
        let names: Vec<&str> = liars.iter().map(|liar| stage.cluster.network.nodes[*liar].name.as_str()).collect();
        let stale = |caught: &client_sdk::Caught| {
            matches!(caught.bad, BadAnswer::Stale { .. }) && names.contains(&caught.node.as_str())
        };
        assert!(client.caught().iter().any(stale), "{liars:?}: {:?}", client.caught());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_opens_for_its_owner_only() {
    let stage = Stage::new().await;
    stage.back_up(0, SECRET, None).await;
    stage.back_up(1, SECRET, Some("correct horse")).await;
    let client = stage.client();
    let wrong = stage.restore_with(&client, 1, "battery staple").await.unwrap_err();
    assert!(matches!(wrong, Error::BackupUnopened { lock: "passphrase", .. }), "{wrong}");
    assert!(matches!(stage.restore_with(&client, 0, "x").await, Err(Error::OtherLock { .. })));
    assert!(matches!(stage.restore(&client, 1).await, Err(Error::OtherLock { .. })));
    let stranger = Identity::generate(&mut OsRng);
    let not_a_party = client.restore(&stranger, &stage.session).await;
    assert!(matches!(not_a_party, Err(Error::NotAParty { .. })));

    // A node does its part for nobody but the owner, at its own place only; and where a passphrase opens, not for long.
    let url = |node: usize, party: u16| {
        format!("{}/v1/sessions/{}/backups/{party}/evaluations", stage.cluster.nodes[node].url, stage.session)
    };
    let generator = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
    let point: G1Bytes = generator.parse().unwrap();
    let backup = stage.operation(0).await;
    let sign = |identity: &Identity, node: usize| {
        let node = stage.cluster.network.nodes[node].identity;
        let request = wire::RestoreRequest { session: stage.session, backup, node, point };
        Some(identity.sign(&stage.cluster.network.chain, request, OsRng).signature)
    };
    let owner = &stage.parties[0];
    let asked = |signature| RestoreQuestion { backup, point, signature };
    assert!(ask(&url(0, 0), &asked(sign(owner, 0))).await.is_ok());
    assert_eq!(ask(&url(1, 0), &asked(sign(owner, 0))).await, Err(Code::BadSignature), "signed for another node");
    assert_eq!(ask(&url(0, 0), &asked(sign(&stranger, 0))).await, Err(Code::BadSignature));
    assert_eq!(ask(&url(0, 0), &asked(None)).await, Err(Code::BadSignature));
    assert_eq!(ask(&url(0, 1), &asked(None)).await, Err(Code::NoBackup), "another's backup");
    let no_point = RestoreQuestion { point: G1Bytes([0xff; 48]), ..asked(None) };
    let guessed = RestoreQuestion { backup: stage.operation(1).await, ..asked(None) };
    assert_eq!(ask(&url(3, 1), &RestoreQuestion { point: no_point.point, ..guessed }).await, Err(Code::Malformed));
    // The same question again is no other guess; that and its negation in turn are.
    let mut negated = RestoreQuestion { ..guessed };
    negated.point.0[0] ^= 0x20;
    assert!(ask(&url(3, 1), &negated).await.is_ok() && ask(&url(3, 1), &negated).await.is_ok());
    let (mut answered, mut turns) = (1, [&guessed, &negated].into_iter().cycle());
    while ask(&url(3, 1), turns.next().unwrap()).await.is_ok() {
        answered += 1;
        assert!(answered <= 10, "{answered}");
    }
    assert_eq!(
        ask(&url(3, 1), &RestoreQuestion { point: generator.parse().unwrap(), ..negated }).await.is_ok(),
        answered % 2 == 0,
        "the one counted last is answered again, the other is not"
    );
    assert!(ask(&url(2, 1), &guessed).await.is_ok(), "each node counts for itself");
    assert_eq!(stage.restore_with(&client, 1, "correct horse").await.unwrap(), SECRET, "by the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_counts_outlives_its_session_and_is_erased_for_good() {
    let mut stage = Stage::new().await;
    let (client, owner) = (stage.client(), stage.parties[0].clone());
    assert!(matches!(stage.restore(&client, 0).await, Err(Error::NoBackup { number: None, .. })));
    stage.back_up(0, b"an older share", None).await;
    let first = stage.payload(0, 0, 1).await;
    stage.everywhere(&first, true).await;
    assert_eq!(stage.back_up(0, SECRET, None).await, 2);
    stage.everywhere(&first, false).await;
    let second = stage.payload(0, 0, 2).await;
    stage.end().await;
    assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET, "the session is gone");

    // Somebody who kept the first one brings it again, with a number of then.
    let (digest, length) = (wire::message_digest(&first), u32::try_from(first.len()).unwrap());
    let again = Operation::Backup { session: stage.session, number: 1, digest, length, keep_ms: 1000 };
    let again = owner.envelope(&stage.raw.network.chain, again, Bytes(first.clone()), OsRng);
    let refused = stage.raw.post(1, &again).await.unwrap_err();
    assert!(refused.contains("outdated_backup"), "{refused}");
    // A backup that nobody could restore is not taken.
    let mut broken =
        wire::Backup::decode(&second, &stage.raw.network.chain, &stage.session, &owner.public(), 4).unwrap();
    broken.commitments.swap(0, 1);
    let broken = broken.encode();
    let (digest, length) = (wire::message_digest(&broken.0), broken.length());
    let operation = Operation::Backup { session: stage.session, number: 3, digest, length, keep_ms: 1000 };
    let refused = stage.raw.post(1, &owner.envelope(&stage.raw.network.chain, operation, broken, OsRng)).await;
    let known = ["bad_backup", "not_stored", "not_decided"];
    let is_refused = refused.as_ref().is_err_and(|said| known.iter().any(|code| said.contains(code)));
    assert!(is_refused, "{refused:?}");
    assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET);

    // A restart loses nothing, and an erasure loses everything.
    stage.cluster.nodes[2].kill();
    stage.cluster.nodes[2].start();
    stage.cluster.nodes[2].ready(READY).await;
    assert_eq!(stage.restore(&client, 0).await.unwrap(), SECRET);
    stage.everywhere(&second, true).await;
    client.erase_backup(&owner, &stage.session).await.unwrap();
    assert!(matches!(stage.restore(&client, 0).await, Err(Error::NoBackup { number: Some(3), .. })));
    stage.everywhere(&second, false).await;
    let refused = stage.raw.post(1, &again).await.unwrap_err();
    assert!(refused.contains("outdated_backup"), "{refused}");

    // What has a time goes by itself.
    let options = BackupOptions { keep: Duration::from_secs(1), passphrase: None };
    assert_eq!(client.back_up(&owner, &stage.session, SECRET, &options).await.unwrap(), 4);
    let started = Instant::now();
    while client.backup(&stage.session, 0).await.unwrap().unwrap().kept.is_some() {
        assert!(started.elapsed() < READY, "its time is long over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(stage.restore(&client, 0).await, Err(Error::NoBackup { number: Some(4), .. })));
}

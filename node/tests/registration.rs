//! Strangers become the parties of an open session at a whole node, which is restarted on the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/open.rs"]
mod open;

use node::{
    home::Home,
    identity,
    run::{Embedded, Node, Options},
    store::PayloadStore,
};
use open::{key, request, sign, solution, solve};
use rand_core::OsRng;
use reqwest::{Client, Response};
use schnorrkel::Keypair;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use wire::{api::*, *};

const REGISTERING_MS: u64 = 5000;
const WORK_MS: u64 = 12_000;

/// What a client knows of a node and an open session there.
struct Bench {
    url: String,
    path: PathBuf,
    chain: ChainId,
    http: Client,
    session: SessionId,
    terms: OpenTerms,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// A node with an open session for 3 to 4 parties, whose clock runs.
    async fn start() -> (Self, Embedded) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node");
        let node = Embedded::start(&path, &[]).await.unwrap();
        let (url, chain) = (node.url.clone(), node.network.chain.clone());
        let operator = identity::load(&node.operator_file).unwrap();
        let terms = open::terms(REGISTERING_MS, WORK_MS);
        let (spec, nonce) = (Box::new(open::spec(terms, 3, 4)), Hash([1; 32]));
        let session = spec.session_id(&chain, &key(&operator), &nonce);
        let http = Client::builder().no_proxy().build().unwrap();
        let bench = Self { url, path, chain, http, session, terms, _folder: folder };
        let created = bench.accepted(&sign(&bench.chain, &operator, Operation::CreateSession { spec, nonce })).await;
        let _: Certificate =
            bench.get(&format!("/v1/certificate?height={}&timeout_ms=20000", created.height + 1)).await;
        (bench, node)
    }

    async fn restart(&self) -> Node {
        let home = Home::new(&self.path).unwrap();
        let node = Node::start(&home, Options::load(&home).unwrap()).await.unwrap();
        node.certified().newest().wait_for(Option::is_some).await.unwrap();
        node
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A fact of the session, with a proof that leads to the certificate's root.
    async fn fact<F: Provable + DeserializeOwned>(&self, path: &str) -> F {
        let path = format!("/v1/sessions/{}{path}proof=true", self.session);
        let Certified { certificate, fact, proofs } = self.get::<Certified<F>>(&path).await;
        let values = fact.values();
        assert_eq!(values.len(), proofs.len());
        for ((key, value), proof) in values.iter().zip(&proofs) {
            proof.verify(&certificate.at.root, key, value.as_ref().map(AsRef::as_ref)).unwrap();
        }
        fact
    }

    async fn record(&self, query: &str) -> SessionRecord {
        self.fact::<SessionFact>(&format!("?timeout_ms=20000&{query}&")).await.record
    }

    async fn status(&self) -> PhaseStatus {
        self.get(&format!("/v1/sessions/{}/phase", self.session)).await
    }

    /// A list whose chain holds.
    async fn list(&self, list: ListKind, query: &str) -> ListFact {
        let fact: ListFact = self.fact(&format!("/{list}?timeout_ms=20000&{query}&")).await;
        let mut head = ListHead { count: fact.from, head: fact.from_head };
        fact.keys.iter().for_each(|key| head.append(key));
        assert_eq!(head, fact.head);
        fact
    }

    /// Waits for an event of the session's stream.
    async fn event(&self, wanted: &str) {
        let mut events =
            self.http.get(format!("{}/v1/sessions/{}/events", self.url, self.session)).send().await.unwrap();
        let mut text = String::new();
        while !text.contains(wanted) {
            text.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
        }
    }

    async fn post(&self, envelope: &Envelope) -> Response {
        let submission = Submission { operations: vec![envelope.clone()] };
        self.http.post(format!("{}/v1/operations", self.url)).json(&submission).send().await.unwrap()
    }

    async fn accepted(&self, envelope: &Envelope) -> Receipt {
        let response = self.post(envelope).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        let outcome: SubmissionOutcome = serde_json::from_str(&text).unwrap();
        let Outcome::Decided { receipt } = &outcome.operations[0].outcome else { panic!("{outcome:?}") };
        assert_eq!(receipt.body.fact.code, Code::Accepted);
        receipt.body.fact
    }

    async fn refused(&self, envelope: &Envelope) -> Code {
        let response = self.post(envelope).await;
        assert_ne!(response.status(), 200);
        response.json::<Problem>().await.unwrap().code
    }

    /// The right solution of a key.
    fn solution(&self, author: &Keypair, c: Hash) -> Solution {
        solution(&self.chain, self.session, &self.terms, key(author), c)
    }

    fn solve(&self, author: &Keypair, solution: &Solution) -> Envelope {
        solve(&self.chain, self.session, author, solution.encode())
    }

    /// Whatever is wrong with a solution has its own code, and of a key one proof is verified.
    async fn refuses(&self, author: &Keypair, other: &Keypair, c: Hash) {
        let sound = self.solution(author, c);
        let solve = |solution: &Solution| self.solve(author, solution);
        let foreign = [
            Solution { session: SessionId([9; 32]), ..sound.clone() },
            Solution { chain: "elsewhere".parse().unwrap(), ..sound.clone() },
        ];
        for foreign in &foreign {
            assert_eq!(self.refused(&solve(foreign)).await, Code::ForeignSolution);
        }
        assert_eq!(self.refused(&solve(&self.solution(other, c))).await, Code::StolenSolution);
        let garbage = open::solve(&self.chain, self.session, author, Bytes(vec![7; 99]));
        assert_eq!(self.refused(&garbage).await, Code::Malformed);
        let stranger = Keypair::generate_with(OsRng);
        assert_eq!(self.refused(&self.solve(&stranger, &self.solution(&stranger, c))).await, Code::NotRegistered);
        let wrong = |place: usize| {
            let mut wrong = sound.clone();
            wrong.proof.0[place] ^= 1;
            wrong
        };
        assert_eq!(self.refused(&solve(&wrong(0))).await, Code::BadSolution);
        assert_eq!(self.refused(&solve(&wrong(0))).await, Code::BadSolution, "that is known");
        for other in [&wrong(50), &sound] {
            assert_eq!(self.refused(&solve(other)).await, Code::QuotaExceeded, "nobody makes a node verify for ever");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_become_parties() {
    let (bench, node) = Bench::start().await;
    let keys: Vec<Keypair> = (0..5).map(|_| Keypair::generate_with(OsRng)).collect();
    let status = bench.status().await;
    assert_eq!((status.phase, status.registrants, status.challenge), (Phase::Registering, 0, false));
    assert!(status.left_ms.unwrap() <= REGISTERING_MS);
    let deadline_ms = status.deadline_ms.unwrap();
    assert_eq!(bench.fact::<PartiesFact>("/parties?").await.parties, [], "nobody is a party yet");
    assert!(
        bench.list(ListKind::Registrants, "").await.record.is_some(),
        "of an empty list the record says that it is one"
    );

    let requests: Vec<Envelope> =
        keys.iter().map(|author| request(&bench.chain, bench.session, &bench.terms, author, deadline_ms)).collect();
    let waiting = bench.list(ListKind::Registrants, "count=5");
    let told = bench.event("event: list\ndata: {\"list\":\"registrants\",\"count\":5}");
    let asking = async {
        for request in &requests {
            bench.accepted(request).await;
        }
    };
    let (registrants, (), ()) = tokio::join!(waiting, told, asking);
    assert_eq!(registrants.keys, keys.iter().map(key).collect::<Vec<_>>(), "one who waits hears of all");
    assert_eq!(bench.post(&requests[0]).await.status(), 200, "the same again is no problem");
    let again = request(&bench.chain, bench.session, &bench.terms, &keys[0], deadline_ms - 1);
    assert_eq!(bench.refused(&again).await, Code::AlreadyRegistered);
    let early = bench.solve(&keys[0], &bench.solution(&keys[0], Hash([1; 32])));
    assert_eq!(bench.refused(&early).await, Code::NoChallenge);

    // Nobody does anything: the ticker closes the requests, and the node draws the challenge.
    let record = bench.record("challenge=true").await;
    let c = challenge(&record.registration.unwrap().challenge.unwrap());
    let late = Keypair::generate_with(OsRng);
    let late = request(&bench.chain, bench.session, &bench.terms, &late, deadline_ms);
    assert_eq!(bench.refused(&late).await, Code::RegistrationClosed);
    bench.refuses(&keys[4], &keys[0], c).await;
    let solutions: Vec<Envelope> = keys.iter().map(|author| bench.solve(author, &bench.solution(author, c))).collect();
    bench.accepted(&solutions[2]).await;
    node.stop().await;

    let node = bench.restart().await;
    assert_eq!(bench.post(&solutions[2]).await.status(), 200);
    for solution in [&solutions[0], &solutions[3], &solutions[4]] {
        bench.accepted(solution).await;
    }
    assert_eq!(bench.refused(&solutions[1]).await, Code::ListFull);
    let solvers = bench.list(ListKind::Solvers, "from=1&count=3").await;
    assert_eq!((solvers.from, solvers.head.count), (1, 4));
    assert_eq!(solvers.keys, [0, 3, 4].map(|party: usize| key(&keys[party])), "in the order of the board");

    let record = bench.record("not_phase=solving").await;
    assert_eq!((record.phase, record.parties), (Phase::Keying, 4));
    let parties = bench.fact::<PartiesFact>("/parties?").await.parties;
    assert_eq!(parties, final_list(&c, [0, 2, 3, 4].map(|party: usize| key(&keys[party]))));
    assert_eq!(record.list, list_digest(&parties));
    assert_eq!(bench.refused(&solutions[1]).await, Code::SolvingClosed);
    assert_eq!((bench.status().await.solvers, bench.status().await.parties), (4, 4));
    let page: SessionPage = bench.get("/v1/sessions").await;
    assert_eq!((page.sessions[0].phase, page.sessions[0].parties), (Phase::Keying, 4));
    let metrics = bench.http.get(format!("{}/metrics", bench.url)).send().await.unwrap().text().await.unwrap();
    for name in
        ["white_city_verification_seconds_bucket", "white_city_challenge_seconds_bucket", "white_city_listed_total"]
    {
        assert!(metrics.contains(name), "{name}");
    }
    node.stop().await;
    let left = PayloadStore::open(&Home::new(&bench.path).unwrap().payloads()).await.unwrap().load().await.unwrap();
    assert_eq!(left, [], "of proofs nothing remains");
}

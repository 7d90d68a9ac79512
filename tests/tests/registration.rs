//! Strangers become the parties of an open session on real nodes, one of which is killed before the challenge and comes back while they solve.

#[path = "../../node/tests/support/open.rs"]
mod open;

use client_sdk::identity_file;
use open::{key, request, solution, solve};
use rand_core::OsRng;
use schnorrkel::Keypair;
use serde::de::DeserializeOwned;
use std::{
    fs,
    path::{Path, PathBuf},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    raw::Raw,
};
use wire::{
    api::{PhaseStatus, Problem, Submission},
    *,
};

const STRANGERS: usize = 12;
const REGISTERING_MS: u64 = 6_000;
/// As long as the node that was killed may need, and more.
const WORK_MS: u64 = 24_000;

async fn get<T: DeserializeOwned>(url: String) -> T {
    let answer = reqwest::get(&url).await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{url}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// A fact of a session as a node tells it, at once or as soon as it is as the query wants.
async fn fact<F: DeserializeOwned>(raw: &Raw, node: usize, session: SessionId, path: &str) -> F {
    let url = format!("{}/v1/sessions/{session}{path}", raw.network.nodes[node].url);
    get::<Answer<F>>(url).await.fact
}

async fn refusal(raw: &Raw, node: usize, envelope: &Envelope) -> Code {
    let url = format!("{}/v1/operations", raw.network.nodes[node].url);
    let submission = Submission { operations: vec![envelope.clone()] };
    let answer = reqwest::Client::new().post(url).json(&submission).send().await.unwrap();
    answer.json::<Problem>().await.unwrap().code
}

/// All files below a folder in which the bytes stand.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|entry| match fs::read(&entry) {
        Ok(text) if text.windows(bytes.len()).any(|part| part == bytes) => vec![entry],
        Err(_) if entry.is_dir() => files_with(&entry, bytes),
        _ => vec![],
    });
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_become_parties_though_a_node_is_killed() {
    let mut cluster = Cluster::start(4, &[]).await;
    let (chain, raw) = (cluster.network.chain.clone(), Raw::new(cluster.network.clone()));
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let terms = open::terms(REGISTERING_MS, WORK_MS);
    let session = raw.open(&operator, &[], open::spec(terms, 3, 100)).await;
    let strangers: Vec<Keypair> = (0..STRANGERS).map(|_| Keypair::generate_with(OsRng)).collect();
    let cheat = Keypair::generate_with(OsRng);
    // The clock starts with the block after.
    let mut deadline_ms = None;
    while deadline_ms.is_none() {
        let height = get::<Certificate>(format!("{}/v1/certificate", raw.network.nodes[0].url)).await.at.height + 1;
        let _ =
            reqwest::get(format!("{}/v1/certificate?height={height}&timeout_ms=2000", raw.network.nodes[0].url)).await;
        let url = format!("{}/v1/sessions/{session}/phase", raw.network.nodes[0].url);
        deadline_ms = get::<PhaseStatus>(url).await.deadline_ms;
    }
    for (i, stranger) in strangers.iter().chain([&cheat]).enumerate() {
        raw.insist(i % 4, &request(&chain, session, &terms, stranger, deadline_ms.unwrap())).await;
    }

    // One node is gone when the others draw the challenge.
    cluster.nodes[3].kill();
    let record = fact::<SessionFact>(&raw, 0, session, "?challenge=true&timeout_ms=60000").await.record;
    let c = challenge(&record.registration.unwrap().challenge.expect("three nodes of four draw it"));
    assert_eq!(fact::<ListFact>(&raw, 1, session, "/registrants").await.keys.len(), STRANGERS + 1);
    let solutions: Vec<Envelope> = strangers
        .iter()
        .map(|stranger| solve(&chain, session, stranger, solution(&chain, session, &terms, key(stranger), c).encode()))
        .collect();
    let mut wrong = solution(&chain, session, &terms, key(&cheat), c);
    wrong.proof.0[500] ^= 1;
    assert_eq!(refusal(&raw, 1, &solve(&chain, session, &cheat, wrong.encode())).await, Code::BadSolution);
    for (i, solution) in solutions[..STRANGERS / 2].iter().enumerate() {
        raw.insist(i % 3, solution).await;
    }
    cluster.nodes[3].start();
    cluster.nodes[3].ready(READY).await;
    for (i, solution) in solutions[STRANGERS / 2..].iter().enumerate() {
        raw.insist(3 - i % 4, solution).await;
    }

    let mut lists = Vec::new();
    for node in 0..4 {
        let record = fact::<SessionFact>(&raw, node, session, "?not_phase=solving&timeout_ms=60000").await.record;
        assert_eq!((record.phase, usize::from(record.parties)), (Phase::Keying, STRANGERS), "node {node}");
        lists.push(fact::<PartiesFact>(&raw, node, session, "/parties").await.parties);
    }
    assert!(lists.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(lists[0], final_list(&c, strangers.iter().map(key)));
    cluster.end_all(white_city_tests::node::Signal::TERM);
    for node in &cluster.nodes {
        for solution in &solutions {
            let found = files_with(node.home(), &solution.payload.0[200..264]);
            assert!(found.is_empty(), "of proofs nothing remains, but in {found:?}");
        }
    }
}

//! A node inside another program: it answers at once, keeps its board over a restart, and lets deadlines fire by themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use node::{
    NodeError,
    home::Home,
    identity,
    run::{Embedded, Node, Options},
};
use rand_core::OsRng;
use serde::de::DeserializeOwned;
use wire::{api::*, *};

/// Short, for the test waits for it to pass.
const KEYING_MS: u64 = 300;

async fn get<T: DeserializeOwned>(url: String) -> T {
    reqwest::get(url).await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

/// Creates a session for one party that never gives a key.
async fn create(node: &Embedded) -> SessionId {
    let operator = identity::load(&node.operator_file).unwrap();
    let author = identity::public(&operator);
    let spec = SessionSpec {
        title: "nobody comes".to_owned(),
        program: Program { name: "none".to_owned(), version: "1".to_owned(), digest: Hash([0; 32]) },
        admission: Admission::Invited { keys: vec![author] },
        min_parties: 1,
        max_parties: 1,
        corruption_threshold: 0,
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 1,
        max_message_bytes: 10,
        max_party_bytes: 10,
        padded_bytes: None,
        inline_payloads: true,
        keying_ms: KEYING_MS,
        running_ms: 1000,
        retention_ms: KEYING_MS,
        round_timeout_ms: None,
    };
    let chain = node.network.chain.clone();
    let nonce = Hash([1; 32]);
    let session = spec.session_id(&chain, &author, &nonce);
    let operation = Operation::CreateSession { spec: Box::new(spec), nonce };
    let envelope = Envelope { signed: Signed::sign(&operator, chain, operation, OsRng), payload: Bytes::default() };
    let posted = reqwest::Client::new()
        .post(format!("{}/v1/operations", node.url))
        .json(&Submission { operations: vec![envelope] })
        .send()
        .await
        .unwrap();
    let outcome: SubmissionOutcome = posted.error_for_status().unwrap().json().await.unwrap();
    assert!(
        matches!(&outcome.operations[0].outcome, Outcome::Decided { receipt } if receipt.body.fact.code == Code::Accepted)
    );
    session
}

/// What the node's own key certifies.
fn believe<F: Provable>(answer: Certified<F>, keys: &[EndorsedKeyRecord], chain: &ChainId) -> F {
    let Certified { certificate, fact, proofs } = answer;
    let [EndorsedKeyRecord { record, .. }] = keys else { panic!("one epoch: {keys:?}") };
    assert!(record.epoch == certificate.epoch && record.first_height <= certificate.at.height);
    let message = certificate_message(chain, certificate.epoch, &certificate.at);
    let signature = bls::Signature::from_bytes(&certificate.signature.0).unwrap();
    let key = bls::GroupKey::from_bytes(&record.group_key.0).unwrap();
    key.verify(bls::Domain::Certificate, &message.0, &signature).unwrap();
    for ((key, value), proof) in fact.values().iter().zip(&proofs) {
        proof.verify(&certificate.at.root, key, value.as_ref().map(AsRef::as_ref)).unwrap();
    }
    fact
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_fire_though_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let node = Embedded::start(&folder.path().join("node"), &[]).await.unwrap();
    let session = create(&node).await;
    let mut phases = vec![Phase::Keying];
    while phases.last() != Some(&Phase::Erased) {
        let last = serde_json::to_value(phases.last().unwrap()).unwrap();
        let query = format!("not_phase={}&timeout_ms=20000", last.as_str().unwrap());
        let answer: Answer<SessionFact> = get(format!("{}/v1/sessions/{session}?{query}", node.url)).await;
        let phase = answer.fact.record.phase;
        assert!(phase > *phases.last().unwrap(), "still {phase:?}");
        phases.push(phase);
    }
    assert_eq!(phases, [Phase::Keying, Phase::Ended, Phase::Erased]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node");
    let node = Embedded::start(&path, &[]).await.unwrap();
    let session = create(&node).await;
    let (url, chain) = (node.url.clone(), node.network.chain.clone());
    node.stop().await;
    assert!(matches!(Embedded::start(&path, &[]).await, Err(NodeError::Exists { .. })), "a home is never overwritten");

    let home = Home::new(&path).unwrap();
    let again = Node::start(&home, Options::load(&home).unwrap()).await.unwrap();
    again.certified().newest().wait_for(Option::is_some).await.unwrap();
    let answer: Certified<SessionFact> = get(format!("{url}/v1/sessions/{session}?proof=true")).await;
    let keys: Vec<EndorsedKeyRecord> = get(format!("{url}/v1/keys")).await;
    assert_eq!(believe(answer, &keys, &chain).session, session);
    let second = Node::start(&home, Options::load(&home).unwrap()).await;
    let Err(error) = second else { panic!("two nodes in one home") };
    assert!(error.line().contains("cannot listen on"), "{}", error.line());
    again.stop().await;
}

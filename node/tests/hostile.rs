//! Bad input: each kind has its own code and problem document, and changes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/solo.rs"]
mod solo;

use node::http::{extract::BodyTimeout, server::ServerLimits};
use rand_core::OsRng;
use solo::{Node, chain, key, problem};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wire::{limits::MAX_REQUEST_BYTES, *};

async fn post_raw(node: &Node, media_type: &str, body: Vec<u8>) -> Code {
    let request = node.http.post(format!("{}/v1/operations", node.url)).header("content-type", media_type);
    problem(request.body(body).send().await.unwrap()).await.code
}

async fn post(node: &Node, envelope: &Envelope) -> Code {
    problem(node.post(&[envelope]).await).await.code
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let node = Node::start(1).await;
    let (json, borsh) = ("application/json", "application/octet-stream");
    assert_eq!(post_raw(&node, json, b"{\"operations\": [".to_vec()).await, Code::Malformed);
    assert_eq!(post_raw(&node, json, b"{\"operations\": []}".to_vec()).await, Code::WrongShape);
    assert_eq!(post_raw(&node, json, b"{\"operations\": [{\"signed\": 7}]}".to_vec()).await, Code::WrongShape);
    assert_eq!(post_raw(&node, json, b"{\"operations\": [], \"more\": 1}".to_vec()).await, Code::WrongShape);
    assert_eq!(post_raw(&node, json, vec![0xff; 1000]).await, Code::Malformed);
    assert_eq!(post_raw(&node, borsh, vec![0xff; 1000]).await, Code::Malformed);
    assert_eq!(post_raw(&node, borsh, vec![]).await, Code::Malformed);
    assert_eq!(post_raw(&node, "text/plain", b"{}".to_vec()).await, Code::UnsupportedMediaType);
    let many = vec![node.sign(0, Operation::Terminate { session: SessionId([1; 32]) }); 257];
    assert_eq!(problem(node.post(&many.iter().collect::<Vec<_>>()).await).await.code, Code::WrongShape);

    let get = async |path: &str| problem(node.get(path).send().await.unwrap()).await.code;
    let nobody = SessionId([9; 32]);
    assert_eq!(get("/v1/nothing").await, Code::NotFound);
    assert_eq!(get("/").await, Code::NotFound);
    assert_eq!(get("/v1/operations").await, Code::MethodNotAllowed);
    assert_eq!(get("/v1/sessions/xyz").await, Code::Malformed);
    assert_eq!(get(&format!("/v1/sessions/{nobody}")).await, Code::UnknownSession);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/parties")).await, Code::UnknownSession);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/events")).await, Code::UnknownSession);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/keying/0")).await, Code::UnknownSession);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/shouting/0")).await, Code::NotFound);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/keying/-1")).await, Code::Malformed);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/keying/0?count=x")).await, Code::Malformed);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/keying/0?cuont=1")).await, Code::Malformed);
    assert_eq!(get(&format!("/v1/sessions/{nobody}/keying/0?recipient=1")).await, Code::Malformed);
    assert_eq!(get(&format!("/v1/sessions/{nobody}?not_phase=tired")).await, Code::Malformed);
    assert_eq!(get("/v1/sessions?limit=0").await, Code::Malformed);
    assert_eq!(get("/v1/sessions?limit=201").await, Code::Malformed);
    assert_eq!(get("/v1/sessions?cursor=x").await, Code::Malformed);
    assert_eq!(get("/v1/certificate?height=99999").await, Code::UnknownHeight);
    assert_eq!(get("/v1/certificate?height=x").await, Code::Malformed);
    assert_eq!(get(&format!("/v1/operations/{nobody}")).await, Code::UnknownOperation);
    let deleted = node.http.delete(format!("{}/v1/certificate", node.url)).send().await.unwrap();
    assert_eq!(problem(deleted).await.code, Code::MethodNotAllowed);
}

#[tokio::test]
async fn refused_operations_have_their_codes_and_change_nothing() {
    let node = Node::start(2).await;
    let session = node.running_session().await;
    let root = node.executor.root().unwrap();
    let mailbox = MailboxId { session, kind: MailboxKind::Broadcast, round: 0 };
    let good = node.write(0, mailbox, b"good");

    let mut forged = good.clone();
    forged.signed.signature = Signature([7; 64]);
    assert_eq!(post(&node, &forged).await, Code::BadSignature);
    let mut other_author = good.clone();
    other_author.signed.author = key(&node.keys[1]);
    assert_eq!(post(&node, &other_author).await, Code::BadSignature);
    let mut replayed = good.clone();
    let Operation::Write { mailbox: slot, .. } = &mut replayed.signed.body else { panic!() };
    slot.session = SessionId([3; 32]);
    assert_eq!(post(&node, &replayed).await, Code::BadSignature, "another session's signature");
    let body = good.signed.body.clone();
    let signed = Signed::sign(&node.keys[0], "another-chain".parse().unwrap(), body, OsRng);
    assert_eq!(post(&node, &Envelope { signed, ..good.clone() }).await, Code::WrongChain);
    assert_eq!(
        post(&node, &Envelope { payload: Bytes(b"evil".to_vec()), ..good.clone() }).await,
        Code::PayloadMismatch
    );
    assert_eq!(post(&node, &node.write(0, mailbox, &vec![0; 1_000_001])).await, Code::PayloadTooLarge);
    assert_eq!(post(&node, &node.write(0, MailboxId { round: 4, ..mailbox }, b"x")).await, Code::RoundOutOfRange);
    let nowhere = MailboxId { session: SessionId([3; 32]), ..mailbox };
    assert_eq!(post(&node, &node.write(0, nowhere, b"x")).await, Code::UnknownSession);
    let early = node.sign(0, Operation::Ack { session, height: 1, root });
    assert_eq!(post(&node, &early).await, Code::WrongPhase);
    let stranger = schnorrkel::Keypair::generate_with(OsRng);
    let signed = Signed::sign(&stranger, chain(), good.signed.body.clone(), OsRng);
    assert_eq!(post(&node, &Envelope { signed, ..good.clone() }).await, Code::NotAParty);
    let spec = Box::new(node.spec());
    let create = |author, spec, nonce| node.sign(author, Operation::CreateSession { spec, nonce: Hash([nonce; 32]) });
    assert_eq!(post(&node, &create(1, spec.clone(), 5)).await, Code::NotPermitted);
    let senseless = Box::new(SessionSpec { min_parties: 0, ..*spec.clone() });
    assert_eq!(post(&node, &create(0, senseless, 5)).await, Code::InvalidSpecification);
    assert_eq!(node.executor.root().unwrap(), root);

    node.accept(&good).await;
    assert_eq!(post(&node, &node.write(0, mailbox, b"evil")).await, Code::DuplicateDifferent);
    assert_eq!(node.mailbox(mailbox, "").await.entries.len(), 1);
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let node = Node::start(1).await;
    assert_eq!(post_raw(&node, "application/json", vec![b' '; MAX_REQUEST_BYTES + 1]).await, Code::RequestTooLarge);
    // Without a length it is stopped on the way.
    let chunks = futures::stream::iter((0..1000).map(|_| Ok::<_, std::io::Error>(vec![b' '; 10_000])));
    let request = node.http.post(format!("{}/v1/operations", node.url)).header("content-type", "application/json");
    if let Ok(response) = request.body(reqwest::Body::wrap_stream(chunks)).send().await {
        assert_eq!(problem(response).await.code, Code::RequestTooLarge);
    }
    assert_eq!(node.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let limits = ServerLimits {
        connections: 2,
        header_timeout: Duration::from_millis(200),
        body_timeout: BodyTimeout(Duration::from_millis(200)),
        ..ServerLimits::default()
    };
    let node = Node::with_limits(1, limits).await;
    let address = node.url.strip_prefix("http://").unwrap().to_owned();
    let open = async |start: &[u8]| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
        assert!(read.is_ok(), "the connection stays open");
        answer
    };
    let head =
        "POST /v1/operations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    let (silent, half_a_head, half_a_body, later) = tokio::join!(
        open(b""),
        open(b"GET /livez HTTP/1.1\r\nhos"),
        open(head.as_bytes()),
        open(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    );
    assert!(!silent.contains("200") && !half_a_head.contains("200"));
    assert!(half_a_body.contains("\"code\":\"request_timeout\""), "{half_a_body}");
    assert!(later.contains("200 OK"), "who comes after them is served: {later}");
}

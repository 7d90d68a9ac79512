//! What a node answers before, between and under certificates.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/solo.rs"]
mod solo;

use node::http::server::ServerLimits;
use solo::{Node, chain, key, problem};
use std::{pin::pin, time::Duration};
use tokio::time::timeout;
use wire::*;

const SOON: Duration = Duration::from_secs(10);
/// Long enough for an answer that needs no certificate.
const A_WHILE: Duration = Duration::from_millis(300);

async fn refusal(node: &Node, path: &str) -> api::Problem {
    problem(node.get(path).send().await.unwrap()).await
}

/// Whether the page's links lead from its first head to the certified one.
fn is_whole(page: &MailboxFact) -> bool {
    let mut head = MailboxHead { count: page.from, head: page.from_head };
    page.entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    page.rest.iter().for_each(|link| head.append(link.sender, &link.digest));
    head == page.head && (page.from > 0 || page.from_head == MailboxHead::empty(&chain(), &page.mailbox).head)
}

#[tokio::test]
async fn before_the_first_certificate_nothing_is_answered() {
    let mut node = Node::uncertified(1, ServerLimits::default()).await;
    let nobody = SessionId([9; 32]);
    let session = format!("/v1/sessions/{nobody}");
    let facts = [
        "/v1/network".to_owned(),
        "/v1/certificate".to_owned(),
        "/v1/keys".to_owned(),
        session.clone(),
        format!("{session}/parties"),
        format!("{session}/keying/0"),
        format!("{session}/events"),
    ];
    for path in &facts {
        let response = node.get(path).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "1", "{path}");
        assert_eq!(problem(response).await.code, Code::NotReady, "{path}");
    }
    node.certify().await;
    assert_eq!(node.read::<NetworkParameters>("/v1/network").await, node.executor.parameters().unwrap());
    assert_eq!(refusal(&node, &session).await.code, Code::UnknownSession);
}

#[tokio::test]
async fn a_reader_waits_for_the_certificate_and_a_writer_does_not() {
    let node = Node::start(2).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    node.certifying.send_replace(false);
    let receipt = timeout(SOON, node.hand_in(&node.write(0, mailbox, b"key"))).await.unwrap();
    // Stored, and not shown: neither at once nor to who waits.
    assert_eq!(node.mailbox(mailbox, "").await.head.count, 0);
    assert_eq!(node.mailbox(mailbox, "count=1&timeout_ms=300").await.entries.len(), 0);
    let entry = format!("/v1/operations/{}?proof=true", receipt.operation);
    assert_eq!(refusal(&node, &entry).await.code, Code::NotReady);
    let path = format!("/v1/operations/{}?timeout_ms=20000", receipt.operation);
    let page = node.mailbox(mailbox, "count=1&timeout_ms=20000");
    let mut waiting = pin!(async { tokio::join!(page, node.read::<MailboxFact>(&path)) });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err());
    node.certifying.send_replace(true);
    let (page, entry) = timeout(SOON, waiting).await.unwrap();
    assert_eq!((page.entries.len(), entry.entries.len()), (1, 1));
}

#[tokio::test]
async fn a_session_that_is_erased_meanwhile_is_not_read_from_two_heights() {
    let node = Node::start(1).await;
    let session = node.running_session().await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    node.accept(&node.sign(0, Operation::Terminate { session })).await;
    let record = node.read::<SessionFact>(&format!("/v1/sessions/{session}")).await.record;
    let at = node.executor.at().unwrap().unwrap();
    node.certified_at(at.height).await;
    node.certifying.send_replace(false);
    assert_eq!(record.phase, Phase::Ended);
    node.hand_in(&node.sign(0, Operation::Ack { session, height: at.height, root: at.root })).await;
    // The certified board still has the session, the store has not.
    let before: SessionFact = node.read(&format!("/v1/sessions/{session}")).await;
    assert_eq!(before.record.phase, Phase::Ended);
    let path = format!("/v1/sessions/{session}/keying/0");
    let mut waiting = pin!(refusal(&node, &path));
    assert!(timeout(A_WHILE, &mut waiting).await.is_err());
    node.certifying.send_replace(true);
    let answer = timeout(SOON, waiting).await.unwrap();
    assert_eq!((answer.code, answer.detail.as_str()), (Code::WrongPhase, "the session is erased"));
    assert_eq!(node.mailbox_refusal(mailbox).await, Code::WrongPhase);
    let after: SessionFact = node.read(&format!("/v1/sessions/{session}")).await;
    assert_eq!(after.record.phase, Phase::Erased);
}

#[tokio::test]
async fn every_page_can_be_checked_by_itself() {
    let node = Node::start(5).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let empty = node.mailbox(mailbox, "").await;
    assert!(is_whole(&empty) && empty.head.count == 0);
    assert!(empty.session.is_some_and(|record| record.belongs_to(&chain(), &session)));
    for sender in [3, 0, 4] {
        node.accept(&node.write(sender, mailbox, b"key")).await;
    }
    for from in 0..5 {
        for bodies in [true, false] {
            let page = node.mailbox(mailbox, &format!("from={from}&bodies={bodies}")).await;
            assert!(is_whole(&page) && page.session.is_none(), "{page:?}");
            assert_eq!(page.from, from.min(3));
        }
    }
    let whole = node.mailbox(mailbox, "").await;
    for (entry, position) in whole.entries.iter().zip(0..) {
        let operation = Operation::Write { mailbox, digest: entry.digest, length: entry.length, recipients: 0 };
        let author = key(&node.keys[usize::from(entry.sender)]);
        let id = signed::digest(&chain(), &author, &operation);
        let page: MailboxFact = node.read(&format!("/v1/operations/{id}")).await;
        assert!(is_whole(&page), "{page:?}");
        assert_eq!((page.from, page.entries.len(), page.rest.len()), (position, 1, 2 - position as usize));
        assert_eq!((page.entries[0].digest, page.entries[0].signature), (entry.digest, entry.signature));
    }
}

#[tokio::test]
async fn what_is_not_there_is_proved_or_clearly_refused() {
    let node = Node::start(2).await;
    let session = node.open_session(1).await;
    let nobody = SessionId([9; 32]);
    for path in ["", "/parties", "/keying/0"] {
        let path = format!("/v1/sessions/{nobody}{path}");
        assert_eq!(refusal(&node, &path).await.absence, None);
        let problem = refusal(&node, &format!("{path}?proof=true")).await;
        let absence = *problem.absence.unwrap();
        assert_eq!((problem.code, node.check(absence)), (Code::UnknownSession, NoSession { session: nobody }));
    }
    let proof = async |id: OperationId| refusal(&node, &format!("/v1/operations/{id}?proof=true")).await.code;
    assert_eq!(proof(OperationId([1; 32])).await, Code::UnknownOperation);
    let terminate = node.sign(0, Operation::Terminate { session });
    node.accept(&terminate).await;
    assert_eq!(proof(terminate.id()).await, Code::NotCertifiable);
    let keys: Vec<EndorsedKeyRecord> = node.json("/v1/keys?from=7").await;
    assert_eq!(keys, []);
}

#[tokio::test]
async fn only_open_sessions_have_lists_of_strangers() {
    let node = Node::start(1).await;
    let session = node.open_session(1).await;
    for list in [ListKind::Registrants, ListKind::Solvers] {
        let refused = refusal(&node, &format!("/v1/sessions/{session}/{list}?proof=true")).await;
        assert_eq!((refused.code, refused.status), (Code::NotOpen, 409));
        let nobody = SessionId([9; 32]);
        let refused = refusal(&node, &format!("/v1/sessions/{nobody}/{list}?proof=true")).await;
        assert_eq!(refused.code, Code::UnknownSession);
        assert_eq!(node.check(*refused.absence.unwrap()), NoSession { session: nobody });
    }
    let status: api::PhaseStatus = node.json(&format!("/v1/sessions/{session}/phase")).await;
    assert_eq!((status.phase, status.registrants, status.solvers, status.parties), (Phase::Keying, 0, 0, 1));
    assert!(status.left_ms.is_none_or(|left| left <= 3_600_000));
}

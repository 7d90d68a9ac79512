//! The REST interface of a whole node, as its clients see it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/solo.rs"]
mod solo;

use solo::{Node, chain, key, problem};
use std::time::Duration;
use tokio::time::timeout;
use wire::{api::*, *};

#[tokio::test]
async fn what_is_written_is_read_and_can_be_checked() {
    let node = Node::start(3).await;
    let session = node.open_session(1).await;
    let record: SessionFact = node.read(&format!("/v1/sessions/{session}")).await;
    assert!(record.record.belongs_to(&chain(), &session));
    assert_eq!(record.record.phase, Phase::Keying);
    let list: PartiesFact = node.read(&format!("/v1/sessions/{session}/parties")).await;
    assert_eq!(list.parties, node.keys.iter().map(key).collect::<Vec<_>>());

    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    assert_eq!(node.mailbox(mailbox, "").await.head, MailboxHead::empty(&chain(), &mailbox));
    let (first, second) = (node.write(2, mailbox, b"two"), node.write(0, mailbox, b"nought"));
    node.accept(&first).await;
    let receipt = node.accept(&second).await;
    let fact = node.mailbox(mailbox, "").await;
    let mut head = MailboxHead::empty(&chain(), &mailbox);
    assert_eq!(fact.from_head, head.head);
    for (entry, (sender, text)) in fact.entries.iter().zip([(2, b"two".as_slice()), (0, b"nought")]) {
        let Body::Message { payload } = &entry.body else { panic!("{entry:?}") };
        assert_eq!((entry.sender, payload.as_ref()), (sender, text));
        assert_eq!(entry.digest, message_digest(text));
        let author = list.parties[usize::from(sender)];
        let signed = entry.signed_digest(&chain(), &author, &mailbox, record.record.parties);
        signed::check(&author, &signed, &entry.signature).unwrap();
        head.append(entry.sender, &entry.digest);
    }
    assert_eq!((fact.head, fact.entries.len()), (head, 2));
    // A later page hangs on where the earlier one ended; beyond the end it begins at the end.
    let rest = node.mailbox(mailbox, "from=1&bodies=false").await;
    assert_eq!((rest.from, &rest.entries[0].body, rest.entries.len()), (1, &Body::Omitted, 1));
    let mut middle = MailboxHead { count: 1, head: rest.from_head };
    middle.append(rest.entries[0].sender, &rest.entries[0].digest);
    assert_eq!(middle, head);
    let beyond = node.mailbox(mailbox, "from=9").await;
    assert_eq!((beyond.from, beyond.from_head, beyond.entries.len()), (2, head.head, 0));

    let path = format!("/v1/operations/{}", second.id());
    assert_eq!(node.believe(node.json(&path).await), receipt);
    // What proves it is the mailbox with exactly that entry.
    let entry: MailboxFact = node.read(&path).await;
    let link = |entry: &Entry| Link { sender: entry.sender, digest: entry.digest };
    assert_eq!((entry.from, &entry.entries[0].body, entry.entries.len()), (1, &Body::Omitted, 1));
    assert_eq!((link(&entry.entries[0]), entry.rest), (link(&fact.entries[1]), vec![]));
    let certificate: Certificate = node.json("/v1/certificate").await;
    assert!(certificate.at.height >= receipt.height);
    let network: NetworkParameters = node.read("/v1/network").await;
    assert_eq!(network, node.executor.parameters().unwrap());
}

#[tokio::test]
async fn borsh_says_the_same_as_json() {
    let node = Node::start(1).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let submission = Submission { operations: vec![node.write(0, mailbox, b"key")] };
    let request = node.http.post(format!("{}/v1/operations", node.url)).body(borsh::to_vec(&submission).unwrap());
    let borsh = "application/octet-stream";
    let response = request.header("content-type", borsh).header("accept", borsh).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], borsh);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let answer: SubmissionOutcome = borsh::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert!(matches!(answer.operations[..], [OperationOutcome { outcome: Outcome::Decided { .. }, .. }]));
    let path = format!("/v1/sessions/{session}/keying/0");
    let bytes = node.get(&path).header("accept", borsh).send().await.unwrap().bytes().await.unwrap();
    let answer: Answer<MailboxFact> = borsh::from_slice(&bytes).unwrap();
    let proved = node.get(&format!("{path}?proof=true")).header("accept", borsh).send().await.unwrap();
    let proved: Certified<MailboxFact> = borsh::from_slice(&proved.bytes().await.unwrap()).unwrap();
    let fact = node.check(proved);
    assert_eq!((&fact, &answer.fact), (&node.mailbox(mailbox, "").await, &fact));
}

/// Who proposes such a block is faulty: for what stood in one could not be erased.
#[tokio::test]
async fn what_may_not_stand_in_a_block_is_not_let_pass_and_travels_beside() {
    let node = Node::start(1).await;
    let open = node.open_session(1).await;
    let spec = SessionSpec { inline_payloads: false, ..node.spec() };
    let nonce = Hash([2; 32]);
    let discreet = spec.session_id(&chain(), &key(&node.keys[0]), &nonce);
    node.accept(&node.sign(0, Operation::CreateSession { spec: Box::new(spec), nonce })).await;
    let passes = |envelope: &Envelope| node.executor.process(&Transaction::inline([envelope.clone()]).encode().0);
    let keying = |session| MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let (short, long) = (node.write(0, keying(open), &[1; 1024]), node.write(0, keying(open), &[1; 1025]));
    let hidden = node.write(0, keying(discreet), b"key");
    let set = PrivateSet { items: vec![None] };
    let mailbox = MailboxId { session: open, kind: MailboxKind::Private, round: 0 };
    let private = Operation::Write { mailbox, digest: set.root(), length: set.encode().length(), recipients: 1 };
    let private = Envelope { signed: node.sign(0, private).signed, payload: set.encode() };
    assert_eq!([&short, &long, &hidden, &private].map(passes), [true, false, false, false]);

    for envelope in [&long, &hidden, &private] {
        node.accept(envelope).await;
    }
    let body = |fact: MailboxFact| fact.entries[0].body.clone();
    let shown = |envelope: &Envelope| Body::Message { payload: envelope.payload.clone() };
    assert_eq!(body(node.mailbox(keying(open), "").await), shown(&long));
    assert_eq!(body(node.mailbox(keying(discreet), "").await), shown(&hidden));
    let own = body(node.mailbox(mailbox, "recipient=0").await);
    assert!(matches!(own, Body::Private { item: None, .. }), "{own:?}");
}

#[tokio::test]
async fn the_same_operation_again_gets_the_same_receipt() {
    let node = Node::start(2).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let write = node.write(0, mailbox, b"key");
    let (one, two) = tokio::join!(node.accept(&write), node.accept(&write));
    assert_eq!(one, two);
    assert_eq!(node.accept(&write).await, one);
    // Signed anew it is still the same operation.
    assert_eq!(node.accept(&node.write(0, mailbox, b"key")).await, one);
    assert_eq!(node.mailbox(mailbox, "").await.entries.len(), 1);
}

/// A party that aborts again, for another reason, has aborted; a receipt for its second operation will never come.
#[tokio::test]
async fn what_another_operation_has_done_already_is_answered_at_once() {
    let node = Node::start(2).await;
    let session = node.running_session().await;
    let abort = |reason: &str| node.sign(1, Operation::Abort { session, reason: reason.to_owned() });
    node.accept(&abort("enough")).await;
    let again = abort("really");
    for _ in 0..2 {
        let response = timeout(Duration::from_secs(5), node.post(&[&again])).await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: SubmissionOutcome = response.json().await.unwrap();
        let outcome = Outcome::Refused { code: Code::DuplicateSame };
        assert_eq!(answer.operations, [OperationOutcome { operation: again.id(), outcome }]);
    }
}

#[tokio::test]
async fn several_operations_have_outcomes_of_their_own() {
    let node = Node::start(2).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let good = node.write(0, mailbox, b"key");
    let mut forged = node.write(1, mailbox, b"key");
    forged.signed.signature = good.signed.signature;
    let late = node.write(1, MailboxId { round: 9, ..mailbox }, b"key");
    let response = node.post(&[&good, &forged, &late]).await;
    assert_eq!(response.status(), 200);
    let answer: SubmissionOutcome = response.json().await.unwrap();
    let [first, second, third] = &answer.operations[..] else { panic!("{answer:?}") };
    assert!(matches!(first.outcome, Outcome::Decided { .. }));
    assert_eq!(second.outcome, Outcome::Refused { code: Code::BadSignature });
    assert_eq!(third.outcome, Outcome::Refused { code: Code::RoundOutOfRange });
}

#[tokio::test]
async fn waiting_for_nothing_ends_when_the_operation_is_handed_in() {
    let node = Node::start(1).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let submission = Submission { operations: vec![node.write(0, mailbox, b"key")] };
    let url = format!("{}/v1/operations?wait=none", node.url);
    let answer: SubmissionOutcome = node.http.post(url).json(&submission).send().await.unwrap().json().await.unwrap();
    // The board may have been faster than the answer of consensus.
    assert!(!matches!(answer.operations[0].outcome, Outcome::Refused { .. }));
    assert_eq!(node.mailbox(mailbox, "count=1&timeout_ms=5000").await.entries.len(), 1);
}

#[tokio::test]
async fn a_wait_ends_with_what_it_waits_for() {
    let node = Node::start(2).await;
    let session = node.open_session(1).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let running = format!("/v1/sessions/{session}?not_phase=keying&timeout_ms=20000");
    let height = node.json::<Certificate>("/v1/certificate").await.at.height + 1;
    let certificate = format!("/v1/certificate?height={height}&timeout_ms=20000");
    let write = async {
        node.accept(&node.write(0, mailbox, b"a")).await;
        node.accept(&node.write(1, mailbox, b"b")).await;
    };
    let all = async {
        tokio::join!(
            node.mailbox(mailbox, "count=2&timeout_ms=20000"),
            node.read::<SessionFact>(&running),
            node.json::<Certificate>(&certificate),
            write,
        )
    };
    let (read, session, certificate, ()) = timeout(Duration::from_secs(10), all).await.unwrap();
    assert_eq!(read.entries.len(), 2);
    assert_eq!(session.record.phase, Phase::Running);
    assert!(certificate.at.height >= height);
    // What does not come ends with the time.
    let unmet = node.mailbox(mailbox, "from=1&count=5&timeout_ms=20").await;
    assert_eq!((unmet.from, unmet.entries.len()), (1, 1));
    let future = node.get("/v1/certificate?height=100000&timeout_ms=20").send().await.unwrap();
    assert_eq!(problem(future).await.code, Code::UnknownHeight);
    // Nor is it waited for what can no longer come.
    node.accept(&node.sign(0, Operation::Terminate { session: mailbox.session })).await;
    let ended = timeout(Duration::from_secs(10), node.mailbox(mailbox, "count=5&timeout_ms=60000")).await.unwrap();
    assert_eq!(ended.entries.len(), 2);
}

#[tokio::test]
async fn readers_of_the_same_page_share_one_answer() {
    let node = Node::start(2).await;
    let session = node.running_session().await;
    let read = async |query: &str| {
        let path = format!("/v1/sessions/{session}/keying/0?{query}");
        node.get(&path).send().await.unwrap().bytes().await.unwrap()
    };
    // The board comes to rest after a block or two.
    let mut first = read("").await;
    let mut tries = 0;
    while read("from=0").await != first {
        first = read("").await;
        tries += 1;
        assert!(tries < 10, "not the same");
    }
    assert_ne!(read("proof=true").await, first);
    assert_ne!(read("bodies=false").await, first);
    // An answer is not shared beyond its certificate.
    node.accept(&node.write(0, MailboxId { session, kind: MailboxKind::Broadcast, round: 0 }, b"x")).await;
    let later: Answer<MailboxFact> = serde_json::from_slice(&read("").await).unwrap();
    let first: Answer<MailboxFact> = serde_json::from_slice(&first).unwrap();
    assert!(later.at.height > first.at.height);
    assert_eq!(later.fact, first.fact);
}

#[tokio::test]
async fn without_consensus_a_node_reads_and_says_why_it_does_not_write() {
    let mut node = Node::start(1).await;
    let session = node.open_session(1).await;
    node.stop_consensus().await;
    let write = node.write(0, MailboxId { session, kind: MailboxKind::Keying, round: 0 }, b"key");
    let response = node.post(&[&write]).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(problem(response).await.code, Code::Unavailable);
    let ready = node.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), "{\"ready\":false,\"reasons\":[\"the node is stopping\"],\"warnings\":[]}");
    assert_eq!(node.read::<SessionFact>(&format!("/v1/sessions/{session}")).await.session, session);
}

#[tokio::test]
async fn each_recipient_gets_its_own_item_with_its_path() {
    let node = Node::start(3).await;
    let session = node.running_session().await;
    let mailbox = MailboxId { session, kind: MailboxKind::Private, round: 0 };
    let item = |j: u8| PrivateItem { commitment: Hash([j; 32]), ciphertext: Bytes(vec![j; 40]) };
    let set = PrivateSet { items: vec![Some(item(0)), None, Some(item(2))] };
    let (payload, digest) = (set.encode(), set.root());
    let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients: 3 };
    node.accept(&Envelope { signed: node.sign(1, operation).signed, payload }).await;
    for j in 0..3 {
        let fact = node.mailbox(mailbox, &format!("recipient={j}")).await;
        assert_eq!(fact.recipient, Some(j));
        let Body::Private { item, path } = &fact.entries[0].body else { panic!("{fact:?}") };
        assert_eq!(*item, set.items[usize::from(j)]);
        assert!(verify_item(&fact.entries[0].digest, 3, j, item.as_ref(), path));
    }
    assert_eq!(node.mailbox(mailbox, "").await.entries[0].body, Body::Omitted);
    let path = format!("/v1/sessions/{session}/private/0?recipient=3");
    assert_eq!(problem(node.get(&path).send().await.unwrap()).await.code, Code::Malformed);
}

#[tokio::test]
async fn what_readers_were_given_leaves_memory_when_its_session_is_erased() {
    let node = Node::start(1).await;
    let session = node.running_session().await;
    let other = MailboxId { session: node.open_session(2).await, kind: MailboxKind::Keying, round: 0 };
    node.accept(&node.write(0, other, b"stays")).await;
    node.mailbox(other, "").await;
    let of_other = node.gateway.kept();
    let mailbox = |kind| MailboxId { session, kind, round: 0 };
    let item = PrivateItem { commitment: Hash([7; 32]), ciphertext: Bytes(b"private".to_vec()) };
    let set = PrivateSet { items: vec![Some(item)] };
    let (payload, digest, private) = (set.encode(), set.root(), mailbox(MailboxKind::Private));
    let operation = Operation::Write { mailbox: private, digest, length: payload.length(), recipients: 1 };
    node.accept(&Envelope { signed: node.sign(0, operation).signed, payload }).await;
    node.accept(&node.write(0, mailbox(MailboxKind::Broadcast), b"for all")).await;
    node.mailbox(mailbox(MailboxKind::Broadcast), "").await;
    node.mailbox(private, "recipient=0").await;
    assert_eq!(node.gateway.kept(), of_other + 3, "a page, a tree and the entries that it belongs to");

    node.accept(&node.sign(0, Operation::Terminate { session })).await;
    let BoardAt { height, root, .. } = node.certified.newest().borrow().as_ref().unwrap().at();
    node.accept(&node.sign(0, Operation::Ack { session, height, root })).await;
    let gone = async {
        while node.gateway.kept() > of_other {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("it is gone as soon as the session is");
    assert_eq!(node.gateway.kept(), of_other, "nothing else is dropped");
    assert_eq!(node.mailbox_refusal(private).await, Code::WrongPhase);
}

#[tokio::test]
async fn events_tell_the_present_state_and_then_what_changes() {
    let node = Node::start(1).await;
    let session = node.open_session(1).await;
    let mut stream = node.get(&format!("/v1/sessions/{session}/events")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let mut seen = String::new();
    let mut until = async |wanted: &str| {
        while !seen.contains(wanted) {
            let chunk = timeout(Duration::from_secs(10), stream.chunk()).await.unwrap().unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    until("event: session\n").await;
    until("\"phase\":\"keying\"").await;
    node.accept(&node.write(0, mailbox, b"key")).await;
    until("event: mailbox\ndata: {\"kind\":\"keying\",\"round\":0,\"count\":1}\n\n").await;
    until("\"phase\":\"running\"").await;
    // A stopping node ends its streams, and the server with them.
    node.shutdown.cancel();
    timeout(Duration::from_secs(10), node.serving).await.unwrap().unwrap();
    assert!(timeout(Duration::from_secs(10), async { while let Ok(Some(_)) = stream.chunk().await {} }).await.is_ok());
}

#[tokio::test]
async fn the_list_of_sessions_is_paged() {
    let node = Node::start(1).await;
    let mut opened = Vec::new();
    for nonce in 0..5 {
        opened.push(node.open_session(nonce).await);
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let response = node.get(&format!("/v1/sessions?limit=2{cursor}")).send().await.unwrap();
        let page: SessionPage = response.json().await.unwrap();
        assert!(page.sessions.len() <= 2);
        listed.extend(page.sessions.iter().map(|summary| summary.session));
        pages += 1;
        let Some(next) = page.next else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((listed, pages), (opened, 3));
    let status: NodeStatus = node.get("/v1/status").send().await.unwrap().json().await.unwrap();
    assert_eq!((status.live_sessions, status.ready, status.consensus.as_str()), (5, true, "solo"));
}

#[tokio::test]
async fn a_node_tells_how_it_is() {
    let node = Node::start(1).await;
    node.open_session(1).await;
    let text = async |path: &str| {
        let response = node.get(path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(text("/livez").await, (200, "ok".to_owned()));
    assert_eq!(text("/readyz").await, (200, "{\"ready\":true,\"reasons\":[],\"warnings\":[]}".to_owned()));
    let (_, counters) = text("/metrics").await;
    for counter in
        ["white_city_requests_total", "white_city_receipt_seconds_bucket", "white_city_batch_operations_bucket"]
    {
        assert!(counters.contains(counter), "{counter}: {counters}");
    }
    let (status, description) = text("/openapi.json").await;
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&description).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().len(), 20);
    let (status, page) = text("/docs/").await;
    assert!(status == 200 && page.contains("<html") && !page.contains("https://"), "{page}");
}

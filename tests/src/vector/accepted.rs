//! The values themselves, by file.

use super::{Vector, binary, both, json};
use crate::samples::*;
use wire::{
    Admission, BackupFact, BackupRecord, Body, Bytes, Carried, Certified, ChainId, Code, Creators, End, EndReason,
    ExchangeKeysFact, GenerationPhase, Hash, ListHead, ListKind, Lock, MailboxHead, MailboxKind, NoSession,
    PartiesFact, Phase, PrivateSet, Receipt, RestoreQuestion, RoundState, SessionFact, Submission, SubmissionOutcome,
    Transaction, TransactionItem,
    api::{GenerationStatus, NodeStatus, OperationOutcome, Outcome, Problem, SessionPage, SessionSummary},
};

/// All values, by the file in which they stand.
pub(super) fn accepted() -> Vec<(&'static str, Vec<Vector>)> {
    vec![
        ("basics.json", basics()),
        ("codes.json", Code::ALL.iter().map(|code| both(code.meaning(), code)).collect()),
        ("operations.json", operation_vectors()),
        ("sessions.json", sessions()),
        ("mailboxes.json", mailboxes()),
        ("private.json", private()),
        ("reports.json", reports()),
        ("network.json", network()),
        ("keys.json", keys()),
        ("api.json", api()),
        ("bundles.json", bundles()),
        ("registration.json", registration()),
        ("backups.json", backups()),
    ]
}

fn backups() -> Vec<Vector> {
    let nothing = BackupFact { record: None, payload: None, ..backup_fact() };
    vec![
        binary("an identity", &Lock::Identity),
        binary("a passphrase", &PASSPHRASE),
        binary("a backup for four nodes", &backup()),
        both("what is kept", &kept_backup()),
        both("a record", &backup_record()),
        both("the record of one that is erased", &BackupRecord { kept: None, ..backup_record() }),
        both("a fact with payload", &backup_fact()),
        both("that there was none", &nothing),
        both("exchange keys, of which one was replaced", &exchange_keys()),
        both("those of genesis", &ExchangeKeysFact { keys: None }),
        binary("what an owner signs", &restore_request()),
        both("what it asks", &restore_question()),
        both("what a stranger asks", &RestoreQuestion { signature: None, ..restore_question() }),
        both("an answer", &restore_answer()),
    ]
}

fn basics() -> Vec<Vector> {
    let longest: ChainId = "a-0".repeat(16).parse().expect("48 characters");
    vec![
        both("a hash", &Hash([0xab; 32])),
        both("a session's name", &session()),
        both("an operation's name", &UNKNOWN_OPERATION),
        both("a key", &key(1)),
        both("a signature", &broadcast(1, 0, b"hello").signed.signature),
        both("no bytes", &Bytes(Vec::new())),
        both("some bytes", &Bytes(vec![0, 1, 0xfe, 0xff])),
        both("a chain id", &chain()),
        both("a chain id of 48 characters", &longest),
        both("a block", &at()),
    ]
}

fn operation_vectors() -> Vec<Vector> {
    let bare = operations().into_iter().map(|(name, operation)| both(name, &operation));
    let signed = operations().into_iter().map(|(name, operation)| {
        let author = if name.starts_with("create") { 9 } else { 1 };
        both(name, &sign(author, operation))
    });
    let envelopes = [("a broadcast", broadcast(1, 0, b"hello")), ("an empty broadcast", broadcast(2, 3, b""))];
    let envelopes = envelopes.into_iter().chain([("private messages", private_write(1, 0))]);
    bare.chain(signed).chain(envelopes.map(|(name, envelope)| both(name, &envelope))).collect()
}

fn sessions() -> Vec<Vector> {
    let End { reason: _, height, phase } = record().end.expect("an end");
    let end = |reason| End { reason, height, phase };
    let mut vectors = vec![
        both("a program", &spec().program),
        both("invited keys", &spec().admission),
        both("nobody", &Admission::Invited { keys: Vec::new() }),
        both("with every option", &spec()),
        both("with no option", &plain_spec()),
        both("a young session", &young_record()),
        both("an aborted session", &record()),
        both("a vote", &record().aborted[0]),
        both("strangers, under terms", &open_spec().admission),
        both("another session's parties", &group_spec().admission),
        both("an open session's", &open_spec()),
        both("a group's", &group_spec()),
        both("an open session that is being solved", &open_record()),
    ];
    vectors.extend(Phase::ALL.map(|phase| both("a phase", &phase)));
    for reason in [EndReason::Terminated, EndReason::Aborted, EndReason::Expired] {
        vectors.extend([both("a reason", &reason), both("an end", &end(reason))]);
    }
    vectors
}

fn registration() -> Vec<Vector> {
    let mut vectors = vec![
        both("a proof of work's parameters", &terms().work),
        both("terms", &terms()),
        both("a stamp", &stamp()),
        both("a phase for people", &phase_status()),
        binary("a solution", &solution()),
        binary("a share of the challenge", &challenge_share().body),
        binary("a signed share of the challenge", &challenge_share()),
        both("the final list of persons 1 to 3", &PartiesFact { session: open_session(), parties: final_parties() }),
    ];
    for list in [ListKind::Registrants, ListKind::Solvers] {
        vectors.extend([both("a list", &list), both("its head", &ListHead::empty(&chain(), &open_session(), list))]);
    }
    vectors.extend(registrations().map(|state| both("a registration", &state)));
    for (name, fact) in lists() {
        vectors.extend([both(name, &fact), both(name, &answer(fact.clone()))]);
    }
    vectors
}

fn mailboxes() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for kind in [MailboxKind::Keying, MailboxKind::Broadcast, MailboxKind::Private] {
        let slot = mailbox(kind, 7);
        let mut head = MailboxHead::empty(&chain(), &slot);
        vectors.extend([both("a kind", &kind), both("a slot", &slot), both("before the first entry", &head)]);
        head.append(2, &Hash([1; 32]));
        vectors.push(both("after party 2 wrote 0101..01", &head));
        head.append(0, &Hash([2; 32]));
        vectors.push(both("then party 0 wrote 0202..02", &head));
    }
    let open = RoundState { deadline_ms: None, closed: false };
    let closed = RoundState { deadline_ms: Some(1_700_000_030_000), closed: true };
    vectors.extend([both("an open round", &open), both("a closed round", &closed)]);
    for (name, page) in pages() {
        vectors.extend(page.entries.iter().map(|entry| both("an entry", entry)));
        vectors.extend(page.rest.iter().map(|link| both("a link", link)));
        vectors.push(both(name, &page));
    }
    vectors
}

fn private() -> Vec<Vector> {
    let set = private_set(3);
    let (item, path) = (set.items[0].clone(), set.paths()[0].clone());
    let one = item.clone().expect("party 0 gets a message");
    let mut vectors = vec![
        both("an item", &one),
        both("no body", &Body::Omitted),
        both("a broadcast's body", &Body::Message { payload: Bytes(b"hello".to_vec()) }),
        both("a recipient's item", &Body::Private { item, path }),
        both("none, for party 1", &Body::Private { item: None, path: set.paths()[1].clone() }),
        binary("nothing for two parties", &PrivateSet { items: vec![None, None] }),
    ];
    vectors.extend([1, 2, 3, 5, 8].map(|n| binary(&format!("a set for {n}"), &private_set(n))));
    vectors
}

fn reports() -> Vec<Vector> {
    let parties = PartiesFact { session: session(), parties: parties() };
    let mut vectors = vec![
        both("the parameters", &answer(parameters())),
        both("the parties", &parties),
        both("no such session", &NoSession { session: session() }),
        both("the parties", &answer(parties.clone())),
    ];
    for record in [young_record(), record()] {
        let fact = SessionFact { session: session(), record };
        vectors.extend([both("a session", &fact), both("a session", &answer(fact.clone()))]);
    }
    for code in [Code::Accepted, Code::DuplicateSame, Code::WrongPhase] {
        let receipt: Receipt = receipt(code);
        vectors.extend([both(code.as_str(), &receipt), both(code.as_str(), &report(receipt))]);
    }
    vectors.extend(pages().into_iter().map(|(name, page)| both(name, &answer(page))));
    vectors
}

fn network() -> Vec<Vector> {
    let operators_only = wire::NetworkParameters { creators: Creators::Operators, ..parameters() };
    vec![
        both("a node", &parameters().nodes[0]),
        both("operators create", &Creators::Operators),
        both("operators and a key create", &parameters().creators),
        both("quotas", &parameters().quotas),
        both("four nodes", &parameters()),
        both("operators only", &operators_only),
        both("an address", &network_file().nodes[0]),
        both("a replica", &replica()),
        both("a network file", &network_file()),
        both("a network file with a key", &wire::NetworkFile { keys: vec![endorsed()], ..network_file() }),
        both("a network file with a replica", &wire::NetworkFile { replicas: vec![replica()], ..network_file() }),
        both("an invitation", &invitation()),
    ]
}

fn keys() -> Vec<Vector> {
    let mut vectors = vec![
        both("an X25519 key", &node_keys(1).exchange),
        both("a TLS key", &node_keys(1).tls),
        both("a node's keys", &node_keys(1)),
        both("a partial signature", &wire::G1Bytes([0xb4; 48])),
        both("a group key", &key_record().group_key),
        both("a published scalar", &wire::ScalarBytes([0x0d; 32])),
        both("a published share", &wire::PublishedShare { recipient: 2, share: wire::ScalarBytes([0x0d; 32]) }),
        both("a dealing", &dealing()),
        both("a key record", &key_record()),
        both("an endorsement", &endorsement(1)),
        both("an endorsed key record", &endorsed()),
        both("a certificate", &certificate()),
        both("a share of a certificate", &certificate_share().body),
        both("a signed share of a certificate", &certificate_share()),
        both("a leaf", &fact_proofs()[0].other.expect("a leaf")),
        binary("a generation", &generation()),
    ];
    vectors.extend(generation_steps().iter().map(|(name, step)| both(name, step)));
    vectors.extend(GenerationPhase::ALL.map(|phase| both("a phase", &phase)));
    vectors.extend(fact_proofs().iter().map(|proof| both("a path", proof)));
    vectors.push(both(
        "a certified fact",
        &Certified { certificate: certificate(), fact: parameters(), proofs: fact_proofs() },
    ));
    vectors
}

fn bundles() -> Vec<Vector> {
    let confirmed = confirmed_bundle();
    let confirmation = &confirmed.confirmations[1];
    let [first, second] = delivered();
    vec![
        binary("two payloads for the nodes", &delivery()),
        binary("a payload's line", &confirmed.bundle.items[0]),
        binary("their list", &confirmed.bundle),
        binary("the second is refused", &confirmation.body),
        binary("the second is refused", confirmation),
        binary("confirmed by three", &confirmed),
        binary("a payload in the transaction", &Carried::Inline { payload: Bytes(b"hello".to_vec()) }),
        binary("the second payload of the bundle", &Carried::Beside { place: 1 }),
        binary("an operation with its payload", &TransactionItem::inline(broadcast(1, 0, b"hello"))),
        binary("an operation without", &beside(first, 0)),
        binary("one inline, one beside", &mixed_transaction(second)),
    ]
}

fn outcomes() -> Vec<OperationOutcome> {
    let receipt = report(receipt(Code::Accepted));
    let operation = receipt.body.fact.operation;
    let decided = Outcome::Decided { receipt: Box::new(receipt) };
    let refused = Outcome::Refused { code: Code::BadSignature };
    [decided, refused, Outcome::Pending].map(|outcome| OperationOutcome { operation, outcome }).into()
}

fn api() -> Vec<Vector> {
    let envelopes = vec![broadcast(1, 0, b"hello"), private_write(2, 0)];
    let problem = |code: Code, status, receipt| Problem {
        kind: format!("https://white-city.invalid/problems/{code}"),
        title: code.meaning().to_owned(),
        status,
        code,
        detail: "what was wrong this time".to_owned(),
        receipt,
        absence: None,
    };
    let summary = SessionSummary {
        session: session(),
        title: spec().title,
        program: spec().program.name,
        phase: Phase::Running,
        parties: 3,
        created: 3,
    };
    let status = NodeStatus {
        chain: chain(),
        name: "node0".to_owned(),
        version: "0.1.0".to_owned(),
        consensus: "cometbft".to_owned(),
        at: at(),
        live_sessions: 1,
        ready: false,
        reasons: vec!["CometBFT is catching up".to_owned()],
        warnings: vec!["this node has no share of the key of epoch 1".to_owned()],
        generation: Some(GenerationStatus::of(&generation())),
    };
    let refused = Some(Box::new(report(receipt(Code::WrongPhase))));
    let fact = NoSession { session: session() };
    let absence = Some(Box::new(Certified { certificate: certificate(), fact, proofs: fact_proofs() }));
    let mut vectors = vec![
        both("two operations", &Submission { operations: envelopes.clone() }),
        binary("two operations", &Transaction::inline(envelopes)),
        both("one of each", &SubmissionOutcome { operations: outcomes() }),
        json("refused by the gateway", &problem(Code::Malformed, 400, None)),
        json("refused by the board", &problem(Code::WrongPhase, 409, refused)),
        json("no such session, provably", &Problem { absence, ..problem(Code::UnknownSession, 404, None) }),
        both("a line of the list", &summary),
        both("the last page", &SessionPage { sessions: vec![summary.clone()], next: None }),
        both("a page before another", &SessionPage { sessions: vec![summary.clone()], next: Some("17".to_owned()) }),
        both("a node that is not ready", &status),
        both("a generation that is done", &GenerationStatus::of(&generation())),
    ];
    for outcome in outcomes() {
        vectors.extend([both("an outcome", &outcome.outcome), both("an operation's outcome", &outcome)]);
    }
    vectors
}

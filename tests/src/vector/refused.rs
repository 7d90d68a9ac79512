//! Input that must be refused, and with which code.

use crate::samples::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wire::{
    Admission, Bytes, Code, ConfirmedBundle, Delivery, Envelope, MailboxKind, NetworkFile, NetworkParameters,
    OpenTerms, Operation, PrivateSet, SessionId, SessionSpec, Solution, Submission, Transaction, TransactionItem,
    limits,
};

/// One refused input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The type that it pretends to be.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong with it.
    pub name: String,
    /// The input, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// The input, if it is borsh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borsh: Option<Bytes>,
    /// The code.
    pub code: Code,
}

/// What the product says of the input: `Ok` if it accepts it.
///
/// # Errors
/// The code of the refusal.
pub fn judge(refusal: &Refusal) -> Result<(), Code> {
    match refusal.kind.as_str() {
        "Envelope" => parse::<Envelope>(refusal)?.verify(&chain()).map(|_| ()),
        "Solution" => {
            let payload = refusal.borsh.clone().unwrap_or_default();
            Solution::decode(&payload.0, &chain(), &open_session(), &key(1)).map(|_| ())
        }
        "SessionSpec" => parse::<SessionSpec>(refusal)?.check(),
        "NetworkParameters" => parse::<NetworkParameters>(refusal)?.check(),
        "NetworkFile" => parse::<NetworkFile>(refusal)?.check(),
        "Submission" => parse::<Submission>(refusal).map(|_| ()),
        "Delivery" => Delivery::decode(&refusal.borsh.clone().unwrap_or_default().0).map(|_| ()),
        "TransactionItem" => parse_borsh::<TransactionItem>(refusal)?.check(),
        "Transaction" => Transaction::decode(&refusal.borsh.clone().unwrap_or_default().0).map(|_| ()),
        "PrivateSet" => PrivateSet::decode(&refusal.borsh.clone().unwrap_or_default().0).map(|_| ()),
        other => panic!("no type {other}"),
    }
}

fn parse_borsh<T: borsh::BorshDeserialize>(refusal: &Refusal) -> Result<T, Code> {
    borsh::from_slice(&refusal.borsh.clone().unwrap_or_default().0).map_err(|_| Code::Malformed)
}

fn parse<T: DeserializeOwned + borsh::BorshDeserialize>(refusal: &Refusal) -> Result<T, Code> {
    match (&refusal.json, &refusal.borsh) {
        (Some(json), None) => serde_json::from_str(&json.to_string()).map_err(|_| Code::WrongShape),
        (None, Some(bytes)) => borsh::from_slice(&bytes.0).map_err(|_| Code::Malformed),
        _ => panic!("{}: either JSON or borsh", refusal.name),
    }
}

/// All refused inputs.
pub fn refusals() -> Vec<Refusal> {
    let mut all = Vec::new();
    all.extend(shapes());
    all.extend(signatures());
    all.extend(payloads());
    all.extend(specifications());
    all.extend(networks());
    all.extend(encodings());
    all.extend(bundles());
    all.extend(registration());
    all
}

fn by_json<T: Serialize>(kind: &str, name: &str, value: &T, code: Code) -> Refusal {
    let json = Some(serde_json::to_value(value).expect("wire types are JSON"));
    Refusal { kind: kind.to_owned(), name: name.to_owned(), json, borsh: None, code }
}

fn by_borsh(kind: &str, name: &str, bytes: Vec<u8>, code: Code) -> Refusal {
    Refusal { kind: kind.to_owned(), name: name.to_owned(), json: None, borsh: Some(Bytes(bytes)), code }
}

/// A good envelope's JSON with the value at `pointer` replaced; `null` takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut json = serde_json::to_value(broadcast(1, 0, b"hello")).expect("wire types are JSON");
    let (parent, field) = pointer.rsplit_once('/').expect("a pointer begins with /");
    let parent = json.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    if value.is_null() {
        parent.remove(field)
    } else {
        parent.insert(field.to_owned(), value)
    };
    json
}

fn shapes() -> Vec<Refusal> {
    let cases = [
        ("no signature", "/signed/signature", Value::Null),
        ("an unknown field", "/signed/body/colour", json!("red")),
        ("an unknown field outside", "/payloads", json!([])),
        ("an unknown type of operation", "/signed/body/type", json!("erase")),
        ("a key of 31 bytes", "/signed/author", json!("ab".repeat(31))),
        ("a key of 33 bytes", "/signed/author", json!("ab".repeat(33))),
        ("a key that is no hex", "/signed/author", json!("xy".repeat(32))),
        ("a digest as a list of numbers", "/signed/body/digest", json!([1, 2, 3])),
        ("an odd number of digits", "/payload", json!("68656c6c6")),
        ("a chain id in capitals", "/signed/chain", json!("VECTORS-1")),
        ("an empty chain id", "/signed/chain", json!("")),
        ("a chain id of 49 characters", "/signed/chain", json!("a".repeat(49))),
        ("a negative round", "/signed/body/mailbox/round", json!(-1)),
        ("a round beyond 32 bits", "/signed/body/mailbox/round", json!(4_294_967_296_u64)),
        ("a round with a fraction", "/signed/body/mailbox/round", json!(1.5)),
        ("a round as text", "/signed/body/mailbox/round", json!("0")),
        ("an unknown kind of mailbox", "/signed/body/mailbox/kind", json!("public")),
    ];
    let envelope = |(name, pointer, value)| by_json("Envelope", name, &with(pointer, value), Code::WrongShape);
    let mut all: Vec<Refusal> = cases.into_iter().map(envelope).collect();
    for (name, value) in
        [("a list", json!([])), ("a text", json!("operation")), ("a number", json!(7)), ("an empty object", json!({}))]
    {
        all.push(by_json("Envelope", name, &value, Code::WrongShape));
        all.push(by_json("Submission", name, &value, Code::WrongShape));
    }
    all
}

fn signatures() -> Vec<Refusal> {
    let good = || broadcast(1, 0, b"hello");
    let mut another_author = good();
    another_author.signed.author = key(2);
    let mut no_key = good();
    no_key.signed.author = wire::PublicKey([0xff; 32]);
    let mut bit = good();
    bit.signed.signature.0[0] ^= 1;
    let mut unmarked = good();
    unmarked.signed.signature.0[63] &= 0x7f;
    let mut another_session = good();
    if let Operation::Write { mailbox, .. } = &mut another_session.signed.body {
        mailbox.session = SessionId([1; 32]);
    }
    let mut another_round = good();
    if let Operation::Write { mailbox, .. } = &mut another_round.signed.body {
        mailbox.round = 1;
    }
    let mut claimed_here = good();
    let elsewhere = || "vectors-2".parse().expect("a chain id");
    claimed_here.signed = wire::Signed::sign(&keypair(1), elsewhere(), claimed_here.signed.body, rng());
    let from_elsewhere = claimed_here.clone();
    claimed_here.signed.chain = chain();
    let cases = [
        ("another author", another_author, Code::BadSignature),
        ("an author that is no key", no_key, Code::BadSignature),
        ("a signature with one bit changed", bit, Code::BadSignature),
        ("a signature without schnorrkel's mark", unmarked, Code::BadSignature),
        ("moved to another session", another_session, Code::BadSignature),
        ("moved to another round", another_round, Code::BadSignature),
        ("signed for another chain", from_elsewhere, Code::WrongChain),
        ("signed for another chain, relabelled", claimed_here, Code::BadSignature),
    ];
    cases.into_iter().map(|(name, envelope, code)| by_json("Envelope", name, &envelope, code)).collect()
}

fn payloads() -> Vec<Refusal> {
    let altered = |kind, digest, length, recipients, payload: &[u8]| {
        let mailbox = mailbox(kind, 0);
        let signed = sign(1, Operation::Write { mailbox, digest, length, recipients });
        Envelope { signed, payload: Bytes(payload.to_vec()) }
    };
    let (hello, set) = (wire::message_digest(b"hello"), private_set(3));
    let (sealed, root) = (set.encode(), set.root());
    let write = |kind, round, length| {
        let mailbox = mailbox(kind, round);
        let signed = sign(1, Operation::Write { mailbox, digest: hello, length, recipients: 0 });
        Envelope { signed, payload: Bytes(b"hello".to_vec()) }
    };
    let of = |operation, payload: &[u8]| Envelope { signed: sign(1, operation), payload: Bytes(payload.to_vec()) };
    let reason = "x".repeat(limits::MAX_REASON_BYTES + 1);
    let (session, public) = (session(), MailboxKind::Broadcast);
    let cases = [
        ("another payload", altered(public, hello, 5, 0, b"hallo"), Code::PayloadMismatch),
        ("a wrong length", altered(public, hello, 6, 0, b"hello"), Code::PayloadMismatch),
        ("no payload", altered(public, hello, 5, 0, b""), Code::PayloadMismatch),
        ("recipients of a broadcast", altered(public, hello, 5, 3, b"hello"), Code::PayloadMismatch),
        ("a private set of noise", altered(MailboxKind::Private, hello, 5, 3, b"hello"), Code::Malformed),
        ("a set for more", altered(MailboxKind::Private, root, sealed.length(), 4, &sealed.0), Code::PayloadMismatch),
        (
            "a set of another root",
            altered(MailboxKind::Private, hello, sealed.length(), 3, &sealed.0),
            Code::PayloadMismatch,
        ),
        ("a payload of a termination", of(Operation::Terminate { session }, b"x"), Code::PayloadMismatch),
        ("too long a payload", write(public, 0, limits::MAX_PAYLOAD_BYTES + 1), Code::PayloadTooLarge),
        ("too high a round", write(public, limits::MAX_ROUNDS, 5), Code::RoundOutOfRange),
        ("too long a reason", of(Operation::Abort { session, reason }, b""), Code::Malformed),
    ];
    cases.into_iter().map(|(name, envelope, code)| by_json("Envelope", name, &envelope, code)).collect()
}

type Change = fn(&mut SessionSpec);

fn specifications() -> Vec<Refusal> {
    let changes: Vec<(&str, Change)> = vec![
        ("too long a title", |s| s.title = "x".repeat(limits::MAX_NAME_BYTES + 1)),
        ("too long a program's name", |s| s.program.name = "x".repeat(limits::MAX_NAME_BYTES + 1)),
        ("no party", |s| (s.min_parties, s.max_parties) = (0, 0)),
        ("fewer parties than keys", |s| s.max_parties = 2),
        ("the same key twice", |s| s.admission = Admission::Invited { keys: vec![key(1), key(1), key(2)] }),
        ("more least than most parties", |s| s.min_parties = 4),
        ("a least number of 0", |s| s.min_parties = 0),
        ("all may be corrupted", |s| s.corruption_threshold = 3),
        ("an abort quorum of 0", |s| s.abort_quorum = 0),
        ("an abort quorum beyond n", |s| s.abort_quorum = 4),
        ("no keying round", |s| s.keying_rounds = 0),
        ("too many keying rounds", |s| s.keying_rounds = limits::MAX_KEYING_ROUNDS + 1),
        ("no round", |s| s.max_rounds = 0),
        ("too many rounds", |s| s.max_rounds = limits::MAX_ROUNDS + 1),
        ("no message", |s| s.max_message_bytes = 0),
        ("too long messages", |s| s.max_message_bytes = limits::MAX_PAYLOAD_BYTES + 1),
        ("no bytes for a party", |s| s.max_party_bytes = 0),
        ("padding longer than messages", |s| s.padded_bytes = Some(65_537)),
        ("padding to nothing", |s| s.padded_bytes = Some(0)),
        ("no time for keying", |s| s.keying_ms = 0),
        ("more than a year to run", |s| s.running_ms = limits::MAX_DURATION_MS + 1),
        ("no retention", |s| s.retention_ms = 0),
        ("a round time-out of 0", |s| s.round_timeout_ms = Some(0)),
    ];
    let refusal = |(name, change): (&str, Change)| {
        let mut changed = spec();
        change(&mut changed);
        by_json("SessionSpec", name, &changed, Code::InvalidSpecification)
    };
    changes.into_iter().map(refusal).collect()
}

fn networks() -> Vec<Refusal> {
    let code = Code::InvalidSpecification;
    let (mut twice, mut nameless, mut unruled) = (parameters(), parameters(), parameters());
    twice.nodes[1].identity = twice.nodes[0].identity;
    nameless.nodes[0].name.clear();
    unruled.operators.clear();
    let [mut nowhere, mut insecure, mut elsewhere] = [(); 3].map(|()| network_file());
    nowhere.nodes.clear();
    insecure.nodes[0].url = "ftp://127.0.0.1".to_owned();
    elsewhere.replicas = vec![wire::ReplicaAddress { url: insecure.nodes[0].url.clone(), ..replica() }];
    vec![
        by_json("NetworkParameters", "two nodes of one key", &twice, code),
        by_json("NetworkParameters", "a node without a name", &nameless, code),
        by_json("NetworkParameters", "no operator", &unruled, code),
        by_json("NetworkFile", "no node", &nowhere, code),
        by_json("NetworkFile", "a URL of another scheme", &insecure, code),
        by_json("NetworkFile", "a replica's URL of another scheme", &elsewhere, code),
    ]
}

fn encodings() -> Vec<Refusal> {
    let good = borsh::to_vec(&broadcast(1, 0, b"hello")).expect("wire types are borsh");
    let longer = [good.as_slice(), &[0]].concat();
    let shorter = good[..good.len() - 1].to_vec();
    // The chain id's length comes first.
    let endless = [&[0xff; 4], &good[4..]].concat();
    let mut capital = good.clone();
    capital[4] = b'V';
    // After chain id (4 + 9) and author (32) comes the variant.
    let mut variant = good.clone();
    variant[45] = 99;
    let mut all: Vec<Refusal> = [
        ("a byte too many", longer),
        ("a byte too few", shorter),
        ("nothing", Vec::new()),
        ("an endless chain id", endless),
        ("a chain id in capitals", capital),
        ("an unknown variant", variant),
    ]
    .map(|(name, bytes)| by_borsh("Envelope", name, bytes, Code::Malformed))
    .into();
    let transaction = |envelopes: Vec<Envelope>| Transaction::inline(envelopes).encode().0;
    let set = |items: Vec<Option<wire::PrivateItem>>| PrivateSet { items }.encode().0;
    let option = [&[1, 0, 0, 0][..], &[2]].concat();
    all.extend([
        by_borsh("Transaction", "no operation", transaction(Vec::new()), Code::Malformed),
        by_borsh("Transaction", "noise", vec![0xa5; 64], Code::Malformed),
        by_borsh("PrivateSet", "for nobody", set(Vec::new()), Code::Malformed),
        by_borsh("PrivateSet", "for 4097", set(vec![None; usize::from(limits::MAX_PARTIES) + 1]), Code::Malformed),
        by_borsh("PrivateSet", "neither an item nor none", option, Code::Malformed),
    ]);
    all
}

fn bundles() -> Vec<Refusal> {
    let [first, second] = delivered();
    let good = || mixed_transaction(second.clone());
    let change = |change: fn(&mut ConfirmedBundle)| {
        let mut transaction = good();
        transaction.bundle.iter_mut().for_each(change);
        transaction.encode().0
    };
    let unused = Transaction { bundle: Some(confirmed_bundle()), ..Transaction::inline([first.clone()]) };
    let transactions = [
        ("a payload beside, and no bundle", Transaction { bundle: None, ..good() }.encode().0),
        ("a bundle, and nothing beside", unused.encode().0),
        ("a bundle of nothing", change(|bundle| bundle.bundle.items.clear())),
        ("a bundle that nobody confirms", change(|bundle| bundle.confirmations.clear())),
        ("a refusal named twice", change(|bundle| bundle.confirmations[1].body.refused = vec![1, 1])),
        ("refusals out of order", change(|bundle| bundle.confirmations[1].body.refused = vec![1, 0])),
        ("a refusal beyond any bundle", change(|bundle| bundle.confirmations[1].body.refused = vec![256])),
    ];
    let mut all: Vec<Refusal> =
        transactions.map(|(name, bytes)| by_borsh("Transaction", name, bytes, Code::Malformed)).into();
    let item = |item: &TransactionItem| borsh::to_vec(item).expect("wire types are borsh");
    let termination =
        Envelope { signed: sign(1, Operation::Terminate { session: session() }), payload: Bytes::default() };
    let empty = Delivery { envelopes: Vec::new(), ..delivery() };
    all.extend([
        by_borsh("TransactionItem", "a termination beside", item(&beside(termination, 0)), Code::PayloadMismatch),
        by_borsh("Delivery", "nothing", empty.encode().0, Code::Malformed),
        by_borsh("Delivery", "noise", vec![0xa5; 64], Code::Malformed),
    ]);
    all
}

type ChangeTerms = fn(&mut SessionSpec, &mut OpenTerms);

/// Solutions are judged for person 1 in the open session of `registration.json`.
fn registration() -> Vec<Refusal> {
    let good = solution();
    let elsewhere = "vectors-2".parse().expect("a chain id");
    let encoded = good.encode().0;
    let mut all = vec![
        by_borsh(
            "Solution",
            "for another key",
            Solution { key: key(2), ..good.clone() }.encode().0,
            Code::StolenSolution,
        ),
        by_borsh(
            "Solution",
            "for another session",
            Solution { session: session(), ..good.clone() }.encode().0,
            Code::ForeignSolution,
        ),
        by_borsh(
            "Solution",
            "for another chain",
            Solution { chain: elsewhere, ..good }.encode().0,
            Code::ForeignSolution,
        ),
        by_borsh("Solution", "a byte too few", encoded[..encoded.len() - 1].to_vec(), Code::Malformed),
    ];
    let solve = Operation::Solve { session: open_session(), digest: wire::message_digest(b"x"), length: 1 };
    let too_long = Operation::Solve {
        session: open_session(),
        digest: wire::message_digest(b"x"),
        length: limits::MAX_PAYLOAD_BYTES + 1,
    };
    let register = Operation::Register { session: open_session(), stamp: stamp() };
    let envelope =
        |operation, payload: &[u8]| Envelope { signed: sign(1, operation), payload: Bytes(payload.to_vec()) };
    for (name, envelope, code) in [
        ("another solution", envelope(solve, b"y"), Code::PayloadMismatch),
        ("too long a solution", envelope(too_long, b"x"), Code::PayloadTooLarge),
        ("a request with a payload", envelope(register, b"x"), Code::PayloadMismatch),
    ] {
        all.push(by_json("Envelope", name, &envelope, code));
    }
    let changes: [(&str, ChangeTerms); 8] = [
        ("no time for requests", |_, terms| terms.registering_ms = 0),
        ("no time for the way", |_, terms| terms.slack_ms = 0),
        ("too long a head start", |_, terms| terms.head_start_ms = limits::MAX_HEAD_START_MS + 1),
        ("too dear a stamp", |_, terms| terms.stamp_bits = limits::MAX_STAMP_BITS + 1),
        ("devices that do nothing", |_, terms| terms.hash_rate = 0),
        ("no adversary", |_, terms| terms.adversary = 0),
        ("no soundness", |_, terms| terms.soundness_bits = 0),
        ("as many corrupted as may come", |spec, _| spec.corruption_threshold = spec.min_parties),
    ];
    for (name, change) in changes {
        let (mut spec, mut terms) = (open_spec(), terms());
        change(&mut spec, &mut terms);
        spec.admission = Admission::Open { terms };
        all.push(by_json("SessionSpec", name, &spec, Code::InvalidSpecification));
    }
    all
}

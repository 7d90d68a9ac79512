//! One fixed value, or a few, of everything that crosses a wire.

mod backup;
mod keys;
mod registration;

pub use backup::*;
pub use keys::*;
pub use registration::*;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use wire::{
    AbortVote, Admission, Answer, BoardAt, Body, Bytes, Carried, ChainId, Confirmation, ConfirmedBundle, Creators,
    Delivery, End, EndReason, Entry, Envelope, ExchangeKey, Hash, Invitation, Link, MailboxFact, MailboxHead,
    MailboxId, MailboxKind, NetworkFile, NetworkParameters, NodeAddress, NodeKeys, NodeRecord, Operation, OperationId,
    Phase, PrivateItem, PrivateSet, Program, PublicKey, Quotas, Receipt, ReplicaAddress, Report, RoundState, SessionId,
    SessionRecord, SessionSpec, Signed, TlsKey, Transaction, TransactionItem, list_digest, message_digest, signed,
};

/// The key pair of test person `seed`.
///
/// # Panics
/// Never: any 32 bytes are a mini secret key.
pub fn keypair(seed: u8) -> Keypair {
    MiniSecretKey::from_bytes(&[seed; 32]).expect("32 bytes").expand_to_keypair(ExpansionMode::Ed25519)
}

/// The public key of test person `seed`.
pub fn key(seed: u8) -> PublicKey {
    PublicKey(keypair(seed).public.to_bytes())
}

/// The randomness of every signature here: the same each time, which only samples may do.
pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// The chain of all samples.
///
/// # Panics
/// Never.
pub fn chain() -> ChainId {
    "vectors-1".parse().expect("a chain id")
}

/// Test person `seed`'s signature under `body`.
pub fn sign<T: signed::Message>(seed: u8, body: T) -> Signed<T> {
    Signed::sign(&keypair(seed), chain(), body, rng())
}

/// Persons 1, 2 and 3 are invited; person 9 creates.
pub fn spec() -> SessionSpec {
    SessionSpec {
        title: "Sign the bylaws – §7".to_owned(),
        program: Program { name: "schnorr".to_owned(), version: "1".to_owned(), digest: Hash([5; 32]) },
        admission: Admission::Invited { keys: parties() },
        min_parties: 2,
        max_parties: 3,
        corruption_threshold: 2,
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 16,
        max_message_bytes: 65_536,
        max_party_bytes: 1_048_576,
        padded_bytes: Some(256),
        inline_payloads: true,
        keying_ms: 60_000,
        running_ms: 3_600_000,
        retention_ms: 86_400_000,
        round_timeout_ms: Some(30_000),
    }
}

/// The keys of persons 1, 2 and 3.
pub fn parties() -> Vec<PublicKey> {
    vec![key(1), key(2), key(3)]
}

/// The nonce with which person 9 creates the session.
pub const NONCE: Hash = Hash([6; 32]);

/// The session of all samples.
pub fn session() -> SessionId {
    spec().session_id(&chain(), &key(9), &NONCE)
}

/// A slot of that session.
pub fn mailbox(kind: MailboxKind, round: u32) -> MailboxId {
    MailboxId { session: session(), kind, round }
}

/// The session when one party is absent and the other two are through.
pub fn record() -> SessionRecord {
    SessionRecord {
        spec: spec(),
        creator: key(9),
        nonce: NONCE,
        created: 3,
        phase: Phase::Ended,
        deadline_ms: Some(1_700_000_090_000),
        registration: None,
        parties: 3,
        list: list_digest(&parties()),
        absent: vec![2],
        terminated: vec![1],
        aborted: vec![AbortVote { party: 0, reason: "a commitment did not open".to_owned() }],
        end: Some(End { reason: EndReason::Aborted, height: 12, phase: Phase::Running }),
        acknowledged: vec![0],
    }
}

/// The session as it begins.
pub fn young_record() -> SessionRecord {
    let (phase, deadline_ms, end) = (Phase::Keying, None, None);
    let nobody = || (Vec::new(), Vec::new(), Vec::new());
    let (absent, terminated, acknowledged) = nobody();
    SessionRecord { phase, deadline_ms, end, absent, terminated, acknowledged, aborted: Vec::new(), ..record() }
}

/// Person `seed`'s broadcast of `payload`.
pub fn broadcast(seed: u8, round: u32, payload: &[u8]) -> Envelope {
    let digest = message_digest(payload);
    let payload = Bytes(payload.to_vec());
    let mailbox = mailbox(MailboxKind::Broadcast, round);
    let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients: 0 };
    Envelope { signed: sign(seed, operation), payload }
}

/// A set of private messages for n parties: two of three get one.
pub fn private_set(n: u16) -> PrivateSet {
    let item = |j: u16| PrivateItem {
        commitment: Hash([u8::try_from(j % 251).unwrap_or_default(); 32]),
        ciphertext: Bytes(vec![0xc0, 0xde, u8::try_from(j % 251).unwrap_or_default()]),
    };
    PrivateSet { items: (0..n).map(|j| (j % 3 != 1).then(|| item(j))).collect() }
}

/// Person `seed`'s private messages of one round.
pub fn private_write(seed: u8, round: u32) -> Envelope {
    let set = private_set(3);
    let payload = set.encode();
    let mailbox = mailbox(MailboxKind::Private, round);
    let operation = Operation::Write { mailbox, digest: set.root(), length: payload.length(), recipients: 3 };
    Envelope { signed: sign(seed, operation), payload }
}

/// The operations of [`delivery`]: person 1's private messages and a broadcast of person 2 of more than one chunk.
pub fn delivered() -> [Envelope; 2] {
    [private_write(1, 0), broadcast(2, 0, &[7; 5000])]
}

/// Two payloads that node 21 hands to the others.
pub fn delivery() -> Delivery {
    Delivery { gateway: key(21), expiry_ms: 1_700_000_060_000, height: 12, envelopes: delivered().into() }
}

/// Its list, confirmed by nodes 21, 22 and 23. Node 22 refuses the second.
pub fn confirmed_bundle() -> ConfirmedBundle {
    let bundle = delivery().bundle();
    let confirm = |(node, refused)| {
        sign(node, Confirmation { bundle: bundle.digest(&chain()), expiry_ms: bundle.expiry_ms, refused })
    };
    let confirmations = [(21, vec![]), (22, vec![1]), (23, vec![])].map(confirm).into();
    ConfirmedBundle { bundle, confirmations }
}

/// The operation without its payload.
pub fn beside(envelope: Envelope, place: u16) -> TransactionItem {
    TransactionItem { signed: envelope.signed, payload: Carried::Beside { place } }
}

/// A broadcast with its payload, and the second operation of the bundle.
pub fn mixed_transaction(second: Envelope) -> Transaction {
    let items = vec![TransactionItem::inline(broadcast(1, 0, b"hello")), beside(second, 1)];
    Transaction { items, bundle: Some(confirmed_bundle()) }
}

/// Operations of every variant, with what they are called.
pub fn operations() -> Vec<(&'static str, Operation)> {
    let session = session();
    vec![
        ("create a session", Operation::CreateSession { spec: Box::new(spec()), nonce: NONCE }),
        (
            "create the plainest session",
            Operation::CreateSession { spec: Box::new(plain_spec()), nonce: Hash([0; 32]) },
        ),
        ("write a broadcast", broadcast(1, 0, b"hello").signed.body),
        ("write private messages", private_write(1, 0).signed.body),
        ("terminate", Operation::Terminate { session }),
        ("abort", Operation::Abort { session, reason: "party 1 cheated: \"R\" ≠ commitment".to_owned() }),
        ("acknowledge", Operation::Ack { session, height: 12, root: Hash([8; 32]) }),
        ("tick", Operation::Tick { deadline_ms: 1_700_000_090_000, attempt: 1 }),
    ]
    .into_iter()
    .chain(generation_steps().into_iter().map(|(name, step)| {
        let (name, step) = (name, Box::new(step));
        (name, Operation::Generate { epoch: 1, attempt: 2, step })
    }))
    .chain([
        ("replace an exchange key", Operation::ReplaceExchangeKey { key: ExchangeKey([0xe2; 32]) }),
        ("renew the cluster's key", Operation::RenewKey { epoch: 2 }),
        ("leave a backup", backup_operation()),
        ("erase a backup", Operation::EraseBackup { session, number: 4 }),
    ])
    .chain(registration_operations())
    .collect()
}

/// A specification with no option set.
pub fn plain_spec() -> SessionSpec {
    let admission = Admission::Invited { keys: vec![key(1)] };
    let (min_parties, max_parties, corruption_threshold) = (1, 1, 0);
    SessionSpec {
        admission,
        min_parties,
        max_parties,
        corruption_threshold,
        padded_bytes: None,
        inline_payloads: true,
        round_timeout_ms: None,
        title: String::new(),
        ..spec()
    }
}

/// The block as of which all answers are given.
pub fn at() -> BoardAt {
    BoardAt { height: 12, time_ms: 1_700_000_000_123, root: Hash([8; 32]) }
}

/// `fact` as of the block of all samples.
pub fn answer<F>(fact: F) -> Answer<F> {
    Answer { at: at(), fact }
}

/// Node 21's report of a receipt.
pub fn report(receipt: Receipt) -> Report<Receipt> {
    sign(21, answer(receipt))
}

/// The receipt of person 1's broadcast.
pub fn receipt(code: wire::Code) -> Receipt {
    Receipt { operation: broadcast(1, 0, b"hello").id(), height: 12, position: 0, code }
}

fn entry(sender: u16, envelope: &Envelope, body: Body) -> Entry {
    let Operation::Write { digest, length, .. } = envelope.signed.body else { unreachable!("samples write") };
    Entry { sender, digest, length, signature: envelope.signed.signature, body }
}

fn page(mailbox: MailboxId, recipient: Option<u16>, round: Option<RoundState>, entries: Vec<Entry>) -> MailboxFact {
    let from_head = MailboxHead::empty(&chain(), &mailbox);
    let mut head = from_head;
    entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    MailboxFact {
        mailbox,
        recipient,
        head,
        round,
        from: 0,
        from_head: from_head.head,
        entries,
        rest: vec![],
        session: None,
    }
}

/// Pages of mailboxes of every kind, with what they are called.
pub fn pages() -> Vec<(&'static str, MailboxFact)> {
    let message = |seed, payload: &[u8]| {
        let body = Body::Message { payload: Bytes(payload.to_vec()) };
        entry(u16::from(seed) - 1, &broadcast(seed, 0, payload), body)
    };
    let private = |recipient: u16| {
        let (set, paths) = (private_set(3), private_set(3).paths());
        let (item, path) = (set.items[usize::from(recipient)].clone(), paths[usize::from(recipient)].clone());
        entry(0, &private_write(1, 0), Body::Private { item, path })
    };
    let (public_box, private_box) = (mailbox(MailboxKind::Broadcast, 0), mailbox(MailboxKind::Private, 0));
    let closed = RoundState { deadline_ms: Some(1_700_000_030_000), closed: true };
    let young = RoundState { deadline_ms: None, closed: false };
    let mut second = page(public_box, None, Some(young), vec![message(2, b"world"), message(1, b"hello")]);
    second.from_head = {
        let mut head = MailboxHead::empty(&chain(), &public_box);
        head.append(1, &message_digest(b"world"));
        head.head
    };
    (second.from, second.entries) = (1, second.entries.split_off(1));
    let mut first = page(public_box, None, Some(closed), vec![message(2, b"world"), message(1, b"hello")]);
    first.rest = first.entries.drain(1..).map(|entry| Link { sender: entry.sender, digest: entry.digest }).collect();
    let empty = page(mailbox(MailboxKind::Keying, 0), None, None, Vec::new());
    vec![
        ("a page of two broadcasts", page(public_box, None, Some(closed), vec![message(2, b"world"), message(1, b"")])),
        ("its last entry alone", second),
        ("its first entry alone", first),
        ("an empty mailbox", MailboxFact { session: Some(Box::new(record())), ..empty }),
        ("a private message for party 0", page(private_box, Some(0), Some(closed), vec![private(0)])),
        ("nothing for party 1, provably", page(private_box, Some(1), Some(closed), vec![private(1)])),
        (
            "a private mailbox read by an outsider",
            page(private_box, None, None, vec![entry(0, &private_write(1, 0), Body::Omitted)]),
        ),
    ]
}

/// Four nodes, persons 21 to 24, and operator 9.
pub fn parameters() -> NetworkParameters {
    let node =
        |seed: u8| NodeRecord::sign(format!("node{}", seed - 21), &keypair(seed), &chain(), node_keys(seed), rng());
    NetworkParameters {
        chain: chain(),
        nodes: (21..25).map(node).collect(),
        operators: vec![key(9)],
        creators: Creators::Keys { keys: vec![key(10)] },
        quotas: Quotas { live_sessions: 1000, live_sessions_per_creator: 100, live_bytes: 1 << 34 },
    }
}

/// The public keys of node `seed`, in which nothing is secret.
pub fn node_keys(seed: u8) -> NodeKeys {
    NodeKeys { exchange: ExchangeKey([seed; 32]), tls: TlsKey([seed; 32]) }
}

/// The network file of those nodes.
pub fn network_file() -> NetworkFile {
    let address = |(port, node): (u16, NodeRecord)| NodeAddress {
        name: node.name,
        url: format!("http://127.0.0.1:{port}"),
        identity: node.identity,
    };
    let parameters = parameters();
    let nodes = (7001..).zip(parameters.nodes.clone()).map(address).collect();
    NetworkFile { chain: chain(), genesis: parameters.digest(), nodes, replicas: Vec::new(), keys: Vec::new() }
}

/// A read-only replica of those nodes.
pub fn replica() -> ReplicaAddress {
    ReplicaAddress { name: "replica0".into(), url: "http://127.0.0.1:7101".into() }
}

/// The invitation to the session of all samples.
pub fn invitation() -> Invitation {
    let urls = network_file().nodes.into_iter().map(|node| node.url).collect();
    Invitation { chain: chain(), network: network_file().digest(), session: session(), urls }
}

/// An id that nobody has used.
pub const UNKNOWN_OPERATION: OperationId = OperationId([0xee; 32]);

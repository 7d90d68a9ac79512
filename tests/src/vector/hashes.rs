//! What goes into each hash, byte by byte.

use crate::samples::*;
use borsh::BorshSerialize;
use serde::{Deserialize, Serialize};
use wire::{
    Bytes, Envelope, FactKey, Hash, ListHead, ListKind, MailboxHead, MailboxKind, PrivateSet, Stamp, challenge_message,
    chunk_root, list_digest, message_digest,
};

/// One hash: SHA-256 over the tag, after `white-city/v1/`, and the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashVector {
    /// What is hashed.
    pub name: String,
    /// The domain tag, prefix included.
    pub tag: String,
    /// The parts in order.
    pub parts: Vec<Bytes>,
    /// The hash.
    pub hash: Hash,
}

fn borsh_of<T: BorshSerialize + ?Sized>(value: &T) -> Bytes {
    Bytes(borsh::to_vec(value).expect("wire types are borsh"))
}

fn raw(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes(bytes.as_ref().to_vec())
}

fn vector(name: &str, tag: &str, parts: Vec<Bytes>, hash: Hash) -> HashVector {
    HashVector { name: name.to_owned(), tag: format!("white-city/v1/{tag}"), parts, hash }
}

/// Every kind of hash in `wire`, with the product's result.
pub fn hashes() -> Vec<HashVector> {
    let (chain, spec) = (chain(), spec());
    let session_parts = vec![borsh_of(&chain), borsh_of(&spec), raw(key(9).0), raw(NONCE.0)];
    let identities: Vec<_> = network_file().nodes.iter().map(|node| node.identity).collect();
    let network_parts = vec![borsh_of(&chain), raw(parameters().digest().0), borsh_of(&identities)];
    let mut vectors = vec![
        vector("session id", "session", session_parts, Hash(session().0)),
        vector("list of parties", "list", vec![borsh_of(&parties()[..])], list_digest(&parties())),
        vector("broadcast payload", "message", vec![raw(b"hello")], message_digest(b"hello")),
        vector("empty payload", "message", vec![raw(b"")], message_digest(b"")),
        vector("genesis", "genesis", vec![borsh_of(&parameters())], parameters().digest()),
        vector("network file", "network", network_parts, network_file().digest()),
        signed("operation", "operation", &broadcast(1, 0, b"hello")),
    ];
    vectors.extend(chain_of_entries());
    vectors.extend(facts());
    vectors.extend(private_tree());
    vectors.extend(bundle());
    vectors.extend(registration());
    vectors
}

fn signed(name: &str, tag: &str, envelope: &Envelope) -> HashVector {
    let signed = &envelope.signed;
    let parts = vec![borsh_of(&signed.chain), raw(signed.author.0), borsh_of(&signed.body)];
    vector(name, tag, parts, signed.digest())
}

fn chain_of_entries() -> Vec<HashVector> {
    let slot = mailbox(MailboxKind::Broadcast, 0);
    let mut head = MailboxHead::empty(&chain(), &slot);
    let first = vector("head of an empty mailbox", "mailbox", vec![borsh_of(&chain()), borsh_of(&slot)], head.head);
    let digest = message_digest(b"hello");
    let parts = vec![raw(head.head.0), borsh_of(&2_u16), raw(digest.0)];
    head.append(2, &digest);
    vec![first, vector("head after an entry of party 2", "entry", parts, head.head)]
}

fn facts() -> Vec<HashVector> {
    let keys = [
        ("key of the network's parameters", FactKey::Network),
        ("key of a session", FactKey::Session(session())),
        ("key of a list of parties", FactKey::Parties(session())),
        ("key of a mailbox", FactKey::Mailbox(mailbox(MailboxKind::Private, 3))),
        ("key of a round", FactKey::Round(session(), 3)),
        ("key of a list of strangers", FactKey::List(open_session(), ListKind::Registrants)),
        ("key of a threshold key's record", FactKey::Keys(2)),
        ("key of a generation", FactKey::Generation(2)),
        ("key of a party's backup", FactKey::Backup(session(), 3)),
        ("key of the exchange keys", FactKey::ExchangeKeys),
    ];
    keys.into_iter().map(|(name, key)| vector(name, "fact", vec![borsh_of(&key)], key.hash())).collect()
}

/// Two leaves, one of them empty, and their root.
fn private_tree() -> Vec<HashVector> {
    let set = PrivateSet { items: private_set(2).items };
    let item = set.items[0].clone().expect("party 0 gets a message");
    let paths = set.paths();
    // In a tree of two leaves each one's path is the other leaf.
    let (leaf, none) = (paths[1][0], paths[0][0]);
    let leaf_parts = vec![borsh_of(&0_u64), raw(item.commitment.0), raw(&item.ciphertext)];
    let inner = wire::hash::TaggedHash::new("private-node").bytes([leaf.0, none.0].concat()).finish();
    vec![
        vector("leaf of a private message for party 0", "private-leaf", leaf_parts, leaf),
        vector("leaf of no message for party 1", "private-none", vec![borsh_of(&1_u64)], none),
        vector("inner node over both", "private-node", vec![raw([leaf.0, none.0].concat())], inner),
        vector("root of the set for 2", "private-root", vec![borsh_of(&2_u64), raw(inner.0)], set.root()),
    ]
}

/// What a stamp, a challenge and a list are made of.
fn registration() -> Vec<HashVector> {
    let (chain, session, expiry_ms) = (chain(), open_session(), stamp().expiry_ms);
    let context = vec![borsh_of(&chain), raw(session.0), raw(key(1).0), borsh_of(&expiry_ms)];
    let c = wire::challenge(&CHALLENGE);
    let place = wire::hash::TaggedHash::new("place").bytes(c.0).bytes(key(1).0).finish();
    let mut head = ListHead::empty(&chain, &session, ListKind::Solvers);
    let empty = vec![borsh_of(&chain), raw(session.0), borsh_of(&ListKind::Solvers)];
    let first = vector("head of an empty list", "list-head", empty, head.head);
    let parts = vec![raw(head.head.0), raw(key(1).0)];
    head.append(&key(1));
    let message = vec![borsh_of(&chain), raw(session.0)];
    vec![
        vector("context of a stamp", "stamp", context, Stamp::context(&chain, &session, &key(1), expiry_ms)),
        vector("what the nodes sign", "challenge-message", message, challenge_message(&chain, &session)),
        vector("challenge", "challenge", vec![raw(CHALLENGE.0)], c),
        vector("place of person 1", "place", vec![raw(c.0), raw(key(1).0)], place),
        first,
        vector("head after person 1", "list-entry", parts, head.head),
    ]
}

/// A payload of two chunks, and the list that names it.
fn bundle() -> Vec<HashVector> {
    let payload = [7; 5000];
    let (first, second) = payload.split_at(wire::limits::CHUNK_BYTES);
    let leaf = |j: u64, chunk: &[u8]| wire::hash::TaggedHash::new("chunk-leaf").value(&j).bytes(chunk).finish();
    let (one, two) = (leaf(0, first), leaf(1, second));
    let inner = wire::hash::TaggedHash::new("chunk-node").bytes([one.0, two.0].concat()).finish();
    let none = wire::hash::TaggedHash::new("chunk-none").value(&3_u64).finish();
    let bundle = confirmed_bundle().bundle;
    let mut parts = vec![borsh_of(&chain()), raw(bundle.gateway.0), borsh_of(&bundle.expiry_ms)];
    parts.extend(bundle.items.iter().map(borsh_of));
    vec![
        vector("second chunk of a payload", "chunk-leaf", vec![borsh_of(&1_u64), raw(second)], two),
        vector("no fourth chunk", "chunk-none", vec![borsh_of(&3_u64)], none),
        vector("inner node over two chunks", "chunk-node", vec![raw([one.0, two.0].concat())], inner),
        vector(
            "root over a payload's chunks",
            "chunk-root",
            vec![borsh_of(&5000_u64), raw(inner.0)],
            chunk_root(&payload),
        ),
        vector("bundle", "bundle", parts, bundle.digest(&chain())),
    ]
}

//! What it costs a party to believe one node: an answer with 512 broadcasts of 200 bytes, from its bytes to the messages, everything checked:
//! certificate, proofs, chain, payloads and all senders' signatures. Beside it, of the same answer, the signatures one by one.

use client_sdk::{
    Identity, PartyKeys, Verifier,
    mailbox::{Position, Slot, check_entries},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand_core::OsRng;
use std::hint::black_box;
use white_city_tests::{
    certifying::{Facts, Signers},
    samples::{chain, keypair, network_file},
};
use wire::{
    BoardAt, Body, Bytes, Certified, Entry, MailboxFact, MailboxHead, MailboxId, MailboxKind, NetworkFile, Operation,
    SessionId, message_digest, signed,
};

const MESSAGES: u16 = 512;
const MESSAGE_BYTES: usize = 200;

/// What all parties have written in one round.
fn page(parties: &[Identity], mailbox: MailboxId) -> MailboxFact {
    let start = MailboxHead::empty(&chain(), &mailbox);
    let mut head = start;
    let entry = |(sender, party): (u16, &Identity)| {
        let payload = Bytes(vec![sender.to_le_bytes()[0]; MESSAGE_BYTES]);
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        let signature = party.sign(&chain(), operation, OsRng).signature;
        Entry { sender, digest, length, signature, body: Body::Message { payload } }
    };
    let entries: Vec<Entry> = (0..).zip(parties).map(entry).collect();
    entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    let (recipient, round, rest, session) = (None, None, Vec::new(), None);
    MailboxFact { mailbox, recipient, head, round, from: 0, from_head: start.head, entries, rest, session }
}

/// A network file with its key, and the bytes of an answer of one of its nodes.
fn answer(page: MailboxFact) -> (NetworkFile, Vec<u8>) {
    let mut signers = Signers::new(chain(), (21..25).map(keypair).collect());
    signers.renew([7; 32], 1, OsRng);
    let mut facts = Facts::default();
    // Other mailboxes, so that paths are as long as on a busy board.
    for round in 1..5000 {
        let mailbox = MailboxId { round, ..page.mailbox };
        facts.put(&MailboxFact { mailbox, entries: Vec::new(), ..page.clone() });
    }
    facts.put(&page);
    let certificate = signers.certify(1, BoardAt { height: 9, time_ms: 1, root: facts.root() });
    let answer = borsh::to_vec(&facts.certified(certificate, page)).expect("an answer is borsh");
    (NetworkFile { keys: signers.keys(), ..network_file() }, answer)
}

fn believe(verifier: &mut Verifier, slot: &Slot<'_>, bytes: &[u8]) -> usize {
    let answer: Certified<MailboxFact> = borsh::from_slice(bytes).expect("an answer");
    let board = verifier.check_certificate(&answer.certificate, 0).expect("a certificate");
    board.mailbox(slot, &Position::start(slot), &answer).expect("proofs and a chain");
    check_entries(slot, &answer.fact.entries, OsRng).expect("messages").len()
}

fn verification(criterion: &mut Criterion) {
    let parties: Vec<Identity> = (0..MESSAGES).map(|_| Identity::generate(&mut OsRng)).collect();
    let keys: PartyKeys = parties.iter().map(Identity::public).collect::<Vec<_>>().into();
    let mailbox = MailboxId { session: SessionId([7; 32]), kind: MailboxKind::Broadcast, round: 0 };
    let page = page(&parties, mailbox);
    let (network, bytes) = answer(page.clone());
    let chain = chain();
    let slot = Slot { chain: &chain, mailbox, keys: &keys, recipient: None };
    let mut group = criterion.benchmark_group("answer_of_512_messages");
    group.sample_size(20);
    group.bench_function("believed, its certificate for the first time", |bencher| {
        let fresh = || Verifier::new(&network).expect("a network file");
        bencher.iter_batched_ref(fresh, |verifier| black_box(believe(verifier, &slot, &bytes)), BatchSize::LargeInput);
    });
    let mut verifier = Verifier::new(&network).expect("a network file");
    group.bench_function("believed, its certificate known", |bencher| {
        bencher.iter(|| black_box(believe(&mut verifier, &slot, &bytes)));
    });
    group.bench_function("for comparison: its signatures one by one", |bencher| {
        bencher.iter(|| {
            page.entries.iter().zip(keys.iter()).all(|(entry, key)| {
                let digest = entry.signed_digest(&chain, key, &mailbox, MESSAGES);
                signed::check(key, &digest, &entry.signature).is_ok()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);

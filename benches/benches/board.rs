//! What a node does for each block and each answer, part by part, in one process: 512 signed writes verified, executed and stored, facts proved,
//! certificates made and believed.

use bls::{Commitments, Domain, Index, PartialSignature, Polynomial, PublicKeySet, SecretShare, Seed};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Block, Payload, State, Submitted};
use node::{feed::DecidedBlock, store::Store};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};
use white_city_tests::{
    generation,
    samples::{chain, key, keypair, parameters},
    signing,
};
use wire::{
    BoardAt, Bytes, FactKey, Hash, MailboxId, MailboxKind, Operation, SessionId, Signed, Verified, certificate_message,
    message_digest, signed,
};

const PARTIES: usize = 512;
const MESSAGE_BYTES: usize = 100;
const OPERATOR: u8 = 9;
const NODES: std::ops::Range<u8> = 21..25;

/// A board with one session that runs, and its parties.
struct World {
    state: State,
    parties: Vec<Keypair>,
    session: SessionId,
    /// The blocks that have brought it so far.
    begun: Vec<DecidedBlock>,
}

impl World {
    fn new() -> Self {
        let nodes: Vec<Keypair> = NODES.map(keypair).collect();
        let state = generation::ready(&parameters(), &nodes);
        let parties: Vec<Keypair> = (0..PARTIES).map(|_| Keypair::generate_with(OsRng)).collect();
        let spec = signing::spec(parties.iter().map(|party| wire::PublicKey(party.public.to_bytes())).collect());
        let session = spec.session_id(&chain(), &key(OPERATOR), &Hash([1; 32]));
        let creation = Operation::CreateSession { spec: Box::new(spec), nonce: Hash([1; 32]) };
        let creation = Signed::sign(&keypair(OPERATOR), chain(), creation, OsRng);
        let mut world = Self { state, parties, session, begun: Vec::new() };
        let created = world.apply(vec![creation.verify(&chain()).expect("just signed")]);
        let keys = world.verified(&world.writes(MailboxKind::Keying, 0));
        let keyed = world.apply(keys);
        world.begun.extend([created, keyed]);
        world
    }

    /// What all parties write in one round.
    fn writes(&self, kind: MailboxKind, round: u32) -> Vec<Signed<Operation>> {
        let payload = payload();
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let mailbox = MailboxId { session: self.session, kind, round };
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        self.parties.iter().map(|party| Signed::sign(party, chain(), operation.clone(), OsRng)).collect()
    }

    fn verified(&self, writes: &[Signed<Operation>]) -> Vec<Verified<Operation>> {
        writes.iter().map(|write| write.clone().verify(&chain()).expect("just signed")).collect()
    }

    /// The next block, decided.
    fn apply(&mut self, operations: Vec<Verified<Operation>>) -> DecidedBlock {
        let block = block(&self.state, operations);
        let outcome = self.state.apply(&block);
        assert!(outcome.receipts.iter().all(|receipt| receipt.code == wire::Code::Accepted), "all are accepted");
        let at = BoardAt { height: block.height, time_ms: block.time_ms, root: outcome.root };
        let payloads = BTreeMap::from([(message_digest(&payload().0), payload())]);
        let (receipts, events, snapshot) = (outcome.receipts, outcome.events, self.state.snapshot());
        DecidedBlock { at, receipts, events, payloads, beside: BTreeMap::new(), snapshot }
    }
}

fn payload() -> Bytes {
    Bytes(vec![7; MESSAGE_BYTES])
}

fn block(state: &State, operations: Vec<Verified<Operation>>) -> Block {
    let operations = operations.into_iter().map(|one| Submitted::Verified(one, Payload::Inline)).collect();
    let height = state.height() + 1;
    Block { height, time_ms: height, operations }
}

fn writes(criterion: &mut Criterion) {
    let mut world = World::new();
    let writes = world.writes(MailboxKind::Broadcast, 0);
    let operations = world.verified(&writes);
    let mut group = criterion.benchmark_group("a block of 512 writes");
    group.sample_size(10).throughput(Throughput::Elements(PARTIES as u64));
    group.bench_function("verified together", |bencher| {
        bencher.iter_batched(
            || writes.clone(),
            |writes| black_box(signed::verify_all(writes, &chain(), OsRng)),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("executed", |bencher| {
        let next = || (world.state.clone(), block(&world.state, operations.clone()));
        bencher.iter_batched_ref(next, |(state, block)| black_box(state.apply(block)), BatchSize::LargeInput);
    });
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = runtime.block_on(Store::open(&folder.path().join("board.db"))).expect("a new store");
    for decided in &world.begun {
        runtime.block_on(store.commit(decided)).expect("the first blocks");
    }
    let mut round = 0;
    group.bench_function("stored", |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let operations = world.verified(&world.writes(MailboxKind::Broadcast, round));
                let decided = world.apply(operations);
                round += 1;
                let started = Instant::now();
                runtime.block_on(store.commit(&decided)).expect("the next block");
                spent += started.elapsed();
            }
            spent
        });
    });
    let mailbox = MailboxId { session: world.session, kind: MailboxKind::Broadcast, round: 0 };
    group.bench_function("read again, payloads too", |bencher| {
        bencher.iter(|| runtime.block_on(store.mailbox(&mailbox, 0, 4096, Some(1 << 22))).expect("it is there"));
    });
    group.finish();
    runtime.block_on(store.close());
}

fn proofs(criterion: &mut Criterion) {
    let mut world = World::new();
    for round in 0..50 {
        let operations = world.verified(&world.writes(MailboxKind::Broadcast, round)[..1]);
        world.apply(operations);
    }
    let mailbox = MailboxId { session: world.session, kind: MailboxKind::Broadcast, round: 0 };
    let (snapshot, key) = (world.state.snapshot(), FactKey::Mailbox(mailbox));
    let (root, proof) = (snapshot.root(), snapshot.prove(&key));
    let value = snapshot.value(&key).expect("somebody has written").to_vec();
    let mut group = criterion.benchmark_group("a fact among 50 others");
    group.bench_function("proved", |bencher| bencher.iter(|| black_box(snapshot.prove(&key))));
    group.bench_function("believed", |bencher| {
        bencher.iter(|| proof.verify(&root, &key, Some(black_box(&value))).expect("a sound proof"));
    });
    group.finish();
}

fn certificates(criterion: &mut Criterion) {
    let polynomial = Polynomial::from_seed(&Seed::new([1; 32]), b"bench", 1).expect("a small degree");
    let sum = Commitments::sum(&[polynomial.commitments()]).expect("one dealer");
    let keys = PublicKeySet::from_commitments(&sum, 4).expect("a key");
    let share = |index: Index| {
        let dealt = polynomial.share_for(index).expect("a share");
        SecretShare::from_dealt(index, &[dealt]).expect("a share of one dealer")
    };
    let shares: Vec<SecretShare> = Index::all(4).expect("four nodes").map(share).collect();
    let message = certificate_message(&chain(), 1, &BoardAt { height: 9, time_ms: 1, root: Hash([1; 32]) }).0;
    let sign = |share: &SecretShare| share.partial_sign(Domain::Certificate, &message);
    let partials: BTreeMap<_, PartialSignature> =
        shares.iter().take(keys.threshold()).map(|share| (share.index(), sign(share))).collect();
    let signature = keys.combine(Domain::Certificate, &message, &partials).expect("right shares");
    let mut group = criterion.benchmark_group("a certificate of four nodes");
    group.sample_size(20);
    group.bench_function("share signed", |bencher| bencher.iter(|| black_box(sign(&shares[0]))));
    group.bench_function("combined and checked", |bencher| {
        bencher.iter(|| black_box(keys.combine(Domain::Certificate, &message, &partials)));
    });
    group.bench_function("believed", |bencher| {
        bencher.iter(|| keys.group_key().verify(Domain::Certificate, &message, black_box(&signature)));
    });
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let world = World::new();
    let writes = world.writes(MailboxKind::Broadcast, 0);
    let items: Vec<_> = writes.iter().map(|write| (write.author, write.digest(), write.signature)).collect();
    let mut group = criterion.benchmark_group("senders' signatures in one batch");
    for count in [1, 16, 64, PARTIES] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| signed::check_batch(black_box(&items[..count]), OsRng).expect("all are valid"));
        });
    }
    group.finish();
}

criterion_group!(benches, writes, proofs, certificates, signatures);
criterion_main!(benches);

//! The executor as consensus sees it: nothing is applied twice, nothing bad gets into a block, a crash before the commit costs nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use node::{
    NodeError,
    executor::{Executor, Proposal},
    store::Store,
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use wire::*;

const NOW_MS: u64 = 1_000_000;

struct Fixture {
    folder: TempDir,
    parameters: NetworkParameters,
    operator: Keypair,
    node: Keypair,
}

fn public(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

impl Fixture {
    fn new() -> Self {
        let (operator, node) = (Keypair::generate_with(OsRng), Keypair::generate_with(OsRng));
        let parameters = NetworkParameters {
            chain: "executor".parse().unwrap(),
            nodes: vec![node::secrets::NodeSecrets::generate().record(
                "node0".into(),
                &node,
                &"executor".parse().unwrap(),
            )],
            operators: vec![public(&operator)],
            creators: Creators::Operators,
            quotas: node::genesis::DEFAULT_QUOTAS,
        };
        Self { folder: tempfile::tempdir().unwrap(), parameters, operator, node }
    }

    /// Opens the board as a node does that starts.
    async fn open(&self) -> (Executor, Store) {
        let store = Store::open(&self.folder.path().join("board.db")).await.unwrap();
        (Executor::open(self.parameters.clone(), store.clone()).await.unwrap(), store)
    }

    fn envelope(&self, keypair: &Keypair, body: Operation) -> Envelope {
        let signed = Signed::sign(keypair, self.parameters.chain.clone(), body, OsRng);
        Envelope { signed, payload: Bytes::default() }
    }

    /// An operation that changes the board as soon as there is one.
    fn change(&self, number: u8) -> Envelope {
        self.envelope(&self.node, Operation::ReplaceExchangeKey { key: ExchangeKey([number; 32]) })
    }

    fn tick(&self, keypair: &Keypair, deadline_ms: u64) -> Vec<u8> {
        encode([self.envelope(keypair, Operation::Tick { deadline_ms, attempt: 1 })])
    }
}

fn encode(envelopes: impl Into<Vec<Envelope>>) -> Vec<u8> {
    Transaction::inline(envelopes.into()).encode().0
}

fn block(height: u64, id: u8, transactions: &[Vec<u8>]) -> Proposal<'_> {
    let transactions = transactions.iter().map(Vec::as_slice).collect();
    Proposal { id: Hash([id; 32]), height, time_ms: NOW_MS + height, transactions }
}

#[tokio::test]
async fn a_block_that_comes_again_is_applied_once() {
    let fixture = Fixture::new();
    let (executor, store) = fixture.open().await;
    let first = [encode([fixture.change(1)])];
    let finalized = executor.finalize(&block(1, 1, &first)).unwrap();
    assert_eq!(executor.finalize(&block(1, 1, &first)).unwrap(), finalized);
    assert!(matches!(executor.finalize(&block(1, 2, &[])), Err(NodeError::Conflict { height: 1 })));
    let early = executor.finalize(&block(3, 3, &[]));
    assert!(matches!(early, Err(NodeError::OutOfOrder { expected: 2, found: 3 })));
    assert_eq!(executor.at().unwrap(), None, "nothing is there before the commit");
    executor.commit().await.unwrap();
    executor.commit().await.unwrap();
    let at = executor.at().unwrap().unwrap();
    assert_eq!((at.height, at.root), (1, finalized.root));
    assert_eq!(executor.finalize(&block(1, 1, &first)).unwrap(), finalized, "also after the commit");
    assert_eq!(store.newest().await.unwrap(), Some(at));
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_the_block_to_be_executed_again() {
    let fixture = Fixture::new();
    let (executor, store) = fixture.open().await;
    let genesis = executor.root().unwrap();
    let first = [encode([fixture.change(1)])];
    let finalized = executor.finalize(&block(1, 1, &first)).unwrap();
    store.close().await;
    drop((executor, store));
    let (executor, store) = fixture.open().await;
    assert_eq!((executor.at().unwrap(), executor.root().unwrap()), (None, genesis));
    assert_eq!(executor.finalize(&block(1, 1, &first)).unwrap(), finalized);
    executor.commit().await.unwrap();
    store.close().await;
    drop((executor, store));
    let (executor, _store) = fixture.open().await;
    assert_eq!(executor.root().unwrap(), finalized.root);
    assert!(executor.is_clock_pending().unwrap(), "the first generation's clock starts with the next block");
}

#[tokio::test]
async fn what_does_not_verify_is_neither_taken_nor_proposed_and_in_a_block_does_nothing() {
    let fixture = Fixture::new();
    let (executor, _store) = fixture.open().await;
    let mut forged = fixture.change(1);
    forged.signed.author = public(&fixture.operator);
    let forged_id = forged.id();
    let garbage = b"garbage".to_vec();
    let half_bad = encode([fixture.change(2), forged]);
    let good = encode([fixture.change(3)]);
    assert_eq!(executor.check(&garbage, NOW_MS), Err(Code::Malformed));
    assert_eq!(executor.check(&half_bad, NOW_MS), Err(Code::BadSignature));
    assert_eq!(executor.check(&good, NOW_MS), Ok(()));
    let all = vec![garbage.clone(), half_bad.clone(), good.clone()];
    assert_eq!(executor.prepare(all.clone(), 1_000_000), std::slice::from_ref(&good));
    assert!(executor.prepare(all, good.len()).is_empty(), "a transaction takes more than its own bytes");
    assert!(!executor.process(&garbage) && !executor.process(&half_bad) && executor.process(&good));

    // Even if more than a third of the nodes were faulty and such a block were decided.
    let mut decided = executor.feed().decided();
    let finalized = executor.finalize(&block(1, 1, &[garbage, half_bad])).unwrap();
    assert_eq!(finalized.codes, [Code::Malformed, Code::Accepted]);
    executor.commit().await.unwrap();
    let receipts = decided.recv().await.unwrap().receipts.clone();
    assert_eq!(receipts.iter().map(|receipt| receipt.code).collect::<Vec<_>>(), [Code::Accepted, Code::BadSignature]);
    assert_eq!(receipts[1].operation, forged_id);
}

#[tokio::test]
async fn a_transaction_is_taken_while_any_of_it_would_change_something() {
    let fixture = Fixture::new();
    let (executor, _store) = fixture.open().await;
    let (old, new) = (fixture.change(1), fixture.change(2));
    let (only_old, both) = (encode([old.clone()]), encode([old, new]));
    executor.finalize(&block(1, 1, std::slice::from_ref(&only_old))).unwrap();
    executor.commit().await.unwrap();
    assert_ne!(executor.check(&only_old, NOW_MS), Ok(()));
    assert_eq!(executor.check(&both, NOW_MS), Ok(()));
}

#[tokio::test]
async fn a_tick_must_come_from_a_node_and_be_due_by_this_nodes_clock() {
    let fixture = Fixture::new();
    let (executor, _store) = fixture.open().await;
    assert!(executor.check(&fixture.tick(&fixture.node, NOW_MS), u64::MAX).is_err(), "no deadline runs");
    executor.finalize(&block(1, 1, &[encode([fixture.change(1)])])).unwrap();
    executor.commit().await.unwrap();
    executor.finalize(&block(2, 2, &[])).unwrap();
    executor.commit().await.unwrap();
    let deadline_ms = executor.next_deadline().unwrap().unwrap();
    let tick = fixture.tick(&fixture.node, deadline_ms);
    assert!(executor.check(&tick, deadline_ms - 1).is_err());
    assert_eq!(executor.check(&tick, deadline_ms), Ok(()));
    assert!(executor.check(&fixture.tick(&fixture.operator, deadline_ms), deadline_ms).is_err());
}

/// Certificates are made from a queue that FinalizeBlock fills: whether anybody takes from it is nothing to consensus.
#[tokio::test]
async fn blocks_are_executed_though_nobody_certifies_them() {
    let fixture = Fixture::new();
    let (executor, _store) = fixture.open().await;
    let mut executed = executor.feed().executed();
    const BLOCKS: u64 = 600;
    for height in 1..=BLOCKS {
        let proposal = Proposal { id: Hash([0; 32]), height, time_ms: NOW_MS + height, transactions: vec![] };
        executor.finalize(&proposal).unwrap();
        executor.commit().await.unwrap();
    }
    assert!(matches!(executed.recv().await, Err(RecvError::Lagged(_))), "the oldest are lost");
    let mut last = executed.recv().await.unwrap();
    while let Ok(next) = executed.try_recv() {
        last = next;
    }
    assert_eq!((last.at.height, last.at.root), (BLOCKS, last.snapshot.root()));
}

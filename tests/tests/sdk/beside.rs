//! The nodes' payloads in this process: what they would deliver to each other over the node channel is handed over directly.

use node::{
    bundler::{self, Bundler},
    channel::ChannelError,
    executor::Executor,
    keeper::Keeper,
    payloads::{Parts, Payloads, examiner::Task},
    peers::Peers,
    secrets::NodeSecrets,
    store::{PayloadStore, Store},
};
use schnorrkel::Keypair;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};
use tokio_util::sync::CancellationToken;
use wire::{Code, Delivery, NetworkParameters};

/// The payloads of all nodes, each in a database of its own, and what delivers from each to all.
pub async fn beside(
    folder: &Path,
    identities: &[Keypair],
    parameters: &NetworkParameters,
    (executor, board): (&Arc<Executor>, &Store),
    stop: &CancellationToken,
) -> Vec<(Payloads, Bundler)> {
    let all: Arc<OnceLock<Vec<Payloads>>> = Arc::default();
    let mut started = Vec::new();
    for (i, identity) in identities.iter().enumerate() {
        let (rules, recorder) = (Arc::clone(executor), Arc::clone(executor));
        let parts = Parts {
            rows: PayloadStore::open(&folder.join(format!("payloads{i}.db"))).await.unwrap(),
            board: board.clone(),
            feed: Arc::clone(executor.feed()),
            check: Arc::new(move |operation| rules.check_operation(operation)),
            records: Arc::new(move |session| recorder.session(session)),
            verify: Arc::new(Task::verify),
            keeper: Keeper::new(parameters.clone(), u16::try_from(i).unwrap(), Arc::new(NodeSecrets::generate())),
            identity: identity.clone(),
            parameters: parameters.clone(),
        };
        started.push(Payloads::start(parts, stop.clone()).await.unwrap());
    }
    all.set(started.clone()).ok().unwrap();
    let bundler = |(i, payloads): (usize, Payloads)| {
        let all = Arc::clone(&all);
        let others = (0..identities.len()).filter(|other| *other != i).collect();
        let post = move |peer: usize, path: &'static str, body: axum::body::Bytes, _| {
            let receiver = all.get().unwrap()[peer].clone();
            let answer: futures::future::BoxFuture<'static, Result<axum::body::Bytes, ChannelError>> =
                Box::pin(async move {
                    assert_eq!(path, bundler::ROUTE, "nothing has to be fetched, for all have the same board");
                    let refused = |code: Code| ChannelError::Refused { peer, code, detail: String::new() };
                    let confirmation =
                        receiver.take(i, Delivery::decode(&body).map_err(refused)?).await.map_err(refused)?;
                    Ok(borsh::to_vec(&confirmation).unwrap().into())
                });
            answer
        };
        let rules = Arc::clone(executor);
        let permits_inline = Arc::new(move |session: &_| rules.permits_inline(session));
        let bundler = Bundler::new(payloads.clone(), Peers::new(others, Arc::new(post)), i, permits_inline);
        (payloads, bundler)
    };
    started.into_iter().enumerate().map(bundler).collect()
}

//! A read-only replica put together. It follows the chain as a CometBFT that has no vote, executes every block itself, fetches payloads and certificates
//! from nodes, and serves what a node serves, but for what takes a node: writes, and parts in restoring backups. It has no share of any key and
//! signs nothing that counts.

use super::{Node, Options, Ordering, Restored, open_payloads, rules, spawn};
use crate::{
    NodeError,
    adopter::Adopter,
    certification::{self, Certification},
    certified::CertifiedFeed,
    channel::{Channel, Members},
    config::ReplicaConfig,
    gateway::{Gateway, Parts},
    home::Home,
    http::server::{self, ServerLimits},
    keeper::Keeper,
    payloads::fetch::Fetcher,
    peers::Peers,
    secrets::NodeSecrets,
};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::fault_tolerance;

/// Starts the replica in `home`.
///
/// # Errors
/// As [`Node::start`].
pub(super) async fn start(
    listener: TcpListener,
    home: &Home,
    options: Options,
    settings: ReplicaConfig,
) -> Result<Node, NodeError> {
    let Restored { parameters, identity, store, executor, at } = Restored::open(home, &options.config.name).await?;
    let stop = CancellationToken::new();
    let unless_started = stop.clone().drop_guard();
    let secrets = Arc::new(NodeSecrets::load(&home.keys())?);
    let members = Members::of_replica(&secrets, &parameters, &settings.nodes)?;
    let channel = Channel::start(&members, &stop)?;
    let certified = CertifiedFeed::start(executor.feed(), stop.clone());
    let adopter = Adopter::new(executor.clone(), None);
    adopter.adopt().await?;
    let (keyring, progress) = (Arc::clone(adopter.keyring()), adopter.progress());
    let asked = asked(&members);
    let nodes = parameters.nodes.len();
    // It has no place in genesis, and so no share in any backup.
    let keeper = Keeper::new(parameters.clone(), u16::try_from(nodes).unwrap_or(u16::MAX), secrets);
    let parts = certification::Parts {
        parameters: parameters.clone(),
        identity: identity.clone(),
        members,
        channel: channel.clone(),
        feed: executor.feed().clone(),
        restored: at.zip(Some(executor.snapshot()?)),
        keys: keyring.newest(),
        certified: certified.clone(),
        home: home.clone(),
    };
    let certification = Certification::follow(parts, &asked, &stop);
    let payloads = open_payloads(home, (&executor, &store), (keeper, &identity), &stop).await?;
    tokio::spawn(Fetcher::new(payloads.clone(), Peers::from(channel)).of_replica().run(stop.clone()));
    let engine = Ordering::start(home, &options, &executor, nodes).await?;
    let adopter = spawn(adopter.run(stop.clone()));
    let gateway = Gateway::start(Parts {
        store: store.clone(),
        feed: executor.feed().clone(),
        certified: certified.clone(),
        consensus: engine.consensus(),
        check: rules(&executor),
        bundler: None,
        payloads: payloads.clone(),
        identity,
        parameters,
        name: options.config.name,
        writes_at: settings.writes_at,
        progress,
        shutdown: stop.clone(),
    });
    let gateway = tokio::spawn(server::serve(listener, gateway.router(), ServerLimits::default(), stop.clone()));
    unless_started.disarm();
    let tasks = vec![gateway, adopter];
    Ok(Node { engine, executor, certified, keyring, store, payloads, stop, tasks, certification })
}

/// The nodes that are asked for certificates: f + 1, one of them honest, and not the same ones for all replicas.
fn asked(members: &Members) -> Vec<usize> {
    let nodes = members.members.len();
    let turn = members.secret.verifying_key().to_bytes().first().map_or(0, |byte| usize::from(*byte));
    (0..=fault_tolerance(nodes)).map(|step| (turn + step) % nodes.max(1)).collect()
}

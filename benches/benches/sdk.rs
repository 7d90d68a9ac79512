//! What the SDK costs a party, on four real nodes: processor time and bytes for each message beside the bare computation, memory, and how long
//! a party that died takes to go on, by the length of what it has read before.
//!
//! `scripts/bench sdk` runs it; `cargo bench ... --bench sdk -- --parties 64` makes it smaller.

use clap::Parser;
use client_sdk::{
    Client, Identity, Options, Session, identity_file,
    protocol::{Abort, Messages, Protocol, Step},
};
use rand_core::OsRng;
use std::{path::Path, sync::Arc, time::Instant};
use tokio::task::JoinSet;
use white_city_benches::{meter, parties::join};
use white_city_tests::{cluster::Cluster, signing};
use wire::{MailboxKind, SessionId};

const NODES: usize = 4;
const MESSAGE_BYTES: usize = 100;
/// Longest history.
const ROUNDS: u32 = 5;

#[derive(Parser)]
struct Arguments {
    /// Number of parties.
    #[arg(long, default_value_t = 512)]
    parties: usize,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// In each of some rounds, broadcasts and reads what all broadcast.
struct Talk {
    first_round: u32,
    rounds: u32,
    parties: u16,
}

impl Protocol for Talk {
    /// Bytes read.
    type Output = usize;

    fn next_message(&self, messages: &Messages) -> Result<Step<usize>, Abort> {
        let mut read = 0;
        for round in (self.first_round..).take(usize::try_from(self.rounds).unwrap_or(usize::MAX)) {
            if messages.sent_broadcast(round).is_none() {
                return Ok(Step::Broadcast { round, data: vec![7; MESSAGE_BYTES] });
            }
            match messages.round(MailboxKind::Broadcast, round) {
                None => return Ok(Step::Read { kind: MailboxKind::Broadcast, round, count: self.parties }),
                Some(all) => {
                    read += all.received.iter().filter_map(|one| one.data.as_ref()).map(Vec::len).sum::<usize>()
                }
            }
        }
        Ok(Step::Output(read))
    }
}

/// First round of the execution that has so many rounds: the executions follow each other.
fn first_round(rounds: u32) -> u32 {
    rounds * (rounds - 1) / 2
}

/// All but the first party say what they will ever say.
async fn crowd(sessions: Vec<Session>) {
    let mut saying = JoinSet::new();
    for session in sessions {
        saying.spawn(async move {
            for round in 0..first_round(ROUNDS + 1) {
                session.broadcast(round, vec![7; MESSAGE_BYTES]).await.expect("it is on the board");
            }
        });
    }
    saying.join_all().await;
}

struct Traveller<'a> {
    cluster: &'a Cluster,
    identity: Identity,
    session: SessionId,
    state: &'a Path,
}

impl Traveller<'_> {
    /// Seconds to join, as if after a restart, and to run the execution of so many rounds from there.
    async fn run(&self, rounds: u32) -> [f64; 2] {
        let started = Instant::now();
        let client = Client::new(self.cluster.network.clone()).expect("a sound network file");
        let options = Options { state: Some(self.state.to_owned()), ..Options::default() };
        let session = Session::join(&client, &self.identity, &self.session, options).await.expect("it has a seat");
        let joined = started.elapsed().as_secs_f64();
        let parties = session.seat().parties;
        let execution = session.execution(&format!("talk {rounds}"), &[]).expect("a sound journal");
        let talk = Talk { first_round: first_round(rounds), rounds, parties };
        let read = execution.run(talk).await.expect("all have written");
        assert_eq!(read, MESSAGE_BYTES * usize::from(parties) * usize::try_from(rounds).expect("few rounds"));
        [joined, started.elapsed().as_secs_f64() - joined]
    }
}

async fn resuming(cluster: &Cluster, n: usize) {
    let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
    let client = Client::new(cluster.network.clone()).expect("a sound network file");
    let mut identities: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
    let spec = signing::spec(identities.iter().map(Identity::public).collect());
    let session = client.create(&operator, spec).await.expect("the operator may");
    let identity = identities.remove(0);
    let state = tempfile::tempdir().expect("a folder");
    let options = Options { state: Some(state.path().to_owned()), ..Options::default() };
    let (others, own) =
        tokio::join!(join(&client, &session, identities), Session::join(&client, &identity, &session, options));
    drop(own.expect("the party is admitted"));
    crowd(others).await;
    let traveller = Traveller { cluster, identity, session, state: state.path() };
    println!("| history of {n} parties | entries read | first run s | join again s | resume s |");
    println!("|---|---|---|---|---|");
    for rounds in 1..=ROUNDS {
        let [_, first] = traveller.run(rounds).await;
        let [joined, resumed] = traveller.run(rounds).await;
        let entries = n * usize::try_from(rounds).expect("few rounds");
        println!("| {rounds} rounds | {entries} | {first:.3} | {joined:.3} | {resumed:.3} |");
    }
}

/// One broadcast round of all parties, by the SDK and bare.
async fn overhead(cluster: &Cluster, n: usize) {
    let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
    let client = Client::new(cluster.network.clone()).expect("a sound network file");
    let identities: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
    let spec = signing::spec(identities.iter().map(Identity::public).collect());
    let empty = meter::resident();
    let session = client.create(&operator, spec).await.expect("the operator may");
    let sessions: Vec<Arc<Session>> = join(&client, &session, identities).await.into_iter().map(Arc::new).collect();
    let joined = meter::resident();
    let (cpu, traffic) = (meter::own_cpu(), client.traffic());
    let mut talking = JoinSet::new();
    for session in sessions.iter().map(Arc::clone) {
        talking.spawn(async move {
            let parties = session.seat().parties;
            session.run(Talk { first_round: 0, rounds: 1, parties }).await.expect("all have written")
        });
    }
    talking.join_all().await;
    let (cpu, after) = (meter::own_cpu() - cpu, client.traffic());
    let bare = white_city_benches::floor::sender_signatures(n);
    let (read, written) = ((n * n) as f64, n as f64);
    println!("\n| one broadcast round of {n} parties | all | for each message read |");
    println!("|---|---|---|");
    println!("| CPU of the parties | {cpu:.2} s | {:.1} us |", cpu / read * 1e6);
    println!("| of that, senders' signatures | {bare:.2} s | {:.1} us |", bare / read * 1e6);
    let (sent, received) = (after.bytes_sent - traffic.bytes_sent, after.bytes_received - traffic.bytes_received);
    println!("| bytes received | {received} | {:.1} |", received as f64 / read);
    println!("| bytes sent | {sent} | {:.1} for each written |", sent as f64 / written);
    let requests = after.requests - traffic.requests;
    println!("| requests | {requests} | {:.2} for each party |", requests as f64 / written);
    let each = |before: f64, after: f64| (after - before) * 1024.0 / written;
    println!(
        "\nMemory of a party: {:.0} KiB when seated, {:.0} KiB after the round.",
        each(empty, joined),
        each(empty, meter::resident())
    );
}

#[tokio::main]
async fn main() {
    let Arguments { parties, .. } = Arguments::parse();
    let cluster = Cluster::start(NODES, &[]).await;
    overhead(&cluster, parties).await;
    println!();
    resuming(&cluster, parties).await;
}

//! What read-only replicas take off the nodes: four nodes and one replica, parties who read certified mailboxes at a steady rate, first nobody, then at
//! the nodes in turn, then at the replica; meanwhile one writer writes. Processor time of the nodes tells, for it does not depend on who else is on the
//! machine as times do.
//!
//! `scripts/bench replicas` runs it.

use clap::Parser;
use client_sdk::{Identity, identity_file};
use futures::future::join_all;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};
use white_city_benches::meter::cluster_cpu;
use white_city_tests::{
    cluster::Cluster,
    node::Node,
    raw::{Raw, parties},
    signing,
};
use wire::{MailboxId, MailboxKind, SessionId, SessionSpec};

const NODES: usize = 4;
const PARTIES: usize = 64;
/// Of each message, in bytes.
const MESSAGE: usize = 100;
/// Between two writes of the writer.
const PACE: Duration = Duration::from_millis(200);

#[derive(Parser)]
struct Arguments {
    /// Reads a second.
    #[arg(long, default_value_t = 400)]
    rate: u32,
    /// Seconds for each of the three runs.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A session with a private and a broadcast round that all parties have written.
struct Board {
    cluster: Cluster,
    raw: Raw,
    session: SessionId,
    writer: Identity,
    round: u32,
}

impl Board {
    async fn new() -> Self {
        let cluster = Cluster::start_with_replicas(NODES, 1, &[]).await;
        let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
        let raw = Raw::new(cluster.network.clone());
        let (mut parties, keys) = parties(PARTIES);
        let spec = SessionSpec { max_rounds: 10_000, ..signing::spec(keys) };
        let session = raw.open(&operator, &parties, spec).await;
        let broadcast = MailboxId { session, kind: MailboxKind::Broadcast, round: 0 };
        let write = async |party: &Identity| {
            raw.insist(0, &raw.private(party, session, 0, PARTIES, &[7; MESSAGE])).await;
            raw.insist(0, &raw.broadcast(party, broadcast, &[7; MESSAGE])).await;
        };
        join_all(parties.iter().map(write)).await;
        for place in 0..NODES {
            raw.read(place, session, 0, PARTIES as u32).await.expect("every node has the round");
        }
        let writer = parties.pop().expect("there are parties");
        Self { cluster, raw, session, writer, round: 1 }
    }

    /// Reads for a while at these base URLs in turn, and writes: milliseconds of each write.
    async fn run(&mut self, urls: Vec<String>, rate: u32, time: Duration) -> (u32, Vec<f64>) {
        let reader = tokio::spawn(read(urls, self.session, rate, time));
        let (started, mut writes) = (Instant::now(), Vec::new());
        let mut pace = interval(PACE);
        while started.elapsed() < time {
            pace.tick().await;
            let mailbox = MailboxId { session: self.session, kind: MailboxKind::Broadcast, round: self.round };
            let write = self.raw.broadcast(&self.writer, mailbox, &[7; MESSAGE]);
            let posted = Instant::now();
            self.raw.insist(self.round as usize % NODES, &write).await;
            writes.push(posted.elapsed().as_secs_f64() * 1000.0);
            self.round += 1;
        }
        writes.sort_by(f64::total_cmp);
        (reader.await.expect("readers do not fail"), writes)
    }
}

/// Each read is one party's: its own mail of the private round, or the broadcast round. How many were answered.
async fn read(urls: Vec<String>, session: SessionId, rate: u32, time: Duration) -> u32 {
    if urls.is_empty() {
        return 0;
    }
    let http = Arc::new(reqwest::Client::new());
    let mut pace = interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (started, mut reads) = (Instant::now(), Vec::new());
    for number in 0.. {
        pace.tick().await;
        if started.elapsed() >= time {
            break;
        }
        let recipient = number / 2 % PARTIES;
        let mailbox =
            if number % 2 == 0 { format!("private/0?recipient={recipient}&") } else { "broadcast/0?".to_owned() };
        let url = format!("{}/v1/sessions/{session}/{mailbox}count={PARTIES}&proof=true", urls[number % urls.len()]);
        let http = Arc::clone(&http);
        reads.push(tokio::spawn(async move {
            let answer = http.get(url).header("accept", "application/octet-stream").send().await;
            let answer = answer.and_then(reqwest::Response::error_for_status).expect("a mailbox that is there");
            answer.bytes().await.expect("to its end").len()
        }));
    }
    let mut answered = 0;
    for read in reads {
        assert!(read.await.expect("a reader does not fail") > PARTIES * MESSAGE, "the whole round");
        answered += 1;
    }
    answered
}

/// Processor seconds of a replica and its CometBFT so far.
fn cpu_of(node: &Node) -> f64 {
    let pids = [node.pid().expect("it runs"), node.comet_pid().expect("its CometBFT runs")];
    let ticks = pids.map(|pid| {
        let process = procfs::process::Process::new(i32::try_from(pid).expect("a process's number")).expect("it runs");
        let stat = process.stat().expect("the kernel says");
        stat.utime + stat.stime
    });
    ticks.iter().sum::<u64>() as f64 / procfs::ticks_per_second() as f64
}

#[tokio::main]
async fn main() {
    let Arguments { rate, seconds, .. } = Arguments::parse();
    let time = Duration::from_secs(seconds);
    let mut board = Board::new().await;
    let nodes: Vec<String> = board.cluster.nodes.iter().map(|node| node.url.clone()).collect();
    let replica = vec![board.cluster.replicas[0].url.clone()];
    println!(
        "| {NODES} nodes, 1 replica, {rate} reads/s of {PARTIES} messages, {seconds} s each | reads | all nodes, CPU s | all CometBFT | replica with its CometBFT | a write, p50 | p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (what, urls) in [("nobody reads", Vec::new()), ("at the nodes", nodes), ("at the replica", replica)] {
        let (before, of_replica) = (cluster_cpu(&board.cluster), cpu_of(&board.cluster.replicas[0]));
        let (reads, writes) = board.run(urls, rate, time).await;
        let (cpu, of_replica) = (cluster_cpu(&board.cluster) - before, cpu_of(&board.cluster.replicas[0]) - of_replica);
        let quantile = |q: usize| writes[(writes.len() - 1) * q / 100];
        println!(
            "| {what} | {reads} | {:.1} | {:.1} | {of_replica:.1} | {:.0} ms | {:.0} ms |",
            cpu.nodes,
            cpu.comets,
            quantile(50),
            quantile(99)
        );
    }
}

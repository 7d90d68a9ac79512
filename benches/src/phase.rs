//! What one phase of a run takes: wall time, processor time, bytes, requests, blocks.

use crate::meter::{self, Cpu};
use client_sdk::{Client, Traffic};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Add, time::Instant};
use white_city_tests::cluster::Cluster;

/// What the parties do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Strangers come to an open session with proof of work, and shake hands.
    Registration,
    /// Those who are invited shake hands.
    Handshake,
    /// A key of all parties: one round.
    Generation,
    /// A signature of all parties, which all check: four rounds.
    Signing,
    /// A sealed message of each party for each other, opened by its recipient.
    Private,
    /// A message of each party, read by all with proof of the mailbox, signatures of senders left unchecked.
    Broadcast,
}

impl Work {
    /// All, in the order in which they are done.
    pub const ALL: [Self; 6] =
        [Self::Registration, Self::Handshake, Self::Generation, Self::Signing, Self::Private, Self::Broadcast];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registration => "registration and handshake",
            Self::Handshake => "handshake",
            Self::Generation => "key generation",
            Self::Signing => "signing",
            Self::Private => "private round",
            Self::Broadcast => "broadcast exchange",
        })
    }
}

/// What one phase took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done.
    pub work: Work,
    /// Seconds from its beginning until the last party was done with it.
    pub wall: f64,
    /// Of that, seconds that the session's own deadlines prescribe.
    pub prescribed: f64,
    /// Processor time.
    pub cpu: Cpu,
    /// Requests of all parties.
    pub requests: u64,
    /// Operations of all parties.
    pub operations: u64,
    /// Bytes of bodies that a party sent, on average.
    pub sent: u64,
    /// Bytes of bodies that a party received, on average.
    pub received: u64,
    /// Bytes that went over the loopback interface, parties' and nodes' with all headers, and of anything else that used it.
    pub loopback: u64,
    /// Blocks that were made.
    pub blocks: u64,
}

impl Phase {
    /// Bytes that a node sent on average, and received, to and from other nodes and its own CometBFT: what parties did not send or receive.
    pub fn between_nodes(&self, nodes: usize, parties: usize) -> u64 {
        let bodies = (self.sent + self.received) * parties as u64;
        self.loopback.saturating_sub(bodies) / nodes.max(1) as u64
    }
}

/// What the parties have sent and received so far, and the height that they have seen certified.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Requests, operations and bytes.
    pub traffic: Traffic,
    /// The height.
    pub height: u64,
}

impl From<&Client> for Seen {
    fn from(client: &Client) -> Self {
        Self { traffic: client.traffic(), height: client.height() }
    }
}

impl Add for Seen {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (one, two) = (self.traffic, other.traffic);
        let traffic = Traffic {
            requests: one.requests + two.requests,
            answers: one.answers + two.answers,
            operations: one.operations + two.operations,
            bytes_sent: one.bytes_sent + two.bytes_sent,
            bytes_received: one.bytes_received + two.bytes_received,
        };
        Self { traffic, height: self.height.max(other.height) }
    }
}

/// A phase that has begun.
pub struct Meter<'a> {
    cluster: &'a Cluster,
    started: Instant,
    cpu: Cpu,
    seen: Seen,
    loopback: u64,
}

impl<'a> Meter<'a> {
    /// It begins now.
    pub fn start(cluster: &'a Cluster, seen: Seen) -> Self {
        let (cpu, loopback) = (meter::cluster_cpu(cluster), meter::loopback_bytes());
        Self { cluster, started: Instant::now(), cpu, seen, loopback }
    }

    /// The last of `n` parties is done with it; of its time, `prescribed` seconds were the session's deadlines'.
    pub fn stop(self, seen: Seen, work: Work, prescribed: f64, n: usize) -> Phase {
        let wall = self.started.elapsed().as_secs_f64();
        let cpu = meter::cluster_cpu(self.cluster) - self.cpu;
        let (before, after, n) = (self.seen.traffic, seen.traffic, n as u64);
        Phase {
            work,
            wall,
            prescribed,
            cpu,
            requests: after.requests - before.requests,
            operations: after.operations - before.operations,
            sent: (after.bytes_sent - before.bytes_sent) / n,
            received: (after.bytes_received - before.bytes_received) / n,
            loopback: meter::loopback_bytes() - self.loopback,
            blocks: seen.height - self.seen.height,
        }
    }
}

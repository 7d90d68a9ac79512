//! Strangers on a real cluster, phase by phase, and what each phase takes: wall time, processor time, bytes, requests, blocks.
//!
//! All parties are tasks of one process and take clones of one [`Client`], so that a certificate is checked once for each height. Each has
//! an identity of its own and checks for itself all that the SDK checks: proofs, chains and the signatures of all senders.

use crate::meter::{self, Cpu, Memory};
use client_sdk::{Client, Identity, Options, Session, Traffic, identity_file};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signing},
};
use rand_core::OsRng;
use serde::Serialize;
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Instant};
use tokio::task::JoinSet;
use white_city_tests::{cluster::Cluster, signing};
use wire::{Admission, MailboxKind, OpenTerms, SessionId, SessionSpec, Work, limits::MAX_PAYLOAD_BYTES};

/// Length of each message of the private round.
pub const PRIVATE_BYTES: usize = 100;
/// Beyond those of any signing here.
const PRIVATE_ROUND: u32 = 100;

/// What one phase took.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
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

/// All phases of so many parties at so many nodes.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// k.
    pub nodes: usize,
    /// n.
    pub parties: usize,
    /// In order.
    pub phases: Vec<Phase>,
    /// Peaks since the cluster was started.
    pub memory: Memory,
}

struct Party {
    session: Session,
    share: Option<KeyShare>,
}

/// Strangers and the cluster that they meet at.
pub struct Strangers<'a> {
    cluster: &'a Cluster,
    client: Client,
    operator: Identity,
}

impl<'a> Strangers<'a> {
    /// At this cluster.
    ///
    /// # Panics
    /// If its files are not there.
    pub fn new(cluster: &'a Cluster) -> Self {
        let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
        Self { cluster, client: Client::new(cluster.network.clone()).expect("a sound network file"), operator }
    }

    /// All phases with `n` parties.
    ///
    /// # Panics
    /// If anything fails.
    pub async fn run(&self, n: usize) -> Run {
        let (registration, _) = self.register(n).await;
        let (handshake, mut parties) = self.handshake(n).await;
        let generation = self.generate(&mut parties).await;
        let parties: Vec<Arc<Party>> = parties.into_iter().map(Arc::new).collect();
        let signing = self.sign(&parties, 0).await;
        let private = self.private(&parties).await;
        let phases = vec![registration, handshake, generation, signing, private];
        Run { nodes: self.cluster.nodes.len(), parties: n, phases, memory: meter::memory(self.cluster) }
    }

    /// Registers `n` strangers with proof of work, and shakes hands.
    async fn register(&self, n: usize) -> (Phase, Vec<Party>) {
        let spec = open_spec(n);
        let Admission::Open { terms } = spec.admission else { unreachable!("it is open") };
        let prescribed = prescribed(&terms);
        let meter = self.start();
        let id = self.client.create(&self.operator, spec).await.expect("the operator may");
        let parties = self.join(&id, (0..n).map(|_| Identity::generate(&mut OsRng)).collect()).await;
        (self.stop(meter, "registration and handshake", prescribed, n).await, parties)
    }

    /// Shakes hands in a session of `n` who are invited.
    async fn handshake(&self, n: usize) -> (Phase, Vec<Party>) {
        let identities: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
        let spec = SessionSpec {
            max_message_bytes: MAX_PAYLOAD_BYTES,
            ..signing::spec(identities.iter().map(Identity::public).collect())
        };
        let meter = self.start();
        let id = self.client.create(&self.operator, spec).await.expect("the operator may");
        let parties = self.join(&id, identities).await;
        (self.stop(meter, "handshake", 0.0, n).await, parties)
    }

    async fn join(&self, id: &SessionId, identities: Vec<Identity>) -> Vec<Party> {
        join(&self.client, id, identities).await.into_iter().map(|session| Party { session, share: None }).collect()
    }

    /// A key of all parties.
    async fn generate(&self, parties: &mut Vec<Party>) -> Phase {
        let (n, meter) = (parties.len(), self.start());
        let mut generating = JoinSet::new();
        for mut party in parties.drain(..) {
            generating.spawn(async move {
                let seat = party.session.seat().clone();
                let program = KeyGeneration::new(seat, &signing::program(), Seed::random(&mut OsRng));
                let share = party.session.run(program.expect("a sound seat")).await.expect("nobody cheats");
                party.share = Some(share);
                party
            });
        }
        parties.extend(generating.join_all().await);
        self.stop(meter, "key generation", 0.0, n).await
    }

    /// One signature of all parties, which all check.
    async fn sign(&self, parties: &[Arc<Party>], number: u32) -> Phase {
        let meter = self.start();
        let mut signing = JoinSet::new();
        for party in parties.iter().map(Arc::clone) {
            signing.spawn(async move {
                let share = party.share.clone().expect("a key was generated");
                let key = share.public_key();
                let (seat, seed) = (party.session.seat().clone(), Seed::random(&mut OsRng));
                let program = Signing::new(seat, &signing::program(), number, share, b"a file".to_vec(), seed);
                let signature = party.session.run(program.expect("a sound seat")).await.expect("nobody cheats");
                key.verify(b"a file", &signature).expect("the signature is valid");
            });
        }
        signing.join_all().await;
        self.stop(meter, "signing", 0.0, parties.len()).await
    }

    /// A message of each party for each other.
    async fn private(&self, parties: &[Arc<Party>]) -> Phase {
        let (n, meter) = (parties.len(), self.start());
        let mut sending = JoinSet::new();
        for party in parties.iter().map(Arc::clone) {
            sending.spawn(async move {
                let session = &party.session;
                let (own, count) = (session.seat().index, session.seat().parties);
                let message = |to: u16| {
                    (
                        to,
                        [own.to_le_bytes(), to.to_le_bytes()]
                            .concat()
                            .into_iter()
                            .cycle()
                            .take(PRIVATE_BYTES)
                            .collect(),
                    )
                };
                let messages: BTreeMap<u16, Vec<u8>> = (0..count).filter(|to| *to != own).map(message).collect();
                session.send_private(PRIVATE_ROUND, &messages).await.expect("it is on the board");
                let reading = session.read(MailboxKind::Private, PRIVATE_ROUND, count).await.expect("all have written");
                let mail = reading.round.received.iter().filter(|message| message.data.is_some()).count();
                assert_eq!(mail, usize::from(count) - 1, "a message of each other party");
            });
        }
        sending.join_all().await;
        self.stop(meter, "private round", 0.0, n).await
    }

    fn start(&self) -> Meter {
        Meter {
            started: Instant::now(),
            cpu: meter::cluster_cpu(self.cluster),
            traffic: self.client.traffic(),
            loopback: meter::loopback_bytes(),
            height: self.client.height(),
        }
    }

    async fn stop(&self, before: Meter, name: &'static str, prescribed: f64, n: usize) -> Phase {
        let wall = before.started.elapsed().as_secs_f64();
        let cpu = meter::cluster_cpu(self.cluster) - before.cpu;
        let (traffic, n) = (self.client.traffic(), n as u64);
        let Traffic { requests, operations, bytes_sent, bytes_received, .. } = before.traffic;
        Phase {
            name,
            wall,
            prescribed,
            cpu,
            requests: traffic.requests - requests,
            operations: traffic.operations - operations,
            sent: (traffic.bytes_sent - bytes_sent) / n,
            received: (traffic.bytes_received - bytes_received) / n,
            loopback: meter::loopback_bytes() - before.loopback,
            blocks: self.client.height() - before.height,
        }
    }
}

/// Lets all join, each in a task of its own.
///
/// # Panics
/// If one is not admitted.
pub async fn join(client: &Client, id: &SessionId, identities: Vec<Identity>) -> Vec<Session> {
    let options = Options { threads: NonZeroUsize::new(1), ..Options::default() };
    let mut joining = JoinSet::new();
    for identity in identities {
        let (client, id, options) = (client.clone(), *id, options.clone());
        joining.spawn(
            async move { Session::join(&client, &identity, &id, options).await.expect("the party is admitted") },
        );
    }
    joining.join_all().await
}

struct Meter {
    started: Instant,
    cpu: Cpu,
    traffic: Traffic,
    loopback: u64,
    height: u64,
}

/// Small work, and times in which as many solve it on one machine.
fn open_spec(n: usize) -> SessionSpec {
    let count = u16::try_from(n).expect("few parties");
    let seconds = 3 + u64::from(count) / 50;
    let terms = OpenTerms {
        registering_ms: seconds * 1000,
        stamp_bits: 8,
        work: Work { version: 1, leaf_hashes: 64, leaves_log2: 10, openings: 256 },
        hash_rate: 100_000,
        slack_ms: seconds * 1000,
        head_start_ms: 3_000,
        adversary: 1,
        soundness_bits: 40,
    };
    SessionSpec {
        title: "a crowd".to_owned(),
        admission: Admission::Open { terms },
        min_parties: count,
        max_parties: count,
        corruption_threshold: count - 1,
        max_party_bytes: 1 << 20,
        ..signing::spec(vec![])
    }
}

/// Seconds that the terms let pass before the list is final, whoever comes when.
fn prescribed(terms: &OpenTerms) -> f64 {
    let hashes = u64::from(terms.work.leaf_hashes) << terms.work.leaves_log2;
    (terms.registering_ms + terms.slack_ms) as f64 / 1000.0 + hashes as f64 / terms.hash_rate as f64
}

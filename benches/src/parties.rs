//! Strangers on a real cluster, phase by phase, and what each phase takes: wall time, processor time, bytes, requests, blocks.
//!
//! All parties are tasks of one process. All but one take clones of one [`Client`], so that a certificate is checked once for each height; the
//! one has a client of its own, so that what it reads can be told. Each has an identity of its own and checks for itself all that the SDK
//! checks: proofs, chains and the signatures of all senders.

use crate::{
    exchange::{self, Exchange},
    figures::Mail,
    meter::{self, Memory},
    phase::{Meter, Phase, Seen, Work},
};
use client_sdk::{Client, Identity, Options, PartyKeys, Session, identity_file};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signing},
};
use rand_core::OsRng;
use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};
use tokio::task::JoinSet;
use white_city_tests::{cluster::Cluster, signing};
use wire::{Admission, MailboxKind, OpenTerms, SessionId, SessionSpec, Work as ProofOfWork, limits::MAX_PAYLOAD_BYTES};

/// Length of each message of the private round and of the broadcast exchange.
pub const MESSAGE_BYTES: usize = 100;
/// What a sealed message has more than the message: the commitment to its key, nonce and tag.
const SEAL_BYTES: usize = 32 + 24 + 16;
/// Beyond those of any signing here.
const PRIVATE_ROUND: u32 = 100;
/// The exchange is done in so many rounds, each by itself, of which the median counts.
const EXCHANGES: u32 = 3;

/// What strangers did, and what it took.
pub struct Done {
    /// Each kind of work once.
    pub phases: Vec<Phase>,
    /// Peaks.
    pub memory: Memory,
    /// What one party read in the private round.
    pub mail: Mail,
}

struct Party {
    identity: Identity,
    client: Client,
    session: Session,
    share: Option<KeyShare>,
    /// True for the one that has its own client.
    is_alone: bool,
}

/// Strangers and the cluster that they meet at.
pub struct Strangers<'a> {
    cluster: &'a Cluster,
    /// Of all but one.
    client: Client,
    /// Of that one.
    alone: Client,
    operator: Identity,
}

impl<'a> Strangers<'a> {
    /// At this cluster.
    ///
    /// # Panics
    /// If its files are not there.
    pub fn new(cluster: &'a Cluster) -> Self {
        let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
        let client = || Client::new(cluster.network.clone()).expect("a sound network file");
        Self { cluster, client: client(), alone: client(), operator }
    }

    /// All phases with `n` parties.
    ///
    /// # Panics
    /// If anything fails.
    pub async fn run(&self, n: usize) -> Done {
        meter::forget_peaks(self.cluster);
        let registration = self.register(n).await;
        let (handshake, mut parties) = self.handshake(n).await;
        let generation = self.generate(&mut parties).await;
        let parties: Vec<Arc<Party>> = parties.into_iter().map(Arc::new).collect();
        let signing = self.sign(&parties).await;
        let (private, mail) = self.private(&parties).await;
        let memory = meter::memory(self.cluster);
        let broadcast = self.exchange(&parties).await;
        Done { phases: vec![registration, handshake, generation, signing, private, broadcast], memory, mail }
    }

    /// Registers `n` strangers with proof of work, and shakes hands.
    async fn register(&self, n: usize) -> Phase {
        let spec = open_spec(n, self.cluster.nodes.len());
        let Admission::Open { terms } = spec.admission else { unreachable!("it is open") };
        let prescribed = prescribed(&terms);
        let meter = self.start();
        let id = self.client.create(&self.operator, spec).await.expect("the operator may");
        self.join(&id, identities(n)).await;
        self.stop(meter, Work::Registration, prescribed, n)
    }

    /// Shakes hands in a session of `n` who are invited.
    async fn handshake(&self, n: usize) -> (Phase, Vec<Party>) {
        let identities = identities(n);
        let spec = SessionSpec {
            max_message_bytes: MAX_PAYLOAD_BYTES,
            ..signing::spec(identities.iter().map(Identity::public).collect())
        };
        let meter = self.start();
        let id = self.client.create(&self.operator, spec).await.expect("the operator may");
        let parties = self.join(&id, identities).await;
        (self.stop(meter, Work::Handshake, 0.0, n), parties)
    }

    /// By index.
    async fn join(&self, id: &SessionId, identities: Vec<Identity>) -> Vec<Party> {
        let mut joining = JoinSet::new();
        for (place, identity) in identities.into_iter().enumerate() {
            let (is_alone, id) = (place == 0, *id);
            let client = if is_alone { &self.alone } else { &self.client }.clone();
            joining.spawn(async move {
                let session = seat(&client, &id, &identity).await;
                Party { identity, client, session, share: None, is_alone }
            });
        }
        let mut parties = joining.join_all().await;
        parties.sort_by_key(|party| party.session.seat().index);
        parties
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
        parties.sort_by_key(|party| party.session.seat().index);
        self.stop(meter, Work::Generation, 0.0, n)
    }

    /// One signature of all parties, which all check.
    async fn sign(&self, parties: &[Arc<Party>]) -> Phase {
        let meter = self.start();
        let mut signing = JoinSet::new();
        for party in parties.iter().map(Arc::clone) {
            signing.spawn(async move {
                let share = party.share.clone().expect("a key was generated");
                let key = share.public_key();
                let (seat, seed) = (party.session.seat().clone(), Seed::random(&mut OsRng));
                let program = Signing::new(seat, &signing::program(), 0, share, b"a file".to_vec(), seed);
                let signature = party.session.run(program.expect("a sound seat")).await.expect("nobody cheats");
                key.verify(b"a file", &signature).expect("the signature is valid");
            });
        }
        signing.join_all().await;
        self.stop(meter, Work::Signing, 0.0, parties.len())
    }

    /// A message of each party for each other; and what the party with its own client has read.
    async fn private(&self, parties: &[Arc<Party>]) -> (Phase, Mail) {
        let (n, meter) = (parties.len(), self.start());
        let mut sending = JoinSet::new();
        for party in parties.iter().map(Arc::clone) {
            sending.spawn(async move { (party.is_alone, party.exchange_private().await) });
        }
        let done = sending.join_all().await;
        let phase = self.stop(meter, Work::Private, 0.0, n);
        let read = done.into_iter().find_map(|(is_alone, read)| is_alone.then_some(read));
        let own = (n as u64 - 1) * (MESSAGE_BYTES + SEAL_BYTES) as u64;
        (phase, Mail { read: read.expect("one has its own client"), own })
    }

    /// The broadcast exchange without the senders' signatures.
    async fn exchange(&self, parties: &[Arc<Party>]) -> Phase {
        let (exchange, session) = (Exchange::new(&self.client).await, &parties[0].session);
        let identities: Vec<&Identity> = parties.iter().map(|party| &party.identity).collect();
        let keys = PartyKeys::from(session.keys().to_vec());
        let mut phases = Vec::new();
        for round in (PRIVATE_ROUND + 1..).take(EXCHANGES as usize) {
            let round = exchange::Round { session: session.id(), keys: &keys, round, bytes: MESSAGE_BYTES };
            let meter = Meter::start(self.cluster, exchange.seen());
            exchange.run(&round, &identities).await;
            phases.push(meter.stop(exchange.seen(), Work::Broadcast, 0.0, parties.len()));
        }
        phases.sort_by(|one, other| one.wall.total_cmp(&other.wall));
        phases[phases.len() / 2]
    }

    fn seen(&self) -> Seen {
        Seen::from(&self.client) + Seen::from(&self.alone)
    }

    fn start(&self) -> Meter<'a> {
        Meter::start(self.cluster, self.seen())
    }

    fn stop(&self, meter: Meter<'a>, work: Work, prescribed: f64, n: usize) -> Phase {
        meter.stop(self.seen(), work, prescribed, n)
    }
}

impl Party {
    /// Writes to all others and reads what they wrote. Returns the bytes that reading brought to this party's client.
    async fn exchange_private(&self) -> u64 {
        let (own, count) = (self.session.seat().index, self.session.seat().parties);
        let message = |to: u16| [own.to_le_bytes(), to.to_le_bytes()].concat();
        let message = |to: u16| (to, message(to).into_iter().cycle().take(MESSAGE_BYTES).collect());
        let messages: BTreeMap<u16, Vec<u8>> = (0..count).filter(|to| *to != own).map(message).collect();
        self.session.send_private(PRIVATE_ROUND, &messages).await.expect("it is on the board");
        let before = self.client.traffic().bytes_received;
        let reading = self.session.read(MailboxKind::Private, PRIVATE_ROUND, count).await.expect("all have written");
        let mail = reading.round.received.iter().filter(|message| message.data.is_some()).count();
        assert_eq!(mail, usize::from(count) - 1, "a message of each other party");
        self.client.traffic().bytes_received - before
    }
}

/// Lets all join, each in a task of its own.
///
/// # Panics
/// If one is not admitted.
pub async fn join(client: &Client, id: &SessionId, identities: Vec<Identity>) -> Vec<Session> {
    let mut joining = JoinSet::new();
    for identity in identities {
        let (client, id) = (client.clone(), *id);
        joining.spawn(async move { seat(&client, &id, &identity).await });
    }
    joining.join_all().await
}

async fn seat(client: &Client, id: &SessionId, identity: &Identity) -> Session {
    let options = Options { threads: NonZeroUsize::new(1), ..Options::default() };
    Session::join(client, identity, id, options).await.expect("the party is admitted")
}

fn identities(n: usize) -> Vec<Identity> {
    (0..n).map(|_| Identity::generate(&mut OsRng)).collect()
}

/// Small work, and times in which as many solve it on one machine, on which the nodes check it.
fn open_spec(n: usize, nodes: usize) -> SessionSpec {
    let count = u16::try_from(n).expect("few parties");
    let seconds = (3 + u64::from(count) / 50) * nodes.div_ceil(4) as u64;
    let terms = OpenTerms {
        registering_ms: seconds * 1000,
        stamp_bits: 8,
        work: ProofOfWork { version: 1, leaf_hashes: 64, leaves_log2: 10, openings: 256 },
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

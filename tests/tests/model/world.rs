//! A board with open sessions, four nodes that have a key, and what their strangers do.

use crate::kit::{self, Cast, Flaw, Store};
use borsh::BorshDeserialize;
use ledger::{Block, Outcome, Payload, State, Submitted};
use schnorrkel::Keypair;
use std::collections::BTreeMap;
use white_city_tests::generation::Nodes;
use wire::{
    Admission, Bytes, Code, FactKey, G1Bytes, Hash, OpenTerms, Operation, Phase, Quotas, SessionId, SessionSpec, Stamp,
    Verified, Work, challenge_message, message_digest,
};

pub const NODES: [&str; 4] = ["north", "east", "south", "west"];
pub const REGISTERING_MS: u64 = 5000;
pub const HEAD_START_MS: u64 = 200;
/// A second of work, and half a second for the way.
pub const SOLVING_MS: u64 = 1500;

/// Against an adversary with one device, who gets two identities.
pub fn terms() -> OpenTerms {
    OpenTerms {
        registering_ms: REGISTERING_MS,
        stamp_bits: 4,
        work: Work { version: 1, leaf_hashes: 64, leaves_log2: 10, openings: 64 },
        hash_rate: 66_559,
        slack_ms: 500,
        head_start_ms: HEAD_START_MS,
        adversary: 1,
        soundness_bits: 20,
    }
}

pub fn open_spec() -> SessionSpec {
    SessionSpec {
        admission: Admission::Open { terms: terms() },
        min_parties: 4,
        max_parties: 5,
        corruption_threshold: 2,
        ..kit::spec(vec![wire::PublicKey([0; 32])])
    }
}

pub struct World {
    pub cast: Cast,
    pub state: State,
    pub store: Store,
    pub nodes: Nodes,
    /// The time of the next block.
    pub now: u64,
    pub roots: Vec<Hash>,
    /// What every stranger has sent as a request, so that it can be sent again.
    stamps: BTreeMap<(String, SessionId), Stamp>,
    restarting: bool,
}

impl World {
    /// `restarting`: the board is built anew from the store after every block.
    pub fn new(restarting: bool) -> Self {
        let quotas = Quotas { live_sessions: 5, live_sessions_per_creator: 5, live_bytes: u64::MAX };
        Self::with(quotas, restarting)
    }

    pub fn with(quotas: Quotas, restarting: bool) -> Self {
        let mut cast = Cast::new();
        let parameters = cast.network_of(&NODES, &["olga".to_owned()], quotas);
        let (state, store) = kit::ready(&parameters);
        let keypairs: Vec<Keypair> = NODES.iter().map(|node| cast.keypair(node).clone()).collect();
        let nodes = Nodes::new(&parameters, keypairs);
        let (roots, stamps) = (vec![], BTreeMap::new());
        Self { cast, state, store, nodes, now: 1000, roots, stamps, restarting }
    }

    /// Applies a block, and checks what must hold after any.
    pub fn apply(&mut self, operations: Vec<Submitted>) -> Outcome {
        let (before, stored) = (self.state.root(), self.store.clone());
        let block = Block { height: self.state.height() + 1, time_ms: self.now, operations };
        let outcome = self.state.apply(&block);
        self.store.keep(&outcome.events);
        assert_eq!(outcome.root == before, self.store == stored, "the root changes with the board, and only then");
        self.roots.push(outcome.root);
        let restored = self.store.restore(self.state.parameters(), self.state.height()).unwrap();
        let ahead = (restored.root(), restored.next_deadline(), restored.live_sessions());
        assert_eq!(ahead, (self.state.root(), self.state.next_deadline(), self.state.live_sessions()));
        if self.restarting {
            self.state = restored;
        }
        outcome
    }

    /// An empty block, so much later.
    pub fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.apply(vec![]);
    }

    /// A block with one operation. If it is refused, nothing has changed but what time has done.
    pub fn one(&mut self, submitted: Submitted) -> Code {
        let mut alone = self.state.clone();
        let quiet = alone.apply(&Block { height: alone.height() + 1, time_ms: self.now, operations: vec![] }).root;
        let outcome = self.apply(vec![submitted]);
        let code = outcome.receipts[0].code;
        assert_eq!(code == Code::Accepted, outcome.root != quiet, "{code}");
        code
    }

    pub fn submit(&mut self, by: &str, operation: Operation, payload: Bytes) -> Code {
        operation.check_payload(&payload).unwrap();
        // Whether its shape is sound is for the ledger to say, too.
        let chain = self.cast.chain.clone();
        let verified = self.cast.sign(by, operation).verify(&chain).unwrap();
        self.one(Submitted::Verified(verified, Payload::Inline))
    }

    /// By olga.
    pub fn try_create(&mut self, title: &str, spec: SessionSpec) -> (SessionId, Code) {
        let spec = SessionSpec { title: title.to_owned(), ..spec };
        let creator = self.cast.key("olga");
        let id = spec.session_id(&self.cast.chain, &creator, &Hash([0; 32]));
        let create = Operation::CreateSession { spec: Box::new(spec), nonce: Hash([0; 32]) };
        (id, self.submit("olga", create, Bytes::default()))
    }

    pub fn create(&mut self, title: &str, spec: SessionSpec) -> SessionId {
        let (id, code) = self.try_create(title, spec);
        assert_eq!(code, Code::Accepted);
        id
    }

    /// A stamp that is good until `expiry_ms`.
    pub fn stamp(&mut self, by: &str, session: SessionId, expiry_ms: u64) -> Stamp {
        let key = self.cast.key(by);
        let context = Stamp::context(&self.cast.chain, &session, &key, expiry_ms);
        let nonce = (0..).find(|nonce| pow::hashcash::check(&context.0, terms().stamp_bits, *nonce)).unwrap();
        Stamp { expiry_ms, nonce }
    }

    /// Whether the nonce would do.
    pub fn is_stamp(&mut self, by: &str, session: SessionId, expiry_ms: u64, nonce: u64) -> bool {
        let key = self.cast.key(by);
        let context = Stamp::context(&self.cast.chain, &session, &key, expiry_ms);
        pow::hashcash::check(&context.0, terms().stamp_bits, nonce)
    }

    /// A stamp of `by` for `session` that does not do for the other.
    pub fn unlike(&mut self, other: (SessionId, &str), (session, by): (SessionId, &str), expiry_ms: u64) -> Stamp {
        let is_good = |nonce: &u64| {
            self.is_stamp(by, session, expiry_ms, *nonce) && !self.is_stamp(other.1, other.0, expiry_ms, *nonce)
        };
        Stamp { expiry_ms, nonce: (0..).find(is_good).unwrap() }
    }

    /// A request with a stamp for the session's deadline; always the same one.
    pub fn request(&mut self, by: &str, session: SessionId) -> Verified<Operation> {
        let known = self.stamps.get(&(by.to_owned(), session)).copied();
        let expiry_ms = self.state.session(&session).and_then(|record| record.deadline_ms).unwrap_or(1_000_000);
        let stamp = known.unwrap_or_else(|| self.stamp(by, session, expiry_ms));
        self.stamps.insert((by.to_owned(), session), stamp);
        self.cast.submit(by, Operation::Register { session, stamp }, Bytes::default()).unwrap()
    }

    pub fn register(&mut self, by: &str, session: SessionId) -> Code {
        let request = self.request(by, session);
        self.one(Submitted::Verified(request, Payload::Inline))
    }

    /// The nodes' joint signature under the key of an epoch.
    pub fn challenge(&self, session: SessionId, epoch: u64) -> G1Bytes {
        let message = challenge_message(&self.cast.chain, &session);
        self.nodes.sign_jointly(&self.state.generations()[&epoch], bls::Domain::Challenge, &message)
    }

    pub fn draw(&mut self, by: &str, session: SessionId, epoch: u64) -> Code {
        let signature = self.challenge(session, epoch);
        self.submit(by, Operation::Challenge { session, signature }, Bytes::default())
    }

    /// What a stranger hands in; the ledger knows no payloads, so that any bytes stand for a proof.
    pub fn solution(&mut self, by: &str, session: SessionId, proof: &[u8]) -> Verified<Operation> {
        let solve = Operation::Solve { session, digest: message_digest(proof), length: proof.len() as u32 };
        self.cast.submit(by, solve, Bytes(proof.to_vec())).unwrap()
    }

    pub fn solve(&mut self, by: &str, session: SessionId) -> Code {
        let three = [("north", false), ("east", false), ("south", false), ("west", true)];
        self.solve_by(by, session, b"proof", &three)
    }

    /// With these nodes' word for it.
    pub fn solve_by(&mut self, by: &str, session: SessionId, proof: &[u8], nodes: &[(&str, bool)]) -> Code {
        let solution = self.solution(by, session, proof);
        let payload = self.cast.stored(&solution, self.now + 1, nodes, Flaw::None);
        self.one(Submitted::Verified(solution, payload))
    }

    pub fn phase(&self, session: SessionId) -> (Phase, Option<u64>) {
        let record = self.state.session(&session).unwrap();
        (record.phase, record.deadline_ms)
    }

    /// A fact under the root.
    pub fn value<T: BorshDeserialize>(&self, key: FactKey) -> Option<T> {
        self.state.snapshot().value(&key).map(|bytes| borsh::from_slice(bytes).unwrap())
    }
}

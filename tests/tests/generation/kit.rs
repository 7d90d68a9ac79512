//! A cluster that makes its key, without processes, clocks and networks: the real rules of the board, the real participants, and seeds
//! in a journal that outlives each node's crashes.

use super::{cheat::Cheat, faults::Fault};
use bls::{Domain, Index, PartialSignature, PublicKeySet, SecretShare, Seed, Signature};
use ledger::{Block, Outcome, Payload, State, Submitted};
use node::{
    keyring::{EpochKeys, Keyring},
    participant::Participant,
    sealing::Place,
    secrets::NodeSecrets,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use std::{collections::BTreeMap, sync::Arc};
use wire::{
    Bytes, ChainId, Code, Creators, Dealing, Envelope, ExchangeKey, Generation, GenerationPhase, GenerationStep, Hash,
    NetworkParameters, NodeRecord, Operation, PublicKey, Quotas, Signed, fault_tolerance,
};
use x25519_dalek::StaticSecret;

/// A generation takes some blocks for each phase and attempt; more than so many are one that hangs.
const MAX_BLOCKS: usize = 400;

pub struct Cluster {
    pub state: State,
    pub members: Vec<Member>,
    /// Steps in which a node did otherwise than it should, and restarts of nodes.
    pub spoilt: usize,
    pub restarts: usize,
    /// How fast the nodes are: of 100 times that a node could do something, it does so many times.
    pub eagerness: u32,
    /// Of 100 times that a node does something it ends before, or right after, so many times.
    pub crashes: u32,
    chain: ChainId,
    operator: Keypair,
    time_ms: u64,
    rng: ChaCha20Rng,
}

pub struct Member {
    pub fault: Option<Fault>,
    pub participant: Arc<Participant>,
    pub keyring: Keyring,
    identity: Keypair,
    secrets: Arc<NodeSecrets>,
    /// What is on the node's disk.
    seeds: BTreeMap<(u64, u32), [u8; 32]>,
    /// What it has ever dealt, to be compared with what it deals after a restart.
    pub dealt: BTreeMap<(u64, u32), Dealing>,
}

impl Cluster {
    pub fn new(nodes: u16, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let chain: ChainId = "generation".parse().unwrap();
        let operator = keypair(&mut rng);
        let identities: Vec<Keypair> = (0..nodes).map(|_| keypair(&mut rng)).collect();
        let secrets: Vec<_> = (0..nodes).map(|_| Arc::new(NodeSecrets::from_rng(&mut rng))).collect();
        let names = (0..nodes).map(|i| format!("node{i}"));
        let named = names.zip(&identities).zip(&secrets);
        let records = named
            .map(|((name, identity), secrets)| NodeRecord::sign(name, identity, &chain, secrets.public(), &mut rng));
        let parameters = NetworkParameters {
            nodes: records.collect(),
            operators: vec![public(&operator)],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 1 << 30 },
            chain: chain.clone(),
        };
        let state = State::genesis(parameters).unwrap();
        let member = |((index, identity), secrets)| Member::new(state.parameters(), index, identity, secrets);
        let members = (0..).zip(identities).zip(secrets).map(member).collect();
        let (spoilt, restarts, eagerness, crashes) = (0, 0, 60, 0);
        Self { state, members, spoilt, restarts, eagerness, crashes, chain, operator, time_ms: 1_000, rng }
    }

    /// Makes f random nodes faulty, each in a random way.
    pub fn with_random_faults(mut self) -> Self {
        let mut places: Vec<usize> = (0..self.members.len()).collect();
        for _ in 0..fault_tolerance(self.members.len()) {
            let place = places.swap_remove(self.below(places.len()));
            let fault = Fault::ALL[self.below(Fault::ALL.len())];
            self.members[place].fault = Some(fault);
        }
        self
    }

    pub fn newest(&self) -> &Generation {
        self.state.generations().values().next_back().unwrap()
    }

    pub fn honest(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.fault.is_none())
    }

    /// Lets the nodes make the key of `epoch`, until it is in force and all nodes have taken it in.
    pub fn make_key(&mut self, epoch: u64) {
        for _ in 0..MAX_BLOCKS {
            self.adopt();
            let newest = self.newest();
            if newest.epoch == epoch && newest.phase == GenerationPhase::Done {
                return;
            }
            self.block();
        }
        panic!(
            "no key of epoch {epoch} after {MAX_BLOCKS} blocks: {:?}",
            wire::api::GenerationStatus::of(self.newest())
        );
    }

    /// A block of what some of the nodes have to do; if no node has anything to do, one whose time has reached the next deadline.
    pub fn block(&mut self) {
        let run = self.newest().clone();
        let order = self.shuffled();
        let (eager, idle): (Vec<_>, Vec<_>) = order.into_iter().partition(|_| self.chance(self.eagerness));
        let mut operations = Vec::new();
        let mut waiting = false;
        for (place, operation) in self.operations(&eager, &run) {
            waiting |= self.members[place].fault.is_none();
            if self.chance(self.crashes) {
                // Handed in or not, the node knows nothing of it any more.
                self.restart(place);
                if self.chance(50) {
                    continue;
                }
            }
            operations.push(self.members[place].participant.sign(operation, &mut self.rng));
        }
        // What the others would do is worked out only if it matters.
        waiting = waiting || self.operations(&idle, &run).iter().any(|(place, _)| self.members[*place].fault.is_none());
        let deadline = self.state.next_deadline().filter(|_| !waiting);
        self.apply(operations, deadline);
    }

    /// What these nodes do now, right or wrong; who has nothing to do is left out.
    fn operations(&mut self, places: &[usize], run: &Generation) -> Vec<(usize, Operation)> {
        let at = (run.epoch, run.attempt);
        let mut own_rngs = Vec::new();
        for place in places {
            let mut seed = [0; 32];
            self.rng.fill_bytes(&mut seed);
            own_rngs.push(ChaCha20Rng::from_seed(seed));
            if run.phase == GenerationPhase::Dealing {
                self.rng.fill_bytes(&mut seed);
                self.members[*place].seeds.entry(at).or_insert(seed);
            }
        }
        let members = &self.members;
        let due = |(place, rng): (&usize, &mut ChaCha20Rng)| members[*place].due(run, rng);
        let steps = on_two_threads(places.iter().zip(&mut own_rngs).collect(), due);
        let done =
            places.iter().zip(steps).filter_map(|(place, step)| Some((*place, self.operation(*place, run, step)?)));
        done.collect()
    }

    /// The node's operation, if its step is the one that it is to take.
    fn operation(&mut self, place: usize, run: &Generation, step: Option<GenerationStep>) -> Option<Operation> {
        let (genesis, member) = (self.state.parameters().digest(), &mut self.members[place]);
        if run.next_exchange_keys[place] != member.participant.exchange_key() {
            return Some(Operation::ReplaceExchangeKey { key: member.participant.exchange_key() });
        }
        let at = (run.epoch, run.attempt);
        if let Some(GenerationStep::Deal { dealing }) = &step {
            let first = member.dealt.entry(at).or_insert_with(|| dealing.clone());
            assert_eq!(first, dealing, "a node deals the same after a restart");
        }
        let (epoch, attempt, index) = (run.epoch, run.attempt, member.participant.index());
        let seed = member.seeds.get(&at).copied().unwrap_or_default();
        let done = match member.fault {
            Some(fault) => fault.spoil(&genesis, run, index, step.clone(), &seed),
            None => step.clone(),
        };
        self.spoilt += usize::from(done != step);
        Some(Operation::Generate { epoch, attempt, step: Box::new(done?) })
    }

    /// An operator's order.
    pub fn order(&mut self, epoch: u64) {
        let operation = Operation::RenewKey { epoch };
        let signed = Signed::sign(&self.operator, self.chain.clone(), operation, &mut self.rng);
        let outcome = self.apply(vec![Envelope { signed, payload: Bytes::default() }], None);
        assert_eq!(outcome.receipts[0].code, Code::Accepted);
    }

    /// Applies a block, some time after the one before or at `time_ms` if that is later.
    fn apply(&mut self, envelopes: Vec<Envelope>, time_ms: Option<u64>) -> Outcome {
        self.time_ms = time_ms.unwrap_or(0).max(self.time_ms + 50);
        let verified = |envelope: Envelope| {
            envelope.verify(&self.chain).map(|(operation, _)| Submitted::Verified(operation, Payload::Inline))
        };
        let operations = envelopes.into_iter().map(verified).collect::<Result<_, _>>().unwrap();
        let height = self.state.height() + 1;
        self.state.apply(&Block { height, time_ms: self.time_ms, operations })
    }

    /// The node opens what the others have dealt to it, and deals the negative of it to itself.
    pub fn deal_so_that_own_share_is_zero(&mut self, place: usize) {
        let (run, member) = (self.newest().clone(), &self.members[place]);
        let genesis = self.state.parameters().digest();
        let own = member.participant.index();
        let given = (0..).zip(&run.dealings).filter_map(|(dealer, dealing)| {
            let dealing = dealing.as_ref()?;
            let place = Place::new(&genesis, &run, dealer, own, dealing.commitments_digest());
            Some(*place.open(dealing, member.secrets.exchange()).unwrap())
        });
        let cheat = Cheat::new(own, &given.collect::<Vec<_>>());
        let ephemeral = StaticSecret::from([5; 32]);
        let key = ExchangeKey(x25519_dalek::PublicKey::from(&ephemeral).to_bytes());
        let mut dealing = Dealing { commitments: cheat.commitments(), ephemeral: key, shares: vec![] };
        let commitments = dealing.commitments_digest();
        for (recipient, exchange) in (0..).zip(&run.exchange_keys) {
            let place = Place::new(&genesis, &run, own, recipient, commitments);
            dealing.shares.push(place.seal(&cheat.share(recipient), &ephemeral, exchange).unwrap());
        }
        let step = Box::new(GenerationStep::Deal { dealing });
        let operation = Operation::Generate { epoch: run.epoch, attempt: run.attempt, step };
        let envelope = member.participant.sign(operation, &mut self.rng);
        assert_eq!(self.apply(vec![envelope], None).receipts[0].code, Code::Accepted);
    }

    /// The node ends and starts again: what is not on its disk or on the board is gone.
    pub fn restart(&mut self, place: usize) {
        let Member { identity, secrets, .. } = &self.members[place];
        let index = u16::try_from(place).unwrap();
        let fresh = Member::new(self.state.parameters(), index, identity.clone(), secrets.clone());
        let before = std::mem::replace(&mut self.members[place], fresh);
        let member = &mut self.members[place];
        (member.fault, member.seeds, member.dealt) = (before.fault, before.seeds, before.dealt);
        self.restarts += 1;
        self.adopt();
    }

    /// The node loses its journal of seeds.
    pub fn lose_seeds(&mut self, place: usize) {
        self.members[place].seeds.clear();
    }

    /// The node gets a new exchange secret and starts again.
    pub fn lose_secret(&mut self, place: usize) {
        self.members[place].secrets = Arc::new(NodeSecrets::from_rng(&mut self.rng));
        self.restart(place);
    }

    fn adopt(&mut self) {
        for run in self.state.generations().values() {
            // A node that finds no share says so; what is expected of whom the tests say.
            on_two_threads(self.members.iter().collect(), |member| member.keyring.adopt(run).is_ok());
        }
    }

    /// Every node's keys of an epoch.
    pub fn keys(&self, epoch: u64) -> Vec<Arc<EpochKeys>> {
        self.members.iter().map(|member| member.keyring.epoch(epoch).expect("the key is in force")).collect()
    }

    /// Random f + 1 of the nodes that have a share sign, again and again, and it is the same signature each time.
    pub fn certify(&mut self, epoch: u64) {
        let keys = self.keys(epoch);
        let public = keys[0].public.clone();
        assert!(keys.iter().all(|keys| keys.public == public));
        let message = Hash([5; 32]);
        let honest: Vec<bool> = self.members.iter().map(|member| member.fault.is_none()).collect();
        let signers: Vec<&SecretShare> =
            keys.iter().zip(honest).filter(|(_, honest)| *honest).filter_map(|(keys, _)| keys.share.as_ref()).collect();
        assert!(signers.len() >= public.threshold(), "{} of {} shares", signers.len(), public.threshold());
        let mut signatures = Vec::new();
        for _ in 0..5 {
            let mut left = signers.clone();
            let mut chosen = || left.swap_remove(usize::try_from(self.rng.next_u32()).unwrap() % left.len());
            let some: Vec<&SecretShare> = (0..public.threshold()).map(|_| chosen()).collect();
            signatures.push(sign(&public, &some, &message).unwrap());
            let few = sign(&public, &some[1..], &message);
            assert!(few.is_err(), "fewer than f + 1 make no signature");
        }
        assert!(signatures.windows(2).all(|pair| pair[0] == pair[1]));
    }

    fn shuffled(&mut self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.members.len()).collect();
        (0..left.len()).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.next_u32() % 100 < percent
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % bound
    }
}

impl Member {
    fn new(parameters: &NetworkParameters, index: u16, identity: Keypair, secrets: Arc<NodeSecrets>) -> Self {
        let participant = Arc::new(Participant::new(parameters, index, identity.clone(), secrets.clone()));
        let keyring = Keyring::new(Some(participant.clone()));
        let (seeds, dealt) = (BTreeMap::new(), BTreeMap::new());
        Self { fault: None, participant, keyring, identity, secrets, seeds, dealt }
    }

    /// The step that the node would take if it had no fault.
    fn due(&self, run: &Generation, rng: &mut ChaCha20Rng) -> Option<GenerationStep> {
        let seed = self.seeds.get(&(run.epoch, run.attempt)).copied().map(Seed::new);
        let previous = self.keyring.epoch(run.epoch - 1);
        let previous = previous.as_ref().and_then(|keys| keys.share.as_ref());
        self.participant.due(run, seed.as_ref(), previous, rng)
    }
}

/// Each item's result, in order. Nodes do not wait for each other, and 64 of them have much to compute.
fn on_two_threads<T: Send, R: Send>(mut items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let half = items.split_off(items.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half.into_iter().map(&work).collect::<Vec<_>>());
        let mut results: Vec<R> = items.into_iter().map(&work).collect();
        results.extend(other.join().expect("the work does not panic"));
        results
    })
}

fn sign(keys: &PublicKeySet, signers: &[&SecretShare], message: &Hash) -> Result<Signature, bls::Error> {
    let partial = |share: &&SecretShare| (share.index(), share.partial_sign(Domain::Certificate, &message.0));
    let partials: BTreeMap<Index, PartialSignature> = signers.iter().map(partial).collect();
    let signature = keys.combine(Domain::Certificate, &message.0, &partials)?;
    keys.group_key().verify(Domain::Certificate, &message.0, &signature)?;
    Ok(signature)
}

fn keypair(rng: &mut ChaCha20Rng) -> Keypair {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    MiniSecretKey::from_bytes(&seed).unwrap().expand_to_keypair(ExpansionMode::Ed25519)
}

fn public(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

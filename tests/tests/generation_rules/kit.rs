//! A cluster in memory, and what faulty nodes of it do.

use ledger::{Block, Event, Outcome, State};
use proptest::{collection::btree_set, prelude::*};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use std::collections::{BTreeMap, BTreeSet};
use white_city_tests::generation::{Nodes, newest};
use wire::{
    ChainId, Creators, ExchangeKey, G2Bytes, Generation, GenerationPhase, GenerationStep, NetworkParameters, NodeKeys,
    NodeRecord, PublicKey, Quotas, Signature, TlsKey,
};

/// A cluster of which nobody is faulty yet. Node 0 is the operator, too.
pub struct Cluster {
    pub parameters: NetworkParameters,
    pub nodes: Nodes,
}

/// What a faulty node does where it is not honest.
#[derive(Clone, Debug)]
pub struct Fault {
    /// From this phase on it does nothing.
    pub silent_from: Option<GenerationPhase>,
    /// To whom it deals wrong shares.
    pub victims: BTreeSet<u16>,
    /// Whom it accuses; if none, whom it should.
    pub accused: Option<BTreeSet<u16>>,
    /// Whether it answers: not at all, wrongly, rightly.
    pub answer: u8,
    /// It does every thing over again, or something that cannot be.
    pub nonsense: u8,
}

/// Any fault of a node among `k`.
pub fn fault(k: u16) -> impl Strategy<Value = Fault> {
    let phase = prop::option::weighted(0.3, prop::sample::select(GenerationPhase::ALL.to_vec()));
    let nodes = || btree_set(0..k, 0..usize::from(k));
    (phase, nodes(), prop::option::of(nodes()), 0_u8..3, 0_u8..6).prop_map(
        |(silent_from, victims, accused, answer, nonsense)| Fault { silent_from, victims, accused, answer, nonsense },
    )
}

impl Cluster {
    /// `k` nodes, always the same.
    pub fn new(k: u16) -> Self {
        let chain: ChainId = "generation-1".parse().unwrap();
        let keypair = |node: u16| -> Keypair {
            let mut seed = [1; 32];
            seed[..2].copy_from_slice(&node.to_le_bytes());
            MiniSecretKey::from_bytes(&seed).unwrap().expand_to_keypair(ExpansionMode::Ed25519)
        };
        let keypairs: Vec<Keypair> = (0..k).map(keypair).collect();
        let record = |(keypair, node): (&Keypair, u8)| {
            let keys = NodeKeys { exchange: ExchangeKey([node; 32]), tls: TlsKey([node; 32]) };
            NodeRecord::sign(format!("node{node}"), keypair, &chain, keys, ChaCha20Rng::from_seed([3; 32]))
        };
        let parameters = NetworkParameters {
            nodes: keypairs.iter().zip(0..).map(record).collect(),
            operators: vec![PublicKey(keypairs[0].public.to_bytes())],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 9, live_sessions_per_creator: 9, live_bytes: 1 << 40 },
            chain,
        };
        Self { nodes: Nodes::new(&parameters, keypairs), parameters }
    }

    pub fn genesis(&self) -> State {
        State::genesis(self.parameters.clone()).unwrap()
    }

    /// What a node does next: if it is honest, what is due.
    pub fn step(&mut self, node: u16, state: &State, fault: Option<&Fault>) -> Option<GenerationStep> {
        let run = newest(state);
        let Some(fault) = fault else { return self.nodes.due(node, state) };
        if fault.silent_from.is_some_and(|phase| run.phase >= phase) {
            return None;
        }
        let step = match run.phase {
            GenerationPhase::Dealing => GenerationStep::Deal { dealing: self.nodes.dealing(node, run, &fault.victims) },
            GenerationPhase::Checking => GenerationStep::Check {
                accused: fault.accused.clone().map_or_else(|| self.nodes.wronged_by(node, run), Vec::from_iter),
            },
            GenerationPhase::Answering if fault.answer == 0 => return None,
            GenerationPhase::Answering => GenerationStep::Answer { shares: self.nodes.answers(node, run) },
            GenerationPhase::Endorsing => self.nodes.endorsement(node, run, state.generations().get(&(run.epoch - 1))),
            GenerationPhase::Done => return None,
        };
        Some(spoil(step, fault)).filter(|step| step.check_shape().is_ok() || fault.nonsense == 5)
    }

    /// The same blocks on a board that is restored before block number `stop` have the same outcomes.
    pub fn assert_restores(&self, done: &[(Block, Outcome)], stop: usize) {
        let mut state = self.genesis();
        let mut stored: BTreeMap<u64, Generation> = BTreeMap::new();
        for (number, (block, outcome)) in done.iter().enumerate() {
            if number == stop {
                let generations = stored.values().cloned();
                let restored =
                    State::restore(self.parameters.clone(), state.height(), [], [], [], [], [], generations).unwrap();
                assert_eq!((restored.root(), restored.next_deadline()), (state.root(), state.next_deadline()));
                assert_eq!(restored.generations(), state.generations());
                state = restored;
            }
            assert_eq!(&state.apply(block), outcome, "block {number} after a restart before {stop}");
            for event in &outcome.events {
                let Event::Generation { generation } = event else { panic!("nothing else happens: {event:?}") };
                stored.insert(generation.epoch, (**generation).clone());
            }
        }
    }
}

/// What a node does that means harm, of what it should do.
fn spoil(mut step: GenerationStep, fault: &Fault) -> GenerationStep {
    match &mut step {
        // A compressed point must have the first bit set.
        GenerationStep::Deal { dealing } if fault.nonsense == 1 => dealing.commitments[0] = G2Bytes([0x11; 96]),
        GenerationStep::Check { accused } if fault.nonsense == 2 => accused.push(u16::MAX),
        GenerationStep::Answer { shares } if fault.answer == 1 => {
            shares.iter_mut().for_each(|share| share.share.0[31] ^= 1);
        }
        GenerationStep::Endorse { signature, .. } if fault.nonsense == 3 => *signature = Signature([3; 64]),
        GenerationStep::Check { accused } if fault.nonsense == 5 => accused.extend([1, 0]),
        _ => {}
    }
    step
}

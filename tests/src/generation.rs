//! The nodes of a cluster as they make their threshold key in memory. Shares are sealed in name only, for the ledger does not open
//! them: the seal is sixteen zero bytes.

use bls::{Commitments, DealtShare, Domain, Index, Polynomial, SecretShare, Seed};
use ledger::{Block, Outcome, Payload, State, Submitted};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use schnorrkel::Keypair;
use std::collections::BTreeSet;
use wire::{
    Bytes, ChainId, Dealing, ExchangeKey, G1Bytes, G2Bytes, Generation, GenerationPhase, GenerationStep, Hash,
    NetworkParameters, Operation, PublicKey, PublishedShare, ScalarBytes, Signed, fault_tolerance,
};

/// All nodes, by their places on the list of nodes.
pub struct Nodes {
    chain: ChainId,
    keypairs: Vec<Keypair>,
    rng: ChaCha20Rng,
}

/// A board whose first key is in force, made by all of its nodes in three blocks of time 0 and then set back to height 0.
///
/// # Panics
/// If `keypairs` are not those of the nodes.
pub fn ready(parameters: &NetworkParameters, keypairs: &[Keypair]) -> State {
    let mut nodes = Nodes::new(parameters, keypairs.to_vec());
    let mut state = State::genesis(parameters.clone()).expect("sound parameters");
    for _ in 0..3 {
        nodes.block(&mut state, 0);
    }
    assert!(state.newest_keys().is_some(), "three blocks make a key");
    State::restore(parameters.clone(), 0, [], [], [], [], [], state.generations().values().cloned())
        .expect("a sound state")
}

impl Nodes {
    /// The nodes that have these keypairs.
    ///
    /// # Panics
    /// If they are not those of `parameters`.
    pub fn new(parameters: &NetworkParameters, keypairs: Vec<Keypair>) -> Self {
        let identities = keypairs.iter().map(|keypair| PublicKey(keypair.public.to_bytes()));
        assert!(identities.eq(parameters.nodes.iter().map(|node| node.identity)), "each node has its keypair");
        Self { chain: parameters.chain.clone(), keypairs, rng: ChaCha20Rng::from_seed([7; 32]) }
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.keypairs.len()).expect("at most 64")
    }

    /// How many of them may be faulty.
    pub fn faults(&self) -> usize {
        fault_tolerance(self.keypairs.len())
    }

    /// An operation, signed by a node and verified.
    pub fn sign(&mut self, node: u16, operation: Operation) -> Submitted {
        let keypair = &self.keypairs[usize::from(node)];
        let signed = Signed::sign(keypair, self.chain.clone(), operation, &mut self.rng);
        Submitted::Verified(signed.verify(&self.chain).expect("just signed"), Payload::Inline)
    }

    /// A step in the newest run.
    pub fn submit(&mut self, node: u16, run: &Generation, step: GenerationStep) -> Submitted {
        self.sign(node, Operation::Generate { epoch: run.epoch, attempt: run.attempt, step: Box::new(step) })
    }

    /// The next block, in which every node does what is due.
    pub fn block(&mut self, state: &mut State, time_ms: u64) -> Outcome {
        let due = (0..self.count()).filter_map(|node| Some((node, self.due(node, state)?))).collect::<Vec<_>>();
        let run = newest(state).clone();
        let operations = due.into_iter().map(|(node, step)| self.submit(node, &run, step)).collect();
        state.apply(&Block { height: state.height() + 1, time_ms, operations })
    }

    /// What an honest node does now.
    pub fn due(&mut self, node: u16, state: &State) -> Option<GenerationStep> {
        let (run, place) = (newest(state), usize::from(node));
        match run.phase {
            GenerationPhase::Dealing if run.dealings[place].is_none() => {
                Some(GenerationStep::Deal { dealing: self.dealing(node, run, &BTreeSet::new()) })
            }
            GenerationPhase::Checking if run.checks[place].is_none() => {
                Some(GenerationStep::Check { accused: self.wronged_by(node, run) })
            }
            GenerationPhase::Answering if run.answers[place].is_none() && run.must_answer(node) => {
                Some(GenerationStep::Answer { shares: self.answers(node, run) })
            }
            GenerationPhase::Endorsing if run.endorsements.iter().all(|endorsement| endorsement.node != node) => {
                Some(self.endorsement(node, run, state.generations().get(&(run.epoch - 1))))
            }
            _ => None,
        }
    }

    /// A node's polynomial in a run.
    pub fn polynomial(&self, node: u16, run: &Generation) -> Polynomial {
        let seed = Seed::new(self.keypairs[usize::from(node)].public.to_bytes());
        let context = format!("{} {} {}", self.chain, run.epoch, run.attempt);
        Polynomial::from_seed(&seed, context.as_bytes(), u16::try_from(run.faults()).expect("small")).expect("small")
    }

    /// What a node deals, with wrong shares for `victims`.
    pub fn dealing(&self, node: u16, run: &Generation, victims: &BTreeSet<u16>) -> Dealing {
        let polynomial = self.polynomial(node, run);
        let sealed = |recipient: u16| {
            let mut bytes = polynomial.share_for(index(recipient)).expect("not zero").to_bytes().to_vec();
            bytes.resize(wire::generation::SEALED_SHARE_BYTES, 0);
            bytes[31] ^= u8::from(victims.contains(&recipient));
            Bytes(bytes)
        };
        Dealing {
            commitments: polynomial.commitments().to_bytes().into_iter().map(G2Bytes).collect(),
            ephemeral: ExchangeKey([9; 32]),
            shares: (0..self.count()).map(sealed).collect(),
        }
    }

    /// The dealers whose sealed shares for a node are wrong.
    pub fn wronged_by(&self, node: u16, run: &Generation) -> Vec<u16> {
        let dealers = (0..).zip(&run.dealings).filter(|(dealer, dealing)| *dealer != node && dealing.is_some());
        dealers.map(|(dealer, _)| dealer).filter(|dealer| self.sealed(node, run, *dealer).is_none()).collect()
    }

    /// The shares of all who accuse a node.
    pub fn answers(&self, node: u16, run: &Generation) -> Vec<PublishedShare> {
        let polynomial = self.polynomial(node, run);
        let share = |recipient: u16| polynomial.share_for(index(recipient)).expect("not zero").to_bytes();
        run.accusers(node)
            .map(|recipient| PublishedShare { recipient, share: ScalarBytes(*share(recipient)) })
            .collect()
    }

    /// A node's word for the outcome, with its partial signature if there is a key before of which it has a share.
    pub fn endorsement(&mut self, node: u16, run: &Generation, previous: Option<&Generation>) -> GenerationStep {
        let record = run.record.clone().expect("an outcome");
        let message = record.succession_message(&self.chain);
        let share = previous.and_then(|previous| self.share(node, previous));
        let partial = share.map(|share| G1Bytes(share.partial_sign(Domain::KeyRecord, &message.0).to_bytes()));
        let keypair = &self.keypairs[usize::from(node)];
        let signature = Signed::sign(keypair, self.chain.clone(), record, &mut self.rng).signature;
        GenerationStep::Endorse { signature, partial }
    }

    /// A node's share of the key that a run has made, from what is on the board; none if a dealer has cheated it unnoticed.
    pub fn share(&self, node: u16, run: &Generation) -> Option<SecretShare> {
        let dealt = run.qualified.iter().map(|dealer| {
            let answer = run.answers[usize::from(*dealer)].iter().flatten().find(|share| share.recipient == node);
            answer.map_or_else(
                || self.sealed(node, run, *dealer),
                |answer| DealtShare::from_bytes(index(node), &answer.share.0).ok(),
            )
        });
        SecretShare::from_dealt(index(node), &dealt.collect::<Option<Vec<_>>>()?).ok()
    }

    /// The joint signature of all nodes that have a share of the key that a run has made.
    ///
    /// # Panics
    /// If these are too few.
    pub fn sign_jointly(&self, made: &Generation, domain: Domain, message: &Hash) -> G1Bytes {
        let partial = |node| Some((index(node), self.share(node, made)?.partial_sign(domain, &message.0)));
        let partials = (0..self.count()).filter_map(partial).collect();
        let keys = ledger::public_keys(made).expect("a run that has come to its outcome");
        G1Bytes(keys.combine(domain, &message.0, &partials).expect("f + 1 shares").to_bytes())
    }

    fn sealed(&self, node: u16, run: &Generation, dealer: u16) -> Option<DealtShare> {
        let dealing = run.dealings[usize::from(dealer)].as_ref()?;
        let bytes = dealing.shares[usize::from(node)].0.first_chunk()?;
        let share = DealtShare::from_bytes(index(node), bytes).ok()?;
        let points: Vec<[u8; 96]> = dealing.commitments.iter().map(|point| point.0).collect();
        let commitments = Commitments::from_bytes(&points, u16::try_from(run.faults()).ok()?).ok()?;
        commitments.verify_share(&share).is_ok().then_some(share)
    }
}

/// The newest generation on a board.
///
/// # Panics
/// Never: there is one from genesis on.
pub fn newest(state: &State) -> &Generation {
    state.generations().values().next_back().expect("from genesis on there is one")
}

/// The number of a node's share.
///
/// # Panics
/// If there are not so many nodes.
pub fn index(node: u16) -> Index {
    Index::new(node + 1).expect("at most 64 nodes")
}

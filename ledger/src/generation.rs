//! Steps of a generation of the cluster's threshold key: who may take which, and when.
//!
//! Everybody but the nodes is refused at once, and a node's own step is looked at closely only when it is its turn and new, so that
//! no stranger can make a node calculate.

use crate::{State, apply::Change, changes::Changes};
use bls::{Commitments, DealtShare, Domain, Index, PartialSignature, PublicShare};
use std::collections::BTreeMap;
use wire::{
    Code, Dealing, Endorsement, G1Bytes, Generation, GenerationStep, KeyRecord, PublicKey, PublishedShare, Signature,
    signed,
};

impl State {
    /// All generations of threshold keys by epoch, from the first to the newest, which may still run.
    pub fn generations(&self) -> &BTreeMap<u64, Generation> {
        &self.generations
    }

    /// The newest generation.
    pub(crate) fn generation(&self) -> &Generation {
        self.generations
            .values()
            .next_back()
            .expect("the first generation begins with the chain, and none is ever removed")
    }

    pub(crate) fn generation_mut(&mut self) -> &mut Generation {
        let newest = self.generations.values_mut().next_back();
        newest.expect("the first generation begins with the chain, and none is ever removed")
    }

    /// The place of a node among all nodes.
    pub(crate) fn node(&self, identity: &PublicKey) -> Result<u16, Code> {
        let mut places = (0..).zip(&self.parameters.nodes);
        places.find(|(_, node)| node.identity == *identity).map(|(place, _)| place).ok_or(Code::NotPermitted)
    }

    /// A step that was taken says so before anything else that could be wrong now: whoever sends it again learns that it counts.
    pub(crate) fn decide_generate(
        &self,
        epoch: u64,
        attempt: u32,
        step: &GenerationStep,
        author: &PublicKey,
    ) -> Result<Change, Code> {
        let node = self.node(author)?;
        let generation = self.generations.get(&epoch).filter(|generation| generation.attempt == attempt);
        let generation = generation.ok_or(Code::WrongGeneration)?;
        if let Some(same) = repeats(generation, node, step) {
            return Err(if same { Code::DuplicateSame } else { Code::DuplicateDifferent });
        }
        if generation.phase != step.phase() {
            return Err(Code::WrongStep);
        }
        match step {
            GenerationStep::Deal { dealing } => check_dealing(generation, dealing)?,
            GenerationStep::Check { accused } => check_accusations(generation, node, accused)?,
            GenerationStep::Answer { shares } => check_answer(generation, node, shares)?,
            GenerationStep::Endorse { signature, partial } => {
                let record = generation.record.as_ref().ok_or(Code::WrongStep)?;
                self.check_endorsement(record, node, author, signature)?;
                self.check_partial(record, node, partial.as_ref())?;
            }
        }
        Ok(Change::Generate { node, step: Box::new(step.clone()) })
    }

    /// Takes a step that was decided, and lets the generation go on if it was the last that its phase waits for.
    pub(crate) fn take_step(&mut self, node: u16, step: GenerationStep, height: u64, changes: &mut Changes) {
        let generation = self.generation_mut();
        let place = usize::from(node);
        match step {
            GenerationStep::Deal { dealing } => set(&mut generation.dealings, place, dealing),
            GenerationStep::Check { accused } => set(&mut generation.checks, place, accused),
            GenerationStep::Answer { shares } => set(&mut generation.answers, place, shares),
            GenerationStep::Endorse { signature, partial } => {
                generation.endorsements.push(Endorsement { node, signature });
                generation.partials.extend(partial.map(|partial| (node, partial)));
            }
        }
        changes.generation(generation.epoch);
        self.advance_generation(height, changes);
    }

    /// Identities stay those of genesis, so that a node's place among those of the epoch before is its place now.
    fn check_endorsement(
        &self,
        record: &KeyRecord,
        node: u16,
        author: &PublicKey,
        signature: &Signature,
    ) -> Result<(), Code> {
        let previous = record.epoch.checked_sub(1).and_then(|epoch| self.generations.get(&epoch));
        let previous = previous.and_then(|generation| generation.record.as_ref());
        let place = usize::from(node);
        let known = previous.is_none_or(|previous| previous.identities.get(place) == Some(author));
        if !known {
            return Err(Code::NotPermitted);
        }
        signed::check(author, &signed::digest(&self.parameters.chain, author, record), signature)
    }

    /// A node that has no share of the key before endorses without; the first epoch has none before it. Of all public shares only the
    /// node's own is decoded.
    fn check_partial(&self, record: &KeyRecord, node: u16, partial: Option<&G1Bytes>) -> Result<(), Code> {
        let Some(partial) = partial else { return Ok(()) };
        let previous = record.epoch.checked_sub(1).and_then(|epoch| self.generations.get(&epoch));
        let key =
            previous.and_then(|previous| previous.public_shares.get(usize::from(node))).ok_or(Code::BadPartial)?;
        let message = record.succession_message(&self.parameters.chain);
        // The identity stands for a share that is zero, and is no key.
        let checked = PublicShare::from_bytes(&key.0).and_then(|key| {
            let partial = PartialSignature::from_bytes(&partial.0)?;
            key.verify(Domain::KeyRecord, &message.0, &partial)
        });
        checked.map_err(|_| Code::BadPartial)
    }
}

/// The number of a node's share.
pub(crate) fn index(node: u16) -> Result<Index, bls::Error> {
    Index::new(node.saturating_add(1))
}

/// A dealing's commitments, decoded and checked.
pub(crate) fn commitments(dealing: &Dealing, faults: usize) -> Result<Commitments, bls::Error> {
    let points: Vec<[u8; 96]> = dealing.commitments.iter().map(|point| point.0).collect();
    Commitments::from_bytes(&points, u16::try_from(faults).unwrap_or(u16::MAX))
}

fn set<T>(slots: &mut [Option<T>], place: usize, value: T) {
    if let Some(slot) = slots.get_mut(place) {
        *slot = Some(value);
    }
}

/// Whether the node has taken this step before, and if so, whether it was the same. Signatures are randomised, so that an
/// endorsement is the same if it is of the same record, which it always is, with the same partial signature.
fn repeats(generation: &Generation, node: u16, step: &GenerationStep) -> Option<bool> {
    let place = usize::from(node);
    match step {
        GenerationStep::Deal { dealing } => Some(generation.dealings.get(place)?.as_ref()? == dealing),
        GenerationStep::Check { accused } => Some(generation.checks.get(place)?.as_ref()? == accused),
        GenerationStep::Answer { shares } => Some(generation.answers.get(place)?.as_ref()? == shares),
        GenerationStep::Endorse { partial, .. } => {
            generation.endorsements.iter().find(|endorsement| endorsement.node == node)?;
            let first = generation.partials.iter().find(|(author, _)| *author == node).map(|(_, partial)| partial);
            Some(first == partial.as_ref())
        }
    }
}

fn check_dealing(generation: &Generation, dealing: &Dealing) -> Result<(), Code> {
    let sized = dealing.shares.len() == generation.exchange_keys.len();
    let sound = sized && commitments(dealing, generation.faults()).is_ok();
    if sound { Ok(()) } else { Err(Code::BadDealing) }
}

fn check_accusations(generation: &Generation, node: u16, accused: &[u16]) -> Result<(), Code> {
    let dealt = |dealer: u16| generation.dealings.get(usize::from(dealer)).is_some_and(Option::is_some);
    let possible = accused.iter().all(|dealer| *dealer != node && dealt(*dealer));
    if possible { Ok(()) } else { Err(Code::BadAccusation) }
}

/// Only the shares of accusers are published: at most f, and those that are honest have lost theirs or got a bad one.
fn check_answer(generation: &Generation, node: u16, shares: &[PublishedShare]) -> Result<(), Code> {
    if !generation.must_answer(node) {
        return Err(Code::WrongStep);
    }
    if !generation.accusers(node).eq(shares.iter().map(|share| share.recipient)) {
        return Err(Code::BadAnswer);
    }
    let dealing = generation.dealings.get(usize::from(node)).and_then(Option::as_ref).ok_or(Code::BadAnswer)?;
    let sound = commitments(dealing, generation.faults()).and_then(|commitments| {
        shares.iter().try_for_each(|published| {
            commitments.verify_share(&DealtShare::from_bytes(index(published.recipient)?, &published.share.0)?)
        })
    });
    sound.map_err(|_| Code::BadAnswer)
}

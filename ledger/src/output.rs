//! What comes out of a generation: the qualified dealers, the keys, and the record that says whose they are.

use crate::{State, generation};
use bls::{Commitments, Domain, PartialSignature, PublicKeySet, Signature};
use std::collections::BTreeMap;
use wire::{EndorsedKeyRecord, Endorsement, G1Bytes, G2Bytes, Generation, KeyRecord, PublicKey};

/// The keys of a generation that has come to its outcome: the group's and every node's.
pub fn public_keys(generation: &Generation) -> Option<PublicKeySet> {
    let group = &generation.record.as_ref()?.group_key.0;
    let shares = generation.public_shares.iter().map(|share| &share.0);
    PublicKeySet::from_bytes(group, generation.faults().saturating_add(1), shares).ok()
}

/// Dealers whose dealings count, ascending: nobody accuses them, or they have published what their accusers say they lack.
pub(crate) fn qualified(generation: &Generation) -> Vec<u16> {
    let answered = |dealer: u16| generation.answers.get(usize::from(dealer)).is_some_and(Option::is_some);
    let is_sound = |dealer: &u16| match generation.accusers(*dealer).count() {
        0 => true,
        accusers => accusers <= generation.faults() && answered(*dealer),
    };
    let dealt = (0..).zip(&generation.dealings).filter(|(_, dealing)| dealing.is_some());
    dealt.map(|(dealer, _)| dealer).filter(is_sound).collect()
}

/// Fixes the outcome in a block of `height`. False if there is none: fewer than f + 1 dealers are qualified, so that perhaps no
/// honest one is among them, or coefficients of their polynomials cancel out. A node whose own share is zero has none, and the others
/// go on without it: whoever brought that about has that node's secrets.
pub(crate) fn conclude(generation: &mut Generation, identities: Vec<PublicKey>, height: u64) -> bool {
    let qualified = qualified(generation);
    if qualified.len() <= generation.faults() {
        return false;
    }
    let Some(keys) = keys(generation, &qualified) else { return false };
    generation.record = Some(KeyRecord {
        epoch: generation.epoch,
        first_height: height.saturating_add(1),
        group_key: G2Bytes(keys.group_key().to_bytes()),
        identities,
    });
    generation.public_shares = keys.shares_to_bytes().into_iter().map(G2Bytes).collect();
    generation.qualified = qualified;
    true
}

fn keys(generation: &Generation, qualified: &[u16]) -> Option<PublicKeySet> {
    let commitments = |dealer: &u16| {
        let dealing = generation.dealings.get(usize::from(*dealer))?.as_ref()?;
        generation::commitments(dealing, generation.faults()).ok()
    };
    let dealings: Vec<Commitments> = qualified.iter().map(commitments).collect::<Option<_>>()?;
    let count = u16::try_from(generation.exchange_keys.len()).ok()?;
    PublicKeySet::from_commitments(&Commitments::sum(&dealings).ok()?, count).ok()
}

impl State {
    /// The endorsed record of the newest key in force.
    pub fn newest_keys(&self) -> Option<&EndorsedKeyRecord> {
        self.generations.values().rev().find_map(|generation| generation.endorsed.as_ref())
    }

    /// The newest generation's record with all that makes it follow from the key before, once there is enough of that: the word of
    /// f + 1 nodes, lowest first, and from the second epoch on the signature of the key before, which is the same whoever made it.
    pub(crate) fn endorsed(&self) -> Option<EndorsedKeyRecord> {
        let generation = self.generation();
        let record = generation.record.clone()?;
        let needed = generation.faults().saturating_add(1);
        let mut endorsements: Vec<Endorsement> = generation.endorsements.clone();
        endorsements.sort_by_key(|endorsement| endorsement.node);
        endorsements.truncate(needed);
        if endorsements.len() < needed {
            return None;
        }
        let previous = record.epoch.checked_sub(1).and_then(|epoch| self.generations.get(&epoch));
        let previous = match previous {
            None => None,
            Some(previous) => Some(self.succession(&record, previous, &generation.partials)?),
        };
        Some(EndorsedKeyRecord { record, endorsements, previous })
    }

    fn succession(&self, record: &KeyRecord, previous: &Generation, partials: &[(u16, G1Bytes)]) -> Option<G1Bytes> {
        let keys = public_keys(previous)?;
        if partials.len() < keys.threshold() {
            return None;
        }
        let decode = |(node, partial): &(u16, G1Bytes)| {
            Some((generation::index(*node).ok()?, PartialSignature::from_bytes(&partial.0).ok()?))
        };
        let partials: BTreeMap<_, _> = partials.iter().filter_map(decode).collect();
        let message = record.succession_message(&self.parameters.chain);
        let signature: Signature = keys.combine(Domain::KeyRecord, &message.0, &partials).ok()?;
        Some(G1Bytes(signature.to_bytes()))
    }
}

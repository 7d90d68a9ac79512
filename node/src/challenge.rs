//! The joint challenge of an open session (P4.5 step 4), as one node sees it: its own share, and those of the others as they come in.
//!
//! Nothing here has a clock or I/O; [`crate::challenger`] brings what the others give.

use crate::keyring::EpochKeys;
use bls::{Combined, Domain, Error, Index, PartialSignature};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::Keypair;
use std::{collections::BTreeMap, sync::Arc};
use wire::{ChainId, ChallengeShare, G1Bytes, PublicKey, SessionId, Signed, challenge_message};

/// What a node gave that no honest node gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// What it did not sign, or what is about something else.
    Envelope,
    /// A partial signature that is not one of its share of the key on the session's message.
    Partial,
}

impl Fault {
    /// For counters and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Partial => "partial",
        }
    }
}

/// The nodes' shares of one session's challenge.
pub struct Shares {
    chain: ChainId,
    session: SessionId,
    keys: Arc<EpochKeys>,
    /// Identity keys in the order of genesis; share i + 1 of the key is node i's.
    nodes: Arc<[PublicKey]>,
    held: BTreeMap<Index, (PartialSignature, Signed<ChallengeShare>)>,
}

/// What came of the shares so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// The threshold signature, which is the only one that there is; none while there are too few good shares.
    pub signature: Option<G1Bytes>,
    /// Whose shares were wrong, and what they signed.
    pub culprits: Vec<(usize, Signed<ChallengeShare>)>,
}

/// This node's share, under its identity key. None if it has none of that key.
pub fn share<R: RngCore + CryptoRng>(
    chain: &ChainId,
    session: SessionId,
    keys: &EpochKeys,
    identity: &Keypair,
    rng: R,
) -> Option<Signed<ChallengeShare>> {
    let partial = keys.share.as_ref()?.partial_sign(Domain::Challenge, &challenge_message(chain, &session).0);
    let share = ChallengeShare { session, epoch: keys.epoch, partial: G1Bytes(partial.to_bytes()) };
    Some(Signed::sign(identity, chain.clone(), share, rng))
}

impl Shares {
    /// None yet, under the key of the epoch that the session names.
    pub fn new(chain: ChainId, session: SessionId, keys: Arc<EpochKeys>, nodes: Arc<[PublicKey]>) -> Self {
        Self { chain, session, keys, nodes, held: BTreeMap::new() }
    }

    /// Takes what a node gave. Whether the partial signature is right is seen when it is used.
    ///
    /// # Errors
    /// The fault.
    pub fn receive(&mut self, node: usize, signed: Signed<ChallengeShare>) -> Result<(), Fault> {
        let about = (signed.body.session, signed.body.epoch) == (self.session, self.keys.epoch);
        let is_its_own = self.nodes.get(node) == Some(&signed.author) && signed.clone().verify(&self.chain).is_ok();
        let partial = PartialSignature::from_bytes(&signed.body.partial.0);
        match (index(node), partial) {
            (Some(index), Ok(partial)) if about && is_its_own => {
                self.held.insert(index, (partial, signed));
                Ok(())
            }
            (Some(_), Err(_)) if about && is_its_own => Err(Fault::Partial),
            _ => Err(Fault::Envelope),
        }
    }

    /// Makes the signature if there are enough shares, and leaves out those that are wrong.
    pub fn draw(&mut self) -> Drawn {
        let message = challenge_message(&self.chain, &self.session);
        let partials = self.held.iter().map(|(index, (partial, _))| (*index, *partial)).collect();
        let (signature, culprits) = match self.keys.public.combine_or_blame(Domain::Challenge, &message.0, &partials) {
            Ok(Combined { signature, culprits }) => (Some(G1Bytes(signature.to_bytes())), culprits),
            Err(Error::TooFewSound { culprits, .. }) => (None, culprits),
            // Too few have come yet; the keys of one generation belong together.
            Err(_) => (None, Vec::new()),
        };
        let blame = |index: Index| {
            let (_, signed) = self.held.remove(&index)?;
            Some((usize::from(index.get()).checked_sub(1)?, signed))
        };
        Drawn { signature, culprits: culprits.into_iter().filter_map(blame).collect() }
    }
}

fn index(node: usize) -> Option<Index> {
    Index::new(u16::try_from(node).ok()?.checked_add(1)?).ok()
}

//! One node's part in generating the threshold key: what it has to do next, as a function of what is on the board and of its secrets.
//!
//! Nothing here has a clock, a file or a connection; [`crate::generator`] hands in what comes out.

use crate::{
    dealer::{self, Dealer},
    sealing::{Place, SealError},
    secrets::NodeSecrets,
};
use bls::{Commitments, DealtShare, Domain, PublicKeySet, SecretShare, Seed};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::Keypair;
use std::sync::Arc;
use wire::{
    Bytes, ChainId, Dealing, Envelope, ExchangeKey, G1Bytes, Generation, GenerationPhase, GenerationStep, Hash,
    NetworkParameters, Operation, PublicKey, Signed, fault_tolerance,
};

/// Why a node has no share of a key, or why an outcome on the board is not one that it can vouch for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The shares were sealed to another key than this node has the secret of.
    #[error("shares were sealed to an exchange key of which this node has no secret")]
    OtherExchangeKey,
    /// A dealer's share for this node does not open.
    #[error("the share of dealer {dealer} cannot be opened: {source}")]
    Sealed {
        /// The dealer.
        dealer: u16,
        /// Why.
        source: SealError,
    },
    /// A dealer's share, or what it committed to, is wrong.
    #[error("dealer {dealer} has dealt wrongly: {source}")]
    Dealt {
        /// The dealer.
        dealer: u16,
        /// What is wrong.
        source: bls::Error,
    },
    /// The generation has no outcome, or another one than its dealings have.
    #[error("the outcome is not that of the dealings on the board")]
    Outcome,
    /// What the dealers gave this node adds up to zero. One of them has all that the others sealed to it.
    #[error(
        "the shares of this node add up to zero, which a dealer did that has this node's exchange secret: replace it"
    )]
    Zero,
    /// The dealings do not add up to a key.
    #[error("the dealings do not add up to a key: {source}")]
    Sum {
        /// What is wrong.
        source: bls::Error,
    },
}

/// One node as it takes part in generations.
pub struct Participant {
    chain: ChainId,
    genesis: Hash,
    identities: Vec<PublicKey>,
    index: u16,
    identity: Keypair,
    secrets: Arc<NodeSecrets>,
}

impl Participant {
    /// Node `index` of the network, with its identity and its other secrets.
    pub fn new(parameters: &NetworkParameters, index: u16, identity: Keypair, secrets: Arc<NodeSecrets>) -> Self {
        let identities = parameters.nodes.iter().map(|node| node.identity).collect();
        Self { chain: parameters.chain.clone(), genesis: parameters.digest(), identities, index, identity, secrets }
    }

    /// The node's place on the list of nodes.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The exchange key whose secret the node has.
    pub fn exchange_key(&self) -> ExchangeKey {
        self.secrets.public().exchange
    }

    /// True if shares of `run` are sealed to the key whose secret this node has.
    pub fn can_open(&self, run: &Generation) -> bool {
        run.exchange_keys.get(usize::from(self.index)) == Some(&self.exchange_key())
    }

    /// True if this node's dealing is on the board.
    pub fn has_dealt(&self, run: &Generation) -> bool {
        self.own(&run.dealings).is_some()
    }

    /// The operation in an envelope that this node has signed.
    pub fn sign<R: RngCore + CryptoRng>(&self, operation: Operation, rng: R) -> Envelope {
        let signed = Signed::sign(&self.identity, self.chain.clone(), operation, rng);
        Envelope { signed, payload: Bytes::default() }
    }

    /// What the node has to do now; nothing if it has done it, or cannot. `seed` is what it deals with in this run; without, it does not
    /// deal, and leaves accusations unanswered. `previous` is its share of the key before, if it has one. `rng` goes into the nonce of
    /// a signature and into nothing else.
    pub fn due<R: RngCore + CryptoRng>(
        &self,
        run: &Generation,
        seed: Option<&Seed>,
        previous: Option<&SecretShare>,
        rng: R,
    ) -> Option<GenerationStep> {
        match run.phase {
            GenerationPhase::Dealing if !self.has_dealt(run) => self.deal(run, seed?),
            GenerationPhase::Checking if self.own(&run.checks).is_none() => self.check(run),
            GenerationPhase::Answering if self.own(&run.answers).is_none() => self.answer(run, seed?),
            GenerationPhase::Endorsing => self.endorse(run, previous, rng),
            _ => None,
        }
    }

    /// The node's share of the key that `run` has made: the sum of what the qualified dealers gave it, in secret or, where it accused
    /// them, in public.
    ///
    /// # Errors
    /// [`ShareError`]: whatever is on the board stays there, so this node has no share of this key.
    pub fn share(&self, run: &Generation) -> Result<SecretShare, ShareError> {
        let keys = public_keys(run)?;
        let sum = |source| match source {
            bls::Error::ZeroShare { .. } => ShareError::Zero,
            source => ShareError::Sum { source },
        };
        let number = dealer::number(self.index).map_err(sum)?;
        let expected = keys.public_share(number).map_err(sum)?;
        let dealt: Result<Vec<DealtShare>, _> = run.qualified.iter().map(|dealer| self.dealt(run, *dealer)).collect();
        let share = SecretShare::from_dealt(number, &dealt?).map_err(sum)?;
        if *expected == share.public_share() { Ok(share) } else { Err(ShareError::Outcome) }
    }

    fn deal(&self, run: &Generation, seed: &Seed) -> Option<GenerationStep> {
        let dealer = Dealer::new(&self.genesis, run, self.index, seed).ok()?;
        Some(GenerationStep::Deal { dealing: dealer.dealing(&self.genesis, run).ok()? })
    }

    /// Who has not the secret that everybody sealed to says nothing: the dealers did no wrong, and shares that it made them publish would be
    /// its own share of the key, for everybody to see.
    fn check(&self, run: &Generation) -> Option<GenerationStep> {
        if !self.can_open(run) {
            return None;
        }
        let wrong = |dealer: &u16| self.sealed(run, *dealer).is_err();
        let others = (0..).zip(&run.dealings).filter(|(dealer, dealing)| dealing.is_some() && *dealer != self.index);
        Some(GenerationStep::Check { accused: others.map(|(dealer, _)| dealer).filter(wrong).collect() })
    }

    /// More than f accusers disqualify whatever the answer; f + 1 shares would give the polynomial away for nothing. Shares of another seed
    /// than that of the dealing on the board would be no answer.
    fn answer(&self, run: &Generation, seed: &Seed) -> Option<GenerationStep> {
        let accusers: Vec<u16> = run.accusers(self.index).collect();
        if accusers.is_empty() || accusers.len() > fault_tolerance(run.exchange_keys.len()) {
            return None;
        }
        let dealer = Dealer::new(&self.genesis, run, self.index, seed).ok()?;
        if !self.own(&run.dealings).is_some_and(|dealing| dealer.has_dealt(dealing)) {
            return None;
        }
        let shares: Result<_, _> = accusers.into_iter().map(|accuser| dealer.publish(accuser)).collect();
        Some(GenerationStep::Answer { shares: shares.ok()? })
    }

    fn endorse<R: RngCore + CryptoRng>(
        &self,
        run: &Generation,
        previous: Option<&SecretShare>,
        rng: R,
    ) -> Option<GenerationStep> {
        if run.endorsements.iter().any(|endorsement| endorsement.node == self.index) {
            return None;
        }
        let record = run.record.as_ref()?;
        let (qualified, keys) = outcome(run).ok()?;
        let sound = public_keys(run).is_ok_and(|published| published == keys)
            && run.qualified == qualified
            && record.epoch == run.epoch
            && record.identities == self.identities;
        if !sound {
            return None;
        }
        let succession = record.succession_message(&self.chain);
        let partial = previous.map(|previous| previous.partial_sign(Domain::KeyRecord, &succession.0));
        let signed = Signed::sign(&self.identity, self.chain.clone(), record.clone(), rng);
        let partial = partial.map(|partial| G1Bytes(partial.to_bytes()));
        Some(GenerationStep::Endorse { signature: signed.signature, partial })
    }

    /// What `dealer` gave this node: in public, if it has answered this node's accusation, else sealed.
    fn dealt(&self, run: &Generation, dealer: u16) -> Result<DealtShare, ShareError> {
        let answer = run.answers.get(usize::from(dealer)).and_then(Option::as_ref);
        match answer.and_then(|shares| shares.iter().find(|share| share.recipient == self.index)) {
            Some(published) => verify(run, dealer, self.index, &published.share.0),
            None => self.sealed(run, dealer),
        }
    }

    fn sealed(&self, run: &Generation, dealer: u16) -> Result<DealtShare, ShareError> {
        if !self.can_open(run) {
            return Err(ShareError::OtherExchangeKey);
        }
        let dealing = dealing(run, dealer)?;
        let place = Place::new(&self.genesis, run, dealer, self.index, dealing.commitments_digest());
        let opened = place.open(dealing, self.secrets.exchange());
        let share = opened.map_err(|source| ShareError::Sealed { dealer, source })?;
        verify(run, dealer, self.index, &share)
    }

    fn own<'a, T>(&self, by_node: &'a [Option<T>]) -> Option<&'a T> {
        by_node.get(usize::from(self.index)).and_then(Option::as_ref)
    }
}

/// The public keys as the board has them, with the threshold that f has.
///
/// # Errors
/// [`ShareError::Outcome`] if the generation has none.
pub fn public_keys(run: &Generation) -> Result<PublicKeySet, ShareError> {
    let record = run.record.as_ref().ok_or(ShareError::Outcome)?;
    let shares = run.public_shares.iter().map(|key| &key.0);
    PublicKeySet::from_bytes(&record.group_key.0, record.faults() + 1, shares).map_err(|_| ShareError::Outcome)
}

/// What the dealings, accusations and answers on the board come to: whose dealings count, and the keys that they make.
fn outcome(run: &Generation) -> Result<(Vec<u16>, PublicKeySet), ShareError> {
    let qualified: Vec<u16> =
        (0..).zip(&run.dealings).map(|(dealer, _)| dealer).filter(|d| qualifies(run, *d)).collect();
    let commitments: Result<Vec<Commitments>, _> = qualified.iter().map(|dealer| commitments(run, *dealer)).collect();
    let sum = |source| ShareError::Sum { source };
    let count = u16::try_from(run.exchange_keys.len()).map_err(|_| ShareError::Outcome)?;
    let keys = Commitments::sum(&commitments?).and_then(|total| PublicKeySet::from_commitments(&total, count));
    Ok((qualified, keys.map_err(sum)?))
}

/// A dealer counts if at most f accuse it and it has answered each of them with the right share.
fn qualifies(run: &Generation, dealer: u16) -> bool {
    let place = usize::from(dealer);
    if run.dealings.get(place).is_none_or(Option::is_none) {
        return false;
    }
    let answers = run.answers.get(place).and_then(Option::as_deref).unwrap_or_default();
    let answered = |accuser: u16| {
        let answer = answers.iter().find(|share| share.recipient == accuser);
        answer.is_some_and(|share| verify(run, dealer, accuser, &share.share.0).is_ok())
    };
    run.accusers(dealer).count() <= fault_tolerance(run.exchange_keys.len()) && run.accusers(dealer).all(answered)
}

fn dealing(run: &Generation, dealer: u16) -> Result<&Dealing, ShareError> {
    run.dealings.get(usize::from(dealer)).and_then(Option::as_ref).ok_or(ShareError::Outcome)
}

fn commitments(run: &Generation, dealer: u16) -> Result<Commitments, ShareError> {
    dealer::commitments(run, dealing(run, dealer)?).map_err(|source| ShareError::Dealt { dealer, source })
}

fn verify(run: &Generation, dealer: u16, recipient: u16, share: &[u8; 32]) -> Result<DealtShare, ShareError> {
    let wrong = |source| ShareError::Dealt { dealer, source };
    let share = DealtShare::from_bytes(dealer::number(recipient).map_err(wrong)?, share).map_err(wrong)?;
    commitments(run, dealer)?.verify_share(&share).map_err(wrong)?;
    Ok(share)
}

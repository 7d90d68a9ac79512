//! What a faulty node does in place of what it should.

use bls::{Index, Polynomial, Seed};
use node::sealing::Place;
use wire::{
    Bytes, Dealing, ExchangeKey, G2Bytes, Generation, GenerationPhase, GenerationStep, Hash, PublishedShare,
    ScalarBytes,
};
use x25519_dalek::{PublicKey, StaticSecret};

/// How a node is faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It does nothing.
    Silent,
    /// It deals and does nothing more.
    SilentAfterDealing,
    /// It seals wrong scalars to all others, and does not answer.
    WrongShares,
    /// It seals a wrong scalar to its f first neighbours, and publishes the right ones when accused.
    WrongSharesToFew,
    /// It seals a wrong scalar to its f first neighbours, and publishes wrong ones.
    WrongAnswer,
    /// It deals bytes that open for nobody.
    Garbage,
    /// It commits to another polynomial than it deals.
    WrongCommitments,
    /// It commits to bytes that are no points.
    NoPoints,
    /// Its ephemeral key makes every secret known.
    WeakKey,
    /// It accuses everybody.
    AccusesAll,
    /// It vouches with a signature that is none.
    WrongEndorsement,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::Silent,
        Self::SilentAfterDealing,
        Self::WrongShares,
        Self::WrongSharesToFew,
        Self::WrongAnswer,
        Self::Garbage,
        Self::WrongCommitments,
        Self::NoPoints,
        Self::WeakKey,
        Self::AccusesAll,
        Self::WrongEndorsement,
    ];

    /// What node `index` does in place of `step`, which an honest one would do. A faulty dealer deals from `seed` in its own way.
    pub fn spoil(
        self,
        genesis: &Hash,
        run: &Generation,
        index: u16,
        step: Option<GenerationStep>,
        seed: &[u8; 32],
    ) -> Option<GenerationStep> {
        let own = usize::from(index);
        match (self, run.phase) {
            (Self::Silent, _) => None,
            (Self::SilentAfterDealing, phase) if phase > GenerationPhase::Dealing => None,
            (Self::AccusesAll, GenerationPhase::Checking) => step.map(|_| {
                let dealt = (0..).zip(&run.dealings).filter(|(dealer, dealing)| dealing.is_some() && *dealer != index);
                GenerationStep::Check { accused: dealt.map(|(dealer, _)| dealer).collect() }
            }),
            (Self::WrongEndorsement, GenerationPhase::Endorsing) => step.map(|step| match step {
                GenerationStep::Endorse { mut signature, partial } => {
                    signature.0[7] ^= 1;
                    GenerationStep::Endorse { signature, partial }
                }
                other => other,
            }),
            (_, GenerationPhase::Dealing) => match step {
                Some(GenerationStep::Deal { dealing }) => {
                    Some(GenerationStep::Deal { dealing: self.deal(genesis, run, index, dealing, seed) })
                }
                other => other,
            },
            (Self::WrongSharesToFew | Self::WrongAnswer, GenerationPhase::Answering) if run.answers[own].is_none() => {
                self.answer(run, index, seed)
            }
            _ => step,
        }
    }

    fn deal(self, genesis: &Hash, run: &Generation, index: u16, dealing: Dealing, seed: &[u8; 32]) -> Dealing {
        let nodes = run.exchange_keys.len();
        match self {
            Self::WrongShares => Faulty::new(run, seed).deal(genesis, run, index, |recipient| recipient != index),
            Self::WrongSharesToFew | Self::WrongAnswer => {
                Faulty::new(run, seed).deal(genesis, run, index, |recipient| {
                    let distance = (usize::from(recipient) + nodes - usize::from(index)) % nodes;
                    (1..=run.faults()).contains(&distance)
                })
            }
            Self::Garbage => Dealing { shares: vec![Bytes(seed.repeat(2)[..48].to_vec()); nodes], ..dealing },
            Self::WrongCommitments => {
                let commitments = Faulty::new(run, seed).polynomial.commitments();
                Dealing { commitments: commitments.to_bytes().into_iter().map(G2Bytes).collect(), ..dealing }
            }
            Self::NoPoints => Dealing { commitments: vec![G2Bytes([7; 96]); dealing.commitments.len()], ..dealing },
            Self::WeakKey => Dealing { ephemeral: ExchangeKey([0; 32]), ..dealing },
            _ => dealing,
        }
    }

    fn answer(self, run: &Generation, index: u16, seed: &[u8; 32]) -> Option<GenerationStep> {
        let faulty = Faulty::new(run, seed);
        let answer = |recipient: u16| {
            let right = ScalarBytes(*faulty.polynomial.share_for(number(recipient)).unwrap().to_bytes());
            let share = if self == Self::WrongAnswer { ScalarBytes([1; 32]) } else { right };
            PublishedShare { recipient, share }
        };
        run.must_answer(index).then(|| GenerationStep::Answer { shares: run.accusers(index).map(answer).collect() })
    }
}

/// A dealer that can seal one thing and commit to another.
struct Faulty {
    polynomial: Polynomial,
    other: Polynomial,
    ephemeral: StaticSecret,
}

impl Faulty {
    fn new(run: &Generation, seed: &[u8; 32]) -> Self {
        let degree = u16::try_from(run.faults()).unwrap();
        let polynomial = |context| Polynomial::from_seed(&Seed::new(*seed), context, degree).unwrap();
        Self { polynomial: polynomial(b"dealt"), other: polynomial(b"other"), ephemeral: StaticSecret::from(*seed) }
    }

    /// Deals a share of another polynomial to all `victims`.
    fn deal(&self, genesis: &Hash, run: &Generation, dealer: u16, victims: impl Fn(u16) -> bool) -> Dealing {
        let mut dealing = Dealing {
            commitments: self.polynomial.commitments().to_bytes().into_iter().map(G2Bytes).collect(),
            ephemeral: ExchangeKey(PublicKey::from(&self.ephemeral).to_bytes()),
            shares: vec![],
        };
        let commitments = dealing.commitments_digest();
        for (recipient, exchange) in (0..).zip(&run.exchange_keys) {
            let polynomial = if victims(recipient) { &self.other } else { &self.polynomial };
            let share = polynomial.share_for(number(recipient)).unwrap();
            let place = Place::new(genesis, run, dealer, recipient, commitments);
            dealing.shares.push(place.seal(&share.to_bytes(), &self.ephemeral, exchange).unwrap());
        }
        dealing
    }
}

fn number(node: u16) -> Index {
    Index::new(node + 1).unwrap()
}

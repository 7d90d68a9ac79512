//! A function that holders of shares evaluate for somebody without seeing its input or its value: f(x) = H(x)^s, where s is the value at
//! zero of a dealer's polynomial, and H hashes to G1 (RFC 9380).
//!
//! Who asks raises H(x) to a random r; each holder raises that to its share; whoever has as many answers as the polynomial has coefficients
//! interpolates in the exponent and takes r away again. Fewer holders learn nothing of f(x), not even whether a guess at x is right, and
//! none of them learns anything of x. That an answer is right is seen by a pairing, under the dealer's [`Commitments`]. This is the threshold
//! form of 2HashDH (Jarecki, Kiayias, Krawczyk and Xu, TOPPSS, 2017), verified as Boldyreva's blind signatures are (PKC 2003).
//!
//! The polynomial must serve this and nothing else: who evaluates blindly signs blindly.
//!
//! ```
//! use bls::{Index, Polynomial, Seed, oblivious::{Blind, combine}};
//! # fn main() -> Result<(), bls::Error> {
//! let dealer = Polynomial::from_seed(&Seed::new([1; 32]), b"what this is for", 1)?;
//! let (commitments, expected) = (dealer.commitments(), dealer.evaluate(b"input"));
//!
//! let (blind, asked) = Blind::new(b"input", &[7; 64]);
//! let mut answers = std::collections::BTreeMap::new();
//! for index in [Index::new(2)?, Index::new(4)?] {
//!     let answer = dealer.share_for(index)?.evaluate(&asked);
//!     commitments.verify_evaluation(index, &asked, &answer)?;
//!     answers.insert(index, answer);
//! }
//! assert_eq!(combine(&commitments, &blind, &answers)?.as_bytes(), expected.as_bytes());
//! # Ok(())
//! # }
//! ```

use crate::{commitments::Commitments, error::Error, index::Index, polynomial::Polynomial, scalar, secret::DealtShare};
use bls12_381::{G1Affine, G1Projective, G2Affine, Scalar, pairing};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The domain separation tag that goes into hash-to-curve (RFC 9380 §3.1).
pub(crate) const TAG: &[u8] = b"WHITE_CITY_BACKUP_V1_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// What takes the blinding away again. It is wiped when dropped.
pub struct Blind(Zeroizing<Scalar>);

/// A blinded input: it says nothing of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blinded(G1Affine);

/// One holder's part of the value, still blinded. Nothing says yet that it is right: [`Commitments::verify_evaluation`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialEvaluation(G1Affine);

/// f(x), compressed. It is wiped when dropped.
pub struct Evaluation(Zeroizing<[u8; 48]>);

impl Blind {
    /// Blinds `input` with 64 fresh random bytes.
    pub fn new(input: &[u8], random: &[u8; 64]) -> (Self, Blinded) {
        let factor = Zeroizing::new(scalar::from_wide(random));
        let blinded = Blinded(
            decode(&raise(input, &factor)).expect("a hash to the curve is the identity for no input that can be found"),
        );
        (Self(factor), blinded)
    }
}

impl Blinded {
    /// Decodes the compressed form and checks that the point is in the subgroup of prime order: a share lifted over any other would leak.
    ///
    /// # Errors
    /// [`Error::NotAPoint`] or [`Error::Identity`].
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, Error> {
        decode(bytes).map(Self)
    }

    /// The compressed form.
    pub fn to_bytes(&self) -> [u8; 48] {
        self.0.to_compressed()
    }
}

impl PartialEvaluation {
    /// Decodes the compressed form and checks the point.
    ///
    /// # Errors
    /// [`Error::NotAPoint`] or [`Error::Identity`].
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, Error> {
        decode(bytes).map(Self)
    }

    /// The compressed form.
    pub fn to_bytes(&self) -> [u8; 48] {
        self.0.to_compressed()
    }
}

impl Evaluation {
    /// The bytes, which are a key's worth of randomness to whoever knows neither input nor secret.
    pub fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

impl Polynomial {
    /// f(x), for the dealer, who knows s.
    pub fn evaluate(&self, input: &[u8]) -> Evaluation {
        Evaluation(Zeroizing::new(raise(input, self.secret())))
    }
}

impl DealtShare {
    /// This holder's part of f at a blinded input.
    pub fn evaluate(&self, input: &Blinded) -> PartialEvaluation {
        PartialEvaluation(G1Affine::from(G1Projective::from(input.0) * self.scalar()))
    }
}

impl Commitments {
    /// Checks one holder's answer: two pairings.
    ///
    /// # Errors
    /// [`Error::BadPartial`], or [`Error::ZeroShare`] for a holder that has none.
    pub fn verify_evaluation(&self, index: Index, input: &Blinded, answer: &PartialEvaluation) -> Result<(), Error> {
        let key = self.public_share(index)?.to_bytes();
        let key = Option::<G2Affine>::from(G2Affine::from_compressed(&key)).ok_or(Error::NotAPoint)?;
        let is_right = pairing(&answer.0, &G2Affine::generator()) == pairing(&input.0, &key);
        if is_right { Ok(()) } else { Err(Error::BadPartial { index }) }
    }
}

/// f(x), of as many verified answers as are needed: the first ones are used.
///
/// # Errors
/// [`Error::TooFewPartials`]. One wrong answer makes the value wrong.
pub fn combine(
    commitments: &Commitments,
    blind: &Blind,
    answers: &BTreeMap<Index, PartialEvaluation>,
) -> Result<Evaluation, Error> {
    let needed = commitments.threshold();
    if answers.len() < needed {
        return Err(Error::TooFewPartials { found: answers.len(), needed });
    }
    let indices: Vec<Index> = answers.keys().take(needed).copied().collect();
    let terms = answers.values().zip(scalar::at_zero(&indices)).map(|(answer, factor)| answer.0 * factor);
    let blinded: G1Projective = terms.sum();
    let inverse = Zeroizing::new(Option::<Scalar>::from(blind.0.invert()).expect("a blinding factor is not zero"));
    Ok(Evaluation(Zeroizing::new(G1Affine::from(blinded * *inverse).to_compressed())))
}

/// H(input) to the power of `factor`, which is not zero.
fn raise(input: &[u8], factor: &Scalar) -> [u8; 48] {
    scalar::secret_key(factor).expect("the factor is reduced and not zero").sign(input, TAG, &[]).to_bytes()
}

fn decode(bytes: &[u8; 48]) -> Result<G1Affine, Error> {
    let point = Option::<G1Affine>::from(G1Affine::from_compressed(bytes)).ok_or(Error::NotAPoint)?;
    if bool::from(point.is_identity()) { Err(Error::Identity) } else { Ok(point) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Seed};
    use proptest::prelude::*;

    fn dealer(seed: u8, degree: u16) -> Polynomial {
        Polynomial::from_seed(&Seed::new([seed; 32]), b"", degree).unwrap()
    }

    fn answers(dealer: &Polynomial, asked: &Blinded, indices: &[u16]) -> BTreeMap<Index, PartialEvaluation> {
        let index = |number: &u16| Index::new(*number).unwrap();
        indices.iter().map(|number| (index(number), dealer.share_for(index(number)).unwrap().evaluate(asked))).collect()
    }

    #[test]
    fn the_tag_is_nobody_elses() {
        assert!((16..=255).contains(&TAG.len()));
        assert!(Domain::ALL.iter().all(|domain| domain.tag() != TAG));
    }

    #[test]
    fn points_that_are_none_or_lie_elsewhere_are_refused() {
        let mut identity = [0; 48];
        identity[0] = 0xC0;
        assert_eq!(Blinded::from_bytes(&identity), Err(Error::Identity));
        assert_eq!(Blinded::from_bytes(&[0xff; 48]), Err(Error::NotAPoint));
        // Of the points of the curve few are in the subgroup.
        let on_curve = (0..=255_u8).filter_map(|byte| {
            let mut bytes = [0; 48];
            (bytes[0], bytes[47]) = (0x80, byte);
            let point = Option::<G1Affine>::from(G1Affine::from_compressed_unchecked(&bytes))?;
            (bool::from(point.is_on_curve()) && !bool::from(point.is_torsion_free())).then_some(bytes)
        });
        let outside: Vec<_> = on_curve.collect();
        assert!(outside.len() > 20, "{}", outside.len());
        assert!(outside.iter().all(|bytes| Blinded::from_bytes(bytes) == Err(Error::NotAPoint)));
        assert!(outside.iter().all(|bytes| PartialEvaluation::from_bytes(bytes) == Err(Error::NotAPoint)));
    }

    #[test]
    fn a_wrong_answer_is_found() {
        let (one, other) = (dealer(1, 1), dealer(2, 1));
        let (_, asked) = Blind::new(b"input", &[3; 64]);
        let (_, asked_before) = Blind::new(b"input", &[4; 64]);
        let index = Index::new(2).unwrap();
        let commitments = one.commitments();
        let right = one.share_for(index).unwrap().evaluate(&asked);
        assert_eq!(commitments.verify_evaluation(index, &asked, &right), Ok(()));
        let wrong = [
            other.share_for(index).unwrap().evaluate(&asked),
            one.share_for(Index::new(3).unwrap()).unwrap().evaluate(&asked),
            one.share_for(index).unwrap().evaluate(&asked_before),
            PartialEvaluation(asked.0),
            PartialEvaluation(-right.0),
        ];
        for answer in wrong {
            assert_eq!(commitments.verify_evaluation(index, &asked, &answer), Err(Error::BadPartial { index }));
        }
        let next = Index::new(3).unwrap();
        assert_eq!(commitments.verify_evaluation(next, &asked, &right), Err(Error::BadPartial { index: next }));
    }

    #[test]
    fn too_few_and_a_wrong_one_do_not_make_the_value() {
        let dealer = dealer(1, 2);
        let (blind, asked) = Blind::new(b"input", &[3; 64]);
        let few = answers(&dealer, &asked, &[1, 4]);
        let refused = combine(&dealer.commitments(), &blind, &few).err();
        assert_eq!(refused, Some(Error::TooFewPartials { found: 2, needed: 3 }));
        let mut enough = answers(&dealer, &asked, &[1, 4, 5]);
        let value = combine(&dealer.commitments(), &blind, &enough).unwrap();
        assert_eq!(value.as_bytes(), dealer.evaluate(b"input").as_bytes());
        enough.insert(Index::new(4).unwrap(), PartialEvaluation(asked.0));
        assert_ne!(combine(&dealer.commitments(), &blind, &enough).unwrap().as_bytes(), value.as_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn any_enough_of_them_make_the_same_value_however_it_was_blinded(
            seed: [u8; 32],
            input: Vec<u8>,
            low: [u8; 32],
            chosen in proptest::sample::subsequence((1_u16..=10).collect::<Vec<_>>(), 4..=10),
        ) {
            let dealer = Polynomial::from_seed(&Seed::new(seed), b"", 3).unwrap();
            let mut random = [9; 64];
            random[..32].copy_from_slice(&low);
            let (blind, asked) = Blind::new(&input, &random);
            let answers = answers(&dealer, &asked, &chosen);
            let value = combine(&dealer.commitments(), &blind, &answers).unwrap();
            let expected = dealer.evaluate(&input);
            prop_assert_eq!(value.as_bytes(), expected.as_bytes());
            prop_assert_ne!(value.as_bytes(), &asked.to_bytes());
            prop_assert_eq!(Blinded::from_bytes(&asked.to_bytes()), Ok(asked));
        }
    }
}

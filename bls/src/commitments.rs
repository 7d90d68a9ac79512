//! Feldman's commitments to a polynomial (Feldman, "A practical scheme for non-interactive verifiable secret sharing", 1987).

use crate::{
    encoding::refusal,
    error::Error,
    index::{Index, MAX_SHARES},
    keys::{GroupKey, PublicShare},
    scalar,
    secret::DealtShare,
};
use blst::{
    MultiPoint,
    min_sig::{AggregatePublicKey, PublicKey},
};

/// Commitments to the coefficients of a polynomial, or of a sum of polynomials: points of G2, lowest coefficient first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitments {
    /// At least one, at most [`MAX_SHARES`]; none the identity, all in the subgroup.
    points: Vec<PublicKey>,
}

impl Commitments {
    /// Decodes commitments to a polynomial of exactly the degree `degree`; any other would change the threshold.
    ///
    /// # Errors
    /// [`Error::Threshold`], [`Error::Coefficients`], or what is wrong with a point.
    pub fn from_bytes(points: &[[u8; 96]], degree: u16) -> Result<Self, Error> {
        let expected = usize::from(degree) + 1;
        if degree >= MAX_SHARES {
            return Err(Error::Threshold { threshold: expected, count: usize::from(MAX_SHARES) });
        }
        if points.len() != expected {
            return Err(Error::Coefficients { expected, found: points.len() });
        }
        let points: Result<Vec<PublicKey>, _> = points.iter().map(|point| PublicKey::key_validate(point)).collect();
        Ok(Self { points: points.map_err(refusal)? })
    }

    /// The compressed points, lowest coefficient first.
    pub fn to_bytes(&self) -> Vec<[u8; 96]> {
        self.points.iter().map(PublicKey::to_bytes).collect()
    }

    pub(crate) fn from_points(points: Vec<PublicKey>) -> Self {
        Self { points }
    }

    /// How many shares give the polynomial away: its degree + 1.
    pub fn threshold(&self) -> usize {
        self.points.len()
    }

    /// Commitments to the sum of the polynomials of all `dealings`.
    ///
    /// # Errors
    /// [`Error::NoDealings`]; [`Error::Coefficients`] if their degrees differ; [`Error::Identity`] if coefficients cancel out.
    pub fn sum(dealings: &[Self]) -> Result<Self, Error> {
        let expected = dealings.first().ok_or(Error::NoDealings)?.threshold();
        if let Some(other) = dealings.iter().find(|dealing| dealing.threshold() != expected) {
            return Err(Error::Coefficients { expected, found: other.threshold() });
        }
        let sum_of = |number: usize| {
            let column: Vec<&PublicKey> = dealings.iter().filter_map(|dealing| dealing.points.get(number)).collect();
            checked(AggregatePublicKey::aggregate(&column, false).map_err(refusal)?)
        };
        Ok(Self { points: (0..expected).map(sum_of).collect::<Result<_, _>>()? })
    }

    /// Checks that a share is the value of the polynomial at its index.
    ///
    /// # Errors
    /// [`Error::BadShare`] with the recipient's index; the caller knows the dealer.
    pub fn verify_share(&self, share: &DealtShare) -> Result<(), Error> {
        let index = share.index();
        let is_value = self.public_share(index).is_ok_and(|expected| expected == share.public_share());
        if is_value { Ok(()) } else { Err(Error::BadShare { index }) }
    }

    /// The public key of the share `index`.
    ///
    /// # Errors
    /// [`Error::ZeroShare`] if that share is zero. A dealer can bring that about for its own commitments. For a sum it must know what
    /// all others gave to `index`, which is the share's owner, or somebody to whom the owner has told it.
    pub fn public_share(&self, index: Index) -> Result<PublicShare, Error> {
        let (factors, bits) = scalar::factors(&scalar::powers(index, self.points.len()));
        match checked(self.points.as_slice().mult(&factors, bits)) {
            Err(Error::Identity) => Err(Error::ZeroShare { index }),
            key => key.map(PublicShare),
        }
    }

    /// The public key of the shared secret.
    pub fn group_key(&self) -> GroupKey {
        GroupKey(*self.points.first().expect("there is at least one commitment"))
    }
}

fn checked(sum: AggregatePublicKey) -> Result<PublicKey, Error> {
    let point = sum.to_public_key();
    point.validate().map_err(refusal)?;
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Polynomial, PublicKeySet, SecretShare, Seed};
    use bls12_381::Scalar;
    use std::collections::BTreeMap;

    fn dealing(seed: u8, degree: u16) -> Commitments {
        Polynomial::from_seed(&Seed::new([seed; 32]), b"", degree).unwrap().commitments()
    }

    /// Commitments to a polynomial with these coefficients.
    fn to(coefficients: &[Scalar]) -> Commitments {
        Commitments::from_points(coefficients.iter().map(|c| scalar::secret_key(c).unwrap().sk_to_pk()).collect())
    }

    #[test]
    fn encodings_are_read_back_and_have_the_agreed_degree() {
        let commitments = dealing(1, 2);
        assert_eq!(Commitments::from_bytes(&commitments.to_bytes(), 2).unwrap(), commitments);
        let other = Commitments::from_bytes(&commitments.to_bytes(), 1);
        assert_eq!(other, Err(Error::Coefficients { expected: 2, found: 3 }));
        assert!(matches!(Commitments::from_bytes(&[], u16::MAX), Err(Error::Threshold { .. })));
    }

    #[test]
    fn only_dealings_of_one_degree_add_up() {
        assert_eq!(Commitments::sum(&[]), Err(Error::NoDealings));
        let mixed = Commitments::sum(&[dealing(1, 2), dealing(2, 3)]);
        assert_eq!(mixed, Err(Error::Coefficients { expected: 3, found: 4 }));
    }

    #[test]
    fn what_cancels_out_is_refused() {
        let (two, one) = (Scalar::from(2), Scalar::one());
        assert_eq!(Commitments::sum(&[to(&[two, one]), to(&[two, -one])]), Err(Error::Identity));
        // 2 - x is zero at 2.
        let index = Index::new(2).unwrap();
        assert_eq!(to(&[two, -one]).public_share(index), Err(Error::ZeroShare { index }));
        assert_eq!(to(&[two, -one]).public_share(Index::new(1).unwrap()).unwrap().0, to(&[one]).points[0]);
    }

    #[test]
    fn equal_commitments_add_up_to_the_double() {
        let (one, three) = (Scalar::one(), Scalar::from(3));
        let doubled = Commitments::sum(&[to(&[one, three]), to(&[one, three])]).unwrap();
        assert_eq!(doubled, to(&[one + one, three + three]));
        // 1 + x + x^2 + x^3 at 7.
        let value = to(&[one, one, one, one]).public_share(Index::new(7).unwrap()).unwrap();
        assert_eq!(value.0, to(&[Scalar::from(400)]).points[0]);
    }

    /// 2 + x - x^2 is zero at 2: that share signs nothing, and the others go on without it.
    #[test]
    fn a_share_that_is_zero_is_nobodys_and_stands_in_nobodys_way() {
        let coefficients = [Scalar::from(2), Scalar::one(), -Scalar::one()];
        let keys = PublicKeySet::from_commitments(&to(&coefficients), 5).unwrap();
        let index = |number| Index::new(number).unwrap();
        let zero = index(2);
        assert_eq!(keys.public_share(zero), Err(Error::ZeroShare { index: zero }));
        assert_eq!(keys.public_shares().iter().filter(|key| key.is_none()).count(), 1);

        let share_of = |number: u16| {
            let x = Scalar::from(u64::from(number));
            let value = coefficients[0] + coefficients[1] * x + coefficients[2] * x.square();
            let dealt = DealtShare::from_scalar(index(number), value).unwrap();
            SecretShare::from_dealt(index(number), &[dealt]).unwrap()
        };
        let (message, domain) = (b"message", Domain::Certificate);
        let mut partials: BTreeMap<_, _> =
            [1, 4, 5].map(|number| (index(number), share_of(number).partial_sign(domain, message))).into();
        let signature = keys.combine(domain, message, &partials).unwrap();
        let forged = *partials.values().next().unwrap();
        assert_eq!(keys.verify_partial(domain, message, zero, &forged), Err(Error::ZeroShare { index: zero }));
        partials.insert(zero, forged);
        assert_eq!(keys.combine(domain, message, &partials), Ok(signature));
        assert_eq!(keys.combine_or_blame(domain, message, &partials).unwrap().signature, signature);
        partials.remove(&index(5));
        let too_few = Err(Error::TooFewPartials { found: 2, needed: 3 });
        assert_eq!(keys.combine(domain, message, &partials), too_few);

        let (group, encoded) = (keys.group_key().to_bytes(), keys.shares_to_bytes());
        assert_eq!(encoded[1][..2], [0xC0, 0]);
        assert_eq!(PublicKeySet::from_bytes(&group, 3, &encoded), Ok(keys));
        assert_eq!(PublicKeySet::from_bytes(&encoded[1], 3, &encoded), Err(Error::Identity));
        assert_eq!(PublicKeySet::from_bytes(&group, 3, &[[0; 96]; 3]), Err(Error::NotAPoint));
    }
}

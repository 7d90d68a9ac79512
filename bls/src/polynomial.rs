//! A dealer's polynomial.

use crate::{
    commitments::Commitments,
    error::Error,
    index::{Index, MAX_SHARES},
    scalar,
    secret::DealtShare,
};
use bls12_381::Scalar;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What the seeds are extracted with; another way of deriving has another version in it.
const SALT: &[u8] = b"WHITE_CITY_BLS_POLYNOMIAL_V1";

/// 32 secret random bytes, of which a dealer makes its polynomial. Whoever keeps them can deal the same again.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes the bytes, which must come from a good source of randomness; the caller erases its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the dealer's journal. They are as secret as what is dealt.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A secret polynomial, whose value at zero is a dealer's part of the group's secret key.
pub struct Polynomial {
    /// Lowest first, none of them zero.
    coefficients: Zeroizing<Vec<Scalar>>,
}

impl Polynomial {
    /// The polynomial of `degree` that belongs to `seed` and `context`; `degree + 1` shares give it away.
    ///
    /// Coefficient j is HKDF-SHA-256 (RFC 5869) with the salt `WHITE_CITY_BLS_POLYNOMIAL_V1`, the seed as key material, and as info
    /// the context, the degree and j, both as little-endian `u16`; 64 bytes of it, little-endian, modulo the groups' order.
    /// `context` names what is dealt: chain, epoch, attempt, dealer. So nobody deals the same twice by mistake: answers to
    /// accusations in two runs, taken together, could give a secret away.
    ///
    /// # Errors
    /// [`Error::Threshold`] if more shares than [`MAX_SHARES`] would be needed.
    pub fn from_seed(seed: &Seed, context: &[u8], degree: u16) -> Result<Self, Error> {
        let needed = usize::from(degree) + 1;
        if degree >= MAX_SHARES {
            return Err(Error::Threshold { threshold: needed, count: usize::from(MAX_SHARES) });
        }
        let extracted = Hkdf::<Sha256>::new(Some(SALT), seed.as_bytes());
        // Made in its full size at once: growing would leave copies behind.
        let mut coefficients = Zeroizing::new(Vec::with_capacity(needed));
        for number in 0..=degree {
            let mut wide = Zeroizing::new([0; 64]);
            extracted
                .expand_multi_info(&[context, &degree.to_le_bytes(), &number.to_le_bytes()], wide.as_mut_slice())
                .expect("HKDF-SHA-256 gives up to 8,160 bytes");
            coefficients.push(scalar::from_wide(&wide));
        }
        Ok(Self { coefficients })
    }

    /// Feldman's commitments, one for each coefficient.
    pub fn commitments(&self) -> Commitments {
        let commit = |coefficient: &Scalar| {
            scalar::secret_key(coefficient).expect("no coefficient is zero and all are reduced").sk_to_pk()
        };
        Commitments::from_points(self.coefficients.iter().map(commit).collect())
    }

    /// s: the value at zero.
    pub(crate) fn secret(&self) -> &Scalar {
        self.coefficients.first().expect("a polynomial has a coefficient more than its degree")
    }

    /// The share for `index`: the value there. Only its recipient may learn it.
    ///
    /// # Errors
    /// [`Error::NotAScalar`] if the value is zero, which no share may be; a seed for which this happens will not be found.
    pub fn share_for(&self, index: Index) -> Result<DealtShare, Error> {
        let x = scalar::of(index);
        let mut value = Zeroizing::new(Scalar::zero());
        for coefficient in self.coefficients.iter().rev() {
            *value = *value * x + coefficient;
        }
        DealtShare::from_scalar(index, *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u8, context: &[u8], degree: u16) -> Vec<[u8; 96]> {
        Polynomial::from_seed(&Seed::new([seed; 32]), context, degree).unwrap().commitments().to_bytes()
    }

    #[test]
    fn seed_context_and_degree_each_make_another_polynomial() {
        let one = bytes(1, b"a", 2);
        assert_eq!(one, bytes(1, b"a", 2));
        for other in [bytes(2, b"a", 2), bytes(1, b"b", 2), bytes(1, b"a", 3)] {
            assert!(other.iter().all(|point| !one.contains(point)));
        }
    }

    #[test]
    fn a_degree_beyond_all_shares_is_refused() {
        let refused = Polynomial::from_seed(&Seed::new([1; 32]), b"", MAX_SHARES).err();
        assert_eq!(refused, Some(Error::Threshold { threshold: 65, count: 64 }));
    }
}

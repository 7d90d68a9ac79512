//! Arithmetic of scalars, modulo the order of the groups.

use crate::{error::Error, index::Index};
use bls12_381::Scalar;
use blst::min_sig::SecretKey;
use subtle::{ConditionallySelectable, ConstantTimeEq, CtOption};
use zeroize::Zeroizing;

/// Bits of the groups' order.
const ORDER_BITS: usize = 255;

/// Reduces 512 bits, little-endian, so that the result is uniform; zero, which nobody will ever meet, becomes one.
pub(crate) fn from_wide(bytes: &[u8; 64]) -> Scalar {
    let scalar = Scalar::from_bytes_wide(bytes);
    Scalar::conditional_select(&scalar, &Scalar::one(), scalar.ct_eq(&Scalar::zero()))
}

/// The canonical big-endian form.
pub(crate) fn to_bytes(scalar: &Scalar) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new(scalar.to_bytes());
    bytes.reverse();
    bytes
}

/// Reads the canonical big-endian form of a scalar that is not zero.
pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Scalar, Error> {
    let mut little = Zeroizing::new(*bytes);
    little.reverse();
    nonzero(Scalar::from_bytes(&little))
}

/// The scalar, unless it is zero.
pub(crate) fn nonzero(scalar: CtOption<Scalar>) -> Result<Scalar, Error> {
    let scalar = scalar.and_then(|scalar| CtOption::new(scalar, !scalar.ct_eq(&Scalar::zero())));
    Option::from(scalar).ok_or(Error::NotAScalar)
}

/// The scalar as blst's secret key.
pub(crate) fn secret_key(scalar: &Scalar) -> Result<SecretKey, Error> {
    SecretKey::from_bytes(to_bytes(scalar).as_slice()).map_err(|_| Error::NotAScalar)
}

/// A share's number as a scalar.
pub(crate) fn of(index: Index) -> Scalar {
    Scalar::from(u64::from(index.get()))
}

/// `index` to the powers 0, 1, ... `count - 1`.
pub(crate) fn powers(index: Index, count: usize) -> Vec<Scalar> {
    std::iter::successors(Some(Scalar::one()), |power| Some(power * of(index))).take(count).collect()
}

/// Lagrange's coefficients at zero: what the values at these distinct indices are multiplied with to give the value at zero.
pub(crate) fn at_zero(indices: &[Index]) -> Vec<Scalar> {
    let coefficient = |own: &Index| {
        let others = indices.iter().filter(|other| *other != own).map(|other| of(*other));
        let (above, below) = others
            .fold((Scalar::one(), Scalar::one()), |(above, below), other| (above * other, below * (other - of(*own))));
        let inverse = Option::<Scalar>::from(below.invert())
            .expect("indices that differ, differ by less than the groups' order, which is prime");
        above * inverse
    };
    indices.iter().map(coefficient).collect()
}

/// Scalars that are no secrets, as blst takes them to multiply points with: little-endian, all of the same number of bytes; and
/// the number of bits that were kept, since small numbers are multiplied with faster.
pub(crate) fn factors(scalars: &[Scalar]) -> (Vec<u8>, usize) {
    let encoded: Vec<[u8; 32]> = scalars.iter().map(Scalar::to_bytes).collect();
    let used = |bytes: &[u8; 32]| bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let bytes = encoded.iter().map(used).max().unwrap_or(1);
    let packed = encoded.iter().flat_map(|scalar| scalar.iter().take(bytes).copied()).collect();
    (packed, (bytes * 8).min(ORDER_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_the_order_are_refused() {
        let order = Scalar::zero() - Scalar::one();
        assert_eq!(from_bytes(&to_bytes(&order)).unwrap(), order);
        let mut too_large = *to_bytes(&order);
        too_large[31] += 1;
        for bytes in [[0; 32], too_large, [0xff; 32]] {
            assert_eq!(from_bytes(&bytes), Err(Error::NotAScalar));
        }
        assert_eq!(from_wide(&[0; 64]), Scalar::one());
    }

    #[test]
    fn lagrange_restores_a_known_polynomial() {
        let indices = [2, 5, 64].map(|index| Index::new(index).unwrap());
        let value = |x: Scalar| Scalar::from(11) + x * Scalar::from(7) + x * x * Scalar::from(3);
        let restored =
            indices.iter().zip(at_zero(&indices)).fold(Scalar::zero(), |sum, (index, l)| sum + value(of(*index)) * l);
        assert_eq!(restored, Scalar::from(11));
    }

    #[test]
    fn factors_are_as_short_as_the_longest() {
        let (packed, bits) = factors(&[Scalar::from(1), Scalar::from(0x0201)]);
        assert_eq!((packed, bits), (vec![1, 0, 1, 2], 16));
        let (packed, bits) = factors(&[Scalar::zero() - Scalar::one()]);
        assert_eq!((packed.len(), bits), (32, 255));
    }
}

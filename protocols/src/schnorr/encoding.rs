//! Canonical encodings of points and scalars, and hashing to a scalar.

use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY, traits::IsIdentity};
use wire::hash::TaggedHash;

/// A point of the curve that is not of small order, beside its only encoding. Nothing else parses.
///
/// It may still have a component of small order, for to look at each of n points of n parties for one costs more than all else that the
/// parties compute. [`Point::sum`] looks at the sum, and only that must have none (see there).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    point: EdwardsPoint,
    bytes: [u8; 32],
}

impl Point {
    /// Reads an encoding: 32 bytes, canonical (RFC 8032 5.1.3, which some decoders do not enforce), not of small order.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let encoding = CompressedEdwardsY::from_slice(bytes).ok()?;
        let point = encoding.decompress().filter(|_| is_canonical(&encoding.0))?;
        (!point.is_small_order()).then_some(Self { point, bytes: encoding.0 })
    }

    /// secret * B. The identity only for the secret 0, which no generator gives.
    pub(crate) fn of_secret(secret: &Scalar) -> Self {
        let point = EdwardsPoint::mul_base(secret);
        Self { point, bytes: point.compress().0 }
    }

    /// The sum of all parties' points, by index: a point of the prime-order subgroup that is not the identity.
    ///
    /// Components of small order that cancel are let pass. They change nothing: all that is checked of single points is checked up to
    /// such components ([`super::equation`]), what leaves the protocol are this sum and the sum of responses, and those are verified strictly.
    ///
    /// # Errors
    /// [`NoSum`].
    pub(crate) fn sum(points: &[Self]) -> Result<Self, NoSum> {
        let point: EdwardsPoint = points.iter().map(|point| point.point).sum();
        if !point.is_torsion_free() {
            let stray = |(index, point): (u16, &Self)| (!point.point.is_torsion_free()).then_some(index);
            return Err(NoSum::Torsion { parties: (0..).zip(points).filter_map(stray).collect() });
        }
        if point.is_identity() { Err(NoSum::Identity) } else { Ok(Self { point, bytes: point.compress().0 }) }
    }

    pub(crate) fn point(&self) -> &EdwardsPoint {
        &self.point
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

/// Why points have no sum that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoSum {
    /// It is the identity.
    Identity,
    /// It is not in the prime-order subgroup.
    Torsion {
        /// Indices, ascending, of the parties whose points are not. Never empty, and no honest party's is among them.
        parties: Vec<u16>,
    },
}

/// Encodes y < p = 2^255 - 19, beside a sign. That of x = 0 counts for nothing here: only points of small order have it.
fn is_canonical(encoding: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = encoding;
    last & 0x7f != 0x7f || *first < 0xed || middle.iter().any(|byte| *byte != 0xff)
}

/// Reads a scalar below l from its 32 bytes. For public scalars: whether it parses is seen in the time taken.
pub(crate) fn decode_scalar(bytes: &[u8]) -> Option<Scalar> {
    Option::from(Scalar::from_canonical_bytes(bytes.try_into().ok()?))
}

/// 64 bytes of `hash` mod l: two hashes under different last parts, so that the result is uniform up to 2^-250.
pub(crate) fn hash_to_scalar(hash: TaggedHash) -> Scalar {
    let mut wide = [0; 64];
    let (low, high) = wide.split_at_mut(32);
    low.copy_from_slice(&hash.clone().value(&0u8).finish().0);
    high.copy_from_slice(&hash.value(&1u8).finish().0);
    Scalar::from_bytes_mod_order_wide(&wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    #[test]
    fn nothing_of_small_order_parses_and_no_sum_has_such_a_component() {
        let sound = Point::of_secret(&Scalar::from(9u8));
        for torsion in EIGHT_TORSION {
            assert_eq!(Point::decode(&torsion.compress().0), None, "small order, the identity among them");
            let [mixed, opposite] =
                [torsion, -torsion].map(|torsion| Point::decode(&(ED25519_BASEPOINT_POINT + torsion).compress().0));
            let (mixed, opposite) = (mixed.unwrap(), opposite.unwrap());
            let sum = Point::sum(&[sound, mixed]);
            if torsion.is_identity() {
                assert_eq!(sum, Ok(Point::of_secret(&Scalar::from(10u8))));
            } else {
                assert_eq!(sum, Err(NoSum::Torsion { parties: vec![1] }));
            }
            assert_eq!(Point::sum(&[mixed, sound, opposite]), Ok(Point::of_secret(&Scalar::from(11u8))));
        }
        let opposite = Point::decode(&(-sound.point()).compress().0).unwrap();
        assert_eq!(Point::sum(&[sound, opposite]), Err(NoSum::Identity));
    }

    #[test]
    fn only_the_canonical_encoding_parses() {
        for secret in 1..100u8 {
            let encoding = Point::of_secret(&Scalar::from(secret));
            assert_eq!(Point::decode(encoding.bytes()), Some(encoding), "what the library writes is canonical");
        }
        // y and y + p, p = 2^255 - 19, both fit in 255 bits for y < 19 alone. The decoder accepts the second form of
        // some; we do not.
        let mut accepted = 0;
        for low in 0xed..=0xff_u8 {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = 0x7f;
            accepted += u32::from(CompressedEdwardsY(bytes).decompress().is_some());
            assert_eq!(Point::decode(&bytes), None);
        }
        assert!(accepted > 0);
        assert_eq!(Point::decode(&[1; 31]), None);
    }

    #[test]
    fn scalars_are_below_the_order() {
        let order_less_one = (-Scalar::ONE).to_bytes();
        assert_eq!(decode_scalar(&order_less_one), Some(-Scalar::ONE));
        let mut order = order_less_one;
        order[0] += 1;
        assert_eq!(decode_scalar(&order), None);
        assert_eq!(decode_scalar(&order[..31]), None);
    }
}

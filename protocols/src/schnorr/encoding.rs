//! Canonical encodings of points and scalars, and hashing to a scalar.

use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY, traits::IsIdentity};
use wire::hash::TaggedHash;

/// A point of the prime-order subgroup that is not the identity, beside its only encoding. Nothing else parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    point: EdwardsPoint,
    bytes: [u8; 32],
}

impl Point {
    /// Reads an encoding: 32 bytes, canonical (RFC 8032 5.1.3, which some decoders do not enforce), torsion-free, not
    /// the identity.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let encoding = CompressedEdwardsY::from_slice(bytes).ok()?;
        let point = encoding.decompress()?;
        let sound = point.compress() == encoding && !point.is_identity() && point.is_torsion_free();
        sound.then_some(Self { point, bytes: encoding.0 })
    }

    /// secret * B. The identity only for the secret 0, which no generator gives.
    pub(crate) fn of_secret(secret: &Scalar) -> Self {
        let point = EdwardsPoint::mul_base(secret);
        Self { point, bytes: point.compress().0 }
    }

    /// The sum, if it is not the identity.
    pub(crate) fn sum<'a>(points: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let point: EdwardsPoint = points.into_iter().map(|point| point.point).sum();
        (!point.is_identity()).then(|| Self { point, bytes: point.compress().0 })
    }

    pub(crate) fn point(&self) -> &EdwardsPoint {
        &self.point
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
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
    fn only_the_prime_order_subgroup_parses() {
        assert!(Point::decode(&ED25519_BASEPOINT_POINT.compress().0).is_some());
        for torsion in EIGHT_TORSION {
            assert_eq!(Point::decode(&torsion.compress().0), None, "small order, the identity among them");
            let mixed = ED25519_BASEPOINT_POINT + torsion;
            assert_eq!(Point::decode(&mixed.compress().0).is_some(), torsion.is_identity(), "a torsion component");
        }
    }

    #[test]
    fn only_the_canonical_encoding_parses() {
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

//! The polynomial of a dealer that makes its own share of the key zero.

use ark_bls12_381::{Fr, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField, Zero};
use ark_serialize::CanonicalSerialize;
use wire::G2Bytes;

/// A polynomial of degree 1, as four nodes deal.
pub struct Cheat([Fr; 2]);

impl Cheat {
    /// Of node `own`, to which the others have dealt `dealt`: its value there is the negative of their sum.
    pub fn new(own: u16, dealt: &[[u8; 32]]) -> Self {
        let sum = dealt.iter().fold(Fr::zero(), |sum, share| sum + Fr::from_be_bytes_mod_order(share));
        let slope = Fr::from(0x5EED_u64);
        Self([-sum - slope * Fr::from(own + 1), slope])
    }

    pub fn commitments(&self) -> Vec<G2Bytes> {
        let commit = |coefficient: &Fr| {
            let mut bytes = [0; 96];
            let point = (G2Affine::generator() * coefficient).into_affine();
            point.serialize_compressed(bytes.as_mut_slice()).unwrap();
            G2Bytes(bytes)
        };
        self.0.iter().map(commit).collect()
    }

    pub fn share(&self, recipient: u16) -> [u8; 32] {
        let value = self.0[0] + self.0[1] * Fr::from(recipient + 1);
        value.into_bigint().to_bytes_be().try_into().unwrap()
    }
}

//! What is decoded is a point of the group and not the identity, and has one encoding.

use bls::{Domain, Error, GroupKey, Index, PartialSignature, Polynomial, PublicShare, SecretShare, Seed, Signature};
use proptest::prelude::*;

fn key_and_signature() -> (GroupKey, Signature) {
    let dealer = Polynomial::from_seed(&Seed::new([5; 32]), b"", 0).expect("a polynomial");
    let index = Index::new(1).expect("a share");
    let node = SecretShare::from_dealt(index, &[dealer.share_for(index).expect("a share")]).expect("a sum");
    let partial = node.partial_sign(Domain::Certificate, b"message");
    let signature = Signature::from_bytes(&partial.to_bytes()).expect("with a threshold of one it is the signature");
    (dealer.commitments().group_key(), signature)
}

/// A compressed point with the given x; the highest byte also holds the flags.
fn with_x<const BYTES: usize>(x: u8) -> [u8; BYTES] {
    std::array::from_fn(|place| match place {
        0 => 0x80,
        _ if place == BYTES - 1 => x,
        _ => 0,
    })
}

/// All that `decode` finds wrong with points of small x.
fn refusals<T, const BYTES: usize>(decode: impl Fn(&[u8; BYTES]) -> Result<T, Error>) -> Vec<Error> {
    (0..=u8::MAX).filter_map(|x| decode(&with_x(x)).err()).collect()
}

#[test]
fn points_outside_the_subgroup_are_refused() {
    for refused in [refusals(Signature::from_bytes), refusals(PartialSignature::from_bytes)] {
        assert!(refused.contains(&Error::NotInSubgroup) && refused.contains(&Error::NotAPoint));
        assert_eq!(refused.len(), 256, "small x that are in the subgroup are not known");
    }
    for refused in [refusals(GroupKey::from_bytes), refusals(PublicShare::from_bytes)] {
        assert!(refused.contains(&Error::NotInSubgroup) && refused.contains(&Error::NotAPoint));
        assert_eq!(refused.len(), 256, "small x that are in the subgroup are not known");
    }
}

#[test]
fn the_identity_is_refused_everywhere() {
    let mut g1 = [0; 48];
    g1[0] = 0xc0;
    assert_eq!(Signature::from_bytes(&g1), Err(Error::Identity));
    assert_eq!(PartialSignature::from_bytes(&g1), Err(Error::Identity));
    let mut g2 = [0; 96];
    g2[0] = 0xc0;
    assert_eq!(GroupKey::from_bytes(&g2), Err(Error::Identity));
    assert_eq!(PublicShare::from_bytes(&g2), Err(Error::Identity));
    assert_eq!(bls::Commitments::from_bytes(&[g2], 0), Err(Error::Identity));
}

#[test]
fn people_and_json_see_hex_and_borsh_has_raw_bytes() {
    let (key, signature) = key_and_signature();
    assert_eq!(borsh::to_vec(&key).expect("bytes"), key.to_bytes());
    assert_eq!(borsh::from_slice::<GroupKey>(&key.to_bytes()).expect("a key"), key);
    assert_eq!(borsh::to_vec(&signature).expect("bytes"), signature.to_bytes());
    let json = serde_json::to_string(&signature).expect("JSON");
    assert_eq!(json, format!("\"{signature}\""));
    assert_eq!(serde_json::from_str::<Signature>(&json).expect("a signature"), signature);
    assert_eq!(key.to_string().parse(), Ok(key));
    assert_eq!("00".parse::<GroupKey>(), Err(Error::NotHex { bytes: 96 }));
    assert!(borsh::from_slice::<Signature>(&[0; 48]).is_err());
    assert!(serde_json::from_str::<GroupKey>("\"00\"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_changed_bit_is_never_the_same_signature(bit in 0..384_usize) {
        let (key, signature) = key_and_signature();
        let mut bytes = signature.to_bytes();
        bytes.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
        if let Ok(other) = Signature::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes, "each point has one encoding");
            prop_assert_eq!(key.verify(Domain::Certificate, b"message", &other), Err(Error::BadSignature));
        }
    }
}

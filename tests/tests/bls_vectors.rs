//! `bls` against what others say: drand's beacons, and arkworks' implementation of the curve. `tests/bls/vectors.json` holds what our
//! code gives, for `tests/scripts/check-bls-vectors` to check with a third implementation; it changes only on purpose:
//! `UPDATE_VECTORS=1 cargo test -p white-city-tests --test bls_vectors the_file` writes it anew.

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::{
    AffineRepr, CurveGroup,
    hashing::{HashToCurve, curve_maps::wb::WBMap, map_to_curve_hasher::MapToCurveBasedHasher},
    pairing::Pairing,
};
use ark_ff::{Field, PrimeField, Zero, field_hashers::DefaultFieldHasher};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use bls::{
    Commitments, DealtShare, Domain, Error, GroupKey, Index, PartialSignature, Polynomial, PublicKeySet, SecretShare,
    Seed, Signature,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::PathBuf};
use white_city_tests::repository;

/// The same, by another implementation: every point is checked, and hashing to the curve is its own.
mod ark {
    use super::*;

    type Hasher = MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;

    pub(super) fn hash(tag: &[u8], message: &[u8]) -> G1Affine {
        Hasher::new(tag).expect("a tag").hash(message).expect("a point")
    }

    pub(super) fn verify(key: &[u8], tag: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let key = G2Affine::deserialize_compressed(key).expect("a key");
        let signature = G1Affine::deserialize_compressed(signature).expect("a signature");
        Bls12_381::pairing(signature, G2Affine::generator()) == Bls12_381::pairing(hash(tag, message), key)
    }

    /// The polynomial through `points` at zero.
    pub(super) fn at_zero(points: &[(u64, Fr)]) -> Fr {
        let term = |(own, value): &(u64, Fr)| {
            let others = points.iter().map(|(x, _)| *x).filter(|x| x != own);
            let factor = |x: u64| Fr::from(x) * (Fr::from(x) - Fr::from(*own)).inverse().expect("distinct");
            others.fold(*value, |product, x| product * factor(x))
        };
        points.iter().map(term).fold(Fr::zero(), |sum, term| sum + term)
    }

    pub(super) fn bytes(point: impl CanonicalSerialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        point.serialize_compressed(&mut bytes).expect("a vector takes all");
        bytes
    }
}

/// What one dealer does.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dealing {
    seed: String,
    context: String,
    commitments: Vec<String>,
    /// For shares 1, 2, ....
    shares: Vec<String>,
}

/// What shares 1, 2, ... sign, and what it gives.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signed {
    tag: String,
    message: String,
    partials: Vec<PartialSignature>,
    signature: Signature,
}

/// One generation.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    count: u16,
    degree: u16,
    dealings: Vec<Dealing>,
    group_key: GroupKey,
    public_shares: Vec<bls::PublicShare>,
    signed: Vec<Signed>,
}

#[derive(Deserialize)]
struct Chain {
    name: String,
    key: GroupKey,
    tag: String,
    beacons: Vec<Beacon>,
}

#[derive(Deserialize)]
struct Beacon {
    round: u64,
    signature: Signature,
}

fn file(name: &str) -> PathBuf {
    repository::root().join("tests/bls").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn all(count: u16) -> impl Iterator<Item = Index> {
    Index::all(count).expect("a small group")
}

fn dealers(count: u16, degree: u16, seed: u8) -> Vec<([u8; 32], String, Polynomial)> {
    let dealer = |number: u16| {
        let seed: [u8; 32] = Sha256::digest([seed, number.to_le_bytes()[0]]).into();
        let context = format!("vectors, dealer {number}");
        let polynomial = Polynomial::from_seed(&Seed::new(seed), context.as_bytes(), degree).expect("a small degree");
        (seed, context, polynomial)
    };
    (1..=count).map(dealer).collect()
}

fn node(dealers: &[([u8; 32], String, Polynomial)], index: Index) -> SecretShare {
    let dealt: Vec<DealtShare> =
        dealers.iter().map(|(_, _, dealer)| dealer.share_for(index).expect("a share")).collect();
    SecretShare::from_dealt(index, &dealt).expect("shares that add up")
}

fn group(count: u16, degree: u16, seed: u8) -> Group {
    let dealers = dealers(count, degree, seed);
    let dealing = |(seed, context, dealer): &([u8; 32], String, Polynomial)| Dealing {
        seed: hex::encode(seed),
        context: hex::encode(context),
        commitments: dealer.commitments().to_bytes().iter().map(hex::encode).collect(),
        shares: all(count).map(|index| hex::encode(dealer.share_for(index).expect("a share").to_bytes())).collect(),
    };
    let commitments: Vec<Commitments> = dealers.iter().map(|(_, _, dealer)| dealer.commitments()).collect();
    let keys = PublicKeySet::from_commitments(&Commitments::sum(&commitments).expect("a sum"), count).expect("keys");
    let nodes: Vec<SecretShare> = all(count).map(|index| node(&dealers, index)).collect();
    let sign = |(domain, message): (Domain, &[u8])| {
        let partials: BTreeMap<Index, PartialSignature> =
            nodes.iter().map(|node| (node.index(), node.partial_sign(domain, message))).collect();
        let signature = keys.combine(domain, message, &partials).expect("a signature");
        let tag = String::from_utf8(domain.tag().to_vec()).expect("tags are text");
        Signed { tag, message: hex::encode(message), partials: partials.into_values().collect(), signature }
    };
    let messages =
        [(Domain::Certificate, b"".as_slice()), (Domain::Certificate, b"a root"), (Domain::Challenge, b"a root")];
    Group {
        count,
        degree,
        dealings: dealers.iter().map(dealing).collect(),
        group_key: *keys.group_key(),
        public_shares: keys.public_shares().iter().map(|key| key.expect("no share is zero")).collect(),
        signed: messages.into_iter().map(sign).collect(),
    }
}

#[test]
fn the_file_is_what_the_code_does() {
    let groups = [group(4, 1, 1), group(7, 2, 2)];
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let about = "Threshold BLS as the crate `bls` does it. Scalars are big-endian, points compressed, all in hex.";
        let value = json!({ "about": about, "groups": groups });
        let text = serde_json::to_string_pretty(&value).expect("JSON") + "\n";
        std::fs::write(file("vectors.json"), text).expect("tests/bls can be written");
    }
    let stored: Vec<Group> = serde_json::from_value(read("vectors.json")["groups"].clone()).expect("groups");
    assert_eq!(stored, groups, "vectors.json has changed: if that is meant, others must be told");
}

#[test]
fn drands_beacons_verify_under_its_tag_only() {
    let chains: Vec<Chain> = serde_json::from_value(read("drand.json")["chains"].clone()).expect("chains");
    let mut verified = 0;
    for chain in &chains {
        for beacon in &chain.beacons {
            let message = Sha256::digest(beacon.round.to_be_bytes());
            let verdict = chain.key.verify_foreign(chain.tag.as_bytes(), &message, &beacon.signature);
            assert_eq!(verdict, Ok(()), "{}, round {}", chain.name, beacon.round);
            let other = Sha256::digest((beacon.round + 1).to_be_bytes());
            let verdict = chain.key.verify_foreign(chain.tag.as_bytes(), &other, &beacon.signature);
            assert_eq!(verdict, Err(Error::BadSignature));
            for domain in Domain::ALL {
                assert_eq!(chain.key.verify(*domain, &message, &beacon.signature), Err(Error::BadSignature));
            }
            verified += 1;
        }
    }
    assert_eq!(verified, 8);
}

#[test]
fn another_implementation_accepts_the_file() {
    let groups: Vec<Group> = serde_json::from_value(read("vectors.json")["groups"].clone()).expect("groups");
    for group in &groups {
        for signed in &group.signed {
            let (tag, message) = (signed.tag.as_bytes(), hex::decode(&signed.message).expect("hex"));
            let signature = signed.signature.to_bytes();
            assert!(ark::verify(&group.group_key.to_bytes(), tag, &message, &signature));
            assert!(!ark::verify(&group.group_key.to_bytes(), tag, b"another message", &signature));
            for (key, partial) in group.public_shares.iter().zip(&signed.partials) {
                assert!(ark::verify(&key.to_bytes(), tag, &message, &partial.to_bytes()));
            }
        }
    }
    assert_eq!(groups.iter().map(|group| group.signed.len()).sum::<usize>(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// All that a group computes, once more from the shares alone: its secret, its key, and the signature, to the byte.
    #[test]
    fn another_implementation_computes_the_same(count in 1..=7_u16, degree in 0..7_u16, seed: u8, message: Vec<u8>) {
        prop_assume!(degree < count);
        let group = group(count, degree, seed);
        let dealers = dealers(count, degree, seed);
        let share = |index: Index| {
            let of = |dealer: &Polynomial| Fr::from_be_bytes_mod_order(&*dealer.share_for(index).expect("a share").to_bytes());
            (u64::from(index.get()), dealers.iter().fold(Fr::zero(), |sum, (_, _, dealer)| sum + of(dealer)))
        };
        let last: Vec<(u64, Fr)> = all(count).skip(usize::from(count - degree - 1)).map(share).collect();
        let secret = ark::at_zero(&last);
        prop_assert_eq!(ark::bytes((G2Affine::generator() * secret).into_affine()), group.group_key.to_bytes());

        let keys = PublicKeySet::new(group.group_key, usize::from(degree) + 1, group.public_shares.into_iter().map(Some).collect()).expect("keys");
        let partials = all(count).map(|index| (index, node(&dealers, index).partial_sign(Domain::Challenge, &message)));
        let signature = keys.combine(Domain::Challenge, &message, &partials.collect()).expect("a signature");
        let expected = (ark::hash(Domain::Challenge.tag(), &message) * secret).into_affine();
        prop_assert_eq!(ark::bytes(expected), signature.to_bytes());
    }
}

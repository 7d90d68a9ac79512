//! What holds for any number of nodes, any threshold and any choice of signers.

use bls::{
    Commitments, DealtShare, Domain, Error, Index, PartialSignature, Polynomial, PublicKeySet, SecretShare, Seed,
};
use proptest::{prelude::*, sample::subsequence};
use std::collections::{BTreeMap, BTreeSet};

/// A generation that everybody took part in.
#[derive(Clone, Debug)]
struct Group {
    count: u16,
    degree: u16,
    /// Makes one generation differ from another.
    seed: u8,
}

impl Group {
    fn index(number: u16) -> Index {
        Index::new(number).expect("a share")
    }

    fn dealer(&self, number: u16) -> Polynomial {
        let context = [b"dealer ".as_slice(), &number.to_le_bytes()].concat();
        Polynomial::from_seed(&Seed::new([self.seed; 32]), &context, self.degree).expect("a small degree")
    }

    fn node(&self, index: Index) -> SecretShare {
        let dealt = (1..=self.count).map(|number| self.dealer(number).share_for(index).expect("a share"));
        SecretShare::from_dealt(index, &dealt.collect::<Vec<_>>()).expect("shares that add up")
    }

    fn keys(&self) -> PublicKeySet {
        let dealings: Vec<Commitments> = (1..=self.count).map(|number| self.dealer(number).commitments()).collect();
        let sum = Commitments::sum(&dealings).expect("commitments that add up");
        PublicKeySet::from_commitments(&sum, self.count).expect("keys")
    }

    fn sign(&self, signers: &[u16], message: &[u8]) -> BTreeMap<Index, PartialSignature> {
        let sign = |number: &u16| {
            let index = Self::index(*number);
            (index, self.node(index).partial_sign(Domain::Certificate, message))
        };
        signers.iter().map(sign).collect()
    }
}

/// A group of up to nine with any threshold up to all of them.
fn group() -> impl Strategy<Value = Group> {
    let sizes = (1..=9_u16).prop_flat_map(|count| (Just(count), 0..count));
    (sizes, any::<u8>()).prop_map(|((count, degree), seed)| Group { count, degree, seed })
}

/// A group, some of its shares, and some more: each at least the threshold.
fn group_and_signers() -> impl Strategy<Value = (Group, Vec<u16>, Vec<u16>)> {
    group().prop_flat_map(|group| {
        let all: Vec<u16> = (1..=group.count).collect();
        let needed = usize::from(group.degree) + 1;
        let some = subsequence(all.clone(), needed);
        (Just(group), some, subsequence(all.clone(), needed..=all.len()))
    })
}

/// A group with at least one share that is not needed, and which of the shares sign badly: at most those that are not needed.
fn group_and_culprits() -> impl Strategy<Value = (Group, Vec<u16>)> {
    let spare = |group: &Group| usize::from(group.count - group.degree - 1);
    group().prop_filter("someone can be missed", move |group| spare(group) > 0).prop_flat_map(move |group| {
        let all: Vec<u16> = (1..=group.count).collect();
        let most = spare(&group);
        (Just(group), subsequence(all, 1..=most))
    })
}

/// Partial signatures as a node that means harm could send them.
fn spoil(group: &Group, index: Index, message: &[u8], how: u8) -> PartialSignature {
    let node = group.node(index);
    match how % 4 {
        0 => node.partial_sign(Domain::Challenge, message),
        1 => node.partial_sign(Domain::Certificate, b"another message"),
        2 => group.node(Group::index(index.get() % group.count + 1)).partial_sign(Domain::Certificate, message),
        _ => Group { seed: !group.seed, ..group.clone() }.node(index).partial_sign(Domain::Certificate, message),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_threshold_of_nodes_makes_the_same_signature((group, some, more) in group_and_signers(), message: Vec<u8>) {
        let keys = group.keys();
        let signature = keys.combine(Domain::Certificate, &message, &group.sign(&some, &message)).expect("enough");
        prop_assert_eq!(keys.group_key().verify(Domain::Certificate, &message, &signature), Ok(()));
        prop_assert_eq!(
            keys.group_key().verify(Domain::Challenge, &message, &signature),
            Err(Error::BadSignature)
        );
        let again = keys.combine_or_blame(Domain::Certificate, &message, &group.sign(&more, &message)).expect("enough");
        prop_assert_eq!(again.signature.to_bytes(), signature.to_bytes());
        prop_assert!(again.culprits.is_empty());
    }

    #[test]
    fn one_node_fewer_makes_none((group, some, _) in group_and_signers()) {
        let message = b"message";
        let (_, fewer) = some.split_first().expect("a signer");
        let partials = group.sign(fewer, message);
        let keys = group.keys();
        let (found, needed) = (fewer.len(), some.len());
        prop_assert_eq!(
            keys.combine(Domain::Certificate, message, &partials),
            Err(Error::TooFewPartials { found, needed })
        );
        if found > 0 {
            // What they could make of their partial signatures by themselves.
            let forged = PublicKeySet::new(*keys.group_key(), found, keys.public_shares().to_vec()).expect("keys");
            prop_assert_eq!(forged.combine(Domain::Certificate, message, &partials), Err(Error::BadSignature));
        }
    }

    #[test]
    fn every_node_has_the_share_that_everybody_expects(group in group()) {
        let keys = group.keys();
        for index in Index::all(group.count).expect("a small group") {
            let node = group.node(index);
            prop_assert_eq!(Ok(&node.public_share()), keys.public_share(index));
            let partial = node.partial_sign(Domain::Challenge, b"message");
            prop_assert_eq!(keys.verify_partial(Domain::Challenge, b"message", index, &partial), Ok(()));
        }
        prop_assert_eq!(keys.threshold(), usize::from(group.degree) + 1);
    }

    #[test]
    fn wrong_partial_signatures_are_found_and_named((group, culprits) in group_and_culprits(), how: u8) {
        let message = b"message";
        let keys = group.keys();
        let all: Vec<u16> = (1..=group.count).collect();
        let right = group.sign(&all, message);
        let mut partials = right.clone();
        for culprit in &culprits {
            let index = Group::index(*culprit);
            partials.insert(index, spoil(&group, index, message, how));
        }
        // With a threshold of one all shares are the same, and signing for another is no offence.
        prop_assume!(partials.iter().filter(|(index, partial)| right.get(index) != Some(partial)).count() == culprits.len());

        let combined = keys.combine_or_blame(Domain::Certificate, message, &partials).expect("enough are right");
        prop_assert_eq!(keys.combine(Domain::Certificate, message, &right), Ok(combined.signature));
        let used: BTreeSet<u16> = all.iter().copied().take(keys.threshold()).collect();
        if culprits.iter().any(|culprit| used.contains(culprit)) {
            prop_assert_eq!(keys.combine(Domain::Certificate, message, &partials), Err(Error::BadSignature));
            let named: Vec<u16> = combined.culprits.iter().map(|index| index.get()).collect();
            prop_assert_eq!(named, culprits);
        } else {
            prop_assert!(combined.culprits.is_empty(), "nobody stood in the way");
        }
    }

    #[test]
    fn tampered_commitments_and_shares_are_found(group in group(), coefficient: prop::sample::Index, bit in 0..256_usize) {
        let dealer = group.dealer(1);
        let commitments = dealer.commitments();
        let mut points = commitments.to_bytes();
        let foreign = group.dealer(2).commitments().to_bytes();
        let place = coefficient.index(points.len());
        points.splice(place..=place, foreign.get(place).copied());
        let tampered = Commitments::from_bytes(&points, group.degree).expect("points");
        for index in Index::all(group.count).expect("a small group") {
            let share = dealer.share_for(index).expect("a share");
            prop_assert_eq!(commitments.verify_share(&share), Ok(()));
            prop_assert_eq!(tampered.verify_share(&share), Err(Error::BadShare { index }));

            let mut bytes = *share.to_bytes();
            bytes.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            match DealtShare::from_bytes(index, &bytes) {
                Ok(wrong) => prop_assert_eq!(commitments.verify_share(&wrong), Err(Error::BadShare { index })),
                Err(error) => prop_assert_eq!(error, Error::NotAScalar),
            }
        }
    }
}

#[test]
fn too_many_culprits_are_named_all_the_same() {
    let group = Group { count: 4, degree: 1, seed: 9 };
    let mut partials = group.sign(&[1, 2, 3, 4], b"message");
    for culprit in [1, 2, 4] {
        let index = Group::index(culprit);
        partials.insert(index, spoil(&group, index, b"message", 1));
    }
    let refused = group.keys().combine_or_blame(Domain::Certificate, b"message", &partials).expect_err("one is right");
    let culprits = [1, 2, 4].map(Group::index).to_vec();
    assert_eq!(refused, Error::TooFewSound { culprits, sound: 1, needed: 2 });
    assert_eq!(refused.to_string(), "1 right partial signatures of the 2 that are needed; wrong ones of 1, 2, 4");
}

#[test]
fn wrong_partial_signatures_that_cancel_out_are_no_signature() {
    // At 1 and 2 Lagrange's coefficients are 2 and -1, so that s and 2s would add up to the identity.
    let group = Group { count: 2, degree: 0, seed: 3 };
    let one = Group { count: 1, ..group.clone() };
    let (first, second) = (Group::index(1), Group::index(2));
    let single = one.node(first).partial_sign(Domain::Certificate, b"message");
    let dealt = one.dealer(1).share_for(second).expect("a share");
    let again = one.dealer(1).share_for(second).expect("a share");
    let double = SecretShare::from_dealt(second, &[dealt, again]).expect("twice a share");
    let partials = [(first, single), (second, double.partial_sign(Domain::Certificate, b"message"))].into();
    let keys = group.keys();
    let keys = PublicKeySet::new(*keys.group_key(), 2, keys.public_shares().to_vec()).expect("keys");
    assert_eq!(keys.combine(Domain::Certificate, b"message", &partials), Err(Error::BadSignature));
}

#[test]
fn shares_that_are_not_there_are_refused() {
    let group = Group { count: 3, degree: 0, seed: 1 };
    let keys = group.keys();
    let four = Group { count: 4, ..group }.sign(&[4], b"message");
    assert_eq!(keys.combine(Domain::Certificate, b"message", &four), Err(Error::NoSuchShare { index: 4 }));
    assert_eq!(keys.combine_or_blame(Domain::Certificate, b"message", &four), Err(Error::NoSuchShare { index: 4 }));
    let sum = Group { count: 3, degree: 2, seed: 1 }.dealer(1).commitments();
    assert_eq!(PublicKeySet::from_commitments(&sum, 2), Err(Error::Threshold { threshold: 3, count: 2 }));
    assert_eq!(PublicKeySet::from_commitments(&sum, 65), Err(Error::Threshold { threshold: 3, count: 65 }));
    assert_eq!(PublicKeySet::new(*keys.group_key(), 0, Vec::new()), Err(Error::Threshold { threshold: 0, count: 0 }));
}

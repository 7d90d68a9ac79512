//! Cheaters, each named by every honest party.

use crate::setup::{Cheater, assert_blamed, key_generation, outputs, program, run, seat, seed, shares, signing};
use client_sdk::protocol::Protocol;
use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, edwards::CompressedEdwardsY};
use protocols::{
    local::{Ending, run_local},
    schnorr::{KeyGeneration, KeyShare, Signature, Signing},
};
use wire::SessionId;

/// l, the order of the base point, little-endian.
fn order() -> [u8; 32] {
    let mut bytes = (-Scalar::ONE).to_bytes();
    bytes[0] += 1;
    bytes
}

/// The same scalar once more, not reduced.
fn plus_order(scalar: &[u8]) -> Vec<u8> {
    let mut carry = 0u16;
    let add = |(a, b): (&u8, u8)| {
        carry += u16::from(*a) + u16::from(b);
        let [low, high] = carry.to_le_bytes();
        carry = u16::from(high);
        low
    };
    scalar.iter().zip(order()).map(add).collect()
}

fn flip(bytes: &[u8], position: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[position] ^= 1;
    bytes
}

fn torsioned(encoding: &[u8]) -> Vec<u8> {
    let point = CompressedEdwardsY::from_slice(encoding).unwrap().decompress().unwrap();
    (point + EIGHT_TORSION[1]).compress().0.to_vec()
}

fn with_point(point: &[u8], message: &[u8]) -> Vec<u8> {
    [point, &message[32..]].concat()
}

/// y = p + 1: the identity, written in a way that some decoders accept.
fn sloppy_identity() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xee, 0x7f);
    bytes
}

type Tamper<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;

/// Named ways to spoil the encoding of a point.
fn spoiled_points<'a>() -> Vec<(&'static str, Tamper<'a>)> {
    let small = EIGHT_TORSION[1].compress().0;
    vec![
        ("the identity", Box::new(|_| EIGHT_TORSION[0].compress().0.to_vec())),
        ("small order", Box::new(move |_| small.to_vec())),
        ("a torsion component", Box::new(torsioned)),
        ("not canonical", Box::new(|_| sloppy_identity().to_vec())),
        ("no point", Box::new(|_| vec![2; 32])),
        ("truncated", Box::new(|point| point[..31].to_vec())),
    ]
}

fn keygen_endings(tamper: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Ending<KeyShare>> {
    let honest = [0, 1, 3].map(|index| key_generation(4, index));
    let cheater = Cheater::new(key_generation(4, 2), 2, |_, _, data: &[u8]| tamper(data));
    run_local(&[&honest[0] as &dyn Protocol<Output = KeyShare>, &honest[1], &cheater, &honest[2]], 11).unwrap()
}

#[test]
fn a_spoiled_public_share_is_blamed() {
    for (case, spoil) in spoiled_points() {
        let endings = keygen_endings(|data| with_point(&spoil(&data[..32]), data));
        assert_blamed(&endings, &[2], case);
    }
}

#[test]
fn a_wrong_proof_of_knowledge_is_blamed() {
    let cases: [(&str, Tamper<'_>); 7] = [
        ("another response", Box::new(|data| flip(data, 64))),
        ("another commitment", Box::new(|data| flip(data, 32))),
        (
            "another key",
            Box::new(|data| with_point(EdwardsPoint::mul_base(&Scalar::from(5u8)).compress().as_bytes(), data)),
        ),
        ("a response that is not canonical", Box::new(|data| [&data[..64], &plus_order(&data[64..])].concat())),
        ("truncated", Box::new(|data| data[..95].to_vec())),
        ("too long", Box::new(|data| [data, &[0]].concat())),
        ("empty", Box::new(|_| vec![])),
    ];
    for (case, tamper) in cases {
        assert_blamed(&keygen_endings(tamper), &[2], case);
    }
}

/// Party 2 knows all others' X_j and wants A = aB: its X is aB minus their sum, whose discrete logarithm it cannot prove to know.
#[test]
fn a_rogue_key_is_blamed() {
    let shares = shares(4);
    let point = |bytes: &[u8; 32]| CompressedEdwardsY(*bytes).decompress().unwrap();
    let others: EdwardsPoint = [0, 1, 3].map(|party| point(shares[0].public_shares().nth(party).unwrap())).iter().sum();
    let rogue = (EdwardsPoint::mul_base(&Scalar::from(7u8)) - others).compress();
    assert_blamed(&keygen_endings(|data| with_point(rogue.as_bytes(), data)), &[2], "rogue key");
}

#[test]
fn a_proof_from_elsewhere_is_blamed() {
    let first_message = |program: &KeyGeneration| match program.next_message(&Default::default()) {
        Ok(client_sdk::protocol::Step::Broadcast { data, .. }) => data,
        other => panic!("{other:?}"),
    };
    let copied = first_message(&key_generation(4, 0));
    assert_blamed(&keygen_endings(|_| copied.clone()), &[2], "another party's message");
    let mut elsewhere = seat(4, 2);
    elsewhere.session = SessionId([9; 32]);
    let replayed = first_message(&KeyGeneration::new(elsewhere, &program(), seed(100, 2)).unwrap());
    assert_blamed(&keygen_endings(|_| replayed.clone()), &[2], "its own message of another session");
    let mut other_program = program();
    other_program.version = "2".into();
    let replayed = first_message(&KeyGeneration::new(seat(4, 2), &other_program, seed(100, 2)).unwrap());
    assert_blamed(&keygen_endings(|_| replayed.clone()), &[2], "its own message of another program");
}

/// Runs four parties, of which party 1 changes its message of the paper's round `round`.
fn sign_endings(shares: &[KeyShare], round: u32, tamper: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Ending<Signature>> {
    let programs = [0, 2, 3].map(|index| signing(&shares[index], 5, b"m", 1));
    let change = |_, at: u32, data: &[u8]| if at == 20 + round { tamper(data) } else { data.to_vec() };
    let cheater = Cheater::new(signing(&shares[1], 5, b"m", 1), 1, change);
    run_local(&[&programs[0] as &dyn Protocol<Output = Signature>, &cheater, &programs[1], &programs[2]], 4).unwrap()
}

#[test]
fn nobody_is_blamed_if_nobody_cheats() {
    let shares = shares(4);
    outputs(sign_endings(&shares, 1, |data| data.to_vec()));
}

#[test]
fn a_cheater_in_any_round_of_signing_is_blamed() {
    let shares = shares(4);
    for round in 1..=4 {
        let cases: [(&str, Tamper<'_>); 5] = [
            ("one bit", Box::new(|data| flip(data, 0))),
            ("truncated", Box::new(|data| data[..31].to_vec())),
            ("too long", Box::new(|data| [data, &[0]].concat())),
            ("empty", Box::new(|_| vec![])),
            ("zero", Box::new(|_| vec![0; 32])),
        ];
        for (case, tamper) in cases {
            assert_blamed(&sign_endings(&shares, round, tamper), &[1], &format!("round {round}, {case}"));
        }
    }
}

#[test]
fn a_spoiled_nonce_is_blamed() {
    let shares = shares(4);
    for (case, spoil) in spoiled_points() {
        assert_blamed(&sign_endings(&shares, 3, spoil), &[1], case);
    }
}

#[test]
fn a_partial_signature_that_is_not_canonical_is_blamed() {
    let shares = shares(4);
    assert_blamed(&sign_endings(&shares, 4, plus_order), &[1], "s + l");
}

/// Their sum would be a valid signature; they are named all the same, and without fixed weights they could hide.
#[test]
fn errors_that_cancel_are_blamed_on_both() {
    let shares = shares(3);
    let shift = |by: Scalar| {
        move |_, at: u32, data: &[u8]| match at {
            4 => (Scalar::from_bytes_mod_order(data.try_into().unwrap()) + by).to_bytes().to_vec(),
            _ => data.to_vec(),
        }
    };
    let honest = signing(&shares[0], 0, b"m", 1);
    let plus = Cheater::new(signing(&shares[1], 0, b"m", 1), 1, shift(Scalar::ONE));
    let minus = Cheater::new(signing(&shares[2], 0, b"m", 1), 2, shift(-Scalar::ONE));
    let endings = run_local(&[&honest as &dyn Protocol<Output = Signature>, &plus, &minus], 1).unwrap();
    assert_blamed(&endings, &[1, 2], "cancelling errors");
}

#[test]
fn who_wants_to_sign_something_else_is_named_before_any_nonce_exists() {
    let shares = shares(3);
    let others: [(&str, Signing); 2] = [
        ("another message", signing(&shares[1], 0, b"another", 1)),
        ("another program", {
            let mut program = program();
            program.digest.0 = [0; 32];
            Signing::new(seat(3, 1), &program, 0, shares[1].clone(), b"m".to_vec(), seed(1, 1)).unwrap()
        }),
    ];
    for (case, other) in others {
        let endings = run(&[signing(&shares[0], 0, b"m", 1), other, signing(&shares[2], 0, b"m", 1)], 6);
        for (index, ending) in endings.iter().enumerate() {
            let Ending::Aborted(abort) = ending else { panic!("{case}: {ending:?}") };
            let expected: &[u16] = if index == 1 { &[0, 2] } else { &[1] };
            assert_eq!(abort.culprits, expected, "{case}, at party {index}");
        }
    }
}

//! Three people, each with a process of their own, sign through four real nodes; Bitcoin's library verifies.

use client_sdk::{Client, Identity, identity_file};
use rand_core::OsRng;
use secp256k1::{Message, PublicKey, ecdsa::Signature};
use sha2::{Digest, Sha256};
use std::process::{Child, Command, Stdio};
use white_city_tests::{cluster::Cluster, signing::spec};
use wire::{Program, SessionSpec};

const PARTIES: usize = 3;
const MESSAGE: &str = "signed by parties that need not trust one another";

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_sign_and_another_library_verifies() {
    let cluster = Cluster::start(4, &[]).await;
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let files: Vec<_> = (0..PARTIES).map(|party| cluster.folder().join(format!("identity{party}.json"))).collect();
    let people: Vec<Identity> = files.iter().map(|_| Identity::generate(&mut OsRng)).collect();
    for (person, file) in people.iter().zip(&files) {
        identity_file::save(person, file, None).unwrap();
    }
    let spec = spec(people.iter().map(Identity::public).collect());
    // A proof of the auxiliary information has 128 numbers of 3072 bits, several times.
    let program = Program { name: "ecdsa".to_owned(), ..spec.program };
    let spec = SessionSpec { program, max_message_bytes: 1024 * 1024, corruption_threshold: 1, ..spec };
    let client = Client::new(cluster.network.clone()).unwrap();
    let session = client.create(&operator, spec).await.unwrap();
    let invitation = client.invite(session).to_string();

    let start = |identity| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecdsa"));
        command.arg(&invitation).arg(identity).arg(MESSAGE).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let running: Vec<Child> = files.iter().map(start).collect();
    let said: Vec<String> = running.into_iter().map(said).collect();

    let said: Vec<(&str, &str)> =
        said.iter().map(|said| said.trim_end_matches('\n').split_once(' ').unwrap()).collect();
    let [(key, signature), (_, other), (_, nothing)] = said[..] else { panic!("{said:?}") };
    assert!(said.iter().all(|(other, _)| *other == key), "all have the key: {said:?}");
    assert_eq!((signature, nothing), (other, ""), "the first two of three sign");
    let (key, signature) = (hex::decode(key).unwrap(), hex::decode(signature).unwrap());
    assert!(valid(&key, &signature, MESSAGE.as_bytes()));
    assert!(!valid(&key, &signature, b"something else"));
}

/// What a process writes until it ends well.
fn said(process: Child) -> String {
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// By Bitcoin's library, which takes the lower of the two possible s only.
fn valid(key: &[u8], signature: &[u8], message: &[u8]) -> bool {
    let key = PublicKey::from_slice(key).unwrap();
    let signature = Signature::from_compact(signature).unwrap();
    let digest = Message::from_digest(Sha256::digest(message).into());
    secp256k1::Secp256k1::verification_only().verify_ecdsa(digest, &signature, &key).is_ok()
}

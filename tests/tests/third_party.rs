//! Protocols that nobody here wrote, through four real nodes; what they sign is verified by `ring`, which knows of none of them.

use client_sdk::{Client, Identity, Options, Session, identity_file};
use futures::future::{join_all, try_join_all};
use rand_core::OsRng;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::path::Path;
use tempfile::TempDir;
use third_party::{Error, frost, givre};
use white_city_tests::{cluster::Cluster, signing};
use wire::MailboxKind;

const MESSAGE: &[u8] = b"signed by parties that need not trust one another";

async fn seated(cluster: &Cluster, n: usize) -> Vec<Session> {
    let (_, parties) = signing::seat(&cluster.network, &cluster.operator_file(), n).await.unwrap();
    parties.into_iter().map(|party| party.session).collect()
}

fn valid(key: &[u8], signature: &[u8], message: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn third_party_protocols_run_unmodified() {
    let cluster = Cluster::start(4, &[]).await;
    givre_generates_a_key_and_signs(&cluster).await;
    givre_goes_on_after_a_loss_of_power(&cluster).await;
    frost_generates_a_key_and_signs_and_names_who_cheats(&cluster).await;
}

async fn givre_generates_a_key_and_signs(cluster: &Cluster) {
    let sessions = seated(cluster, 3).await;
    let shares = try_join_all(sessions.iter().map(|session| givre::generate_key(session, 0, 2))).await.unwrap();
    let key = shares[0].shared_public_key.to_bytes(true);
    // Two of the three, in an order of their own.
    let signers = [2, 0];
    let sign = signers.map(|seat: u16| {
        let seat = usize::from(seat);
        givre::sign(&sessions[seat], givre::KEY_ROUNDS, &shares[seat], &signers, MESSAGE)
    });
    let signatures = try_join_all(sign).await.unwrap();
    assert_eq!(signatures[0], signatures[1]);
    assert!(valid(&key, &signatures[0], MESSAGE));
    assert!(!valid(&key, &signatures[0], b"something else"));
}

/// The first party dies in the key generation and in the signing, each time when its first message is out and no other one's: of the signing that is what
/// binds its nonces.
async fn givre_goes_on_after_a_loss_of_power(cluster: &Cluster) {
    let folder = TempDir::new().unwrap();
    let parties: Vec<Identity> = (0..3).map(|_| Identity::generate(&mut OsRng)).collect();
    let client = || Client::new(cluster.network.clone()).unwrap();
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let spec = signing::spec(parties.iter().map(Identity::public).collect());
    let id = client().create(&operator, spec).await.unwrap();
    let join = async |party: usize, state: Option<&Path>| {
        let options = Options { state: state.map(Path::to_owned), ..Options::default() };
        Session::join(&client(), &parties[party], &id, options).await.unwrap()
    };
    let kept = Some(folder.path());
    let (first, one, two) = tokio::join!(join(0, kept), join(1, None), join(2, None));
    tokio::select! {
        _ = givre::generate_key(&first, 0, 2) => panic!("nobody else has begun"),
        read = one.read(MailboxKind::Broadcast, 0, 1) => drop(read.unwrap()),
    }
    drop(first);
    let first = join(0, kept).await;
    let everybody = [&first, &one, &two].map(|session| givre::generate_key(session, 0, 2));
    let shares = try_join_all(everybody).await.unwrap();
    let key = shares[0].shared_public_key.to_bytes(true);

    let (signers, round) = ([2, 0], givre::KEY_ROUNDS);
    tokio::select! {
        _ = givre::sign(&first, round, &shares[0], &signers, MESSAGE) => panic!("the other one has not begun"),
        read = one.read(MailboxKind::Broadcast, round, 1) => drop(read.unwrap()),
    }
    drop(first);
    let first = join(0, kept).await;
    let share = givre::generate_key(&first, 0, 2).await.unwrap();
    assert_eq!(share.shared_public_key.to_bytes(true), key, "its share is in its journal, too");
    let sign = [(&first, &share), (&two, &shares[2])]
        .map(|(session, share)| givre::sign(session, round, share, &signers, MESSAGE));
    let signatures = try_join_all(sign).await.unwrap();
    assert_eq!(signatures[0], signatures[1]);
    assert!(valid(&key, &signatures[0], MESSAGE));
}

async fn frost_generates_a_key_and_signs_and_names_who_cheats(cluster: &Cluster) {
    let sessions = seated(cluster, 3).await;
    let keys = try_join_all(sessions.iter().map(|session| frost::generate_key(session, 0, 2))).await.unwrap();
    let key = keys[0].1.verifying_key().serialize().unwrap();
    let sign = sessions.iter().zip(&keys).map(|(session, keys)| frost::sign(session, 2, keys, MESSAGE));
    for signature in try_join_all(sign).await.unwrap() {
        assert!(valid(&key, &signature, MESSAGE), "any two sign, and all have the signature");
    }
    // Party 1 signs something else; only two take part, so that it is one of the signers.
    let sign = [(0, MESSAGE), (1, b"something else".as_slice())]
        .map(|(seat, message): (usize, &[u8])| frost::sign(&sessions[seat], 4, &keys[seat], message));
    let errors: Vec<Error> = join_all(sign).await.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors[0].culprits(), [1], "{}", errors[0]);
}

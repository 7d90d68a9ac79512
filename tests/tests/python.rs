//! The Python package against a real node: its own tests, and two parties in Python with one in Rust in one session, invited and as strangers.
//!
//! `scripts/test python` installs the package and says in `WHITE_CITY_PYTHON` for which interpreter.

#[path = "../../node/tests/support/open.rs"]
mod open;

use client_sdk::{Client, Identity, Options, Session, file, identity_file};
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use white_city_tests::{cluster::Cluster, repository, signing};
use wire::{Admission, MailboxKind, SessionId, SessionSpec};

/// Longer than strangers are given to register and to solve.
const END: Duration = Duration::from_secs(120);

fn package() -> PathBuf {
    repository::root().join("client-sdk/python")
}

/// Python with `arguments` in `folder`; it is killed where it takes too long.
async fn python(cluster: &Cluster, folder: &Path, arguments: Vec<String>) -> String {
    let python = std::env::var_os("WHITE_CITY_PYTHON").expect("scripts/test python names the interpreter");
    let mut command = tokio::process::Command::from(Command::new(python));
    command.args(&arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.env("WHITE_CITY_NETWORK", cluster.network_file()).env("WHITE_CITY_OPERATOR", cluster.operator_file());
    let ended = tokio::time::timeout(END, command.output()).await;
    let Output { status, stdout, stderr } = ended.expect("Python ends").expect("Python starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}:\n{stdout}\n{stderr}");
    println!("{stderr}");
    stdout.into_owned()
}

/// A session, and a client of its cluster.
async fn create(cluster: &Cluster, spec: SessionSpec) -> (Client, SessionId) {
    let client = Client::new(cluster.network.clone()).unwrap();
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let id = client.create(&operator, spec).await.unwrap();
    (client, id)
}

fn invite(client: &Client, id: SessionId, path: &Path) {
    file::write_secret(path, &serde_json::to_vec(&client.invite(id)).unwrap()).unwrap();
}

fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are UTF-8").to_owned()
}

fn bytes(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A party that hides its number behind a share for each other one, which it takes from its own sum.
async fn sum_in_rust(session: Session, value: u64) -> u64 {
    let others = (0..session.seat().parties).filter(|party| *party != session.seat().index);
    let shares: BTreeMap<u16, u64> = others.clone().zip([1 << 63, 17]).collect();
    session.send_private(0, &shares.iter().map(|(to, share)| (*to, bytes(*share))).collect()).await.unwrap();
    let number = |data: &[u8]| u64::from_be_bytes(data.try_into().expect("eight bytes"));
    let everybody = session.seat().parties;
    let received = session.read(MailboxKind::Private, 0, everybody).await.unwrap().round;
    let own = shares.values().fold(value, |left, share| left.wrapping_sub(*share));
    let partial = others.fold(own, |sum, from| sum.wrapping_add(number(received.from(from).expect("a share"))));
    session.broadcast(1, bytes(partial)).await.unwrap();
    let sums = session.read(MailboxKind::Broadcast, 1, everybody).await.unwrap().round;
    let sum = (0..everybody).fold(0, |sum: u64, from| sum.wrapping_add(number(sums.from(from).expect("a sum"))));
    session.leave().await.unwrap();
    sum
}

/// Two processes of Python and a party in Rust add 40, 1000 and 1 in a session of `spec`.
async fn add(cluster: &Cluster, identities: &[Identity], spec: SessionSpec) {
    let (client, id) = create(cluster, spec).await;
    let invitation = cluster.folder().join("invitation.json");
    invite(&client, id, &invitation);
    let arguments = |script: &str, party: usize, invitation: String, value: &str| {
        let file = cluster.folder().join(format!("party{party}.json"));
        identity_file::save(&identities[party], &file, None).unwrap();
        [script.to_owned(), text(&cluster.network_file()), text(&file), invitation, value.to_owned()].to_vec()
    };
    let folder = package();
    let in_rust = async {
        let session = Session::join(&client, &identities[2], &id, Options::default()).await.unwrap();
        sum_in_rust(session, 1).await
    };
    let (first, second, third) = tokio::join!(
        python(cluster, &folder, arguments("examples/secure_sum.py", 0, text(&invitation), "40")),
        python(cluster, &folder, arguments("tests/party.py", 1, client.invite(id).to_string(), "1000")),
        in_rust
    );
    assert_eq!((first.trim(), second.trim(), third), ("1041", "1041", 1041));
}

fn three() -> Vec<Identity> {
    (0..3).map(|_| Identity::generate(&mut OsRng)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parties_in_python_and_one_in_rust_add_their_numbers() {
    let identities = three();
    let spec = signing::spec(identities.iter().map(Identity::public).collect());
    add(&Cluster::solo(&[]).await, &identities, spec).await;
}

/// The same programs: what they join is open, so that they register, solve and find their seats by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_in_python_and_rust_add_their_numbers() {
    let terms = open::terms(10_000, 16_000);
    let (admission, corruption_threshold) = (Admission::Open { terms }, 2);
    let sizes = SessionSpec { min_parties: 3, max_parties: 8, corruption_threshold, ..signing::spec(Vec::new()) };
    add(&Cluster::solo(&[]).await, &three(), SessionSpec { admission, ..sizes }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_passes_its_own_tests() {
    let cluster = Cluster::solo(&[]).await;
    let arguments = ["-m", "unittest", "discover", "--verbose", "--start-directory", "tests"];
    python(&cluster, &package(), arguments.map(str::to_owned).to_vec()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_program_takes_part() {
    let readme = std::fs::read_to_string(repository::root().join("README.md")).unwrap();
    let (_, from_block) = readme.split_once("```python\n").expect("a block of Python");
    let (block, _) = from_block.split_once("```\n").expect("its end");
    let cluster = Cluster::solo(&[]).await;
    let identity = Identity::generate(&mut OsRng);
    let (client, id) = create(&cluster, signing::spec(vec![identity.public()])).await;
    let folder = cluster.folder();
    std::fs::copy(cluster.network_file(), folder.join("network.json")).unwrap();
    identity_file::save(&identity, &folder.join("identity.json"), None).unwrap();
    invite(&client, id, &folder.join("invitation.json"));
    let program = format!("{block}print(everybody)");
    assert_eq!(python(&cluster, folder, vec!["-c".to_owned(), program]).await.trim(), "{0: b'hello'}");
}

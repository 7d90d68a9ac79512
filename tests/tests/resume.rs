//! The command `white-city` is killed in every round of a key generation and a signing, on four real nodes, and goes on to the same key.

use client_sdk::{
    Channels, Client, Driver, Identity, Options, Session, driver,
    mailbox::{Content, Message},
    protocol::Protocol,
};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, Signing},
};
use rand_core::OsRng;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use std::{
    path::Path,
    process::{Child, Command},
    sync::Arc,
};
use white_city_tests::{
    cluster::Cluster,
    person::{Person, finish},
};
use wire::{Invitation, MailboxKind};

const MESSAGE: &[u8] = b"signed by who was killed again and again";
/// What the victim and the other person run.
const SIGN: &str =
    "schnorr sign invitation.json --message message --save-share share.json --output signature --public-key key.pem";
const ROUNDS: u32 = 5;

fn sign(person: &Person) -> Child {
    person.start(&SIGN.split(' ').collect::<Vec<_>>())
}

/// The person who is killed.
struct Victim<'a> {
    person: &'a Person,
    process: Child,
    kills: u32,
}

impl Victim<'_> {
    /// Puts the state directory back to where the command looks for it.
    fn bring_state_back(&self) {
        let elsewhere = self.person.path("another-state");
        if elsewhere.exists() {
            std::fs::rename(elsewhere, self.person.path("white-city-state")).unwrap();
        }
    }

    /// kill -9, and again: by the same command, or from another folder by `resume`, after the state directory was moved.
    fn die_and_go_on(&mut self, elsewhere: &Path) {
        assert_eq!(self.process.try_wait().unwrap(), None, "it is at work");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.kills += 1;
        self.bring_state_back();
        let listed = self.person.json(&["resume", "--list"]);
        assert_eq!(listed[0]["name"], "schnorr sign 0", "{listed}");
        assert!(listed[0]["executions"].as_array().is_some_and(|begun| !begun.is_empty()), "{listed}");
        self.process = if self.kills.is_multiple_of(2) {
            sign(self.person)
        } else {
            let state = self.person.path("another-state");
            std::fs::rename(self.person.path("white-city-state"), &state).unwrap();
            let mut again = self.person.command(&["resume", "--state", state.to_str().unwrap()]);
            again.current_dir(elsewhere).spawn().unwrap()
        };
    }
}

/// Runs a program as one of the parties. Before this party writes to a round, in which the two others then have written and wait, the victim dies.
async fn run<P: Protocol>(session: &Session, program: P, victim: &mut Victim<'_>, elsewhere: &Path) -> P::Output {
    let mut driver = Driver::new(program, Arc::new(Channels::none(session.seat().clone())), session.spec());
    loop {
        match driver.step().unwrap() {
            driver::Action::Write { kind, round, payload } => {
                session.read(kind, round, 2).await.unwrap();
                victim.die_and_go_on(elsewhere);
                session.broadcast(round, payload).await.unwrap();
            }
            driver::Action::Read { kind, round, count } => {
                let reading = session.read(kind, round, count).await.unwrap().round;
                let message = |one: client_sdk::protocol::Received| Message {
                    sender: one.sender,
                    content: Content::Message(one.data.unwrap()),
                };
                let messages = reading.received.into_iter().map(message).collect();
                driver.deliver(kind, round, reading.head, messages).unwrap();
            }
            driver::Action::Output(output) => return output,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_killed_in_every_round_has_the_same_key_and_a_valid_signature() {
    let cluster = Cluster::start(4, &[]).await;
    let person = |name: &str| Person::new(cluster.folder().join(name), cluster.network_file());
    let operator = Person { identity: cluster.operator_file(), ..person("operator") };
    let people = ["victim", "other"].map(person);
    let me = Identity::generate(&mut OsRng);
    let mut create = ["session", "create", "--program", "schnorr", "--party"].map(str::to_owned).to_vec();
    create.extend(people.iter().map(|person| person.say(&["identity", "new", "--no-passphrase"])));
    create.push(me.public().to_string());
    operator.say(&create.iter().map(String::as_str).collect::<Vec<_>>());
    for person in &people {
        std::fs::copy(operator.path("invitation.json"), person.path("invitation.json")).unwrap();
        std::fs::write(person.path("message"), MESSAGE).unwrap();
    }
    let invitation: Invitation =
        serde_json::from_slice(&std::fs::read(operator.path("invitation.json")).unwrap()).unwrap();

    let [victim, other] = &people;
    let mut victim = Victim { person: victim, process: sign(victim), kills: 0 };
    let other_process = sign(other);
    let client = Client::new(cluster.network.clone()).unwrap();
    let session = Session::join(&client, &me, &invitation.session, Options::default()).await.unwrap();
    let (seat, program) = (session.seat().clone(), &session.spec().program);
    let generation = KeyGeneration::new(seat.clone(), program, Seed::random(&mut OsRng)).unwrap();
    let share = run(&session, generation, &mut victim, cluster.folder()).await;
    let key = share.public_key();
    let signing = Signing::new(seat, program, 0, share, MESSAGE.to_vec(), Seed::random(&mut OsRng)).unwrap();
    let signature = run(&session, signing, &mut victim, cluster.folder()).await;

    assert_eq!(victim.kills, ROUNDS, "it was killed in each round");
    assert!(victim.process.wait().unwrap().success());
    assert!(!victim.person.path("white-city-state").exists(), "all of it was done in the directory that was named");
    victim.bring_state_back();
    finish(other_process);
    assert!(UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(MESSAGE, signature.as_bytes()).is_ok());
    let read = |person: &Person, name| std::fs::read(person.path(name)).unwrap();
    for person in &people {
        assert_eq!(read(person, "signature"), signature.as_bytes());
        assert_eq!(read(person, "key.pem"), read(&people[0], "key.pem"));
        let share: Value = serde_json::from_slice(&read(person, "share.json")).unwrap();
        assert_eq!(share["public_key"], key.to_string());
        assert!(openssl(&person.folder).unwrap_or(true), "openssl refuses the signature");
    }
    let victim = victim.person;
    assert_eq!(victim.json(&["resume", "--list"]), Value::Array(vec![]));
    assert!(victim.say(&["resume"]).starts_with("nothing is unfinished in "));

    // To run the command once more changes nothing: all of it is in the journal.
    assert!(finish(sign(victim)).contains(&signature.to_string()));
    let next = session.read_available(MailboxKind::Broadcast, ROUNDS).await.unwrap();
    assert_eq!(next.round.received, [], "and writes nothing");
}

/// What openssl says of the signature; none where there is no openssl that knows how.
fn openssl(folder: &Path) -> Option<bool> {
    let version = Command::new("openssl").arg("version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).starts_with("OpenSSL 3") {
        return None;
    }
    let arguments = "pkeyutl -verify -pubin -inkey key.pem -rawin -sigfile signature -in message".split(' ');
    Some(Command::new("openssl").current_dir(folder).args(arguments).output().ok()?.status.success())
}

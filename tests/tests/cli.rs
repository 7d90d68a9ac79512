//! The command `white-city` as people and scripts use it, on a node that orders blocks itself.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};
use white_city_tests::{
    binary::binary,
    cluster::Cluster,
    node::Signal,
    person::{Person, finish},
};

/// A cluster of one, its operator, and people.
struct Scene {
    operator: Person,
    people: Vec<Person>,
    cluster: Cluster,
}

impl Scene {
    async fn new(people: usize) -> Self {
        let cluster = Cluster::solo(&[]).await;
        let person = |name: String| Person::new(cluster.folder().join(name), cluster.network_file());
        let operator = Person { identity: cluster.operator_file(), ..person("operator".to_owned()) };
        let people: Vec<Person> = (0..people).map(|i| person(format!("person{i}"))).collect();
        for person in &people {
            person.say(&["identity", "new", "--no-passphrase"]);
        }
        Self { operator, people, cluster }
    }

    /// Lets the operator create a session of all people and hands everybody the invitation. Returns the session's id.
    fn create(&self, options: &[&str]) -> String {
        let keys: Vec<String> = self.people.iter().map(|person| person.say(&["identity", "show"])).collect();
        let mut arguments = vec!["session", "create", "--party"];
        arguments.extend(keys.iter().map(String::as_str));
        let invitation = self.operator.path("invitation.json");
        drop(std::fs::remove_file(&invitation));
        let id = self.operator.say(&[&arguments, options].concat());
        for person in &self.people {
            std::fs::copy(&invitation, person.path("invitation.json")).unwrap();
        }
        id
    }

    /// Runs a command for everybody at once, each with arguments of its own, and returns what they wrote.
    fn all(&self, arguments: impl Fn(usize) -> Vec<String>) -> Vec<String> {
        let start = |(i, person): (usize, &Person)| {
            let arguments = arguments(i);
            person.start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let children: Vec<Child> = self.people.iter().enumerate().map(start).collect();
        children.into_iter().map(finish).collect()
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_signed_and_any_verifier_accepts_it() {
    let scene = Scene::new(3).await;
    scene.create(&["--program", "schnorr"]);
    for person in &scene.people {
        std::fs::write(person.path("message"), "we agree").unwrap();
    }
    let line =
        "schnorr sign invitation.json --message message --save-share share.json --output one --public-key key.pem";
    scene.all(|_| words(line));
    // The share that was kept signs again, in other processes and under another number.
    let again = "schnorr sign invitation.json --message message --share share.json --execution 1 --output two --end";
    scene.all(|_| words(&format!("{again} --report report.json")));
    let read = |person: &Person, name| std::fs::read(person.path(name)).unwrap();
    let [first, rest @ ..] = scene.people.as_slice() else { panic!("nobody") };
    for name in ["one", "two", "key.pem"] {
        assert!(rest.iter().all(|person| read(person, name) == read(first, name)), "{name} differs");
    }
    assert_ne!(read(first, "one"), read(first, "two"), "nonces are fresh");
    let verify = |message: &str, signature: &str| {
        first.run(&["schnorr", "verify", "--public-key", "key.pem", "--message", message, "--signature", signature])
    };
    assert!(verify("message", "one").status.success() && verify("message", "two").status.success());
    std::fs::write(first.path("changed"), "we agree!").unwrap();
    assert_eq!(verify("changed", "one").status.code(), Some(5));
    assert!(openssl(&first.folder, "message").unwrap_or(true), "openssl refuses the signature");
    assert!(!openssl(&first.folder, "changed").unwrap_or(false), "openssl accepts a changed file");

    let report = first.say(&["report", "report.json"]);
    assert!(report.contains("signing round 4, sign") && report.contains("blocks"), "{report}");
    let shown = first.json(&["session", "show", "invitation.json"]);
    assert_eq!(shown["record"]["end"]["reason"], "terminated");
    let (code, said) = first.fail(&["schnorr", "keygen", "invitation.json", "--output", "share.json"]);
    assert_eq!(code, 1);
    assert!(said.contains("share.json exists"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back_on_another_device() {
    let scene = Scene::new(2).await;
    scene.create(&["--program", "chat"]);
    let [ann, ben] = scene.people.as_slice() else { panic!("two people") };
    let secret = "a share that must not be lost";
    std::fs::write(ann.path("share"), secret).unwrap();
    std::fs::write(ann.path("words"), "correct horse\n").unwrap();
    assert_eq!(ann.say(&["backup", "invitation.json", "--show"]), "none was ever made");
    assert!(ann.say(&["backup", "invitation.json", "--input", "share"]).contains("number 1"));
    ann.say(&["restore", "invitation.json", "--output", "again"]);
    assert_eq!(std::fs::read_to_string(ann.path("again")).unwrap(), secret);
    let (code, said) = ben.fail(&["restore", "invitation.json", "--output", "none"]);
    assert_eq!(code, 3);
    assert!(said.contains("keep no backup of party 1"), "{said}");

    // With a passphrase, whoever has nothing else any more names whose backup it is.
    let with = ["--backup-passphrase-file", "words"];
    let keep = ["backup", "invitation.json", "--input", "share", "--keep", "1h"];
    assert_eq!(ann.json(&[&keep[..], &with].concat())["number"], 2);
    std::fs::copy(ann.path("words"), ben.path("words")).unwrap();
    let key = ann.say(&["identity", "show"]);
    let restore = ["restore", "invitation.json", "--party", &key, "--output", "share"];
    ben.say(&[&restore[..], &with].concat());
    assert_eq!(std::fs::read_to_string(ben.path("share")).unwrap(), secret);
    let (code, said) = ben.fail(&[&restore[..], &with].concat());
    assert!(code == 1 && said.contains("share exists"), "{said}");
    std::fs::write(ben.path("words"), "battery staple\n").unwrap();
    let (code, said) = ben.fail(&[&restore[..4], &["--output", "other"], &with].concat());
    assert!(code == 1 && said.contains("the passphrase is not the one"), "{said}");
    let (code, said) = ann.fail(&["restore", "invitation.json", "--output", "other"]);
    assert!(code == 1 && said.contains("opens with a passphrase"), "{said}");
    assert_eq!(ann.fail(&["restore", "invitation.json", "--party", "0", "--output", "other"]).0, 2);

    ann.say(&["backup", "invitation.json", "--erase"]);
    assert_eq!(ann.say(&["backup", "invitation.json", "--show"]), "number 3 is erased, or its time is over");
    assert_eq!(ann.fail(&[&["restore", "invitation.json", "--output", "other"], &with[..]].concat()).0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_string_is_enough_where_there_is_no_file() {
    let scene = Scene::new(2).await;
    let id = scene.create(&["--program", "chat"]);
    let text = scene.operator.say(&["session", "invite", &id]);
    assert!(text.starts_with("whitecity:"), "{text}");
    assert_eq!(scene.operator.json(&["session", "invite", "invitation.json"])["invite"], text.as_str());
    let drawn = scene.operator.say(&["session", "invite", &id, "--qr"]);
    assert!(drawn.starts_with(&text) && drawn.lines().count() > 20, "{drawn}");
    // In a folder without a network file, and in capitals, as a camera reads it.
    let join = |person: &Person| {
        let mut command = Command::new(binary("white-city"));
        command.current_dir(&person.folder).args(["join", &text.to_ascii_uppercase()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = scene.people.iter().map(join).collect();
    let words = scene.operator.json(&["network"])["words"].as_str().unwrap().to_owned();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&words), "the eight words are shown: {said}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(&id));
    }
    let shown = scene.people[0].json(&["session", "show", &text]);
    assert_eq!(shown["session"], id.as_str());
    scene.people[0].say(&["write", &text, "--round", "0", "--broadcast", "hello"]);
    let (code, said) = scene.people[0].fail(&["join", &text[..text.len() - 1]]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("copy it again"), "{said}");
}

/// What openssl says of signature `one`; none where there is no openssl that knows how.
fn openssl(folder: &Path, message: &str) -> Option<bool> {
    let version = Command::new("openssl").arg("version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).starts_with("OpenSSL 3") {
        return None;
    }
    let arguments = "pkeyutl -verify -pubin -inkey key.pem -rawin -sigfile one -in";
    let output = Command::new("openssl").current_dir(folder).args(words(arguments)).arg(message).output().ok()?;
    Some(output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_stay_secret_have_a_sum_mean_and_variance() {
    let scene = Scene::new(3).await;
    scene.create(&["--program", "statistics"]);
    let values = [1, 2, 6];
    for text in scene.all(|i| words(&format!("--json statistics invitation.json --value {}", values[i]))) {
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["sum"], &value["mean"]), (&"9".into(), &"3.000000".into()));
        assert_eq!(value["variance"], "4.666667");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_written_printed_and_read() {
    let scene = Scene::new(2).await;
    let id = scene.create(&["--program", "chat", "--title", "two of us"]);
    let seats = scene.all(|_| words("--json join invitation.json"));
    for (i, seat) in seats.iter().enumerate() {
        let seat: Value = serde_json::from_str(seat).unwrap();
        assert_eq!((&seat["index"], &seat["phase"]), (&i.into(), &"running".into()));
    }
    let [ann, bob] = scene.people.as_slice() else { panic!("two people") };
    ann.say(&["write", "invitation.json", "--round", "0", "--broadcast", "hello"]);
    ann.say(&["write", "invitation.json", "--round", "0", "--broadcast", "hello"]);
    let (code, said) = ann.fail(&["write", "invitation.json", "--round", "0", "--broadcast", "good bye"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("error: ") && said.contains("hint: "), "{said}");

    // What is printed is what curl sends.
    let printed = bob.say(&["write", "invitation.json", "--round", "0", "--hex", "ff00", "--print"]);
    let url = format!("{}/v1/operations?wait=commit", scene.cluster.nodes[0].url);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(printed);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());

    let shown = ann.say(&["read", "invitation.json", "--round", "0", "--count", "2"]);
    assert_eq!(shown, "party 0: hello\nparty 1: 0xff00");
    let (code, said) = ann.fail(&["read", "invitation.json", "--round", "1", "--count", "1", "--timeout", "1s"]);
    assert_eq!(code, 4);
    assert!(said.contains("missing [0, 1]"), "{said}");
    assert_eq!(bob.json(&["read", "invitation.json", "--round", "1"])["messages"], Value::Array(vec![]));
    let (code, said) = ann.fail(&["statistics", "invitation.json", "--value", "1"]);
    assert_eq!(code, 1);
    assert!(said.contains("have agreed to run chat 1"), "{said}");
    let listed = bob.json(&["session", "list"]);
    assert_eq!((&listed[0]["session"], &listed[0]["title"]), (&id.into(), &"two of us".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_created_by_curl_and_watched_to_its_end() {
    let scene = Scene::new(2).await;
    let printed = scene.create(&["--program", "p", "--threshold", "0", "--print"]);
    let url = format!("{}/v1/operations?wait=commit", scene.cluster.nodes[0].url);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(printed);
    assert!(request.send().await.unwrap().status().is_success());
    scene.all(|_| words("join invitation.json"));
    let [ann, bob] = scene.people.as_slice() else { panic!("two people") };

    let mut watching = bob.start(&["session", "watch", "invitation.json"]);
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("session"), "{first}");
    ann.say(&["session", "terminate", "invitation.json"]);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(watching.wait().unwrap().success());
    assert!(rest.iter().any(|line| line == "party 0 is done"), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("ended: terminated at height")), "{rest:?}");
    for person in [ann, bob] {
        person.say(&["session", "ack", "invitation.json"]);
    }
    assert_eq!(ann.json(&["session", "show", "invitation.json"])["record"]["phase"], "erased");
    let (_, said) = ann.fail(&["join", "invitation.json"]);
    assert!(said.contains("has ended: Terminated"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_and_what_is_missing_is_named() {
    let mut scene = Scene::new(2).await;
    let stranger = Person { identity: scene.cluster.operator_file(), ..scene.people.pop().unwrap() };
    let [ann] = scene.people.as_slice() else { panic!("one person") };
    let key = ann.say(&["identity", "show"]);
    let other = hex::encode([7; 32]);
    let create = ["session", "create", "--program", "p", "--party", &key, &other];
    let (code, said) = ann.fail(&create);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not_permitted") && said.contains("--identity"), "{said}");
    scene.operator.say(&create);
    let invitation = scene.operator.path("invitation.json");
    let invitation = invitation.to_str().unwrap();

    let (code, said) = ann.fail(&["join", invitation, "--timeout", "1s"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("missing [1]"), "{said}");
    let (code, said) = stranger.fail(&["join", invitation]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("is not on the list"), "{said}");
    let (code, said) = ann.fail(&["session", "show", &other]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("unknown_session"), "{said}");
    let (code, _) = ann.fail(&["write", invitation, "--round", "0"]);
    assert_eq!(code, 2);

    scene.cluster.nodes[0].stop();
    let (code, said) = ann.fail(&["session", "show", invitation, "--json"]);
    let problem: Value = serde_json::from_str(&said).expect("errors are JSON, too");
    assert_eq!((code, &problem["exit"]), (4, &4.into()));
    assert!(problem["error"].as_str().unwrap().contains("node0"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_early_is_no_failure() {
    let scene = Scene::new(1).await;
    scene.create(&["--program", "p"]);
    let [ann] = scene.people.as_slice() else { panic!("one person") };
    let mut child = ann.start(&["session", "show", "invitation.json"]);
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "");
}

#[test]
fn identities_are_encrypted_or_say_that_they_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let person = Person {
        folder: folder.path().to_owned(),
        network: folder.path().join("network.json"),
        identity: folder.path().join("safe.json"),
    };
    std::fs::write(person.path("passphrase"), "correct horse\n").unwrap();
    let made = person.run(&["identity", "new", "--output", "open.json", "--no-passphrase"]);
    assert!(String::from_utf8_lossy(&made.stderr).contains("NOT encrypted"));
    let key = person.say(&["identity", "new", "--output", "safe.json", "--passphrase-file", "passphrase"]);
    assert_eq!(person.say(&["identity", "show"]), key);
    let text = std::fs::read_to_string(person.path("safe.json")).unwrap();
    assert!(text.contains("BEGIN AGE ENCRYPTED FILE"));
    let (code, said) = person.fail(&["identity", "new", "--output", "safe.json", "--no-passphrase"]);
    assert_eq!(code, 1);
    assert!(said.contains("safe.json exists"), "{said}");
}

/// Saves what a node answers.
fn save(person: &Person, name: &str, url: &str) {
    let output = Command::new("curl").args(["-s", url]).output().expect("curl is installed");
    std::fs::write(person.path(name), output.stdout).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_answer_is_checked_offline() {
    let mut scene = Scene::new(2).await;
    let id = scene.create(&["--program", "schnorr"]);
    scene.all(|_| words("join invitation.json"));
    let url = scene.cluster.nodes[0].url.clone();
    let [person, _] = scene.people.as_slice() else { panic!("two people") };
    person.say(&["write", "invitation.json", "--round", "9", "--broadcast", "hello"]);
    let nobodys = "11".repeat(32);
    let answers = [
        ("parameters.json", "network", "network"),
        ("certificate.json", "certificate", "certificate"),
        ("session.json", &format!("sessions/{id}"), "session"),
        ("parties.json", &format!("sessions/{id}/parties"), "parties"),
        ("mailbox.json", &format!("sessions/{id}/broadcast/9"), "mailbox"),
        ("empty.json", &format!("sessions/{id}/broadcast/8"), "mailbox"),
        ("nothing.json", &format!("sessions/{nobodys}"), "no-session"),
    ];
    for (name, path, _) in &answers {
        let proof = if *name == "certificate.json" { "" } else { "?proof=true" };
        save(person, name, &format!("{url}/v1/{path}{proof}"));
    }
    save(person, "keys.json", &format!("{url}/v1/keys"));
    let written = person.json(&["network", "--output", "with_keys.json"]);
    let network = person.json(&["network"]);
    assert_eq!(network["words"], written["words"]);
    assert_eq!(network["words"].as_str().unwrap().split(' ').count(), 8);
    // From here on there is no node.
    scene.cluster.end_all(Signal::TERM);

    let [person, _] = scene.people.as_slice() else { panic!("two people") };
    for (name, _, kind) in &answers {
        let proved = person.json(&["verify", name, "--keys", "keys.json", "--kind", kind]);
        assert_eq!((&proved["proved"], &proved["epoch"]), (&Value::from(*kind), &Value::from(1)), "{proved}");
    }
    let (folder, identity) = (person.folder.clone(), person.identity.clone());
    let file = Person { network: person.path("with_keys.json"), folder, identity };
    let said = file.say(&["verify", "mailbox.json", "--session", "session.json"]);
    assert!(said.contains("had exactly these 1 entries, signed by their senders"), "{said}");
    assert!(file.say(&["verify", "empty.json"]).contains("nobody had written to broadcast round 8"));
    let (code, said) = person.fail(&["verify", "mailbox.json"]);
    assert!(code == 5 && said.contains("no key record") && said.contains("--keys"), "{said}");
    let (code, _) = person.fail(&["verify", "mailbox.json", "--keys", "keys.json", "--kind", "session"]);
    assert_eq!(code, 2);
    let text = std::fs::read_to_string(person.path("session.json")).unwrap().replace("\"running\"", "\"ended\"");
    std::fs::write(person.path("session.json"), text).unwrap();
    let (code, said) = file.fail(&["verify", "session.json"]);
    assert!(code == 5 && said.contains("the session's record is not proved"), "{said}");
}

//! Strangers become parties of a session that nobody has listed them for, with the command, on a node that orders blocks itself; and go on as a
//! group.

use client_sdk::{Client, Error, Event, Identity, Options, Session, file};
use futures::future::try_join_all;
use protocols::{Seed, statistics::Statistics};
use rand_core::OsRng;
use std::{
    io::{BufRead, BufReader},
    num::NonZeroUsize,
    path::Path,
    process::{Child, ChildStderr},
    sync::Arc,
};
use tokio::sync::Notify;
use white_city_tests::{
    cluster::Cluster,
    person::{Person, finish},
};
use wire::{ListKind, NetworkFile, SessionId};

/// A node, its operator, and people whom it does not know.
struct Scene {
    operator: Person,
    people: Vec<Person>,
    // Dropped last, for its folder holds theirs.
    cluster: Cluster,
}

impl Scene {
    async fn new(people: usize) -> Self {
        let cluster = Cluster::solo(&[]).await;
        let person = |name: String| Person::new(cluster.folder().join(name), cluster.network_file());
        let operator = Person { identity: cluster.operator_file(), ..person("operator".to_owned()) };
        let people: Vec<Person> = (0..people).map(|i| person(format!("person{i}"))).collect();
        people.iter().for_each(|person| drop(person.say(&["identity", "new", "--no-passphrase"])));
        Self { operator, people, cluster }
    }

    /// Lets the operator create a session, and hands everybody the invitation under this name.
    fn create(&self, invitation: &str, program: &str, options: &[&str]) {
        let arguments = ["session", "create", "--program", program, "--output", invitation];
        self.operator.say(&[&arguments, options].concat());
        for person in &self.people {
            std::fs::copy(self.operator.path(invitation), person.path(invitation)).unwrap();
        }
    }

    fn start_all(&self, arguments: &[&str]) -> Vec<Child> {
        self.people.iter().map(|person| person.start(arguments)).collect()
    }

    /// What `white-city verify` says of the node's answer with its proof, which is saved under this name.
    async fn verify(&self, path: &str, name: &str, options: &[&str]) -> String {
        let url = format!("{}/v1/{path}?proof=true", self.cluster.nodes[0].url);
        let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        std::fs::write(self.operator.path(name), answer).unwrap();
        self.operator.say(&[&["verify", name, "--keys", "keys.json"], options].concat())
    }

    fn all(&self, arguments: &[&str]) -> Vec<String> {
        self.start_all(arguments).into_iter().map(finish).collect()
    }
}

/// The percentages of the work that a joining process tells of, as they come.
fn percentages(errors: ChildStderr) -> impl Iterator<Item = u32> {
    let percent = |line: String| line.strip_prefix("solving: ")?.split_once('%')?.0.parse().ok();
    BufReader::new(errors).lines().filter_map(move |line| percent(line.unwrap()))
}

fn has_checkpoint(person: &Person) -> bool {
    let files = std::fs::read_dir(person.path("white-city-state")).map(|files| files.collect::<Vec<_>>());
    let names = files.unwrap_or_default().into_iter().map(|file| file.unwrap().path());
    names.into_iter().any(|path| path.extension().is_some_and(|kind| kind == "work"))
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_register_solve_and_sign_though_one_loses_power_and_go_on_as_a_group() {
    let scene = Scene::new(3).await;
    let terms = ["--registering", "8s", "--work", "10s", "--slack", "8s", "--adversary", "1", "--hash-rate", "4000000"];
    let bound = ["--soundness", "20", "--stamp-bits", "10", "--min", "3", "--max", "8", "--head-start", "4s"];
    scene.create("open.json", "schnorr", &[&["--open"][..], &terms, &bound].concat());
    let join = ["join", "open.json", "--threads", "1"];
    let mut joining = scene.start_all(&join);
    let (mut unlucky, person) = (joining.remove(0), &scene.people[0]);
    let half = percentages(unlucky.stderr.take().unwrap()).find(|percent| *percent >= 50 && has_checkpoint(person));
    assert!(half.is_some(), "it works, and what is done is on the disk");
    unlucky.kill().unwrap();
    unlucky.wait().unwrap();
    let mut again = person.start(&join);
    let first = percentages(again.stderr.take().unwrap()).next();
    assert!(first.is_some_and(|percent| percent >= 20), "it goes on where it was: {first:?}");
    joining.push(again);
    let shown: Vec<String> = joining.into_iter().map(finish).collect();
    assert!(shown.iter().all(|text| text.contains("of 3") && text.contains("phase    running")), "{shown:?}");
    assert!(!has_checkpoint(person), "work that has served is not kept");
    let session = person.json(&["session", "show", "open.json"]);
    assert_eq!(session["parties"].as_array().map(Vec::len), Some(3));
    check_answers(&scene, session["session"].as_str().unwrap()).await;

    // Each of these is a process of its own, which finds its channels' secrets again.
    scene.all(&["schnorr", "keygen", "open.json", "--public-key", "key.pem"]);
    std::fs::write(scene.operator.path("paper.txt"), "we, whom nobody knew").unwrap();
    for name in ["first.json", "second.json"] {
        scene.create(name, "schnorr", &["--group", "open.json"]);
        scene.all(&[
            "schnorr",
            "sign",
            name,
            "--share",
            "share.json",
            "-m",
            "../operator/paper.txt",
            "-o",
            "signature.bin",
        ]);
        let verify =
            ["schnorr", "verify", "--public-key", "key.pem", "-m", "../operator/paper.txt", "-s", "signature.bin"];
        assert_eq!(person.say(&verify), "the signature is valid");
    }
    scene.create("numbers.json", "statistics", &["--group", "open.json"]);
    let sums = scene.all(&["statistics", "numbers.json", "--value", "14"]);
    assert!(sums.iter().all(|text| text.contains("42")), "over private channels whose keys are derived: {sums:?}");
    assert!(person.say(&["forget", "open.json"]).starts_with("done"));
    let (code, error) = person.fail(&["join", "numbers.json"]);
    assert!(code == 1 && error.contains("secrets of this party's channels"), "{code}: {error}");
}

/// What a node says of the session is proved, to somebody who takes no part.
async fn check_answers(scene: &Scene, session: &str) {
    let keys = reqwest::get(format!("{}/v1/keys", scene.cluster.nodes[0].url)).await.unwrap();
    std::fs::write(scene.operator.path("keys.json"), keys.bytes().await.unwrap()).unwrap();
    let path = |rest: &str| format!("sessions/{session}{rest}");
    let known = ["--session", "session.json", "--parties", "parties.json"];
    let said = [
        (scene.verify(&path(""), "session.json", &["--kind", "session"]).await, "under the nodes' challenge"),
        (scene.verify(&path("/registrants"), "registrants.json", &[]).await, "exactly these 3 registrants"),
        (scene.verify(&path("/solvers"), "solvers.json", &["--kind", "solvers"]).await, "exactly these 3 solvers"),
        (
            scene.verify(&path("/parties"), "parties.json", &known[..2]).await,
            "in the order that the nodes' challenge gives",
        ),
        (
            scene.verify(&path("/keying/0"), "keying.json", &known).await,
            "exactly these 3 entries, signed by their senders",
        ),
    ];
    for (said, wanted) in said {
        assert!(said.contains(wanted), "{said}");
    }
    let text = std::fs::read_to_string(scene.operator.path("registrants.json")).unwrap();
    std::fs::write(scene.operator.path("false.json"), text.replacen("\"count\":3", "\"count\":2", 1)).unwrap();
    let (code, error) = scene.operator.fail(&["verify", "false.json", "--keys", "keys.json"]);
    assert!(code == 5 && error.contains("proves nothing"), "{code}: {error}");
}

/// Takes part until `is_due`, and is gone then.
async fn die_at(network: &NetworkFile, stranger: &Identity, id: &SessionId, state: &Path, is_due: fn(&Event) -> bool) {
    let due = Arc::new(Notify::new());
    let told = Arc::clone(&due);
    let client = Client::new(network.clone()).unwrap().with_progress(move |progress| {
        if is_due(&progress.event) {
            told.notify_one();
        }
    });
    tokio::select! {
        joined = Session::join(&client, stranger, id, kept(state)) => panic!("{joined:?} came too soon"),
        () = due.notified() => {}
    }
}

fn kept(state: &Path) -> Options {
    Options { state: Some(state.to_owned()), threads: Some(NonZeroUsize::MIN), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_die_at_every_step_and_goes_on() {
    let scene = Scene::new(0).await;
    let terms = "--registering 5s --work 6s --slack 4s --head-start 3s --adversary 1 --hash-rate 500000 --soundness 20";
    let options: Vec<&str> = terms.split(' ').chain(["--open", "--stamp-bits", "6", "--min", "3"]).collect();
    scene.create("open.json", "statistics", &options);
    let client = Client::new(scene.cluster.network.clone()).unwrap();
    let id = client.accept(&file::read_invitation(&scene.operator.path("open.json")).unwrap()).unwrap();
    let strangers: Vec<Identity> = (0..4).map(|_| Identity::generate(&mut OsRng)).collect();
    let deaths: [fn(&Event) -> bool; 4] = [
        |event| matches!(event, Event::Registered { .. }),
        |event| matches!(event, Event::Challenged),
        |event| matches!(event, Event::Solving { done, total, .. } if done == total),
        |event| matches!(event, Event::Solved { .. }),
    ];
    let (network, state) = (&scene.cluster.network, &scene.operator.path("state"));
    let live = async |(stranger, is_due): (&Identity, fn(&Event) -> bool)| {
        die_at(network, stranger, &id, state, is_due).await;
        let again = Client::new(network.clone()).unwrap();
        let session = Session::join(&again, stranger, &id, kept(state)).await?;
        let program = &session.spec().program;
        let input = u64::from(session.seat().index) + 1;
        let computed = Statistics::new(session.seat().clone(), program, 0, input, Seed::random(&mut OsRng)).unwrap();
        Ok::<u128, Error>(session.run(computed).await?.sum())
    };
    let sums = try_join_all(strangers.iter().zip(deaths).map(live)).await.unwrap();
    assert_eq!(sums, [1 + 2 + 3 + 4; 4]);
    assert_eq!(client.list(&id, ListKind::Registrants).await.unwrap().len(), 4, "nobody has registered twice");
    assert_eq!(client.list(&id, ListKind::Solvers).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_too_slow_or_almost_alone_is_told_so() {
    let scene = Scene::new(3).await;
    let [first, second, late] = &scene.people[..] else { panic!("three people") };
    let open = |rest: &str| -> Vec<String> {
        let all = format!("--open --adversary 1 --soundness 20 --stamp-bits 8 --head-start 2s {rest}");
        all.split(' ').map(str::to_owned).collect()
    };
    let create = |name: &str, rest: &str| {
        let options = open(rest);
        scene.create(name, "schnorr", &options.iter().map(String::as_str).collect::<Vec<_>>());
    };
    create("heavy.json", "--work 5s --slack 1s --hash-rate 100000000000 --max-verifier-hashes 4000000");
    let (code, error) = first.fail(&["join", "heavy.json"]);
    assert!(code == 1 && error.contains("hashes a second and needs"), "{code}: {error}");
    let status = first.json(&["session", "show", "heavy.json"]);
    assert_eq!(status["status"]["registrants"], 0, "who would be too slow does not even ask");

    create("few.json", "--registering 3s --work 1s --slack 1s --hash-rate 1000000 --min 9");
    let (code, error) = first.fail(&["join", "few.json"]);
    assert!(code == 4 && error.contains("1 asked to take part and 9 are needed"), "{code}: {error}");

    create("late.json", "--registering 8s --work 6s --slack 2s --hash-rate 1000000 --min 2 --threshold 1");
    create("full.json", "--registering 8s --work 6s --slack 2s --hash-rate 1000000 --min 2 --threshold 1 --max 2");
    let crowd = scene.start_all(&["join", "full.json"]);
    let joining = [first, second].map(|person| person.start(&["join", "late.json"]));
    let mut watching = scene.operator.start(&["session", "watch", "late.json"]);
    let mut changes = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(changes.any(|line| line.starts_with("phase solving")), "requests are over");
    let (code, error) = late.fail(&["join", "late.json"]);
    assert!(code == 3 && error.contains("requests were taken until at least"), "{code}: {error}");
    let joined = joining.map(finish);
    assert!(joined.iter().all(|text| text.contains("of 2")), "{joined:?}");
    let (code, error) = late.fail(&["join", "late.json"]);
    assert!(code == 3 && error.contains("s ago"), "{code}: {error}");
    let crowd = crowd.into_iter().map(|child| child.wait_with_output().unwrap());
    let (inside, outside): (Vec<_>, Vec<_>) = crowd.partition(|output| output.status.success());
    let error = String::from_utf8_lossy(&outside[0].stderr);
    assert_eq!((inside.len(), outside[0].status.code()), (2, Some(3)), "{error}");
    assert!(error.contains("2 have solved already, which is all that the session has room for"), "{error}");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_without_power_for_too_long_is_told_which_deadline_it_missed() {
    let scene = Scene::new(3).await;
    let terms = ["--open", "--registering", "8s", "--work", "6s", "--slack", "2s", "--head-start", "2s", "--min", "2"];
    let bound =
        ["--threshold", "1", "--adversary", "1", "--hash-rate", "1000000", "--soundness", "20", "--stamp-bits", "8"];
    scene.create("missed.json", "schnorr", &[&terms[..], &bound].concat());
    let mut joining = scene.start_all(&["join", "missed.json"]);
    let (mut unlucky, person) = (joining.remove(2), &scene.people[2]);
    let mut said = BufReader::new(unlucky.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("registered")), "it is among those who asked");
    unlucky.kill().unwrap();
    unlucky.wait().unwrap();
    let shown: Vec<String> = joining.into_iter().map(finish).collect();
    assert!(shown.iter().all(|text| text.contains("of 2")), "{shown:?}");
    let (code, error) = person.fail(&["join", "missed.json"]);
    assert!(code == 3 && error.contains("solutions were taken until at least"), "{code}: {error}");
}

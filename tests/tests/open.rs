//! Strangers become parties of a session that nobody has listed them for, with the command, on a node that orders blocks itself; and go on as a
//! group.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr},
};
use white_city_tests::{
    cluster::Cluster,
    person::{Person, finish},
};

/// A node, its operator, and people whom it does not know.
struct Scene {
    operator: Person,
    people: Vec<Person>,
    // Dropped last, for its folder holds theirs.
    _cluster: Cluster,
}

impl Scene {
    async fn new(people: usize) -> Self {
        let cluster = Cluster::solo(&[]).await;
        let person = |name: String| Person::new(cluster.folder().join(name), cluster.network_file());
        let operator = Person { identity: cluster.operator_file(), ..person("operator".to_owned()) };
        let people: Vec<Person> = (0..people).map(|i| person(format!("person{i}"))).collect();
        people.iter().for_each(|person| drop(person.say(&["identity", "new", "--no-passphrase"])));
        Self { operator, people, _cluster: cluster }
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
    let bound = ["--soundness", "20", "--stamp-bits", "10", "--min", "3", "--max", "8", "--head-start", "2s"];
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

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_too_slow_or_almost_alone_is_told_so() {
    let scene = Scene::new(3).await;
    let [first, second, late] = &scene.people[..] else { panic!("three people") };
    let open = |rest: &str| -> Vec<String> {
        let all = format!("--open --adversary 1 --soundness 20 --stamp-bits 8 --head-start 1s {rest}");
        all.split(' ').map(str::to_owned).collect()
    };
    let create = |name: &str, rest: &str| {
        let options = open(rest);
        scene.create(name, "schnorr", &options.iter().map(String::as_str).collect::<Vec<_>>());
    };
    create("heavy.json", "--work 5s --slack 1s --hash-rate 100000000000 --max-verifier-hashes 1000000000");
    let (code, error) = first.fail(&["join", "heavy.json"]);
    assert!(code == 1 && error.contains("hashes a second and needs"), "{code}: {error}");
    let status = first.json(&["session", "show", "heavy.json"]);
    assert_eq!(status["status"]["registrants"], 0, "who would be too slow does not even ask");

    create("few.json", "--registering 3s --work 1s --slack 1s --hash-rate 1000000 --min 9");
    let (code, error) = first.fail(&["join", "few.json"]);
    assert!(code == 4 && error.contains("1 asked to take part and 9 are needed"), "{code}: {error}");

    create("late.json", "--registering 4s --work 6s --slack 2s --hash-rate 1000000 --min 2 --threshold 1");
    let joining = [first, second].map(|person| person.start(&["join", "late.json"]));
    let mut watching = scene.operator.start(&["session", "watch", "late.json"]);
    let mut changes = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(changes.any(|line| line.starts_with("phase solving")), "requests are over");
    let (code, error) = late.fail(&["join", "late.json"]);
    assert!(code == 3 && error.contains("requests were taken until at least"), "{code}: {error}");
    let joined = joining.map(finish);
    assert!(joined.iter().all(|text| text.contains("of 2")), "{joined:?}");
    let (code, error) = late.fail(&["join", "late.json"]);
    assert!(code == 3 && error.contains("ms ago") || error.contains("s ago"), "{code}: {error}");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

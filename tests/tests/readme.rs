//! The README's commands do what it says: its blocks run in order, as they stand there, against real nodes.

use client_sdk::{Client, Options, Session, file, identity_file};
use protocols::{Seed, schnorr::KeyGeneration};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use white_city_tests::{
    binary::{binary, free_base},
    cluster::Cluster,
    repository,
};
use wire::MailboxKind;

/// Other steps of `scripts/test` run these.
const SKIPPED: [&str; 3] = ["./scripts/demo", "./scripts/test", "docker compose up"];
const PEOPLE: usize = 3;
/// A party's first message, and what it looks like on the board.
const HELLO: &str = "hello";
const END: Duration = Duration::from_secs(60);

/// What runs a block of the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Nobody here: other tests run it.
    Skipped,
    /// Somebody with a session, who talks to a node.
    Visitor,
    /// Every person of the walk-through, at once.
    Everybody,
    /// The one who creates the session.
    Operator,
    /// Anybody who has a signature.
    Verifier,
    /// Who runs nodes.
    NodeOperator,
}

fn who(block: &str) -> Who {
    let first = block.lines().next().unwrap_or_default();
    match first {
        _ if block.lines().all(|line| SKIPPED.contains(&line)) => Who::Skipped,
        _ if block.contains("$URL") => Who::Visitor,
        _ if first.contains("--identity operator.json") => Who::Operator,
        _ if first.starts_with("white-city-node ") => Who::NodeOperator,
        _ if first.starts_with("white-city ") => Who::Everybody,
        _ if first.starts_with("openssl ") => Who::Verifier,
        _ => panic!("nobody runs this block of the README:\n{block}"),
    }
}

/// The README's blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository::root().join("README.md")).unwrap();
    let mut found = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if fence.split(',').next() == Some(language) {
            found.push(body.join("\n"));
        }
    }
    found
}

/// Folders of people who share nothing but files that they send each other, and the variables that the README mentions.
struct World {
    folder: PathBuf,
    passphrase: PathBuf,
    url: String,
    session: String,
}

impl World {
    fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn people(&self) -> impl Iterator<Item = PathBuf> {
        (0..PEOPLE).map(|i| self.folder(&format!("person{i}")))
    }

    /// A shell that runs `text` in `folder` with our commands on the path.
    fn shell(&self, folder: &Path, text: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let ours = binary("white-city");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", text]).current_dir(folder).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", ours.parent().unwrap().display()));
        command.envs([("URL", &self.url), ("SESSION", &self.session)]);
        command.env("WHITE_CITY_PASSPHRASE_FILE", &self.passphrase);
        command.env_remove("WHITE_CITY_NETWORK").env_remove("WHITE_CITY_IDENTITY");
        command
    }

    /// Runs `text` in all folders at once, to success, and returns what was written to the standard outputs.
    fn run(&self, folders: impl IntoIterator<Item = PathBuf>, text: &str) -> Vec<String> {
        let start = |folder: PathBuf| {
            self.shell(&folder, text).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash is installed")
        };
        let children: Vec<Child> = folders.into_iter().map(start).collect();
        let finish = |child: Child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        children.into_iter().map(finish).collect()
    }

    fn one(&self, name: &str, text: &str) -> String {
        self.run([self.folder(name)], text).remove(0)
    }

    /// A new folder with the network file, and with more of the cluster's files.
    fn settle(&self, name: &str, cluster: &Cluster, operator: bool) {
        let folder = self.folder(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(cluster.network_file(), folder.join("network.json")).unwrap();
        if operator {
            fs::copy(cluster.operator_file(), folder.join("operator.json")).unwrap();
        }
    }

    /// An identity and a session that is running, for `name` alone. Returns the session's id.
    fn session_of_one(&self, name: &str) -> String {
        let identity = "unset WHITE_CITY_PASSPHRASE_FILE; white-city -q identity new --no-passphrase";
        let key = self.one(name, &format!("{identity} --output identity.json"));
        let create = format!("white-city -q --identity operator.json session create --program schnorr --party {key}");
        self.one(name, &create).trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocks_run_in_order() {
    let cluster = Cluster::start(4, &[]).await;
    let folder = cluster.folder().join("readers");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("passphrase"), "correct horse\n").unwrap();
    let passphrase = folder.join("passphrase");
    let mut world = World { folder, passphrase, url: cluster.nodes[0].url.clone(), session: String::new() };
    world.settle("visitor", &cluster, true);
    world.settle("operator", &cluster, true);
    (0..PEOPLE).for_each(|i| world.settle(&format!("person{i}"), &cluster, false));
    world.session = world.session_of_one("visitor");
    world.one("visitor", "white-city -q join invitation.json");

    let mut ran = Vec::new();
    for block in blocks("sh") {
        let who = who(&block);
        match who {
            Who::Skipped => continue,
            Who::Visitor => visit(&world, &block),
            Who::Everybody => everybody(&world, &block),
            Who::Operator => create(&world, &block),
            Who::Verifier => verify(&world, &block),
            Who::NodeOperator => run_nodes(&world, &block).await,
        }
        ran.push(who);
    }
    // Without this a README that has lost its blocks would pass.
    for who in [Who::Visitor, Who::Everybody, Who::Operator, Who::Verifier, Who::NodeOperator] {
        assert!(ran.contains(&who), "{who:?} had nothing to do: {ran:?}");
    }
}

fn visit(world: &World, block: &str) {
    let said = world.one("visitor", block);
    if block.contains("proof=true") {
        assert!(said.starts_with("proved: at height ") && said.contains(&world.session), "{said}");
        return;
    }
    assert!(said.contains("\"ready\":true") && said.contains("\"code\":\"accepted\""), "{said}");
    let read = world.one("visitor", "curl -s \"$URL/v1/sessions/$SESSION/broadcast/9\"");
    assert!(read.contains(&hex::encode(HELLO)), "{read}");
}

fn everybody(world: &World, block: &str) {
    for person in world.people() {
        fs::write(person.join("contract.txt"), "we agree\n").unwrap();
    }
    let said = world.run(world.people(), block);
    if block.contains("identity new") {
        fs::write(world.folder("operator").join("public_keys"), said.concat()).unwrap();
    }
}

fn create(world: &World, block: &str) {
    world.one("operator", block);
    for person in world.people() {
        fs::copy(world.folder("operator").join("invitation.json"), person.join("invitation.json")).unwrap();
    }
}

fn verify(world: &World, block: &str) {
    world.run(world.people(), block);
    let changed = "echo more >>contract.txt";
    world.one("person0", changed);
    let output = world.shell(&world.folder("person0"), block).output().unwrap();
    assert!(!output.status.success(), "a changed file passes");
}

/// What a test changes: ports that are free, and that a node runs beside the shell and is asked to stop.
async fn run_nodes(world: &World, block: &str) {
    let folder = world.folder("nodes");
    fs::create_dir(&folder).unwrap();
    let (create, run) = block.split_once('\n').expect("first the cluster is made, then a node runs");
    assert!(!run.contains('\n') && run.ends_with("/node0"), "{run}");
    world.run([folder.clone()], &format!("{create} --base-port {}", free_base(4)));
    let start = |i: usize| {
        let text = format!("exec {}", run.replace("node0", &format!("node{i}")));
        // Nodes look for CometBFT in the project's folder, above which this one does not lie.
        let comet = repository::root().join(".tools/bin/cometbft");
        world.shell(&folder, &text).env("WHITE_CITY_COMETBFT", comet).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut nodes: Vec<Stopped> = (0..4).map(|i| Stopped(start(i))).collect();
    let started = Instant::now();
    let status = "white-city-node status --network cluster/network.json";
    while !world.shell(&folder, status).output().unwrap().status.success() {
        assert!(started.elapsed() < END, "the nodes are not ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(nodes.iter_mut().all(|node| node.0.try_wait().unwrap().is_none()));
    let page =
        world.run([folder], "curl -sfL \"$URL/docs\"; curl -sf \"$URL/openapi.json\"; curl -sf \"$URL/metrics\"");
    assert!(
        page[0].contains("<html") && page[0].contains("\"openapi\"") && page[0].contains("white_city_blocks_total")
    );
}

/// A process that is asked to end, and waited for, when this is dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[rustfmt::skip]
async fn take_part() -> Result<(), Box<dyn Error>> {
    // README, from here
    let client = Client::new(file::read_network(Path::new("network.json"))?)?;
    let identity = identity_file::load(Path::new("identity.json"), None)?;
    let id = client.accept(&file::read_invitation(Path::new("invitation.json"))?)?;
    let session = Session::join(&client, &identity, &id, Options { state: Some("state".into()), ..Options::default() }).await?;
    session.broadcast(9, b"hello".to_vec()).await?; // round 0 is the program's, below
    let everybody = session.read(MailboxKind::Broadcast, 9, session.seat().parties).await?;
    let execution = session.execution("key", b"")?; // killed on the way? Run it all again: it goes on
    let program = KeyGeneration::new(session.seat().clone(), &session.spec().program, Seed::new(**execution.seed()))?;
    let key = execution.run(program).await?;
    session.leave().await?;
    // to here
    assert_eq!(everybody.round.received[0].data.as_deref(), Some(HELLO.as_bytes()));
    assert_eq!(key.public_shares().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_block_is_what_runs_here() {
    let [block] = blocks("rust").try_into().expect("one block of Rust");
    let here = include_str!("readme.rs");
    let (_, here) = here.split_once("    // README, from here\n").unwrap();
    let (here, _) = here.split_once("    // to here\n").unwrap();
    let here: Vec<&str> = here.lines().map(str::trim).collect();
    assert_eq!(here, block.lines().collect::<Vec<_>>(), "make the README and this test the same again");

    let cluster = Cluster::solo(&[]).await;
    let folder = cluster.folder().to_owned();
    let world = World { passphrase: folder.join("none"), folder, url: String::new(), session: String::new() };
    world.settle("visitor", &cluster, true);
    world.session_of_one("visitor");
    // The block names files in the working folder; the test above names none.
    std::env::set_current_dir(world.folder("visitor")).unwrap();
    let done = tokio::time::timeout(END, take_part()).await;
    std::env::set_current_dir(repository::root()).unwrap();
    done.expect("in time").unwrap();
}

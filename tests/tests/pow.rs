//! `white-city pow` as people use it.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};
use white_city_tests::binary::binary;

const CHALLENGE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const KEY: &str = "0202020202020202020202020202020202020202020202020202020202020202";

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("white-city"));
    command.current_dir(folder).args(["--json", "pow"]).args(arguments);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("white-city starts")
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn puzzle<'a>(key: &'a str, leaves_log2: &'a str) -> Vec<&'a str> {
    vec![
        "--challenge",
        CHALLENGE,
        "--key",
        key,
        "--leaf-hashes",
        "4096",
        "--leaves-log2",
        leaves_log2,
        "--openings",
        "20",
    ]
}

#[test]
fn a_proof_is_made_and_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let solved = json(folder.path(), &[&["solve", "--output", "proof"], &puzzle(KEY, "8")[..]].concat());
    let length = std::fs::metadata(folder.path().join("proof")).expect("a proof").len();
    assert_eq!(solved["bytes"], length);
    let good = json(folder.path(), &[&["verify", "proof"], &puzzle(KEY, "8")[..]].concat());
    assert_eq!(good["total_hashes"], 4096 * 256 + 255);
    let other = run(folder.path(), &[&["verify", "proof"], &puzzle(CHALLENGE, "8")[..]].concat());
    assert_eq!(other.status.code(), Some(5));
    let again = run(folder.path(), &[&["solve", "--output", "proof"], &puzzle(KEY, "8")[..]].concat());
    assert_eq!(again.status.code(), Some(1), "a proof is not overwritten");
    let short = run(folder.path(), &[&["verify", "proof"], &puzzle("0202", "8")[..]].concat());
    assert_eq!(short.status.code(), Some(2));
}

#[test]
fn a_killed_solver_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let (checkpoint, proof) = (folder.path().join("checkpoint"), folder.path().join("proof"));
    // Some minutes of work: nobody waits for its end.
    let arguments = |leaves_log2, every| {
        let options =
            ["solve", "--output", "proof", "--checkpoint", "checkpoint", "--threads", "1", "--checkpoint-every", every];
        [&options, &puzzle(KEY, leaves_log2)[..]].concat()
    };
    let until = |every, seen: &dyn Fn() -> bool| {
        let mut solver =
            command(folder.path(), &arguments("22", every)).stderr(Stdio::null()).spawn().expect("it starts");
        while !seen() {
            assert!(solver.try_wait().expect("a child").is_none(), "it works until it is killed");
            std::thread::sleep(Duration::from_millis(20));
        }
        solver.kill().expect("it runs");
        solver.wait().expect("it has ended");
    };
    let length = || std::fs::metadata(&checkpoint).map_or(0, |file| file.len());
    until("1s", &|| length() > 0);
    let other = run(folder.path(), &arguments("8", "1s"));
    let message = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && message.contains("another puzzle"), "{message}");
    // The next one is written after a few milliseconds, and holds all that the first did.
    let before = length();
    until("0s", &|| length() != before);
    assert!(length() > before, "{} bytes after {before}", length());
    assert!(!proof.exists());
}

#[test]
fn the_calculator_and_the_measurement_speak_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let choices = json(folder.path(), &["parameters", "--adversary", "3,9", "--work", "30s"]);
    let identities: Vec<u64> =
        choices.as_array().expect("a list").iter().filter_map(|choice| choice["identities"].as_u64()).collect();
    assert!(identities.len() == 2 && identities[0] >= 3 && identities[1] > identities[0]);
    let measured = json(folder.path(), &["calibrate", "--time", "200ms"]);
    assert!(measured["solver_hash_rate"].as_u64() > Some(0) && measured["bare_hash_rate"].as_u64() > Some(0));
    let nothing = run(folder.path(), &["parameters", "--proof-bytes", "10"]);
    assert_eq!(nothing.status.code(), Some(1));
}

//! A party that dies at any point goes on to the same key and a valid signature, and never contradicts itself.

use super::{
    board::{Board, invited},
    group::files_of_sessions,
};
use client_sdk::{Client, Difference, Error, Execution, Identity, Options, Session, abort_at, file, points_passed};
use futures::{StreamExt, future::join_all, stream};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signature, Signing},
};
use rand_core::OsRng;
use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tempfile::TempDir;
use tokio::process::Command;
use wire::{MailboxKind, SessionId};
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"to be signed by three";
/// Where the party that dies finds its instructions.
const FOLDER: &str = "WHITE_CITY_TEST_FOLDER";
const SIGABRT: i32 = 6;
/// So many parties die at a time; few, for other tests run beside this one and have their deadlines.
const AT_ONCE: usize = 2;

fn key_generation(session: &Session, execution: &Execution<'_>) -> KeyGeneration {
    KeyGeneration::new(session.seat().clone(), &session.spec().program, Seed::new(**execution.seed())).unwrap()
}

fn signing(session: &Session, execution: &Execution<'_>, share: KeyShare, message: &[u8]) -> Signing {
    let (seat, seed) = (session.seat().clone(), Seed::new(**execution.seed()));
    Signing::new(seat, &session.spec().program, 0, share, message.to_vec(), seed).unwrap()
}

async fn key(session: &Session) -> Result<KeyShare, Error> {
    let execution = session.execution("key", b"")?;
    let program = key_generation(session, &execution);
    execution.run(program).await
}

async fn key_and_signature(session: &Session) -> Result<(KeyShare, Signature), Error> {
    let share = key(session).await?;
    let execution = session.execution("sign", MESSAGE)?;
    let program = signing(session, &execution, share.clone(), MESSAGE);
    Ok((share, execution.run(program).await?))
}

async fn join(client: &Client, party: &Identity, id: &SessionId, state: Option<&Path>) -> Result<Session, Error> {
    let options = Options { state: state.map(Path::to_owned), ..Options::default() };
    Session::join(client, party, id, options).await
}

fn journal_in(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    let journals: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect();
    journals.first().cloned().unwrap_or_default()
}

/// Not a test: the process of the party that dies. Others start it.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_a_party() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let client = Client::new(file::read_network(&folder.join("network.json")).unwrap()).unwrap();
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text("seed"), seed.as_mut()).unwrap();
    abort_at(text("abort").parse().unwrap());
    let (party, id) = (Identity::from_seed(seed), text("session").parse().unwrap());
    let session = join(&client, &party, &id, Some(&folder.join("state"))).await.unwrap();
    let (share, signature) = key_and_signature(&session).await.unwrap();
    let result = format!("{} {}", hex::encode(share.public_key().as_bytes()), hex::encode(signature.as_bytes()));
    fs::write(folder.join("result"), result).unwrap();
    fs::write(folder.join("passed"), points_passed().to_string()).unwrap();
}

async fn process(folder: &Path, point: u64) -> ExitStatus {
    fs::write(folder.join("abort"), point.to_string()).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "journal::the_process_of_a_party"]).env(FOLDER, folder).stdout(Stdio::null());
    if point != u64::MAX {
        command.stderr(Stdio::null());
    }
    command.kill_on_drop(true).status().await.unwrap()
}

/// One session in which the first party dies at its `k`th point and starts again; the number of points that it passed when it did not die.
async fn die_at(board: &Board, k: Option<u64>) -> Option<u64> {
    let ((parties, spec), folder) = (invited(3), TempDir::new().unwrap());
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("network.json", serde_json::to_string(&board.network).unwrap());
    write("seed", hex::encode(parties[0].seed().as_slice()));
    write("session", id.to_string());
    let dying = async {
        let mut before = Vec::new();
        if let Some(k) = k {
            let status = process(folder.path(), k).await;
            assert_eq!(status.signal(), Some(SIGABRT), "it dies at point {k}: {status}");
            before = fs::read(journal_in(&folder.path().join("state"))).unwrap_or_default();
        }
        assert!(process(folder.path(), u64::MAX).await.success(), "it goes on after point {k:?}");
        let after = fs::read(journal_in(&folder.path().join("state"))).unwrap();
        // The last record may have been half written, and another one taken its place.
        let kept = before.iter().zip(&after).take_while(|(before, after)| before == after).count();
        let at_end = before.len().saturating_sub(kept);
        assert!(at_end < 1024, "point {k:?}: {at_end} bytes of the journal have changed");
        fs::read_to_string(folder.path().join("result")).unwrap()
    };
    let other = async |party: &Identity| {
        let session = join(&board.client(), party, &id, None).await.unwrap();
        key_and_signature(&session).await.unwrap()
    };
    let (result, others) = tokio::join!(dying, join_all(parties[1..].iter().map(other)));
    for (share, signature) in others {
        share.public_key().verify(MESSAGE, &signature).unwrap();
        let same = format!("{} {}", hex::encode(share.public_key().as_bytes()), hex::encode(signature.as_bytes()));
        assert_eq!(result, same, "point {k:?}");
    }
    let passed = fs::read_to_string(folder.path().join("passed")).unwrap().parse().unwrap();
    k.is_none().then_some(passed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_may_die_at_every_point_of_a_key_generation_and_a_signing() {
    let board = Board::solo().await;
    let points = die_at(&board, None).await.unwrap();
    assert!(points >= 50, "{points} points");
    let died = stream::iter(1..=points).map(|k| die_at(&board, Some(k))).buffer_unordered(AT_ONCE).count().await;
    assert_eq!(u64::try_from(died).unwrap(), points);
}

/// A session of two whose second party follows, and the first one's seat.
async fn two(board: &Board, folder: &Path) -> (Identity, SessionId, Session, Session) {
    let (mut parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let (a, b) = (board.client(), board.client());
    let (first, second) = tokio::join!(join(&a, &parties[0], &id, Some(folder)), join(&b, &parties[1], &id, None));
    (parties.remove(0), id, first.unwrap(), second.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_older_than_the_board_or_gone_is_refused() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (party, id, first, second) = two(&board, folder.path()).await;
    let (mine, _) = tokio::try_join!(key(&first), key(&second)).unwrap();
    let journal = journal_in(folder.path());
    let older = fs::read(&journal).unwrap();
    let (both, _) = tokio::try_join!(key_and_signature(&first), key_and_signature(&second)).unwrap();
    assert_eq!(both.0.public_key(), mine.public_key(), "the key generation is replayed, not repeated");
    drop(first);
    let newest = fs::read(&journal).unwrap();

    let again = async || join(&board.client(), &party, &id, Some(folder.path())).await.unwrap();
    fs::write(&journal, &older).unwrap();
    let error = key_and_signature(&again().await).await.unwrap_err();
    let expected = |round| (MailboxKind::Broadcast, round);
    assert!(matches!(error, Error::JournalMissing { kind, round, .. } if (kind, round) == expected(1)), "{error}");
    fs::remove_file(&journal).unwrap();
    let error = key(&again().await).await.unwrap_err();
    assert!(matches!(error, Error::JournalMissing { kind, round, .. } if (kind, round) == expected(0)), "{error}");

    // Of the signing all but the last records, one after another.
    let (mut behind, mut at) = (0, older.len());
    while at < newest.len() {
        let length = u32::from_le_bytes(newest[at..at + 4].try_into().unwrap());
        at += 12 + usize::try_from(length).unwrap();
        fs::write(&journal, &newest[..at]).unwrap();
        match key_and_signature(&again().await).await {
            Ok((_, signature)) => assert_eq!(signature.as_bytes(), both.1.as_bytes()),
            Err(Error::JournalMissing { .. }) => {}
            Err(Error::JournalBehind { round, .. }) => {
                assert!((2..=4).contains(&round));
                behind += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(behind >= 3, "{behind}");
    let (_, signature) = key_and_signature(&again().await).await.unwrap();
    assert_eq!(signature.as_bytes(), both.1.as_bytes(), "with all of it the party has its result again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seat_at_a_time_goes_on_and_only_as_it_began() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (party, id, first, second) = two(&board, folder.path()).await;
    let (share, _) = tokio::try_join!(key(&first), key(&second)).unwrap();
    let other = join(&board.client(), &party, &id, Some(folder.path())).await.unwrap();
    let error = key(&other).await.unwrap_err();
    assert!(matches!(error, Error::JournalInUse { .. }), "{error}");
    let options = Options { state: Some(folder.path().to_owned()), ..Options::default() };
    let error = Session::forget(&board.client(), &party, &id, &options).unwrap_err();
    assert!(matches!(error, Error::JournalInUse { .. }), "{error}");

    let error = first.execution("key", b"another input").unwrap_err();
    assert!(matches!(error, Error::ReplayDiffers { difference: Difference::Input { .. }, .. }), "{error}");
    let running = first.execution("key", b"").unwrap();
    assert!(running.is_resumed());
    let error = first.execution("key", b"").unwrap_err();
    assert!(matches!(error, Error::ExecutionRuns { .. }), "{error}");
    drop(running);

    let program = KeyGeneration::new(first.seat().clone(), &first.spec().program, Seed::random(&mut OsRng)).unwrap();
    let error = first.execution("key", b"").unwrap().run(program).await.unwrap_err();
    let is_message = |difference: &Difference| matches!(difference, Difference::Message { round: 0, .. });
    assert!(matches!(&error, Error::ReplayDiffers { difference, .. } if is_message(difference)), "{error}");
    let execution = first.execution("key", b"").unwrap();
    let program = signing(&first, &execution, share, MESSAGE);
    let error = execution.run(program).await.unwrap_err();
    assert!(matches!(&error, Error::ReplayDiffers { difference: Difference::Step { .. }, .. }), "{error}");
    assert!(error.to_string().contains("wrote broadcast round 0"), "{error}");

    drop(first);
    assert!(key(&other).await.is_ok(), "the other one goes on when the first is gone");
    drop(other);
    assert!(Session::forget(&board.client(), &party, &id, &options).unwrap());
    assert_eq!(files_of_sessions(folder.path()), 0, "nothing is left");
}

//! A party that dies at any point goes on to the same key and a valid signature, and never contradicts itself or uses a nonce twice.

use super::{
    board::{Board, invited},
    group::files_of_sessions,
};
use client_sdk::{Client, Difference, Error, Execution, Identity, Options, Session, abort_at, file, points_passed};
use futures::{StreamExt, future::join_all, stream};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signature, Signing},
    statistics::Statistics,
};
use rand_core::OsRng;
use std::{
    collections::BTreeMap,
    env, fs,
    ops::Range,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tempfile::TempDir;
use tokio::process::Command;
use white_city_tests::once::{Twice, Used};
use wire::{Bytes, EndReason, Envelope, MailboxId, MailboxKind, Operation, SessionId, message_digest};
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"to be signed by three";
/// Where the party that dies finds its instructions.
const FOLDER: &str = "WHITE_CITY_TEST_FOLDER";
/// The sum's number, by which it has rounds of its own.
const SUM: u32 = 3;
/// A round in which no program writes.
const PLAIN_ROUND: u32 = 9;
/// The rounds of the signing.
const SIGNING: Range<u32> = 1..5;
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

/// The sum of the parties' indices, by private messages.
async fn sum(session: &Session) -> Result<u128, Error> {
    let (seat, input) = (session.seat().clone(), u64::from(session.seat().index));
    let execution = session.execution("sum", &input.to_le_bytes())?;
    let seed = Seed::new(**execution.seed());
    let program = Statistics::new(seat, &session.spec().program, SUM, input, seed).unwrap();
    Ok(execution.run(program).await?.sum())
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
    let state = folder.join("state");
    let seat = || join(&client, &party, &id, Some(&state));
    let worked = match seat().await {
        Ok(session) if text("conduct") == "give up" => give_up(session, &folder).await,
        Ok(session) => work(session, &folder).await,
        Err(error) => Err(error),
    };
    match worked {
        Ok(()) => fs::write(folder.join("passed"), points_passed().to_string()).unwrap(),
        // It has died in leaving, when nothing was left to do but to wipe its secrets, which who comes when all is over does.
        Err(Error::SessionEnded { .. }) if folder.join("result").exists() => {
            assert!(matches!(seat().await, Err(Error::SessionEnded { .. })));
        }
        Err(error) => panic!("{error}"),
    }
}

/// A key generation, a signing, a sum; and the party leaves.
async fn work(session: Session, folder: &Path) -> Result<(), Error> {
    let (share, signature) = key_and_signature(&session).await?;
    assert_eq!(sum(&session).await?, 3);
    session.broadcast(PLAIN_ROUND, b"without a program".to_vec()).await?;
    let result = format!("{} {}", hex::encode(share.public_key().as_bytes()), hex::encode(signature.as_bytes()));
    fs::write(folder.join("result"), result).unwrap();
    fs::copy(journal_in(&folder.join("state")), folder.join("copy")).unwrap();
    session.leave().await.map(|_| ())
}

/// Somebody has cheated: the party tells the others, acknowledges the end and wipes its secrets.
async fn give_up(session: Session, folder: &Path) -> Result<(), Error> {
    let error = key(&session).await.unwrap_err();
    fs::write(folder.join("result"), error.to_string()).unwrap();
    fs::write(folder.join("begun"), points_passed().to_string()).unwrap();
    session.give_up(&error).await.map(|_| ())
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

/// One session in which the first party dies at its `k`th point and starts again.
struct Death<'b> {
    board: &'b Board,
    parties: Vec<Identity>,
    id: SessionId,
    folder: TempDir,
    used: Used,
}

impl<'b> Death<'b> {
    async fn new(board: &'b Board, conduct: &str) -> Self {
        let ((parties, spec), folder) = (invited(3), TempDir::new().unwrap());
        let id = board.client().create(&board.creator, spec).await.unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("network.json", &serde_json::to_string(&board.network).unwrap());
        write("seed", &hex::encode(parties[0].seed().as_slice()));
        write("session", &id.to_string());
        write("conduct", conduct);
        Self { board, parties, id, folder, used: Used::default() }
    }

    /// Dies at point `k`, if any, and goes on to its end.
    async fn die(&mut self, k: Option<u64>) {
        let (state, copy) = (self.folder.path().join("state"), self.folder.path().join("copy"));
        let mut before = Vec::new();
        if let Some(k) = k {
            let status = process(self.folder.path(), k).await;
            assert_eq!(status.signal(), Some(SIGABRT), "it dies at point {k}: {status}");
            before = fs::read(journal_in(&state)).unwrap_or_default();
        }
        let is_whole = !copy.exists();
        assert!(process(self.folder.path(), u64::MAX).await.success(), "it goes on after point {k:?}");
        assert_eq!(files_of_sessions(&state), 0, "nothing is left of who has left, after point {k:?}");
        let after = fs::read(copy).unwrap_or_default();
        if is_whole && !after.is_empty() {
            // The last record may have been half written, and another one taken its place.
            let kept = before.iter().zip(&after).take_while(|(before, after)| before == after).count();
            let at_end = before.len().saturating_sub(kept);
            assert!(at_end < 1024, "point {k:?}: {at_end} bytes of the journal have changed");
        }
        [before, after].iter().for_each(|file| self.used.journal(file));
    }

    /// A number that the process has written: how many points it had passed.
    fn points(&self, name: &str) -> u64 {
        fs::read_to_string(self.folder.path().join(name)).unwrap().parse().unwrap()
    }

    /// All that the party has sent, as nodes have heard it, is said once.
    fn judge(mut self, k: Option<u64>) -> Used {
        let party = self.parties[0].public();
        for envelope in self.board.heard.lock().unwrap().iter() {
            if (envelope.signed.author, envelope.signed.body.session()) == (party, Some(self.id)) {
                self.used.operation(envelope, SIGNING);
            }
        }
        assert!(self.used.twice().is_empty(), "point {k:?}: {:?}", self.used);
        self.used
    }
}

/// A key generation, a signing and a sum, in which the first party dies. All that it used, and how many points it passed if it did not die.
async fn die_at(board: &Board, k: Option<u64>) -> (Used, u64) {
    let mut death = Death::new(board, "work").await;
    let (parties, id) = (death.parties.clone(), death.id);
    let other = async |party: &Identity| {
        let session = join(&board.client(), party, &id, None).await.unwrap();
        let outcome = key_and_signature(&session).await.unwrap();
        assert_eq!(sum(&session).await.unwrap(), 3);
        session.leave().await.unwrap();
        outcome
    };
    let ((), others) = tokio::join!(death.die(k), join_all(parties[1..].iter().map(other)));
    let result = fs::read_to_string(death.folder.path().join("result")).unwrap();
    for (share, signature) in others {
        share.public_key().verify(MESSAGE, &signature).unwrap();
        let same = format!("{} {}", hex::encode(share.public_key().as_bytes()), hex::encode(signature.as_bytes()));
        assert_eq!(result, same, "point {k:?}");
    }
    let passed = if k.is_none() { death.points("passed") } else { 0 };
    (death.judge(k), passed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_may_die_at_every_point_and_says_nothing_twice() {
    let board = Board::solo().await;
    let (mut used, points) = die_at(&board, None).await;
    assert!(points >= 70, "{points} points");
    let deaths = stream::iter(1..=points).map(|k| die_at(&board, Some(k))).buffer_unordered(AT_ONCE);
    let all: Vec<(Used, u64)> = deaths.collect().await;
    assert_eq!(u64::try_from(all.len()).unwrap(), points);
    all.into_iter().for_each(|(one, _)| used.merge(one));
    assert!(used.twice().is_empty(), "across sessions: {used:?}");
    // There was something to judge: in every session one nonce with one answer, and messages that were sent again.
    let sessions = usize::try_from(points).unwrap() + 1;
    assert_eq!(used.count(|one| matches!(one, Twice::SchnorrNonce(_))), sessions);
    assert_eq!(used.count(|one| matches!(one, Twice::SchnorrAnswer(_))), sessions);
    assert_eq!(used.count(|one| matches!(one, Twice::PrivateNonce(_))), 2 * sessions);
    assert!(used.count(|one| matches!(one, Twice::JournalNonce(_))) > 10 * sessions);
    assert!(used.again > 20, "{used:?}");
}

/// Points of giving up, after another party has cheated.
async fn give_up_at(board: &Board, k: Option<u64>) -> (u64, u64) {
    let mut death = Death::new(board, "give up").await;
    let (parties, id) = (death.parties.clone(), death.id);
    let other = async |party: &Identity| {
        let session = join(&board.client(), party, &id, None).await.unwrap();
        session.broadcast(0, b"no proof".to_vec()).await.unwrap();
        assert_eq!(session.ended().await.unwrap().reason, EndReason::Aborted);
        session.acknowledge().await.unwrap();
    };
    let ((), _) = tokio::join!(death.die(k), join_all(parties[1..].iter().map(other)));
    let said = board.client().session(&id).await.unwrap().aborted;
    assert_eq!(said.len(), 1, "point {k:?}");
    let passed = if k.is_none() { (death.points("begun"), death.points("passed")) } else { (0, 0) };
    death.judge(k);
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_may_die_at_every_point_of_giving_up() {
    let board = Board::solo().await;
    let (begun, points) = give_up_at(&board, None).await;
    assert!(points >= begun + 8, "{begun} to {points}");
    let died =
        stream::iter(begun + 1..=points).map(|k| give_up_at(&board, Some(k))).buffer_unordered(AT_ONCE).count().await;
    assert_eq!(u64::try_from(died).unwrap(), points - begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_without_its_journal_is_found_to_have_said_two_things() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (party, id, first, second) = two(&board, folder.path()).await;
    let program = |session: &Session, input: u64| {
        Statistics::new(session.seat().clone(), &session.spec().program, SUM, input, Seed::random(&mut OsRng)).unwrap()
    };
    tokio::try_join!(first.run(program(&first, 1)), second.run(program(&second, 2))).unwrap();
    drop(first);
    // The same again, with the channels of then, and with another seed.
    let again = join(&board.client(), &party, &id, Some(folder.path())).await.unwrap();
    let error = again.run(program(&again, 1)).await.unwrap_err();
    assert!(matches!(error, Error::SlotTaken { kind: MailboxKind::Private, .. }), "{error}");
    let mut used = Used::default();
    let heard = board.heard.lock().unwrap().clone();
    heard.iter().filter(|one| one.signed.author == party.public()).for_each(|one| used.operation(one, 0..0));
    let slot = |one: &Twice| matches!(one, Twice::Slot(MailboxId { kind: MailboxKind::Private, .. }));
    assert!(used.twice().iter().any(slot) && used.twice().iter().any(|one| matches!(one, Twice::Key(_))), "{used:?}");
    let is_nonce = |one: &&Twice| matches!(one, Twice::PrivateNonce(_) | Twice::SignatureNonce(_));
    assert_eq!(used.twice().iter().find(is_nonce), None, "another message has another nonce, whatever happens");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_without_a_program_is_written_again_byte_for_byte_or_not_at_all() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (party, id, first, _second) = two(&board, folder.path()).await;
    let secret = |text: &str| BTreeMap::from([(1, text.as_bytes().to_vec())]);
    first.broadcast(0, b"one".to_vec()).await.unwrap();
    first.send_private(0, &secret("one")).await.unwrap();
    drop(first);
    let again = join(&board.client(), &party, &id, Some(folder.path())).await.unwrap();
    again.broadcast(0, b"one".to_vec()).await.unwrap();
    again.send_private(0, &secret("one")).await.unwrap();
    let said = || board.heard.lock().unwrap().clone();
    let before = said().len();
    for error in [
        again.broadcast(0, b"another".to_vec()).await.unwrap_err(),
        again.send_private(0, &secret("another")).await.unwrap_err(),
    ] {
        let is_message = |difference: &Difference| matches!(difference, Difference::Message { round: 0, .. });
        assert!(matches!(&error, Error::ReplayDiffers { difference, .. } if is_message(difference)), "{error}");
    }
    assert_eq!(said().len(), before, "nothing has left");
    let mut used = Used::default();
    said().iter().filter(|one| one.signed.author == party.public()).for_each(|one| used.operation(one, 0..0));
    assert!(used.twice().is_empty() && used.again >= 6, "{used:?}");
}

#[test]
fn two_answers_to_one_nonce_are_found() {
    let (party, chain) = (Identity::from_seed(Zeroizing::new([1; 32])), "here".parse().unwrap());
    let say = |round: u32, payload: &[u8]| {
        let mailbox = MailboxId { session: SessionId([2; 32]), kind: MailboxKind::Broadcast, round };
        let (digest, payload) = (message_digest(payload), Bytes(payload.to_vec()));
        let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients: 0 };
        party.envelope(&chain, operation, payload, OsRng)
    };
    let judge = |said: &[Envelope]| {
        let mut used = Used::default();
        said.iter().for_each(|one| used.operation(one, 1..9));
        used.twice().clone()
    };
    let (nonce, answer, other) = (say(3, b"R"), say(4, b"s"), say(4, b"s'"));
    assert!(judge(&[nonce.clone(), answer.clone(), nonce.clone(), answer.clone()]).is_empty());
    assert!(judge(&[nonce.clone(), answer.clone(), other]).contains(&Twice::SchnorrAnswer(b"R".to_vec())));
    assert!(judge(&[nonce.clone(), say(7, b"R")]).contains(&Twice::SchnorrNonce(b"R".to_vec())), "in two executions");
    assert!(judge(&[answer, say(4, b"s")]).iter().any(|one| matches!(one, Twice::Bytes(_))), "signed anew");
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
    let error = join(&board.client(), &party, &id, Some(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::KeysLost { .. }), "{error}");
    // It can still take its seat for programs that only broadcast.
    let options = Options { state: Some(folder.path().to_owned()), ..Options::default() };
    let seat = Session::attach(&board.client(), &party, &id, options).await.unwrap();
    let error = key(&seat).await.unwrap_err();
    drop(seat);
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

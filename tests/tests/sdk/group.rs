//! Keys that outlive a process: one set-up for many sessions, and power that is lost in the middle of it.

use super::{
    board::{Board, invited},
    program,
};
use client_sdk::{Client, Error, Event, Identity, Options, Session};
use futures::future::try_join_all;
use std::{path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::sync::Notify;
use wire::{Admission, Phase, SessionId, SessionSpec};

/// How many files there are that belong to a session: how far the network's chain has come belongs to none.
pub fn files_of_sessions(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_none_or(|kind| kind != "height")).count()
}

fn kept(folder: &Path) -> Options {
    Options { state: Some(folder.to_owned()), keep_keys: true, ..Options::default() }
}

async fn join_all(board: &Board, parties: &[Identity], id: &SessionId, folder: &Path) -> Vec<Session> {
    // One directory may serve all, for each has files of its own.
    let join = |party| async move { Session::join(&board.client(), party, id, kept(folder)).await };
    try_join_all(parties.iter().map(join)).await.unwrap()
}

fn child(parent: SessionId, spec: &SessionSpec) -> SessionSpec {
    SessionSpec { admission: Admission::Group { parent }, ..spec.clone() }
}

async fn sums(sessions: &[Session]) -> Vec<u128> {
    let sum =
        async |session: &Session| Ok::<_, Error>(session.run(program(session.seat(), session.spec())).await?.sum());
    try_join_all(sessions.iter().map(sum)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_set_up_once_and_runs_many_times() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (parties, spec) = invited(3);
    let parent = board.client().create(&board.creator, spec.clone()).await.unwrap();
    let sessions = join_all(&board, &parties, &parent, folder.path()).await;
    let first = board.client().create(&board.creator, child(parent, &spec)).await.unwrap();
    let children = join_all(&board, &parties, &first, folder.path()).await;
    assert_eq!(sums(&children).await, [6; 3], "in another process, with keys that nobody has exchanged for it");
    drop(sessions[0].execution("of the first session", &[7; 5000]).unwrap());
    let bytes = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    assert!(bytes() > 5000);
    try_join_all(sessions.into_iter().map(Session::leave)).await.unwrap();
    assert!(bytes() < 5000, "of the journal only the keys stay");
    assert_eq!(board.client().session(&parent).await.unwrap().phase, Phase::Erased);
    let second = board.client().create(&board.creator, child(first, &spec)).await.unwrap();
    let grandchildren = join_all(&board, &parties, &second, folder.path()).await;
    assert_eq!(sums(&grandchildren).await, [6; 3], "the group outlives the session in which it was set up");
    let client = board.client();
    assert!(Session::forget(&client, &parties[0], &parent, &kept(folder.path())).unwrap());
    let error = Session::join(&client, &parties[0], &second, kept(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::KeysLost { session } if session == parent), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_to_be_kept_go_with_the_session() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (parties, spec) = invited(2);
    let id = board.client().create(&board.creator, spec).await.unwrap();
    let options = || Options { keep_keys: false, ..kept(folder.path()) };
    let client = board.client();
    let join = |party| Session::join(&client, party, &id, options());
    let sessions = try_join_all(parties.iter().map(join)).await.unwrap();
    let files = || files_of_sessions(folder.path());
    assert_eq!(files(), 2);
    try_join_all(sessions.into_iter().map(Session::leave)).await.unwrap();
    assert_eq!(files(), 0);
}

/// Gives its key to the session, and is gone before anybody else does.
async fn die_in_keying(client: Client, party: &Identity, id: &SessionId, options: Options) {
    let written = Arc::new(Notify::new());
    let told = Arc::clone(&written);
    let client = client.with_progress(move |progress| {
        if matches!(progress.event, Event::Written { .. }) {
            told.notify_one();
        }
    });
    tokio::select! {
        joined = Session::join(&client, party, id, options) => panic!("{joined:?} came too soon"),
        () = written.notified() => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_that_is_lost_in_keying_costs_no_keys_if_there_is_a_directory() {
    let (board, folder) = (Board::solo().await, TempDir::new().unwrap());
    let (parties, spec) = invited(3);
    let id = board.client().create(&board.creator, spec.clone()).await.unwrap();
    die_in_keying(board.client(), &parties[0], &id, kept(folder.path())).await;
    let sessions = join_all(&board, &parties, &id, folder.path()).await;
    assert_eq!(sums(&sessions).await, [6; 3]);
    let other = board.client().create(&board.creator, spec).await.unwrap();
    die_in_keying(board.client(), &parties[0], &other, Options::default()).await;
    let error = Session::join(&board.client(), &parties[0], &other, kept(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::KeysLost { .. }), "{error}");
}

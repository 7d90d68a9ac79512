//! A node that has lost or changed a row does not come up with another board: it says which row is wrong.

use crate::kit::{self, Cast, Store};
use ledger::{Block, LedgerError, Payload, State, StoredEntry, Submitted};
use wire::{
    Bytes, Hash, MailboxId, MailboxKind, NetworkParameters, Operation, Phase, Quotas, RoundState, SessionId,
    SessionSpec, message_digest,
};

/// Two parties have given keys, and both have broadcast.
fn stored() -> (NetworkParameters, Store, MailboxId) {
    let mut cast = Cast::new();
    let quotas = Quotas { live_sessions: 5, live_sessions_per_creator: 5, live_bytes: u64::MAX };
    let parameters = cast.network(&["olga".to_owned()], quotas);
    let (mut state, mut store) = kit::ready(&parameters);
    let keys = cast.keys(&["alice".to_owned(), "bob".to_owned()]);
    let spec = SessionSpec { round_timeout_ms: Some(10), ..kit::spec(keys) };
    let creator = cast.key("olga");
    let session = spec.session_id(&cast.chain, &creator, &Hash([1; 32]));
    let mut operations =
        vec![("olga", Operation::CreateSession { spec: Box::new(spec), nonce: Hash([1; 32]) }, Bytes::default())];
    for (kind, text) in [(MailboxKind::Keying, b"key"), (MailboxKind::Broadcast, b"all")] {
        for by in ["alice", "bob"] {
            let mailbox = MailboxId { session, kind, round: 0 };
            let digest = message_digest(text);
            operations.push((by, Operation::Write { mailbox, digest, length: 3, recipients: 0 }, Bytes(text.to_vec())));
        }
    }
    let mut submit =
        |(by, operation, payload)| Submitted::Verified(cast.submit(by, operation, payload).unwrap(), Payload::Inline);
    let operations = operations.into_iter().map(&mut submit).collect();
    let outcome = state.apply(&Block { height: 1, time_ms: 5, operations });
    store.keep(&outcome.events);
    assert_eq!(store.restore(&parameters, 1).unwrap().root(), outcome.root);
    (parameters, store, MailboxId { session, kind: MailboxKind::Broadcast, round: 0 })
}

/// What restoring says after `tamper`.
fn error(tamper: impl FnOnce(&mut Store, MailboxId)) -> LedgerError {
    let (parameters, mut store, mailbox) = stored();
    tamper(&mut store, mailbox);
    store.restore(&parameters, 1).unwrap_err()
}

fn with_entry(position: u32, change: impl FnOnce(&mut StoredEntry)) -> LedgerError {
    error(|store, mailbox| change(store.entries.get_mut(&(mailbox, position)).unwrap()))
}

#[test]
fn a_changed_entry_is_named() {
    let (_, _, mailbox) = stored();
    let wrong_operation = LedgerError::WrongOperation { mailbox, position: 1 };
    assert_eq!(with_entry(1, |entry| entry.digest = Hash([0; 32])), wrong_operation);
    assert_eq!(with_entry(1, |entry| entry.length = 4), wrong_operation);
    let wrong_sender = LedgerError::WrongSender { mailbox, position: 1, sender: 0 };
    assert_eq!(with_entry(1, |entry| entry.sender = 0), wrong_sender);
    let error = with_entry(1, |entry| entry.head = Hash([0; 32]));
    assert!(matches!(error, LedgerError::WrongHead { position: 1, .. }), "{error}");
}

#[test]
fn a_lost_entry_is_named() {
    let (_, _, mailbox) = stored();
    let error = error(|store, mailbox| store.entries.retain(|key, _| *key != (mailbox, 0)));
    assert_eq!(error, LedgerError::WrongPosition { mailbox, expected: 0, found: 1 });
    assert!(error.to_string().contains(&mailbox.session.to_string()), "{error}");
}

#[test]
fn a_changed_session_is_named() {
    let (_, _, MailboxId { session, .. }) = stored();
    let change = |store: &mut Store| store.sessions.get_mut(&session).unwrap().record.spec.max_rounds += 1;
    assert_eq!(error(|store, _| change(store)), LedgerError::WrongRecord { session });
    let change = |store: &mut Store| store.sessions.get_mut(&session).unwrap().parties.reverse();
    assert_eq!(error(|store, _| change(store)), LedgerError::WrongParties { session });
    let change = |store: &mut Store| store.sessions.get_mut(&session).unwrap().record.list = Hash([0; 32]);
    assert_eq!(error(|store, _| change(store)), LedgerError::WrongParties { session });
}

#[test]
fn rows_without_a_live_session_are_named() {
    let (_, _, MailboxId { session, .. }) = stored();
    let erase = |store: &mut Store| store.sessions.get_mut(&session).unwrap().record.phase = Phase::Erased;
    assert_eq!(error(|store, _| erase(store)), LedgerError::UnknownSession { session });
    assert_eq!(error(|store, _| store.sessions.clear()), LedgerError::UnknownSession { session });
    let unknown = SessionId([7; 32]);
    let open = RoundState { deadline_ms: None, closed: false };
    let stray = error(|store, _| store.rounds.extend([((unknown, 0), open)]));
    assert_eq!(stray, LedgerError::UnknownSession { session: unknown });
    let beyond = error(|store, _| store.rounds.extend([((session, 2), open)]));
    assert_eq!(beyond, LedgerError::WrongRound { session, round: 2 });
}

#[test]
fn parameters_out_of_bounds_are_refused() {
    let (parameters, ..) = stored();
    let nobody = NetworkParameters { operators: vec![], ..parameters };
    assert_eq!(State::genesis(nobody).unwrap_err(), LedgerError::InvalidParameters);
}

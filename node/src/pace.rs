//! How long a write may wait for company. Nobody goes on before the last party of a round has written, so that only the last write is urgent:
//! the others may share transactions and blocks, each of which costs all nodes as much as hundreds of operations. When parties write one
//! after another, the wait grows with what the round has taken so far; a round that takes milliseconds is not slowed down.

use ledger::StoredEntry;
use std::{
    collections::{BTreeMap, btree_map},
    time::Duration,
};
use tokio::time::Instant;
use wire::{MailboxId, SessionRecord};

/// What may still come with the same packet, or from a client that has sent several.
pub(crate) const SHORTEST: Duration = Duration::from_millis(2);
/// The longest wait, whatever a round has taken.
const LONGEST: Duration = Duration::from_millis(250);
/// A mailbox in which nobody has written for so long begins anew.
const SILENCE: Duration = Duration::from_secs(2);
/// A wait takes at most this part of what is left until a deadline.
const OF_DEADLINE: u32 = 16;

/// The mailboxes that are being written to.
#[derive(Debug, Default)]
pub(crate) struct Pace(BTreeMap<MailboxId, Round>);

#[derive(Debug)]
struct Round {
    since: Instant,
    last: Instant,
    /// Writes that are on the board.
    decided: usize,
    /// Writes that are waiting at this node, about: a wrong number costs or saves one wait.
    pending: usize,
    /// How many writes there will be at most.
    parties: usize,
    /// When the first deadline is that the session's rules may set.
    deadline: Instant,
}

impl Pace {
    /// A write has come to this node at `now`: how long it may wait. `time_ms` is about the board's time then; `record` tells what the rules
    /// know of the session, and is asked when its mailbox is written to first.
    pub(crate) fn admit(
        &mut self,
        mailbox: MailboxId,
        now: Instant,
        time_ms: u64,
        record: impl FnOnce() -> Option<SessionRecord>,
    ) -> Duration {
        let Some(round) = self.round(mailbox, now, time_ms, record) else { return SHORTEST };
        round.pending = round.pending.saturating_add(1);
        round.patience(now)
    }

    /// A write is decided, which `waited` at this node or came to another.
    pub(crate) fn decide(
        &mut self,
        entry: &StoredEntry,
        waited: bool,
        now: Instant,
        time_ms: u64,
        record: impl FnOnce() -> Option<SessionRecord>,
    ) {
        let Some(round) = self.round(entry.mailbox, now, time_ms, record) else { return };
        round.decided = usize::try_from(entry.position).map_or(usize::MAX, |position| position.saturating_add(1));
        round.pending = round.pending.saturating_sub(usize::from(waited));
    }

    /// Forgets where nobody writes any more.
    pub(crate) fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, round| now.saturating_duration_since(round.last) < SILENCE);
    }

    fn round(
        &mut self,
        mailbox: MailboxId,
        now: Instant,
        time_ms: u64,
        record: impl FnOnce() -> Option<SessionRecord>,
    ) -> Option<&mut Round> {
        let round = match self.0.entry(mailbox) {
            btree_map::Entry::Occupied(round) => round.into_mut(),
            btree_map::Entry::Vacant(place) => place.insert(Round::new(&record()?, now, time_ms)),
        };
        round.last = now;
        Some(round)
    }
}

impl Round {
    fn new(record: &SessionRecord, now: Instant, time_ms: u64) -> Self {
        let phase = record.deadline_ms.map_or(u64::MAX, |deadline_ms| deadline_ms.saturating_sub(time_ms));
        // The round's own clock starts with the block after its first write.
        let left = phase.min(record.spec.round_timeout_ms.unwrap_or(u64::MAX));
        let parties = usize::from(record.parties).saturating_sub(record.absent.len());
        let deadline = now.checked_add(Duration::from_millis(left)).unwrap_or(now);
        Self { since: now, last: now, decided: 0, pending: 0, parties, deadline }
    }

    fn patience(&self, now: Instant) -> Duration {
        if self.decided.saturating_add(self.pending) >= self.parties {
            return SHORTEST;
        }
        let lasted = now.saturating_duration_since(self.since) / 2;
        let left = self.deadline.saturating_duration_since(now) / OF_DEADLINE;
        lasted.min(left).min(LONGEST).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{
        Admission, Hash, MailboxKind, OperationId, Phase, Program, PublicKey, SessionId, SessionSpec, Signature,
    };

    const MAILBOX: MailboxId = MailboxId { session: SessionId([1; 32]), kind: MailboxKind::Broadcast, round: 0 };
    const MS: Duration = Duration::from_millis(1);

    fn record(parties: u16, round_timeout_ms: Option<u64>) -> SessionRecord {
        let spec = SessionSpec {
            title: String::new(),
            admission: Admission::Invited { keys: Vec::new() },
            min_parties: 1,
            max_parties: parties,
            corruption_threshold: 0,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 1,
            max_message_bytes: 1,
            max_party_bytes: 1,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 1,
            running_ms: 1,
            retention_ms: 1,
            round_timeout_ms,
            program: Program { name: String::new(), version: String::new(), digest: Hash([0; 32]) },
        };
        SessionRecord {
            spec,
            creator: PublicKey([0; 32]),
            nonce: Hash([0; 32]),
            created: 1,
            phase: Phase::Running,
            deadline_ms: Some(1_000_000),
            registration: None,
            parties,
            list: Hash([0; 32]),
            absent: vec![],
            terminated: vec![],
            aborted: vec![],
            end: None,
            acknowledged: vec![],
        }
    }

    fn entry(position: u32) -> StoredEntry {
        StoredEntry {
            mailbox: MAILBOX,
            position,
            operation: OperationId([0; 32]),
            author: PublicKey([0; 32]),
            sender: 0,
            digest: Hash([0; 32]),
            length: 0,
            signature: Signature([0; 64]),
            head: Hash([0; 32]),
        }
    }

    #[test]
    fn a_write_waits_half_as_long_as_its_round_has_lasted_but_not_for_ever() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut admit = |after: Duration| pace.admit(MAILBOX, start + after, 0, || Some(record(512, None)));
        assert_eq!(admit(Duration::ZERO), SHORTEST);
        assert_eq!(admit(3 * MS), SHORTEST);
        assert_eq!(admit(40 * MS), 20 * MS);
        assert_eq!(admit(1_900 * MS), LONGEST);
    }

    #[test]
    fn who_completes_the_round_waits_for_nobody() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let known = || Some(record(3, None));
        assert_eq!(pace.admit(MAILBOX, start, 0, known), SHORTEST);
        assert_eq!(pace.admit(MAILBOX, start + 100 * MS, 0, known), 50 * MS);
        pace.decide(&entry(0), true, start + 150 * MS, 0, known);
        pace.decide(&entry(1), true, start + 150 * MS, 0, known);
        assert_eq!(pace.admit(MAILBOX, start + 200 * MS, 0, known), SHORTEST, "the third of three");
        // Another node's count just as well.
        let mut elsewhere = Pace::default();
        elsewhere.decide(&entry(0), false, start, 0, known);
        assert_eq!(elsewhere.admit(MAILBOX, start + 100 * MS, 0, known), 50 * MS);
        elsewhere.decide(&entry(1), false, start + 150 * MS, 0, known);
        assert_eq!(elsewhere.admit(MAILBOX, start + 200 * MS, 0, known), SHORTEST);
    }

    #[test]
    fn near_a_deadline_nobody_waits_for_long() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut admit = |after: u32| pace.admit(MAILBOX, start + after * MS, 0, || Some(record(512, Some(1_000))));
        assert_eq!(admit(0), SHORTEST);
        assert_eq!(admit(840), 10 * MS);
        assert_eq!(admit(1_000), SHORTEST);
        let (mut late, ends) = (Pace::default(), || Some(record(512, None)));
        assert_eq!(late.admit(MAILBOX, start, 999_900, ends), SHORTEST);
        assert_eq!(late.admit(MAILBOX, start + 20 * MS, 999_920, ends), 5 * MS);
    }

    #[test]
    fn after_a_silence_a_round_begins_anew_and_what_is_unknown_does_not_wait() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut admit = |after: Duration| pace.admit(MAILBOX, start + after, 0, || Some(record(512, None)));
        admit(Duration::ZERO);
        admit(SILENCE / 2);
        pace.tidy(start + SILENCE / 2 + SILENCE);
        assert_eq!(pace.0.len(), 0);
        assert_eq!(pace.admit(MAILBOX, start + 2 * SILENCE, 0, || None), SHORTEST);
        assert_eq!(pace.0.len(), 0);
    }
}

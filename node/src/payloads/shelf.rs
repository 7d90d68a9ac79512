//! Which payloads are here, for whom, and for how long: values only, no I/O.
//!
//! A payload waits on the shelf until the board accepts its operation. Then a write's stays until its session is erased, and a backup's until the
//! board has another one of the party or none; or it is an orphan, dropped once a block has reached its expiry. What waits is bounded for each party of a session and for each gateway, never in a
//! pool that some could fill for others.

use crate::stored::{Beside, Pending, Slot, Wanted};
use ledger::StoredBackup;
use std::collections::{BTreeMap, BTreeSet};
use wire::{
    OperationId, PublicKey, SessionId,
    limits::{MAX_PENDING_GATEWAY_BYTES, MAX_PENDING_PARTY_BYTES, PENDING_PAYLOAD_BYTES},
};

/// What to do with a payload that a gateway delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store it.
    Store,
    /// It is here: keep it longer.
    Longer,
    /// It is here, for long enough.
    Here,
    /// Another body waits for the same slot, or a quota is used up.
    Refuse,
}

/// An accepted write or backup whose payload is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) wanted: Wanted,
    /// Who has confirmed to have it; empty if that is not known any more.
    pub(crate) holders: Vec<PublicKey>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pending: BTreeMap<OperationId, Pending>,
    /// Which operation of an author has a slot. Backups have none: who has lost its device makes another while the one before still waits.
    slots: BTreeMap<(Slot, PublicKey), OperationId>,
    /// Backups that wait, by party and number.
    waiting_backups: BTreeSet<(SessionId, PublicKey, u32, OperationId)>,
    expiries: BTreeSet<(u64, OperationId)>,
    party_bytes: BTreeMap<(SessionId, PublicKey), u64>,
    gateway_bytes: BTreeMap<PublicKey, u64>,
    accepted: BTreeMap<SessionId, BTreeSet<OperationId>>,
    /// The accepted backups that are here.
    backups: BTreeMap<(SessionId, PublicKey), OperationId>,
    missing: BTreeMap<OperationId, Missing>,
}

fn weight(row: &Pending) -> u64 {
    u64::from(row.length).saturating_add(PENDING_PAYLOAD_BYTES)
}

fn slot(row: &Pending) -> (Slot, PublicKey) {
    (row.slot, row.author)
}

impl Shelf {
    /// The shelf of a node that has these rows and this board, and the rows that are of no more use.
    pub(crate) fn restore(rows: Vec<Pending>, beside: &Beside) -> (Self, Vec<OperationId>) {
        let mut shelf = Self::default();
        let mut here: BTreeMap<OperationId, Pending> = rows.into_iter().map(|row| (row.operation, row)).collect();
        let backups = beside.backups.iter().filter_map(Wanted::of_backup);
        for wanted in beside.entries.iter().map(Wanted::from).chain(backups) {
            match here.remove(&wanted.operation) {
                Some(_) => shelf.accept(&wanted.slot, wanted.author, wanted.operation),
                None => shelf.miss(wanted, Vec::new()),
            }
        }
        let numbers: BTreeMap<(SessionId, PublicKey), u32> =
            beside.backups.iter().map(|backup| ((backup.session, backup.author), backup.record.number)).collect();
        let time_ms = beside.at.map_or(0, |at| at.time_ms);
        let is_wanted = |row: &Pending| match &row.slot {
            Slot::Mailbox(mailbox) => beside.live.contains(&mailbox.session),
            Slot::Solution(session) => beside.solving.contains(session) && !beside.solved.contains(&row.operation),
            Slot::Backup(session, number) => numbers.get(&(*session, row.author)).is_none_or(|newest| number > newest),
        };
        let is_of_use = |row: &Pending| is_wanted(row) && row.expiry_ms > time_ms;
        let (kept, useless): (Vec<Pending>, Vec<Pending>) = here.into_values().partition(is_of_use);
        kept.into_iter().for_each(|row| shelf.insert(row));
        (shelf, useless.into_iter().map(|row| row.operation).collect())
    }

    /// Judges one payload, and counts it as stored or kept from now on if it is not refused.
    pub(crate) fn offer(&mut self, row: &Pending) -> Verdict {
        if self.is_accepted(&row.slot, &row.author, &row.operation) {
            return Verdict::Here;
        }
        if self.missing.remove(&row.operation).is_some() {
            self.accept(&row.slot, row.author, row.operation);
            return Verdict::Store;
        }
        if let Some(before) = self.pending.get(&row.operation).copied() {
            if before.expiry_ms >= row.expiry_ms {
                return Verdict::Here;
            }
            // Whoever wants it kept for longer answers for it from now on.
            self.remove(&row.operation);
            let verdict = if self.has_room(row) { Verdict::Longer } else { Verdict::Refuse };
            self.insert(if verdict == Verdict::Longer { *row } else { before });
            return verdict;
        }
        if self.slots.contains_key(&slot(row)) || !self.has_room(row) {
            return Verdict::Refuse;
        }
        self.insert(*row);
        Verdict::Store
    }

    /// The board has accepted what has a payload beside. True if that is missing.
    pub(crate) fn settle(&mut self, wanted: Wanted, holders: Vec<PublicKey>) -> bool {
        let Wanted { operation, slot, author, .. } = wanted;
        if self.remove(&operation).is_some() {
            self.accept(&slot, author, operation);
        } else if !self.is_accepted(&slot, &author, &operation) {
            self.miss(wanted, holders);
            return true;
        }
        false
    }

    /// The board has another backup of a party than before, or none any more. The payloads of those before, which are to be dropped, also if they
    /// only wait: the board takes none of that number or a smaller one any more.
    pub(crate) fn replace_backup(&mut self, backup: &StoredBackup) -> Vec<OperationId> {
        let StoredBackup { session, author, record, .. } = *backup;
        let newest = record.kept.map(|_| record.operation);
        self.missing.retain(|operation, Missing { wanted, .. }| {
            let is_theirs = matches!(wanted.slot, Slot::Backup(of, _) if (of, wanted.author) == (session, author));
            !is_theirs || Some(*operation) == newest
        });
        let (first, last) = (OperationId([0; 32]), OperationId([0xff; 32]));
        let waiting = self.waiting_backups.range((session, author, 0, first)..=(session, author, record.number, last));
        let waiting = waiting.map(|(.., operation)| *operation).filter(|operation| Some(*operation) != newest);
        let mut replaced: Vec<OperationId> = waiting.collect();
        replaced.iter().for_each(|operation| {
            self.remove(operation);
        });
        let key = (session, author);
        if self.backups.get(&key).is_some_and(|before| Some(*before) != newest) {
            replaced.extend(self.backups.remove(&key));
        }
        replaced
    }

    /// A payload that was missing has been stored. False if it is not missing any more: then it must not stay.
    pub(crate) fn arrived(&mut self, operation: &OperationId) -> bool {
        let Some(missing) = self.missing.remove(operation) else { return false };
        self.accept(&missing.wanted.slot, missing.wanted.author, *operation);
        true
    }

    /// A block of `time_ms` is executed and all of its writes are settled: the orphans, which are dropped.
    pub(crate) fn orphans(&mut self, time_ms: u64) -> Vec<OperationId> {
        let due = self.expiries.range(..=(time_ms, OperationId([0xff; 32]))).map(|(_, operation)| *operation);
        let due: Vec<OperationId> = due.collect();
        due.iter().for_each(|operation| {
            self.remove(operation);
        });
        due
    }

    /// The board has refused an operation for good, or needs its payload no more. What waits for it is to be dropped.
    pub(crate) fn withdraw(&mut self, operation: &OperationId) -> Option<OperationId> {
        self.remove(operation).map(|row| row.operation)
    }

    /// A session takes no solutions any more. Those that wait are to be dropped.
    pub(crate) fn close_solving(&mut self, session: &SessionId) -> Vec<OperationId> {
        let (slot, first, last) = (Slot::Solution(*session), PublicKey([0; 32]), PublicKey([0xff; 32]));
        let waiting: Vec<OperationId> = self.slots.range((slot, first)..=(slot, last)).map(|(_, id)| *id).collect();
        waiting.iter().for_each(|operation| {
            self.remove(operation);
        });
        waiting
    }

    /// The solutions that wait, with their sessions and authors.
    pub(crate) fn solutions(&self) -> impl Iterator<Item = (SessionId, PublicKey, OperationId)> {
        self.slots.iter().filter_map(|((slot, author), operation)| match slot {
            Slot::Solution(session) => Some((*session, *author, *operation)),
            Slot::Mailbox(_) | Slot::Backup(..) => None,
        })
    }

    /// A session is erased, but not the backups. True if any of its payloads was or may be here.
    pub(crate) fn erase(&mut self, session: &SessionId) -> bool {
        let is_of_session = |slot: &Slot| slot.session() == *session && !matches!(slot, Slot::Backup(..));
        let pending: Vec<OperationId> =
            self.pending.values().filter(|row| is_of_session(&row.slot)).map(|row| row.operation).collect();
        pending.iter().for_each(|operation| {
            self.remove(operation);
        });
        self.missing.retain(|_, missing| !is_of_session(&missing.wanted.slot));
        self.accepted.remove(session).is_some() || !pending.is_empty()
    }

    pub(crate) fn missing(&self) -> Vec<Missing> {
        self.missing.values().cloned().collect()
    }

    /// Number of accepted writes whose payloads are not here.
    pub(crate) fn lacking(&self) -> usize {
        self.missing.len()
    }

    pub(crate) fn is_missing(&self, operation: &OperationId) -> bool {
        self.missing.contains_key(operation)
    }

    /// Number of payloads that wait for the board's decision.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    fn is_accepted(&self, slot: &Slot, author: &PublicKey, operation: &OperationId) -> bool {
        match slot {
            Slot::Backup(session, _) => self.backups.get(&(*session, *author)) == Some(operation),
            Slot::Mailbox(_) | Slot::Solution(_) => {
                self.accepted.get(&slot.session()).is_some_and(|accepted| accepted.contains(operation))
            }
        }
    }

    fn accept(&mut self, slot: &Slot, author: PublicKey, operation: OperationId) {
        match slot {
            Slot::Backup(session, _) => drop(self.backups.insert((*session, author), operation)),
            Slot::Mailbox(_) | Slot::Solution(_) => {
                self.accepted.entry(slot.session()).or_default().insert(operation);
            }
        }
    }

    fn miss(&mut self, wanted: Wanted, holders: Vec<PublicKey>) {
        self.missing.insert(wanted.operation, Missing { wanted, holders });
    }

    fn has_room(&self, row: &Pending) -> bool {
        let party = self.party_bytes.get(&(row.slot.session(), row.author)).copied().unwrap_or(0);
        let gateway = self.gateway_bytes.get(&row.gateway).copied().unwrap_or(0);
        party.saturating_add(weight(row)) <= MAX_PENDING_PARTY_BYTES
            && gateway.saturating_add(weight(row)) <= MAX_PENDING_GATEWAY_BYTES
    }

    fn insert(&mut self, row: Pending) {
        match row.slot {
            Slot::Backup(session, number) => {
                self.waiting_backups.insert((session, row.author, number, row.operation));
            }
            Slot::Mailbox(_) | Slot::Solution(_) => drop(self.slots.insert(slot(&row), row.operation)),
        }
        self.expiries.insert((row.expiry_ms, row.operation));
        let party = self.party_bytes.entry((row.slot.session(), row.author)).or_default();
        *party = party.saturating_add(weight(&row));
        let gateway = self.gateway_bytes.entry(row.gateway).or_default();
        *gateway = gateway.saturating_add(weight(&row));
        self.pending.insert(row.operation, row);
    }

    fn remove(&mut self, operation: &OperationId) -> Option<Pending> {
        let row = self.pending.remove(operation)?;
        match row.slot {
            Slot::Backup(session, number) => {
                self.waiting_backups.remove(&(session, row.author, number, *operation));
            }
            Slot::Mailbox(_) | Slot::Solution(_) => drop(self.slots.remove(&slot(&row))),
        }
        self.expiries.remove(&(row.expiry_ms, row.operation));
        release(&mut self.party_bytes, (row.slot.session(), row.author), weight(&row));
        release(&mut self.gateway_bytes, row.gateway, weight(&row));
        Some(row)
    }
}

fn release<K: Ord>(bytes: &mut BTreeMap<K, u64>, key: K, weight: u64) {
    let rest = bytes.get(&key).map_or(0, |taken| taken.saturating_sub(weight));
    match rest {
        0 => bytes.remove(&key),
        rest => bytes.insert(key, rest),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::StoredEntry;
    use wire::{BackupRecord, BoardAt, Hash, KeptBackup, MailboxId, MailboxKind, Signature};

    fn row(operation: u8, round: u32, gateway: u8, expiry_ms: u64) -> Pending {
        let mailbox = MailboxId { session: SessionId([1; 32]), kind: MailboxKind::Private, round };
        Pending {
            operation: OperationId([operation; 32]),
            slot: Slot::Mailbox(mailbox),
            author: PublicKey([9; 32]),
            gateway: PublicKey([gateway; 32]),
            expiry_ms,
            length: 1_000_000,
        }
    }

    fn entry(row: &Pending) -> StoredEntry {
        let Slot::Mailbox(mailbox) = row.slot else { panic!("only a write has an entry") };
        StoredEntry {
            mailbox,
            position: 0,
            operation: row.operation,
            author: row.author,
            sender: 0,
            digest: Hash([0; 32]),
            length: row.length,
            signature: Signature([0; 64]),
            head: Hash([0; 32]),
        }
    }

    fn is_empty(shelf: &Shelf) -> bool {
        shelf.pending.is_empty()
            && shelf.slots.is_empty()
            && shelf.waiting_backups.is_empty()
            && shelf.expiries.is_empty()
            && shelf.party_bytes.is_empty()
            && shelf.gateway_bytes.is_empty()
    }

    #[test]
    fn what_is_refused_for_good_takes_no_room() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.offer(&row(1, 0, 1, 100)), Verdict::Store);
        assert_eq!(shelf.withdraw(&OperationId([1; 32])), Some(OperationId([1; 32])));
        assert!(is_empty(&shelf));
        assert_eq!(shelf.withdraw(&OperationId([1; 32])), None);
    }

    #[test]
    fn the_same_body_is_kept_to_the_latest_expiry_and_another_is_refused() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.offer(&row(1, 0, 1, 100)), Verdict::Store);
        assert_eq!(shelf.offer(&row(1, 0, 2, 90)), Verdict::Here);
        assert_eq!(shelf.offer(&row(1, 0, 2, 110)), Verdict::Longer);
        assert_eq!(shelf.offer(&row(2, 0, 1, 200)), Verdict::Refuse, "another body for the slot");
        assert_eq!(shelf.offer(&row(2, 1, 1, 200)), Verdict::Store, "another slot");
        assert!(shelf.orphans(109).is_empty());
        assert_eq!(shelf.orphans(110), [OperationId([1; 32])]);
        assert_eq!(shelf.offer(&row(3, 0, 1, 300)), Verdict::Store, "an orphan frees its slot");
        shelf.orphans(300);
        assert!(is_empty(&shelf));
    }

    #[test]
    fn a_party_and_a_gateway_fill_their_own_quotas_only() {
        let mut shelf = Shelf::default();
        for round in 0_u8..8 {
            assert_eq!(shelf.offer(&row(round, round.into(), 1, 100)), Verdict::Store);
        }
        assert_eq!(shelf.offer(&row(8, 8, 2, 100)), Verdict::Refuse, "the party's quota, whatever the gateway");
        let other = |n: u32, gateway| Pending {
            operation: OperationId([n.to_le_bytes(); 8].concat().try_into().unwrap()),
            author: PublicKey([n.to_le_bytes(); 8].concat().try_into().unwrap()),
            ..row(0, 0, gateway, 100)
        };
        let room = u32::try_from(MAX_PENDING_GATEWAY_BYTES / (1_000_000 + PENDING_PAYLOAD_BYTES)).unwrap();
        for n in 1000..1000 + room - 8 {
            assert_eq!(shelf.offer(&other(n, 1)), Verdict::Store);
        }
        assert_eq!(shelf.offer(&other(5000, 1)), Verdict::Refuse, "the gateway's quota");
        assert_eq!(shelf.offer(&other(5000, 2)), Verdict::Store, "another gateway has its own");
        // Who wants it for longer answers for it.
        assert_eq!(shelf.offer(&Pending { expiry_ms: 101, ..other(1000, 2) }), Verdict::Longer);
        assert_eq!(shelf.offer(&other(5001, 1)), Verdict::Store);
        assert_eq!(
            shelf.offer(&Pending { expiry_ms: 101, ..other(5000, 1) }),
            Verdict::Refuse,
            "no room to take it over"
        );
        assert_eq!(shelf.offer(&other(5000, 2)), Verdict::Here, "which changes nothing");
    }

    #[test]
    fn what_the_board_has_accepted_is_no_orphan_and_takes_no_quota() {
        let mut shelf = Shelf::default();
        let (here, late) = (row(1, 0, 1, 100), row(2, 1, 1, 100));
        assert_eq!(shelf.offer(&here), Verdict::Store);
        let wanted = |row: &Pending| Wanted::from(&entry(row));
        assert!(!shelf.settle(wanted(&here), vec![]));
        assert!(is_empty(&shelf));
        assert!(shelf.settle(wanted(&late), vec![PublicKey([3; 32])]));
        assert_eq!(shelf.missing(), [Missing { wanted: wanted(&late), holders: vec![PublicKey([3; 32])] }]);
        assert_eq!(shelf.offer(&late), Verdict::Store, "a delivery that comes after the block");
        assert_eq!(shelf.offer(&late), Verdict::Here);
        assert!(shelf.missing().is_empty() && shelf.orphans(u64::MAX).is_empty());
        assert!(!shelf.arrived(&late.operation), "what was fetched at the same time is not needed");
        assert!(shelf.erase(&here.slot.session()) && !shelf.erase(&here.slot.session()));
    }

    #[test]
    fn a_restart_finds_what_was_accepted_what_is_missing_and_what_is_useless() {
        let (accepted, waiting, expired, missing) =
            (row(1, 0, 1, 5), row(2, 1, 1, 100), row(3, 2, 1, 50), row(4, 3, 1, 9));
        let mut erased = row(5, 4, 1, 100);
        erased.slot = Slot::Mailbox(MailboxId { session: SessionId([2; 32]), kind: MailboxKind::Private, round: 4 });
        let beside = Beside {
            at: Some(BoardAt { height: 7, time_ms: 50, root: Hash([0; 32]) }),
            live: [SessionId([1; 32])].into(),
            entries: vec![entry(&accepted), entry(&missing)],
            ..Beside::default()
        };
        let (shelf, useless) = Shelf::restore(vec![accepted, waiting, expired, erased], &beside);
        assert_eq!(useless, [expired.operation, erased.operation]);
        assert!(shelf.is_accepted(&accepted.slot, &accepted.author, &accepted.operation));
        let wanted = Wanted::from(&entry(&missing));
        assert_eq!(shelf.missing(), [Missing { wanted, holders: vec![] }]);
        assert_eq!((shelf.waiting(), shelf.gateway_bytes.len()), (1, 1));
    }

    #[test]
    fn solutions_wait_until_they_are_taken_or_their_session_takes_none() {
        let (here, there) = (SessionId([1; 32]), SessionId([2; 32]));
        let solution = |operation: u8, session, author: u8| Pending {
            slot: Slot::Solution(session),
            author: PublicKey([author; 32]),
            length: 20_000,
            ..row(operation, 0, 1, 100)
        };
        let [taken, waiting, late, other] =
            [solution(1, here, 0), solution(2, here, 0xff), solution(3, here, 0), solution(4, there, 7)];
        let mut shelf = Shelf::default();
        for row in [&taken, &waiting, &other, &row(5, 0, 1, 100)] {
            assert_eq!(shelf.offer(row), Verdict::Store);
        }
        assert_eq!(shelf.offer(&late), Verdict::Refuse, "one for each key");
        assert_eq!(shelf.solutions().count(), 3);
        assert_eq!(shelf.withdraw(&taken.operation), Some(taken.operation));
        assert_eq!(shelf.close_solving(&here), [waiting.operation]);
        assert_eq!(shelf.close_solving(&here), []);
        assert_eq!(shelf.close_solving(&there), [other.operation]);
        assert_eq!((shelf.waiting(), shelf.solutions().count()), (1, 0));

        let beside = Beside {
            at: Some(BoardAt { height: 7, time_ms: 50, root: Hash([0; 32]) }),
            live: [here, there].into(),
            solving: [here].into(),
            solved: [taken.operation].into(),
            ..Beside::default()
        };
        let (shelf, useless) = Shelf::restore(vec![taken, waiting, other], &beside);
        assert_eq!(useless, [taken.operation, other.operation]);
        assert_eq!(shelf.solutions().collect::<Vec<_>>(), [(here, waiting.author, waiting.operation)]);
    }

    #[test]
    fn a_backup_outlives_its_session_and_makes_room_for_the_next() {
        let session = SessionId([1; 32]);
        let pending = |number: u8| {
            let slot = Slot::Backup(session, number.into());
            Pending { slot, length: 100, ..row(number, 0, 1, 100) }
        };
        let backup = |number: u8, is_kept: bool| {
            let kept = KeptBackup { digest: Hash([number; 32]), length: 100, keep_ms: 1, deadline_ms: None };
            let (operation, kept) = (OperationId([number; 32]), is_kept.then_some(kept));
            let record = BackupRecord { number: number.into(), operation, kept };
            StoredBackup { session, party: 0, author: PublicKey([9; 32]), record }
        };
        let settle =
            |shelf: &mut Shelf, number| shelf.settle(Wanted::of_backup(&backup(number, true)).unwrap(), vec![]);
        let id = |number: u8| OperationId([number; 32]);
        let mut shelf = Shelf::default();
        for number in 1..=4 {
            assert_eq!(shelf.offer(&pending(number)), Verdict::Store, "those before may still wait");
        }
        // One is taken, and in a later block two, of which the first is replaced at once.
        assert!(shelf.replace_backup(&backup(1, true)).is_empty() && !settle(&mut shelf, 1));
        assert!(!shelf.erase(&session), "nothing but backups");
        assert_eq!(shelf.offer(&pending(1)), Verdict::Here);
        let lost = Pending { operation: id(33), ..pending(3) };
        assert_eq!(shelf.offer(&lost), Verdict::Store, "another body for the number");
        assert_eq!(shelf.replace_backup(&backup(3, true)), [id(2), id(33), id(1)], "all that are no more use");
        assert!(!settle(&mut shelf, 3));
        // One that is missing is wanted only as long as it is the newest; what was never decided goes when a greater number is taken.
        assert!(shelf.replace_backup(&backup(5, true)) == [id(4), id(3)] && settle(&mut shelf, 5));
        assert!(shelf.is_missing(&id(5)) && !shelf.erase(&session) && shelf.is_missing(&id(5)));
        assert!(shelf.offer(&pending(7)) == Verdict::Store && shelf.replace_backup(&backup(6, false)).is_empty());
        assert!(!shelf.is_missing(&id(5)));
        // And when none is, it waits for its expiry.
        assert_eq!(shelf.orphans(100), [id(7)]);
        assert!(is_empty(&shelf) && shelf.backups.is_empty() && shelf.missing.is_empty());

        // The process may have ended between the board's store and this one.
        let beside = Beside { backups: vec![backup(8, true)], ..Beside::default() };
        let (shelf, useless) = Shelf::restore(vec![pending(7), pending(8), pending(9)], &beside);
        assert_eq!((useless, shelf.waiting(), shelf.lacking()), (vec![id(7)], 1, 0));
        let beside = Beside { backups: vec![backup(9, false)], ..Beside::default() };
        let (shelf, useless) = Shelf::restore(vec![pending(8), pending(9)], &beside);
        assert_eq!((useless, shelf.waiting(), shelf.lacking()), (vec![id(8), id(9)], 0, 0));
    }
}

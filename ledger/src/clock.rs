//! Block time: clocks that wait for their first block, and deadlines that a block's time reaches.
//!
//! The time of a block is that of the votes for the block before it, which after a rest is long ago. So the clock of a phase or a
//! round starts with the block after the one in which it began.

use crate::{State, changes::Changes, phases::FIRST_CLOCK_HEIGHT, registration};
use std::collections::BTreeSet;
use wire::{Admission, EndReason, Phase, SessionId, SessionRecord, limits::MAX_EXPIRED_BACKUPS};

/// What has a clock. The order is that in which deadlines of one time fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clock {
    /// The newest generation of a threshold key.
    Generation,
    /// The phase of a session, or one of its rounds.
    Session(SessionId, Option<u32>),
    /// A party's backup.
    Backup(SessionId, u16),
}

impl Clock {
    pub(crate) fn of_phase(session: SessionId) -> Self {
        Self::Session(session, None)
    }

    pub(crate) fn of_round(session: SessionId, round: u32) -> Self {
        Self::Session(session, Some(round))
    }
}

/// All clocks: of live sessions, of the newest generation, and of backups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clocks {
    pending: BTreeSet<Clock>,
    running: BTreeSet<(u64, Clock)>,
    /// Those of backups run beside, for of them only so many fire in a block.
    backups: BTreeSet<(u64, Clock)>,
}

impl Clocks {
    /// Adds a clock: to start with the next block, or as it was stored.
    pub(crate) fn insert(&mut self, clock: Clock, deadline_ms: Option<u64>) {
        match deadline_ms {
            None => self.pending.insert(clock),
            Some(deadline_ms) => self.running_as(clock).insert((deadline_ms, clock)),
        };
    }

    /// Forgets a clock that is no longer wanted.
    pub(crate) fn remove(&mut self, clock: Clock, deadline_ms: Option<u64>) {
        match deadline_ms {
            None => self.pending.remove(&clock),
            Some(deadline_ms) => self.running_as(clock).remove(&(deadline_ms, clock)),
        };
    }

    pub(crate) fn is_any_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        [&self.running, &self.backups].into_iter().filter_map(|clocks| Some(clocks.first()?.0)).min()
    }

    fn running_as(&mut self, clock: Clock) -> &mut BTreeSet<(u64, Clock)> {
        match clock {
            Clock::Generation | Clock::Session(..) => &mut self.running,
            Clock::Backup(..) => &mut self.backups,
        }
    }

    fn take_due(&mut self, time_ms: u64) -> Option<Clock> {
        take_due(&mut self.running, time_ms)
    }

    fn take_due_backups(&mut self, time_ms: u64) -> Vec<Clock> {
        std::iter::from_fn(|| take_due(&mut self.backups, time_ms)).take(MAX_EXPIRED_BACKUPS).collect()
    }
}

fn take_due(clocks: &mut BTreeSet<(u64, Clock)>, time_ms: u64) -> Option<Clock> {
    let (deadline_ms, clock) = *clocks.first()?;
    (deadline_ms <= time_ms && clocks.remove(&(deadline_ms, clock))).then_some(clock)
}

/// How long a phase lasts; an erased session has no clock.
fn duration_ms(record: &SessionRecord) -> Option<u64> {
    let spec = &record.spec;
    match record.phase {
        Phase::Registering | Phase::Solving => match &spec.admission {
            Admission::Open { terms } => registration::duration_ms(terms, record.phase, record.registration.as_ref()),
            Admission::Invited { .. } | Admission::Group { .. } => None,
        },
        Phase::Keying => Some(spec.keying_ms),
        Phase::Running => Some(spec.running_ms),
        Phase::Ended => Some(spec.retention_ms),
        Phase::Erased => None,
    }
}

impl State {
    /// Starts the clocks that have waited for this block.
    pub(crate) fn start_clocks(&mut self, time_ms: u64, changes: &mut Changes) {
        for clock in std::mem::take(&mut self.clocks.pending) {
            let deadline_ms = match clock {
                Clock::Generation if self.height < FIRST_CLOCK_HEIGHT => {
                    self.clocks.insert(clock, None);
                    continue;
                }
                Clock::Generation => self.start_generation_clock(time_ms, changes),
                Clock::Session(session, round) => self.start_session_clock(session, round, time_ms, changes),
                Clock::Backup(session, party) => self.start_backup_clock(session, party, time_ms, changes),
            };
            if deadline_ms.is_some() {
                self.clocks.insert(clock, deadline_ms);
            }
        }
    }

    fn start_session_clock(
        &mut self,
        id: SessionId,
        round: Option<u32>,
        time_ms: u64,
        changes: &mut Changes,
    ) -> Option<u64> {
        if round.is_none() && !self.is_within_head_start(&id, time_ms) {
            self.end(id, EndReason::Expired, self.height, changes);
            return None;
        }
        let session = self.sessions.get_mut(&id).expect("only live sessions have clocks");
        let duration_ms = match round {
            None => duration_ms(&session.record),
            Some(_) => session.record.spec.round_timeout_ms,
        };
        let deadline_ms = duration_ms.map(|duration_ms| time_ms.saturating_add(duration_ms));
        match round {
            None => {
                session.record.deadline_ms = deadline_ms;
                changes.session(id);
            }
            Some(round) => {
                session.rounds.entry(round).and_modify(|state| state.deadline_ms = deadline_ms);
                changes.round(id, round);
            }
        }
        deadline_ms
    }

    /// Fires every deadline that the block's time has reached, in the order of (deadline, what has the clock), and after that those of the first
    /// [`MAX_EXPIRED_BACKUPS`] backups: an adversary may have let any number end at one time. The rest stays due, so that nodes make a block.
    pub(crate) fn fire_deadlines(&mut self, height: u64, time_ms: u64, changes: &mut Changes) {
        while let Some(clock) = self.clocks.take_due(time_ms) {
            self.fire(clock, height, time_ms, changes);
        }
        for clock in self.clocks.take_due_backups(time_ms) {
            self.fire(clock, height, time_ms, changes);
        }
    }

    fn fire(&mut self, clock: Clock, height: u64, time_ms: u64, changes: &mut Changes) {
        match clock {
            Clock::Generation => self.fire_generation(height, changes),
            Clock::Session(id, None) => self.fire_phase(id, height, time_ms, changes),
            Clock::Session(id, Some(round)) => {
                let session = self.sessions.get_mut(&id).expect("only live sessions have clocks");
                session.rounds.entry(round).and_modify(|state| state.closed = true);
                changes.round(id, round);
            }
            Clock::Backup(id, party) => self.expire_backup(id, party, changes),
        }
    }

    fn fire_phase(&mut self, id: SessionId, height: u64, time_ms: u64, changes: &mut Changes) {
        let session = self.sessions.get_mut(&id).expect("only live sessions have clocks");
        match session.record.phase {
            Phase::Registering => self.close_requests(id, height, time_ms, changes),
            Phase::Solving => self.close_solutions(id, height, changes),
            Phase::Keying => {
                session.record.absent = session.keyless();
                let present = usize::from(session.record.parties).saturating_sub(session.record.absent.len());
                if present < usize::from(session.record.spec.min_parties) {
                    self.end(id, EndReason::Expired, height, changes);
                } else {
                    self.enter(id, Phase::Running, changes);
                }
            }
            Phase::Running => self.end(id, EndReason::Expired, height, changes),
            Phase::Ended => self.erase(id, changes),
            Phase::Erased => {}
        }
    }
}

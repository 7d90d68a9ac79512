//! A queue that is fair: what each gateway has brought waits in a lane of its own for each session, within bounds for all of the gateway's
//! together. The gateways take turns, and for each the sessions that it has something of. Who has filled all of a gateway's room makes way
//! for sessions that have less there.

use std::collections::{BTreeMap, VecDeque};
use wire::SessionId;

/// Most that waits of one gateway: in number, and in bytes.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct Lanes<T> {
    gateways: Vec<Gateway<T>>,
    /// Whose turn it is.
    turn: usize,
}

struct Gateway<T> {
    /// None is empty.
    lanes: BTreeMap<SessionId, Lane<T>>,
    /// The sessions of the lanes, in the order of their turns.
    turns: VecDeque<SessionId>,
    size: Size,
}

struct Lane<T> {
    waiting: VecDeque<(T, usize)>,
    size: Size,
}

/// How much waits.
#[derive(Clone, Copy, Default)]
struct Size {
    items: usize,
    bytes: usize,
}

impl Size {
    fn with(self, bytes: usize) -> Self {
        Self { items: self.items.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    fn without(self, bytes: usize) -> Self {
        Self { items: self.items.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    /// The part that it takes of the room, in parts of all bytes: of items or of bytes, whatever is more.
    fn part(self) -> usize {
        self.bytes.max(self.items.saturating_mul(MAX_WAITING_BYTES / MAX_WAITING))
    }

    fn is_too_much(self) -> bool {
        self.part() > MAX_WAITING_BYTES
    }
}

impl<T> Lanes<T> {
    pub(crate) fn new(gateways: usize) -> Self {
        let gateway = |_| Gateway { lanes: BTreeMap::new(), turns: VecDeque::new(), size: Size::default() };
        Self { gateways: (0..gateways).map(gateway).collect(), turn: 0 }
    }

    /// Queues something of `bytes` bytes. What has to make way for it is given back; it is given back itself if there is no room for it.
    pub(crate) fn push(&mut self, gateway: usize, session: SessionId, item: T, bytes: usize) -> Vec<T> {
        let Some(gateway) = self.gateways.get_mut(gateway) else { return vec![item] };
        gateway.push(session, item, bytes);
        let mut taken = Vec::new();
        while gateway.size.is_too_much() {
            let Some(item) = gateway.shorten(&session) else { break };
            taken.push(item);
        }
        taken
    }

    /// The next one: of the gateway whose turn it is, or of the next one that has something, the first of the session whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let count = self.gateways.len();
        for _ in 0..count {
            let Some(gateway) = self.gateways.get_mut(self.turn) else { continue };
            self.turn = self.turn.saturating_add(1).checked_rem(count).unwrap_or(0);
            if let Some(item) = gateway.pop() {
                return Some(item);
            }
        }
        None
    }

    /// Takes out what waits of sessions that are not to wait any more.
    pub(crate) fn take_unless(&mut self, keep: impl Fn(&SessionId) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for gateway in &mut self.gateways {
            let gone: Vec<SessionId> = gateway.turns.iter().filter(|session| !keep(session)).copied().collect();
            for session in gone {
                let Some(lane) = gateway.remove(&session) else { continue };
                for (item, bytes) in lane.waiting {
                    gateway.size = gateway.size.without(bytes);
                    taken.push(item);
                }
            }
        }
        taken
    }

    pub(crate) fn waiting(&self) -> usize {
        self.gateways.iter().map(|gateway| gateway.size.items).sum()
    }
}

impl<T> Gateway<T> {
    fn push(&mut self, session: SessionId, item: T, bytes: usize) {
        let lane = self.lanes.entry(session).or_insert_with(|| {
            self.turns.push_back(session);
            Lane { waiting: VecDeque::new(), size: Size::default() }
        });
        lane.size = lane.size.with(bytes);
        lane.waiting.push_back((item, bytes));
        self.size = self.size.with(bytes);
    }

    fn pop(&mut self) -> Option<T> {
        let session = self.turns.pop_front()?;
        self.turns.push_back(session);
        self.take(&session, VecDeque::pop_front)
    }

    /// The last one of the session that has most; of several, `newest` is the one.
    fn shorten(&mut self, newest: &SessionId) -> Option<T> {
        let lanes = self.lanes.iter();
        let (session, _) = lanes.max_by_key(|(session, lane)| (lane.size.part(), *session == newest))?;
        let session = *session;
        self.take(&session, VecDeque::pop_back)
    }

    fn take(
        &mut self,
        session: &SessionId,
        from: impl FnOnce(&mut VecDeque<(T, usize)>) -> Option<(T, usize)>,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(session)?;
        let (item, bytes) = from(&mut lane.waiting)?;
        lane.size = lane.size.without(bytes);
        self.size = self.size.without(bytes);
        if lane.waiting.is_empty() {
            self.remove(session);
        }
        Some(item)
    }

    fn remove(&mut self, session: &SessionId) -> Option<Lane<T>> {
        self.turns.retain(|turn| turn != session);
        self.lanes.remove(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId([1; 32]);
    const OTHER: SessionId = SessionId([2; 32]);
    const NONE: [u32; 0] = [];

    #[test]
    fn gateways_take_turns_and_of_each_its_sessions() {
        let mut lanes = Lanes::new(3);
        for number in 0..3 {
            assert_eq!(lanes.push(0, ONE, number, 1), NONE);
        }
        assert_eq!(lanes.push(2, ONE, 20, 1), NONE);
        assert_eq!((lanes.push(0, OTHER, 10, 1), lanes.push(2, ONE, 21, 1)), (vec![], vec![]));
        assert_eq!(lanes.push(3, ONE, 30, 1), [30], "nobody's lane");
        assert_eq!(lanes.waiting(), 6);
        let all: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!(all, [0, 20, 10, 21, 1, 2]);
        assert_eq!(lanes.waiting(), 0);
    }

    #[test]
    fn who_brings_much_keeps_no_other_gateway_and_no_other_session_out() {
        let mut lanes = Lanes::new(2);
        let count = u32::try_from(MAX_WAITING).unwrap();
        assert!((0..count).all(|number| lanes.push(0, ONE, number, 1).is_empty()));
        assert_eq!(lanes.push(0, ONE, count, 1), [count], "it pushes out itself");
        assert_eq!(lanes.push(0, OTHER, count + 1, 1), [count - 1], "and makes way for who has less");
        assert_eq!(lanes.push(1, ONE, count + 2, 1), NONE);
        assert_eq!([(); 3].map(|()| lanes.pop()), [Some(0), Some(count + 2), Some(count + 1)]);
    }

    #[test]
    fn two_that_bring_much_share_the_room() {
        let mut lanes = Lanes::new(1);
        let half = u32::try_from(MAX_WAITING / 2).unwrap();
        (0..4 * half).for_each(|number| drop(lanes.push(0, ONE, number, 1)));
        (0..4 * half).for_each(|number| drop(lanes.push(0, OTHER, 10 * half + number, 1)));
        let taken = lanes.take_unless(|session| *session != ONE);
        assert_eq!((taken.len(), lanes.waiting()), (MAX_WAITING / 2, MAX_WAITING / 2));
        assert_eq!(taken, (0..half).collect::<Vec<_>>(), "who came first stays");
    }

    #[test]
    fn bytes_are_counted_until_they_are_gone() {
        let mut lanes = Lanes::new(1);
        let most = MAX_WAITING_BYTES;
        assert_eq!((lanes.push(0, ONE, 1, most - 1), lanes.push(0, ONE, 2, 2)), (vec![], vec![2]));
        assert_eq!(lanes.push(0, OTHER, 3, 1), NONE);
        assert_eq!(lanes.push(0, OTHER, 4, 1), [1], "few large ones make way as many small ones do");
        assert_eq!((lanes.push(0, ONE, 5, most - 2), lanes.push(0, OTHER, 6, 1)), (vec![], vec![5]));
        assert_eq!(lanes.take_unless(|session| *session == ONE), [3, 4, 6]);
        assert_eq!((lanes.push(0, ONE, 7, most), lanes.pop(), lanes.pop()), (vec![], Some(7), None));
    }
}

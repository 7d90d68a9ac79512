//! A queue that is fair: what each gateway has brought waits in a lane of its own, within bounds of its own, and the lanes take turns.

use std::collections::VecDeque;

/// Most that waits in one lane: in number, and in bytes.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

pub(crate) struct Lanes<T> {
    lanes: Vec<Lane<T>>,
    /// Whose turn it is.
    turn: usize,
}

struct Lane<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Lanes<T> {
    pub(crate) fn new(count: usize) -> Self {
        Self { lanes: (0..count).map(|_| Lane { waiting: VecDeque::new(), bytes: 0 }).collect(), turn: 0 }
    }

    /// Queues something of `bytes` bytes. False if its lane is full.
    pub(crate) fn push(&mut self, lane: usize, item: T, bytes: usize) -> bool {
        let Some(lane) = self.lanes.get_mut(lane) else { return false };
        let sum = lane.bytes.saturating_add(bytes);
        if lane.waiting.len() >= MAX_WAITING || sum > MAX_WAITING_BYTES {
            return false;
        }
        lane.bytes = sum;
        lane.waiting.push_back((item, bytes));
        true
    }

    /// The next one: the first of the lane whose turn it is, or of the next one that is not empty.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let count = self.lanes.len();
        for _ in 0..count {
            let Some(lane) = self.lanes.get_mut(self.turn) else { continue };
            self.turn = self.turn.saturating_add(1).checked_rem(count).unwrap_or(0);
            if let Some((item, bytes)) = lane.waiting.pop_front() {
                lane.bytes = lane.bytes.saturating_sub(bytes);
                return Some(item);
            }
        }
        None
    }

    /// Takes out what is not to wait any more.
    pub(crate) fn take_unless(&mut self, keep: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for lane in &mut self.lanes {
            for (item, bytes) in std::mem::take(&mut lane.waiting) {
                if keep(&item) {
                    lane.waiting.push_back((item, bytes));
                } else {
                    lane.bytes = lane.bytes.saturating_sub(bytes);
                    taken.push(item);
                }
            }
        }
        taken
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_brings_much_keeps_nobody_else_waiting() {
        let mut lanes = Lanes::new(3);
        let many = (0..2 * MAX_WAITING).filter(|n| lanes.push(0, (0, *n), 1)).count();
        assert_eq!(many, MAX_WAITING);
        assert!(lanes.push(2, (2, 0), 1) && lanes.push(2, (2, 1), 1));
        assert!(!lanes.push(3, (3, 0), 1), "nobody's lane");
        assert_eq!(lanes.waiting(), MAX_WAITING + 2);
        let first: Vec<_> = (0..5).filter_map(|_| lanes.pop()).collect();
        assert_eq!(first, [(0, 0), (2, 0), (0, 1), (2, 1), (0, 2)]);
    }

    #[test]
    fn bytes_are_counted_until_they_are_gone() {
        let mut lanes = Lanes::new(1);
        assert!(lanes.push(0, 1, MAX_WAITING_BYTES - 1) && !lanes.push(0, 2, 2) && lanes.push(0, 3, 1));
        assert_eq!(lanes.pop(), Some(1));
        assert!(lanes.push(0, 4, MAX_WAITING_BYTES - 1) && !lanes.push(0, 5, 1));
        assert_eq!(lanes.take_unless(|item| *item == 4), [3]);
        assert!(lanes.push(0, 6, 1) && !lanes.push(0, 7, 1));
        assert_eq!((lanes.pop(), lanes.pop(), lanes.pop()), (Some(4), Some(6), None));
        assert!(lanes.push(0, 8, MAX_WAITING_BYTES));
    }
}

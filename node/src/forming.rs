//! A batch that forms: operations in order of arrival, until there are enough or the first has waited long enough.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;
use wire::OperationId;

pub(crate) struct Forming {
    /// Operations with their sizes.
    queue: VecDeque<(OperationId, usize)>,
    bytes: usize,
    /// When the batch is taken; none if it is empty.
    due: Option<Instant>,
    most: usize,
    target_bytes: usize,
}

impl Forming {
    /// A batch of at most `most` operations, which is full once it has `target_bytes`.
    pub(crate) fn new(most: usize, target_bytes: usize) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, due: None, most, target_bytes }
    }

    /// Adds an operation, which others may join for so long as `collect`.
    pub(crate) fn push(&mut self, operation: OperationId, bytes: usize, collect: Duration) {
        self.queue.push_back((operation, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        let now = Instant::now();
        let is_full = self.queue.len() >= self.most || self.bytes >= self.target_bytes;
        let due = if is_full { now } else { now + collect };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When to take it.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// One batch, at least one operation whatever its size. Operations that are not `wanted` any more are dropped, those that do not fit
    /// are the next batch, at once.
    pub(crate) fn take(&mut self, wanted: impl Fn(&OperationId) -> bool) -> Vec<OperationId> {
        let (mut operations, mut bytes) = (Vec::new(), 0_usize);
        while let Some((operation, own)) = self.queue.front().copied() {
            if wanted(&operation) {
                let sum = bytes.saturating_add(own);
                let fits = operations.len() < self.most && sum <= self.target_bytes;
                if !fits && !operations.is_empty() {
                    break;
                }
                bytes = sum;
                operations.push(operation);
            }
            self.queue.pop_front();
            self.bytes = self.bytes.saturating_sub(own);
        }
        self.due = (!self.queue.is_empty()).then(Instant::now);
        operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(number: u8) -> OperationId {
        OperationId([number; 32])
    }

    #[tokio::test]
    async fn a_batch_is_due_when_it_is_full_or_old() {
        let mut forming = Forming::new(3, 100);
        assert_eq!(forming.due(), None);
        forming.push(operation(1), 10, Duration::from_secs(60));
        assert!(forming.due().is_some_and(|due| due > Instant::now()));
        forming.push(operation(2), 90, Duration::from_secs(60));
        assert!(forming.due().is_some_and(|due| due <= Instant::now()));
        for number in 3..=6 {
            forming.push(operation(number), 200, Duration::ZERO);
        }
        assert_eq!(forming.take(|_| true), [operation(1), operation(2)]);
        assert_eq!(forming.take(|one| *one != operation(3)), [operation(4)], "one always fits");
        assert_eq!(forming.take(|_| true), [operation(5)]);
        assert_eq!(forming.take(|one| *one != operation(6)), []);
        assert_eq!(forming.due(), None);
    }
}

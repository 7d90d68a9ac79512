//! Solutions among the payloads: a node says that it has one only once it has verified the proof of work.

use super::{Inner, Item, Payloads, examiner::Task};
use crate::abci::now_ms;
use futures::future::join_all;
use wire::{Admission, Bytes, Code, Operation, OperationId, Phase, Solution, Verified};

impl Payloads {
    /// Waits until it is known whether a solution that a client brings to this node is right. Of other operations nothing is asked.
    ///
    /// # Errors
    /// What the rules would say of it now; [`Code::Malformed`], [`Code::ForeignSolution`] or [`Code::StolenSolution`] for a payload that is no solution for
    /// this key and session; those of [`Examiner::examine`](super::examiner).
    pub async fn examine(&self, operation: &Verified<Operation>, payload: &Bytes) -> Result<(), Code> {
        self.0.examine(self.own(), operation, payload).await
    }

    /// Leaves out the solutions and backups that are not right. Solutions are examined one after the other, but not after those of other gateways.
    pub(super) async fn examine_all(&self, gateway: usize, items: Vec<Option<Item>>) -> Vec<Option<Item>> {
        let examine = |item: Option<Item>| async {
            let item = item?;
            self.0.examine(gateway, &item.operation, &item.payload).await.ok()?;
            self.0.examine_backup(&self.0.delivered, &item.operation, &item.payload).await.ok().map(|()| item)
        };
        join_all(items.into_iter().map(examine)).await
    }
}

impl Inner {
    async fn examine(&self, gateway: usize, operation: &Verified<Operation>, payload: &Bytes) -> Result<(), Code> {
        let Operation::Solve { .. } = operation.body() else { return Ok(()) };
        let task = self.task(operation, payload).inspect_err(|code| {
            metrics::counter!("white_city_solutions_refused_total", "code" => code.as_str()).increment(1);
        })?;
        self.examiner.examine(gateway, task).await
    }

    /// What there is to verify, if nothing else is wrong.
    fn task(&self, operation: &Verified<Operation>, payload: &Bytes) -> Result<Task, Code> {
        let Operation::Solve { session, .. } = *operation.body() else { return Err(Code::Internal) };
        (self.check)(operation)?;
        let key = operation.author();
        let proof = Solution::decode(&payload.0, &self.parameters.chain, &session, &key)?.proof;
        let record = (self.records)(&session).ok_or(Code::UnknownSession)?;
        let operation = OperationId(operation.digest().0);
        // A solution that was here in time may come again for another bundle.
        let is_late = ledger::solutions_until_ms(&record).is_some_and(|until_ms| until_ms <= now_ms());
        if is_late && !self.examiner.is_right(&session, &key, &operation) {
            return Err(Code::SolvingClosed);
        }
        let Admission::Open { terms } = record.spec.admission else { return Err(Code::NotOpen) };
        let signature = record.registration.and_then(|registration| registration.challenge).ok_or(Code::NoChallenge)?;
        let challenge = wire::challenge(&signature);
        Ok(Task { session, key, operation, work: terms.work, challenge, proof })
    }

    /// Forgets what was found out of solutions that are not taken any more.
    pub(super) fn forget_solved(&self) {
        let is_solving = |session: &_| (self.records)(session).is_some_and(|record| record.phase == Phase::Solving);
        self.examiner.retain(is_solving);
    }
}

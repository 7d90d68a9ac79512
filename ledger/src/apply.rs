//! A block, in order: clocks that have waited for it, deadlines that it has reached, operations.

use crate::{
    Block, Outcome, Payload, State, StoredBackup, StoredEntry, StoredListing, StoredSession, Submitted,
    changes::Changes, discredited::Discredited,
};
use wire::{Code, ExchangeKey, G1Bytes, GenerationStep, Operation, OperationId, Receipt, SessionId, Verified};

/// What an operation does if it is done: all that is needed, so that doing it cannot fail.
#[derive(Debug)]
pub(crate) enum Change {
    /// A session begins.
    Create { session: SessionId, stored: Box<StoredSession>, origin: Option<SessionId> },
    /// A list of an open session grows.
    Enlist { listing: StoredListing },
    /// The nodes' challenge is there.
    Challenge { session: SessionId, signature: G1Bytes },
    /// A mailbox grows.
    Append { entry: StoredEntry },
    /// A party is done.
    Terminate { session: SessionId, party: u16 },
    /// A party gives up.
    Abort { session: SessionId, party: u16, reason: String },
    /// A party has read the session's end.
    Acknowledge { session: SessionId, party: u16 },
    /// A node takes a step in the newest generation of a threshold key.
    Generate { node: u16, step: Box<GenerationStep> },
    /// The generation of the next threshold key begins.
    Renew,
    /// A node has another exchange key from the next generation on.
    ReplaceExchangeKey { node: u16, key: ExchangeKey },
    /// A party leaves a backup, or has it erased.
    Backup { backup: StoredBackup },
    /// Nothing.
    Nothing,
}

impl State {
    /// Applies a decided block. The same state and block give the same outcome, byte for byte; no input makes it fail.
    ///
    /// 1. Clocks of phases and rounds that began in the block before start at this block's time.
    /// 2. Deadlines that this block's time has reached fire, in the order of (deadline, generation before sessions, session, round); then those of
    ///    backups in the order of (deadline, session, party), at most [`wire::limits::MAX_EXPIRED_BACKUPS`]: the rest in the next block.
    /// 3. Operations are done or refused, one after the other. Who is refused has changed nothing on the board; but when a node's step
    ///    in the generation of a key, or its challenge, was found wrong, its later ones in the same block are refused unseen, with the
    ///    same code.
    pub fn apply(&mut self, block: &Block) -> Outcome {
        let mut changes = Changes::default();
        (self.height, self.time_ms) = (block.height, block.time_ms);
        self.start_clocks(block.time_ms, &mut changes);
        self.fire_deadlines(block.height, block.time_ms, &mut changes);
        let mut discredited = Discredited::default();
        let mut receipts = Vec::with_capacity(block.operations.len());
        for (submitted, position) in block.operations.iter().zip(0..) {
            let (operation, code) = match submitted {
                Submitted::Verified(verified, payload) => {
                    let code = discredited.refusal(verified).unwrap_or_else(|| {
                        let stored = self.check_stored(verified, payload, block.time_ms);
                        self.execute(verified, stored, (block.height, block.time_ms), &mut changes)
                    });
                    discredited.note(verified, code);
                    (OperationId(verified.digest().0), code)
                }
                Submitted::Refused { operation, code } => (*operation, *code),
            };
            receipts.push(Receipt { operation, height: block.height, position, code });
        }
        let facts = changes.facts(self);
        self.tree.update(facts);
        Outcome { root: self.root(), receipts, events: changes.events(self) }
    }

    /// What [`State::apply`] would say of the operation if it came alone in a next block of the last one's time, before any clock and
    /// deadline, its payload being where it must be.
    ///
    /// # Errors
    /// The code that its receipt would carry.
    pub fn check(&self, operation: &Verified<Operation>) -> Result<(), Code> {
        self.decide(operation, (self.height.saturating_add(1), self.time_ms)).map(|_| ())
    }

    /// As [`State::check`], with the payload where it is; a bundle must not be expired at `time_ms`.
    ///
    /// # Errors
    /// The code that its receipt would carry.
    pub fn check_with(&self, operation: &Verified<Operation>, payload: &Payload, time_ms: u64) -> Result<(), Code> {
        self.check(operation)?;
        self.check_stored(operation, payload, time_ms)
    }

    /// `stored` says whether the payload is where it must be. It comes last: whoever is refused for a reason of the rules hears that.
    fn execute(
        &mut self,
        operation: &Verified<Operation>,
        stored: Result<(), Code>,
        (height, time_ms): (u64, u64),
        changes: &mut Changes,
    ) -> Code {
        match self.decide(operation, (height, time_ms)).and_then(|change| stored.map(|()| change)) {
            Ok(change) => {
                self.enact(change, height, changes);
                Code::Accepted
            }
            Err(code) => code,
        }
    }

    /// The dispatch: whether an operation is done, and what it changes, in a block of this height and time. It changes nothing itself.
    fn decide(&self, operation: &Verified<Operation>, (height, time_ms): (u64, u64)) -> Result<Change, Code> {
        operation.body().check_shape()?;
        let author = operation.author();
        match operation.body() {
            // F4.7, F5.1 "upon invocation": an execution gets its identifier pid and an empty state. Beyond the paper:
            // who may ask for that, and how much of the board it may take.
            Operation::CreateSession { spec, nonce } => self.decide_create(spec, *nonce, author, height),
            // P4.10 WriteKA, P5.4 Write (Broadcast, P2P): ignored if pid, i or r are invalid or the slot is taken, else
            // appended. A party's P2P messages of a round are one write, so the recipients t are valid if there are n.
            Operation::Write { .. } => self.decide_write(operation),
            // P4.3 step 1, P4.5 steps 2 and 3: (pk, sigma) until T_req, ignored if pk is on the list; its cost is §IV-A a.
            Operation::Register { .. } => self.decide_register(operation, time_ms),
            // P4.5 step 4: c, which depends on no node's choice.
            Operation::Challenge { session, signature } => self.decide_challenge(*session, signature, &author),
            // P4.3 step 2, P4.5 steps 6 and 7: (pk, s, rho) until T, ignored if pk is not on the list of those who asked.
            Operation::Solve { .. } => self.decide_solve(operation),
            // §V-E a: (pid, Terminate); t + 1 of them end the session.
            Operation::Terminate { session } => self.decide_terminate(*session, &author),
            // §V-E a: data = abort; one of them ends a session that is secure with abort, t + 1 an honest-majority one.
            Operation::Abort { session, reason } => self.decide_abort(*session, &author, reason),
            // §V-E a: "all parties have read the state with these requests"; then the nodes delete it.
            Operation::Ack { session, height: read, .. } => self.decide_ack(*session, &author, *read, height),
            // §V-E d: "the nodes can be used to backup secret data by the parties".
            Operation::Backup { .. } | Operation::EraseBackup { .. } => self.decide_backup(operation),
            // Not in the paper: a node makes a block, and so block time, when nobody writes.
            Operation::Tick { .. } if self.parameters.is_node(&author) => Ok(Change::Nothing),
            Operation::Tick { .. } => Err(Code::NotPermitted),
            // §V-E b: the nodes sign the board under a threshold key, which they make here; the paper takes it as given.
            Operation::Generate { epoch, attempt, step } => self.decide_generate(*epoch, *attempt, step, &author),
            Operation::RenewKey { epoch } => self.decide_renew(*epoch, &author),
            Operation::ReplaceExchangeKey { key } => self.decide_replace(*key, &author),
        }
    }

    fn enact(&mut self, change: Change, height: u64, changes: &mut Changes) {
        match change {
            Change::Create { session, stored, origin } => self.create(session, *stored, origin, changes),
            Change::Enlist { listing } => self.enlist(listing, changes),
            Change::Challenge { session, signature } => self.draw(session, signature, changes),
            Change::Append { entry } => self.append(entry, changes),
            Change::Terminate { session, party } => self.terminate(session, party, height, changes),
            Change::Abort { session, party, reason } => self.abort(session, party, reason, height, changes),
            Change::Acknowledge { session, party } => self.acknowledge(session, party, changes),
            Change::Generate { node, step } => self.take_step(node, *step, height, changes),
            Change::Renew => self.renew(changes),
            Change::ReplaceExchangeKey { node, key } => self.replace_exchange_key(node, key, changes),
            Change::Backup { backup } => self.keep_backup(backup, changes),
            Change::Nothing => {}
        }
    }
}

//! Bringing operations to the board: the same bytes are handed in again, at other gateways too, until the effect is proved. A receipt is a
//! gateway's word and ends nothing.

use crate::{
    BadAnswer, Client, Error, Tried,
    listed::Listed,
    mailbox::Slot,
    progress::Counters,
    reader::Found,
    survey::{Pauses, Question, into_list, is_transient, or_later},
    transport::Failure,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout};
use wire::{
    Code, Envelope, ListKind, MailboxKind, Operation, OperationId, Phase, PublicKey, Receipt, Report, SessionRecord,
    Submission, SubmissionOutcome,
    api::Outcome,
    limits::{MAX_REQUEST_BYTES, MAX_REQUEST_OPERATIONS},
};

/// How long a gateway may take until the board has decided.
const COMMIT: Duration = Duration::from_secs(3);

/// What a gateway has reported as decided should be proved after this time; else it is handed in again, elsewhere.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

/// Which gateway says that an operation is on the board, and from which height on, if it says that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) node: usize,
    pub(crate) height: Option<u64>,
}

/// Gateways' words, by operation.
pub(crate) type Words = BTreeMap<OperationId, Word>;

/// An operation on its way.
struct Pending<'a> {
    id: OperationId,
    envelope: &'a Envelope,
    tried: BTreeMap<usize, Tried>,
}

impl<'a> Pending<'a> {
    fn new(envelope: &'a Envelope) -> Self {
        Self { id: envelope.id(), envelope, tried: BTreeMap::new() }
    }
}

impl Client {
    /// Brings one operation to the board, or proves that it cannot get there. An operation that is there already counts as brought.
    ///
    /// # Errors
    /// [`Error::Refused`] when f + 1 nodes refuse for good, [`Error::SlotTaken`] when the author has written something else to the slot,
    /// [`Error::NotOnBoard`] after `wait`; errors in reading the session.
    pub async fn submit(&self, envelope: &Envelope, wait: Duration) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let remaining = wait.saturating_sub(started.elapsed());
            let handed_in = self.hand_in(std::slice::from_ref(envelope), remaining).await;
            let word = handed_in.as_ref().ok().and_then(|words| words.get(&envelope.id())).copied();
            if let Some(height) = word.and_then(|word| word.height) {
                // Then whoever is asked knows of it. That it takes long may be the gateway's lie.
                let _ = timeout(SETTLE, self.block_from(height, SETTLE)).await;
            }
            let mut tried = BTreeMap::new();
            if or_later(self.is_on_board(envelope, &mut tried).await)? == Some(true) {
                return Ok(());
            }
            let height = self.verifier().height();
            word.into_iter().for_each(|word| self.check_word(&word, &envelope.id(), height));
            handed_in?;
            if started.elapsed() >= wait {
                return Err(not_on_board(envelope.id(), started, tried));
            }
            self.rotate();
        }
    }

    /// Remembers that a gateway lied, if it said that an operation is on the board of a height up to `height`, where it is not.
    pub(crate) fn check_word(&self, word: &Word, operation: &OperationId, height: u64) {
        if let Some(named) = word.height.filter(|named| *named <= height) {
            let what = format!("the receipt of operation {operation}");
            self.catch(word.node, &what, None, &BadAnswer::FalseReceipt { height: named });
        }
    }

    /// Hands operations in, together, until a gateway reports for each that the board has accepted it. That is the gateway's word only.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotOnBoard`].
    pub(crate) async fn hand_in(&self, envelopes: &[Envelope], wait: Duration) -> Result<Words, Error> {
        let (mut rest, mut words) = (envelopes, Words::new());
        while !rest.is_empty() {
            let (request, later) = rest.split_at(fitting(rest));
            self.hand_in_request(request, wait, &mut words).await?;
            rest = later;
        }
        Ok(words)
    }

    async fn hand_in_request(&self, envelopes: &[Envelope], wait: Duration, words: &mut Words) -> Result<(), Error> {
        let started = Instant::now();
        let mut open: Vec<Pending<'_>> = envelopes.iter().map(Pending::new).collect();
        let mut pauses = Pauses::default();
        loop {
            for node in self.order() {
                self.post(node, &mut open, words).await;
                for operation in &open {
                    self.check_refusal(operation).await?;
                }
                let Some(first) = open.first() else { return Ok(()) };
                if started.elapsed() >= wait {
                    return Err(not_on_board(first.id, started, first.tried.clone()));
                }
            }
            pauses.pause().await;
        }
    }

    /// Posts what is open to one gateway, and drops from it what the board has accepted.
    async fn post(&self, node: usize, open: &mut Vec<Pending<'_>>, words: &mut Words) {
        let operations: Vec<Envelope> = open.iter().map(|pending| pending.envelope.clone()).collect();
        Counters::add(&self.transport().counters.operations, operations.len());
        let body = borsh::to_vec(&Submission { operations }).expect("borsh to a vector fails only beyond u32 lengths");
        let answer: Result<SubmissionOutcome, Failure> = async {
            let url = self.url(node, &format!("operations?wait=commit&timeout_ms={}", COMMIT.as_millis()))?;
            self.transport().post(&url, body, COMMIT).await
        }
        .await;
        let outcomes = answer.map(|answer| {
            answer
                .operations
                .into_iter()
                .map(|outcome| (outcome.operation, outcome.outcome))
                .collect::<BTreeMap<_, _>>()
        });
        let question = Question::new("an operation's outcome", "operations");
        open.retain_mut(|pending| {
            let outcome = match &outcomes {
                Ok(outcomes) => self.word(node, pending.id, outcomes.get(&pending.id)),
                Err(failure) => Err(failure.clone()),
            };
            match outcome {
                Ok(height) => {
                    words.insert(pending.id, Word { node, height });
                    false
                }
                Err(failure) => {
                    self.judge(node, &question, &failure);
                    pending.tried.insert(node, self.tried(node, &failure));
                    true
                }
            }
        });
        if let Err(Failure { retry_after: Some(pause), .. }) = outcomes
            && self.network().nodes.len() == 1
        {
            tokio::time::sleep(pause).await;
        }
    }

    /// The height from which on the operation is on the board, as this gateway says; none if it was there before.
    fn word(&self, node: usize, id: OperationId, outcome: Option<&Outcome>) -> Result<Option<u64>, Failure> {
        let (code, height) = match outcome {
            None => return Err(Failure::new("it did not answer for this operation")),
            Some(Outcome::Pending) => (Code::NotDecided, None),
            Some(Outcome::Refused { code }) => (*code, None),
            Some(Outcome::Decided { receipt }) => {
                let receipt = self.receipt(node, id, receipt.as_ref().clone())?;
                (receipt.code, Some(receipt.height))
            }
        };
        match code {
            Code::Accepted | Code::DuplicateSame => Ok(height),
            // By an earlier request, of which this one need not know.
            Code::AlreadyRegistered => Ok(None),
            code => Err(Failure { code: Some(code), ..Failure::new(code.meaning()) }),
        }
    }

    /// What a node says with its own signature.
    fn receipt(&self, node: usize, id: OperationId, report: Report<Receipt>) -> Result<Receipt, Failure> {
        if report.author != self.address(node)?.identity {
            return Err(BadAnswer::NotSigned.into());
        }
        let verified = report.verify(&self.network().chain).map_err(|_| BadAnswer::NotSigned)?;
        let receipt = verified.into_body().fact;
        if receipt.operation != id {
            return Err(BadAnswer::AboutSomethingElse { what: "operation" }.into());
        }
        Ok(receipt)
    }

    /// An error if f + 1 nodes refuse and it is not for being behind.
    async fn check_refusal(&self, pending: &Pending<'_>) -> Result<(), Error> {
        let Some(code) = self.common_refusal(&pending.tried) else { return Ok(()) };
        let operation = &pending.envelope.signed.body;
        let may_pass = match code {
            Code::WrongPhase | Code::RegistrationClosed | Code::SolvingClosed => !self.is_too_late(operation).await?,
            // Whoever hands these in has seen on the board that it is time.
            Code::TooEarly => matches!(operation, Operation::Register { .. }),
            Code::NoChallenge | Code::NotRegistered => true,
            code => is_transient(code),
        };
        if may_pass {
            return Ok(());
        }
        Err(Error::Refused { operation: Some(pending.id), code, tried: into_list(pending.tried.clone()) })
    }

    /// True if the session is past the phases in which the operation could still be accepted.
    async fn is_too_late(&self, operation: &Operation) -> Result<bool, Error> {
        let Some(session) = operation.session() else { return Ok(true) };
        let found = self.session_at(&session).await;
        Ok(or_later(found)?.is_some_and(|(_, record)| too_late(&record, operation)))
    }

    /// True if a node proves the effect of the operation.
    pub(crate) async fn is_on_board(
        &self,
        envelope: &Envelope,
        tried: &mut BTreeMap<usize, Tried>,
    ) -> Result<bool, Error> {
        let author = envelope.signed.author;
        match &envelope.signed.body {
            Operation::CreateSession { spec, nonce } => {
                let id = spec.session_id(&envelope.signed.chain, &author, nonce);
                match self.session_at(&id).await {
                    Ok(_) => Ok(true),
                    Err(Error::Refused { .. }) => Ok(false),
                    Err(other) => Err(other),
                }
            }
            Operation::Write { mailbox, digest, .. } => {
                let Listed { keys, .. } = self.listed(&mailbox.session).await?;
                let Some(sender) = index_of(&keys, &author) else { return Ok(false) };
                let slot = Slot { chain: &envelope.signed.chain, mailbox: *mailbox, keys: &keys, recipient: None };
                match self.find_write(&slot, (envelope.id(), sender, digest), SETTLE, tried).await {
                    Found::Here => Ok(true),
                    Found::Other => Err(Error::SlotTaken { kind: mailbox.kind, round: mailbox.round }),
                    Found::Nothing { .. } | Found::Unknown => Ok(false),
                }
            }
            operation @ (Operation::Terminate { session }
            | Operation::Abort { session, .. }
            | Operation::Ack { session, .. }) => {
                let Listed { record, keys, .. } = self.listed(session).await?;
                Ok(index_of(&keys, &author).is_some_and(|index| has_effect(&record, operation, index)))
            }
            Operation::Register { session, .. } => {
                Ok(self.list(session, ListKind::Registrants).await?.contains(&author))
            }
            Operation::Solve { session, .. } => Ok(self.list(session, ListKind::Solvers).await?.contains(&author)),
            Operation::Backup { session, .. } | Operation::EraseBackup { session, .. } => {
                let Listed { keys, .. } = self.listed(session).await?;
                let Some(party) = index_of(&keys, &author) else { return Ok(false) };
                let record = self.backup(session, party).await?;
                Ok(record.is_some_and(|record| record.operation == envelope.id()))
            }
            Operation::Challenge { .. }
            | Operation::Tick { .. }
            | Operation::Generate { .. }
            | Operation::ReplaceExchangeKey { .. }
            | Operation::RenewKey { .. } => Ok(true),
        }
    }
}

/// The place of a key in a session's list.
pub(crate) fn index_of(keys: &[PublicKey], key: &PublicKey) -> Option<u16> {
    keys.iter().position(|other| other == key).and_then(|index| u16::try_from(index).ok())
}

/// True if a party's vote or acknowledgement is recorded, or has become moot.
fn has_effect(record: &SessionRecord, operation: &Operation, index: u16) -> bool {
    match operation {
        Operation::Terminate { .. } => record.terminated.contains(&index) || record.phase >= Phase::Ended,
        Operation::Abort { .. } => {
            record.aborted.iter().any(|vote| vote.party == index) || record.phase >= Phase::Ended
        }
        Operation::Ack { .. } => record.acknowledged.contains(&index) || record.phase == Phase::Erased,
        Operation::CreateSession { .. }
        | Operation::Write { .. }
        | Operation::Register { .. }
        | Operation::Challenge { .. }
        | Operation::Solve { .. }
        | Operation::Backup { .. }
        | Operation::EraseBackup { .. }
        | Operation::Tick { .. }
        | Operation::Generate { .. }
        | Operation::ReplaceExchangeKey { .. }
        | Operation::RenewKey { .. } => false,
    }
}

fn too_late(record: &SessionRecord, operation: &Operation) -> bool {
    let ended_in_keying = record.end.is_some_and(|end| end.phase == Phase::Keying);
    match operation {
        Operation::Write { mailbox, .. } if mailbox.kind == MailboxKind::Keying => record.phase > Phase::Keying,
        Operation::Write { .. } => record.phase == Phase::Erased || ended_in_keying,
        Operation::Terminate { .. } | Operation::Abort { .. } => record.phase >= Phase::Ended,
        Operation::Ack { .. } => record.phase == Phase::Erased,
        Operation::Register { .. } => record.phase > Phase::Registering,
        Operation::Solve { .. } => record.phase > Phase::Solving,
        Operation::Backup { .. } | Operation::EraseBackup { .. } => false,
        Operation::CreateSession { .. }
        | Operation::Challenge { .. }
        | Operation::Tick { .. }
        | Operation::Generate { .. }
        | Operation::ReplaceExchangeKey { .. }
        | Operation::RenewKey { .. } => true,
    }
}

/// How many of the first operations fit one request; at least one.
fn fitting(envelopes: &[Envelope]) -> usize {
    let mut bytes = 0usize;
    let fits = |envelope: &&Envelope| {
        // What an envelope has beside its payload is small, except for an invitation list, which travels alone.
        bytes = bytes.saturating_add(envelope.payload.0.len()).saturating_add(1024);
        bytes <= MAX_REQUEST_BYTES / 2
    };
    envelopes.iter().take(MAX_REQUEST_OPERATIONS).take_while(fits).count().max(1)
}

fn not_on_board(operation: OperationId, started: Instant, tried: BTreeMap<usize, Tried>) -> Error {
    let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Error::NotOnBoard { operation, waited_ms, tried: into_list(tried) }
}

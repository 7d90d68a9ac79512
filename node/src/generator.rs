//! Takes part in the generation of the threshold key: follows the board, and hands in what [`Participant`] has to do next until it is on the
//! board. Every key that comes into force is taken in by its [`Adopter`].

use crate::{
    NodeError,
    adopter::Adopter,
    consensus::{Consensus, SubmitError},
    executor::Executor,
    keyring::Keyring,
    participant::Participant,
    progress::Progress,
    seeds::Seeds,
};
use rand_core::OsRng;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use wire::{GenerationPhase, GenerationStep, Operation, Transaction};

/// Between the first two times that an operation is handed in; doubled each time up to the longest. Each time it is signed anew, for a
/// mempool that has seen and lost a transaction does not take the same bytes again.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 5;
/// The same when consensus could not take it: longer by this each time, up to the longest. Nobody but this node's own engine, which is still
/// starting, is asked so often.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
const MAX_SHORT_PAUSES: u32 = 5;
/// After a failure of the disk.
const REST: Duration = Duration::from_secs(5);

/// The node's part in generations of the threshold key.
pub struct Generator {
    executor: Arc<Executor>,
    participant: Arc<Participant>,
    adopter: Adopter,
    seeds: Seeds,
}

/// What decides what this node has to do: as long as it is the same, that is the same, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    epoch: u64,
    attempt: u32,
    phase: GenerationPhase,
    /// The phase's time is over; of `Done`: nodes may ask for the next key.
    overdue: bool,
    /// The node has taken the phase's step.
    taken: bool,
    /// Shares of the next run would be sealed to another key than this node has the secret of.
    foreign: bool,
}

/// An operation on its way to the board.
struct Due {
    operation: Operation,
    /// Times that consensus has taken or refused it.
    attempts: u32,
    /// Times that it could do neither, up to the most that count.
    short_pauses: u32,
    at: Instant,
}

impl Generator {
    /// For the node that `participant` is, with the keys that are on the board already.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub async fn open(executor: Arc<Executor>, participant: Arc<Participant>, seeds: Seeds) -> Result<Self, NodeError> {
        let adopter = Adopter::new(Arc::clone(&executor), Some(Arc::clone(&participant)));
        let generator = Self { executor, participant, adopter, seeds };
        generator.adopter.adopt().await?;
        generator.show()?;
        Ok(generator)
    }

    /// The keys in force.
    pub fn keyring(&self) -> &Arc<Keyring> {
        self.adopter.keyring()
    }

    /// How far the nodes are, for people.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.adopter.progress()
    }

    /// Takes part until `stop`.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub async fn run(self, consensus: Consensus, stop: CancellationToken) -> Result<(), NodeError> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = self.take_part(&consensus) => result,
        }
    }

    async fn take_part(&self, consensus: &Consensus) -> Result<(), NodeError> {
        let mut head = self.executor.feed().head();
        let (mut known, mut due) = (None, None);
        loop {
            head.mark_unchanged();
            self.adopter.adopt().await?;
            let moment = self.moment()?;
            self.show()?;
            if known != moment {
                match self.prepare(moment).await {
                    Ok(prepared) => (known, due) = (moment, prepared),
                    Err(error) => {
                        tracing::error!(error = error.line(), "cannot take part in the generation of the key");
                        sleep(REST).await;
                        continue;
                    }
                }
            }
            let Some(next) = due.as_mut() else {
                // The executor holds the feed, so that it outlives this loop.
                let _ = head.changed().await;
                continue;
            };
            tokio::select! {
                biased;
                _ = head.changed() => continue,
                () = sleep_until(next.at) => {}
            }
            self.hand_in(next, consensus).await;
        }
    }

    fn moment(&self) -> Result<Option<Moment>, NodeError> {
        let own = usize::from(self.participant.index());
        let key = self.participant.exchange_key();
        self.executor.with_generations(|all| {
            let run = all.values().next_back()?;
            let taken = match run.phase {
                GenerationPhase::Dealing => run.dealings.get(own).is_some_and(Option::is_some),
                GenerationPhase::Checking => run.checks.get(own).is_some_and(Option::is_some),
                GenerationPhase::Answering => run.answers.get(own).is_some_and(Option::is_some),
                GenerationPhase::Endorsing => run.endorsements.iter().any(|by| usize::from(by.node) == own),
                GenerationPhase::Done => true,
            };
            Some(Moment {
                epoch: run.epoch,
                attempt: run.attempt,
                phase: run.phase,
                overdue: run.overdue,
                taken,
                foreign: run.next_exchange_keys.get(own) != Some(&key),
            })
        })
    }

    /// What has to be done at this moment.
    async fn prepare(&self, moment: Option<Moment>) -> Result<Option<Due>, NodeError> {
        let Some(moment) = moment else { return Ok(None) };
        self.seeds.keep_only(keeps_seed(&moment))?;
        let operation = self.operation(&moment).await?;
        Ok(operation.map(|operation| Due { operation, attempts: 0, short_pauses: 0, at: Instant::now() }))
    }

    async fn operation(&self, moment: &Moment) -> Result<Option<Operation>, NodeError> {
        let Moment { epoch, attempt, phase, .. } = *moment;
        if moment.foreign {
            tracing::warn!("the board has another exchange key of this node than keys.json: naming the new one");
            return Ok(Some(Operation::ReplaceExchangeKey { key: self.participant.exchange_key() }));
        }
        let has_share = self.keyring().epoch(epoch).is_some_and(|keys| keys.share.is_some());
        if phase == GenerationPhase::Done && moment.overdue && !has_share {
            tracing::warn!(epoch, "asking for a new key, for this node has no share of the newest");
            return Ok(Some(Operation::RenewKey { epoch: epoch.saturating_add(1) }));
        }
        if moment.taken {
            return Ok(None);
        }
        let seed = match phase {
            GenerationPhase::Dealing => Some(self.seeds.load_or_make(epoch, attempt)?),
            GenerationPhase::Answering => self.seeds.load(epoch, attempt)?,
            _ => None,
        };
        let Some(run) = self.executor.with_generations(|all| all.get(&epoch).cloned())? else { return Ok(None) };
        let previous = epoch.checked_sub(1).and_then(|before| self.keyring().epoch(before));
        let participant = Arc::clone(&self.participant);
        let step = spawn_blocking(move || {
            let previous = previous.as_ref().and_then(|keys| keys.share.as_ref());
            participant.due(&run, seed.as_ref(), previous, OsRng)
        });
        let step = step.await.map_err(|_| NodeError::Unusable)?;
        if let Some(step) = &step {
            report(step, moment);
        }
        Ok(step.map(|step| Operation::Generate { epoch, attempt, step: Box::new(step) }))
    }

    fn show(&self) -> Result<(), NodeError> {
        self.adopter.show(self.moment()?.is_some_and(|moment| moment.foreign))
    }

    async fn hand_in(&self, due: &mut Due, consensus: &Consensus) {
        let envelope = self.participant.sign(due.operation.clone(), OsRng);
        match consensus.submit(Transaction::inline([envelope]).encode()).await {
            Ok(()) | Err(SubmitError::AlreadyKnown) => {}
            // The board has changed meanwhile, and the next look at it says what is due then.
            Err(SubmitError::Refused { code }) => tracing::debug!(%code, "the board would not take this node's step"),
            Err(error @ (SubmitError::Full | SubmitError::Unavailable { .. })) => {
                tracing::debug!(%error, "this node's step is not taken yet");
                due.short_pauses = due.short_pauses.saturating_add(1).min(MAX_SHORT_PAUSES);
                due.at = Instant::now() + SHORT_PAUSE * due.short_pauses;
                return;
            }
        }
        due.at = Instant::now() + PAUSE * 2u32.pow(due.attempts.min(MAX_DOUBLINGS));
        due.attempts = due.attempts.saturating_add(1);
    }
}

/// The run whose seed may still be needed: a dealer answers with it until the outcome is fixed.
fn keeps_seed(moment: &Moment) -> Option<(u64, u32)> {
    (moment.phase < GenerationPhase::Done).then_some((moment.epoch, moment.attempt))
}

fn report(step: &GenerationStep, moment: &Moment) {
    let Moment { epoch, attempt, .. } = moment;
    let name = match step {
        GenerationStep::Deal { .. } => "deal",
        GenerationStep::Check { .. } => "check",
        GenerationStep::Answer { .. } => "answer",
        GenerationStep::Endorse { .. } => "endorse",
    };
    match step {
        GenerationStep::Check { accused } if !accused.is_empty() => {
            tracing::warn!(epoch, attempt, ?accused, "these nodes have dealt wrongly to this one");
        }
        GenerationStep::Answer { shares } => {
            let accusers: Vec<u16> = shares.iter().map(|share| share.recipient).collect();
            tracing::warn!(epoch, attempt, ?accusers, "these nodes accuse this one, which publishes their shares");
        }
        _ => tracing::info!(epoch, attempt, step = name, "taking part in the generation of the threshold key"),
    }
    metrics::counter!("white_city_generation_steps_total", "step" => name).increment(1);
}

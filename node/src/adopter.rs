//! Takes in every threshold key that comes into force, and shows how far the nodes are with the next one.

use crate::{
    NodeError,
    executor::Executor,
    keyring::Keyring,
    participant::{Participant, ShareError},
    progress::{self, Progress},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use wire::{Generation, GenerationPhase, api::GenerationStatus};

/// What takes in keys: of a node that takes part in making them, or of a replica that does not.
pub struct Adopter {
    executor: Arc<Executor>,
    keyring: Arc<Keyring>,
    progress: watch::Sender<Progress>,
    is_replica: bool,
}

impl Adopter {
    /// For the node that `participant` is; without one for a replica. It has no keys yet.
    pub fn new(executor: Arc<Executor>, participant: Option<Arc<Participant>>) -> Self {
        let is_replica = participant.is_none();
        Self { executor, keyring: Arc::new(Keyring::new(participant)), progress: watch::Sender::default(), is_replica }
    }

    /// The keys in force.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// How far the nodes are, for people.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Takes in what there is and what will come, until `stop`: all that a replica does with keys.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub async fn run(self, stop: CancellationToken) -> Result<(), NodeError> {
        let mut head = self.executor.feed().head();
        loop {
            head.mark_unchanged();
            self.adopt().await?;
            self.show(false)?;
            if stop.run_until_cancelled(head.changed()).await.is_none_or(|changed| changed.is_err()) {
                return Ok(());
            }
        }
    }

    /// Takes in the keys that have come into force since.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub async fn adopt(&self) -> Result<(), NodeError> {
        let known = self.keyring.newest().borrow().as_ref().map_or(0, |keys| keys.epoch);
        let new = |all: &BTreeMap<u64, Generation>| -> Vec<Generation> {
            let later = all.range(known.saturating_add(1)..).map(|(_, run)| run);
            later.filter(|run| run.phase == GenerationPhase::Done).cloned().collect()
        };
        for run in self.executor.with_generations(new)? {
            let keyring = Arc::clone(&self.keyring);
            let (epoch, nodes) = (run.epoch, run.exchange_keys.len());
            let adopted = spawn_blocking(move || keyring.adopt(&run)).await.map_err(|_| NodeError::Unusable)?;
            tracing::info!(epoch, nodes, "the threshold key is in force");
            if let Err(error) = &adopted {
                tracing::error!(epoch, %error, "this node has no share of the threshold key; {REMEDY}");
            }
            let lost = adopted.err().map(|error| explain(epoch, &error));
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; epochs stay far below 2^52")]
            metrics::gauge!("white_city_key_epoch").set(epoch as f64);
            if !self.is_replica {
                metrics::gauge!("white_city_key_share").set(if lost.is_none() { 1.0 } else { 0.0 });
            }
            self.progress.send_modify(|progress| (progress.in_force, progress.lost) = (Some(epoch), lost));
        }
        Ok(())
    }

    /// Shows how far the nodes are; `foreign` if the board has another exchange key of this node than its own.
    ///
    /// # Errors
    /// [`NodeError::Unusable`].
    pub fn show(&self, foreign: bool) -> Result<(), NodeError> {
        let newest = |all: &BTreeMap<u64, Generation>| all.values().next_back().map(GenerationStatus::of);
        let generation = self.executor.with_generations(newest)?;
        if let Some(generation) = &generation {
            for phase in &GenerationPhase::ALL {
                let now = if *phase == generation.phase { 1.0 } else { 0.0 };
                metrics::gauge!("white_city_generation_phase", "phase" => progress::name(*phase)).set(now);
            }
            metrics::gauge!("white_city_generation_attempt").set(f64::from(generation.attempt));
        }
        self.progress.send_if_modified(|progress| {
            let changed = progress.generation != generation || progress.foreign != foreign;
            (progress.generation, progress.foreign) = (generation, foreign);
            changed
        });
        Ok(())
    }
}

const REMEDY: &str = "it serves on, but the cluster withstands one fault less until the next key: an operator orders one \
with `white-city renew-key`, or this node does an hour after the newest";

fn explain(epoch: u64, error: &ShareError) -> String {
    format!("this node has no share of the key of epoch {epoch}: {error}; {REMEDY}")
}

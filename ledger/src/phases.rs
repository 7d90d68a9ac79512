//! The way of a generation from phase to phase, and its clock.

use crate::{LedgerError, State, changes::Changes, clock::Clock, output};
use wire::{
    Generation, GenerationPhase, PublicKey,
    limits::{GENERATION_PHASE_MS, RENEWAL_PAUSE_MS},
};

/// Block 1 carries the time of genesis, which may be long ago: the first clock of a chain starts with the block after it.
pub(crate) const FIRST_CLOCK_HEIGHT: u64 = 2;

/// How long a phase lasts; nodes vouch for a key as long as it takes.
pub(crate) fn duration_ms(phase: GenerationPhase) -> Option<u64> {
    match phase {
        GenerationPhase::Dealing | GenerationPhase::Checking | GenerationPhase::Answering => Some(GENERATION_PHASE_MS),
        GenerationPhase::Endorsing => None,
        GenerationPhase::Done => Some(RENEWAL_PAUSE_MS),
    }
}

/// True if a phase in which every node does something is over: all nodes have, or the deadline is past and 2f + 1 have, so that f + 1
/// honest ones are among them. With fewer it goes on, for then so few would decide that all of them might be faulty.
fn is_full<T>(generation: &Generation, steps: &[Option<T>]) -> bool {
    let quorum = generation.faults().saturating_mul(2).saturating_add(1);
    let taken = steps.iter().flatten().count();
    taken == steps.len() || (generation.overdue && taken >= quorum)
}

/// True if every dealer that has to answer has. Who has not dealt cannot be accused.
fn is_answered(generation: &Generation) -> bool {
    let mut dealers = (0..).zip(&generation.answers);
    dealers.all(|(dealer, answer)| answer.is_some() || !generation.must_answer(dealer))
}

impl State {
    /// Lets the newest generation go to its next phase if nothing is left to wait for.
    pub(crate) fn advance_generation(&mut self, height: u64, changes: &mut Changes) {
        let generation = self.generation();
        match generation.phase {
            GenerationPhase::Dealing if is_full(generation, &generation.dealings) => {
                self.enter_phase(GenerationPhase::Checking, changes);
            }
            GenerationPhase::Checking if is_full(generation, &generation.checks) => {
                if is_answered(generation) {
                    self.conclude_generation(height, changes);
                } else {
                    self.enter_phase(GenerationPhase::Answering, changes);
                }
            }
            GenerationPhase::Answering if generation.overdue || is_answered(generation) => {
                self.conclude_generation(height, changes);
            }
            GenerationPhase::Endorsing => {
                if let Some(endorsed) = self.endorsed() {
                    self.generation_mut().endorsed = Some(endorsed);
                    self.enter_phase(GenerationPhase::Done, changes);
                    self.forget_old_dealings(changes);
                }
            }
            _ => {}
        }
    }

    /// Notes that the phase's time is over.
    pub(crate) fn fire_generation(&mut self, height: u64, changes: &mut Changes) {
        let generation = self.generation_mut();
        generation.overdue = true;
        changes.generation(generation.epoch);
        self.advance_generation(height, changes);
    }

    /// Starts the phase's clock in the block after the one in which it began.
    pub(crate) fn start_generation_clock(&mut self, time_ms: u64, changes: &mut Changes) -> Option<u64> {
        let generation = self.generation_mut();
        let duration_ms = duration_ms(generation.phase);
        generation.deadline_ms = duration_ms.map(|duration_ms| time_ms.saturating_add(duration_ms));
        changes.generation(generation.epoch);
        generation.deadline_ms
    }

    /// Adds a generation that begins: the next epoch's, or the next run of the newest, in whose place it comes.
    pub(crate) fn begin_generation(&mut self, generation: Generation, changes: &mut Changes) {
        let before = self.generation().deadline_ms;
        self.clocks.remove(Clock::Generation, before);
        self.clocks.insert(Clock::Generation, None);
        changes.generation(generation.epoch);
        self.generations.insert(generation.epoch, generation);
    }

    fn conclude_generation(&mut self, height: u64, changes: &mut Changes) {
        let identities: Vec<PublicKey> = self.parameters.nodes.iter().map(|node| node.identity).collect();
        let generation = self.generation_mut();
        if output::conclude(generation, identities, height) {
            self.enter_phase(GenerationPhase::Endorsing, changes);
        } else {
            let (epoch, attempt) = (generation.epoch, generation.attempt.saturating_add(1));
            let next = Generation::new(epoch, attempt, generation.next_exchange_keys.clone());
            self.begin_generation(next, changes);
        }
    }

    fn enter_phase(&mut self, phase: GenerationPhase, changes: &mut Changes) {
        let generation = self.generation_mut();
        generation.phase = phase;
        generation.overdue = false;
        let before = generation.deadline_ms.take();
        changes.generation(generation.epoch);
        self.clocks.remove(Clock::Generation, before);
        if duration_ms(phase).is_some() {
            self.clocks.insert(Clock::Generation, None);
        }
    }

    /// Takes the stored generations, which the caller's comparison of roots proves to be right; what could not stand so at all is
    /// refused here.
    pub(crate) fn restore_generations(
        &mut self,
        generations: impl IntoIterator<Item = Generation>,
    ) -> Result<(), LedgerError> {
        for (generation, epoch) in generations.into_iter().zip(1..) {
            let follows = self.generations.values().all(|before| before.phase == GenerationPhase::Done);
            if generation.epoch != epoch || !follows || !is_sound(&generation, self.parameters.nodes.len()) {
                return Err(LedgerError::WrongGeneration { epoch: generation.epoch });
            }
            self.generations.insert(epoch, generation);
        }
        if self.generations.is_empty() {
            let keys = self.parameters.nodes.iter().map(|node| node.keys.exchange).collect();
            self.generations.insert(1, Generation::new(1, 0, keys));
        }
        let newest = self.generation();
        if duration_ms(newest.phase).is_some() && !newest.overdue {
            let deadline_ms = newest.deadline_ms;
            self.clocks.insert(Clock::Generation, deadline_ms);
        }
        Ok(())
    }
}

/// Whether the parts of a stored generation fit together.
fn is_sound(generation: &Generation, nodes: usize) -> bool {
    let Generation { exchange_keys, next_exchange_keys, dealings, checks, answers, .. } = generation;
    let lengths = [exchange_keys.len(), next_exchange_keys.len(), dealings.len(), checks.len(), answers.len()];
    let has_outcome = output::public_keys(generation).is_some() && generation.public_shares.len() == nodes;
    lengths.iter().all(|length| *length == nodes)
        && has_outcome == (generation.phase >= GenerationPhase::Endorsing)
        && generation.endorsed.is_some() == (generation.phase == GenerationPhase::Done)
        && (generation.deadline_ms.is_some() || !generation.overdue)
}

//! Follows a party through its session: shows the phases as they pass, and measures what each cost.

use crate::{
    error::Error,
    output::{Output, Progress, printable},
    report::{Phase, Report, Stopwatch},
};
use client_sdk::{Client, Event};
use serde::Serialize;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use wire::{MailboxKind, Phase as SessionPhase};

/// Names the phase of a program that ends when all have read a round.
pub(crate) type Rounds = fn(MailboxKind, u32) -> String;

/// What has passed so far. Clones follow the same party.
#[derive(Clone)]
pub(crate) struct Tracker(Arc<Shared>);

struct Shared {
    output: Output,
    progress: Progress,
    counters: Client,
    rounds: Rounds,
    state: Mutex<State>,
}

struct State {
    stopwatch: Stopwatch,
    phases: Vec<Phase>,
    /// After a solution was handed in.
    waits_for_list: bool,
    /// While the proof of work is being done.
    works: bool,
}

impl Tracker {
    /// Follows what is done with the client that comes back.
    pub(crate) fn follow(client: Client, rounds: Rounds, output: &Output) -> (Client, Self) {
        let state =
            State { stopwatch: Stopwatch::start(&client), phases: Vec::new(), waits_for_list: false, works: false };
        let shared = Shared {
            output: output.clone(),
            progress: output.progress(),
            counters: client.clone(),
            rounds,
            state: Mutex::new(state),
        };
        let tracker = Self(Arc::new(shared));
        let listening = tracker.clone();
        (client.with_progress(move |progress| listening.hear(&progress.event)), tracker)
    }

    /// What was measured.
    pub(crate) fn report(&self) -> Report {
        Report { phases: self.state().phases.clone() }
    }

    /// Writes a result while the work goes on: before a party leaves, for with its journal the result is gone.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn result(&self, text: &str, value: &impl Serialize) -> Result<(), Error> {
        let Shared { progress, output, .. } = &*self.0;
        progress.aside(|| output.result(text, value))
    }

    /// Takes the moving line away, for results follow.
    pub(crate) fn finish(&self) {
        self.0.progress.finish();
    }

    fn hear(&self, event: &Event) {
        let Shared { progress, rounds, output, .. } = &*self.0;
        match event {
            Event::Seated { index, parties } => {
                if std::mem::take(&mut self.state().waits_for_list) {
                    self.passed("waiting for the list");
                }
                progress.line(&format!("this is party {index} of {parties}"));
            }
            Event::Waiting { phase, left_ms, registrants, solvers } => {
                // While it works, that is what is shown.
                if !self.state().works {
                    progress.wait(&waiting(*phase, *registrants, *solvers), left_ms.map(Duration::from_millis));
                }
            }
            Event::Registered { registrants } => {
                self.passed("registering");
                progress.line(&format!("registered; requests so far: {registrants}"));
            }
            Event::Challenged => self.passed("waiting for the challenge"),
            Event::Solving { done, total, rate } => {
                self.state().works = done < total;
                progress.work("solving", *done, *total, *rate);
            }
            Event::Solved { solvers } => {
                self.passed("solving");
                progress.line(&format!("handed in; solutions so far: {solvers}"));
                self.state().waits_for_list = true;
            }
            Event::Channels { without } => {
                self.passed("handshake");
                if !without.is_empty() {
                    output.warn(&format!("no private channels with parties {without:?}: they gave no usable key"));
                }
            }
            Event::Written { kind, round, .. } => progress.now(&format!("{kind} round {round}: written")),
            Event::Read { kind, round, have, want } if have < want || *kind == MailboxKind::Keying => {
                progress.now(&format!("{kind} round {round}: {have} of {want} messages"));
            }
            Event::Read { kind, round, .. } => self.passed(&rounds(*kind, *round)),
            Event::Voted { abort: true } => progress.line("gave up, and said why"),
            Event::Voted { abort: false } => progress.now("said that it is done; waiting for the others"),
            Event::Ended { .. } => progress.now("the session has ended"),
            Event::Acknowledged => self.passed("ending"),
            Event::Caught { node, bad } if bad.is_lie() => {
                output.warn(&format!("{} lied, and was not believed: {bad}", printable(node)))
            }
            Event::Caught { .. } => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passed(&self, name: &str) {
        let mut state = self.state();
        let phase = state.stopwatch.lap(name, &self.0.counters);
        self.0.progress.line(&format!("{name}: {} ms", phase.end_ms.saturating_sub(phase.start_ms)));
        state.phases.push(phase);
    }
}

/// What an open session waits for.
fn waiting(phase: SessionPhase, registrants: u32, solvers: u32) -> String {
    match phase {
        SessionPhase::Registering => format!("registering: {registrants} have asked"),
        SessionPhase::Solving => format!("solving: {solvers} of {registrants} have solved"),
        other => crate::record::phase(other).to_owned(),
    }
}

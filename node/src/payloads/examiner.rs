//! Examines solutions: one thread of low priority verifies proofs of work, one after the other, each once.
//!
//! Of one key in one session a single proof is examined, so that nobody can make a node verify for ever: the work and its proof follow from
//! challenge and key, so that an honest key never has another one. What was found out is remembered until the session takes no more solutions.

use super::lanes::Lanes;
use rand_core::{OsRng, RngCore};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};
use tokio::sync::watch;
use wire::{Bytes, Code, Hash, OperationId, PublicKey, SessionId, Work};

/// How much nicer than the rest of the process the thread is to others: it gets about a tenth of a core that they want, too.
const NICENESS: i32 = 10;
/// Nobody is nicer.
const MAX_NICENESS: i32 = 19;

/// A proof of work that is to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The session,
    pub session: SessionId,
    /// the key for which the work was done,
    pub key: PublicKey,
    /// and the operation that brings it. It names the payload's digest and no signature: signed again, it is the same.
    pub operation: OperationId,
    /// What the session asks for.
    pub work: Work,
    /// c.
    pub challenge: Hash,
    /// In the form of crate `pow`.
    pub proof: Bytes,
}

/// What verifies a proof. It takes its time.
pub type Verify = Arc<dyn Fn(&Task) -> bool + Send + Sync>;

impl Task {
    /// True if the proof shows the work. First of all leaves are worked out that nobody but this node could foresee.
    pub fn verify(&self) -> bool {
        let Work { leaf_hashes, leaves_log2, openings, .. } = self.work;
        let puzzle = pow::Puzzle { challenge: self.challenge.0, key: self.key.0 };
        let parameters = pow::Parameters::new(leaf_hashes, leaves_log2, openings);
        let sample = [(); pow::SAMPLED].map(|()| OsRng.next_u32());
        parameters.is_ok_and(|parameters| pow::verify_sampled(&parameters, &puzzle, &self.proof.0, sample).is_ok())
    }
}

/// The way to the thread, which ends with this.
pub(crate) struct Examiner {
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Told when the queue is no longer empty, or closed.
    changed: Condvar,
}

type Answer = Option<Result<(), Code>>;
type Waiting = (Task, watch::Sender<Answer>);

struct Queue {
    lanes: Lanes<Waiting>,
    /// The one proof of each key in each session.
    attempts: BTreeMap<SessionId, BTreeMap<PublicKey, Attempt>>,
    is_closed: bool,
}

/// The proof of one key in one session, which an operation has brought.
struct Attempt {
    operation: OperationId,
    state: State,
}

enum State {
    Right,
    Wrong,
    /// It is being examined, or waits for it.
    Running(watch::Receiver<Answer>),
}

impl Examiner {
    /// Starts the thread. Each of `gateways` has its own part of the queue.
    ///
    /// # Errors
    /// Those of the operating system, if it has no thread left.
    pub(crate) fn start(gateways: usize, verify: Verify) -> std::io::Result<Self> {
        let queue = Queue { lanes: Lanes::new(gateways), attempts: BTreeMap::new(), is_closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() });
        let at_work = Arc::clone(&shared);
        let thread = thread::Builder::new().name("examiner".to_owned()).spawn(move || at_work.work(&verify))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until it is known whether a proof that `gateway` brings shows the work.
    ///
    /// # Errors
    /// [`Code::BadSolution`]; [`Code::QuotaExceeded`] if the key has brought another one; [`Code::Overloaded`] if too many wait;
    /// [`Code::SolvingClosed`]; [`Code::Unavailable`] if the node is stopping.
    pub(crate) async fn examine(&self, gateway: usize, task: Task) -> Result<(), Code> {
        let Some(mut answer) = self.shared.ask(gateway, task)? else { return Ok(()) };
        let answered = answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|answer| *answer).unwrap_or(Err(Code::Unavailable))
    }

    /// A solution that was found right before this process started.
    pub(crate) fn remember(&self, session: SessionId, key: PublicKey, operation: OperationId) {
        let mut queue = self.shared.queue();
        queue.attempts.entry(session).or_default().insert(key, Attempt { operation, state: State::Right });
    }

    /// True if the solution was found right.
    pub(crate) fn is_right(&self, session: &SessionId, key: &PublicKey, operation: &OperationId) -> bool {
        let queue = self.shared.queue();
        let attempt = queue.attempts.get(session).and_then(|attempts| attempts.get(key));
        attempt.is_some_and(|attempt| attempt.operation == *operation && matches!(attempt.state, State::Right))
    }

    /// Forgets sessions that take no more solutions.
    pub(crate) fn retain(&self, is_solving: impl Fn(&SessionId) -> bool) {
        let mut queue = self.shared.queue();
        let before = queue.attempts.len();
        queue.attempts.retain(|session, _| is_solving(session));
        if queue.attempts.len() == before {
            return;
        }
        let Queue { lanes, attempts, .. } = &mut *queue;
        let closed = lanes.take_unless(|session| attempts.contains_key(session));
        gauge(&queue.lanes);
        drop(queue);
        for (_, answer) in closed {
            answer.send_replace(Some(Err(Code::SolvingClosed)));
        }
    }

    /// Ends the thread, after the proof that it is at.
    pub(crate) async fn close(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Examiner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a task unless its outcome is known or under way; `None` if the proof is known to be right.
    fn ask(&self, gateway: usize, task: Task) -> Result<Option<watch::Receiver<Answer>>, Code> {
        let mut queue = self.queue();
        if queue.is_closed {
            return Err(Code::Unavailable);
        }
        let (session, key, operation, bytes) = (task.session, task.key, task.operation, task.proof.0.len());
        let attempts = queue.attempts.entry(session).or_default();
        match attempts.get(&key) {
            Some(Attempt { operation: known, .. }) if *known != operation => return Err(Code::QuotaExceeded),
            Some(Attempt { state: State::Right, .. }) => return Ok(None),
            Some(Attempt { state: State::Wrong, .. }) => return Err(Code::BadSolution),
            Some(Attempt { state: State::Running(answer), .. }) => return Ok(Some(answer.clone())),
            None => {}
        }
        let (sender, answer) = watch::channel(None);
        attempts.insert(key, Attempt { operation, state: State::Running(answer.clone()) });
        let taken = queue.lanes.push(gateway, session, (task, sender), bytes);
        for (task, _) in &taken {
            queue.forget(task);
        }
        gauge(&queue.lanes);
        drop(queue);
        for (_, answer) in taken {
            answer.send_replace(Some(Err(Code::Overloaded)));
        }
        self.changed.notify_one();
        Ok(Some(answer))
    }

    fn work(&self, verify: &Verify) {
        // Whoever waits is told when the thread has ended, for whatever reason.
        let _guard = Closing(self);
        lower_priority();
        while let Some((task, answer)) = self.next() {
            let started = Instant::now();
            let is_sound = verify(&task);
            metrics::histogram!("white_city_verification_seconds").record(started.elapsed());
            let verdict = if is_sound { "right" } else { "wrong" };
            metrics::counter!("white_city_solutions_verified_total", "verdict" => verdict).increment(1);
            self.judge(&task, is_sound);
            answer.send_replace(Some(if is_sound { Ok(()) } else { Err(Code::BadSolution) }));
        }
    }

    /// Waits for the next task; `None` once the queue is closed.
    fn next(&self) -> Option<Waiting> {
        let idle = |queue: &mut Queue| !queue.is_closed && queue.lanes.waiting() == 0;
        let mut queue = self.changed.wait_while(self.queue(), idle).unwrap_or_else(PoisonError::into_inner);
        let next = queue.lanes.pop();
        gauge(&queue.lanes);
        next
    }

    fn judge(&self, task: &Task, is_sound: bool) {
        let mut queue = self.queue();
        let attempts = queue.attempts.get_mut(&task.session);
        // The session may have closed meanwhile.
        let Some(attempt) = attempts.and_then(|attempts| attempts.get_mut(&task.key)) else { return };
        attempt.state = if is_sound { State::Right } else { State::Wrong };
    }

    fn close(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        // With them go those who would tell, and whoever waits for them hears that.
        let waiting = queue.lanes.take_unless(|_| false);
        drop(queue);
        drop(waiting);
        self.changed.notify_all();
    }
}

impl Queue {
    /// What was not examined may come again.
    fn forget(&mut self, task: &Task) {
        if let Some(attempts) = self.attempts.get_mut(&task.session) {
            attempts.remove(&task.key);
        }
    }
}

struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn gauge(lanes: &Lanes<Waiting>) {
    metrics::gauge!("white_city_verification_queue").set(u32::try_from(lanes.waiting()).unwrap_or(u32::MAX));
}

/// Linux has a priority for each thread; elsewhere it is the process's, which stays as it is.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        let niceness = |own: i32| own.saturating_add(NICENESS).min(MAX_NICENESS);
        let lowered = rustix::process::getpriority_process(None)
            .and_then(|own| rustix::process::setpriority_process(None, niceness(own)));
        if let Err(error) = lowered {
            tracing::warn!(%error, "proofs of work are verified at the priority of everything else");
        }
    }
}

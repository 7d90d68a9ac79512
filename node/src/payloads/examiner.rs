//! Examines solutions: one thread of low priority verifies proofs of work, one after the other, each once.
//!
//! Of one key in one session one proof is examined at a time, and a few in all, so that nobody can make a node verify for ever. What was
//! found out is remembered until the session takes no more solutions.

use super::lanes::Lanes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};
use tokio::sync::watch;
use wire::{Bytes, Code, Hash, OperationId, PublicKey, SessionId, Work};

/// So many different solutions of one key in one session are looked at.
pub const MAX_ATTEMPTS: usize = 4;
/// How nice the thread is to others: it gets about a tenth of a core that they want, too.
const NICENESS: i32 = 10;

/// A proof of work that is to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The session,
    pub session: SessionId,
    /// the key for which the work was done,
    pub key: PublicKey,
    /// and the operation that brings it.
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
    /// True if the proof shows the work.
    pub fn verify(&self) -> bool {
        let Work { leaf_hashes, leaves_log2, openings, .. } = self.work;
        let puzzle = pow::Puzzle { challenge: self.challenge.0, key: self.key.0 };
        let parameters = pow::Parameters::new(leaf_hashes, leaves_log2, openings);
        parameters.is_ok_and(|parameters| pow::verify(&parameters, &puzzle, &self.proof.0).is_ok())
    }
}

/// The way to the thread, which ends with this.
pub(crate) struct Examiner {
    office: Arc<Office>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Office {
    desk: Mutex<Desk>,
    /// Told when there is something to do.
    bell: Condvar,
}

type Answer = Option<Result<(), Code>>;

struct Desk {
    lanes: Lanes<(Task, watch::Sender<Answer>)>,
    dossiers: BTreeMap<SessionId, BTreeMap<PublicKey, Dossier>>,
    is_closed: bool,
}

/// What is known of the solutions of one key in one session.
#[derive(Default)]
struct Dossier {
    judged: BTreeMap<OperationId, bool>,
    /// What is being examined, or waits for it.
    running: Option<(OperationId, watch::Receiver<Answer>)>,
}

impl Examiner {
    /// Starts the thread. There is a lane for each of `gateways`.
    ///
    /// # Errors
    /// Those of the operating system, if it has no thread left.
    pub(crate) fn start(gateways: usize, verify: Verify) -> std::io::Result<Self> {
        let desk = Desk { lanes: Lanes::new(gateways), dossiers: BTreeMap::new(), is_closed: false };
        let office = Arc::new(Office { desk: Mutex::new(desk), bell: Condvar::new() });
        let at_work = Arc::clone(&office);
        let thread = thread::Builder::new().name("examiner".to_owned()).spawn(move || at_work.work(&verify))?;
        Ok(Self { office, thread: Mutex::new(Some(thread)) })
    }

    /// Waits until it is known whether a proof that `gateway` brings shows the work.
    ///
    /// # Errors
    /// [`Code::BadSolution`]; [`Code::QuotaExceeded`] if the key has brought too many; [`Code::Overloaded`] if too many wait, or another one of
    /// the same key; [`Code::SolvingClosed`]; [`Code::Unavailable`] if the node is stopping.
    pub(crate) async fn examine(&self, gateway: usize, task: Task) -> Result<(), Code> {
        let Some(mut answer) = self.office.ask(gateway, task)? else { return Ok(()) };
        let answered = answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|answer| *answer).unwrap_or(Err(Code::Unavailable))
    }

    /// A solution that was found right before this process started.
    pub(crate) fn remember(&self, session: SessionId, key: PublicKey, operation: OperationId) {
        let mut desk = self.office.desk();
        desk.dossiers.entry(session).or_default().entry(key).or_default().judged.insert(operation, true);
    }

    /// True if the solution was found right.
    pub(crate) fn is_right(&self, session: &SessionId, key: &PublicKey, operation: &OperationId) -> bool {
        let desk = self.office.desk();
        let dossier = desk.dossiers.get(session).and_then(|dossiers| dossiers.get(key));
        dossier.is_some_and(|dossier| dossier.judged.get(operation) == Some(&true))
    }

    /// Forgets sessions that take no more solutions.
    pub(crate) fn retain(&self, is_solving: impl Fn(&SessionId) -> bool) {
        let mut desk = self.office.desk();
        let before = desk.dossiers.len();
        desk.dossiers.retain(|session, _| is_solving(session));
        if desk.dossiers.len() == before {
            return;
        }
        let Desk { lanes, dossiers, .. } = &mut *desk;
        let closed = lanes.take_unless(|(task, _)| dossiers.contains_key(&task.session));
        gauge(&desk.lanes);
        drop(desk);
        for (_, answer) in closed {
            answer.send_replace(Some(Err(Code::SolvingClosed)));
        }
    }

    /// Ends the thread, after the proof that it is at.
    pub(crate) async fn close(&self) {
        self.office.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Examiner {
    fn drop(&mut self) {
        self.office.close();
    }
}

impl Office {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a task unless its outcome is known or under way; `None` if the proof is known to be right.
    fn ask(&self, gateway: usize, task: Task) -> Result<Option<watch::Receiver<Answer>>, Code> {
        let mut desk = self.desk();
        let Desk { lanes, dossiers, is_closed } = &mut *desk;
        if *is_closed {
            return Err(Code::Unavailable);
        }
        let dossier = dossiers.entry(task.session).or_default().entry(task.key).or_default();
        match (dossier.judged.get(&task.operation), &dossier.running) {
            (Some(true), _) => return Ok(None),
            (Some(false), _) => return Err(Code::BadSolution),
            (None, Some((operation, answer))) if *operation == task.operation => return Ok(Some(answer.clone())),
            (None, Some(_)) => return Err(Code::Overloaded),
            (None, None) if dossier.judged.len() >= MAX_ATTEMPTS => return Err(Code::QuotaExceeded),
            (None, None) => {}
        }
        let (teller, answer) = watch::channel(None);
        let (operation, bytes) = (task.operation, task.proof.0.len());
        if !lanes.push(gateway, (task, teller), bytes) {
            return Err(Code::Overloaded);
        }
        dossier.running = Some((operation, answer.clone()));
        gauge(lanes);
        self.bell.notify_one();
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

    /// Waits for the next task; `None` once the office is closed.
    fn next(&self) -> Option<(Task, watch::Sender<Answer>)> {
        let idle = |desk: &mut Desk| !desk.is_closed && desk.lanes.waiting() == 0;
        let mut desk = self.bell.wait_while(self.desk(), idle).unwrap_or_else(PoisonError::into_inner);
        let next = desk.lanes.pop();
        gauge(&desk.lanes);
        next
    }

    fn judge(&self, task: &Task, is_sound: bool) {
        let mut desk = self.desk();
        let dossiers = desk.dossiers.get_mut(&task.session);
        // The session may have closed meanwhile.
        let Some(dossier) = dossiers.and_then(|dossiers| dossiers.get_mut(&task.key)) else { return };
        dossier.judged.insert(task.operation, is_sound);
        dossier.running = None;
    }

    fn close(&self) {
        let mut desk = self.desk();
        desk.is_closed = true;
        // With them go those who would tell, and whoever waits for them hears that.
        let waiting = desk.lanes.take_unless(|_| false);
        drop(desk);
        drop(waiting);
        self.bell.notify_all();
    }
}

struct Closing<'a>(&'a Office);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn gauge(lanes: &Lanes<(Task, watch::Sender<Answer>)>) {
    metrics::gauge!("white_city_verification_queue").set(u32::try_from(lanes.waiting()).unwrap_or(u32::MAX));
}

/// Linux has a priority for each thread; elsewhere it is the process's, which stays as it is.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "proofs of work are verified at the priority of everything else");
    }
}

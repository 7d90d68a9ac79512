//! Doing the proof of work of an open session: on threads of its own, given up when nobody waits for it any more, and gone on with after a
//! restart.

use crate::{Client, Error, NotAdmitted, progress::Event, state::State};
use borsh::{BorshDeserialize, BorshSerialize};
use pow::{Parameters, Puzzle, Solver, Terms, hashcash};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, spawn_blocking};
use wire::{Bytes, Hash, OpenTerms, SessionId};

/// What is done is brought to the disk so often.
pub(crate) const SAVE: Duration = Duration::from_secs(1);
/// Progress is told no more often than this.
const TELL: Duration = Duration::from_millis(100);
/// A device's speed is measured for about this long.
const CALIBRATION: Duration = Duration::from_millis(300);
/// Logarithm of the leaves that are worked out at least when it is measured, on each thread.
const CALIBRATION_LEAVES_LOG2: u8 = 2;

/// The proof of work that the terms ask for.
///
/// # Errors
/// [`NotAdmitted::UnknownWork`].
pub(crate) fn terms(terms: &OpenTerms) -> Result<Terms, NotAdmitted> {
    let unknown = |reason: String| NotAdmitted::UnknownWork { reason };
    let wire::Work { version, leaf_hashes, leaves_log2, openings } = terms.work;
    if version != pow::VERSION {
        return Err(unknown(format!("its leaf function is of version {version}, not {}", pow::VERSION)));
    }
    let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).map_err(|error| unknown(error.to_string()))?;
    Ok(Terms {
        parameters,
        hash_rate: terms.hash_rate,
        slack_ms: terms.slack_ms,
        head_start_ms: terms.head_start_ms,
        adversary: terms.adversary,
        soundness_bits: terms.soundness_bits,
    })
}

/// So many threads, or one for each core.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.unwrap_or_else(all).get()
}

/// Ends work on other threads when nobody waits for it any more.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What devices do on so many threads, in hashes a second: measured once, for two measurements at once would disturb each other.
pub(crate) type Speeds = tokio::sync::Mutex<BTreeMap<usize, u64>>;

impl Client {
    /// Hashes a second that this device does on so many threads, in leaves like those of `parameters` when it is measured first.
    pub(crate) async fn speed(&self, parameters: &Parameters, threads: usize) -> u64 {
        let mut speeds = self.shared.speeds.lock().await;
        if let Some(known) = speeds.get(&threads) {
            return *known;
        }
        let rate = calibrate(parameters, threads).await;
        speeds.insert(threads, rate);
        rate
    }
}

/// Hashes a second that this device does in leaves like those of `parameters`, on so many threads. Takes about a third of a second, or as
/// long as a few leaves take.
async fn calibrate(parameters: &Parameters, threads: usize) -> u64 {
    let (leaf_hashes, stop) = (parameters.leaf_hashes(), Stop::default());
    let cancel = Arc::clone(&stop.0);
    let measured = spawn_blocking(move || {
        let on_each = u8::try_from(threads.max(1).ilog2()).unwrap_or(0).saturating_add(1);
        let mut leaves_log2 = CALIBRATION_LEAVES_LOG2.saturating_add(on_each).min(pow::MAX_LEAVES_LOG2);
        loop {
            let sample = Parameters::new(leaf_hashes, leaves_log2, 1);
            let Ok(sample) = sample else { return None };
            let started = Instant::now();
            let puzzle = Puzzle { challenge: [0; 32], key: [leaves_log2; 32] };
            pow::solve(&sample, &puzzle, threads, &|_| {}, &cancel).ok()?;
            let took = started.elapsed();
            if took >= CALIBRATION || leaves_log2 >= pow::MAX_LEAVES_LOG2 {
                return Some(per_second(sample.total_hashes(), took));
            }
            let short = CALIBRATION.as_nanos().checked_div(took.as_nanos().max(1)).unwrap_or(1).max(1);
            leaves_log2 = leaves_log2.saturating_add(u8::try_from(short.ilog2()).unwrap_or(1).max(1));
            leaves_log2 = leaves_log2.min(pow::MAX_LEAVES_LOG2);
        }
    });
    // That it cannot be measured says nothing against the device.
    measured.await.ok().flatten().unwrap_or(u64::MAX)
}

fn per_second(hashes: u64, took: Duration) -> u64 {
    let rate = u128::from(hashes) * 1_000_000_000 / took.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A stamp's nonce; `None` only if none exists.
pub(crate) async fn mint(context: Hash, bits: u8, start: u64) -> Option<u64> {
    let stop = Stop::default();
    let cancel = Arc::clone(&stop.0);
    let minted = spawn_blocking(move || hashcash::mint(&context.0, bits, start, &|_| {}, &cancel));
    minted.await.ok().flatten()
}

/// What lies on the disk of a proof of work: its puzzle, and how far it has come.
#[derive(BorshDeserialize, BorshSerialize)]
struct Stored {
    challenge: Hash,
    /// True for the whole proof, false for a checkpoint.
    whole: bool,
    bytes: Vec<u8>,
}

/// One party's proof of work for one session.
pub(crate) struct Work {
    session: SessionId,
    parameters: Parameters,
    puzzle: Puzzle,
    state: Option<State>,
}

/// Told of every step: the session and what happened.
pub(crate) type Tell = Arc<dyn Fn(SessionId, Event) + Send + Sync>;

impl Work {
    pub(crate) fn new(session: SessionId, parameters: Parameters, puzzle: Puzzle, state: Option<State>) -> Self {
        Self { session, parameters, puzzle, state }
    }

    /// The whole proof, if it is on the disk.
    pub(crate) fn finished(&self) -> Result<Option<Bytes>, Error> {
        let whole = self.stored()?.filter(|stored| stored.whole).map(|stored| stored.bytes);
        let good = |proof: &Vec<u8>| pow::verify(&self.parameters, &self.puzzle, proof).is_ok();
        Ok(whole.filter(good).map(Bytes))
    }

    /// What is on the disk for this puzzle. What is there for another one, or is damaged, is worth nothing any more.
    fn stored(&self) -> Result<Option<Stored>, Error> {
        let bytes = self.state.as_ref().map(|state| state.read()).transpose();
        let bytes = match bytes {
            Err(Error::FileFormat { .. }) => return Ok(None),
            bytes => bytes?.flatten(),
        };
        let stored = bytes.and_then(|bytes| Stored::try_from_slice(&bytes).ok());
        Ok(stored.filter(|stored| stored.challenge.0 == self.puzzle.challenge))
    }

    fn save(&self, whole: bool, bytes: Vec<u8>) -> Result<(), Error> {
        let Some(state) = &self.state else { return Ok(()) };
        let stored = Stored { challenge: Hash(self.puzzle.challenge), whole, bytes };
        let bytes = borsh::to_vec(&stored).expect("borsh to a vector fails only for collections beyond u32 lengths");
        state.replace(&bytes)
    }

    /// A solver that goes on where the one before was stopped, if that is on the disk.
    pub(crate) fn solver(&self) -> Result<Arc<Solver>, Error> {
        let checkpoint = self.stored()?.filter(|stored| !stored.whole);
        let resumed = checkpoint.and_then(|stored| Solver::resume(self.parameters, self.puzzle, &stored.bytes).ok());
        Ok(Arc::new(resumed.unwrap_or_else(|| Solver::new(self.parameters, self.puzzle))))
    }

    /// Solves, and brings what is done to the disk about every second. Dropping the future ends the work.
    pub(crate) async fn solve(
        self: Arc<Self>,
        solver: Arc<Solver>,
        threads: usize,
        tell: Tell,
    ) -> Result<Bytes, Error> {
        let stop = Stop::default();
        let mut solving = self.start(Arc::clone(&solver), threads, tell, &stop);
        loop {
            tokio::select! {
                solved = &mut solving => {
                    let proof = solved.ok().flatten().ok_or(Error::OutOfTurn { reason: "the work was given up" })?;
                    self.save(true, proof.clone())?;
                    return Ok(Bytes(proof));
                }
                () = tokio::time::sleep(SAVE), if self.state.is_some() => {
                    let (work, solver) = (Arc::clone(&self), Arc::clone(&solver));
                    // What cannot be saved now may be in a second; the work goes on without.
                    drop(spawn_blocking(move || work.save(false, solver.checkpoint())).await);
                }
            }
        }
    }

    fn start(&self, solver: Arc<Solver>, threads: usize, tell: Tell, stop: &Stop) -> JoinHandle<Option<Vec<u8>>> {
        let (cancel, session, total) = (Arc::clone(&stop.0), self.session, self.parameters.total_hashes());
        spawn_blocking(move || {
            let (started, before) = (Instant::now(), solver.done_hashes());
            let told = Mutex::new(None);
            let progress = |done: u64| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if done < total && told.is_some_and(|told: Instant| told.elapsed() < TELL) {
                    return;
                }
                *told = Some(Instant::now());
                let rate = per_second(done.saturating_sub(before), started.elapsed());
                tell(session, Event::Solving { done, total, rate });
            };
            solver.run(threads, &progress, &cancel).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use tempfile::TempDir;
    use wire::ChainId;
    use zeroize::Zeroizing;

    fn work(folder: &TempDir, challenge: u8) -> Arc<Work> {
        let identity = Identity::from_seed(Zeroizing::new([1; 32]));
        let chain: ChainId = "here".parse().unwrap();
        let session = SessionId([2; 32]);
        let puzzle = Puzzle { challenge: [challenge; 32], key: identity.public().0 };
        let state = State::new(folder.path(), &chain, &session, &identity);
        Arc::new(Work::new(session, Parameters::new(512, 12, 10).unwrap(), puzzle, Some(state)))
    }

    fn silent() -> Tell {
        Arc::new(|_, _| {})
    }

    #[tokio::test]
    async fn work_that_was_given_up_is_gone_on_with() {
        let folder = TempDir::new().unwrap();
        let whole = work(&folder, 1);
        let solver = whole.solver().unwrap();
        let seen = Arc::new(tokio::sync::Notify::new());
        let tell: Tell = {
            let seen = Arc::clone(&seen);
            Arc::new(move |_, _| seen.notify_one())
        };
        tokio::select! {
            proof = Arc::clone(&whole).solve(Arc::clone(&solver), 1, tell) => panic!("{proof:?} came too soon"),
            () = seen.notified() => {}
        }
        whole.save(false, solver.checkpoint()).unwrap();
        let done = work(&folder, 1).solver().unwrap().done_hashes();
        assert!(done > 0 && done < whole.parameters.total_hashes());
        assert_eq!(work(&folder, 9).solver().unwrap().done_hashes(), 0, "another challenge is other work");
        let again = work(&folder, 1);
        assert_eq!(again.finished().unwrap(), None);
        let solver = again.solver().unwrap();
        let proof = Arc::clone(&again).solve(solver, 2, silent()).await.unwrap();
        pow::verify(&again.parameters, &again.puzzle, &proof.0).unwrap();
        assert_eq!(work(&folder, 1).finished().unwrap(), Some(proof), "a whole proof is not worked out again");
        assert_eq!(work(&folder, 9).finished().unwrap(), None);
    }

    #[tokio::test]
    async fn a_devices_speed_can_be_measured() {
        let rate = calibrate(&Parameters::new(64, 8, 4).unwrap(), 1).await;
        assert!((1_000..1 << 40).contains(&rate), "{rate}");
    }

    #[tokio::test]
    async fn a_stamp_is_minted() {
        let nonce = mint(Hash([3; 32]), 8, 77).await.unwrap();
        assert!(nonce >= 77 && hashcash::check(&[3; 32], 8, nonce));
    }
}

//! Parsing and checking requests, a few at a time: parsed, a body of a few megabytes can take thirty times as much.

use crate::problem::Failure;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wire::Code;

/// Requests that are parsed and checked at the same time; further ones wait.
const AT_ONCE: usize = 4;

/// The places for requests that are being checked.
pub struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Checks {
    /// Does `work` on a thread that may take its time, once there is a place.
    ///
    /// # Errors
    /// [`Code::Internal`] if `work` panics, and what it answers itself.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Failure::from(Code::Unavailable))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Also if nobody waits for the answer any more, the place is free no sooner.
            drop(place);
            done
        });
        done.await.map_err(|_| Failure::from(Code::Internal))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread::sleep,
        time::Duration,
    };

    #[tokio::test]
    async fn however_many_come_a_few_are_checked_at_a_time() {
        static WORKING: AtomicUsize = AtomicUsize::new(0);
        let checks = Checks::default();
        let work = || {
            let working = WORKING.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_millis(20));
            WORKING.fetch_sub(1, Ordering::SeqCst);
            Ok(working)
        };
        let most = futures::future::try_join_all((0..5 * AT_ONCE).map(|_| checks.run(work))).await.unwrap();
        assert!(most.iter().all(|working| *working <= AT_ONCE), "{most:?}");
        assert_eq!(checks.run(|| Err::<(), _>(Code::Malformed.into())).await.unwrap_err().code, Code::Malformed);
        assert_eq!(checks.run(|| -> Result<(), Failure> { panic!("at work") }).await.unwrap_err().code, Code::Internal);
        assert_eq!(checks.0.available_permits(), AT_ONCE);
    }
}

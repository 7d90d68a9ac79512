//! Numbered points at which a test lets the process die, as at a power failure. Without the feature `crash-points` there are none.

#[cfg(feature = "crash-points")]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "crash-points")]
static PASSED: AtomicU64 = AtomicU64::new(0);
#[cfg(feature = "crash-points")]
static LAST: AtomicU64 = AtomicU64::new(u64::MAX);

/// Lets this process abort, without any clean-up, at its `k`th point, from 1.
#[cfg(feature = "crash-points")]
pub fn abort_at(k: u64) {
    LAST.store(k, Ordering::SeqCst);
}

/// How many points this process has passed.
#[cfg(feature = "crash-points")]
pub fn points_passed() -> u64 {
    PASSED.load(Ordering::SeqCst)
}

/// One of the points.
#[inline]
pub(crate) fn point() {
    #[cfg(feature = "crash-points")]
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == LAST.load(Ordering::SeqCst) {
        std::process::abort();
    }
}

/// What is written at once: where there are crash points in two pieces, so that a test sees a record that was not written to its end.
pub(crate) fn torn(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let middle = if cfg!(feature = "crash-points") { bytes.len() / 2 } else { bytes.len() };
    let (first, second) = bytes.split_at_checked(middle).unwrap_or((bytes, &[]));
    [first, second].into_iter().filter(|part| !part.is_empty())
}

//! Sharing out a list of pieces of work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Calls `work` with each of `pieces`, in about their order, until `cancel` is true.
pub(crate) fn share(threads: usize, pieces: &[u32], cancel: &AtomicBool, work: &(dyn Fn(u32) + Sync)) {
    let next = AtomicUsize::new(0);
    run(threads.min(pieces.len()), &|| {
        while !cancel.load(Ordering::Relaxed) {
            let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            work(*piece);
        }
    });
}

/// Runs `work` on so many threads, the caller's among them. One that cannot be started leaves its part to the others.
#[cfg(feature = "threads")]
fn run(threads: usize, work: &(dyn Fn() + Sync)) {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let started = std::thread::Builder::new().spawn_scoped(scope, work);
            if started.is_err() {
                break;
            }
        }
        work();
    });
}

#[cfg(not(feature = "threads"))]
fn run(_: usize, work: &(dyn Fn() + Sync)) {
    work();
}

//! `white-city-node`: runs a node, makes the keys of clusters, asks nodes how they are.

use mimalloc::MiMalloc;
use std::process::ExitCode;
use tokio::runtime::Builder;

/// Answers and deliveries are many short pieces on many threads: the system's allocator took a seventh of a node's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads that encode answers and check proofs. There is nothing else for them to wait for than the processor, so that more would only take memory.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build();
    runtime.expect("the system has threads to start").block_on(node::command::main())
}

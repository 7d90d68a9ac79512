//! Where cargo put our commands, and ports that nobody listens on.

use std::{
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

/// The path of one of our commands, for example `white-city-node`, in the profile that the calling test was built in.
///
/// # Panics
/// If it was not built: `cargo test` builds commands only for tests of their own package.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().find(|folder| folder.join("deps").is_dir()).expect("cargo puts tests into `deps`");
    let path = profile.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built: run `cargo build -p node -p cli` first", path.display());
    path
}

/// `count` different ports of the loopback interface on which nobody listens now.
///
/// # Panics
/// If the system has no more ports.
pub fn free_ports(count: usize) -> Vec<u16> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listeners: Vec<TcpListener> = (0..count).map(|_| listen()).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("a bound address").port()).collect()
}

/// Below the range from which systems give ports to whoever asks for any.
const BASES: RangeInclusive<u16> = 10_000..=31_000;

/// A first port for `white-city-node cluster create --base-port` such that nobody listens on any that `nodes` nodes take.
///
/// # Panics
/// If there is none.
pub fn free_base(nodes: usize) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests in other processes start elsewhere.
    let start = (std::process::id() % 37) * 500;
    let bases = (0..40).map(|_| NEXT.fetch_add(1, Ordering::Relaxed)).map(|attempt| {
        let spread = u32::from(BASES.end() - BASES.start());
        BASES.start() + u16::try_from((start + u32::from(attempt) * 400) % spread).expect("less than the range")
    });
    let count = u16::try_from(nodes).expect("few nodes");
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let all_free = |base: &u16| [0, 100, 200, 300].into_iter().all(|part| (0..count).all(|i| is_free(base + part + i)));
    bases.into_iter().find(all_free).expect("a free range of ports")
}

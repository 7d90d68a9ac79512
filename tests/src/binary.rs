//! Where cargo put our commands, and ports that nobody listens on.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
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

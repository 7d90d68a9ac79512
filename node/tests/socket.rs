//! The protobuf server as a client sees it: answers in order, bad clients cut off alone, a clean stop.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use node::socket::{MAX_CONNECTIONS, MAX_FRAME_BYTES, Server};
use prost::Message;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::mpsc,
    time::Duration,
};
use tempfile::TempDir;

#[derive(Clone, PartialEq, Message)]
struct Call {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    filling: Vec<u8>,
}

const NO_ANSWER: u64 = 1_000_000;
const PANIC: u64 = 2_000_000;

fn double(call: Call) -> Option<Call> {
    match call.number {
        NO_ANSWER => None,
        PANIC => panic!("as the test wants"),
        number => Some(Call { number: 2 * number, filling: call.filling }),
    }
}

fn start() -> (TempDir, PathBuf, Server) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server = Server::start(&path, double).unwrap();
    (folder, path, server)
}

fn connect(path: &PathBuf) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn encode(number: u64, filling: usize) -> Vec<u8> {
    Call { number, filling: vec![7; filling] }.encode_length_delimited_to_vec()
}

fn receive(stream: &mut UnixStream) -> Call {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        if byte[0] < 0x80 {
            break;
        }
    }
    let length = prost::decode_length_delimiter(bytes.as_slice()).unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Call::decode(body.as_slice()).unwrap()
}

fn ask(stream: &mut UnixStream, number: u64) -> u64 {
    stream.write_all(&encode(number, 3)).unwrap();
    receive(stream).number
}

fn is_closed(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_are_answered_in_order_however_they_arrive() {
    let (_folder, path, _server) = start();
    let mut stream = connect(&path);
    let together: Vec<u8> = (1..=100).flat_map(|number| encode(number, 5)).collect();
    stream.write_all(&together).unwrap();
    for number in 1..=100 {
        assert_eq!(receive(&mut stream).number, 2 * number);
    }
    for byte in encode(7, 300) {
        stream.write_all(&[byte]).unwrap();
    }
    let answer = receive(&mut stream);
    assert_eq!((answer.number, answer.filling.len()), (14, 300));
    stream.write_all(&encode(8, 3 * 1024 * 1024)).unwrap();
    assert_eq!(receive(&mut stream).filling.len(), 3 * 1024 * 1024);
}

#[test]
fn a_bad_client_is_cut_off_and_the_others_go_on() {
    let (_folder, path, _server) = start();
    let mut good = connect(&path);
    assert_eq!(ask(&mut good, 1), 2);
    let mut too_long = Vec::new();
    prost::encode_length_delimiter(MAX_FRAME_BYTES + 1, &mut too_long).unwrap();
    let bad = [too_long, vec![0xff; 16], vec![3, 0xff, 0xff, 0xff], encode(NO_ANSWER, 0), encode(PANIC, 0)];
    for bytes in bad {
        let mut stream = connect(&path);
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(&mut stream), "{bytes:?}");
        assert_eq!(ask(&mut good, 3), 6);
    }
}

#[test]
fn connections_are_bounded_and_a_closed_one_makes_room() {
    let (_folder, path, _server) = start();
    let mut streams: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connect(&path)).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, 2), 4);
    }
    assert!(is_closed(&mut connect(&path)), "one too many");
    drop(streams.pop());
    let makes_room = (0..1000).any(|_| {
        let mut stream = connect(&path);
        let _ = stream.write_all(&encode(5, 0));
        let served = !is_closed(&mut stream);
        if !served {
            std::thread::yield_now();
        }
        served
    });
    assert!(makes_room);
}

#[test]
fn stopping_closes_everything_and_the_path_can_be_used_again() {
    let (_folder, path, mut server) = start();
    let mut stream = connect(&path);
    assert_eq!(ask(&mut stream, 1), 2);
    let (stopped, done) = mpsc::channel();
    std::thread::spawn(move || {
        server.stop();
        stopped.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(10)).expect("an idle connection must not hold up the stop");
    assert!(is_closed(&mut stream));
    assert!(!path.exists());
    std::fs::write(&path, "left by a process that was killed").unwrap();
    let _server = Server::start(&path, double).unwrap();
    assert_eq!(ask(&mut connect(&path), 4), 8);
}

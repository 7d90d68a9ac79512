//! One ABCI call as CometBFT makes it, a request and a flush in one write, answered by our server and by `tendermint-abci`'s.

use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};
use tendermint_abci::{Application, ServerBuilder};
use tendermint_proto::v0_38::abci::{Request, RequestCheckTx, RequestFlush, Response, request::Value};

/// Does nothing: what is measured is the way there and back.
#[derive(Clone)]
struct Idle;

impl Application for Idle {}

fn call() -> Vec<u8> {
    let request = |value| Request { value: Some(value) }.encode_length_delimited_to_vec();
    let check = Value::CheckTx(RequestCheckTx { tx: vec![7; 300].into(), r#type: 0 });
    [request(check), request(Value::Flush(RequestFlush {}))].concat()
}

/// Writes the call and reads until both answers are there.
fn exchange<S: Read + Write>(stream: &mut S, call: &[u8], answers: &mut Vec<u8>) {
    stream.write_all(call).expect("the server is there");
    answers.clear();
    let mut chunk = [0; 4096];
    loop {
        let mut rest = answers.as_slice();
        let complete = (0..2).all(|_| Response::decode_length_delimited(&mut rest).is_ok());
        if complete {
            return;
        }
        let read = stream.read(&mut chunk).expect("the server answers");
        assert_ne!(read, 0, "the server has closed the connection");
        answers.extend_from_slice(&chunk[..read]);
    }
}

fn calls(criterion: &mut Criterion) {
    let call = call();
    let mut answers = Vec::new();
    let mut group = criterion.benchmark_group("abci_call");
    group.sample_size(20);

    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("abci.sock");
    let _server = node::abci::serve(&path, Idle).expect("a socket in a new directory can be bound");
    let mut ours = UnixStream::connect(&path).expect("the server listens");
    group.bench_function("white-city, unix socket", |bencher| {
        bencher.iter(|| exchange(&mut ours, &call, &mut answers));
    });

    let server = ServerBuilder::default().bind("127.0.0.1:0", Idle).expect("a free port on loopback can be bound");
    let address = server.local_addr();
    std::thread::spawn(move || server.listen().is_ok());
    let mut theirs = TcpStream::connect(address).expect("the server listens");
    theirs.set_nodelay(true).expect("the option is known for TCP");
    group.bench_function("tendermint-abci, TCP", |bencher| {
        bencher.iter(|| exchange(&mut theirs, &call, &mut answers));
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);

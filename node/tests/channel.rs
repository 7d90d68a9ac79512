//! The node channel: nodes of genesis talk on it, replicas that a node's settings name reach what is theirs, nobody else gets past the handshake.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use axum::{Extension, Router, body::Bytes, extract::DefaultBodyLimit, routing::post};
use ed25519_dalek::SigningKey;
use node::{
    channel::{
        Channel, ChannelError, MAX_ANSWER_BYTES, Member, Members, Peer,
        server::{self, Routers, ServerLimits},
        tls,
    },
    config::KnownReplica,
    problem::Failure,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wire::{Code, TlsKey};

const PATIENCE: Duration = Duration::from_secs(20);

fn secret(node: u8) -> SigningKey {
    SigningKey::from_bytes(&[node + 1; 32])
}

fn replica() -> SigningKey {
    secret(50)
}

fn limits() -> ServerLimits {
    ServerLimits { handshake_timeout: Duration::from_millis(300), ..ServerLimits::default() }
}

/// A node's side of the channel, in the role of node `own` of 3.
struct Side {
    address: String,
    asked: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Node `own` with secret `own_secret`; the others are at `addresses`.
fn members(own: usize, own_secret: SigningKey, addresses: [Option<&str>; 3]) -> Members {
    let member = |(index, address): (u8, Option<&str>)| Member {
        name: format!("node{index}"),
        key: secret(index).verifying_key().to_bytes(),
        address: address.map(str::to_owned),
    };
    let replicas =
        vec![KnownReplica { name: "replica0".to_owned(), tls: TlsKey(replica().verifying_key().to_bytes()) }];
    Members { own, secret: own_secret, members: (0..).zip(addresses).map(member).collect(), replicas }
}

fn router(asked: Arc<AtomicUsize>) -> Router {
    let echo = move |Extension(Peer(peer)): Extension<Peer>, body: Bytes| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move { format!("{peer}:{}", body.len()) }
    };
    Router::new()
        .route("/echo", post(echo.clone()))
        .route("/large", post(echo).layer(DefaultBodyLimit::max(3 * 1024 * 1024)))
        .route("/refuse", post(|| async { Failure::new(Code::NotFound, "no such thing") }))
        .route("/endless", post(|| async { vec![0; MAX_ANSWER_BYTES + 1] }))
        .route("/never", post(std::future::pending::<()>))
}

async fn listen(own: usize, address: &str, limits: ServerLimits) -> Side {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, stop) = (Arc::default(), CancellationToken::new());
    let members = members(own, secret(u8::try_from(own).unwrap()), [None; 3]);
    let for_replicas =
        Router::new().route("/read", post(|Extension(Peer(peer)): Extension<Peer>| async move { format!("{peer}") }));
    let routers = Routers { nodes: router(Arc::clone(&asked)), replicas: for_replicas };
    let served = server::serve(listener, routers, members, limits, stop.clone()).unwrap();
    let task = tokio::spawn(served);
    Side { address, asked, stop, task }
}

impl Side {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Node `own` calling this one, which is node 1.
    fn called_by(&self, own: usize, own_secret: SigningKey) -> (Channel, CancellationToken) {
        let stop = CancellationToken::new();
        (Channel::start(&members(own, own_secret, [None, Some(&self.address), None]), &stop).unwrap(), stop)
    }

    fn was_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn say(channel: &Channel, path: &str, length: usize) -> Result<Bytes, ChannelError> {
    channel.post(1, path, Bytes::from(vec![7; length]), PATIENCE).await
}

#[tokio::test]
async fn nodes_talk_and_everything_is_bounded() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    let (channel, _stop) = side.called_by(2, secret(2));
    assert_eq!(channel.peers().collect::<Vec<_>>(), [1]);
    assert_eq!(channel.connected(1, 0).await.unwrap(), 1);
    assert!(channel.is_connected(1));
    assert_eq!(say(&channel, "/echo", 5).await.unwrap(), "2:5");
    assert_eq!(say(&channel, "/large", 3 * 1024 * 1024).await.unwrap(), "2:3145728");
    // A body that is too long for its route never reaches the handler.
    let asked = side.was_asked();
    assert!(say(&channel, "/echo", 70_000).await.is_err());
    assert_eq!(side.was_asked(), asked);
    assert!(matches!(
        say(&channel, "/refuse", 0).await,
        Err(ChannelError::Refused { peer: 1, code: Code::NotFound, detail }) if detail == "no such thing"
    ));
    assert!(matches!(say(&channel, "/nowhere", 0).await, Err(ChannelError::Refused { code: Code::NotFound, .. })));
    assert!(matches!(say(&channel, "/endless", 0).await, Err(ChannelError::Failed { peer: 1, .. })));
    let soon = Duration::from_millis(50);
    let unanswered = channel.post(1, "/never", Bytes::new(), soon).await;
    assert!(matches!(unanswered, Err(ChannelError::TimedOut { peer: 1, .. })));
    assert!(matches!(channel.post(2, "/echo", Bytes::new(), soon).await, Err(ChannelError::NoSuchPeer { peer: 2 })));
    // After all that it is still the first connection.
    assert_eq!(say(&channel, "/echo", 1).await.unwrap(), "2:1");
    assert_eq!(channel.connected(1, 0).await.unwrap(), 1);
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let side = listen(1, "127.0.0.1:0", ServerLimits { request_timeout: Duration::from_millis(50), ..limits() }).await;
    let (channel, _stop) = side.called_by(0, secret(0));
    channel.connected(1, 0).await.unwrap();
    let given_up = say(&channel, "/never", 0).await;
    assert!(matches!(given_up, Err(ChannelError::Refused { code: Code::RequestTimeout, .. })), "{given_up:?}");
}

#[tokio::test]
async fn a_key_that_genesis_does_not_name_is_refused() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    let (channel, _stop) = side.called_by(2, secret(99));
    // TLS 1.3 lets a client believe in its connection until it uses it: what matters is that nothing gets through.
    for number in 0..3 {
        channel.connected(1, number).await.unwrap();
        assert!(say(&channel, "/echo", 1).await.is_err());
    }
    // Nor is a node its own peer.
    let (mirror, _stop) = side.called_by(2, secret(1));
    mirror.connected(1, 0).await.unwrap();
    assert!(say(&mirror, "/echo", 1).await.is_err());
    assert_eq!(side.was_asked(), 0);
}

#[tokio::test]
async fn a_replica_reaches_what_is_served_to_replicas_and_nothing_else() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    let (channel, _stop) = side.called_by(3, replica());
    channel.connected(1, 0).await.unwrap();
    assert_eq!(say(&channel, "/read", 0).await.unwrap(), "3");
    for path in ["/echo", "/large", "/refuse"] {
        let refused = say(&channel, path, 1).await;
        assert!(matches!(refused, Err(ChannelError::Refused { code: Code::NotFound, .. })), "{path}: {refused:?}");
    }
    assert_eq!(side.was_asked(), 0);
    // Nor does a node reach what is theirs; and a replica whom the settings do not name reaches nothing.
    let (node, _stop) = side.called_by(2, secret(2));
    node.connected(1, 0).await.unwrap();
    assert!(matches!(say(&node, "/read", 0).await, Err(ChannelError::Refused { code: Code::NotFound, .. })));
    let (stranger, _stop) = side.called_by(3, secret(51));
    stranger.connected(1, 0).await.unwrap();
    assert!(say(&stranger, "/read", 0).await.is_err());
}

#[tokio::test]
async fn another_node_in_the_place_of_the_called_one_is_refused() {
    // Node 2 answers where node 1 should be.
    let side = listen(2, "127.0.0.1:0", limits()).await;
    let (channel, _stop) = side.called_by(0, secret(0));
    assert!(timeout(Duration::from_millis(500), channel.connected(1, 0)).await.is_err());
    assert!(matches!(say(&channel, "/echo", 1).await, Err(ChannelError::Disconnected { peer: 1 })));
    assert_eq!(side.was_asked(), 0);
}

/// Believes every server: what an intruder would use.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// What the server says to a client of this configuration: the bytes that come before it hangs up.
async fn knock(side: &Side, config: ClientConfig) -> std::io::Result<usize> {
    let stream = TcpStream::connect(&side.address).await.unwrap();
    let name = ServerName::try_from("node").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap()
}

fn intruder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
}

/// Shows the key of node `shown` and signs with `signing`.
fn shows(shown: u8, signing: &SigningKey) -> ClientConfig {
    let public = [
        &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..],
        secret(shown).verifying_key().as_bytes(),
    ]
    .concat();
    assert_eq!(
        tls::proved_key(Some(&[CertificateDer::from(public.clone())])),
        Some(secret(shown).verifying_key().to_bytes())
    );
    let private = [
        &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..],
        signing.as_bytes(),
    ]
    .concat();
    let private = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private)).unwrap();
    let key = CertifiedKey::new(vec![CertificateDer::from(public)], private);
    intruder().with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(key))))
}

#[tokio::test]
async fn without_a_key_or_with_a_key_but_not_its_secret_nobody_gets_in() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    assert!(knock(&side, intruder().with_no_client_auth()).await.is_err());
    assert!(knock(&side, shows(2, &secret(99))).await.is_err());
    // The same way with the right secret is let in, so that it was the signature that was refused.
    assert!(knock(&side, shows(2, &secret(2))).await.unwrap() > 0);
    assert_eq!(side.was_asked(), 0);
}

/// Reads until the server hangs up.
async fn hung_up(mut stream: TcpStream) {
    let mut heard = Vec::new();
    // A reset is as good.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the server hangs up");
}

#[tokio::test]
async fn garbage_and_silence_are_hung_up_on_and_strangers_have_few_places() {
    let few = ServerLimits { strangers_per_address: 4, handshake_timeout: Duration::from_secs(2), ..limits() };
    let side = listen(1, "127.0.0.1:0", few).await;
    let mut garbage = TcpStream::connect(&side.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nhost: node\r\n\r\n").await.unwrap();
    hung_up(garbage).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(&side.address).await.unwrap());
    }
    // All places are taken: the next one is closed well before the time that a handshake has.
    let next = TcpStream::connect(&side.address).await.unwrap();
    timeout(Duration::from_secs(1), hung_up(next)).await.expect("there is no place for it");
    for stream in idle {
        hung_up(stream).await;
    }
    // The places are free again.
    let (channel, _stop) = side.called_by(0, secret(0));
    channel.connected(1, 0).await.unwrap();
    assert_eq!(say(&channel, "/echo", 3).await.unwrap(), "0:3");
}

#[tokio::test]
async fn a_node_has_one_connection_the_newest() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    let (old, old_stop) = side.called_by(2, secret(2));
    old.connected(1, 0).await.unwrap();
    assert_eq!(say(&old, "/echo", 1).await.unwrap(), "2:1");
    let (new, _stop) = side.called_by(2, secret(2));
    new.connected(1, 0).await.unwrap();
    assert_eq!(say(&new, "/echo", 2).await.unwrap(), "2:2");
    // The old one has lost its connection, and can only have made a new one since.
    assert_eq!(timeout(PATIENCE, old.connected(1, 1)).await.unwrap().unwrap(), 2);
    old_stop.cancel();
    // Nodes do not take each other's places.
    let (other, _stop) = side.called_by(0, secret(0));
    other.connected(1, 0).await.unwrap();
    let number = new.connected(1, 0).await.unwrap();
    assert_eq!(say(&other, "/echo", 3).await.unwrap(), "0:3");
    assert!(timeout(Duration::from_millis(300), new.connected(1, number.max(2))).await.is_err());
}

#[tokio::test]
async fn a_peer_that_was_away_is_connected_again() {
    let side = listen(1, "127.0.0.1:0", limits()).await;
    let address = side.address.clone();
    let (channel, stop) = side.called_by(0, secret(0));
    assert_eq!(channel.connected(1, 0).await.unwrap(), 1);
    side.end().await;
    let gone = async {
        while channel.is_connected(1) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert!(matches!(say(&channel, "/echo", 1).await, Err(ChannelError::Disconnected { peer: 1 })));
    let side = listen(1, &address, limits()).await;
    let number = timeout(PATIENCE, channel.connected(1, 1)).await.unwrap().unwrap();
    assert!(number > 1);
    assert_eq!(say(&channel, "/echo", 4).await.unwrap(), "0:4");
    stop.cancel();
    let ended = timeout(PATIENCE, channel.connected(1, u64::MAX)).await.unwrap();
    assert!(matches!(ended, Err(ChannelError::Disconnected { peer: 1 })));
    side.end().await;
}

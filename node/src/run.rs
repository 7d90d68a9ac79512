//! A node put together: started in an order in which each part finds what it needs, stopped in the opposite one.

mod replica;

use crate::{
    NodeError, abci,
    bundler::Bundler,
    certification::{self, Certification},
    certified::CertifiedFeed,
    challenger::{self, Challenger},
    channel::{self, Channel, Members},
    cluster::{self, ClusterPlan, DEFAULT_PORTS, Ports},
    comet::Comet,
    comet_program::Program,
    config::{ChannelConfig, Config, Engine, Profile},
    consensus::Consensus,
    executor::Executor,
    gateway::{Gateway, Parts},
    generator::Generator,
    genesis,
    home::Home,
    http::server::{self, ServerLimits},
    identity,
    keeper::Keeper,
    keyring::Keyring,
    participant::Participant,
    payloads::{self, Payloads, examiner::Task, fetch::Fetcher},
    peers::Peers,
    secrets::NodeSecrets,
    seeds::Seeds,
    socket::Server,
    solo::Solo,
    store::{PayloadStore, Store},
    submit::Check,
    telemetry,
    ticker::Ticker,
};
use schnorrkel::Keypair;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wire::{BoardAt, NetworkFile, NetworkParameters, PublicKey};

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's settings.
    pub config: Config,
    /// What orders the blocks, if not what the settings say.
    pub consensus: Option<Engine>,
    /// The CometBFT to run; needed unless the node is solo.
    pub program: Option<Program>,
}

impl Options {
    /// What the settings in `home` say.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(home: &Home) -> Result<Self, NodeError> {
        Ok(Self { config: Config::load(home)?, consensus: None, program: None })
    }

    /// What orders the blocks.
    pub fn engine(&self) -> Engine {
        self.consensus.unwrap_or(self.config.consensus)
    }

    /// The CometBFT program that the settings name.
    pub fn configured_program(&self) -> Option<&Path> {
        self.config.comet.as_ref()?.program.as_deref()
    }
}

/// A running node, or a read-only replica.
pub struct Node {
    engine: Ordering,
    executor: Arc<Executor>,
    certified: CertifiedFeed,
    keyring: Arc<Keyring>,
    store: Store,
    payloads: Payloads,
    stop: CancellationToken,
    /// The gateway, and what else ends by itself after `stop`; waited for in this order.
    tasks: Vec<JoinHandle<()>>,
    certification: Certification,
}

/// What a node has before it speaks to anybody.
struct Restored {
    parameters: NetworkParameters,
    identity: Keypair,
    store: Store,
    executor: Arc<Executor>,
    /// The newest stored block.
    at: Option<BoardAt>,
}

impl Restored {
    async fn open(home: &Home, name: &str) -> Result<Self, NodeError> {
        let parameters = genesis::load(home)?;
        let identity = identity::load(&home.identity())?;
        let store = Store::open(&home.database()).await?;
        let executor = Arc::new(Executor::open(parameters.clone(), store.clone()).await?);
        let (at, root) = (executor.at()?, executor.root()?);
        let height = at.map_or(0, |at| at.height);
        tracing::info!(chain = %parameters.chain, node = name, height, %root, "board restored");
        Ok(Self { parameters, identity, store, executor, at })
    }
}

/// Whatever orders the blocks, with what belongs to it.
enum Ordering {
    Comet { comet: Comet, socket: Server, failure: Arc<abci::Failure> },
    Solo(Solo),
}

impl Node {
    /// Starts the node or replica in `home`. Its gateway answers when this returns; `/readyz` says when it takes writes, or serves.
    ///
    /// # Errors
    /// One line that says what to do.
    pub async fn start(home: &Home, options: Options) -> Result<Self, NodeError> {
        let address = options.config.listen;
        let listen = |source| NodeError::Listen { what: "the REST gateway", address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        Self::start_on(listener, home, options).await
    }

    async fn start_on(listener: TcpListener, home: &Home, options: Options) -> Result<Self, NodeError> {
        telemetry::start();
        if let Some(settings) = options.config.replica.clone() {
            return replica::start(listener, home, options, settings).await;
        }
        let Restored { parameters, identity, store, executor, at } = Restored::open(home, &options.config.name).await?;
        let index = index_of(&parameters, &identity::public(&identity))?;
        let stop = CancellationToken::new();
        let unless_started = stop.clone().drop_guard();
        let (own, called_at) = (usize::from(index), options.config.channel.as_ref());
        let secrets = Arc::new(NodeSecrets::load(&home.keys())?);
        let members = Members::new(own, &secrets, &parameters, called_at)?;
        let (participant, keeper) = take_part(&parameters, index, &identity, secrets);
        let generator = Generator::open(executor.clone(), participant, Seeds::new(home.seeds())).await?;
        let channel = Channel::start(&members, &stop)?;
        let certified = CertifiedFeed::start(executor.feed(), stop.clone());
        // Before consensus starts, so that it sees every block.
        let parts = certification::Parts {
            parameters: parameters.clone(),
            identity: identity.clone(),
            members: members.clone(),
            channel: channel.clone(),
            feed: executor.feed().clone(),
            restored: at.zip(Some(executor.snapshot()?)),
            keys: generator.keyring().newest(),
            certified: certified.clone(),
            home: home.clone(),
        };
        let certification = Certification::start(parts, &stop);
        let (peers, keyring, progress) = (Peers::from(channel), Arc::clone(generator.keyring()), generator.progress());
        let challenger = open_challenger(&parameters, (&executor, &store), &identity, &keyring, (own, peers.clone()));
        let payloads = open_payloads(home, (&executor, &store), (keeper, &identity), &stop).await?;
        tokio::spawn(Fetcher::new(payloads.clone(), peers.clone()).run(stop.clone()));
        let bundler = open_bundler(&executor, &payloads, peers, own);
        let routers = routers(&certification, &challenger, &payloads, members.replicas.len());
        let called = listen_to_nodes(called_at, members, routers, &stop).await?;
        let engine = Ordering::start(home, &options, &executor, parameters.nodes.len()).await?;
        let (chain, index, consensus) = (parameters.chain.clone(), u32::from(index), engine.consensus());
        let ticker = Ticker { executor: executor.clone(), consensus, identity: identity.clone(), chain, index };
        let ticker = spawn(ticker.run(stop.clone()));
        let generator = spawn(generator.run(engine.consensus(), stop.clone()));
        let challenger = spawn(challenger.run(engine.consensus(), stop.clone()));
        let gateway = Gateway::start(Parts {
            store: store.clone(),
            feed: executor.feed().clone(),
            certified: certified.clone(),
            consensus: engine.consensus(),
            check: rules(&executor),
            bundler: Some(bundler),
            payloads: payloads.clone(),
            identity,
            parameters,
            name: options.config.name,
            writes_at: Vec::new(),
            progress,
            shutdown: stop.clone(),
        });
        let gateway = tokio::spawn(server::serve(listener, gateway.router(), ServerLimits::default(), stop.clone()));
        unless_started.disarm();
        let tasks = vec![gateway, ticker, generator, challenger, called];
        Ok(Self { engine, executor, certified, keyring, store, payloads, stop, tasks, certification })
    }

    /// The board.
    pub fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// What its readers are answered from.
    pub fn certified(&self) -> &CertifiedFeed {
        &self.certified
    }

    /// The threshold keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Waits until the node cannot go on, and says why.
    pub async fn failed(&mut self) -> NodeError {
        match &mut self.engine {
            Ordering::Comet { comet, failure, .. } => tokio::select! {
                error = failure.wait() => error,
                error = comet.failed() => error,
            },
            Ordering::Solo(solo) => solo.failed().await,
        }
    }

    /// Answers what is being asked, finishes the block that is being executed, ends CometBFT and closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        self.certification.ended().await;
        match self.engine {
            Ordering::Comet { comet, mut socket, .. } => {
                comet.stop().await;
                let _ = tokio::task::spawn_blocking(move || socket.stop()).await;
            }
            Ordering::Solo(solo) => solo.stop().await,
        }
        self.payloads.close().await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

impl Ordering {
    async fn start(home: &Home, options: &Options, executor: &Arc<Executor>, nodes: usize) -> Result<Self, NodeError> {
        match (options.engine(), &options.program) {
            (Engine::Solo, _) if nodes > 1 => Err(NodeError::Invalid {
                what: "--consensus solo",
                reason: format!("genesis names {nodes} nodes, whose boards would part: make a home with `init`"),
            }),
            (Engine::Solo, _) => Ok(Self::Solo(Solo::start(executor.clone()))),
            (Engine::Comet, None) => Err(NodeError::CometMissing),
            (Engine::Comet, Some(program)) => {
                let board = abci::Board::new(executor.clone(), Handle::current());
                let failure = board.failure();
                let path = home.socket();
                let socket_error = |source| NodeError::Socket { path: path.display().to_string(), source };
                let socket = abci::serve_board(&path, board).map_err(socket_error)?;
                // A replica decides nothing and needs anybody who tells it what is decided; a node more than two thirds of all, itself counted.
                let needed = if options.config.replica.is_some() { 1 } else { 2 * nodes / 3 };
                let comet = Comet::start(home, &options.config, program.clone(), needed).await?;
                Ok(Self::Comet { comet, socket, failure })
            }
        }
    }

    fn consensus(&self) -> Consensus {
        match self {
            Self::Comet { comet, .. } => Consensus::Comet(comet.client.clone()),
            Self::Solo(solo) => Consensus::Solo(solo.client.clone()),
        }
    }
}

/// Asks the board what it would say of an operation now.
fn rules(executor: &Arc<Executor>) -> Check {
    let executor = executor.clone();
    Arc::new(move |operation| executor.check_operation(operation))
}

/// A task whose end says nothing that the log does not.
fn spawn(task: impl Future<Output = Result<(), NodeError>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let _ = task.await;
    })
}

/// The payloads that stand in no block.
async fn open_payloads(
    home: &Home,
    (executor, board): (&Arc<Executor>, &Store),
    (keeper, identity): (Keeper, &Keypair),
    stop: &CancellationToken,
) -> Result<Payloads, NodeError> {
    let recorder = executor.clone();
    let parts = payloads::Parts {
        rows: PayloadStore::open(&home.payloads()).await?,
        board: board.clone(),
        feed: executor.feed().clone(),
        check: rules(executor),
        records: Arc::new(move |session| recorder.session(session)),
        verify: Arc::new(Task::verify),
        keeper,
        identity: identity.clone(),
        parameters: executor.parameters()?,
    };
    Ok(Payloads::start(parts, stop.clone()).await?)
}

/// What delivers them to all nodes.
fn open_bundler(executor: &Arc<Executor>, payloads: &Payloads, peers: Peers, own: usize) -> Bundler {
    let permitter = executor.clone();
    let permits_inline = Arc::new(move |session: &_| permitter.permits_inline(session));
    Bundler::new(payloads.clone(), peers, own, permits_inline)
}

/// What is answered on the node channel: nodes in all that they do together, replicas in what they serve from.
fn routers(
    certification: &Certification,
    challenger: &Challenger,
    payloads: &Payloads,
    replicas: usize,
) -> channel::server::Routers {
    let others = challenger.router().merge(payloads::routes::router(payloads.clone()));
    channel::server::Routers {
        nodes: certification.router().merge(others),
        replicas: certification.replica_router().merge(payloads::routes::replica_router(payloads.clone(), replicas)),
    }
}

/// What uses the node's secrets: its part in threshold keys, and in backups.
fn take_part(
    parameters: &NetworkParameters,
    index: u16,
    identity: &Keypair,
    secrets: Arc<NodeSecrets>,
) -> (Arc<Participant>, Keeper) {
    let keeper = Keeper::new(parameters.clone(), index, Arc::clone(&secrets));
    (Arc::new(Participant::new(parameters, index, identity.clone(), secrets)), keeper)
}

/// What draws the challenges of open sessions with the other nodes.
fn open_challenger(
    parameters: &NetworkParameters,
    (executor, store): (&Arc<Executor>, &Store),
    identity: &Keypair,
    keyring: &Arc<Keyring>,
    (own, peers): (usize, Peers),
) -> Challenger {
    let (parameters, identity, feed) = (parameters.clone(), identity.clone(), executor.feed().clone());
    let keyring = Arc::clone(keyring);
    Challenger::new(challenger::Parts { parameters, identity, own, store: store.clone(), feed, keyring, peers })
}

/// Serves `routers` to the other nodes and to replicas, if there are any.
async fn listen_to_nodes(
    config: Option<&ChannelConfig>,
    members: Members,
    routers: channel::server::Routers,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>, NodeError> {
    let Some(config) = config else { return Ok(tokio::spawn(async {})) };
    let listen = |source| NodeError::Listen { what: "the node channel", address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let limits = channel::server::ServerLimits::default();
    let serving = channel::server::serve(listener, routers, members, limits, stop.clone())?;
    Ok(tokio::spawn(serving))
}

fn index_of(parameters: &NetworkParameters, identity: &PublicKey) -> Result<u16, NodeError> {
    let place = parameters.nodes.iter().position(|node| node.identity == *identity);
    place.and_then(|place| u16::try_from(place).ok()).ok_or_else(|| NodeError::Invalid {
        what: "identity.json",
        reason: "genesis.json does not name this identity: both must come from the same `init` or `cluster create`"
            .to_owned(),
    })
}

/// A solo node inside another program, on a free port of loopback: for tests and for embedding.
///
/// ```
/// # tokio_test_block(async {
/// let folder = tempfile::tempdir()?;
/// let node = node::run::Embedded::start(&folder.path().join("node"), &[]).await?;
/// let network: wire::Answer<wire::NetworkParameters> = reqwest::get(format!("{}/v1/network", node.url)).await?.json().await?;
/// assert_eq!(network.fact.digest(), node.network.genesis);
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) });
/// # fn tokio_test_block<F: Future<Output = Result<(), Box<dyn std::error::Error>>>>(f: F) {
/// #     tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(f).unwrap();
/// # }
/// ```
pub struct Embedded {
    /// Base URL of its gateway.
    pub url: String,
    /// What a client must be given.
    pub network: NetworkFile,
    /// The same as a file.
    pub network_file: PathBuf,
    /// Identity file of the operator, who may create sessions.
    pub operator_file: PathBuf,
    node: Node,
}

impl Embedded {
    /// Makes a new chain `embedded` in `folder`, which must not be there or be empty, and runs it. Beside the operator, `creators` may
    /// create sessions. Needs tokio's multi-thread runtime.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start(folder: &Path, creators: &[PublicKey]) -> Result<Self, NodeError> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = |source| NodeError::Listen { what: "the REST gateway", address: any, source };
        let listener = TcpListener::bind(any).await.map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let plan = ClusterPlan {
            chain: "embedded".parse().expect("the name is of the allowed characters"),
            nodes: 1,
            consensus: Engine::Solo,
            profile: Profile::Lan,
            creators: creators.to_vec(),
            ports: Ports { rest: port, ..DEFAULT_PORTS },
            listen_host: Ipv4Addr::LOCALHOST.into(),
            url_host: "127.0.0.1".to_owned(),
            p2p_host: "127.0.0.1".to_owned(),
            replicas: 0,
        };
        let made = cluster::create_single(&plan, folder)?;
        let home = Home::new(folder)?;
        let mut node = Node::start_on(listener, &home, Options::load(&home)?).await?;
        let (mut keys, mut newest) = (node.keyring().newest(), node.certified().newest());
        // Sessions need the threshold key and answers a certified board: one node has both in a few blocks.
        let ready =
            async { keys.wait_for(Option::is_some).await.is_ok() && newest.wait_for(Option::is_some).await.is_ok() };
        tokio::select! {
            _ = ready => {}
            error = node.failed() => return Err(error),
        }
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            network: made.network,
            network_file: made.network_file,
            operator_file: made.operator_file,
            node,
        })
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Stops the node. Its folder stays.
    pub async fn stop(self) {
        self.node.stop().await;
    }
}

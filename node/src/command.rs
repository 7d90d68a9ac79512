//! The command line of `white-city-node`.

use crate::{
    NodeError,
    cluster::{self, ClusterPlan, DEFAULT_PORTS, Ports},
    comet_program::Program,
    config::{Engine, Profile},
    home,
    home::Home,
    run::{Node, Options},
    secrets::NodeSecrets,
    status,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wire::{ChainId, NetworkFile, PublicKey};

/// Runs nodes of a White-City cluster.
#[derive(Parser)]
#[command(name = "white-city-node", version, about)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    /// Form of the log on standard error.
    #[arg(long, global = true, value_enum, default_value = "text", env = "WHITE_CITY_LOG_FORMAT")]
    log_format: LogFormat,
    /// What to log: `error`, `warn`, `info`, `debug`, or directives such as `info,node::comet=debug`.
    #[arg(long, global = true, default_value = "info", env = "WHITE_CITY_LOG")]
    log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Action {
    /// Make the home of a single node, with a network file and an operator's identity in it.
    Init(Init),
    /// Run a node or replica until it is asked to stop (SIGTERM or Ctrl-C).
    Run(Run),
    /// Make the homes of all nodes of a new cluster.
    #[command(subcommand)]
    Cluster(ClusterAction),
    /// Make a new secret to which the other nodes seal this node's shares of the threshold key. Its share is lost until the next key.
    NewExchangeKey(NewExchangeKey),
    /// Show how nodes are doing. Exit status 1 if one is not ready.
    Status(Status),
}

#[derive(Args)]
struct Init {
    /// Folder to make.
    #[arg(long)]
    home: PathBuf,
    /// What orders the blocks.
    #[arg(long, value_enum, default_value = "solo")]
    consensus: Engine,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Args)]
struct Run {
    /// The home folder of the node or replica.
    #[arg(long, env = "WHITE_CITY_HOME")]
    home: PathBuf,
    /// What orders the blocks, if not what node.toml says. A home that has run with one must not run with the other.
    #[arg(long, value_enum)]
    consensus: Option<Engine>,
    /// The CometBFT program, if not in `.tools/bin` or on the path.
    #[arg(long, env = "WHITE_CITY_COMETBFT")]
    cometbft: Option<PathBuf>,
}

#[derive(Args)]
struct NewExchangeKey {
    /// The home folder of the node, which must not run.
    #[arg(long, env = "WHITE_CITY_HOME")]
    home: PathBuf,
}

#[derive(Subcommand)]
enum ClusterAction {
    /// Make node0, node1 and so on, replica0 and so on, network.json for clients, and operator.json, which may create sessions.
    Create(Create),
}

#[derive(Args)]
struct Create {
    /// Number of nodes; with 3f + 1 of them, f may be faulty.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Number of read-only replicas beside them, which serve certified reads and take load off the nodes.
    #[arg(long, default_value_t = 0)]
    replicas: usize,
    /// Folder to make.
    #[arg(long)]
    output: PathBuf,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Args)]
struct Plan {
    /// The chain's name for all time: a-z, 0-9 and -.
    #[arg(long, default_value = "white-city")]
    chain: ChainId,
    /// The first of the ports: gateways from here on, CometBFT's peers 100 higher, its RPC 200 higher, the node channel 300
    /// higher. Without it from 8101, 26601, 26701 and 26801 on.
    #[arg(long)]
    base_port: Option<u16>,
    /// How far the nodes are apart, for CometBFT's timeouts.
    #[arg(long, value_enum, default_value = "lan")]
    profile: Profile,
    /// A public key that may create sessions beside the operator's; may be given many times.
    #[arg(long = "creator")]
    creators: Vec<PublicKey>,
    /// Address on which gateways, CometBFT and the node channel listen; 0.0.0.0 in containers.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen_host: IpAddr,
    /// Host of node i's gateway in the network file; {} stands for i.
    #[arg(long, default_value = "127.0.0.1")]
    url_host: String,
    /// Host at which other nodes reach node i; {} stands for i.
    #[arg(long, default_value = "127.0.0.1")]
    p2p_host: String,
}

#[derive(Args)]
#[group(required = true)]
struct Status {
    /// Base URL of a node; may be given many times.
    #[arg(long)]
    url: Vec<String>,
    /// A network file, whose nodes and replicas are all asked.
    #[arg(long)]
    network: Option<PathBuf>,
}

/// Parses the process's arguments and does what they say.
pub async fn main() -> ExitCode {
    let command = Command::parse();
    match command.run().await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "white-city-node: {}", error.line());
            ExitCode::FAILURE
        }
    }
}

impl Command {
    async fn run(self) -> Result<ExitCode, NodeError> {
        match self.action {
            Action::Init(init) => {
                let plan = init.plan.with(1, 0, init.consensus);
                let made = cluster::create_single(&plan, &init.home)?;
                let home = init.home.display();
                say(&format!(
                    "Made a node of chain {} in {home}: {} answers once it runs.\n  white-city-node run --home {home}",
                    plan.chain,
                    made.network.nodes.first().map_or("it", |node| node.url.as_str()),
                ));
                Ok(ExitCode::SUCCESS)
            }
            Action::Cluster(ClusterAction::Create(create)) => {
                let plan = create.plan.with(create.nodes, create.replicas, Engine::Comet);
                let made = cluster::create(&plan, &create.output)?;
                let mut text = format!("Made chain {}: {}.", plan.chain, cluster::tolerance_line(create.nodes));
                for home in made.homes.iter().chain(&made.replicas) {
                    text.push_str(&format!("\n  white-city-node run --home {}", home.display()));
                }
                text.push_str(&format!("\nClients need {}", made.network_file.display()));
                text.push_str(&format!("; {} may create sessions.", made.operator_file.display()));
                say(&text);
                Ok(ExitCode::SUCCESS)
            }
            Action::Run(run) => {
                start_log(&self.log, self.log_format)?;
                run_node(run).await.map(|()| ExitCode::SUCCESS)
            }
            Action::NewExchangeKey(command) => {
                let home = Home::new(&command.home)?;
                NodeSecrets::load(&home.keys())?.with_new_exchange().replace(&home.keys())?;
                say(
                    "Made a new exchange secret; the TLS key stays. Start the node: it names the new key to the others, and has a share of \
                     the threshold key again from the next key on, which an operator orders with `white-city renew-key`.",
                );
                Ok(ExitCode::SUCCESS)
            }
            Action::Status(status) => show_status(&status).await,
        }
    }
}

impl Plan {
    fn with(self, nodes: usize, replicas: usize, consensus: Engine) -> ClusterPlan {
        let spread = |rest: u16| {
            let [p2p, rpc, channel] = [100, 200, 300].map(|above| rest.saturating_add(above));
            Ports { rest, p2p, rpc, channel }
        };
        ClusterPlan {
            chain: self.chain,
            nodes,
            consensus,
            profile: self.profile,
            creators: self.creators,
            ports: self.base_port.map_or(DEFAULT_PORTS, spread),
            listen_host: self.listen_host,
            url_host: self.url_host,
            p2p_host: self.p2p_host,
            replicas,
        }
    }
}

fn start_log(directives: &str, format: LogFormat) -> Result<(), NodeError> {
    let invalid = |reason: String| NodeError::Invalid { what: "--log", reason };
    let filter = EnvFilter::try_new(directives).map_err(|error| invalid(error.to_string()))?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let set = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    set.map_err(|error| invalid(error.to_string()))
}

async fn run_node(run: Run) -> Result<(), NodeError> {
    let signals = |kind| signal(kind).map_err(|source| NodeError::System { what: "listening for signals", source });
    let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let home = Home::new(&run.home)?;
    let mut options = Options { consensus: run.consensus, ..Options::load(&home)? };
    if options.engine() == Engine::Comet {
        options.program = Some(Program::find(run.cometbft.as_deref().or(options.configured_program())).await?);
    }
    let mut node = tokio::select! {
        node = Node::start(&home, options) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = node.failed() => Some(error),
    };
    node.stop().await;
    failure.map_or(Ok(()), Err)
}

async fn show_status(asked: &Status) -> Result<ExitCode, NodeError> {
    let mut urls = asked.url.clone();
    if let Some(path) = &asked.network {
        urls.extend(network_urls(path)?);
    }
    let lines = status::ask_all(urls).await?;
    say(&lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let all_ready = lines.iter().all(status::Line::is_ready);
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn network_urls(path: &Path) -> Result<Vec<String>, NodeError> {
    const EXPECTED: &str = "a network file";
    let network: NetworkFile = home::read_json(path, EXPECTED)?;
    network.check().map_err(|code| home::format_error(path, EXPECTED, code.meaning()))?;
    let replicas = network.replicas.into_iter().map(|replica| replica.url);
    Ok(network.nodes.into_iter().map(|node| node.url).chain(replicas).collect())
}

fn say(text: &str) {
    // Who closes our output does not want to read it.
    let _ = writeln!(io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}

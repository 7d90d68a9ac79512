//! Makes the homes of all nodes of a new chain, and what its clients and its operator need.

use crate::{
    NodeError,
    config::{ChannelConfig, ChannelPeer, CometConfig, Config, Engine, KnownReplica, Profile, ReplicaConfig},
    genesis, home,
    home::Home,
    identity,
    secrets::NodeSecrets,
    validator::ValidatorKeys,
};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use time::OffsetDateTime;
use wire::{
    ChainId, Creators, NetworkFile, NetworkParameters, NodeAddress, NodeRecord, PublicKey, ReplicaAddress,
    fault_tolerance,
    limits::{MAX_NODES, MAX_REPLICAS},
};

/// What a new cluster shall be.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// Its name for all time.
    pub chain: ChainId,
    /// Number of nodes.
    pub nodes: usize,
    /// What orders the blocks; one solo node at most.
    pub consensus: Engine,
    /// CometBFT's timeouts.
    pub profile: Profile,
    /// Who may create sessions beside the operator.
    pub creators: Vec<PublicKey>,
    /// Node i's ports are these plus i.
    pub ports: Ports,
    /// Where gateways and CometBFT listen.
    pub listen_host: IpAddr,
    /// Under which host clients reach node i: `{}` stands for i.
    pub url_host: String,
    /// Under which host the other nodes reach node i: `{}` stands for i.
    pub p2p_host: String,
    /// Number of read-only replicas: their ports, and numbers of hosts, follow those of the nodes.
    pub replicas: usize,
}

/// The ports of node 0.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// REST gateway.
    pub rest: u16,
    /// CometBFT's peers.
    pub p2p: u16,
    /// CometBFT's RPC, on loopback.
    pub rpc: u16,
    /// The node channel.
    pub channel: u16,
}

impl Ports {
    /// All of node 0.
    pub fn all(&self) -> [u16; 4] {
        [self.rest, self.p2p, self.rpc, self.channel]
    }
}

/// The default ports.
pub const DEFAULT_PORTS: Ports = Ports { rest: 8101, p2p: 26601, rpc: 26701, channel: 26801 };

/// What was made.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The nodes' home folders in order.
    pub homes: Vec<PathBuf>,
    /// Those of the replicas.
    pub replicas: Vec<PathBuf>,
    /// What clients must be given; `network.json`.
    pub network: NetworkFile,
    /// The network file's path.
    pub network_file: PathBuf,
    /// The operator's identity file; it may create sessions.
    pub operator_file: PathBuf,
}

struct Member {
    home: Home,
    record: NodeRecord,
    keys: ValidatorKeys,
}

/// A read-only replica to be.
struct Follower {
    home: Home,
    secrets: NodeSecrets,
    keys: ValidatorKeys,
}

impl Follower {
    fn make(folder: &Path) -> Result<Self, NodeError> {
        home::make_folder(folder)?;
        let home = Home::new(folder)?;
        identity::create(&home.identity())?;
        let secrets = NodeSecrets::generate();
        secrets.save(&home.keys())?;
        Ok(Self { home, secrets, keys: ValidatorKeys::generate() })
    }

    fn known(&self, i: usize) -> KnownReplica {
        KnownReplica { name: format!("replica{i}"), tls: self.secrets.public().tls }
    }
}

/// Makes `output/node0` and so on, `output/replica0` and so on, `output/network.json` and `output/operator.json`.
///
/// # Errors
/// [`NodeError::Exists`] if `output` is there and not empty, [`NodeError::Invalid`], [`NodeError::File`].
pub fn create(plan: &ClusterPlan, output: &Path) -> Result<Cluster, NodeError> {
    check(plan)?;
    home::make_folder(output)?;
    let folders = (0..plan.nodes).map(|i| output.join(format!("node{i}"))).collect();
    write(plan, output, folders)
}

/// Makes one node whose home is `output` itself, with `network.json` and `operator.json` in it.
///
/// # Errors
/// As [`create`].
pub fn create_single(plan: &ClusterPlan, output: &Path) -> Result<Cluster, NodeError> {
    let plan = ClusterPlan { nodes: 1, replicas: 0, ..plan.clone() };
    check(&plan)?;
    home::make_folder(output)?;
    write(&plan, output, vec![output.to_owned()])
}

fn check(plan: &ClusterPlan) -> Result<(), NodeError> {
    let invalid = |what, reason: String| Err(NodeError::Invalid { what, reason });
    if !(1..=MAX_NODES).contains(&plan.nodes) {
        return invalid("--nodes", format!("choose 1 to {MAX_NODES}; 4 withstand one faulty node"));
    }
    if plan.consensus == Engine::Solo && plan.nodes > 1 {
        return invalid("--nodes", "a solo node orders blocks alone; choose 1 or --consensus comet".to_owned());
    }
    if plan.replicas > MAX_REPLICAS {
        return invalid("--replicas", format!("choose at most {MAX_REPLICAS}"));
    }
    if plan.replicas > 0 && plan.nodes < 2 {
        return invalid("--replicas", "a node that is alone has no channel to others; choose 4 nodes".to_owned());
    }
    let mut ports = plan.ports.all();
    ports.sort_unstable();
    let count = u16::try_from(plan.nodes.saturating_add(plan.replicas)).unwrap_or(u16::MAX);
    let alone = plan.consensus == Engine::Solo;
    let beyond = ports.iter().any(|port| port.checked_add(count).is_none());
    if beyond || !alone && ports.iter().zip(ports.iter().skip(1)).any(|(low, high)| high - low < count) {
        return invalid("--base-port", format!("{count} ports from each of {ports:?} on overlap or pass 65535"));
    }
    Ok(())
}

fn write(plan: &ClusterPlan, output: &Path, folders: Vec<PathBuf>) -> Result<Cluster, NodeError> {
    let mut members = Vec::new();
    for (i, folder) in folders.iter().enumerate() {
        home::make_folder(folder).or_else(|error| if folder == output { Ok(()) } else { Err(error) })?;
        let home = Home::new(folder)?;
        identity::create(&home.identity())?;
        let (identity, secrets) = (identity::load(&home.identity())?, NodeSecrets::generate());
        secrets.save(&home.keys())?;
        let record = secrets.record(format!("node{i}"), &identity, &plan.chain);
        members.push(Member { home, record, keys: ValidatorKeys::generate() });
    }
    let operator_file = output.join("operator.json");
    let parameters = parameters(plan, &members, identity::create(&operator_file)?);
    parameters.check().map_err(|code| NodeError::Invalid { what: "the network", reason: code.meaning().to_owned() })?;
    let replicas: Vec<PathBuf> = (0..plan.replicas).map(|i| output.join(format!("replica{i}"))).collect();
    let followers = replicas.iter().map(|folder| Follower::make(folder)).collect::<Result<Vec<_>, _>>()?;
    let network = network(plan, &members, &parameters)?;
    for (i, member) in members.iter().enumerate() {
        config(plan, i, &members, &followers)?.save(&member.home)?;
        home::write_new(&member.home.genesis(), &home::to_json(&parameters))?;
    }
    for (i, follower) in followers.iter().enumerate() {
        replica_config(plan, i, &members, &network)?.save(&follower.home)?;
        home::write_new(&follower.home.genesis(), &home::to_json(&parameters))?;
    }
    if plan.consensus == Engine::Comet {
        write_comet(&parameters, &members, &followers)?;
    }
    let network_file = output.join("network.json");
    home::write_new(&network_file, &home::to_json(&network))?;
    Ok(Cluster { homes: folders, replicas, network, network_file, operator_file })
}

fn parameters(plan: &ClusterPlan, members: &[Member], operator: PublicKey) -> NetworkParameters {
    let creators =
        if plan.creators.is_empty() { Creators::Operators } else { Creators::Keys { keys: plan.creators.clone() } };
    NetworkParameters {
        chain: plan.chain.clone(),
        nodes: members.iter().map(|member| member.record.clone()).collect(),
        operators: vec![operator],
        creators,
        quotas: genesis::DEFAULT_QUOTAS,
    }
}

fn config(plan: &ClusterPlan, i: usize, members: &[Member], followers: &[Follower]) -> Result<Config, NodeError> {
    let others: Vec<usize> = (0..members.len()).filter(|j| *j != i).collect();
    let channel = ChannelConfig {
        listen: SocketAddr::new(plan.listen_host, port(plan.ports.channel, i)?),
        peers: channels(plan, members, &others)?,
        replicas: followers.iter().enumerate().map(|(i, follower)| follower.known(i)).collect(),
    };
    Ok(Config {
        name: members.get(i).map(|member| member.record.name.clone()).unwrap_or_default(),
        consensus: plan.consensus,
        listen: SocketAddr::new(plan.listen_host, port(plan.ports.rest, i)?),
        comet: (plan.consensus == Engine::Comet).then(|| comet(plan, i, members, &others)).transpose()?,
        channel: (members.len() > 1).then_some(channel),
        replica: None,
    })
}

/// Blocks come to a replica from f + 1 nodes, of which one is honest, and not from the same ones to all replicas: each costs those who bring them.
fn replica_config(
    plan: &ClusterPlan,
    i: usize,
    members: &[Member],
    network: &NetworkFile,
) -> Result<Config, NodeError> {
    let (place, all): (usize, Vec<usize>) = (members.len() + i, (0..members.len()).collect());
    let sources: Vec<usize> = (0..=fault_tolerance(members.len())).map(|step| (i + step) % members.len()).collect();
    let writes_at = network.nodes.iter().map(|node| node.url.clone()).collect();
    Ok(Config {
        name: format!("replica{i}"),
        consensus: plan.consensus,
        listen: SocketAddr::new(plan.listen_host, port(plan.ports.rest, place)?),
        comet: Some(comet(plan, place, members, &sources)?),
        channel: None,
        replica: Some(ReplicaConfig { nodes: channels(plan, members, &all)?, writes_at }),
    })
}

/// The settings of the CometBFT at place `i` with these peers.
fn comet(plan: &ClusterPlan, i: usize, members: &[Member], peers: &[usize]) -> Result<CometConfig, NodeError> {
    let peer = |j: &usize| {
        let id = members.get(*j).map(|member| member.keys.peer_id()).unwrap_or_default();
        Ok(format!("{id}@{}:{}", host(plan, *j), port(plan.ports.p2p, *j)?))
    };
    Ok(CometConfig {
        profile: plan.profile,
        p2p_listen: SocketAddr::new(plan.listen_host, port(plan.ports.p2p, i)?),
        rpc_listen: SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), port(plan.ports.rpc, i)?),
        peers: peers.iter().map(peer).collect::<Result<_, NodeError>>()?,
        log_level: "error".to_owned(),
        program: None,
    })
}

fn channels(plan: &ClusterPlan, members: &[Member], nodes: &[usize]) -> Result<Vec<ChannelPeer>, NodeError> {
    let peer = |j: &usize| {
        let name = members.get(*j).map(|member| member.record.name.clone()).unwrap_or_default();
        Ok(ChannelPeer { name, address: format!("{}:{}", host(plan, *j), port(plan.ports.channel, *j)?) })
    };
    nodes.iter().map(peer).collect()
}

fn host(plan: &ClusterPlan, i: usize) -> String {
    plan.p2p_host.replace("{}", &i.to_string())
}

fn port(first: u16, i: usize) -> Result<u16, NodeError> {
    let port = u16::try_from(i).ok().and_then(|i| first.checked_add(i));
    port.ok_or(NodeError::Invalid { what: "--base-port", reason: format!("port {first} + {i} is beyond 65535") })
}

fn write_comet(parameters: &NetworkParameters, members: &[Member], followers: &[Follower]) -> Result<(), NodeError> {
    let validators: Vec<_> = members.iter().map(|member| member.keys.genesis_entry(&member.record.name)).collect();
    let document = genesis::comet_document(parameters, &validators, OffsetDateTime::now_utc());
    let homes = members.iter().map(|member| (&member.home, &member.keys));
    for (home, keys) in homes.chain(followers.iter().map(|follower| (&follower.home, &follower.keys))) {
        let comet = home.comet();
        home::make_folder(&comet)?;
        keys.save(&comet)?;
        home::write_new(&comet.join("config/genesis.json"), &home::to_json(&document))?;
    }
    Ok(())
}

fn network(plan: &ClusterPlan, members: &[Member], parameters: &NetworkParameters) -> Result<NetworkFile, NodeError> {
    let url = |i: usize| {
        let host = plan.url_host.replace("{}", &i.to_string());
        Ok::<_, NodeError>(format!("http://{host}:{}", port(plan.ports.rest, i)?))
    };
    let address = |(i, member): (usize, &Member)| {
        let url = url(i)?;
        Ok(NodeAddress { name: member.record.name.clone(), url, identity: member.record.identity })
    };
    let nodes = members.iter().enumerate().map(address).collect::<Result<Vec<_>, NodeError>>()?;
    let replica = |i: usize| Ok(ReplicaAddress { name: format!("replica{i}"), url: url(members.len() + i)? });
    let replicas = (0..plan.replicas).map(replica).collect::<Result<_, NodeError>>()?;
    let (chain, genesis) = (parameters.chain.clone(), parameters.digest());
    Ok(NetworkFile { chain, genesis, nodes, replicas, keys: Vec::new() })
}

/// What a cluster of `nodes` withstands, for people.
pub fn tolerance_line(nodes: usize) -> String {
    match fault_tolerance(nodes) {
        0 => format!("{nodes} node(s): none may be faulty; take 4 to withstand one"),
        f => format!("{nodes} nodes, of which {f} may be faulty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: usize) -> ClusterPlan {
        ClusterPlan {
            chain: "test".parse().unwrap(),
            nodes,
            consensus: Engine::Comet,
            profile: Profile::Lan,
            creators: vec![],
            ports: DEFAULT_PORTS,
            listen_host: "0.0.0.0".parse().unwrap(),
            url_host: "127.0.0.1".to_owned(),
            p2p_host: "node{}".to_owned(),
            replicas: 0,
        }
    }

    #[test]
    fn all_nodes_share_one_genesis_and_know_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("cluster");
        let cluster = create(&plan(4), &output).unwrap();
        assert_eq!(cluster.network.check(), Ok(()));
        assert_eq!(cluster.network.nodes[2].url, "http://127.0.0.1:8103");
        let document = |i: usize| std::fs::read(cluster.homes[i].join("cometbft/config/genesis.json")).unwrap();
        for (i, path) in cluster.homes.iter().enumerate() {
            let home = Home::new(path).unwrap();
            assert_eq!(genesis::load(&home).unwrap().digest(), cluster.network.genesis);
            assert_eq!(identity::public(&identity::load(&home.identity()).unwrap()), cluster.network.nodes[i].identity);
            assert_eq!(document(i), document(0));
            let config = Config::load(&home).unwrap();
            let comet = config.comet.unwrap();
            assert_eq!(comet.peers.len(), 3);
            assert!(!comet.peers.iter().any(|peer| peer.contains(&format!("@node{i}:"))));
            let channel = config.channel.unwrap();
            assert_eq!(usize::from(channel.listen.port()), 26801 + i);
            let peers: Vec<_> = channel.peers.iter().map(|peer| (peer.name.clone(), peer.address.clone())).collect();
            let others = (0..4).filter(|j| *j != i);
            let expected = others.map(|j| (format!("node{j}"), format!("node{j}:{}", 26801 + j)));
            assert_eq!(peers, expected.collect::<Vec<_>>());
        }
        assert!(matches!(create(&plan(4), &output), Err(NodeError::Exists { .. })));
    }

    #[test]
    fn replicas_know_all_nodes_and_are_known_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = create(&ClusterPlan { replicas: 2, ..plan(4) }, &folder.path().join("cluster")).unwrap();
        assert_eq!(cluster.network.check(), Ok(()));
        let urls: Vec<_> = cluster.network.replicas.iter().map(|replica| replica.url.as_str()).collect();
        assert_eq!(urls, ["http://127.0.0.1:8105", "http://127.0.0.1:8106"]);
        for (i, path) in cluster.replicas.iter().enumerate() {
            let home = Home::new(path).unwrap();
            assert_eq!(genesis::load(&home).unwrap().digest(), cluster.network.genesis);
            let identity = identity::public(&identity::load(&home.identity()).unwrap());
            assert!(cluster.network.nodes.iter().all(|node| node.identity != identity));
            let config = Config::load(&home).unwrap();
            let (settings, peers) = (config.replica.unwrap(), config.comet.unwrap().peers);
            assert_eq!((settings.nodes.len(), settings.writes_at.len(), peers.len()), (4, 4, 2));
            assert!(peers[0].ends_with(&format!("@node{i}:{}", 26601 + i)), "{peers:?}");
            assert!(home.comet().join("config/genesis.json").exists());
            let own = NodeSecrets::load(&home.keys()).unwrap().public().tls;
            for node in &cluster.homes {
                let known = Config::load(&Home::new(node).unwrap()).unwrap().channel.unwrap().replicas;
                assert_eq!(known[i], KnownReplica { name: format!("replica{i}"), tls: own });
            }
        }
    }

    #[test]
    fn impossible_plans_are_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("cluster");
        let ports = |rest, p2p, rpc| Ports { rest, p2p, rpc, channel: 26801 };
        let plans = [
            plan(0),
            plan(65),
            ClusterPlan { consensus: Engine::Solo, ..plan(2) },
            ClusterPlan { replicas: 1, ..plan(1) },
            ClusterPlan { replicas: 65, ..plan(4) },
            ClusterPlan { ports: ports(8101, 8102, 9000), ..plan(2) },
            ClusterPlan { ports: ports(65535, 8102, 9000), ..plan(2) },
            ClusterPlan { ports: ports(8101, 9000, 26802), ..plan(2) },
        ];
        for plan in plans {
            assert!(matches!(create(&plan, &output), Err(NodeError::Invalid { .. })), "{plan:?}");
        }
        assert!(!output.exists());
    }
}

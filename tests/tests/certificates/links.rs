//! All that nodes say to each other goes through here, CometBFT's and the node channel's, so that a test can cut it: who is asked for at which
//! address stands in `node.toml`, and nothing tells one node of another's true address.

use node::{
    config::{ChannelPeer, Config},
    home::Home,
};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};
use white_city_tests::cluster::Cluster;

/// What a way between two nodes does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It carries everything.
    Open,
    /// It carries nothing, and says nothing: what is sent comes when it is open again, as over a network that loses all packets for a while.
    Silent,
    /// It ends every connection.
    Closed,
}

/// The ways between all nodes, each from one that calls to one that is called. They end when this is dropped.
pub struct Links {
    ways: BTreeMap<(usize, usize), watch::Sender<Way>>,
    /// Connections that were held up or ended by a cut.
    hit: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Links {
    /// Lays them between the nodes of a cluster that is not started yet.
    pub async fn lay(cluster: &Cluster) -> Self {
        let mut links = Self { ways: BTreeMap::new(), hit: Arc::default(), tasks: Vec::new() };
        let homes: Vec<Home> = cluster.nodes.iter().map(|node| Home::new(node.home()).unwrap()).collect();
        let configs: Vec<Config> = homes.iter().map(|home| Config::load(home).unwrap()).collect();
        let named = |name: &str| configs.iter().position(|config| config.name == name).unwrap();
        for (from, mut config) in configs.iter().cloned().enumerate() {
            let comet = config.comet.as_mut().unwrap();
            for peer in &mut comet.peers {
                let (id, address) = peer.split_once('@').unwrap();
                let address: SocketAddr = address.parse().unwrap();
                let is_its = |config: &Config| config.comet.as_ref().unwrap().p2p_listen.port() == address.port();
                let to = configs.iter().position(is_its).unwrap();
                *peer = format!("{id}@{}", links.connect(from, to, address).await);
            }
            for ChannelPeer { name, address } in &mut config.channel.as_mut().unwrap().peers {
                *address = links.connect(from, named(name), address.parse().unwrap()).await.to_string();
            }
            std::fs::remove_file(homes[from].config()).unwrap();
            config.save(&homes[from]).unwrap();
        }
        links
    }

    /// Cuts all ways that `crosses` says.
    pub fn cut(&self, crosses: impl Fn(usize, usize) -> bool, how: Way) {
        self.hit.store(0, Ordering::SeqCst);
        for (_, way) in self.ways.iter().filter(|((from, to), _)| crosses(*from, *to)) {
            way.send_replace(how);
        }
    }

    /// How many connections, old and new ones, the cut has hit.
    pub fn hit(&self) -> usize {
        self.hit.load(Ordering::SeqCst)
    }

    pub fn heal(&self) {
        for way in self.ways.values() {
            way.send_replace(Way::Open);
        }
    }

    /// Another address for `to`, under which only `from` calls it.
    async fn connect(&mut self, from: usize, to: usize, address: SocketAddr) -> SocketAddr {
        let way = self.ways.entry((from, to)).or_insert_with(|| watch::Sender::new(Way::Open)).subscribe();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let place = listener.local_addr().unwrap();
        let hit = Arc::clone(&self.hit);
        self.tasks.push(tokio::spawn(async move {
            while let Ok((called, _)) = listener.accept().await {
                tokio::spawn(carry(called, address, way.clone(), Arc::clone(&hit)));
            }
        }));
        place
    }
}

/// One connection. It ends with either end, and with a way that is closed.
async fn carry(caller: TcpStream, address: SocketAddr, mut way: watch::Receiver<Way>, hit: Arc<AtomicUsize>) {
    let was_open = is_open(&mut way, &hit).await;
    let Some(Ok(called)) = (if was_open { Some(TcpStream::connect(address).await) } else { None }) else { return };
    for stream in [&caller, &called] {
        stream.set_nodelay(true).unwrap();
    }
    let ((from_caller, to_caller), (from_called, to_called)) = (caller.into_split(), called.into_split());
    let mut watched = way.clone();
    tokio::select! {
        _ = pass(from_caller, to_called, way.clone(), &hit) => {}
        _ = pass(from_called, to_caller, way, &hit) => {}
        // A way that nobody can open any more is closed, too.
        _ = watched.wait_for(|way| *way == Way::Closed) => { hit.fetch_add(1, Ordering::SeqCst); }
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    hit: &AtomicUsize,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 || !is_open(&mut way, hit).await {
            return Ok(());
        }
        to.write_all(&bytes[..read]).await?;
    }
}

/// Waits while the way is silent; false if it is closed.
async fn is_open(way: &mut watch::Receiver<Way>, hit: &AtomicUsize) -> bool {
    if *way.borrow() != Way::Open {
        hit.fetch_add(1, Ordering::SeqCst);
    }
    way.wait_for(|way| *way != Way::Silent).await.is_ok_and(|way| *way == Way::Open)
}

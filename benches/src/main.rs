//! `white-city-bench`: runs parties by the hundred on real clusters beside the floor and the peers, and makes tables and plots of it.
//!
//! `scripts/bench` builds it and all that it needs, and calls it.

use clap::{Parser, Subcommand, ValueEnum};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};
use white_city_benches::{
    figures::{Figures, Run, Streams, Times},
    floor::Floor,
    kvstore, meter,
    parties::{Done, Strangers},
    plot,
    small::{self, Effort},
    streams, table,
};
use white_city_tests::cluster::Cluster;

/// Parties by the hundred on real clusters, and what each phase takes, beside the floor and the peers.
#[derive(Parser)]
#[command(name = "white-city-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures: for each number of parties the floor and the peers, and then the parties at each number of nodes, on a new cluster each
    /// time. The file has everything as soon as it is measured.
    Run(Options),
    /// Makes tables, and plots, of what was measured.
    Report {
        /// Files that `run` has written. Of what is in several, the last counts.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Draws plots into this folder.
        #[arg(long)]
        plots: Option<PathBuf>,
        /// Writes all figures into one file.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Options {
    /// Numbers of nodes.
    #[arg(long, value_delimiter = ',', default_value = "4,7,16")]
    nodes: Vec<usize>,
    /// Numbers of parties.
    #[arg(long, value_delimiter = ',', default_value = "16,64,128,256,512,1024")]
    parties: Vec<usize>,
    /// Leaves these out.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<Part>,
    /// Adds all figures to those that this file has.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Few parties at four nodes, once: to see that everything works.
    #[arg(long, conflicts_with_all = ["nodes", "parties"])]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Single writes, three parties who sign, a load of small writes.
    Small,
    /// Parties by the hundred, with their floor.
    Parties,
    /// The peer Redis streams.
    Redis,
    /// The peer CometBFT with its kvstore.
    Kvstore,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => run(options).await,
        Command::Report { files, plots, json } => report(&files, plots.as_deref(), json.as_deref()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("white-city-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// True if nothing failed.
async fn run(mut options: Options) -> Result<bool, Box<dyn Error>> {
    let mut effort = Effort::FULL;
    if options.quick {
        (options.nodes, options.parties, effort) = (vec![4], vec![16, 32], Effort::QUICK);
    }
    let mut kept = Kept { file: options.json.clone(), all_well: true };
    let wanted = |part| !options.skip.contains(&part);
    for nodes in options.nodes.iter().copied().filter(|_| wanted(Part::Small)) {
        let measured = tokio::spawn(async move { small::measure(&Cluster::start(nodes, &[]).await, effort).await });
        match measured.await {
            Ok(small) => {
                println!("{}", table::of_small(&small));
                kept.keep(|figures| figures.put_small(small))?;
            }
            Err(error) => kept.failed(&format!("few parties, {nodes} nodes"), &error),
        }
    }
    for parties in options.parties.iter().copied().filter(|_| wanted(Part::Parties)) {
        let peers = Peers::measure(parties, &options, &mut kept).await;
        for nodes in options.nodes.iter().copied() {
            let measured =
                tokio::spawn(async move { Strangers::new(&Cluster::start(nodes, &[]).await).run(parties).await });
            match measured.await {
                Ok(done) => {
                    let run = peers.beside(done, nodes, parties);
                    println!("{}", table::of_run(&run));
                    kept.keep(|figures| figures.put_run(run))?;
                }
                Err(error) => kept.failed(&format!("{parties} parties, {nodes} nodes"), &error),
            }
        }
    }
    Ok(kept.all_well)
}

fn report(files: &[PathBuf], plots: Option<&Path>, json: Option<&Path>) -> Result<bool, Box<dyn Error>> {
    let mut figures = Figures::default();
    for file in files {
        if !file.is_file() {
            return Err(format!("{} is not there", file.display()).into());
        }
        figures.put_all(Figures::read(file).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    println!("{}", table::of_all(&figures));
    if let Some(folder) = plots {
        for file in plot::draw_all(&figures, folder)? {
            eprintln!("{}", file.display());
        }
    }
    if let Some(json) = json {
        figures.write(json)?;
    }
    Ok(true)
}

/// What the parties are compared with.
struct Peers {
    floor: Floor,
    streams: Option<Streams>,
    kvstore: Option<Times>,
}

impl Peers {
    async fn measure(parties: usize, options: &Options, kept: &mut Kept) -> Self {
        let wanted = |part| !options.skip.contains(&part);
        let floor = Floor::measure(parties);
        let mut peers = Self { floor, streams: None, kvstore: None };
        if wanted(Part::Redis) {
            match tokio::spawn(streams::measure(parties)).await {
                Ok(None) => {
                    eprintln!("redis-server is not installed (on Debian: apt-get install redis-server): left out")
                }
                Ok(streams) => peers.streams = streams,
                Err(error) => kept.failed(&format!("Redis, {parties} parties"), &error),
            }
        }
        if wanted(Part::Kvstore) {
            match kvstore::measure(parties).await {
                Ok(times) => peers.kvstore = Some(times),
                Err(error) => kept.failed(&format!("kvstore, {parties} parties"), &error),
            }
        }
        peers
    }

    fn beside(&self, done: Done, nodes: usize, parties: usize) -> Run {
        let Done { phases, memory, mail } = done;
        let Self { floor, streams, kvstore } = *self;
        let (cores, optimised) = (meter::cores(), !cfg!(debug_assertions));
        Run { nodes, parties, cores, optimised, phases, memory, mail, floor, streams, kvstore }
    }
}

/// Figures in a file, if one was named.
struct Kept {
    file: Option<PathBuf>,
    all_well: bool,
}

impl Kept {
    fn keep(&self, put: impl FnOnce(&mut Figures)) -> Result<(), Box<dyn Error>> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut figures = Figures::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        put(&mut figures);
        Ok(figures.write(file)?)
    }

    /// The rest is measured all the same.
    fn failed(&mut self, what: &str, why: &dyn std::fmt::Display) {
        eprintln!("FAILED: {what}: {why}");
        self.all_well = false;
    }
}

//! Parties by the hundred on real clusters: registration with proof of work, handshake, key generation, signing and a private all-to-all
//! round, and what each takes, beside what the parties' computation takes alone.
//!
//! `scripts/bench parties` runs it; `cargo bench ... --bench parties -- --nodes 4,16 --parties 64,512 --json FILE` chooses.

use clap::Parser;
use std::path::PathBuf;
use white_city_benches::{
    floor::Floor,
    parties::{Run, Strangers},
    table,
};
use white_city_tests::cluster::Cluster;

#[derive(Parser)]
struct Arguments {
    /// Numbers of nodes.
    #[arg(long, value_delimiter = ',', default_value = "4,7,16")]
    nodes: Vec<usize>,
    /// Numbers of parties.
    #[arg(long, value_delimiter = ',', default_value = "16,64,128,256,512,1024")]
    parties: Vec<usize>,
    /// Writes all figures there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    for parties in &arguments.parties {
        println!("{}", table::of_floor(&Floor::measure(*parties)));
    }
    let mut runs: Vec<Run> = Vec::new();
    for nodes in &arguments.nodes {
        let cluster = Cluster::start(*nodes, &[]).await;
        let strangers = Strangers::new(&cluster);
        for parties in &arguments.parties {
            let run = strangers.run(*parties).await;
            println!("{}", table::of_run(&run));
            runs.push(run);
        }
    }
    if let Some(file) = arguments.json {
        std::fs::write(file, serde_json::to_vec_pretty(&runs).expect("figures are JSON")).expect("the file is written");
    }
}

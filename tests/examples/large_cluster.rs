//! Writes the manifests of a large cluster: `cargo run --release -p svc-lb-tests --example large_cluster --
//! DIRECTORY SERVICES ENDPOINTS`.

use anyhow::Result;
use clap::Parser;
use std::{fs, path::PathBuf};
use svc_lb_tests::large_cluster::LargeCluster;

/// Writes the manifests of a large cluster.
#[derive(Parser)]
struct Arguments {
    /// Where to: it is made if it is not there
    directory: PathBuf,
    /// How many Services
    services: u32,
    /// How many endpoints each of them has
    #[arg(default_value_t = 10)]
    endpoints: u32,
}

fn main() -> Result<()> {
    let Arguments { directory, services, endpoints } = Arguments::parse();
    fs::create_dir_all(&directory)?;
    let bytes = LargeCluster::new(services, endpoints).write(&directory)?;
    println!("{} Services in {}: {bytes} bytes", services, directory.display());
    Ok(())
}

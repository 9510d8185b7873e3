//! What the first packet of a connection costs among few Services, and among many.

use super::{
    attached::{Attached, PROGRAM},
    scene::Scene,
    thousands,
};
use crate::{
    measurement::{Measurement, Unit},
    report::Group,
    rounds::Effort,
};
use anyhow::{Result, ensure};
use svc_lb_tests::large_cluster::LargeCluster;

/// Rounds.
const ROUNDS: usize = 9;
/// Connections a round.
const CONNECTIONS: u32 = 2000;

/// Measures first packets in each scene, the one with the fewest Services first.
pub fn measure(scenes: &[Scene], effort: Effort) -> Result<Group> {
    let mut values = vec![Vec::new(); scenes.len()];
    // The first round is not counted: it warms caches and tables.
    for round in 0..=effort.rounds(ROUNDS) as u32 {
        for (scene, values) in scenes.iter().zip(&mut values) {
            let took = scene.with_client(|client| connect_to_all(client, &scene.cluster, round))?;
            if round > 0 {
                values.push(took);
            }
        }
    }
    let mut measurements: Vec<Measurement> = Vec::new();
    for (scene, values) in scenes.iter().zip(values) {
        let services = scene.cluster.services();
        let name = format!("{} Services", thousands(services));
        let measurement = Measurement::new(name, Unit::Nanoseconds, values);
        measurements.push(match measurements.first() {
            Some(fewest) => measurement.times_of(fewest, (services == 50_000).then_some(1.2)),
            None => measurement,
        });
    }
    Ok(Group {
        title: format!("A first packet from a pod to a ClusterIP, in {}", PROGRAM.name()),
        measurements,
    })
}

/// Opens connections to Services that are spread over all of them. Returns the median of what the first packets
/// took, in nanoseconds.
fn connect_to_all(client: &Attached, cluster: &LargeCluster, round: u32) -> Result<f64> {
    let mut took = Vec::new();
    for connection in 0..CONNECTIONS {
        // A prime, so that no two connections meet in what the processor caches.
        let service = (round * CONNECTIONS + connection) * 7919 % cluster.services();
        let target = cluster.cluster_ip(service);
        let sent = client.connect(target)?;
        ensure!(cluster.endpoints(service).contains(&sent.to), "a packet to {target} went to {}", sent.to);
        took.push(sent.took);
    }
    took.sort_unstable();
    Ok(took[took.len() / 2].as_secs_f64() * 1e9)
}

//! The first packet of a connection: what it takes must not depend on how many Services there are.

use super::{
    attached::{Attached, PROGRAM},
    scene::Scene,
};
use crate::{
    measurement::{Measurement, Unit, median},
    processor,
    report::{Group, thousands},
    rounds::{self, Effort},
    traffic::{Connection, Listener},
};
use anyhow::{Result, ensure};
use std::sync::atomic::{AtomicU32, Ordering};
use svc_lb_tests::large_cluster::LargeCluster;

/// Rounds of a full measurement.
const ROUNDS: usize = 60;
/// The same for a first impression.
const QUICK_ROUNDS: usize = 15;
/// Connections of a scene in a round.
const CONNECTIONS: u32 = 500;

/// How often it may take what it takes among the fewest Services.
const FLAT: f64 = 1.2;
/// The number of Services that has this target, in the program.
const MANY: u32 = 50_000;
/// From how many Services on the client has it.
const MANY_FOR_A_CLIENT: u32 = 10_000;

/// Measures first packets in each scene, the one with the fewest Services first.
pub fn measure(scenes: &[Scene], effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let measure = |title: &str, unit, target: &dyn Fn(u32) -> bool, leg: &dyn Fn(&Scene) -> Result<f64>| {
        let rounds = effort.of(ROUNDS, QUICK_ROUNDS);
        let values = rounds::interleaved_all(scenes.len(), rounds, |scene| leg(&scenes[scene]))?;
        anyhow::Ok(group(title, scenes, unit, values, target))
    };
    done(measure(
        "From a SYN to its answer: connect() from a pod to the ClusterIPs of all Services in turns",
        Unit::Microseconds,
        &|services| services >= MANY_FOR_A_CLIENT,
        &|scene| scene.in_client(|listener| connections(listener, &scene.cluster)),
    )?);
    done(measure(
        &format!(
            "The program's part of that: a first packet to all Services in turns, in {}",
            PROGRAM.name()
        ),
        Unit::Nanoseconds,
        &|services| services == MANY,
        &|scene| scene.with_client(|client| first_packets(client, &scene.cluster, next_service)),
    )?);
    done(measure(
        &format!(
            "The same with what it needs in the caches: a first packet to one Service, in {}",
            PROGRAM.name()
        ),
        Unit::Nanoseconds,
        &|_| false,
        &|scene| scene.with_client(|client| first_packets(client, &scene.cluster, |_| 0)),
    )?);
    Ok(())
}

fn group(
    title: &str,
    scenes: &[Scene],
    unit: Unit,
    values: Vec<Vec<f64>>,
    has_target: &dyn Fn(u32) -> bool,
) -> Group {
    let mut measurements: Vec<Measurement> = Vec::new();
    for (scene, values) in scenes.iter().zip(values) {
        let services = scene.cluster.services();
        let measurement = Measurement::new(format!("{} Services", thousands(services)), unit, values);
        measurements.push(match measurements.first() {
            Some(fewest) => measurement.times_of(fewest, has_target(services).then_some(FLAT)),
            None => measurement,
        });
    }
    Group { title: title.to_owned(), measurements }
}

/// The Service whose turn it is: all have theirs, in no order.
fn next_service(cluster: &LargeCluster) -> u32 {
    static CONNECTIONS: AtomicU32 = AtomicU32::new(0);
    // A prime, so that no two that follow each other meet in what the processor caches.
    let place = u64::from(CONNECTIONS.fetch_add(1, Ordering::Relaxed)) * 7919;
    (place % u64::from(cluster.services())) as u32
}

/// Connects to Services in turns. Returns the median of what a client waited for an answer, in microseconds.
fn connections(listener: &Listener, cluster: &LargeCluster) -> Result<f64> {
    processor::stay_on_one()?;
    let took = (0..CONNECTIONS).map(|_| {
        let target = cluster.cluster_ip(next_service(cluster));
        Ok(Connection::open(target, listener)?.answered_after.as_secs_f64() * 1e6)
    });
    Ok(median(took.collect::<Result<Vec<_>>>()?.into_iter()))
}

/// Runs the program on the first packets of connections to Services. Returns the median of what it took, in
/// nanoseconds.
fn first_packets(
    client: &Attached,
    cluster: &LargeCluster,
    service: impl Fn(&LargeCluster) -> u32,
) -> Result<f64> {
    processor::stay_on_one()?;
    let took = (0..CONNECTIONS).map(|_| {
        let service = service(cluster);
        let target = cluster.cluster_ip(service);
        let sent = client.connect(target)?;
        ensure!(cluster.endpoints(service).contains(&sent.to), "a packet to {target} went to {}", sent.to);
        Ok(sent.took.as_secs_f64() * 1e9)
    });
    Ok(median(took.collect::<Result<Vec<_>>>()?.into_iter()))
}

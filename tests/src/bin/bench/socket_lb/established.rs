//! How fast a connection is once it is there: its packets should be those of a direct one.

use super::{Scene, Socket};
use crate::{
    legs,
    measurement::{Measurement, Unit},
    processor::Workers,
    report::Group,
    rounds::{Effort, interleaved},
    traffic::Connection,
};
use anyhow::Result;
use std::net::SocketAddr;
use svc_lb_tests::plan::FAMILIES;

/// Rounds of a full measurement.
const ROUNDS: usize = 200;
/// The same for a first impression.
const QUICK_ROUNDS: usize = 12;

/// How fast it must be, a direct connection being 1.
const LEAST_SPEED: f64 = 0.95;

/// Measures latency and throughput in both families.
pub fn measure(scene: &Scene, effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    for family in FAMILIES {
        let variants = [
            (Socket::Outside, scene.backend(family)),
            (Socket::Outside, scene.backend(family)),
            (Socket::Inside, scene.cluster_ip(family)),
        ];
        let mut measure = |name: &str, unit, leg: fn(&Workers, Connection) -> Result<f64>| -> Result<()> {
            let values = interleaved(effort.of(ROUNDS, QUICK_ROUNDS), |variant| {
                let (socket, target): (Socket, SocketAddr) = variants[variant];
                scene.client(socket, || leg(&Workers::gather()?, Connection::open(target, &scene.listener)?))
            })?;
            done(group(format!("{name} of an established TCP connection, {family}"), unit, values));
            Ok(())
        };
        measure("Median latency of requests", Unit::Microseconds, |_, connection| {
            Ok(legs::latency(connection)?.median)
        })?;
        measure("Throughput", Unit::GigabitsPerSecond, legs::throughput)?;
    }
    Ok(())
}

fn group(title: String, unit: Unit, [direct, again, socket_lb]: [Vec<f64>; 3]) -> Group {
    let direct = Measurement::new("direct", unit, direct);
    let again = Measurement::new("direct again: the noise", unit, again).speed_of(&direct, None);
    let socket_lb =
        Measurement::new("ClusterIP, socket LB", unit, socket_lb).speed_of(&direct, Some(LEAST_SPEED));
    Group { title, measurements: vec![direct, again, socket_lb] }
}

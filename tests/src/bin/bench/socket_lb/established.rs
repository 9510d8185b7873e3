//! How fast a connection is once it is there: its packets should be those of a direct one.

use super::{Scene, Socket};
use crate::{
    measurement::{Measurement, Unit, median},
    processor,
    report::Group,
    rounds::{Effort, interleaved},
    traffic::Connection,
};
use anyhow::Result;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use svc_lb_tests::plan::FAMILIES;

/// Rounds of a full measurement.
const ROUNDS: usize = 100;

/// How long a connection is measured each round: what else the machine does has hardly changed when it is the
/// next one's turn.
const LEG: Duration = Duration::from_millis(50);

/// Requests before latency is measured.
const FIRST_REQUESTS: usize = 200;

/// Bytes before throughput is measured: they open the windows.
const FIRST_BYTES: u64 = 50_000_000;

/// Bytes that are sent between two looks at the clock.
const BYTES: u32 = 10_000_000;

/// How fast it must be, a direct connection being 1.
const LEAST_SPEED: f64 = 0.95;

/// Measures latency and throughput in both families.
pub fn measure(scene: &Scene, effort: Effort, done: &mut dyn FnMut(Group)) -> Result<()> {
    for family in FAMILIES {
        let variants = [
            (Socket::Outside, scene.backend(family)),
            (Socket::Outside, scene.backend(family)),
            (Socket::Inside, scene.cluster_ip(family)),
        ];
        let mut measure = |name: &str, unit, leg: fn(Connection) -> Result<f64>| -> Result<()> {
            let values = interleaved(effort.rounds(ROUNDS), |variant| {
                let (socket, target): (Socket, SocketAddr) = variants[variant];
                scene.client(socket, || {
                    processor::stay_on_one()?;
                    leg(Connection::open(target, &scene.listener)?)
                })
            })?;
            done(group(format!("{name} of an established TCP connection, {family}"), unit, values));
            Ok(())
        };
        measure("Median latency of requests", Unit::Microseconds, latency)?;
        measure("Throughput", Unit::GigabitsPerSecond, throughput)?;
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

/// The median time of a request, in microseconds.
fn latency(mut connection: Connection) -> Result<f64> {
    for _ in 0..FIRST_REQUESTS {
        connection.ask()?;
    }
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < LEG {
        let asked = Instant::now();
        connection.ask()?;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times.into_iter()))
}

/// Gigabits a second.
fn throughput(mut connection: Connection) -> Result<f64> {
    connection.send(FIRST_BYTES)?;
    let rate = processor::rate(LEG, || connection.send(BYTES.into()))?;
    Ok(rate * f64::from(BYTES) * 8e-9)
}

//! What is done with a variant each round: it makes connections, asks, or sends.

use crate::{
    measurement::percentile,
    processor::{self, Workers},
    traffic::{Connection, Listener},
};
use anyhow::Result;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long: what else the machine does has hardly changed when it is the next one's turn.
const LEG: Duration = Duration::from_millis(20);

/// Connections between two looks at the clock.
const CONNECTIONS: u32 = 20;

/// Requests before latency is measured.
const FIRST_REQUESTS: usize = 200;

/// Bytes before throughput is measured: they open the windows.
const FIRST_BYTES: u64 = 10_000_000;

/// Bytes that are sent between two looks at the clock.
const BYTES: u32 = 2_000_000;

/// How long requests take, in microseconds.
pub struct Latency {
    /// Half of them take no longer.
    pub median: f64,
    /// 99 % of them take no longer.
    pub p99: f64,
}

/// How many connections a second one processor makes: connect, request, answer, reset.
pub fn connections(workers: &Workers, target: SocketAddr, listener: &Listener) -> Result<f64> {
    let rate = processor::rate(workers, LEG, || {
        (0..CONNECTIONS).try_for_each(|_| Connection::open(target, listener)?.ask())
    })?;
    Ok(rate * f64::from(CONNECTIONS))
}

/// How long the requests of a connection take, by the clock on the wall.
pub fn latency(mut connection: Connection) -> Result<Latency> {
    for _ in 0..FIRST_REQUESTS {
        connection.ask()?;
    }
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < LEG {
        let asked = Instant::now();
        connection.ask()?;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(Latency { median: percentile(&times, 50), p99: percentile(&times, 99) })
}

/// Gigabits a second that one processor moves.
pub fn throughput(workers: &Workers, mut connection: Connection) -> Result<f64> {
    connection.send(FIRST_BYTES)?;
    let rate = processor::rate(workers, LEG, || connection.send(BYTES.into()))?;
    Ok(rate * f64::from(BYTES) * 8e-9)
}

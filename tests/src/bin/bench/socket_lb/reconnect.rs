//! What a call of connect() costs: a UDP socket is connected over and over, which sends no packet.

use super::{Scene, Socket};
use crate::{
    measurement::{Measurement, Unit},
    processor::{Stopwatch, Workers},
    report::Group,
    rounds::{Effort, interleaved},
};
use anyhow::Result;
use socket2::{Domain, SockAddr, Type};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::plan::FAMILIES;

/// Rounds of a full measurement.
const ROUNDS: usize = 101;
/// The same for a first impression.
const QUICK_ROUNDS: usize = 9;

/// Calls of a round: few enough that most rounds are over before anything comes between.
const CALLS: u32 = 2_000;

/// How many nanoseconds more than without svc-lb a call may take for a frontend.
const MORE_FOR_A_FRONTEND: f64 = 300.0;

/// How many nanoseconds more it may take for anything else.
const MORE_FOR_ANYTHING_ELSE: f64 = 100.0;

/// Measures it in both families.
pub fn measure(scene: &Scene, effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    for family in FAMILIES {
        let (backend, cluster_ip) = (scene.backend(family), scene.cluster_ip(family));
        let calls = [
            Call::prepare(scene, Socket::Outside, backend)?,
            Call::prepare(scene, Socket::Outside, backend)?,
            Call::prepare(scene, Socket::Inside, backend)?,
            Call::prepare(scene, Socket::Inside, cluster_ip)?,
        ];
        // One thread makes all calls: only the sockets differ.
        let values = scene.client(Socket::Outside, || {
            let thread = Workers::gather()?;
            interleaved::<_, 4>(effort.of(ROUNDS, QUICK_ROUNDS), |variant| calls[variant].time(&thread))
        })?;
        done(group(family, values));
    }
    Ok(())
}

fn group(family: Family, [direct, again, other, frontend]: [Vec<f64>; 4]) -> Group {
    let measurement = |name: &str, values| Measurement::new(name, Unit::Nanoseconds, values);
    let direct = measurement("direct", direct);
    let again = measurement("direct again: the noise", again).more_than(&direct, None);
    let other = measurement("socket LB, no frontend", other).more_than(&direct, Some(MORE_FOR_ANYTHING_ELSE));
    let frontend =
        measurement("socket LB, ClusterIP", frontend).more_than(&direct, Some(MORE_FOR_A_FRONTEND));
    Group {
        title: format!("connect() of a UDP socket, {family}: time of the processor"),
        measurements: vec![direct, again, other, frontend],
    }
}

/// A socket, and what it is connected to.
struct Call {
    socket: socket2::Socket,
    target: SockAddr,
}

impl Call {
    fn prepare(scene: &Scene, socket: Socket, target: SocketAddr) -> Result<Self> {
        let socket = scene
            .client(socket, || Ok(socket2::Socket::new(Domain::for_address(target), Type::DGRAM, None)?))?;
        Ok(Self { socket, target: target.into() })
    }

    /// How many nanoseconds a call takes.
    fn time(&self, thread: &Workers) -> Result<f64> {
        let stopwatch = Stopwatch::start(thread)?;
        for _ in 0..CALLS {
            self.socket.connect(&self.target)?;
        }
        Ok(stopwatch.elapsed()?.as_secs_f64() * 1e9 / f64::from(CALLS))
    }
}

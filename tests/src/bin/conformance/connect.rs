//! A process of the node connects: really, in a cgroup whose sockets are balanced.

use crate::{
    network::Network,
    outcome::{Outcome, Sight},
};
use anyhow::{Context, Result};
use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};
use svc_lb::dataplane::Dataplane;
use svc_lb_common::counters::Program;
use svc_lb_tests::cgroup::Cgroup;

/// How long a connection may take that nobody answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects once, in the calling thread's network namespace. Nobody but svc-lb decides on its source.
pub fn connect(
    cgroup: &Cgroup,
    dataplane: &Dataplane,
    network: &Network<'_>,
    target: SocketAddr,
) -> Result<Outcome> {
    let (rejected, dropped) = refusals(dataplane)?;
    let connected = thread::scope(|scope| {
        let connect = || -> Result<io::Result<TcpStream>> {
            cgroup.join()?;
            Ok(TcpStream::connect_timeout(&target, PATIENCE))
        };
        scope.spawn(connect).join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    })?;
    let stream = match connected {
        Ok(stream) => stream,
        // Others refuse too: what svc-lb did it counts.
        Err(_) if refusals(dataplane)?.0 > rejected => return Ok(Outcome::Reject),
        Err(_) if refusals(dataplane)?.1 > dropped => return Ok(Outcome::Drop),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(Outcome::NotHandled),
        Err(error) => return Err(error).context("the node cannot connect"),
    };
    let (backend, sees) = network.accept(stream.local_addr()?)?;
    Ok(Outcome::of(Sight { backend, sees }))
}

/// How many connections of sockets were rejected so far, and how many dropped.
fn refusals(dataplane: &Dataplane) -> Result<(u64, u64)> {
    let programs = dataplane.statistics()?.programs;
    let connecting = [Program::SockConnect4, Program::SockConnect6];
    let of = |count: fn(&svc_lb::dataplane::view::Finished) -> u64| {
        connecting.iter().filter_map(|program| programs.get(program.name())).map(count).sum()
    };
    Ok((of(|it| it.rejected), of(|it| it.dropped)))
}

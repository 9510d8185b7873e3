//! How many connections can be made: connect, request, answer, reset.

use super::{Scene, Socket};
use crate::{
    kube_proxy,
    measurement::{Measurement, Unit},
    report::Group,
    rounds::{Effort, interleaved},
    traffic::{Connection, PORT, Server},
};
use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Service, Topology,
    network::Network,
    plan::{CLUSTER_CIDR, FAMILIES, SERVICE_RANGE},
};

/// Rounds of a full measurement.
const ROUNDS: usize = 30;

/// How long connections are made each round.
const LEG: Duration = Duration::from_millis(200);

/// Clients at the same time: both processors of a small machine are busy all the time.
const CLIENTS: usize = 6;

/// How fast socket LB must be, direct connections being 1.
const LEAST_SPEED: f64 = 0.95;

/// How fast it must be, connections by nftables being 1.
const LEAST_SPEED_BESIDE_NFTABLES: f64 = 1.1;

/// Measures it in both families.
pub fn measure(scene: &Scene, effort: Effort, done: &mut dyn FnMut(Group)) -> Result<()> {
    let nftables = Nftables::build()?;
    for family in FAMILIES {
        let (backend, cluster_ip) = (scene.backend(family), scene.cluster_ip(family));
        let values = interleaved(effort.rounds(ROUNDS), |variant| match variant {
            0 | 1 => scene.client(Socket::Outside, || rate(backend)),
            2 => scene.client(Socket::Inside, || rate(cluster_ip)),
            3 => scene.client(Socket::Outside, || rate(cluster_ip)),
            _ => nftables.client.namespace().enter(|| rate(nftables.service.cluster_ip(family))),
        })?;
        done(group(family, values));
    }
    Ok(())
}

fn group(family: Family, [direct, again, socket_lb, tc, nftables]: [Vec<f64>; 5]) -> Group {
    let measurement = |name: &str, values| Measurement::new(name, Unit::ConnectionsPerSecond, values);
    let direct = measurement("direct", direct);
    let again = measurement("direct again: the noise", again).speed_of(&direct, None);
    let nftables = measurement("ClusterIP, kube-proxy's nftables", nftables).speed_of(&direct, None);
    let tc = measurement("ClusterIP, packets (tc)", tc).speed_of(&direct, None);
    let socket_lb = measurement("ClusterIP, socket LB", socket_lb)
        .speed_of(&direct, Some(LEAST_SPEED))
        .speed_of(&nftables, Some(LEAST_SPEED_BESIDE_NFTABLES));
    Group {
        title: format!("TCP connections with a request each, {family}"),
        measurements: vec![direct, again, nftables, tc, socket_lb],
    }
}

/// How many connections a second the clients make together. One that fails ends the measurement.
fn rate(target: SocketAddr) -> Result<f64> {
    let start = Instant::now();
    let clients = || -> Result<u32> {
        let mut connections = 0;
        while start.elapsed() < LEG {
            Connection::open(target)?.ask()?;
            connections += 1;
        }
        Ok(connections)
    };
    let connections = thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(clients)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<u32>>| {
            thread.join().map_err(|_| anyhow!("a client panicked"))?
        };
        threads.into_iter().map(join).sum::<Result<u32>>()
    })?;
    Ok(f64::from(connections) / start.elapsed().as_secs_f64())
}

/// The same pods and the same Service on a node without svc-lb, where nftables translates as kube-proxy would
/// have it.
struct Nftables {
    client: Host,
    service: Service,
    _backend: Host,
    _network: Network,
    _server: Server,
}

impl Nftables {
    fn build() -> Result<Self> {
        let network = Network::build(Topology::Routed, true)?;
        let (client, backend) = (network.pod("client")?, network.pod("backend")?);
        let server = Server::start(backend.namespace())?;
        let service = Service::number(1).and(&backend, PORT);
        for family in FAMILIES {
            let cluster = kube_proxy::Cluster {
                pods: range(CLUSTER_CIDR, family)?,
                services: range(SERVICE_RANGE, family)?,
                node: network.node.address(family),
            };
            let port = kube_proxy::ServicePort {
                name: format!("default/{}/tcp", service.name()),
                cluster_ip: service.cluster_ip(family),
                node_port: Some(service.node_port()),
                endpoints: vec![SocketAddr::new(backend.address(family), PORT)],
            };
            kube_proxy::load(network.node.namespace(), &cluster, &[port])?;
        }
        Ok(Self { client, service, _backend: backend, _network: network, _server: server })
    }
}

/// The range of a family, of a list.
fn range(list: &str, family: Family) -> Result<IpNet> {
    let ranges = list.split(',').map(str::parse).collect::<Result<Vec<IpNet>, _>>()?;
    ranges.into_iter().find(|range| Family::of(range.addr()) == family).context("a family without a range")
}

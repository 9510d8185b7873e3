//! How many connections can be made: connect, request, answer, reset.

use super::{Scene, Socket};
use crate::{
    kube_proxy,
    measurement::{Measurement, Unit},
    processor,
    report::Group,
    rounds::{Effort, interleaved},
    traffic::{Connection, Listener, PORT},
};
use anyhow::{Context, Result};
use ipnet::IpNet;
use std::{net::SocketAddr, time::Duration};
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

/// How fast socket LB must be, direct connections being 1.
const LEAST_SPEED: f64 = 0.95;

/// How fast it must be, connections by nftables being 1.
const LEAST_SPEED_BESIDE_NFTABLES: f64 = 1.1;

/// Measures it in both families.
pub fn measure(scene: &Scene, effort: Effort, done: &mut dyn FnMut(Group)) -> Result<()> {
    let nftables = Nftables::build()?;
    let packets = scene.rig.pod_outside_the_cgroup("packets")?;
    for family in FAMILIES {
        let (backend, cluster_ip, listener) =
            (scene.backend(family), scene.cluster_ip(family), &scene.listener);
        let values = interleaved(effort.rounds(ROUNDS), |variant| match variant {
            0 | 1 => scene.client(Socket::Outside, || rate(backend, listener)),
            2 => scene.client(Socket::Inside, || rate(cluster_ip, listener)),
            3 => packets.namespace().enter(|| rate(cluster_ip, listener)),
            _ => nftables
                .client
                .namespace()
                .enter(|| rate(nftables.service.cluster_ip(family), &nftables.listener)),
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

/// How many connections a second one processor makes. One that fails ends the measurement.
fn rate(target: SocketAddr, listener: &Listener) -> Result<f64> {
    processor::stay_on_one()?;
    let (start, mut connections) = (processor::time_of_thread()?, 0_u32);
    loop {
        Connection::open(target, listener)?.ask()?;
        connections += 1;
        let took = processor::time_of_thread()? - start;
        if took > LEG {
            return Ok(f64::from(connections) / took.as_secs_f64());
        }
    }
}

/// The same pods and the same Service on a node without svc-lb, where nftables translates as kube-proxy would
/// have it.
struct Nftables {
    client: Host,
    service: Service,
    _backend: Host,
    _network: Network,
    listener: Listener,
}

impl Nftables {
    fn build() -> Result<Self> {
        let network = Network::build(Topology::Routed, true)?;
        let (client, backend) = (network.pod("client")?, network.pod("backend")?);
        let listener = Listener::start(backend.namespace())?;
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
        Ok(Self { client, service, _backend: backend, _network: network, listener })
    }
}

/// The range of a family, of a list.
fn range(list: &str, family: Family) -> Result<IpNet> {
    let ranges = list.split(',').map(str::parse).collect::<Result<Vec<IpNet>, _>>()?;
    ranges.into_iter().find(|range| Family::of(range.addr()) == family).context("a family without a range")
}

//! How many connections can be made: connect, request, answer, reset.
//!
//! Neither node has rules but those of its load balancer. So connections are tracked on kube-proxy's node, which
//! cannot do without, and not on svc-lb's, which can.

use super::{Scene, Socket};
use crate::{
    kube_proxy::{self, Cluster, ServicePort},
    legs,
    measurement::{Measurement, Unit},
    nft,
    processor::Workers,
    report::Group,
    rounds::{Effort, interleaved},
    traffic::{Listener, PORT},
};
use anyhow::Result;
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Service, Topology,
    network::Network,
    plan::{CLUSTER_CIDR, FAMILIES, SERVICE_RANGE},
};

/// Rounds of a full measurement.
const ROUNDS: usize = 200;
/// The same for a first impression.
const QUICK_ROUNDS: usize = 12;

/// How fast socket LB must be, direct connections being 1.
const LEAST_SPEED: f64 = 0.95;

/// How fast it must be, connections by nftables being 1.
const LEAST_SPEED_BESIDE_NFTABLES: f64 = 1.1;

/// Measures it in both families. A connection that fails ends the measurement.
pub fn measure(scene: &Scene, effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    nft::run(scene.rig.node().namespace(), nft::FLUSH)?;
    // A pod of its own. To the backend a translated connection is the same as a direct one from the same port,
    // and the kernel gives a port twice where the destinations differ.
    let packets = scene.rig.pod_outside_the_cgroup("packets")?;
    let kube_proxy = KubeProxy::build()?;
    for family in FAMILIES {
        let (backend, cluster_ip) = (scene.backend(family), scene.cluster_ip(family));
        let values = interleaved(effort.of(ROUNDS, QUICK_ROUNDS), |variant| match variant {
            0 | 1 => scene.client(Socket::Outside, || rate(backend, &scene.listener)),
            2 => kube_proxy.client.namespace().enter(|| rate(cluster_ip, &kube_proxy.listener)),
            3 => packets.namespace().enter(|| rate(cluster_ip, &scene.listener)),
            _ => scene.client(Socket::Inside, || rate(cluster_ip, &scene.listener)),
        })?;
        done(group(family, values));
    }
    Ok(())
}

fn group(family: Family, [direct, again, nftables, tc, socket_lb]: [Vec<f64>; 5]) -> Group {
    let measurement = |name: &str, values| Measurement::new(name, Unit::ConnectionsPerSecond, values);
    let direct = measurement("direct", direct);
    let again = measurement("direct again: the noise", again).speed_of(&direct, None);
    let nftables = measurement("kube-proxy's nftables", nftables).speed_of(&direct, None);
    let tc = measurement("svc-lb, packets (tc)", tc).speed_of(&direct, None);
    let socket_lb = measurement("svc-lb, socket LB", socket_lb)
        .speed_of(&direct, Some(LEAST_SPEED))
        .speed_of(&nftables, Some(LEAST_SPEED_BESIDE_NFTABLES));
    Group {
        title: format!("TCP connections to a ClusterIP, a request each, {family}: by one processor"),
        measurements: vec![direct, again, nftables, tc, socket_lb],
    }
}

fn rate(target: SocketAddr, listener: &Listener) -> Result<f64> {
    legs::connections(&Workers::gather()?, target, listener)
}

/// The same pods and the same Service on a node without svc-lb, where nftables translates as kube-proxy would
/// have it.
struct KubeProxy {
    client: Host,
    listener: Listener,
    _backend: Host,
    _network: Network,
}

impl KubeProxy {
    fn build() -> Result<Self> {
        let network = Network::build(Topology::Routed, true)?;
        let (client, backend) = (network.pod("client")?, network.pod("backend")?);
        let listener = Listener::start(backend.namespace())?;
        let service = Service::number(super::SERVICE);
        nft::run(network.node.namespace(), nft::FLUSH)?;
        for family in FAMILIES {
            let cluster = Cluster::of(&network.node, [CLUSTER_CIDR, SERVICE_RANGE], family)?;
            let port = ServicePort {
                name: format!("default/{}/tcp", service.name()),
                cluster_ip: service.cluster_ip(family),
                node_port: Some(service.node_port()),
                endpoints: vec![SocketAddr::new(backend.address(family), PORT)],
            };
            nft::run(network.node.namespace(), &kube_proxy::ruleset(&cluster, &[port]))?;
        }
        Ok(Self { client, listener, _backend: backend, _network: network })
    }
}

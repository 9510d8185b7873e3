//! What is measured: a node with one load balancer, a client outside, a pod that is a client, and two backends.

use super::{
    haproxy::{self, Haproxy},
    others,
};
use crate::{
    kube_proxy::{self, Cluster, ServicePort, iptables},
    nft,
    processor::Workers,
    traffic::{Connection, Listener, PORT},
};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_common::counters::Program;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Topology, Xdp,
    network::Network,
    offload,
    plan::{CLUSTER_CIDR, SERVICE_RANGE},
    pods::veth,
    wait::{SOON, until},
};

/// The second node is behind the node, not beside it: the way to it is the same with and without a load balancer.
const TOPOLOGY: Topology = Topology::TwoUplinks;

/// The number of the Service with the backend on the node, and of that with the backend on the second node.
const LOCAL: u8 = 1;
const REMOTE: u8 = 2;

/// From where a client speaks to which Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a pod to the ClusterIP of the Service whose backend is in another pod of the node.
    ClusterIp,
    /// From outside to the nodePort of the same Service.
    LocalNodePort,
    /// From outside to the nodePort of the Service whose backend is on the second node.
    RemoteNodePort,
}

/// What stands between the client and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// Nothing: the client speaks to the backend's address, and the node forwards that without any rules.
    None,
    /// The rules of kube-proxy's nftables mode.
    Nftables,
    /// The rules of its iptables mode.
    Iptables,
    /// HAProxy on the node.
    Haproxy,
    /// svc-lb with native XDP.
    Xdp,
    /// svc-lb without XDP.
    Tc,
    /// svc-lb where sockets of pods are balanced, in a pod whose sockets are.
    SocketLb,
}

/// The hosts of a node with a load balancer.
pub struct Site {
    place: Place,
    /// Clients whose sockets are balanced where any are, and those whose sockets never are.
    pods: [Host; 2],
    backends: [Backend; 2],
    haproxy: Option<Haproxy>,
}

enum Place {
    Rig(Rig),
    Network(Network),
}

/// A backend, and the Service that it is behind.
struct Backend {
    host: Host,
    listener: Listener,
    service: Service,
}

impl Backend {
    fn start(host: Host, service: u8) -> Result<Self> {
        let listener = Listener::start(host.namespace())?;
        let service = Service::number(service).and(&host, PORT);
        Ok(Self { host, listener, service })
    }

    fn address(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.host.address(family), PORT)
    }

    fn port(&self, family: Family) -> ServicePort {
        ServicePort {
            name: format!("default/{}/tcp", self.service.name()),
            cluster_ip: self.service.cluster_ip(family),
            node_port: Some(self.service.node_port()),
            endpoints: vec![self.address(family)],
        }
    }
}

impl Site {
    /// One with svc-lb, which has so many other Services too. With native XDP nothing arrives from a lan whose checksum is not finished, as from a wire.
    pub fn with_svc_lb(xdp: Xdp, others: u16) -> Result<Self> {
        let rig = Rig::of(TOPOLOGY).xdp(xdp).quiet();
        let rig = if xdp == Xdp::Native { rig } else { rig.with_offloads().socket_lb(SocketLb::On) };
        let rig = rig.start()?;
        nft::run(rig.node().namespace(), nft::FLUSH)?;
        let pods = [rig.pod("client")?, rig.pod_outside_the_cgroup("packets")?];
        let backends = [
            Backend::start(rig.pod_outside_the_cgroup("local")?, LOCAL)?,
            Backend::start(rig.remote_pod("remote")?, REMOTE)?,
        ];
        rig.apply(&backends.each_ref().map(|backend| &backend.service))?;
        let served = || {
            let status = rig.json(&["status"])?;
            status["agent"]["counts"]["servicePorts"].as_u64().context("no count of ports in the status")
        };
        // One a family.
        let wanted = served()? + 2 * u64::from(others);
        rig.write_file("others.yaml", &others::manifests(others))?;
        until("svc-lb has the other Services too", 6 * SOON, || Ok((served()? == wanted).then_some(())))?;
        rig.await_sync()?;
        Ok(Self { place: Place::Rig(rig), pods, backends, haproxy: None })
    }

    /// One without svc-lb. kube-proxy's rules are for so many other Services too.
    pub fn without_svc_lb(balancer: Balancer, families: &[Family], others: u16) -> Result<Self> {
        let network = Network::build(TOPOLOGY, true)?;
        nft::run(network.node.namespace(), nft::FLUSH)?;
        let pods = [network.pod("client")?, network.pod("packets")?];
        let backends = [
            Backend::start(network.pod("local")?, LOCAL)?,
            Backend::start(network.remote_pod("remote")?, REMOTE)?,
        ];
        let mut site = Self { place: Place::Network(network), pods, backends, haproxy: None };
        match balancer {
            Balancer::Nftables | Balancer::Iptables => {
                families.iter().try_for_each(|&family| site.add_rules(balancer, family, others))?;
            }
            Balancer::Haproxy => site.haproxy = Some(site.start_haproxy(families)?),
            Balancer::None | Balancer::Xdp | Balancer::Tc | Balancer::SocketLb => {}
        }
        Ok(site)
    }

    /// kube-proxy keeps no order; what is measured has half of the others before it.
    fn add_rules(&self, balancer: Balancer, family: Family, others: u16) -> Result<()> {
        let network = self.network();
        let cluster = Cluster::of(&network.node, [CLUSTER_CIDR, SERVICE_RANGE], family)?;
        let mut ports: Vec<ServicePort> = others::ports(others, family).collect();
        let middle = ports.len() / 2;
        ports.splice(middle..middle, self.backends.iter().map(|backend| backend.port(family)));
        let node = network.node.namespace();
        if balancer == Balancer::Nftables {
            nft::run(node, &kube_proxy::ruleset(&cluster, &ports))
        } else {
            iptables::restore(node, family, &iptables::ruleset(&cluster, &ports))
        }
    }

    fn start_haproxy(&self, families: &[Family]) -> Result<Haproxy> {
        let node = self.network().node.namespace();
        let mut routes = Vec::new();
        for &family in families {
            for backend in &self.backends {
                let cluster_ip = backend.service.cluster_ip(family);
                haproxy::adopt(node, cluster_ip.ip())?;
                let to = backend.address(family);
                routes.extend([(cluster_ip, to), (self.node_port(backend, family), to)]);
            }
        }
        Haproxy::start(node, &routes)
    }

    fn network(&self) -> &Network {
        match &self.place {
            Place::Rig(rig) => rig.network(),
            Place::Network(network) => network,
        }
    }

    fn node_port(&self, backend: &Backend, family: Family) -> SocketAddr {
        SocketAddr::new(self.network().node.address(family), backend.service.node_port())
    }

    /// From now on checksums and segments are finished before a packet reaches the node from a lan or leaves it for
    /// one, and before it reaches a pod of the node, as it is where the node has native XDP.
    pub fn finish_checksums(&self) -> Result<()> {
        let network = self.network();
        network.finish_checksums()?;
        let pods = self.pods.iter().chain([&self.backends[0].host]);
        pods.into_iter()
            .try_for_each(|pod| offload::finish_checksums(network.node.namespace(), &veth(pod.name())))
    }

    /// Does something on a thread of the client's, and those count who work for it. What it gets leads it to the
    /// backend.
    pub fn client<T: Send>(
        &self,
        balancer: Balancer,
        way: Way,
        family: Family,
        leg: impl FnOnce(&Workers, SocketAddr, &Listener) -> Result<T> + Send,
    ) -> Result<T> {
        let backend = &self.backends[usize::from(way == Way::RemoteNodePort)];
        let target = match (balancer, way) {
            (Balancer::None, _) => backend.address(family),
            (_, Way::ClusterIp) => backend.service.cluster_ip(family),
            (_, Way::LocalNodePort | Way::RemoteNodePort) => self.node_port(backend, family),
        };
        let client = match way {
            Way::ClusterIp => &self.pods[usize::from(balancer != Balancer::SocketLb)],
            Way::LocalNodePort | Way::RemoteNodePort => &self.network().client,
        };
        client.namespace().enter(|| {
            let mut workers = Workers::gather()?;
            if let Some(haproxy) = &self.haproxy {
                workers = workers.and(haproxy.process())?;
            }
            leg(&workers, target, &backend.listener)
        })
    }

    /// Fails unless the program that should does what there is to do.
    pub fn check(&self, balancer: Balancer, way: Way, family: Family) -> Result<()> {
        let ask = || {
            self.client(balancer, way, family, |_, target, listener| {
                Connection::open(target, listener)?.ask()
            })
        };
        let Place::Rig(rig) = &self.place else { return ask() };
        let program = match (balancer, way, family) {
            (Balancer::SocketLb, _, Family::V4) => Program::SockConnect4,
            (Balancer::SocketLb, _, Family::V6) => Program::SockConnect6,
            (_, Way::ClusterIp, _) => Program::TcPodIngress,
            (Balancer::Xdp, Way::RemoteNodePort, _) => Program::XdpUplink,
            _ => Program::TcUplinkIngress,
        };
        let forwarded = rig.work_of(ask)?.forwarded_by();
        ensure!(forwarded == [program], "{way:?} is the work of {forwarded:?}, not of {}", program.name());
        Ok(())
    }
}

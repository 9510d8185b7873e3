//! Services as the Kubernetes API describes them, and the lists of endpoints that follow.

use super::world::{CLUSTER_CIDRS, Host, node_address};
use anyhow::Result;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use svc_lb::compile::{
    self, Family, Frontend, FrontendKind, Lists, Ownership, Protocol, ServicePort, Tables, Target,
    TrafficPolicy, Weighted,
};
use svc_lb_common::selection::Algorithm;

/// What there is of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It is in no slice.
    #[default]
    Absent,
    /// Ready.
    Ready,
    /// Serving and terminating.
    Terminating,
}

/// One Service port.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "these are the fields that there are")]
pub struct Service {
    /// No other Service of any sequence has it.
    pub number: u32,
    /// Its family is IPv4.
    pub v4: bool,
    /// Its protocol.
    pub protocol: Protocol,
    /// Whether it is there.
    pub exists: bool,
    /// Whether it has been away.
    pub was_away: bool,
    /// Its endpoints, as [`Host::ENDPOINTS`].
    pub endpoints: [Condition; 6],
    /// How many times each was removed.
    pub removals: [u32; 6],
    /// `targetPort` is `port`.
    pub same_port: bool,
    /// `internalTrafficPolicy` is `Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy` is `Local`.
    pub external_local: bool,
    /// Which backend a client gets.
    pub algorithm: Algorithm,
    /// `sessionAffinity` is `ClientIP`.
    pub affinity: bool,
    /// The hosts in `loadBalancerSourceRanges`; `None`: there are no ranges.
    pub sources: Option<BTreeSet<Host>>,
}

/// An endpoint, and how many times it had been removed when it was chosen.
pub type Chosen = (SocketAddr, u32);

impl Service {
    /// The port of all its frontends but NodePort.
    pub fn port(&self) -> u16 {
        (21000 + self.number * 2 % 44000) as u16
    }

    /// The address of an endpoint.
    pub fn endpoint(&self, host: Host) -> SocketAddr {
        (host.address(self.v4), self.port() + u16::from(!self.same_port)).into()
    }

    /// Its frontend of a kind.
    pub fn frontend(&self, kind: FrontendKind) -> SocketAddr {
        let number = self.number % 65000 + 1;
        let address = |v4: [u8; 2], v6: u16| -> IpAddr {
            let [_, _, high, low] = number.to_be_bytes();
            if self.v4 {
                Ipv4Addr::new(v4[0], v4[1], high, low).into()
            } else {
                Ipv6Addr::new(0xfd00, v6, 0, 0, 0, 0, 0, number as u16).into()
            }
        };
        let address = match kind {
            FrontendKind::ClusterIp => address([10, 96], 0x96),
            FrontendKind::NodePort => {
                return (node_address(self.v4), (30000 + self.number % 35000) as u16).into();
            }
            FrontendKind::LoadBalancer => address([100, 64], 0x64),
            FrontendKind::ExternalIp => address([100, 65], 0x65),
        };
        (address, self.port()).into()
    }

    /// All its frontends.
    pub fn frontends(&self) -> impl Iterator<Item = (FrontendKind, SocketAddr)> {
        let kinds = [
            FrontendKind::ClusterIp,
            FrontendKind::NodePort,
            FrontendKind::LoadBalancer,
            FrontendKind::ExternalIp,
        ];
        kinds.map(|kind| (kind, self.frontend(kind))).into_iter()
    }

    /// The endpoints that a new connection may get: those that are ready; if none is, those that serve while
    /// they terminate. `local`: of this node only, decided among these alone.
    pub fn usable(&self, local: bool) -> Vec<SocketAddr> {
        let of = |wanted: Condition| {
            let hosts = Host::ENDPOINTS.iter().zip(self.endpoints);
            let hosts = hosts.filter(|(host, is)| *is == wanted && (!local || host.is_local()));
            hosts.map(|(host, _)| self.endpoint(*host)).collect::<BTreeSet<_>>()
        };
        let ready = of(Condition::Ready);
        let usable = if ready.is_empty() { of(Condition::Terminating) } else { ready };
        usable.into_iter().collect()
    }

    /// How many times an endpoint was removed; `None`: it is not there.
    pub fn incarnation(&self, endpoint: SocketAddr) -> Option<u32> {
        let position = Host::ENDPOINTS.iter().position(|host| self.endpoint(*host) == endpoint)?;
        let is_there = self.exists && self.endpoints[position] != Condition::Absent;
        is_there.then_some(self.removals[position])
    }

    /// Whether any policy is `Local`, so that there is a list of this node's endpoints.
    fn has_local_list(&self) -> bool {
        self.internal_local || self.external_local
    }

    fn table(&self) -> compile::Service {
        let list = |local| self.usable(local).into_iter().map(Weighted::from).collect::<Vec<_>>();
        let policy = |local| if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
        let lists = Lists {
            cluster: list(false),
            local: if self.has_local_list() { list(true) } else { Vec::new() },
            draining: BTreeSet::new(),
        };
        let usable = lists.usable();
        let there = Host::ENDPOINTS.iter().zip(self.endpoints).filter(|(_, is)| *is != Condition::Absent);
        let draining =
            there.map(|(host, _)| self.endpoint(*host)).filter(|it| !usable.contains(it)).collect();
        compile::Service {
            lists: Arc::new(Lists { draining, ..lists }),
            internal_policy: policy(self.internal_local),
            external_policy: policy(self.external_local),
            algorithm: self.algorithm,
            affinity_timeout: if self.affinity { 10800 } else { 0 },
            source_ranges: self
                .sources
                .as_ref()
                .map(|hosts| hosts.iter().map(|host| host.address(self.v4).into()).collect()),
        }
    }
}

/// The tables of all Services.
pub fn tables(services: &[Service]) -> Result<Tables> {
    let cluster_cidrs = CLUSTER_CIDRS.iter().map(|range| range.parse()).collect::<Result<_, _>>()?;
    let mut tables = Tables { cluster_cidrs, ..Tables::default() };
    for service in services.iter().filter(|service| service.exists) {
        let name = Arc::new(ServicePort {
            namespace: "default".to_owned(),
            name: format!("service-{}", service.number),
            port: String::new(),
            protocol: service.protocol,
            family: if service.v4 { Family::V4 } else { Family::V6 },
        });
        tables.services.insert(Arc::clone(&name), service.table());
        for (kind, place) in service.frontends() {
            let frontend = Frontend { address: place.ip(), port: place.port(), protocol: service.protocol };
            tables.frontends.insert(frontend, Target { service: Arc::clone(&name), kind });
            let ownership = match kind {
                FrontendKind::ClusterIp => Ownership::ClusterIp,
                FrontendKind::NodePort => Ownership::Node,
                FrontendKind::LoadBalancer | FrontendKind::ExternalIp => Ownership::External,
            };
            tables.addresses.insert(place.ip(), ownership);
        }
    }
    Ok(tables)
}

/// The frontend at an address, with its Service.
pub fn find(services: &[Service], place: SocketAddr, protocol: Protocol) -> Option<(FrontendKind, &Service)> {
    let here = services.iter().filter(|service| service.exists && service.protocol == protocol);
    here.flat_map(|service| service.frontends().map(move |(kind, it)| (kind, it, service)))
        .find(|(_, it, _)| *it == place)
        .map(|(kind, _, service)| (kind, service))
}

/// The kinds of frontends that an address has.
pub fn kinds_at(services: &[Service], address: IpAddr) -> BTreeSet<FrontendKind> {
    let here = services.iter().filter(|service| service.exists).flat_map(Service::frontends);
    here.filter(|(_, it)| it.ip() == address).map(|(kind, _)| kind).collect()
}

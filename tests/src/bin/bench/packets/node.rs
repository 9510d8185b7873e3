//! The node that packets pass: its interfaces, its neighbours and its Services.

use anyhow::{Context, Result};
use ipnet::IpNet;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use svc_lb::{
    compile::{
        Algorithm, Family, Frontend, FrontendKind, Ownership, Protocol, Service, ServicePort, Tables, Target,
    },
    node::{Facts, Interface, Role},
};
use svc_lb_bench_ebpf::ADDRESSES;
use svc_lb_tests::{
    Namespace, links,
    plan::{FAMILIES, everything},
};

/// The uplink.
const UPLINK: &str = "eth0";
/// The host side of the pod's veth pair.
const POD: &str = "veth-pod";
/// Interfaces that nothing ever passes, because they are down.
pub const UNUSED: [&str; 2] = ["unused0", "unused1"];
/// The link-layer address of whoever is at the other end of either.
pub const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// The port of every backend.
pub const TARGET_PORT: u16 = 8080;

/// What a flow is for: one of the node's Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A NodePort with backends on other nodes.
    Remote,
    /// A NodePort with a backend on this node.
    Local,
    /// A ClusterIP with a backend on another node.
    FromPod,
    /// A NodePort without backends.
    Empty,
    /// A NodePort with backends on other nodes, of which a client keeps one.
    Affinity,
    /// A NodePort with backends on this node, which a hash chooses.
    Maglev,
}

impl Purpose {
    /// All of them.
    const ALL: [Self; 6] =
        [Self::Remote, Self::Local, Self::FromPod, Self::Empty, Self::Affinity, Self::Maglev];

    /// The frontend's address and port.
    pub fn frontend(self, family: Family) -> SocketAddr {
        let node_port = 30000 + self as u16;
        match self {
            Self::FromPod => SocketAddr::new(pick(family, [10, 96, 0, 1], "fd00:96::1"), 80),
            _ => SocketAddr::new(address(family), node_port),
        }
    }

    /// The first of its backends, which follow each other.
    pub fn backend(self, family: Family) -> SocketAddr {
        let address = match self {
            Self::Local | Self::Maglev => pick(family, [10, 244, 0, 0], "fd00:244::"),
            _ => pick(family, [172, 30, 0, 0], "fd00:30::"),
        };
        SocketAddr::new(address, TARGET_PORT)
    }

    /// How many backends it has.
    fn backends(self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Local | Self::FromPod => 1,
            Self::Remote | Self::Affinity | Self::Maglev => ADDRESSES,
        }
    }

    /// What a service id stands for.
    pub fn service(self, family: Family) -> ServicePort {
        ServicePort {
            namespace: "default".to_owned(),
            name: format!("{self:?}").to_lowercase(),
            port: String::new(),
            protocol: Protocol::Tcp,
            family,
        }
    }
}

/// An address of a family.
fn pick(family: Family, v4: [u8; 4], v6: &str) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(v4).into(),
        Family::V6 => v6.parse::<Ipv6Addr>().expect("an address").into(),
    }
}

/// The node's address.
pub fn address(family: Family) -> IpAddr {
    pick(family, [192, 0, 2, 1], "2001:db8::1")
}

/// Where the addresses of clients begin, behind the uplink or in pods.
pub fn client(family: Family) -> IpAddr {
    pick(family, [198, 18, 0, 0], "2001:db8:18::")
}

/// Of an address, one that follows it.
pub fn following(address: IpAddr, number: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + number).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(number)).into(),
    }
}

/// An interface of the node.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Its ifindex.
    pub index: u32,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// The interfaces of the node.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Towards clients and other nodes.
    pub uplink: Link,
    /// Towards the pod.
    pub pod: Link,
}

/// The node, without programs.
pub struct Node {
    namespace: Namespace,
    _neighbour: Namespace,
    /// Its interfaces.
    pub links: Links,
}

impl Node {
    /// Builds it.
    pub fn new() -> Result<Self> {
        let (namespace, neighbour) = (Namespace::of_host("node")?, Namespace::new("neighbour")?);
        let node_links = links::configure(&namespace, async |links| {
            for (name, peer) in [(UPLINK, "peer0"), (POD, "peer1")] {
                links.veth(name, peer, &neighbour).await?;
                links.up(name).await?;
            }
            for (name, peer) in UNUSED.into_iter().zip(["peer2", "peer3"]) {
                links.veth(name, peer, &neighbour).await?;
            }
            links::configure(&neighbour, async |links| {
                links.up("peer0").await?;
                links.up("peer1").await
            })?;
            for family in FAMILIES {
                links.address(UPLINK, prefix(address(family))?).await?;
                let gateway = following(address(family), 1);
                links.neighbour(UPLINK, gateway, NEIGHBOUR).await?;
                for destination in everything().iter().filter(|all| Family::of(all.addr()) == family) {
                    links.route(*destination, UPLINK, Some(gateway)).await?;
                }
                let local = Purpose::Local.backend(family).ip();
                links.route(network(local)?, POD, None).await?;
                for number in 0..ADDRESSES {
                    links.neighbour(POD, following(local, number), NEIGHBOUR).await?;
                }
            }
            Ok(Links { uplink: link(links, UPLINK).await?, pod: link(links, POD).await? })
        })?;
        for name in [UPLINK, POD] {
            links::await_link_local(&namespace, name)?;
        }
        Ok(Self { namespace, _neighbour: neighbour, links: node_links })
    }

    /// Where it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What the dataplane must know of its interfaces.
    pub fn facts(&self) -> Result<Facts> {
        let interface = |name: &str, link: Link, role| Interface {
            index: link.index,
            name: name.to_owned(),
            kind: "veth".to_owned(),
            mac: Some(link.mac),
            up: true,
            resolves: true,
            mtu: 1500,
            role,
            ..Interface::default()
        };
        let mut uplink = interface(UPLINK, self.links.uplink, Role::Uplink("towards clients".to_owned()));
        for family in FAMILIES {
            uplink.addresses.push(prefix(address(family))?);
        }
        let pod = interface(POD, self.links.pod, Role::Pod("towards the pod".to_owned()));
        Ok(Facts { interfaces: vec![uplink, pod] })
    }
}

/// An interface as the kernel made it.
async fn link(links: &links::Links, name: &str) -> Result<Link> {
    let index = nix::net::if_::if_nametoindex(name).with_context(|| format!("no interface {name}"))?;
    Ok(Link { index, mac: links.mac(name).await? })
}

/// An address with the prefix of its link.
fn prefix(address: IpAddr) -> Result<IpNet> {
    Ok(IpNet::new(address, if address.is_ipv4() { 24 } else { 64 })?)
}

/// The network around an address, as large as that of its link.
fn network(address: IpAddr) -> Result<IpNet> {
    Ok(prefix(address)?.trunc())
}

/// Its Services.
pub fn tables() -> Tables {
    let mut tables = Tables::default();
    let mut addresses = BTreeMap::new();
    for family in FAMILIES {
        for purpose in Purpose::ALL {
            let first = purpose.backend(family);
            let backend = |number| SocketAddr::new(following(first.ip(), number), first.port());
            let mut service = Service::from((0..purpose.backends()).map(backend).collect::<Vec<_>>());
            match purpose {
                Purpose::Affinity => service.affinity_timeout = 10800,
                Purpose::Maglev => service.algorithm = Algorithm::Maglev,
                _ => {}
            }
            let port = Arc::new(purpose.service(family));
            tables.services.insert(port.clone(), service);
            let (kind, owner) = match purpose {
                Purpose::FromPod => (FrontendKind::ClusterIp, Ownership::ClusterIp),
                _ => (FrontendKind::NodePort, Ownership::Node),
            };
            let at = purpose.frontend(family);
            let frontend = Frontend { address: at.ip(), port: at.port(), protocol: Protocol::Tcp };
            tables.frontends.insert(frontend, Target { service: port, kind });
            addresses.insert(at.ip(), owner);
        }
    }
    tables.addresses = addresses;
    tables
}

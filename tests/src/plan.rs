//! Which addresses the hosts of a rig have.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use svc_lb::compile::{Family, Protocol};

/// Both families, for scenarios that hold for each.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Both families with both protocols, for scenarios that hold for each.
pub const KINDS: [(Family, Protocol); 4] = [
    (Family::V4, Protocol::Tcp),
    (Family::V4, Protocol::Udp),
    (Family::V6, Protocol::Tcp),
    (Family::V6, Protocol::Udp),
];

/// Where pods are, on every node: `--cluster-cidr`.
pub const CLUSTER_CIDR: &str = "10.244.0.0/16,fd00:244::/32";

/// Where ClusterIPs are: `--service-cluster-ip-range`.
pub const SERVICE_RANGE: &str = "10.96.0.0/12,fd00:10:96::/112";

/// The names of the nodes: the one with the agent, and the other.
pub const NODES: [&str; 2] = ["node", "node2"];

/// What a pod has as its gateway, in place of an address of the node.
pub const POD_GATEWAYS: Addresses = Addresses {
    v4: Ipv4Addr::new(169, 254, 1, 1),
    v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee),
};

/// Which pods a node has.
pub fn pod_cidr(node: u8) -> [IpNet; 2] {
    Addresses::pod(node, 0).with_prefixes(24, 64)
}

/// The destination of a default route, in each family.
pub fn everything() -> [IpNet; 2] {
    Addresses { v4: Ipv4Addr::UNSPECIFIED, v6: Ipv6Addr::UNSPECIFIED }.with_prefixes(0, 0)
}

/// An address and port as a socket of IPv6 has them: one of IPv4 is mapped (RFC 4291, 2.5.5.2).
pub fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V6(_) => address,
    }
}

/// One address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl Addresses {
    /// A host of a network outside the cluster, which nodes are in too.
    pub const fn lan(lan: u8, host: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(172, 18, lan, host),
            v6: Ipv6Addr::new(0xfd00, 0x18, lan as u16, 0, 0, 0, 0, host as u16),
        }
    }

    /// A pod of a node.
    pub const fn pod(node: u8, pod: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(10, 244, node, pod),
            v6: Ipv6Addr::new(0xfd00, 0x244, 0, node as u16, 0, 0, 0, pod as u16),
        }
    }

    /// The ClusterIPs of a Service.
    pub const fn service(number: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(10, 96, 0, number),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number as u16),
        }
    }

    /// What a load balancer gives to a Service: nobody has it, and the client's routes to it lead to the node.
    pub const fn load_balancer(number: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(203, 0, 113, number),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0x203, 0, 0, 0, 0, number as u16),
        }
    }

    /// The name of the node that a pod of these addresses is on; `None` for any other host.
    pub fn node_of_pod(&self) -> Option<&'static str> {
        let [10, 244, node, _] = self.v4.octets() else { return None };
        NODES.get(usize::from(node)).copied()
    }

    /// The one of a family.
    pub const fn of(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }

    /// Both, each with its own prefix length.
    pub fn with_prefixes(&self, v4: u8, v6: u8) -> [IpNet; 2] {
        [IpNet::new_assert(self.v4.into(), v4), IpNet::new_assert(self.v6.into(), v6)]
    }
}

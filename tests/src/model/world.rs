//! The node of the model and who is around it: two uplinks, two pods, other nodes and their pods, clients. The same
//! in every sequence; the rig builds it of real interfaces and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An interface of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interface {
    /// Towards the world.
    Uplink,
    /// Towards a second network, whose packets are shorter.
    SecondUplink,
    /// Towards the first pod.
    PodA,
    /// Towards the second pod.
    PodB,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Uplink, Self::SecondUplink, Self::PodA, Self::PodB];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["uplink0", "uplink1", "veth-a", "veth-b"][self as usize]
    }

    /// Its link-layer address.
    pub fn mac(self) -> [u8; 6] {
        [2, 0, 0, 0, 1, self as u8]
    }

    /// The longest packet that it sends, from the IP header on.
    pub fn mtu(self) -> usize {
        if self == Self::SecondUplink { 1400 } else { 1500 }
    }

    /// Whether it is an uplink.
    pub fn is_uplink(self) -> bool {
        matches!(self, Self::Uplink | Self::SecondUplink)
    }

    /// The node's address there; of one without any the node's.
    pub fn address(self, v4: bool) -> IpAddr {
        match (self, v4) {
            (Self::SecondUplink, true) => Ipv4Addr::new(198, 18, 0, 1).into(),
            (Self::SecondUplink, false) => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into(),
            (_, true) => Ipv4Addr::new(192, 0, 2, 1).into(),
            (_, false) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }
}

/// The node's address: of its NodePorts, and for pods that are chosen for themselves.
pub fn node_address(v4: bool) -> IpAddr {
    Interface::Uplink.address(v4)
}

/// Somebody who sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A pod of the node.
    PodA,
    /// Another one.
    PodB,
    /// The node itself.
    Node,
    /// A pod of another node.
    RemotePod,
    /// A pod of a node in the second network.
    SecondRemotePod,
    /// Another node itself.
    RemoteNode,
    /// A client in the node's network.
    Near,
    /// A client behind the gateway.
    Far,
    /// A client in the second network.
    Second,
    /// A client inside the cluster, that comes in by an uplink.
    Inside,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::PodA,
        Self::PodB,
        Self::Node,
        Self::RemotePod,
        Self::SecondRemotePod,
        Self::RemoteNode,
        Self::Near,
        Self::Far,
        Self::Second,
        Self::Inside,
    ];
    /// Those that are endpoints, too.
    pub const ENDPOINTS: [Self; 6] =
        [Self::PodA, Self::PodB, Self::Node, Self::RemotePod, Self::SecondRemotePod, Self::RemoteNode];

    /// Its address.
    pub fn address(self, v4: bool) -> IpAddr {
        let (v4_octets, v6_segments) = match self {
            Self::PodA => ([10, 244, 0, 1], [0xfd00, 0x244, 0, 0, 0, 0, 0, 1]),
            Self::PodB => ([10, 244, 0, 2], [0xfd00, 0x244, 0, 0, 0, 0, 0, 2]),
            Self::Node => return node_address(v4),
            Self::RemotePod => ([10, 244, 1, 1], [0xfd00, 0x244, 1, 0, 0, 0, 0, 1]),
            Self::SecondRemotePod => ([10, 244, 2, 1], [0xfd00, 0x244, 2, 0, 0, 0, 0, 1]),
            Self::RemoteNode => ([192, 0, 2, 3], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 3]),
            Self::Near => ([192, 0, 2, 100], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100]),
            Self::Far => ([198, 51, 100, 7], [0x2001, 0xdb8, 7, 0, 0, 0, 0, 7]),
            Self::Second => ([198, 18, 0, 100], [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100]),
            Self::Inside => ([10, 244, 1, 50], [0xfd00, 0x244, 1, 0, 0, 0, 0, 0x50]),
        };
        if v4 { v4_octets.into() } else { v6_segments.into() }
    }

    /// Who has an address.
    pub fn of(address: IpAddr) -> Option<Self> {
        Self::ALL.into_iter().find(|host| host.address(address.is_ipv4()) == address)
    }

    /// The interface behind which it is; `None`: it is the node.
    pub fn interface(self) -> Option<Interface> {
        Some(match self {
            Self::Node => return None,
            Self::PodA => Interface::PodA,
            Self::PodB => Interface::PodB,
            Self::SecondRemotePod | Self::Second => Interface::SecondUplink,
            Self::RemotePod | Self::RemoteNode | Self::Near | Self::Far | Self::Inside => Interface::Uplink,
        })
    }

    /// The next hop to it, if it is not its own.
    pub fn gateway(self, v4: bool) -> Option<IpAddr> {
        let last = match self {
            Self::Far => 0xfe,
            Self::RemotePod | Self::Inside => 2,
            Self::SecondRemotePod => 0x12,
            _ => return None,
        };
        let second = self == Self::SecondRemotePod;
        Some(match (v4, second) {
            (true, false) => Ipv4Addr::new(192, 0, 2, last as u8).into(),
            (true, true) => Ipv4Addr::new(198, 18, 0, last as u8).into(),
            (false, false) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into(),
            (false, true) => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last).into(),
        })
    }

    /// The link-layer address of the next hop to it, from which its packets come in.
    pub fn mac(self) -> [u8; 6] {
        let next_hop = if self == Self::Inside { Self::RemotePod } else { self };
        [2, 0, 0, 0, 2, next_hop as u8]
    }

    /// Whether it is on the node.
    pub fn is_local(self) -> bool {
        matches!(self, Self::PodA | Self::PodB | Self::Node)
    }

    /// Whether it is inside the cluster by its address (`--cluster-cidr`).
    pub fn is_of_cluster(self) -> bool {
        matches!(self, Self::PodA | Self::PodB | Self::RemotePod | Self::SecondRemotePod | Self::Inside)
    }
}

/// The ranges of the cluster's pods.
pub const CLUSTER_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:244::/32"];
/// The ranges of ClusterIPs.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];
/// The ports that the node gives to connections under its own address: so few that they are used up.
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 20000..=20007;

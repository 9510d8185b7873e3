//! What the rest of the agent must know of the machine.

use super::routes::Routes;
use ipnet::IpNet;

/// The machine at one moment, as the kernel shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Every interface of the agent's network namespace, in the order of their indexes. None has a role
    /// yet.
    pub interfaces: Vec<Interface>,
    /// The main routing table.
    pub routes: Routes,
}

/// The machine at one moment, and what svc-lb makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every interface of the agent's network namespace, in the order of their indexes.
    pub interfaces: Vec<Interface>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its ifindex.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The kind of link (`IFLA_INFO_KIND`: veth, bridge, vxlan…); empty for hardware.
    pub kind: String,
    /// What its packets begin with.
    pub link_layer: LinkLayer,
    /// The link-layer address; `None` where the link has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// The longest packet that it sends, in bytes from the IP header on (`IFLA_MTU`).
    pub mtu: u32,
    /// The ifindex of the bridge, bond or VRF that it belongs to (`IFLA_MASTER`).
    pub master: Option<u32>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it looks neighbours up: it has no `IFF_NOARP`.
    pub resolves: bool,
    /// Of a bridge: what it switches without netfilter's seeing it.
    pub past_netfilter: PastNetfilter,
    /// Its global addresses with their prefixes, in the kernel's order.
    pub addresses: Vec<IpNet>,
    /// What svc-lb does with it, and why.
    pub role: Role,
}

impl Interface {
    /// Whether svc-lb attaches programs to it.
    pub fn is_served(&self) -> bool {
        !matches!(self.role, Role::None(_))
    }

    /// Whether it is an uplink.
    pub fn is_uplink(&self) -> bool {
        matches!(self.role, Role::Uplink(_))
    }

    /// Whether it is the host side of a pod's veth pair.
    pub fn is_pod(&self) -> bool {
        matches!(self.role, Role::Pod(_))
    }
}

/// What the packets of a link begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkLayer {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// The IP header: a tun device, WireGuard, IPIP.
    None,
    /// The loopback's header: Ethernet without addresses.
    Loopback,
    /// Something that svc-lb cannot read.
    Other,
}

/// Which families a bridge switches past netfilter: neither br_netfilter nor the bridge's own setting
/// hands such packets to iptables and conntrack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastNetfilter {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What an interface is to svc-lb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Towards the world and the other nodes; the reason in words.
    Uplink(String),
    /// The host side of a pod's veth pair; the reason in words.
    Pod(String),
    /// Left alone; the reason in words.
    None(String),
}

impl Default for Role {
    /// Nothing, for no reason yet.
    fn default() -> Self {
        Self::None(String::new())
    }
}

//! What the rest of the agent must know of the machine.

use ipnet::IpNet;

/// The machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every interface of the agent's network namespace, in the order of their indexes.
    pub interfaces: Vec<Interface>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its ifindex.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The kind of link (`IFLA_INFO_KIND`: veth, bridge, vxlan…); empty for hardware.
    pub kind: String,
    /// The link-layer address; `None` where the link has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its global addresses with their prefixes, in the kernel's order.
    pub addresses: Vec<IpNet>,
    /// What svc-lb does with it, and why.
    pub role: Role,
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

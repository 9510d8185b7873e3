//! The ranges that addresses and node ports are given from.

use crate::source::Family;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use svc_lb_common::snat::PortRange;

/// `--service-cluster-ip-range` and `--service-node-port-range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Where ClusterIPs are given from. The family of the first is that of a Service that names none.
    pub cluster_ips: Vec<IpNet>,
    /// Whether somebody said that all ClusterIPs are from there: else one that is not may come from a cluster
    /// with other ranges.
    pub cluster_ips_are_known: bool,
    /// Where node ports are given from, and where all of them must be.
    pub node_ports: PortRange,
}

impl Default for Ranges {
    /// As in kubeadm and kube-apiserver: 10.96.0.0/12 and 30000-32767.
    fn default() -> Self {
        Self {
            cluster_ips: vec![IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12))],
            cluster_ips_are_known: false,
            node_ports: PortRange { first: 30000, last: 32767 },
        }
    }
}

impl Ranges {
    /// Those that flags give; the default ones where there is none for ClusterIPs.
    pub fn given(cluster_ips: &[IpNet], node_ports: PortRange) -> Self {
        if cluster_ips.is_empty() {
            return Self { node_ports, ..Self::default() };
        }
        Self { cluster_ips: cluster_ips.to_vec(), cluster_ips_are_known: true, node_ports }
    }

    /// The family of a Service that names none.
    pub fn first_family(&self) -> Family {
        self.cluster_ips.first().map_or(Family::V4, |range| Family::of(range.addr()))
    }

    /// The ranges of one family.
    pub fn of(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.cluster_ips.iter().filter(move |range| Family::of(range.addr()) == family)
    }

    /// Whether an address may be given.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.cluster_ips
            .iter()
            .any(|range| range.contains(&address) && Hosts::of(range).index(address).is_some())
    }
}

/// The addresses of a range that a Service can have: not the first, which stands for the network (and,
/// in IPv6, for any of its routers), and not the last of an IPv4 range, the broadcast address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts {
    first: u128,
    /// How many there are.
    pub count: u128,
    family: Family,
}

impl Hosts {
    pub fn of(range: &IpNet) -> Self {
        let network = to_bits(range.network());
        let last = to_bits(range.broadcast());
        let (family, ends) = match range {
            IpNet::V4(_) => (Family::V4, 1),
            IpNet::V6(_) => (Family::V6, 0),
        };
        // A range of one IPv6 address to the next holds 2^128 - 1 of them after the first: it fits.
        Self { first: network.wrapping_add(1), count: (last - network).saturating_sub(ends), family }
    }

    /// The address at an index below the count.
    pub fn get(&self, index: u128) -> IpAddr {
        let bits = self.first + index;
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }

    /// The index of an address of the family.
    fn index(&self, address: IpAddr) -> Option<u128> {
        to_bits(address).checked_sub(self.first).filter(|index| *index < self.count)
    }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_network_nor_broadcast_addresses_are_hosts() {
        for (range, first, last, count) in [
            ("10.96.0.0/12", "10.96.0.1", "10.111.255.254", (1 << 20) - 2),
            ("10.0.0.7/30", "10.0.0.5", "10.0.0.6", 2),
            ("fd00::/112", "fd00::1", "fd00::ffff", (1 << 16) - 1),
            ("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX),
            ("fd00::/127", "fd00::1", "fd00::1", 1),
        ] {
            let hosts = Hosts::of(&range.parse().expect("a range"));
            assert_eq!(hosts.count, count, "{range}");
            assert_eq!(hosts.get(0).to_string(), first, "{range}");
            assert_eq!(hosts.get(count - 1).to_string(), last, "{range}");
        }
        for none in ["10.0.0.0/31", "10.0.0.0/32", "255.255.255.255/32", "fd00::/128"] {
            assert_eq!(Hosts::of(&none.parse().expect("a range")).count, 0, "{none}");
        }
    }

    #[test]
    fn ranges_hold_their_hosts() {
        let ranges =
            Ranges { cluster_ips: vec!["10.0.0.0/30".parse().expect("a range")], ..Ranges::default() };
        let held = |address: &str| ranges.holds(address.parse().expect("an address"));
        assert_eq!(
            ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "::a00:1"].map(held),
            [false, true, true, false, false]
        );
    }
}

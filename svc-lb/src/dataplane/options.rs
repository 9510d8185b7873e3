//! What the dataplane is made with.

use crate::options::XdpMode;
use ipnet::IpNet;
use nix::time::{ClockId, clock_getres};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};
use svc_lb_common::{address::AddressPair, config::Config, snat::PortRange, timeout::Timeouts};

/// The part of the agent's flags that the dataplane needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--pin-dir`.
    pub pin_dir: PathBuf,
    /// `--xdp-mode`.
    pub xdp_mode: XdpMode,
    /// `--flow-entries`: entries of the flow table of each family, two a flow.
    pub flow_entries: u32,
    /// `--conntrack-…-timeout-…`.
    pub timeouts: Timeouts,
    /// `--snat-port-range`.
    pub snat_ports: PortRange,
    /// `--external-cluster-ips`.
    pub external_cluster_ips: bool,
    /// `--service-cluster-ip-range`, if it was given, at most one of each family: what is sent to an address
    /// of these that no Service has is dropped.
    pub own_ranges: Vec<IpNet>,
}

impl Options {
    /// Entries of the table of unfinished flows: a quarter of the flow table's, and enough for a
    /// small one.
    pub fn new_flow_entries(&self) -> u32 {
        (self.flow_entries / 4).max(1024)
    }

    /// The constants of the programs. `namespace`: the cookie of the node's network namespace.
    pub(super) fn config(&self, processors: u32, namespace: u64) -> Config {
        Config {
            seconds_per_jiffy: Config::seconds_per_jiffy(ticks_per_second()),
            node_namespace: namespace,
            timeouts: self.timeouts,
            new_flow_limit: new_flow_limit(self.flow_entries, processors),
            snat_first_port: self.snat_ports.first,
            snat_last_port: self.snat_ports.last,
            external_cluster_ips: self.external_cluster_ips.into(),
            drop_unallocated: (!self.own_ranges.is_empty()).into(),
            service_networks: self.networks(),
            service_masks: self.masks(),
            ..Config::default()
        }
    }
}

impl Options {
    /// The first address of the own range of each family. Where there is none, an address that no mask of
    /// zeros gives.
    fn networks(&self) -> AddressPair {
        let mut networks =
            AddressPair { v4: Ipv4Addr::BROADCAST.into(), v6: Ipv6Addr::from_bits(u128::MAX).into() };
        for range in &self.own_ranges {
            match range {
                IpNet::V4(range) => networks.v4 = range.network().into(),
                IpNet::V6(range) => networks.v6 = range.network().into(),
            }
        }
        networks
    }

    /// The netmask of the own range of each family.
    fn masks(&self) -> AddressPair {
        let mut masks = AddressPair::default();
        for range in &self.own_ranges {
            match range {
                IpNet::V4(range) => masks.v4 = range.netmask().into(),
                IpNet::V6(range) => masks.v6 = range.netmask().into(),
            }
        }
        masks
    }
}

/// How many flows one processor may make in a second before unfinished ones go to a table of their
/// own. At the limit on every processor, a flood of handshakes that nobody answers takes half a
/// minute to fill the flow table; a hundred a second never is a flood.
fn new_flow_limit(flow_entries: u32, processors: u32) -> u32 {
    (flow_entries / 64 / processors.max(1)).max(100)
}

/// `CONFIG_HZ`: the coarse clock moves on with every tick.
fn ticks_per_second() -> u64 {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |tick| tick.tv_nsec());
    1_000_000_000_u64.checked_div(tick.cast_unsigned()).map_or(1000, |ticks| ticks.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_new_flows_follows_the_table_and_the_processors() {
        assert_eq!(new_flow_limit(262_144, 2), 2048);
        assert_eq!(new_flow_limit(262_144, 32), 128);
        assert_eq!(new_flow_limit(1024, 64), 100);
    }

    #[test]
    fn the_kernel_ticks_at_one_of_its_frequencies() {
        assert!([100, 250, 300, 1000].contains(&ticks_per_second()), "{}", ticks_per_second());
    }
}

//! What is settled when the programs are loaded: constants to the verifier, so that what is off
//! costs nothing.

use crate::{address::AddressPair, timeout::Timeouts};
use bytemuck::{Pod, Zeroable};

/// The read-only global `CONFIG` of the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Config {
    /// Seconds per jiffy, in units of 2⁻³²: what turns `bpf_jiffies64` into the dataplane's clock.
    pub seconds_per_jiffy: u64,
    /// The cookie of the node's network namespace (`SO_NETNS_COOKIE`): who has it is no pod.
    pub node_namespace: u64,
    /// When flows are gone.
    pub timeouts: Timeouts,
    /// After how many seconds of silence a removed backend's TCP clients are reset.
    pub removed_backend_grace: u32,
    /// How many flows one processor may make in a second before unfinished ones go to
    /// `NEW_FLOWS_V4/6`.
    pub new_flow_limit: u32,
    /// First port of `--snat-port-range`.
    pub snat_first_port: u16,
    /// Last port of `--snat-port-range`.
    pub snat_last_port: u16,
    /// 1: ClusterIPs are served to sources that come in by an uplink (`--external-cluster-ips`).
    pub external_cluster_ips: u32,
    /// 1: what is for an address of the service ranges that no Service has is dropped
    /// (`--service-cluster-ip-range` was given).
    pub drop_unallocated: u32,
    /// The first address of the service range of each family.
    pub service_networks: AddressPair,
    /// The netmask of each; of a family without a range all zero, with a network that is not, so that no
    /// address is in it.
    pub service_masks: AddressPair,
    /// 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<Config>() == 136);

impl Config {
    /// [`Config::seconds_per_jiffy`] of a kernel that ticks this many times a second (`CONFIG_HZ`).
    pub const fn seconds_per_jiffy(ticks_per_second: u64) -> u64 {
        (1 << 32) / ticks_per_second
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seconds_per_jiffy: Self::seconds_per_jiffy(1000),
            node_namespace: 0,
            timeouts: Timeouts::default(),
            removed_backend_grace: 10,
            new_flow_limit: u32::MAX,
            snat_first_port: 10000,
            snat_last_port: 29999,
            external_cluster_ips: 0,
            drop_unallocated: 0,
            service_networks: AddressPair::default(),
            service_masks: AddressPair::default(),
            padding: 0,
        }
    }
}

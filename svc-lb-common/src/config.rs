//! What is settled when the programs are loaded: constants to the verifier, so that what is off
//! costs nothing.

use crate::flow::Timeouts;
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
}

const _: () = assert!(size_of::<Config>() == 88);

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
        }
    }
}

//! The constants that the loader sets before verification.

use svc_lb_common::{
    address::{Address, AddressPair, Ipv4, Ipv6},
    config::Config,
    connection::Phase,
    snat::PortRange,
    timeout::Timeouts,
};

#[unsafe(no_mangle)]
static CONFIG: Config = Config {
    seconds_per_jiffy: 0,
    node_namespace: 0,
    timeouts: Timeouts {
        tcp_syn_sent: 0,
        tcp_syn_recv: 0,
        tcp_established: 0,
        tcp_close_wait: 0,
        tcp_time_wait: 0,
        tcp_close: 0,
        udp: 0,
        udp_stream: 0,
        sctp_cookie_wait: 0,
        sctp_established: 0,
        sctp_shutdown_sent: 0,
        sctp_shutdown_recd: 0,
        sctp_shutdown_ack_sent: 0,
        sctp_closed: 0,
    },
    removed_backend_grace: 0,
    new_flow_limit: 0,
    snat_first_port: 0,
    snat_last_port: 0,
    external_cluster_ips: 0,
    drop_unallocated: 0,
    service_networks: AddressPair { v4: Ipv4(0), v6: Ipv6([0; 4]) },
    service_masks: AddressPair { v4: Ipv4(0), v6: Ipv6([0; 4]) },
    padding: 0,
};

/// Reads a constant as the loader left it, not as the compiler sees it here.
macro_rules! read {
    ($($field:ident).+) => {
        // SAFETY: a field of a static is valid and aligned; nothing writes to it after the load.
        unsafe { core::ptr::read_volatile(&raw const CONFIG.$($field).+) }
    };
}

/// Seconds per jiffy, in units of 2⁻³².
#[inline(always)]
pub fn seconds_per_jiffy() -> u64 {
    read!(seconds_per_jiffy)
}

/// The cookie of the node's network namespace.
#[inline(always)]
pub fn node_namespace() -> u64 {
    read!(node_namespace)
}

/// The timeout of a phase, in seconds. Field by field: the whole would not fit the stack.
#[inline(always)]
pub fn timeout(phase: Phase) -> u32 {
    match phase {
        Phase::TcpSynSent => read!(timeouts.tcp_syn_sent),
        Phase::TcpSynRecv => read!(timeouts.tcp_syn_recv),
        Phase::TcpEstablished => read!(timeouts.tcp_established),
        Phase::TcpCloseWait => read!(timeouts.tcp_close_wait),
        Phase::TcpTimeWait => read!(timeouts.tcp_time_wait),
        Phase::TcpClose => read!(timeouts.tcp_close),
        Phase::Udp => read!(timeouts.udp),
        Phase::UdpStream => read!(timeouts.udp_stream),
        Phase::SctpCookieWait => read!(timeouts.sctp_cookie_wait),
        Phase::SctpEstablished => read!(timeouts.sctp_established),
        Phase::SctpShutdownSent => read!(timeouts.sctp_shutdown_sent),
        Phase::SctpShutdownRecd => read!(timeouts.sctp_shutdown_recd),
        Phase::SctpShutdownAckSent => read!(timeouts.sctp_shutdown_ack_sent),
        Phase::SctpClosed => read!(timeouts.sctp_closed),
    }
}

/// The longest time that a flow lives in which one side was never heard of, in seconds.
#[inline(always)]
pub fn longest_unfinished() -> u32 {
    timeout(Phase::TcpSynSent)
        .max(timeout(Phase::TcpSynRecv))
        .max(timeout(Phase::Udp))
        .max(timeout(Phase::SctpCookieWait))
}

/// After how many seconds of silence a removed backend's clients are reset.
#[inline(always)]
pub fn removed_backend_grace() -> u32 {
    read!(removed_backend_grace)
}

/// How many flows a processor may make in a second before unfinished ones are kept apart.
#[inline(always)]
pub fn new_flow_limit() -> u32 {
    read!(new_flow_limit)
}

/// The source ports of connections that svc-lb sends on under the node's address.
#[inline(always)]
pub fn snat_ports() -> PortRange {
    PortRange { first: read!(snat_first_port), last: read!(snat_last_port) }
}

/// Whether ClusterIPs are served to sources that come in by an uplink.
#[inline(always)]
pub fn external_cluster_ips() -> bool {
    read!(external_cluster_ips) != 0
}

/// Whether an address, which is no frontend's, is of a service range that belongs to svc-lb alone.
#[inline(always)]
pub fn is_unallocated<A: Address>(address: A) -> bool {
    read!(drop_unallocated) != 0
        && address.masked(A::of(&read!(service_masks))) == A::of(&read!(service_networks))
}

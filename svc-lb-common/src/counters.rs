//! What the programs count. All of it is per processor: the agent adds up.

use bytemuck::{Pod, Zeroable};

/// The value of `COUNTERS`; the key is the service id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ServiceCounters {
    /// Flows made.
    pub new_flows: u64,
    /// Connections, and exchanges of unconnected UDP sockets, that were sent straight to a backend: none of
    /// their packets is counted.
    pub socket_connections: u64,
    /// Packets from clients to backends.
    pub forward_packets: u64,
    /// Bytes from clients to backends, from the IP header on.
    pub forward_bytes: u64,
    /// Packets from backends to clients.
    pub reply_packets: u64,
    /// Bytes from backends to clients, from the IP header on.
    pub reply_bytes: u64,
}

const _: () = assert!(size_of::<ServiceCounters>() == 48);

/// The value of `PROGRAMS`; the key is a [`Program`]. A packet counts where it is finished. Of a program
/// for sockets, each call of an application counts as a packet: a connect, a datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ProgramCounters {
    /// Packets from clients to backends that this program rewrote.
    pub forwarded: u64,
    /// Packets from backends to clients that this program rewrote.
    pub replied: u64,
    /// Packets that this program answered with a TCP RST or an ICMP error.
    pub rejected: u64,
    /// Packets that this program dropped.
    pub dropped: u64,
    /// ICMP echo requests that this program answered.
    pub echoed: u64,
}

const _: () = assert!(size_of::<ProgramCounters>() == 40);

/// The programs that serve clients; the index into `PROGRAMS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Program {
    /// XDP on an uplink.
    XdpUplink = 0,
    /// tc at the ingress of an uplink.
    TcUplinkIngress = 1,
    /// tc at the egress of an uplink.
    TcUplinkEgress = 2,
    /// tc at the ingress of a pod interface (from the pod).
    TcPodIngress = 3,
    /// tc at the egress of a pod interface (to the pod).
    TcPodEgress = 4,
    /// tc at the ingress of an uplink whose packets have no link-layer header (tun, WireGuard, IPIP).
    TcL3Ingress = 5,
    /// tc at the egress of such an uplink.
    TcL3Egress = 6,
    /// A socket of IPv4 connects.
    SockConnect4 = 7,
    /// A socket of IPv6 connects.
    SockConnect6 = 8,
    /// A UDP socket sends to an address of IPv4 by name.
    SockSendmsg4 = 9,
    /// A UDP socket sends to an address of IPv6 by name.
    SockSendmsg6 = 10,
    /// A UDP socket of IPv4 asks who sent a datagram.
    SockRecvmsg4 = 11,
    /// A UDP socket of IPv6 asks who sent a datagram.
    SockRecvmsg6 = 12,
    /// A socket of IPv4 asks whom it is connected to.
    SockGetpeername4 = 13,
    /// A socket of IPv6 asks whom it is connected to.
    SockGetpeername6 = 14,
    /// A socket of either family is closed.
    SockRelease = 15,
}

impl Program {
    /// All of them, in the order of their indexes.
    pub const ALL: [Self; 16] = {
        let [a, b, c, d, e, f, g] = Self::PACKETS;
        let [h, i, j, k, l, m, n, o, p] = Self::SOCKETS;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    };

    /// Those that see packets, at interfaces.
    pub const PACKETS: [Self; 7] = [
        Self::XdpUplink,
        Self::TcUplinkIngress,
        Self::TcUplinkEgress,
        Self::TcPodIngress,
        Self::TcPodEgress,
        Self::TcL3Ingress,
        Self::TcL3Egress,
    ];

    /// Those that see what applications do with sockets, at a cgroup.
    pub const SOCKETS: [Self; 9] = [
        Self::SockConnect4,
        Self::SockConnect6,
        Self::SockSendmsg4,
        Self::SockSendmsg6,
        Self::SockRecvmsg4,
        Self::SockRecvmsg6,
        Self::SockGetpeername4,
        Self::SockGetpeername6,
        Self::SockRelease,
    ];

    /// The name of the program in the object file, and in `status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XdpUplink => "xdp_uplink",
            Self::TcUplinkIngress => "tc_uplink_ingress",
            Self::TcUplinkEgress => "tc_uplink_egress",
            Self::TcPodIngress => "tc_pod_ingress",
            Self::TcPodEgress => "tc_pod_egress",
            Self::TcL3Ingress => "tc_l3_ingress",
            Self::TcL3Egress => "tc_l3_egress",
            Self::SockConnect4 => "sock_connect4",
            Self::SockConnect6 => "sock_connect6",
            Self::SockSendmsg4 => "sock_sendmsg4",
            Self::SockSendmsg6 => "sock_sendmsg6",
            Self::SockRecvmsg4 => "sock_recvmsg4",
            Self::SockRecvmsg6 => "sock_recvmsg6",
            Self::SockGetpeername4 => "sock_getpeername4",
            Self::SockGetpeername6 => "sock_getpeername6",
            Self::SockRelease => "sock_release",
        }
    }
}

/// Why a packet was dropped; the index into `DROPS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DropReason {
    /// It came in by an uplink for a ClusterIP, and `--external-cluster-ips` is not given.
    ClusterIpFromUplink = 0,
    /// Every source port that was tried belongs to a live flow.
    NoSourcePort = 1,
    /// The flow table took no new flow.
    FlowTableFull = 2,
    /// The node has no address of the packet's family to send it from.
    NoNodeAddress = 3,
    /// TTL or hop limit was 1, svc-lb would have sent it on by itself, and it is of a kind that is never
    /// answered with an error: an ICMP error, a fragment that is not the first.
    TimeExceeded = 4,
    /// The route of a remote backend or client leads nowhere.
    Unroutable = 5,
    /// The kernel refused to change the packet.
    RewriteFailed = 6,
    /// A TCP RST, or an SCTP ABORT or SHUTDOWN COMPLETE, to a virtual address that belongs to no flow: there
    /// is nothing to answer.
    StrayReset = 7,
    /// It is longer than the way takes, and of a kind that is never answered with an error.
    TooLong = 8,
    /// Its source is in none of the service's `loadBalancerSourceRanges`.
    SourceNotAllowed = 9,
    /// The traffic policy is `Local`, and the service's endpoints are all on other nodes.
    NoLocalEndpoint = 10,
    /// It is for an address of `--service-cluster-ip-range` that no Service has.
    UnallocatedClusterIp = 11,
    /// It is the first fragment of an SCTP packet whose ports change: its checksum cannot be corrected.
    SctpFragment = 12,
}

impl DropReason {
    /// All of them, in the order of their indexes.
    pub const ALL: [Self; 13] = [
        Self::ClusterIpFromUplink,
        Self::NoSourcePort,
        Self::FlowTableFull,
        Self::NoNodeAddress,
        Self::TimeExceeded,
        Self::Unroutable,
        Self::RewriteFailed,
        Self::StrayReset,
        Self::TooLong,
        Self::SourceNotAllowed,
        Self::NoLocalEndpoint,
        Self::UnallocatedClusterIp,
        Self::SctpFragment,
    ];

    /// The name in `status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterIpFromUplink => "cluster-ip-from-uplink",
            Self::NoSourcePort => "no-source-port",
            Self::FlowTableFull => "flow-table-full",
            Self::NoNodeAddress => "no-node-address",
            Self::TimeExceeded => "time-exceeded",
            Self::Unroutable => "unroutable",
            Self::RewriteFailed => "rewrite-failed",
            Self::StrayReset => "stray-reset",
            Self::TooLong => "too-long",
            Self::SourceNotAllowed => "source-not-allowed",
            Self::NoLocalEndpoint => "no-local-endpoint",
            Self::UnallocatedClusterIp => "unallocated-cluster-ip",
            Self::SctpFragment => "sctp-fragment",
        }
    }
}

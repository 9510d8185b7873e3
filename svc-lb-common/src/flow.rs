//! One direction of a tracked connection.
//!
//! Each flow is two entries, one a direction, each found by the packet as it arrives and holding its
//! finished rewrite. Either entry is enough to rebuild the other: [`Flow::partner`].

use crate::{
    address::{Address, Ipv4, Ipv6, Tuple},
    snat::Need,
};
use bytemuck::{Pod, Zeroable};

/// IP protocol number of TCP.
pub const TCP: u16 = 6;
/// IP protocol number of UDP.
pub const UDP: u16 = 17;
/// IP protocol number of SCTP, whose chunks count as flags of TCP: [`sctp::flags`](crate::sctp::flags).
pub const SCTP: u16 = 132;

/// The kind of hook that a packet passes. It is part of the flow's key: a spoofed packet from an
/// uplink never meets a flow of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Hook {
    /// Into the node by an uplink: XDP and tc.
    UplinkIngress = 1,
    /// Out of the node by an uplink.
    UplinkEgress = 2,
    /// From a pod into the node.
    PodIngress = 3,
    /// From the node to a pod.
    PodEgress = 4,
}

/// The key of `FLOWS_V4/6`: the packet as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// Addresses and ports before the rewrite.
    pub tuple: Tuple<A>,
    /// The IP protocol number.
    pub protocol: u16,
    /// The [`Hook`] that the packet passes.
    pub hook: u16,
}

const _: () = assert!(size_of::<FlowKey<Ipv4>>() == 16 && size_of::<FlowKey<Ipv6>>() == 40);

// SAFETY: a tuple without padding and two 16-bit numbers, all valid for every bit pattern; the
// assertion above shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for FlowKey<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for FlowKey<A> {}

/// The value of `FLOWS_V4/6`: the finished rewrite of one direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow<A> {
    /// Addresses and ports after the rewrite.
    pub rewrite: Tuple<A>,
    /// The service id that it counts for.
    pub service: u32,
    /// Index of the backend.
    pub backend: u32,
    /// The backend's generation when it was chosen.
    pub generation: u32,
    /// When a packet of this direction was last seen, in seconds of the dataplane's clock; written
    /// at most once a second.
    pub last_seen: u32,
    /// Bits of [`State`], the same in both directions.
    pub state: u32,
    /// The [`Hook`] of the other direction's packets.
    pub partner_hook: u8,
    /// Bits of [`Flow`]'s constants.
    pub flags: u8,
    /// The longest packet that the route to the next hop takes, in bytes from the IP header on.
    pub mtu: u16,
    /// The [`Settings::route_generation`](crate::interface::Settings::route_generation) in which the
    /// next hop was looked up.
    pub route_generation: u32,
    /// Where a packet goes that svc-lb sends on by itself, as it was last looked up.
    pub next_hop: CachedNextHop,
}

const _: () = assert!(size_of::<Flow<Ipv4>>() == 48 && size_of::<Flow<Ipv6>>() == 72);

/// A neighbour to send to: the slot of the interface in `INTERFACES`, and the neighbour's link-layer
/// address. One word, so that no processor ever sees half of another's.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct CachedNextHop(u64);

impl CachedNextHop {
    /// The neighbour with this link-layer address at the interface of a slot.
    #[inline(always)]
    pub const fn new(slot: u16, mac: [u16; 3]) -> Self {
        let [a, b, c] = mac;
        Self(slot as u64 | (a as u64) << 16 | (b as u64) << 32 | (c as u64) << 48)
    }

    /// The interface's slot.
    #[inline(always)]
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The neighbour's link-layer address, in words as they stand in a frame.
    #[inline(always)]
    pub const fn mac(self) -> [u16; 3] {
        [(self.0 >> 16) as u16, (self.0 >> 32) as u16, (self.0 >> 48) as u16]
    }
}

// SAFETY: a tuple without padding and integers, all valid for every bit pattern; the assertion above
// shows that nothing lies between or behind them.
unsafe impl<A: Address> Zeroable for Flow<A> {}
// SAFETY: as above.
unsafe impl<A: Address> Pod for Flow<A> {}

impl<A: Address> Flow<A> {
    /// Backend → client. Without it: client → backend.
    pub const REPLY: u8 = 1 << 0;
    /// svc-lb sends the packet on by itself, by the node's routes: it never enters the host's stack.
    pub const ROUTED: u8 = 1 << 1;
    /// svc-lb sends the packet back out of the interface that it came in by: a hairpin.
    pub const RETURNED: u8 = 1 << 2;
    /// Not translated: the answer to a connection that the node itself made from a port that is also
    /// a frontend's. It belongs to the host's stack.
    pub const BYPASS: u8 = 1 << 3;
    /// Client and backend are ports of one bridge that switches past netfilter: the packet gets the
    /// backend's link-layer address, so that conntrack sees neither direction, as it would without
    /// svc-lb. While that address is not known, the host's stack takes the packet.
    pub const SWITCHED: u8 = 1 << 4;
    /// It counts in its backend's [`BackendLoad`](crate::backend::BackendLoad).
    pub const COUNTED: u8 = 1 << 5;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether svc-lb sends the packet on by itself.
    #[inline(always)]
    pub const fn leaves_by_itself(&self) -> bool {
        self.flags & (Self::ROUTED | Self::RETURNED) != 0
    }

    /// Whether packets of this direction go to a next hop past the host's stack.
    #[inline(always)]
    pub const fn has_next_hop(&self) -> bool {
        self.has(Self::ROUTED) || self.flags & (Self::SWITCHED | Self::REPLY) == Self::SWITCHED
    }

    /// The key of the other direction.
    #[inline(always)]
    pub fn partner_key(&self, protocol: u16) -> FlowKey<A> {
        FlowKey { tuple: self.rewrite.reversed(), protocol, hook: self.partner_hook.into() }
    }

    /// The other direction, as it was when the flow was made: last seen with this one, same state, its
    /// next hop not looked up yet. A reply that is switched needs nobody's help.
    #[inline(always)]
    pub fn partner(&self, key: &FlowKey<A>) -> Self {
        Self {
            rewrite: key.tuple.reversed(),
            partner_hook: key.hook as u8,
            flags: self.flags ^ Self::REPLY,
            next_hop: CachedNextHop::default(),
            mtu: 0,
            route_generation: 0,
            ..*self
        }
    }
}

/// What was seen of a connection, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State(pub u32);

impl State {
    /// The backend answered.
    pub const REPLIED: u32 = 1 << 0;
    /// The client went on after the answer, which over TCP and SCTP it acknowledged: both sides are there.
    pub const ESTABLISHED: u32 = 1 << 1;
    /// TCP, SCTP: the client sent FIN.
    pub const FIN_FORWARD: u32 = 1 << 2;
    /// TCP, SCTP: the backend sent FIN.
    pub const FIN_REPLY: u32 = 1 << 3;
    /// TCP, SCTP: the client sent RST, and nothing since.
    pub const RST_FORWARD: u32 = 1 << 4;
    /// TCP, SCTP: the backend sent RST, and nothing since.
    pub const RST_REPLY: u32 = 1 << 5;
    /// TCP, SCTP: the backend sent FIN before the client did. It is the backend then that remembers a TCP
    /// connection for a while (TIME-WAIT, RFC 9293), and may not take another one with its addresses and ports.
    pub const BACKEND_WAITS: u32 = 1 << 6;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// The state after one more packet. `reply`: the packet is the backend's.
    #[inline(always)]
    pub fn after(self, protocol: u16, reply: bool, flags: TcpFlags) -> Self {
        let mut state = self.0;
        if reply {
            state |= Self::REPLIED;
        } else if self.has(Self::REPLIED) && (protocol == UDP || flags.has(TcpFlags::ACK)) {
            state |= Self::ESTABLISHED;
        }
        if protocol == UDP {
            return Self(state);
        }
        let (fin, rst) =
            if reply { (Self::FIN_REPLY, Self::RST_REPLY) } else { (Self::FIN_FORWARD, Self::RST_FORWARD) };
        if flags.has(TcpFlags::RST) {
            state |= rst;
        } else {
            // Whoever reset a connection sends nothing more on it: this RST was not the peer's.
            state &= !rst;
        }
        if flags.has(TcpFlags::FIN) {
            if reply && !self.has(Self::FIN_FORWARD) {
                state |= Self::BACKEND_WAITS;
            }
            state |= fin;
        }
        Self(state)
    }

    /// TCP, SCTP: nothing more is to be expected, so that a SYN is a new connection. UDP never is.
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        let both = Self::FIN_FORWARD | Self::FIN_REPLY;
        self.has(Self::RST_FORWARD | Self::RST_REPLY) || self.0 & both == both
    }

    /// Whether the flow gives up the port that its backend knows it by, for a new flow that needs it so much.
    #[inline(always)]
    pub const fn yields_port(self, protocol: u16, need: Need) -> bool {
        let remembered = protocol == TCP
            && self.has(Self::BACKEND_WAITS)
            && !self.has(Self::RST_FORWARD | Self::RST_REPLY);
        match need {
            Need::OneOfMany => self.is_closed() && !remembered,
            Need::OneOfFew => self.is_closed(),
            Need::Any => self.is_closed() || self.is_dispensable(protocol),
        }
    }

    /// What the flow's timeout depends on.
    #[inline(always)]
    pub const fn phase(self, protocol: u16) -> Phase {
        match protocol {
            UDP if self.has(Self::REPLIED) => Phase::UdpStream,
            UDP => Phase::Udp,
            SCTP => self.sctp_phase(),
            _ => self.tcp_phase(),
        }
    }

    #[inline(always)]
    const fn tcp_phase(self) -> Phase {
        if self.has(Self::RST_FORWARD | Self::RST_REPLY) {
            Phase::TcpClose
        } else if self.is_closed() {
            Phase::TcpTimeWait
        } else if self.has(Self::FIN_FORWARD | Self::FIN_REPLY) {
            Phase::TcpCloseWait
        } else if self.has(Self::ESTABLISHED) {
            Phase::TcpEstablished
        } else if self.has(Self::REPLIED) {
            Phase::TcpSynRecv
        } else {
            Phase::TcpSynSent
        }
    }

    #[inline(always)]
    const fn sctp_phase(self) -> Phase {
        if self.has(Self::RST_FORWARD | Self::RST_REPLY) {
            Phase::SctpClosed
        } else if self.is_closed() {
            Phase::SctpShutdownAckSent
        } else if self.has(Self::FIN_FORWARD) {
            Phase::SctpShutdownSent
        } else if self.has(Self::FIN_REPLY) {
            Phase::SctpShutdownRecd
        } else if self.has(Self::ESTABLISHED) {
            Phase::SctpEstablished
        } else {
            Phase::SctpCookieWait
        }
    }

    /// Whether nothing is lost if the flow is given up for a new one: the backend never answered, or over
    /// TCP and SCTP the client never did. A flood of spoofed packets makes such flows.
    #[inline(always)]
    pub const fn is_dispensable(self, protocol: u16) -> bool {
        if protocol == UDP { !self.has(Self::REPLIED) } else { !self.is_confirmed() }
    }

    /// Whether both sides have shown that they are there: what a flood of spoofed packets lacks, also
    /// when the backend answers it.
    #[inline(always)]
    pub const fn is_confirmed(self) -> bool {
        self.has(Self::ESTABLISHED)
    }
}

/// The flag bits of a TCP header, its fourteenth byte (RFC 9293).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 1 << 0;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 1 << 1;
    /// Reset the connection.
    pub const RST: u8 = 1 << 2;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 1 << 4;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Whether this asks for a new connection: SYN alone.
    #[inline(always)]
    pub const fn is_opening(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }
}

/// After how many seconds without a packet a flow is gone; nf_conntrack's names, and its defaults or
/// kube-proxy's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Timeouts {
    /// The client sent SYN, the backend has not answered.
    pub tcp_syn_sent: u32,
    /// The backend answered, the client has not acknowledged.
    pub tcp_syn_recv: u32,
    /// Established.
    pub tcp_established: u32,
    /// One side has closed.
    pub tcp_close_wait: u32,
    /// Both sides have closed.
    pub tcp_time_wait: u32,
    /// One side has reset.
    pub tcp_close: u32,
    /// The backend has not answered.
    pub udp: u32,
    /// The backend has answered.
    pub udp_stream: u32,
    /// The client sent INIT, and has not given the backend's cookie back.
    pub sctp_cookie_wait: u32,
    /// The client gave the cookie back. That the backend took it looks the same to svc-lb, so nf_conntrack's
    /// `cookie_echoed` has no place here.
    pub sctp_established: u32,
    /// The client sent SHUTDOWN.
    pub sctp_shutdown_sent: u32,
    /// The backend sent SHUTDOWN.
    pub sctp_shutdown_recd: u32,
    /// Both sides have sent SHUTDOWN, or its acknowledgement.
    pub sctp_shutdown_ack_sent: u32,
    /// The shutdown is complete, or one side aborted the association.
    pub sctp_closed: u32,
}

const _: () = assert!(size_of::<Timeouts>() == 56);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_syn_sent: 120,
            tcp_syn_recv: 60,
            tcp_established: 86400,
            tcp_close_wait: 3600,
            tcp_time_wait: 120,
            tcp_close: 10,
            udp: 30,
            udp_stream: 120,
            sctp_cookie_wait: 3,
            sctp_established: 210,
            sctp_shutdown_sent: 3,
            sctp_shutdown_recd: 3,
            sctp_shutdown_ack_sent: 3,
            sctp_closed: 10,
        }
    }
}

impl Timeouts {
    /// The timeout of a phase, in seconds.
    pub const fn of(&self, phase: Phase) -> u32 {
        match phase {
            Phase::TcpSynSent => self.tcp_syn_sent,
            Phase::TcpSynRecv => self.tcp_syn_recv,
            Phase::TcpEstablished => self.tcp_established,
            Phase::TcpCloseWait => self.tcp_close_wait,
            Phase::TcpTimeWait => self.tcp_time_wait,
            Phase::TcpClose => self.tcp_close,
            Phase::Udp => self.udp,
            Phase::UdpStream => self.udp_stream,
            Phase::SctpCookieWait => self.sctp_cookie_wait,
            Phase::SctpEstablished => self.sctp_established,
            Phase::SctpShutdownSent => self.sctp_shutdown_sent,
            Phase::SctpShutdownRecd => self.sctp_shutdown_recd,
            Phase::SctpShutdownAckSent => self.sctp_shutdown_ack_sent,
            Phase::SctpClosed => self.sctp_closed,
        }
    }

    /// Whether an entry in a state that was last seen then is past its timeout. The flow is gone only
    /// when both its entries are.
    pub fn is_past(&self, protocol: u16, state: State, last_seen: u32, now: u32) -> bool {
        is_past(self.of(state.phase(protocol)), last_seen, now)
    }
}

/// What a flow's timeout depends on; the fields of [`Timeouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`Timeouts::tcp_syn_sent`]
    TcpSynSent,
    /// [`Timeouts::tcp_syn_recv`]
    TcpSynRecv,
    /// [`Timeouts::tcp_established`]
    TcpEstablished,
    /// [`Timeouts::tcp_close_wait`]
    TcpCloseWait,
    /// [`Timeouts::tcp_time_wait`]
    TcpTimeWait,
    /// [`Timeouts::tcp_close`]
    TcpClose,
    /// [`Timeouts::udp`]
    Udp,
    /// [`Timeouts::udp_stream`]
    UdpStream,
    /// [`Timeouts::sctp_cookie_wait`]
    SctpCookieWait,
    /// [`Timeouts::sctp_established`]
    SctpEstablished,
    /// [`Timeouts::sctp_shutdown_sent`]
    SctpShutdownSent,
    /// [`Timeouts::sctp_shutdown_recd`]
    SctpShutdownRecd,
    /// [`Timeouts::sctp_shutdown_ack_sent`]
    SctpShutdownAckSent,
    /// [`Timeouts::sctp_closed`]
    SctpClosed,
}

/// Whether more than `timeout` seconds lie between two times of the dataplane's clock.
#[inline(always)]
pub fn is_past(timeout: u32, last_seen: u32, now: u32) -> bool {
    // A clock that another processor read a moment later must not look like an age of 2³² s.
    let age = now.wrapping_sub(last_seen).cast_signed();
    age > 0 && age.cast_unsigned() > timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Be16;
    use core::net::Ipv4Addr;
    extern crate std;
    use std::vec::Vec;

    const SYN: TcpFlags = TcpFlags(TcpFlags::SYN);
    const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN | TcpFlags::ACK);
    const ACK: TcpFlags = TcpFlags(TcpFlags::ACK);
    const FIN: TcpFlags = TcpFlags(TcpFlags::FIN | TcpFlags::ACK);
    const RST: TcpFlags = TcpFlags(TcpFlags::RST);
    const FORWARD: bool = false;
    const REPLY: bool = true;

    fn after(packets: &[(bool, TcpFlags)]) -> State {
        packets.iter().fold(State::default(), |state, &(reply, flags)| state.after(TCP, reply, flags))
    }

    fn timeout(packets: &[(bool, TcpFlags)]) -> u32 {
        Timeouts::default().of(after(packets).phase(TCP))
    }

    #[test]
    fn the_partner_of_the_partner_is_the_flow_itself() {
        let address = |last| Ipv4::from(Ipv4Addr::new(10, 0, 0, last));
        let key = FlowKey {
            tuple: Tuple {
                source: address(1),
                destination: address(2),
                source_port: Be16::new(40000),
                destination_port: Be16::new(80),
            },
            protocol: TCP,
            hook: Hook::PodIngress as u16,
        };
        let flow = Flow {
            rewrite: Tuple { destination: address(3), destination_port: Be16::new(8080), ..key.tuple },
            service: 7,
            backend: 9,
            generation: 3,
            last_seen: 55,
            state: State::REPLIED,
            partner_hook: Hook::PodEgress as u8,
            flags: 0,
            ..Flow::default()
        };
        let partner_key = flow.partner_key(TCP);
        assert_eq!(partner_key.tuple.source, address(3));
        assert_eq!(partner_key.tuple.destination, address(1));
        assert_eq!(partner_key.hook, Hook::PodEgress as u16);
        let partner = flow.partner(&key);
        assert!(partner.has(Flow::<Ipv4>::REPLY));
        assert_eq!(partner.rewrite.source, address(2));
        assert_eq!(partner.partner_key(TCP), key);
        assert_eq!(partner.partner(&partner_key), flow);
    }

    #[test]
    fn a_next_hop_keeps_its_slot_and_its_address() {
        let next_hop = CachedNextHop::new(0x0fff, [0x1122, 0x3344, 0x5566]);
        assert_eq!((next_hop.slot(), next_hop.mac()), (0x0fff, [0x1122, 0x3344, 0x5566]));
    }

    #[test]
    fn a_handshake_goes_through_its_timeouts() {
        let handshake = [(FORWARD, SYN), (REPLY, SYN_ACK), (FORWARD, ACK)];
        assert_eq!(timeout(&handshake[..1]), 120);
        assert_eq!(timeout(&handshake[..2]), 60);
        assert_eq!(timeout(&handshake), 86400);
        assert!(!after(&handshake[..2]).is_confirmed() && after(&handshake[..2]).is_dispensable(TCP));
        assert!(after(&handshake).is_confirmed() && !after(&handshake).is_dispensable(TCP));
    }

    #[test]
    fn a_udp_client_is_there_when_it_goes_on_after_an_answer() {
        let packets = [FORWARD, FORWARD, REPLY, REPLY, FORWARD];
        let states: Vec<_> = packets
            .iter()
            .scan(State::default(), |state, &reply| {
                *state = state.after(UDP, reply, TcpFlags::default());
                Some(state.is_confirmed())
            })
            .collect();
        assert_eq!(states, [false, false, false, false, true]);
    }

    #[test]
    fn a_port_that_the_backend_remembers_is_given_up_only_in_need() {
        let handshake = [(FORWARD, SYN), (REPLY, SYN_ACK), (FORWARD, ACK)];
        let closed_by = |first, second| after(&[&handshake[..], &[first, second]].concat());
        let by_client = closed_by((FORWARD, FIN), (REPLY, FIN));
        let by_backend = closed_by((REPLY, FIN), (FORWARD, FIN));
        let reset = by_backend.after(TCP, REPLY, RST);
        let yields = |state: State| {
            [Need::OneOfMany, Need::OneOfFew, Need::Any].map(|need| state.yields_port(TCP, need))
        };
        assert_eq!(yields(by_client), [true, true, true]);
        assert_eq!(yields(by_backend), [false, true, true]);
        assert_eq!(yields(reset), [true, true, true], "a reset ends TIME-WAIT");
        assert_eq!(yields(after(&[(FORWARD, SYN)])), [false, false, true]);
        assert_eq!(yields(after(&handshake)), [false, false, false]);
    }

    #[test]
    fn a_flow_is_closed_by_two_fins_or_one_rst() {
        let open = [(FORWARD, SYN), (REPLY, SYN_ACK), (FORWARD, ACK)];
        let closing = |more: &[(bool, TcpFlags)]| {
            more.iter().fold(after(&open), |state, &(reply, flags)| state.after(TCP, reply, flags))
        };
        assert!(!closing(&[(REPLY, FIN)]).is_closed());
        assert_eq!(Timeouts::default().of(closing(&[(REPLY, FIN)]).phase(TCP)), 3600);
        assert!(closing(&[(REPLY, FIN), (FORWARD, FIN)]).is_closed());
        assert_eq!(Timeouts::default().of(closing(&[(REPLY, FIN), (FORWARD, FIN)]).phase(TCP)), 120);
        assert!(closing(&[(FORWARD, RST)]).is_closed());
        assert_eq!(Timeouts::default().of(closing(&[(FORWARD, RST)]).phase(TCP)), 10);
    }

    #[test]
    fn traffic_after_a_spoofed_rst_reopens_the_flow() {
        let state = after(&[(FORWARD, SYN), (REPLY, SYN_ACK), (FORWARD, ACK), (FORWARD, RST)]);
        assert!(state.is_closed());
        assert!(state.after(TCP, REPLY, ACK).is_closed(), "the other side may not have heard of it yet");
        assert!(!state.after(TCP, FORWARD, ACK).is_closed());
    }

    #[test]
    fn a_syn_with_anything_else_opens_nothing() {
        assert!(SYN.is_opening());
        for other in [TcpFlags::ACK, TcpFlags::RST, TcpFlags::FIN] {
            assert!(!TcpFlags(TcpFlags::SYN | other).is_opening());
        }
    }

    #[test]
    fn expiry_bears_clocks_that_disagree_and_wrap() {
        let timeouts = Timeouts::default();
        let past = |last_seen, now| timeouts.is_past(UDP, State::default(), last_seen, now);
        assert!(!past(100, 130));
        assert!(past(100, 131));
        assert!(!past(101, 100));
        assert!(!past(u32::MAX, 29));
        assert!(past(u32::MAX, 30));
    }
}

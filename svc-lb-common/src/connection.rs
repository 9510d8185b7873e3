//! What was seen of a connection, from the flags of its packets: on this depends how long its flow lives, and
//! who may take its place.

use crate::{
    flow::{SCTP, TCP, UDP},
    snat::Need,
};

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

    /// Whether a packet with these flags, in either direction, changes nothing: both sides are there, and neither
    /// takes its leave. So it is with nearly all packets, and is told before anything else is asked.
    #[inline(always)]
    pub const fn is_steady(self, flags: TcpFlags) -> bool {
        const KNOWN: u32 = State::REPLIED | State::ESTABLISHED;
        self.0 & (KNOWN | Self::RST_FORWARD | Self::RST_REPLY) == KNOWN
            && !flags.has(TcpFlags::FIN | TcpFlags::RST)
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

/// What a flow's timeout depends on; the fields of [`Timeouts`](crate::timeout::Timeouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`tcp_syn_sent`](crate::timeout::Timeouts::tcp_syn_sent)
    TcpSynSent,
    /// [`tcp_syn_recv`](crate::timeout::Timeouts::tcp_syn_recv)
    TcpSynRecv,
    /// [`tcp_established`](crate::timeout::Timeouts::tcp_established)
    TcpEstablished,
    /// [`tcp_close_wait`](crate::timeout::Timeouts::tcp_close_wait)
    TcpCloseWait,
    /// [`tcp_time_wait`](crate::timeout::Timeouts::tcp_time_wait)
    TcpTimeWait,
    /// [`tcp_close`](crate::timeout::Timeouts::tcp_close)
    TcpClose,
    /// [`udp`](crate::timeout::Timeouts::udp)
    Udp,
    /// [`udp_stream`](crate::timeout::Timeouts::udp_stream)
    UdpStream,
    /// [`sctp_cookie_wait`](crate::timeout::Timeouts::sctp_cookie_wait)
    SctpCookieWait,
    /// [`sctp_established`](crate::timeout::Timeouts::sctp_established)
    SctpEstablished,
    /// [`sctp_shutdown_sent`](crate::timeout::Timeouts::sctp_shutdown_sent)
    SctpShutdownSent,
    /// [`sctp_shutdown_recd`](crate::timeout::Timeouts::sctp_shutdown_recd)
    SctpShutdownRecd,
    /// [`sctp_shutdown_ack_sent`](crate::timeout::Timeouts::sctp_shutdown_ack_sent)
    SctpShutdownAckSent,
    /// [`sctp_closed`](crate::timeout::Timeouts::sctp_closed)
    SctpClosed,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeout::Timeouts;
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
    fn what_is_steady_stays_as_it_is() {
        let mut steady = 0;
        for (state, flags) in (0..1 << 7).flat_map(|state| (0..=u8::MAX).map(move |flags| (state, flags))) {
            let (state, flags) = (State(state), TcpFlags(flags));
            if state.is_steady(flags) {
                steady += 1;
                for (protocol, reply) in [TCP, UDP, SCTP].into_iter().flat_map(|it| [(it, false), (it, true)])
                {
                    assert_eq!(state.after(protocol, reply, flags), state, "{protocol} {flags:?}");
                }
            }
        }
        assert!(steady > 0 && after(&[(FORWARD, SYN), (REPLY, SYN_ACK), (FORWARD, ACK)]).is_steady(ACK));
    }

    #[test]
    fn a_syn_with_anything_else_opens_nothing() {
        assert!(SYN.is_opening());
        for other in [TcpFlags::ACK, TcpFlags::RST, TcpFlags::FIN] {
            assert!(!TcpFlags(TcpFlags::SYN | other).is_opening());
        }
    }
}

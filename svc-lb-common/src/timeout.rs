//! How long flows live of which nothing is seen.

use crate::connection::{Phase, State};
use bytemuck::{Pod, Zeroable};

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
    use crate::flow::UDP;

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

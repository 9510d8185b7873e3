//! What the chunks of SCTP (RFC 9260) mean to a flow: the same as the flags of TCP.

use crate::connection::TcpFlags;

/// Chunk types, of which the first chunk of a packet shows what it does to the association. INIT, INIT
/// ACK and SHUTDOWN COMPLETE stand alone in a packet.
pub mod chunk {
    /// User data.
    pub const DATA: u8 = 0;
    /// Asks for an association.
    pub const INIT: u8 = 1;
    /// The answer, with a cookie.
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges data.
    pub const SACK: u8 = 3;
    /// Ends the association at once.
    pub const ABORT: u8 = 6;
    /// No more data from the sender.
    pub const SHUTDOWN: u8 = 7;
    /// No more data from its receiver either.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Gives the cookie back: both sides are there.
    pub const COOKIE_ECHO: u8 = 10;
    /// The answer to that.
    pub const COOKIE_ACK: u8 = 11;
    /// The end of a shutdown; also from who knows of no association.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// The flags of a TCP segment that would mean the same as a packet with this first chunk.
#[inline(always)]
pub const fn flags(first_chunk: u8) -> TcpFlags {
    TcpFlags(match first_chunk {
        chunk::INIT => TcpFlags::SYN,
        chunk::INIT_ACK => TcpFlags::SYN | TcpFlags::ACK,
        chunk::ABORT | chunk::SHUTDOWN_COMPLETE => TcpFlags::RST,
        chunk::SHUTDOWN | chunk::SHUTDOWN_ACK => TcpFlags::FIN,
        _ => TcpFlags::ACK,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{Phase, State},
        flow::SCTP,
        timeout::Timeouts,
    };

    const FORWARD: bool = false;
    const REPLY: bool = true;

    /// An association from its beginning to its end, and what its timeout depends on after each packet.
    const ASSOCIATION: [(bool, u8, Phase); 10] = [
        (FORWARD, chunk::INIT, Phase::SctpCookieWait),
        (REPLY, chunk::INIT_ACK, Phase::SctpCookieWait),
        (FORWARD, chunk::COOKIE_ECHO, Phase::SctpEstablished),
        (REPLY, chunk::COOKIE_ACK, Phase::SctpEstablished),
        (FORWARD, chunk::DATA, Phase::SctpEstablished),
        (REPLY, chunk::SACK, Phase::SctpEstablished),
        (FORWARD, chunk::SHUTDOWN, Phase::SctpShutdownSent),
        (REPLY, chunk::DATA, Phase::SctpShutdownSent),
        (REPLY, chunk::SHUTDOWN_ACK, Phase::SctpShutdownAckSent),
        (FORWARD, chunk::SHUTDOWN_COMPLETE, Phase::SctpClosed),
    ];

    fn after(packets: &[(bool, u8)]) -> State {
        let step = |state: State, &(reply, chunk): &_| state.after(SCTP, reply, flags(chunk));
        packets.iter().fold(State::default(), step)
    }

    #[test]
    fn an_association_goes_through_its_phases() {
        let mut state = State::default();
        for (number, (reply, chunk, phase)) in ASSOCIATION.into_iter().enumerate() {
            state = state.after(SCTP, reply, flags(chunk));
            assert_eq!(state.phase(SCTP), phase, "after packet {number}");
            assert_eq!(state.is_confirmed(), number >= 2, "after packet {number}");
            assert_eq!(state.is_dispensable(SCTP), number < 2, "after packet {number}");
            assert_eq!(state.is_closed(), number >= 8, "after packet {number}");
        }
    }

    #[test]
    fn the_backend_may_end_an_association_too() {
        let open = [(FORWARD, chunk::INIT), (REPLY, chunk::INIT_ACK), (FORWARD, chunk::COOKIE_ECHO)];
        let [init, answer, echo] = open;
        let phase = |last| after(&[init, answer, echo, last]).phase(SCTP);
        assert_eq!(phase((REPLY, chunk::SHUTDOWN)), Phase::SctpShutdownRecd);
        assert_eq!(phase((REPLY, chunk::ABORT)), Phase::SctpClosed);
    }

    #[test]
    fn the_defaults_are_those_of_nf_conntrack() {
        let timeouts = Timeouts::default();
        let seconds = ASSOCIATION.map(|(_, _, phase)| timeouts.of(phase));
        assert_eq!(seconds, [3, 3, 210, 210, 210, 210, 3, 3, 3, 10]);
    }

    #[test]
    fn nothing_but_init_opens_an_association() {
        for chunk in 0..=u8::MAX {
            assert_eq!(flags(chunk).is_opening(), chunk == chunk::INIT, "{chunk}");
        }
    }
}

//! The first packet of a connection as a frame, and what a program made of it.

use crate::{
    case::Packet,
    outcome::{Outcome, Sight},
};
use anyhow::{Context, Result, bail, ensure};
use std::net::{IpAddr, SocketAddr};
use svc_lb::{compile::Protocol, dataplane::Trial};
use svc_lb_common::counters::Program;
use svc_lb_tests::{
    frame::{self, Path, verify_checksums},
    icmp::{IcmpError, PORT_UNREACHABLE},
    sctp::Sctp,
};

/// Whoever sends frames to the node.
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The chunk that opens an SCTP association (RFC 9260, 3.2).
const INIT: u8 = 1;
/// The value of such a chunk: its fixed parameters.
const INIT_PARAMETERS: [u8; 16] = [0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9];

/// A frame, where it comes from and goes to.
pub struct First {
    protocol: Protocol,
    path: Path,
    /// The frame.
    pub bytes: Vec<u8>,
}

impl First {
    /// A packet from a port to an interface with this link-layer address.
    pub fn new(packet: &Packet, port: u16, mac: [u8; 6]) -> Result<Self> {
        let path = Path {
            macs: (SENDER, mac),
            source: SocketAddr::new(packet.source, port),
            destination: SocketAddr::new(packet.destination, packet.port),
        };
        let protocol = packet.protocol()?;
        let bytes = match protocol {
            Protocol::Tcp => path.syn(1)?,
            Protocol::Udp => path.udp(b"hello")?,
            Protocol::Sctp => path.sctp(0, INIT, &INIT_PARAMETERS)?,
        };
        Ok(Self { protocol, path, bytes })
    }

    /// What a program did with it.
    pub fn outcome(&self, program: Program, trial: &Trial) -> Result<Outcome> {
        match Action::of(program, trial.verdict)? {
            Action::Drop => return Ok(Outcome::Drop),
            Action::Pass if trial.frame == self.bytes => return Ok(Outcome::NotHandled),
            Action::Pass | Action::Send => {}
        }
        verify_checksums(&trial.frame)?;
        if self.is_refused_by(&trial.frame) {
            ensure!(Action::of(program, trial.verdict)? == Action::Send, "an answer goes on into the stack");
            return Ok(Outcome::Reject);
        }
        let (source, backend) = self.addresses(&trial.frame).context("a frame that nobody understands")?;
        let (client, frontend) = (self.path.source, self.path.destination);
        ensure!(backend != frontend && backend != client, "the frame goes to {backend}");
        ensure!(source.ip() != client.ip() || source == client, "the client's port is {} now", source.port());
        Ok(Outcome::of(Sight { backend, sees: source.ip() }))
    }

    /// Source and destination of a frame of the same protocol.
    fn addresses(&self, frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        if self.protocol == Protocol::Sctp {
            return Sctp::read(frame).map(|sctp| (sctp.source, sctp.destination));
        }
        let packet = frame::Packet::read(frame)?;
        (packet.tcp.is_some() == (self.protocol == Protocol::Tcp))
            .then_some((packet.source, packet.destination))
    }

    /// Whether a frame tells the client that nobody is there.
    fn is_refused_by(&self, frame: &[u8]) -> bool {
        let (client, frontend) = (self.path.source, self.path.destination);
        if self.protocol == Protocol::Tcp {
            let reset = |it: &frame::Packet| it.tcp.as_ref().is_some_and(|tcp| tcp.rst);
            return frame::Packet::read(frame)
                .is_some_and(|it| reset(&it) && (it.source, it.destination) == (frontend, client));
        }
        let [v4, v6] = PORT_UNREACHABLE;
        let kind = if client.is_ipv4() { v4 } else { v6 };
        IcmpError::read(frame).is_some_and(|error| {
            let quoted = (error.quoted_source, error.quoted_destination);
            let ends: (IpAddr, IpAddr) = (error.source, error.destination);
            error.kind == kind && ends == (frontend.ip(), client.ip()) && quoted == (client, frontend)
        })
    }
}

/// What a program wants done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on into the host's stack.
    Pass,
    /// It is gone.
    Drop,
    /// It leaves by an interface.
    Send,
}

impl Action {
    /// By what the program returned.
    pub fn of(program: Program, verdict: i32) -> Result<Self> {
        let is_xdp = program == Program::XdpUplink;
        Ok(match verdict {
            // XDP_PASS, TC_ACT_UNSPEC.
            2 if is_xdp => Self::Pass,
            -1 if !is_xdp => Self::Pass,
            // XDP_DROP, TC_ACT_SHOT.
            1 if is_xdp => Self::Drop,
            2 => Self::Drop,
            // XDP_TX and XDP_REDIRECT, TC_ACT_REDIRECT.
            3 | 4 if is_xdp => Self::Send,
            7 if !is_xdp => Self::Send,
            other => bail!("{} returned {other}", program.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::forwarded;

    const CLIENT: &str = "203.0.113.2:40000";
    const FRONTEND: &str = "192.0.2.1:80";

    fn syn(source: &str, destination: &str) -> Vec<u8> {
        let (source, destination) = (source.parse().expect("a source"), destination.parse().expect("an end"));
        Path { macs: (SENDER, SENDER), source, destination }.syn(1).expect("a frame")
    }

    fn seen(verdict: i32, frame: Vec<u8>) -> Result<Outcome> {
        let first = First::new(&forwarded("203.0.113.2", FRONTEND, &[], false), 40000, SENDER)?;
        first.outcome(Program::TcUplinkIngress, &Trial { verdict, frame })
    }

    #[test]
    fn a_frame_tells_what_became_of_it() -> Result<()> {
        assert_eq!(seen(2, Vec::new())?, Outcome::Drop);
        assert_eq!(seen(-1, syn(CLIENT, FRONTEND))?, Outcome::NotHandled);
        let sight = |sees: &str| {
            Outcome::of(Sight {
                backend: "10.1.0.1:8080".parse().expect("a backend"),
                sees: sees.parse().expect("an address"),
            })
        };
        assert_eq!(seen(-1, syn(CLIENT, "10.1.0.1:8080"))?, sight("203.0.113.2"));
        assert_eq!(seen(7, syn("192.168.0.2:10001", "10.1.0.1:8080"))?, sight("192.168.0.2"));
        let ends = Path { macs: (SENDER, SENDER), source: FRONTEND.parse()?, destination: CLIENT.parse()? };
        let reset = etherparse::TcpHeader { rst: true, ack: true, ..Default::default() };
        assert_eq!(seen(7, ends.tcp(reset, &[])?)?, Outcome::Reject);
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_is_no_outcome() -> Result<()> {
        // Another port of the client's, a broken checksum, a verdict that no program of svc-lb gives.
        assert!(seen(-1, syn("203.0.113.2:40001", "10.1.0.1:8080")).is_err());
        let mut broken = syn(CLIENT, "10.1.0.1:8080");
        *broken.last_mut().context("a byte")? ^= 1;
        assert!(seen(-1, broken).is_err());
        assert!(seen(0, syn(CLIENT, FRONTEND)).is_err());
        Ok(())
    }
}

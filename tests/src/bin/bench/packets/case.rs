//! What is run on what packets, and what must come of it.

use super::node::{self, Link, Links, NEIGHBOUR, Purpose};
use anyhow::Result;
use etherparse::TcpHeader;
use std::net::{IpAddr, SocketAddr};
use svc_lb::compile::Family;
use svc_lb_common::counters::Program;
use svc_lb_tests::frame::Path;

/// `XDP_PASS` of linux/bpf.h.
const XDP_PASS: i32 = 2;
/// `XDP_TX` of linux/bpf.h.
const XDP_TX: i32 = 3;
/// `TC_ACT_UNSPEC` of linux/pkt_cls.h.
const TC_ACT_UNSPEC: i32 = -1;
/// The [`Case::shift`] of the source port.
const SOURCE_PORT: u16 = 16;
/// That of the destination port.
const DESTINATION_PORT: u16 = 0;
/// The port of the first client.
const CLIENT_PORT: u16 = 10000;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A program of svc-lb.
    Own(Program),
    /// Another one for XDP.
    Xdp(&'static str),
    /// Another one for tc.
    Tc(&'static str),
}

impl Subject {
    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own(program) => program.name(),
            Self::Xdp(name) | Self::Tc(name) => name,
        }
    }

    /// Whether it is for XDP.
    pub const fn is_xdp(self) -> bool {
        matches!(self, Self::Own(Program::XdpUplink) | Self::Xdp(_))
    }
}

/// Whose packets follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    /// So many flows, a power of two, in an order that nobody guesses.
    Known(u32),
    /// One after the other, from that one on.
    From(u32),
    /// Each packet is another flow's.
    New {
        /// How many there were.
        made: u32,
        /// Whether so many at once are more than the flow table takes.
        flood: bool,
    },
}

/// What is counted for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// The program sent it on to a backend.
    Forwarded,
    /// The program sent it back to a client.
    Replied,
    /// The program rejected it.
    Rejected,
    /// A flow was made, and another program sends the packet on.
    Opened,
    /// A flow was made, and the packet sent on.
    OpenedAndForwarded,
}

/// A program, its packets, and what must come of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// What a person knows it by.
    pub name: String,
    /// What is run.
    pub subject: Subject,
    /// The packets' family.
    pub family: Family,
    /// The service whose new flows are counted.
    pub purpose: Option<Purpose>,
    /// The interface that the packets pass.
    pub interface: u32,
    /// The packet of flow 0.
    pub frame: Vec<u8>,
    /// Where the last four bytes of the address stand that differs from flow to flow.
    pub address: u16,
    /// Where the two ports stand.
    pub ports: u16,
    /// How many bits above the end of both stands that of the two which differs from flow to flow.
    pub shift: u16,
    /// Whose packets follow each other.
    pub flows: Flows,
    /// What is counted.
    pub effect: Effect,
    /// The verdict.
    pub verdict: i32,
}

/// The flags of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// It opens a connection.
    Syn,
    /// It answers that.
    SynAck,
    /// Any later one.
    Ack,
}

impl Flags {
    fn header(self) -> TcpHeader {
        TcpHeader {
            syn: self != Self::Ack,
            ack: self != Self::Syn,
            window_size: 64000,
            ..TcpHeader::default()
        }
    }
}

/// Who and where: what packets of a kind have in common.
#[derive(Clone, Copy)]
pub struct Maker {
    /// The interfaces.
    pub links: Links,
    /// The family.
    pub family: Family,
}

/// A packet from the neighbour behind an interface.
fn frame(link: Link, source: SocketAddr, destination: SocketAddr, flags: Flags) -> Result<Vec<u8>> {
    Path { macs: (NEIGHBOUR, link.mac), source, destination }.tcp(flags.header(), &[])
}

/// Bytes of an Ethernet header.
const ETHERNET: u16 = 14;

impl Maker {
    /// Where the last four bytes of source and destination stand, and the ports.
    const fn offsets(&self) -> ([u16; 2], u16) {
        match self.family {
            Family::V4 => ([ETHERNET + 12, ETHERNET + 16], ETHERNET + 20),
            Family::V6 => ([ETHERNET + 20, ETHERNET + 36], ETHERNET + 40),
        }
    }

    fn client(&self) -> SocketAddr {
        SocketAddr::new(node::client(self.family), CLIENT_PORT)
    }

    /// A client's packet to a destination, by an interface.
    fn of_client(&self, subject: Subject, link: Link, to: SocketAddr, flags: Flags) -> Result<Case> {
        let ([address, _], ports) = self.offsets();
        Ok(Case {
            name: subject.name().to_owned(),
            subject,
            family: self.family,
            purpose: None,
            interface: link.index,
            frame: frame(link, self.client(), to, flags)?,
            address,
            ports,
            shift: SOURCE_PORT,
            flows: Flows::Known(1),
            effect: Effect::Nothing,
            verdict: if subject.is_xdp() { XDP_PASS } else { TC_ACT_UNSPEC },
        })
    }

    /// A packet to one of the services, in XDP or tc at the uplink, in tc from a pod.
    pub fn forward(&self, subject: Subject, purpose: Purpose, flags: Flags) -> Result<Case> {
        let link = if purpose == Purpose::FromPod { self.links.pod } else { self.links.uplink };
        let case = self.of_client(subject, link, purpose.frontend(self.family), flags)?;
        Ok(Case { purpose: Some(purpose), ..case })
    }

    /// The answer to that.
    pub fn reply(&self, program: Program, purpose: Purpose, flags: Flags) -> Result<Case> {
        let ([source, destination], _) = self.offsets();
        let link = if purpose == Purpose::FromPod { self.links.pod } else { self.links.uplink };
        let (to, address) = match purpose {
            Purpose::Remote => (node::address(self.family), source),
            _ => (self.client().ip(), destination),
        };
        let from = purpose.backend(self.family);
        let to = SocketAddr::new(to, CLIENT_PORT);
        let case = self.forward(Subject::Own(program), purpose, flags)?;
        let frame = frame(link, from, to, flags)?;
        let verdict = if program == Program::XdpUplink { XDP_TX } else { TC_ACT_UNSPEC };
        Ok(Case { frame, address, shift: DESTINATION_PORT, effect: Effect::Replied, verdict, ..case })
    }

    /// A packet that is for no frontend.
    pub fn not_ours(&self, program: Program) -> Result<Case> {
        let nobody: IpAddr = match self.family {
            Family::V4 => [203, 0, 113, 9].into(),
            Family::V6 => [0x2001, 0xdb8, 9, 0, 0, 0, 0, 9].into(),
        };
        let link = match program {
            Program::TcPodIngress | Program::TcPodEgress => self.links.pod,
            _ => self.links.uplink,
        };
        self.of_client(Subject::Own(program), link, SocketAddr::new(nobody, 443), Flags::Ack)
    }
}

impl Case {
    /// The same under another name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same with such flows.
    pub fn of(self, flows: Flows) -> Self {
        Self { flows, ..self }
    }

    /// The same, if this is to come of it.
    pub fn counts(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// The same, if it is sent on by XDP.
    pub fn sent(self) -> Self {
        Self { verdict: XDP_TX, ..self }
    }
}

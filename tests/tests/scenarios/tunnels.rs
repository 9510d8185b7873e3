//! Clients behind an interface whose packets have no link-layer header.

use anyhow::{Context, Result};
use etherparse::{PacketHeaders, TcpHeader, TransportHeader};
use std::net::{IpAddr, SocketAddr};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::Program::{self, TcL3Egress, TcL3Ingress, TcUplinkIngress};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    agent::START,
    frame::{Packet, Path, set_hop_limit, verify_checksums},
    links,
    plan::{FAMILIES, KINDS},
    tun::Tun,
    wait::until,
    with_and_without_xdp,
};

/// The tunnel's interface on the node.
const TUNNEL: &str = "tun0";

with_and_without_xdp!(
    a_client_behind_a_tunnel_reaches_local_and_remote_backends,
    a_client_behind_a_tunnel_is_told_what_goes_no_further,
);

/// A node with a tunnel to a client, which is the test.
struct Tunnel {
    rig: Rig,
    tun: Tun,
}

impl Tunnel {
    fn new(xdp: Xdp) -> Result<Self> {
        let rig = Rig::routed().xdp(xdp).flag("--uplink", "eth0").flag("--uplink", TUNNEL).start()?;
        let tun = Tun::new(rig.node().namespace(), TUNNEL)?;
        links::configure(rig.node().namespace(), async |links| {
            for address in ["10.201.0.1/24", "fd00:201::1/64"] {
                links.address(TUNNEL, address.parse()?).await?;
            }
            links.up(TUNNEL).await
        })?;
        until("programs at the tunnel", START, || {
            let programs = rig.attachments(TUNNEL)?;
            Ok((programs.iter().filter(|program| program.by.is_some()).count() == 2).then_some(()))
        })?;
        Ok(Self { rig, tun })
    }

    /// From the client to a NodePort.
    fn path(&self, service: &Service, family: Family) -> Result<Path> {
        let client: IpAddr = match family {
            Family::V4 => "10.201.0.2".parse()?,
            Family::V6 => "fd00:201::2".parse()?,
        };
        let (source, destination) = (SocketAddr::new(client, 40_000), self.rig.node_port(service, family));
        Ok(Path { macs: ([0; 6], [0; 6]), source, destination })
    }

    /// Sends a first packet and gives the frame that came back, with a link-layer header in front for
    /// those who read frames.
    fn ask(&self, path: &Path, protocol: Protocol, hop_limit: u8) -> Result<Vec<u8>> {
        let mut frame = match protocol {
            Protocol::Tcp => path.syn(7)?,
            Protocol::Udp | Protocol::Sctp => path.udp(b"who are you?")?,
        };
        set_hop_limit(&mut frame, hop_limit)?;
        let (link, packet) = frame.split_at(14);
        self.tun.send(packet)?;
        let frame = self.tun.find(|answer| {
            let frame = [link, answer].concat();
            // Not what the node says of itself, nor what an earlier SYN still gets.
            let is_answer = match Packet::read(&frame) {
                Some(packet) => packet.tcp.is_some() == (protocol == Protocol::Tcp),
                None => icmp_error(&frame).is_some(),
            };
            is_answer.then_some(frame)
        })?;
        verify_checksums(&frame)?;
        Ok(frame)
    }

    fn reaches(&self, backend: &Host, forward: Program, reply: Program) -> Result<()> {
        let service = Service::number(1).behind([backend]);
        self.rig.apply(&[&service])?;
        for (family, protocol) in KINDS {
            let path = self.path(&service, family)?;
            let work = self.rig.work_of(|| {
                let frame = self.ask(&path, protocol, 64)?;
                let answer = Packet::read(&frame).context("neither TCP nor UDP")?;
                assert_eq!(
                    (answer.source, answer.destination),
                    (path.destination, path.source),
                    "{protocol} {family} {answer:?}"
                );
                assert!(answer.tcp.is_none_or(|tcp| tcp.syn && tcp.ack && tcp.acknowledgment_number == 8));
                if protocol == Protocol::Tcp {
                    // Else the backend would say it again and again.
                    let reset = TcpHeader { rst: true, sequence_number: 8, ..TcpHeader::default() };
                    self.tun.send(&path.tcp(reset, &[])?[14..])?;
                }
                Ok(())
            })?;
            assert_eq!(work.forwarded_by(), [forward], "{protocol} {family}");
            assert_eq!(work.replied_by(), [reply], "{protocol} {family}");
        }
        Ok(())
    }
}

fn a_client_behind_a_tunnel_reaches_local_and_remote_backends(xdp: Xdp) -> Result<()> {
    let tunnel = Tunnel::new(xdp)?;
    let (local, remote) = (tunnel.rig.pod("local")?, tunnel.rig.remote_pod("remote")?);
    tunnel.reaches(&local, TcL3Ingress, TcL3Egress)?;
    // XDP cannot send by an interface without a link-layer header, and leaves the reply to tc.
    tunnel.reaches(&remote, TcL3Ingress, TcUplinkIngress)
}

fn a_client_behind_a_tunnel_is_told_what_goes_no_further(xdp: Xdp) -> Result<()> {
    let tunnel = Tunnel::new(xdp)?;
    let remote = tunnel.rig.remote_pod("remote")?;
    let (empty, remote) = (Service::number(1), Service::number(2).behind([&remote]));
    tunnel.rig.apply(&[&empty, &remote])?;
    for family in FAMILIES {
        let frame = tunnel.ask(&tunnel.path(&empty, family)?, Protocol::Tcp, 64)?;
        assert!(Packet::read(&frame).and_then(|answer| answer.tcp).is_some_and(|tcp| tcp.rst));
        let unreachable = tunnel.ask(&tunnel.path(&empty, family)?, Protocol::Udp, 64)?;
        let exceeded = tunnel.ask(&tunnel.path(&remote, family)?, Protocol::Udp, 1)?;
        let kinds = [unreachable, exceeded].map(|frame| icmp_error(&frame));
        match family {
            Family::V4 => assert_eq!(kinds, [Some((3, 3)), Some((11, 0))]),
            Family::V6 => assert_eq!(kinds, [Some((1, 4)), Some((3, 0))]),
        }
    }
    Ok(())
}

/// Type and code of an ICMP error.
fn icmp_error(frame: &[u8]) -> Option<(u8, u8)> {
    let (kind, code, errors) = match PacketHeaders::from_ethernet_slice(frame).ok()?.transport? {
        TransportHeader::Icmpv4(icmp) => (icmp.to_bytes()[0], icmp.to_bytes()[1], 3..=12),
        TransportHeader::Icmpv6(icmp) => (icmp.icmp_type.type_u8(), icmp.icmp_type.code_u8(), 1..=4),
        _ => return None,
    };
    errors.contains(&kind).then_some((kind, code))
}

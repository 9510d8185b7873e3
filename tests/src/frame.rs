//! Frames made and read byte by byte.

use crate::sctp::Sctp;
use anyhow::{Context, Result, bail, ensure};
use etherparse::{
    IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, NetHeaders, PacketBuilder,
    PacketBuilderStep, PacketHeaders, TcpHeader, TransportHeader, VlanId,
};
use std::net::{IpAddr, SocketAddr};

/// Where a frame comes from and goes to, on the wire and by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Link-layer addresses: source, destination.
    pub macs: ([u8; 6], [u8; 6]),
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port, of the same family.
    pub destination: SocketAddr,
}

impl Path {
    /// A UDP frame.
    pub fn udp(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let step = self.ip()?.udp(self.source.port(), self.destination.port());
        let mut frame = Vec::with_capacity(step.size(payload.len()));
        step.write_to_vec(&mut frame, payload)?;
        Ok(frame)
    }

    /// A TCP frame. The ports of the header are replaced by the path's; `TcpHeader::default()` has no
    /// flag.
    pub fn tcp(&self, header: TcpHeader, payload: &[u8]) -> Result<Vec<u8>> {
        let ports = (self.source.port(), self.destination.port());
        let header = TcpHeader { source_port: ports.0, destination_port: ports.1, ..header };
        let step = self.ip()?.tcp_header(header);
        let mut frame = Vec::with_capacity(step.size(payload.len()));
        step.write_to_vec(&mut frame, payload)?;
        Ok(frame)
    }

    /// A SYN.
    pub fn syn(&self, sequence_number: u32) -> Result<Vec<u8>> {
        self.tcp(TcpHeader { syn: true, sequence_number, window_size: 64000, ..TcpHeader::default() }, &[])
    }

    /// The same frame with a VLAN tag.
    pub fn tag(frame: &[u8], vlan: VlanId) -> Vec<u8> {
        let tag = [&[0x81, 0x00][..], &vlan.value().to_be_bytes()].concat();
        [&frame[..12], &tag, &frame[12..]].concat()
    }

    pub(crate) fn ip(&self) -> Result<PacketBuilderStep<IpHeaders>> {
        let step = PacketBuilder::ethernet2(self.macs.0, self.macs.1);
        let header = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    time_to_live: 64,
                    ..Ipv4Header::default()
                };
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    hop_limit: 64,
                    ..Ipv6Header::default()
                };
                IpHeaders::Ipv6(header, Ipv6Extensions::default())
            }
            _ => bail!("the two addresses of {self:?} are of two families"),
        };
        Ok(step.ip(header))
    }
}

/// Gives a frame another TTL or hop limit.
pub fn set_hop_limit(frame: &mut [u8], hop_limit: u8) -> Result<()> {
    /// Where the IP header begins.
    const NETWORK: usize = 14;
    match PacketHeaders::from_ethernet_slice(frame)?.net.context("no IP header")? {
        NetHeaders::Ipv4(mut header, _) => {
            header.time_to_live = hop_limit;
            header.header_checksum = header.calc_header_checksum();
            let bytes = header.to_bytes();
            frame[NETWORK..NETWORK + bytes.len()].copy_from_slice(&bytes);
        }
        NetHeaders::Ipv6(mut header, _) => {
            header.hop_limit = hop_limit;
            let bytes = header.to_bytes();
            frame[NETWORK..NETWORK + bytes.len()].copy_from_slice(&bytes);
        }
        NetHeaders::Arp(_) => bail!("ARP has no TTL"),
    }
    Ok(())
}

/// A TCP or UDP packet as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// The TCP header, if it is TCP.
    pub tcp: Option<TcpHeader>,
    /// The checksum field of TCP or UDP.
    pub checksum: u16,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// Source and destination of an IP header.
pub(crate) fn addresses(header: &NetHeaders) -> Option<(IpAddr, IpAddr)> {
    match header {
        NetHeaders::Ipv4(ip, _) => Some((ip.source.into(), ip.destination.into())),
        NetHeaders::Ipv6(ip, _) => Some((ip.source.into(), ip.destination.into())),
        NetHeaders::Arp(_) => None,
    }
}

impl Packet {
    /// Reads a frame; `None` if it holds neither TCP nor UDP.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
        let (source, destination) = addresses(&headers.net?)?;
        let (ports, checksum, tcp) = match headers.transport? {
            TransportHeader::Udp(udp) => ((udp.source_port, udp.destination_port), udp.checksum, None),
            TransportHeader::Tcp(tcp) => ((tcp.source_port, tcp.destination_port), tcp.checksum, Some(tcp)),
            _ => return None,
        };
        Some(Self {
            source: SocketAddr::new(source, ports.0),
            destination: SocketAddr::new(destination, ports.1),
            tcp,
            checksum,
            payload: headers.payload.slice().to_vec(),
        })
    }
}

/// Computes every checksum of a frame from scratch, and compares.
pub fn verify_checksums(frame: &[u8]) -> Result<()> {
    let headers = PacketHeaders::from_ethernet_slice(frame)?;
    let sctp = Sctp::read(frame);
    let payload = headers.payload.slice();
    let ip = headers.net.context("no IP header")?;
    if let NetHeaders::Ipv4(ip, _) = &ip {
        ensure!(ip.header_checksum == ip.calc_header_checksum(), "wrong IPv4 header checksum");
    }
    if let Some(sctp) = sctp {
        return sctp.verify_checksum();
    }
    let (field, computed) = match (ip, headers.transport.context("no transport header")?) {
        (NetHeaders::Ipv4(_, _), TransportHeader::Udp(udp)) if udp.checksum == 0 => (0, 0),
        (NetHeaders::Ipv4(ip, _), TransportHeader::Udp(udp)) => {
            (udp.checksum, udp.calc_checksum_ipv4(&ip, payload)?)
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Udp(udp)) => {
            (udp.checksum, udp.calc_checksum_ipv6(&ip, payload)?)
        }
        (NetHeaders::Ipv4(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload)?)
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Tcp(tcp)) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(&ip, payload)?)
        }
        (NetHeaders::Ipv4(..), TransportHeader::Icmpv4(icmp)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(payload))
        }
        (NetHeaders::Ipv6(ip, _), TransportHeader::Icmpv6(icmp)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(ip.source, ip.destination, payload)?)
        }
        (ip, transport) => bail!("neither TCP, UDP, SCTP nor ICMP: {ip:?}, {transport:?}"),
    };
    ensure!(field == computed, "wrong checksum {field:#06x}, computed {computed:#06x}");
    Ok(())
}

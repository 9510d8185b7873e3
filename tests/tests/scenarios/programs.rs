//! Every branch of the parser, by frames that no stack would send. Whatever is malformed leaves each
//! program as it came; what is well-formed, however strange, is translated.

use anyhow::{Context, Result};
use svc_lb::compile::Protocol;
use svc_lb_common::{
    counters::Program,
    sctp::chunk::{DATA, INIT},
};
use svc_lb_tests::{
    frame::{Packet, Path, verify_checksums},
    programs::{BACKEND, FRONTEND, MAC, PORT, PROTOCOLS, Programs, TARGET_PORT},
    sctp::Sctp,
};

/// `TC_ACT_UNSPEC` and `XDP_PASS`: for the programs behind, and the host.
fn next(program: Program) -> i32 {
    if program == Program::XdpUplink { 2 } else { -1 }
}

/// From a client to the frontend, of each family.
fn paths(port: u16) -> [Path; 2] {
    let clients = ["198.51.100.7".parse().expect("an address"), "2001:db8:7::7".parse().expect("an address")];
    [0, 1].map(|family| Path {
        macs: (MAC, MAC),
        source: std::net::SocketAddr::new(clients[family], port),
        destination: std::net::SocketAddr::new(FRONTEND[family], PORT),
    })
}

/// Where the IP header begins.
const IP: usize = 14;

/// A change to a frame, in words and as code.
type Change = (&'static str, fn(&mut Vec<u8>));

/// What breaks an IPv4 packet.
const IPV4: &[Change] = &[
    ("version 5", |frame| frame[IP] = 0x55),
    ("version 6 under the EtherType of IPv4", |frame| frame[IP] = 0x65),
    ("a header of four words", |frame| frame[IP] = 0x44),
    ("a header of no words", |frame| frame[IP] = 0x40),
    ("a header longer than the packet", |frame| frame[IP] = 0x4f),
    ("a length of 0", |frame| frame[IP + 2..IP + 4].fill(0)),
    ("a length shorter than its headers", |frame| frame[IP + 2..IP + 4].copy_from_slice(&[0, 24])),
    ("a length longer than the frame", |frame| frame[IP + 2..IP + 4].copy_from_slice(&[0x20, 0])),
    ("a later fragment", |frame| frame[IP + 7] = 1),
    ("another protocol", |frame| frame[IP + 9] = 47),
    ("no more than an Ethernet header", |frame| frame.truncate(IP)),
    ("half an IP header", |frame| frame.truncate(IP + 10)),
    ("no transport header", |frame| frame.truncate(IP + 20)),
    ("half a transport header", |frame| frame.truncate(IP + 24)),
];

/// What breaks an IPv6 packet.
const IPV6: &[Change] = &[
    ("version 4 under the EtherType of IPv6", |frame| frame[IP] = 0x40),
    ("a length of 0", |frame| frame[IP + 4..IP + 6].fill(0)),
    ("a length longer than the frame", |frame| frame[IP + 4..IP + 6].copy_from_slice(&[0x20, 0])),
    ("a length shorter than its headers", |frame| frame[IP + 4..IP + 6].copy_from_slice(&[0, 4])),
    ("a fragment header", |frame| frame[IP + 6] = 44),
    ("no next header", |frame| frame[IP + 6] = 59),
    ("another protocol", |frame| frame[IP + 6] = 47),
    ("an extension header that leads nowhere", |frame| frame[IP + 6] = 60),
    ("half an IP header", |frame| frame.truncate(IP + 30)),
    ("no transport header", |frame| frame.truncate(IP + 40)),
    ("half a transport header", |frame| frame.truncate(IP + 44)),
];

#[test]
fn what_is_malformed_leaves_every_program_as_it_came() -> Result<()> {
    Programs::with(|programs| {
        for (family, changes) in [IPV4, IPV6].into_iter().enumerate() {
            let path = paths(40000)[family];
            let transport = IP + if family == 0 { 20 } else { 40 };
            let frames = [
                ("TCP", path.syn(1)?),
                ("UDP", path.udp(b"hello")?),
                ("SCTP", path.sctp(0, INIT, &[7; 16])?),
            ];
            for (protocol, frame) in frames {
                for (what, change) in changes {
                    let mut frame = frame.clone();
                    change(&mut frame);
                    same(programs, &format!("{protocol}: {what}"), &frame)?;
                }
                let mut tagged = frame.clone();
                tagged.splice(12..12, [0x81, 0, 0, 5]);
                same(programs, &format!("{protocol}: a VLAN tag"), &tagged)?;
                let mut other = frame.clone();
                other[5] = 9;
                same_at_ingress(programs, &format!("{protocol}: for another host"), &other)?;
                let mut multicast = frame.clone();
                multicast[0] = 1;
                same_at_ingress(programs, &format!("{protocol}: to a group"), &multicast)?;
            }
            let mut short = path.syn(1)?;
            short[transport + 12] = 0x40;
            same(programs, "TCP: a header of four words", &short)?;
            short[transport + 12] = 0xf0;
            same(programs, "TCP: a header longer than the packet", &short)?;
            let mut without_chunk = path.sctp(0, INIT, &[])?;
            let length = [IP + 3, IP + 5][family];
            without_chunk[length] -= 1;
            same(programs, "SCTP: no whole chunk", &without_chunk)?;
            for length in [0_u16, 7, 14, 2000] {
                let mut datagram = path.udp(b"hello")?;
                datagram[transport + 4..transport + 6].copy_from_slice(&length.to_be_bytes());
                same(programs, &format!("UDP: a length of {length}"), &datagram)?;
            }
        }
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        same(programs, "ARP", &arp)
    })
}

/// The frame leaves every program as it came.
fn same(programs: &mut Programs, what: &str, frame: &[u8]) -> Result<()> {
    for program in Program::PACKETS {
        same_in(programs, program, what, frame)?;
    }
    Ok(())
}

/// The frame leaves every program at an ingress as it came: what goes out is for another host.
fn same_at_ingress(programs: &mut Programs, what: &str, frame: &[u8]) -> Result<()> {
    for program in [Program::XdpUplink, Program::TcUplinkIngress, Program::TcPodIngress] {
        same_in(programs, program, what, frame)?;
    }
    Ok(())
}

fn same_in(programs: &mut Programs, program: Program, what: &str, frame: &[u8]) -> Result<()> {
    // The scenarios with raw sockets send those that the kernel does not take here.
    if !Programs::takes(program, frame) {
        return Ok(());
    }
    let trial = programs.run(program, frame)?;
    assert_eq!(trial.verdict, next(program), "{}: {what}", program.name());
    assert_eq!(trial.frame, frame, "{}: {what}", program.name());
    Ok(())
}

/// What makes a packet strange, not malformed: it is translated all the same.
#[test]
fn options_extension_headers_and_trailing_bytes_are_no_obstacle() -> Result<()> {
    Programs::with(|programs| {
        let mut port = 41000;
        for family in [0, 1] {
            for protocol in PROTOCOLS {
                let strange: [Change; 3] = if family == 0 {
                    [("plain", |_| {}), ("IP options", ipv4_options), ("trailing bytes", trail)]
                } else {
                    [("plain", |_| {}), ("extension headers", ipv6_extensions), ("trailing bytes", trail)]
                };
                for (what, change) in strange {
                    port += 1;
                    let path = paths(port)[family];
                    let mut frame = match protocol {
                        Protocol::Tcp => path.syn(1)?,
                        Protocol::Udp => path.udp(b"hello")?,
                        Protocol::Sctp => path.sctp(0, INIT, &[7; 16])?,
                    };
                    change(&mut frame);
                    let trial = programs.run(Program::TcPodIngress, &frame)?;
                    assert_eq!(trial.verdict, next(Program::TcPodIngress), "{what}");
                    assert_eq!(trial.frame.len(), frame.len(), "{what}");
                    let packet = Packet::read(&trial.frame).map(|seen| (seen.source, seen.destination));
                    let sctp = Sctp::read(&trial.frame).map(|seen| (seen.source, seen.destination));
                    let (source, destination) = packet.or(sctp).expect("a packet with ports");
                    assert_eq!(source, path.source, "{what}");
                    assert_eq!((destination.ip(), destination.port()), (BACKEND[family], TARGET_PORT));
                    verify_checksums(&trial.frame)?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn sctp_of_every_length_has_the_right_checksum() -> Result<()> {
    Programs::with(|programs| {
        for (family, path) in paths(42000).into_iter().enumerate() {
            programs.run(Program::TcPodIngress, &path.sctp(0, INIT, &[7; 16])?)?;
            for length in (0..600).chain(1000..1032) {
                let value: Vec<u8> = (0..length).map(|n: usize| (n * 31 + length) as u8).collect();
                let trial = programs.run(Program::TcPodIngress, &path.sctp(1, DATA, &value)?)?;
                let seen = Sctp::read(&trial.frame).expect("SCTP");
                assert_eq!(seen.destination, (BACKEND[family], TARGET_PORT).into());
                seen.verify_checksum().with_context(|| format!("{length} bytes"))?;
            }
        }
        Ok(())
    })
}

/// A checksum of zero is one like all others, unless somebody is still to complete it.
#[test]
fn an_sctp_checksum_that_is_zero_by_chance_is_corrected() -> Result<()> {
    Programs::with(|programs| {
        for path in paths(42001) {
            let zero = path.sctp_with_checksum_zero(0, INIT)?;
            assert_eq!(Sctp::read(&zero).map(|seen| seen.checksum), Some(0));
            let trial = programs.run(Program::TcPodIngress, &zero)?;
            assert_ne!(trial.frame, zero);
            verify_checksums(&trial.frame)?;
        }
        Ok(())
    })
}

/// Puts eight bytes of options, NOPs and an end, behind an IPv4 header.
fn ipv4_options(frame: &mut Vec<u8>) {
    frame.splice(IP + 20..IP + 20, [1, 1, 1, 1, 1, 1, 1, 0]);
    frame[IP] = 0x47;
    lengthen(frame, IP + 2, 8);
    frame[IP + 10..IP + 12].fill(0);
    let sum: u32 =
        frame[IP..IP + 28].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[IP + 10..IP + 12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Puts hop-by-hop and destination options, eight and sixteen bytes of padding, behind an IPv6 header.
fn ipv6_extensions(frame: &mut Vec<u8>) {
    let transport = frame[IP + 6];
    let mut headers = vec![60, 0, 1, 4, 0, 0, 0, 0];
    headers.extend([transport, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    lengthen(frame, IP + 4, headers.len() as u16);
    frame[IP + 6] = 0;
    frame.splice(IP + 40..IP + 40, headers);
}

/// Adds to a 16-bit length.
fn lengthen(frame: &mut [u8], offset: usize, bytes: u16) {
    let length = u16::from_be_bytes([frame[offset], frame[offset + 1]]) + bytes;
    frame[offset..offset + 2].copy_from_slice(&length.to_be_bytes());
}

/// Puts bytes behind the packet, as Ethernet does with short ones.
fn trail(frame: &mut Vec<u8>) {
    frame.extend([0; 9]);
}

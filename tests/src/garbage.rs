//! Frames that nobody should send: made of real ones by chance, the same at every run.

use crate::frame::Path;
use anyhow::Result;
use etherparse::{TcpHeader, VlanId};
use std::net::IpAddr;
use svc_lb_common::sctp::chunk::INIT;

/// Where the IP header begins.
const IP: usize = 14;
/// EtherTypes.
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// The fragment header of IPv6.
const FRAGMENT: u8 = 44;

/// Chance, by xorshift64 (Marsaglia).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that a seed gives.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below a limit that is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    /// One of some frames, cut, with some bits the other way round, with bytes of chance in it or
    /// behind it, or as it is.
    pub fn garble(&mut self, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = frames[self.below(frames.len())].clone();
        match self.below(8) {
            0 => frame.truncate(IP + 1 + self.below(frame.len() - IP)),
            1 => {
                for _ in 0..=self.below(64) {
                    frame.push(self.byte());
                }
            }
            2 => {
                let begin = self.below(frame.len());
                frame[begin..].fill_with(|| self.byte());
            }
            3 => {
                frame.truncate(IP);
                for _ in 0..=self.below(200) {
                    frame.push(self.byte());
                }
            }
            4 => {}
            _ => {
                for _ in 0..=self.below(4) {
                    let at = self.below(frame.len());
                    frame[at] ^= 1 << self.below(8);
                }
            }
        }
        frame
    }
}

/// Frames of every form for a path: TCP with every set of flags, UDP, SCTP with every chunk, ICMP, fragments,
/// extension headers, tags.
pub fn frames(path: &Path) -> Result<Vec<Vec<u8>>> {
    let datagram = path.udp(b"some payload of a datagram")?;
    let mut frames = vec![
        icmp_error(&datagram),
        Path::tag(&datagram, VlanId::try_new(7)?),
        fragment(&datagram, 0, true),
        fragment(&datagram, 3, true),
        fragment(&datagram, 3, false),
        with_options(&datagram),
        datagram,
    ];
    for flags in 0..32_u8 {
        let has = |bit: u8| flags & 1 << bit != 0;
        let header = TcpHeader {
            fin: has(0),
            syn: has(1),
            rst: has(2),
            psh: has(3),
            ack: has(4),
            window_size: 1000,
            ..TcpHeader::default()
        };
        frames.push(path.tcp(header, b"some payload of a segment")?);
    }
    for chunk in 0..16_u8 {
        frames.push(path.sctp(1, chunk, b"some value of a chunk")?);
    }
    let init = path.sctp(0, INIT, &[7; 16])?;
    frames.extend([fragment(&init, 0, true), with_options(&init), icmp_error(&init)]);
    let segment = path.syn(1)?;
    frames.extend([fragment(&segment, 0, true), with_options(&segment), icmp_error(&segment)]);
    Ok(frames)
}

/// Whether the bytes where a frame has its IP destination are those of an address: malformed or not.
pub fn is_addressed_to(frame: &[u8], address: IpAddr) -> bool {
    let (kind, offset, bytes) = match address {
        IpAddr::V4(address) => (IPV4, IP + 16, address.octets().to_vec()),
        IpAddr::V6(address) => (IPV6, IP + 24, address.octets().to_vec()),
    };
    frame.get(12..IP) == Some(&kind[..]) && frame.get(offset..offset + bytes.len()) == Some(&bytes[..])
}

fn is_ipv4(frame: &[u8]) -> bool {
    frame[12..IP] == IPV4
}

/// A fragment of a packet, at an offset in units of eight bytes.
fn fragment(frame: &[u8], offset: u8, more: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if is_ipv4(&frame) {
        frame[IP + 6] = if more { 0x20 } else { 0 };
        frame[IP + 7] = offset;
    } else {
        insert_extension(&mut frame, FRAGMENT, [0, 0, offset << 3 | u8::from(more), 0, 0, 0, 7]);
    }
    frame
}

/// The whole packet that a first fragment is, as if nothing followed it; `None` if it is none.
pub fn whole(frame: &[u8]) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    if frame.get(12..IP)? == IPV4 {
        let fragment = frame.get(IP + 6..IP + 8)?;
        if fragment[0] & 0x3f != 0x20 || fragment[1] != 0 {
            return None;
        }
        frame[IP + 6] &= !0x20;
    } else {
        let fragment = frame.get(IP + 40..IP + 48)?.to_vec();
        if frame[12..IP] != IPV6 || frame[IP + 6] != FRAGMENT || fragment[2] != 0 || fragment[3] & 0xf9 != 1 {
            return None;
        }
        frame[IP + 6] = fragment[0];
        frame[IP + 5] = frame[IP + 5].checked_sub(8)?;
        frame.drain(IP + 40..IP + 48);
    }
    // What is behind the packet is not part of it; the length of UDP is that of all fragments.
    let (at, before) = if is_ipv4(&frame) { (IP + 2, IP) } else { (IP + 4, IP + 40) };
    frame.truncate(before + usize::from(u16::from_be_bytes([frame[at], frame[at + 1]])));
    let transport = if is_ipv4(&frame) { IP + 4 * usize::from(frame[IP] & 0x0f) } else { IP + 40 };
    let udp = *frame.get(if is_ipv4(&frame) { IP + 9 } else { IP + 6 })? == 17;
    if udp && frame.len() >= transport + 8 {
        let length = (frame.len() - transport) as u16;
        frame[transport + 4..transport + 6].copy_from_slice(&length.to_be_bytes());
    }
    Some(frame)
}

/// A packet with options: of the IPv4 header, or hop by hop.
fn with_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if is_ipv4(&frame) {
        frame[IP] = 0x46;
        frame[IP + 3] += 4;
        frame.splice(IP + 20..IP + 20, [1, 1, 1, 0]);
    } else {
        insert_extension(&mut frame, 0, [0, 1, 4, 0, 0, 0, 0]);
    }
    frame
}

/// Puts an extension header behind an IPv6 header; the number of what follows it goes before `rest`.
fn insert_extension(frame: &mut Vec<u8>, number: u8, rest: [u8; 7]) {
    let next = std::mem::replace(&mut frame[IP + 6], number);
    frame[IP + 5] += 8;
    frame.splice(IP + 40..IP + 40, [&[next], &rest[..]].concat());
}

/// That the destination of a packet cannot be reached, as if the packet had gone the other way.
fn icmp_error(frame: &[u8]) -> Vec<u8> {
    let mut error = frame.to_vec();
    let (header, protocol, length) = if is_ipv4(frame) { (20, IP + 9, IP + 3) } else { (40, IP + 6, IP + 5) };
    let (kind, number) = if is_ipv4(frame) { (3, 1) } else { (1, 58) };
    error[protocol] = number;
    error[length] += 8 + header as u8;
    let quoted = [&[kind, 1, 0, 0, 0, 0, 0, 0], &frame[IP..IP + header]].concat();
    error.splice(IP + header..IP + header, quoted);
    error
}

//! SCTP packets (RFC 9260), made and read byte by byte: the kernel need not have sockets for them.

use crate::frame::{Path, addresses};
use anyhow::{Context, Result, ensure};
use etherparse::{IpNumber, PacketHeaders, PayloadSlice};
use std::{io, net::SocketAddr};
use svc_lb_common::crc32c;

/// Length of the common header.
const HEADER: usize = 12;
/// Where its checksum is.
const CHECKSUM: std::ops::Range<usize> = 8..12;

impl Path {
    /// The same with a value of four bytes that give it the checksum zero.
    pub fn sctp_with_checksum_zero(&self, tag: u32, chunk: u8) -> Result<Vec<u8>> {
        // A checksum is linear but for a constant: the value is the sum of those bits whose checksums, without
        // the constant, add up to that of the value zero. Gauss finds them.
        let checksum = |value: u32| -> Result<u32> {
            let frame = self.sctp(tag, chunk, &value.to_le_bytes())?;
            Ok(Sctp::read(&frame).context("no SCTP")?.checksum)
        };
        let (mut wanted, mut value, zero) = (checksum(0)?, 0, checksum(0)?);
        let mut basis: Vec<(u32, u32)> = Vec::new();
        for bit in (0..u32::BITS).map(|bit| 1 << bit) {
            let mut vector = (checksum(bit)? ^ zero, bit);
            for &(sum, bits) in &basis {
                if vector.0 ^ sum < vector.0 {
                    vector = (vector.0 ^ sum, vector.1 ^ bits);
                }
            }
            if vector.0 != 0 {
                basis.push(vector);
                basis.sort_unstable_by(|one, other| other.cmp(one));
            }
        }
        for (sum, bits) in basis {
            if wanted ^ sum < wanted {
                (wanted, value) = (wanted ^ sum, value ^ bits);
            }
        }
        self.sctp(tag, chunk, &value.to_le_bytes())
    }

    /// An SCTP frame with one chunk, and its verification tag.
    pub fn sctp(&self, tag: u32, chunk: u8, value: &[u8]) -> Result<Vec<u8>> {
        /// What a chunk's header is long, and what its end is aligned to.
        const CHUNK: usize = 4;
        let length = u16::try_from(CHUNK + value.len())?;
        let mut packet = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        packet.extend(tag.to_be_bytes());
        packet.extend([0; CHECKSUM.end - CHECKSUM.start]);
        packet.extend([chunk, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend(value);
        packet.resize(packet.len().next_multiple_of(CHUNK), 0);
        let sum = crc32c::checksum(&packet).to_le_bytes();
        packet[CHECKSUM].copy_from_slice(&sum);
        let mut frame = Vec::new();
        self.ip()?.write_to_vec(&mut frame, IpNumber::SCTP, &packet)?;
        Ok(frame)
    }
}

/// An SCTP packet as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sctp {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// The verification tag.
    pub tag: u32,
    /// The checksum field.
    pub checksum: u32,
    /// The type of the first chunk.
    pub chunk: u8,
    /// The whole packet from its common header on.
    pub bytes: Vec<u8>,
}

impl Sctp {
    /// Reads a frame; `None` if it holds no whole SCTP packet.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
        let (source, destination) = addresses(&headers.net?)?;
        let PayloadSlice::Ip(payload) = headers.payload else { return None };
        if payload.ip_number != IpNumber::SCTP || payload.fragmented {
            return None;
        }
        let bytes = payload.payload.to_vec();
        let (header, chunks) = bytes.split_first_chunk::<HEADER>()?;
        let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let word = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        Some(Self {
            source: SocketAddr::new(source, port(0)),
            destination: SocketAddr::new(destination, port(2)),
            tag: u32::from_be_bytes(word(4)),
            checksum: u32::from_le_bytes(word(CHECKSUM.start)),
            chunk: *chunks.first()?,
            bytes,
        })
    }

    /// Computes the checksum from scratch, and compares.
    pub fn verify_checksum(&self) -> Result<()> {
        let mut bytes = self.bytes.clone();
        bytes[CHECKSUM].fill(0);
        let (field, computed) = (self.checksum, crc32c::checksum(&bytes));
        ensure!(field == computed, "wrong checksum {field:#010x}, computed {computed:#010x}");
        Ok(())
    }
}

/// Why nobody calls by SCTP: Linux may be built without, and what is tested here is so.
pub(crate) fn without_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "SCTP is tested with packets, not with sockets")
}

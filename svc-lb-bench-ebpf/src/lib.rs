//! What the benchmark of packets shares with its programs.
#![no_std]

use bytemuck::{Pod, Zeroable};

/// How many flows differ by their address alone, before the port changes too.
pub const ADDRESSES: u32 = 64;
/// How many ports follow each other, before addresses are new.
pub const PORTS: u32 = 1 << 14;
/// Consecutive flows are that far apart in a walk: an odd number, so that every flow has its turn, and one
/// that no hardware guesses.
pub const STRIDE: u32 = 0x9e37_79b1;

/// Bytes of a frame with an IPv4 and a TCP header.
pub const LENGTH_V4: usize = 14 + 20 + 20;
/// Bytes of a frame with an IPv6 and a TCP header.
pub const LENGTH_V6: usize = 14 + 40 + 20;

/// What packet the next run of a program gets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Course {
    /// The frame of flow 0 behind its Ethernet header, in words as they stand in memory: no field of its headers
    /// lies in two of them, so that a processor need not wait for the stores before it loads one.
    pub packet: [u64; 8],
    /// The addresses that the frame begins with, the first of which ends in the second word.
    pub link: [u64; 2],
    /// The EtherType behind them.
    pub ether_type: u16,
    /// Where the address stands that differs from flow to flow: its last four bytes.
    pub address: u16,
    /// Where the two ports stand.
    pub ports: u16,
    /// How many bits above the end of both stands that of the two which differs from flow to flow.
    pub shift: u16,
    /// How many packets were made.
    pub made: u32,
    /// How many packets there are before the first is made again, less one; the number is a power of two.
    pub mask: u32,
    /// A packet's flow is its number times this.
    pub stride: u32,
    /// 1: flows seem to be made at an ordinary rate, however fast they are.
    pub unhurried: u32,
}

impl Course {
    /// Words of 64 bits.
    pub const WORDS: usize = size_of::<Self>() / size_of::<u64>();
}

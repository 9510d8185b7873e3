//! A packet, the same for XDP and tc.
//!
//! - [`headers`]: what is parsed of it
//! - [`ip`]: what differs between IPv4 and IPv6 on the wire
//! - [`sctp`]: what is different about SCTP
//! - [`xdp`], [`tc`]: the two contexts it comes in

mod headers;
mod ip;
pub mod sctp;
mod tc;
mod xdp;

pub use headers::{ETHERNET_LENGTH, Ethernet, Headers, Icmp, Ports, Tcp, Udp, parse, parse_quoted, reach};
pub use ip::{Family, MAX_NETWORK_LENGTH, pseudo_header_tail};
pub use tc::{Layer2, Layer3};
pub use xdp::XdpPacket;

use crate::exception::Exception;
use aya_ebpf::EbpfContext;
use core::ffi::c_void;
use svc_lb_common::{
    flow::{Flow, NextHop},
    link::LinkAddresses,
};

/// A packet in the context of a hook. Offsets count from the first byte of the frame.
pub trait Packet: Copy {
    /// What a program returns.
    type Verdict;
    /// For the programs behind this one and the host's stack.
    const NEXT: Self::Verdict;
    /// Dropped.
    const DROP: Self::Verdict;
    /// Whether tc sees what this program leaves alone.
    const TC_FOLLOWS: bool;
    /// Offset of the IP header: the length of the link-layer header.
    const NETWORK: usize;

    /// The hook's context.
    type Context: EbpfContext;
    /// The hook's context.
    fn context(&self) -> Self::Context;

    /// The interface that the packet came in by.
    fn ifindex(&self) -> u32;

    /// Bytes of the whole frame.
    fn length(&self) -> u32;

    /// Address of the first byte that can be read directly.
    fn start(&self) -> usize;

    /// Address behind the last byte that can be read directly.
    fn end(&self) -> usize;

    /// Makes sure that the first so many bytes can be read directly, as far as the frame has them.
    fn pull(&self, length: usize);

    /// The EtherType of what the frame carries, as a load from a frame gives it.
    fn ether_type(&self) -> Result<u16, Exception>;

    /// Whether the link layer addresses the frame to this host, without a VLAN tag.
    fn is_for_this_host(&self) -> bool;

    /// Whether the frame has no VLAN tag that the hardware took off.
    fn is_untagged(&self) -> bool;

    /// Gives a TCP or UDP packet the addresses and ports of its flow, and corrects its checksums. `hops` are taken off
    /// the TTL or hop limit.
    fn rewrite<A: Family>(&self, headers: &Headers<A>, flow: &Flow<A>, hops: u8) -> Result<(), Exception>;

    /// Overwrites bytes, together with the checksum within the packet that makes up for the change.
    fn store<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception>;

    /// Overwrites bytes, where nothing within the packet makes up for the change.
    fn overwrite<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception>;

    /// Cuts the frame to so many bytes.
    fn truncate(&self, length: u32) -> Result<(), Exception>;

    /// Makes room for so many bytes behind the Ethernet header.
    fn grow(&self, bytes: u32) -> Result<(), Exception>;

    /// Whether the transport checksum, at an offset, is still to be completed by whoever sends the packet: its
    /// field holds the sum of the pseudo-header only, of SCTP nothing.
    fn has_partial_checksum(&self, offset: usize) -> Result<bool, Exception>;

    /// Writes a transport checksum, of a pseudo-header and what follows it, whoever completes it.
    fn set_transport_checksum(
        &self,
        offset: usize,
        pseudo_header: u64,
        segment: u64,
    ) -> Result<(), Exception>;

    /// Bytes from the IP header on of the longest packet that this one is on the wire: the kernel
    /// carries several TCP segments in one.
    fn length_on_wire<A: Family>(&self, headers: &Headers<A>) -> Result<u32, Exception>;

    /// Whether this hook can send the packet to a next hop.
    fn can_send_to(&self, hop: &NextHop) -> bool;

    /// Sends the packet to a next hop.
    fn send_to<A: Family>(&self, hop: &NextHop) -> Result<Self::Verdict, Exception>;

    /// Addresses the frame to another port of the bridge that it came in by.
    #[inline(always)]
    fn switch_to(&self, hop: &NextHop) -> Result<(), Exception> {
        self.store(0, &hop.link.destination())
    }

    /// Sends the packet back out of the interface that it came in by, to the link-layer address that
    /// it came from.
    fn send_back(&self) -> Result<Self::Verdict, Exception>;

    /// Has the host receive the packet, which it sends itself: as if the interface by which it leaves had
    /// sent it back.
    fn receive(&self) -> Result<Self::Verdict, Exception>;

    /// Bytes that can be read directly.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Result<*mut T, Exception> {
        let value = self.start() + offset;
        if value + size_of::<T>() > self.end() {
            return Err(Exception::NotOurs);
        }
        Ok(value as *mut T)
    }

    /// A copy of bytes that can be read directly.
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Result<T, Exception> {
        // SAFETY: the bytes lie within the packet; BPF loads have no alignment on the architectures
        // that it runs on, and T holds integers only.
        Ok(unsafe { *self.at::<T>(offset)? })
    }

    /// The context as helpers want it.
    #[inline(always)]
    fn pointer(&self) -> *mut c_void {
        self.context().as_ptr()
    }

    /// A copy of bytes that need not be in reach for direct reads, and are not brought there: the kernel
    /// carries the chunks of several SCTP packets in one, and those must stay where they are.
    #[inline(always)]
    fn peek<T: Copy>(&self, offset: usize) -> Result<T, Exception> {
        self.load(offset)
    }

    /// Exchanges the link-layer addresses.
    #[inline(always)]
    fn turn_link(&self) -> Result<(), Exception> {
        let link: LinkAddresses = self.load(0)?;
        self.store(0, &link.turned())
    }
}

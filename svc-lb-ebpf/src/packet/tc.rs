//! A packet as the kernel carries it (`sk_buff`).
//!
//! Its checksum may be complete, still to be completed by whoever sends it, or known to the network
//! card only; the kernel's helpers keep all three right. Nothing is written directly: a program that
//! does so gets every packet's data copied, also of those that it leaves alone.

use super::{ETHERNET_LENGTH, Ethernet, Family, Headers, Packet, Ports, Tcp};
use crate::{exception::Exception, maps, route};
use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_INGRESS, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM, TC_ACT_SHOT,
        TC_ACT_UNSPEC, bpf_adj_room_mode, bpf_hdr_start_off::BPF_HDR_START_MAC,
    },
    helpers::generated,
    programs::TcContext,
};
use core::ffi::c_void;
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6},
    checksum,
    counters::DropReason,
    flow::{Flow, NextHop, TCP, UDP},
    interface::Interface,
    link::LinkAddresses,
};

/// `PACKET_HOST` of linux/if_packet.h: addressed to this host.
const PACKET_HOST: u32 = 0;
/// `PACKET_OTHERHOST` of linux/if_packet.h: addressed to none of the interface's addresses.
const PACKET_OTHERHOST: u32 = 3;
/// `GSO_BY_FRAGS` of linux/skbuff.h: the packet is several of SCTP, of any length.
const GSO_BY_FRAGS: u32 = 0xffff;
/// Length of a UDP header, in bytes.
const UDP_LENGTH: u32 = 8;
/// `BPF_F_IPV6` of linux/bpf.h, since Linux 6.16 and its stable kernels of that time: no IP header
/// checksum makes up for the change of an address.
const BPF_F_IPV6: u64 = 1 << 7;

/// A packet of an interface with Ethernet headers.
pub type Layer2 = TcPacket<ETHERNET_LENGTH>;
/// A packet of an interface whose packets begin with the IP header.
pub type Layer3 = TcPacket<0>;

/// A packet in the context of tc, with a link-layer header of so many bytes.
#[derive(Clone, Copy)]
pub struct TcPacket<const LINK_LENGTH: usize> {
    context: *mut __sk_buff,
}

impl<const LINK_LENGTH: usize> TcPacket<LINK_LENGTH> {
    /// The packet of a context.
    #[inline(always)]
    pub fn new(context: &TcContext) -> Self {
        Self { context: context.skb.skb }
    }

    /// Puts the link-layer header back in reach. When generic XDP has copied a packet (Linux 6.9 and
    /// later), the kernel has forgotten how long that header is, and the frame seems to begin with the
    /// IP header.
    #[inline(always)]
    fn restore_link_header(&self, protocol: u16) -> Result<(), Exception> {
        let version = self.load::<u8>(0)? >> 4;
        let is_ip = (protocol == Ipv4::ETHER_TYPE && version == Ipv4::VERSION)
            || (protocol == Ipv6::ETHER_TYPE && version == Ipv6::VERSION);
        if !is_ip {
            return Err(Exception::NotOurs);
        }
        let mut ethernet = Ethernet { destination: [0; 3], source: [0; 3], ether_type: 0 };
        // SAFETY: the context is this program's, and the header is as long as is said.
        let result = unsafe {
            generated::bpf_skb_load_bytes_relative(
                self.context.cast(),
                0,
                (&raw mut ethernet).cast(),
                ETHERNET_LENGTH as u32,
                BPF_HDR_START_MAC,
            )
        };
        if result != 0 || ethernet.ether_type != protocol {
            return Err(Exception::NotOurs);
        }
        self.make_link_room().map_err(|_| Exception::NotOurs)?;
        self.store(0, &ethernet)
    }

    /// Makes room for an Ethernet header in front of the IP header.
    #[inline(always)]
    fn make_link_room(&self) -> Result<(), Exception> {
        // SAFETY: the context is this program's.
        let result = unsafe { generated::bpf_skb_change_head(self.context, ETHERNET_LENGTH as u32, 0) };
        if result == 0 { Ok(()) } else { Err(FAILED) }
    }

    /// Overwrites bytes. `flags`: as of `bpf_skb_store_bytes`.
    #[inline(always)]
    fn store_bytes<T: Copy>(&self, offset: usize, value: &T, flags: u64) -> Result<(), Exception> {
        let value = core::ptr::from_ref(value).cast::<c_void>();
        // SAFETY: the context is this program's, and the value is as long as is said.
        let result = unsafe {
            generated::bpf_skb_store_bytes(self.context, offset as u32, value, size_of::<T>() as u32, flags)
        };
        if result == 0 { Ok(()) } else { Err(FAILED) }
    }

    /// Adds to what a transport checksum covers. `flags`: as of `bpf_l4_csum_replace`.
    #[inline(always)]
    fn add_to_checksum(&self, offset: usize, difference: u16, flags: u64) -> Result<(), Exception> {
        let add = |flags| self.context().l4_csum_replace(offset, 0, u64::from(difference), flags);
        let mut result = add(flags);
        if result.is_err() && flags & BPF_F_IPV6 != 0 {
            // An older kernel does not know the flag.
            result = add(flags & !BPF_F_IPV6);
        }
        result.map_err(|_| FAILED)
    }
}

/// What a rewrite changes of a packet, as it stands there if the IP header has no options: each call of the kernel
/// costs more than what it writes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Rewritten<R> {
    network: R,
    ports: Ports,
}

/// The kernel refused to change the packet.
const FAILED: Exception = Exception::Drop(DropReason::RewriteFailed);

/// The flags of a change that the pseudo-header sees.
#[inline(always)]
fn pseudo_header_flags<A: Address>() -> u64 {
    u64::from(BPF_F_PSEUDO_HDR) | if A::VERSION == 6 { BPF_F_IPV6 } else { 0 }
}

impl<const LINK_LENGTH: usize> Packet for TcPacket<LINK_LENGTH> {
    type Verdict = i32;
    const NEXT: i32 = TC_ACT_UNSPEC;
    const DROP: i32 = TC_ACT_SHOT as i32;
    const TC_FOLLOWS: bool = false;
    const NETWORK: usize = LINK_LENGTH;
    type Context = TcContext;

    #[inline(always)]
    fn context(&self) -> TcContext {
        TcContext::new(self.context)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is this program's. Volatile, because the kernel takes no load from a context
        // by an address that is chosen.
        unsafe { core::ptr::read_volatile(&raw const (*self.context).ifindex) }
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.context().len()
    }

    #[inline(always)]
    fn start(&self) -> usize {
        self.context().data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.context().data_end()
    }

    #[inline(always)]
    fn pull(&self, length: usize) {
        if self.start() + length > self.end() && self.end() - self.start() < self.length() as usize {
            // Where it fails the bytes stay out of reach, which whoever reads them finds out.
            let _ = self.context().pull_data((length as u32).min(self.length()));
        }
    }

    #[inline(always)]
    fn ether_type(&self) -> Result<u16, Exception> {
        // SAFETY: the context is this program's.
        let protocol = unsafe { (*self.context).protocol } as u16;
        if LINK_LENGTH == 0 {
            return Ok(protocol);
        }
        self.pull(ETHERNET_LENGTH);
        let ethernet: Ethernet = self.load(0)?;
        if ethernet.ether_type != protocol {
            self.restore_link_header(protocol)?;
        }
        Ok(protocol)
    }

    #[inline(always)]
    fn is_for_this_host(&self) -> bool {
        // SAFETY: the context is this program's.
        let kind = unsafe { (*self.context).pkt_type };
        let for_this_host = match kind {
            PACKET_HOST => true,
            // At the port of a bridge: to the bridge.
            PACKET_OTHERHOST if LINK_LENGTH != 0 => {
                let (interface, link) = (maps::interface(self.ifindex()), self.load::<LinkAddresses>(0));
                matches!((interface, link), (Some(interface), Ok(link)) if link.is_for(interface.mac))
            }
            _ => false,
        };
        for_this_host && self.is_untagged()
    }

    #[inline(always)]
    fn is_untagged(&self) -> bool {
        // SAFETY: the context is this program's.
        unsafe { (*self.context).vlan_present == 0 }
    }

    #[inline(always)]
    fn rewrite<A: Family>(&self, headers: &Headers<A>, flow: &Flow<A>, hops: u8) -> Result<(), Exception> {
        let network = LINK_LENGTH + A::REWRITTEN_OFFSET;
        let rewritten = A::rewritten(self.load(network)?, &flow.rewrite, flow.address_difference, hops);
        let rewritten = Rewritten { network: rewritten, ports: Ports::of(&flow.rewrite) };
        let ports_differ = headers.key.tuple.ports_differ(&flow.rewrite);
        if headers.transport() == network + size_of::<A::Rewritten>() {
            self.store(network, &rewritten)?;
        } else {
            self.store(network, &rewritten.network)?;
            self.store(headers.transport(), &rewritten.ports)?;
        }
        let udp = if headers.key.protocol == UDP { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
        let flags = udp | pseudo_header_flags::<A>();
        self.add_to_checksum(headers.checksum(), flow.address_difference, flags)?;
        if ports_differ {
            self.add_to_checksum(headers.checksum(), flow.port_difference, udp)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn store<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception> {
        self.store_bytes(offset, value, 0)
    }

    #[inline(always)]
    fn overwrite<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception> {
        self.store_bytes(offset, value, u64::from(BPF_F_RECOMPUTE_CSUM))
    }

    #[inline(always)]
    fn peek<T: Copy>(&self, offset: usize) -> Result<T, Exception> {
        self.context().load(offset).map_err(|_| Exception::NotOurs)
    }

    #[inline(always)]
    fn truncate(&self, length: u32) -> Result<(), Exception> {
        // SAFETY: the context is this program's.
        let result = unsafe { generated::bpf_skb_change_tail(self.context, length, 0) };
        if result == 0 { Ok(()) } else { Err(FAILED) }
    }

    #[inline(always)]
    fn grow(&self, bytes: u32) -> Result<(), Exception> {
        let mode = bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;
        self.context().adjust_room(bytes.cast_signed(), mode, 0).map_err(|_| FAILED)
    }

    #[inline(always)]
    fn has_partial_checksum(&self, offset: usize) -> Result<bool, Exception> {
        let before: u16 = self.load(offset)?;
        // The helper leaves a checksum that is still to be completed alone unless the pseudo-header
        // changes. Nothing else tells.
        self.add_to_checksum(offset, 1, 0)?;
        let after: u16 = self.load(offset)?;
        self.store(offset, &before)?;
        Ok(before == after)
    }

    #[inline(always)]
    fn set_transport_checksum(
        &self,
        offset: usize,
        pseudo_header: u64,
        segment: u64,
    ) -> Result<(), Exception> {
        // 0xFFFF is the checksum of nothing: what is added from here on is all that it covers.
        self.store(offset, &u16::MAX)?;
        let [pseudo_header, segment] = [pseudo_header, segment].map(checksum::fold);
        self.add_to_checksum(offset, pseudo_header, u64::from(BPF_F_PSEUDO_HDR))?;
        self.add_to_checksum(offset, segment, 0)
    }

    #[inline(always)]
    fn length_on_wire<A: Family>(&self, headers: &Headers<A>) -> Result<u32, Exception> {
        // SAFETY: the context is this program's.
        let segment = unsafe { (*self.context).gso_size };
        match segment {
            0 => return Ok(headers.length),
            // How long the longest is nobody is told; whoever sent them made them fit the path.
            GSO_BY_FRAGS => return Ok(0),
            _ => {}
        }
        let transport = if headers.key.protocol == TCP {
            let tcp: Tcp = self.load(headers.transport())?;
            u32::from(tcp.data_offset >> 4) * 4
        } else {
            UDP_LENGTH
        };
        Ok((headers.transport() - LINK_LENGTH) as u32 + transport + segment)
    }

    #[inline(always)]
    fn can_send_to(&self, _hop: &NextHop) -> bool {
        true
    }

    #[inline(always)]
    fn send_to<A: Family>(&self, hop: &NextHop) -> Result<i32, Exception> {
        if hop.is_by(Interface::LAYER_3) {
            // The kernel takes a link-layer header off by itself.
            // SAFETY: the helper takes no pointers.
            return Ok(unsafe { generated::bpf_redirect(hop.ifindex, 0) as i32 });
        }
        if LINK_LENGTH == 0 {
            self.make_link_room()?;
        }
        self.store(0, &Ethernet::new(hop.link, A::ETHER_TYPE))?;
        if hop.is_resolved() {
            // SAFETY: the helper takes no pointers.
            return Ok(unsafe { generated::bpf_redirect(hop.ifindex, 0) as i32 });
        }
        let mut neighbour = route::neighbour::<A>().ok_or(Exception::NotOurs)?;
        let length = size_of_val(&neighbour) as i32;
        // SAFETY: the parameters are as long as is said.
        Ok(unsafe { generated::bpf_redirect_neigh(hop.ifindex, &raw mut neighbour, length, 0) as i32 })
    }

    #[inline(always)]
    fn send_back(&self) -> Result<i32, Exception> {
        if LINK_LENGTH != 0 {
            self.turn_link()?;
        }
        // SAFETY: the helper takes no pointers.
        Ok(unsafe { generated::bpf_redirect(self.ifindex(), 0) as i32 })
    }

    #[inline(always)]
    fn receive(&self) -> Result<i32, Exception> {
        if LINK_LENGTH != 0 {
            self.turn_link()?;
        }
        // SAFETY: as above.
        Ok(unsafe { generated::bpf_redirect(self.ifindex(), u64::from(BPF_F_INGRESS)) as i32 })
    }
}

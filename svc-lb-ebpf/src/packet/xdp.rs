//! A packet before the kernel has made anything of it.
//!
//! What arrives here carries complete checksums: a network card never delivers others.

use super::{ETHERNET_LENGTH, Ethernet, Family, Headers, Packet, Ports, Tcp, Udp};
use crate::{exception::Exception, maps};
use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated,
    programs::XdpContext,
};
use svc_lb_common::{
    checksum,
    counters::DropReason,
    flow::{Flow, NextHop, TCP},
    interface::Interface,
    link::LinkAddresses,
};

/// A packet in the context of XDP.
#[derive(Clone, Copy)]
pub struct XdpPacket {
    context: *mut xdp_md,
    /// Read once: it is at the end of a chain of three pointers.
    ifindex: u32,
}

impl XdpPacket {
    /// The packet of a context.
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        let context = context.ctx;
        // SAFETY: the context is this program's. Volatile, because the kernel takes no load from a context
        // by an address that is chosen.
        let ifindex = unsafe { core::ptr::read_volatile(&raw const (*context).ingress_ifindex) };
        Self { context, ifindex }
    }
}

impl Packet for XdpPacket {
    type Verdict = u32;
    const NEXT: u32 = xdp_action::XDP_PASS;
    const DROP: u32 = xdp_action::XDP_DROP;
    const TC_FOLLOWS: bool = true;
    const NETWORK: usize = ETHERNET_LENGTH;
    type Context = XdpContext;

    #[inline(always)]
    fn context(&self) -> XdpContext {
        XdpContext::new(self.context)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is this program's.
        unsafe { generated::bpf_xdp_get_buff_len(self.context) as u32 }
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
    fn pull(&self, _length: usize) {
        // The headers of a packet in pieces are in its first.
    }

    #[inline(always)]
    fn ether_type(&self) -> Result<u16, Exception> {
        self.load::<Ethernet>(0).map(|ethernet| ethernet.ether_type)
    }

    #[inline(always)]
    fn is_for_this_host(&self) -> bool {
        let (Ok(link), Some(interface)) = (self.load::<LinkAddresses>(0), maps::interface(self.ifindex()))
        else {
            return false;
        };
        link.is_for(interface.mac)
    }

    #[inline(always)]
    fn is_untagged(&self) -> bool {
        true
    }

    #[inline(always)]
    fn rewrite<A: Family>(&self, headers: &Headers<A>, flow: &Flow<A>, hops: u8) -> Result<(), Exception> {
        let network = self.at::<A::Rewritten>(Self::NETWORK + A::REWRITTEN_OFFSET)?;
        let difference = u32::from(flow.address_difference) + u32::from(flow.port_difference);
        // SAFETY: all headers lie within the packet; BPF loads and stores have no alignment on the architectures
        // that it runs on.
        unsafe {
            if headers.key.protocol == TCP {
                let tcp = self.at::<Tcp>(headers.transport())?;
                (*tcp).ports = Ports::of(&flow.rewrite);
                (*tcp).checksum = checksum::add((*tcp).checksum, difference);
            } else {
                let udp = self.at::<Udp>(headers.transport())?;
                (*udp).ports = Ports::of(&flow.rewrite);
                (*udp).checksum = checksum::add_udp((*udp).checksum, difference);
            }
            *network = A::rewritten(*network, &flow.rewrite, flow.address_difference, hops);
        }
        Ok(())
    }

    #[inline(always)]
    fn store<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception> {
        // SAFETY: the bytes lie within the packet.
        unsafe { *self.at::<T>(offset)? = *value }
        Ok(())
    }

    #[inline(always)]
    fn overwrite<T: Copy>(&self, offset: usize, value: &T) -> Result<(), Exception> {
        self.store(offset, value)
    }

    #[inline(always)]
    fn truncate(&self, length: u32) -> Result<(), Exception> {
        let change = length.wrapping_sub(self.length()).cast_signed();
        // SAFETY: the context is this program's.
        changed(unsafe { generated::bpf_xdp_adjust_tail(self.context, change) })
    }

    #[inline(always)]
    fn grow(&self, bytes: u32) -> Result<(), Exception> {
        let ethernet: Ethernet = self.load(0)?;
        // SAFETY: the context is this program's.
        changed(unsafe { generated::bpf_xdp_adjust_head(self.context, -bytes.cast_signed()) })?;
        self.store(0, &ethernet)
    }

    #[inline(always)]
    fn has_partial_checksum(&self, _offset: usize) -> Result<bool, Exception> {
        Ok(false)
    }

    #[inline(always)]
    fn set_transport_checksum(
        &self,
        offset: usize,
        pseudo_header: u64,
        segment: u64,
    ) -> Result<(), Exception> {
        self.store(offset, &!checksum::fold(pseudo_header + segment))
    }

    #[inline(always)]
    fn length_on_wire<A: Family>(&self, headers: &Headers<A>) -> Result<u32, Exception> {
        Ok(headers.length)
    }

    #[inline(always)]
    fn can_send_to(&self, hop: &NextHop) -> bool {
        hop.is_resolved() && (hop.ifindex == self.ifindex() || hop.is_by(Interface::XDP))
    }

    #[inline(always)]
    fn send_to<A: Family>(&self, hop: &NextHop) -> Result<u32, Exception> {
        // The EtherType stays as it came.
        self.store(0, &hop.link)?;
        if hop.ifindex == self.ifindex() {
            return Ok(xdp_action::XDP_TX);
        }
        // SAFETY: the helper takes no pointers.
        Ok(unsafe { generated::bpf_redirect(hop.ifindex, 0) as u32 })
    }

    #[inline(always)]
    fn send_back(&self) -> Result<u32, Exception> {
        self.turn_link()?;
        Ok(xdp_action::XDP_TX)
    }

    /// XDP sees nothing that the host sends.
    #[inline(always)]
    fn receive(&self) -> Result<u32, Exception> {
        Err(Exception::NotOurs)
    }
}

/// The result of a helper that changes the packet.
#[inline(always)]
fn changed(result: i64) -> Result<(), Exception> {
    if result == 0 { Ok(()) } else { Err(Exception::Drop(DropReason::RewriteFailed)) }
}

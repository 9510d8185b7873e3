//! The headers of a frame with Ethernet, IP without options, and TCP: read and rewritten as by somebody who
//! knows where everything is.

use crate::maps::Maps;
use aya_ebpf::bindings::bpf_fib_lookup;
use svc_lb_common::{
    address::{Address, Be16, Ipv4, Ipv6, Tuple},
    checksum,
    flow::{FlowKey, Hook, TCP},
};

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of a TCP header without options.
pub const TCP_LENGTH: usize = 20;
/// Where the checksum stands in a TCP header.
pub const TCP_CHECKSUM: usize = 16;

/// Source and destination addresses of an Ethernet header, and what follows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ethernet {
    destination: [u16; 3],
    source: [u16; 3],
    ether_type: u16,
}

/// Reads from a packet.
///
/// # Safety
/// The bytes must lie within the packet.
#[inline(always)]
pub unsafe fn read<T: Copy>(at: usize) -> T {
    // SAFETY: the caller's; BPF loads have no alignment on the architectures that it runs on.
    unsafe { *(at as *const T) }
}

/// Writes to a packet.
///
/// # Safety
/// As of [`read`].
#[inline(always)]
pub unsafe fn write<T: Copy>(at: usize, value: T) {
    // SAFETY: the caller's; as above.
    unsafe { *(at as *mut T) = value }
}

/// Both ports, in one word.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
struct Ports([u16; 2]);

/// Exchanges the link-layer addresses.
///
/// # Safety
/// The header must lie within the packet.
#[inline(always)]
pub unsafe fn turn(start: usize) {
    // SAFETY: the caller's.
    unsafe {
        let old: Ethernet = read(start);
        write(start, Ethernet { destination: old.source, source: old.destination, ..old });
    }
}

/// A family on the wire.
pub trait Wire: Maps {
    /// The EtherType, as a load gives it.
    const ETHER_TYPE: u16;
    /// The number of the address family.
    const AF: u8;
    /// Bytes of all headers.
    const LENGTH: usize = ETHERNET + Self::HEADER_LENGTH + TCP_LENGTH;
    /// What a rewrite changes of the IP header.
    type Rewritten: Copy;
    /// Where that begins in the frame.
    const REWRITTEN: usize;

    /// The key of a TCP packet that came in by an uplink; `None` if it is anything else.
    ///
    /// # Safety
    /// All headers must lie within the packet.
    unsafe fn key(start: usize) -> Option<FlowKey<Self>>;

    /// The changed part of the IP header with other addresses, `hops` further on.
    fn rewritten(old: Self::Rewritten, from: &Tuple<Self>, to: &Tuple<Self>, hops: u8) -> Self::Rewritten;

    /// Writes source and destination into a routing query.
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>);

    /// Rewrites all of a TCP packet.
    ///
    /// # Safety
    /// As of [`Self::key`].
    #[inline(always)]
    unsafe fn rewrite(start: usize, from: &Tuple<Self>, to: &Tuple<Self>) {
        let tcp = start + ETHERNET + Self::HEADER_LENGTH;
        let old = from.address_sum() + from.port_sum();
        let new = to.address_sum() + to.port_sum();
        // SAFETY: the caller's.
        unsafe {
            write(start + Self::REWRITTEN, Self::rewritten(read(start + Self::REWRITTEN), from, to, 1));
            write(tcp, Ports([to.source_port.raw(), to.destination_port.raw()]));
            let field: u16 = read(tcp + TCP_CHECKSUM);
            write(tcp + TCP_CHECKSUM, checksum::update(field, old, new));
        }
    }
}

/// The key of a packet with these addresses, protocol and, at an address, ports.
///
/// # Safety
/// The ports must lie within the packet.
#[inline(always)]
unsafe fn key<A: Address>(source: A, destination: A, ports: usize) -> FlowKey<A> {
    // SAFETY: the caller's.
    let ports: Ports = unsafe { read(ports) };
    let [source_port, destination_port] = ports.0.map(Be16::from_raw);
    FlowKey {
        tuple: Tuple { source, destination, source_port, destination_port },
        protocol: TCP,
        hook: Hook::UplinkIngress as u16,
    }
}

/// An IPv4 header.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv4Header {
    version_length: u8,
    service: u8,
    length: u16,
    identification: u16,
    fragment: u16,
    rewritten: Ipv4Rewritten,
}

/// The end of an IPv4 header.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4Rewritten {
    ttl_protocol: [u8; 2],
    checksum: u16,
    source: Ipv4,
    destination: Ipv4,
}

impl Wire for Ipv4 {
    const ETHER_TYPE: u16 = 0x0800_u16.to_be();
    const AF: u8 = 2;
    type Rewritten = Ipv4Rewritten;
    const REWRITTEN: usize = ETHERNET + 8;

    // SAFETY: the trait's.
    #[inline(always)]
    unsafe fn key(start: usize) -> Option<FlowKey<Self>> {
        /// More fragments, or an offset.
        const FRAGMENT: u16 = 0x3fff_u16.to_be();
        // SAFETY: the caller's.
        unsafe {
            let header: Ipv4Header = read(start + ETHERNET);
            let rewritten = header.rewritten;
            let is_tcp = read::<Ethernet>(start).ether_type == Self::ETHER_TYPE
                && header.version_length == 0x45
                && header.fragment & FRAGMENT == 0
                && rewritten.ttl_protocol[0] > 1
                && rewritten.ttl_protocol[1] == TCP as u8;
            let ports = start + ETHERNET + Self::HEADER_LENGTH;
            is_tcp.then(|| key(rewritten.source, rewritten.destination, ports))
        }
    }

    #[inline(always)]
    fn rewritten(old: Ipv4Rewritten, from: &Tuple<Self>, to: &Tuple<Self>, hops: u8) -> Ipv4Rewritten {
        let [ttl, protocol] = old.ttl_protocol;
        let ttl_protocol = [ttl.wrapping_sub(hops), protocol];
        let before = from.address_sum() + u64::from(u16::from_ne_bytes(old.ttl_protocol));
        let after = to.address_sum() + u64::from(u16::from_ne_bytes(ttl_protocol));
        Ipv4Rewritten {
            ttl_protocol,
            checksum: checksum::update(old.checksum, before, after),
            source: to.source,
            destination: to.destination,
        }
    }

    #[inline(always)]
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>) {
        query.__bindgen_anon_3.ipv4_src = tuple.source.0;
        query.__bindgen_anon_4.ipv4_dst = tuple.destination.0;
    }
}

/// An IPv6 header.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv6Header {
    version: u8,
    class_flow: [u8; 3],
    rewritten: Ipv6Rewritten,
}

/// An IPv6 header from its payload's length on.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6Rewritten {
    length: u16,
    next_header: u8,
    hop_limit: u8,
    source: Ipv6,
    destination: Ipv6,
}

impl Wire for Ipv6 {
    const ETHER_TYPE: u16 = 0x86dd_u16.to_be();
    const AF: u8 = 10;
    type Rewritten = Ipv6Rewritten;
    const REWRITTEN: usize = ETHERNET + 4;

    // SAFETY: the trait's.
    #[inline(always)]
    unsafe fn key(start: usize) -> Option<FlowKey<Self>> {
        // SAFETY: the caller's.
        unsafe {
            let header: Ipv6Header = read(start + ETHERNET);
            let rewritten = header.rewritten;
            let is_tcp = read::<Ethernet>(start).ether_type == Self::ETHER_TYPE
                && header.version >> 4 == Self::VERSION
                && rewritten.next_header == TCP as u8
                && rewritten.hop_limit > 1;
            let ports = start + ETHERNET + Self::HEADER_LENGTH;
            is_tcp.then(|| key(rewritten.source, rewritten.destination, ports))
        }
    }

    #[inline(always)]
    fn rewritten(old: Ipv6Rewritten, _from: &Tuple<Self>, to: &Tuple<Self>, hops: u8) -> Ipv6Rewritten {
        Ipv6Rewritten {
            hop_limit: old.hop_limit.wrapping_sub(hops),
            source: to.source,
            destination: to.destination,
            ..old
        }
    }

    #[inline(always)]
    fn query(query: &mut bpf_fib_lookup, tuple: &Tuple<Self>) {
        query.__bindgen_anon_3.ipv6_src = tuple.source.0;
        query.__bindgen_anon_4.ipv6_dst = tuple.destination.0;
    }
}

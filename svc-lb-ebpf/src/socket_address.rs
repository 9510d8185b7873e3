//! The address that an application gave to a socket, or is about to get from it.

use aya_ebpf::programs::SockAddrContext;
use core::ptr::write_volatile;
use svc_lb_common::{
    address::{Be16, Ipv4, Ipv6},
    socket::{Mapped, Remote},
};

/// The form that an address has in a hook.
pub trait SocketAddress {
    /// Reads it.
    fn read(context: &SockAddrContext) -> Remote;

    /// Replaces it by one of the same family.
    fn write(context: &SockAddrContext, remote: &Remote);
}

/// `struct sockaddr_in`.
pub struct Inet4;
/// `struct sockaddr_in6`, whose address may be an IPv4-mapped one.
pub struct Inet6;

impl SocketAddress for Inet4 {
    #[inline(always)]
    fn read(context: &SockAddrContext) -> Remote {
        // SAFETY: the kernel's context, which the verifier checks every access to.
        let address = unsafe { (*context.sock_addr).user_ip4 };
        Remote::new(Ipv4(address).mapped(), port(context))
    }

    #[inline(always)]
    fn write(context: &SockAddrContext, remote: &Remote) {
        // SAFETY: as above.
        unsafe { (*context.sock_addr).user_ip4 = remote.address.0[3] };
        set_port(context, remote.port);
    }
}

impl SocketAddress for Inet6 {
    #[inline(always)]
    fn read(context: &SockAddrContext) -> Remote {
        // SAFETY: as above.
        let address = unsafe { (*context.sock_addr).user_ip6 };
        Remote::new(Ipv6(address), port(context))
    }

    #[inline(always)]
    fn write(context: &SockAddrContext, remote: &Remote) {
        let [first, second, third, last] = remote.address.0;
        // Word by word: the verifier takes no access to a context by a pointer that was moved on.
        //
        // SAFETY: as above.
        unsafe {
            write_volatile(&raw mut (*context.sock_addr).user_ip6[0], first);
            write_volatile(&raw mut (*context.sock_addr).user_ip6[1], second);
            write_volatile(&raw mut (*context.sock_addr).user_ip6[2], third);
            write_volatile(&raw mut (*context.sock_addr).user_ip6[3], last);
        }
        set_port(context, remote.port);
    }
}

#[inline(always)]
fn port(context: &SockAddrContext) -> Be16 {
    // SAFETY: as above. The field is wider than a port.
    Be16::from_raw(unsafe { (*context.sock_addr).user_port } as u16)
}

#[inline(always)]
fn set_port(context: &SockAddrContext, port: Be16) {
    // SAFETY: as above.
    unsafe { (*context.sock_addr).user_port = u32::from(port.raw()) };
}

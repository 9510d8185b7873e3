//! What a host has learnt of the longest packet on the way to a peer.

use crate::namespace::Namespace;
use anyhow::{Context, Result};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

/// A UDP socket that never lets the kernel cut its datagrams.
#[derive(Debug)]
pub struct Prober {
    socket: UdpSocket,
    options: Options,
}

/// The socket options of a family: their level, that of path MTU discovery, that of what was found.
type Options = (libc::c_int, libc::c_int, libc::c_int);

impl Prober {
    /// Connected to a peer.
    pub fn connect(namespace: &Namespace, peer: SocketAddr) -> Result<Self> {
        let (any, options, never_cut): (SocketAddr, Options, _) = if peer.is_ipv4() {
            let options = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_MTU);
            ((Ipv4Addr::UNSPECIFIED, 0).into(), options, libc::IP_PMTUDISC_DO)
        } else {
            let options = (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_MTU);
            ((Ipv6Addr::UNSPECIFIED, 0).into(), options, libc::IPV6_PMTUDISC_DO)
        };
        let connect = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind(any)?;
            socket.connect(peer)?;
            let length = size_of_val(&never_cut) as libc::socklen_t;
            // SAFETY: the value is an integer of the given size, which outlives the call.
            let result = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    options.0,
                    options.1,
                    (&raw const never_cut).cast(),
                    length,
                )
            };
            if result == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
        };
        let socket = namespace.enter(connect).with_context(|| format!("a socket to {peer}"))?;
        Ok(Self { socket, options })
    }

    /// Sends a datagram in a packet of so many bytes; the kernel's refusal to send one that is too long is
    /// as good.
    pub fn send(&self, packet: usize) -> Result<()> {
        let headers = if self.options.0 == libc::IPPROTO_IP { 28 } else { 48 };
        match self.socket.send(&vec![0; packet - headers]) {
            Err(error) if error.raw_os_error() != Some(libc::EMSGSIZE) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The longest packet that the host believes in.
    pub fn path_mtu(&self) -> Result<u32> {
        let mut mtu: libc::c_int = 0;
        let mut length = size_of_val(&mtu) as libc::socklen_t;
        let (level, _, found) = self.options;
        // SAFETY: the value is an integer of the given size, and both outlive the call.
        let result = unsafe {
            libc::getsockopt(self.socket.as_raw_fd(), level, found, (&raw mut mtu).cast(), &raw mut length)
        };
        if result == 0 { Ok(mtu.cast_unsigned()) } else { Err(io::Error::last_os_error().into()) }
    }
}

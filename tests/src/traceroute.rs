//! Asking for the hops on the way to an address, as traceroute(8) does: by a TTL or hop limit that ends on
//! the way. What comes back is read from the asking socket, so that only what the kernel takes for an answer
//! to its packet counts.

use crate::{
    namespace::Namespace,
    wait::{SOON, until},
};
use anyhow::{Context, Result};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};
use svc_lb::compile::Protocol;

/// How far a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// To this address, where its TTL or hop limit ended.
    Router(IpAddr),
    /// To this address, which refused it.
    Refused(IpAddr),
    /// To somebody who answered.
    Arrived,
}

/// The hops on the way to an address, up to the one that answers.
pub fn traceroute(namespace: &Namespace, protocol: Protocol, target: SocketAddr) -> Result<Vec<Hop>> {
    /// More than any rig has.
    const FARTHEST: u32 = 8;
    let mut hops = Vec::new();
    for limit in 1..=FARTHEST {
        let hop = namespace.enter(|| probe(protocol, target, limit));
        hops.push(hop.with_context(|| format!("{protocol} to {target}, hop {limit}"))?);
        if !matches!(hops.last(), Some(Hop::Router(_))) {
            break;
        }
    }
    Ok(hops)
}

/// How far one packet comes.
fn probe(protocol: Protocol, target: SocketAddr, limit: u32) -> Result<Hop> {
    let kind = if protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(target), kind, None)?;
    socket.set_nonblocking(true)?;
    if target.is_ipv4() {
        setsockopt(&socket, Ipv4RecvErr, &true)?;
        socket.set_ttl_v4(limit)?;
    } else {
        setsockopt(&socket, Ipv6RecvErr, &true)?;
        socket.set_unicast_hops_v6(limit)?;
    }
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error.into()),
        _ => {}
    }
    if protocol != Protocol::Tcp {
        socket.send(b"hello")?;
    }
    until("an answer", SOON, || {
        if let Some(hop) = error(&socket)? {
            return Ok(Some(hop));
        }
        // The server speaks first over TCP too.
        match socket.recv(&mut [MaybeUninit::uninit(); 64]) {
            Ok(_) => Ok(Some(Hop::Arrived)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // It is in the error queue.
            Err(_) => Ok(None),
        }
    })
}

/// The ICMP error that a socket got, if it got one.
fn error(socket: &Socket) -> Result<Option<Hop>> {
    let mut quote = [0; 512];
    let mut buffers = [IoSliceMut::new(&mut quote)];
    let mut control = nix::cmsg_space!(
        libc::sock_extended_err,
        libc::sockaddr_in6,
        libc::sock_extended_err,
        libc::sockaddr_in6
    );
    let message = match recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE,
    ) {
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        message => message?,
    };
    let found = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(offender)) => {
            let octets = offender.sin_addr.s_addr.to_ne_bytes();
            Some((error.ee_errno, IpAddr::from(Ipv4Addr::from(octets))))
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(offender)) => {
            Some((error.ee_errno, IpAddr::from(Ipv6Addr::from(offender.sin6_addr.s6_addr))))
        }
        _ => None,
    });
    let (number, offender) = found.context("an error that names nobody")?;
    Ok(Some(match i32::try_from(number)? {
        libc::EHOSTUNREACH => Hop::Router(offender),
        libc::ECONNREFUSED => Hop::Refused(offender),
        number => anyhow::bail!("{offender} says {}", io::Error::from_raw_os_error(number)),
    }))
}

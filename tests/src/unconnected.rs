//! A UDP socket that is connected to nobody: it names its destination with each datagram, and is told who
//! sent each that arrives.

use crate::{
    conversation::{Answer, Exchange, read_answer},
    dial::{PATIENCE, bind_to_unused_port},
    namespace::Namespace,
};
use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};
use svc_lb::compile::Family;

/// The socket.
#[derive(Debug)]
pub struct Unconnected {
    socket: UdpSocket,
}

impl Unconnected {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self { socket }
    }

    /// One in a namespace, at a port that no other call has had for long. One of IPv6 speaks to mapped
    /// addresses of IPv4, too.
    pub fn open(namespace: &Namespace, family: Family) -> Result<Self> {
        let (domain, any): (_, IpAddr) = match family {
            Family::V4 => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
            Family::V6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let open = || -> io::Result<Self> {
            let socket = Socket::new(domain, Type::DGRAM, None)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            bind_to_unused_port(&socket, any)?;
            Ok(Self::new(socket.into()))
        };
        namespace.enter(open).with_context(|| format!("{}: no UDP socket", namespace.name()))
    }

    /// Sends a datagram to an address, and reads who answered and which address the answer came from.
    pub fn ask(&self, target: SocketAddr) -> io::Result<(Answer, SocketAddr)> {
        self.send(target)?;
        self.read()
    }

    /// Sends a datagram to an address, which it names.
    pub fn send(&self, target: SocketAddr) -> io::Result<()> {
        self.socket.send_to(target.to_string().as_bytes(), target).map(drop)
    }

    /// Reads an answer: who gave it, and which address it came from. Fails unless that was asked.
    pub fn read(&self) -> io::Result<(Answer, SocketAddr)> {
        let mut datagram = [0; 512];
        let (length, source) = self.socket.recv_from(&mut datagram)?;
        Ok((read_answer(&datagram[..length], source.to_string().as_bytes())?, source))
    }

    /// The client's own address and port.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Connects it.
    pub fn connect(self, target: SocketAddr) -> io::Result<Exchange> {
        self.socket.connect(target)?;
        Ok(Exchange::new(self.socket))
    }
}

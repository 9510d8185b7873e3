//! The ways in which an application speaks to a server.

use crate::{conversation::Answer, host::Host, plan::mapped};
use anyhow::{Result, ensure};
use std::{io, net::SocketAddr};
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::Program::{self, SockConnect4, SockConnect6, SockSendmsg4, SockSendmsg6};

/// The families of a socket and of the address that it speaks to: one of IPv4 is mapped for a socket of IPv6.
pub const SOCKETS: [(Family, Family); 3] =
    [(Family::V4, Family::V4), (Family::V6, Family::V6), (Family::V6, Family::V4)];

/// An address as a socket of a family has it.
pub fn seen_by(socket: Family, address: SocketAddr) -> SocketAddr {
    match socket {
        Family::V4 => address,
        Family::V6 => mapped(address),
    }
}

/// What an application does with its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It connects by TCP.
    Tcp,
    /// It connects a UDP socket.
    Connected,
    /// It names the destination with each datagram.
    Unconnected,
}

/// How an application speaks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it does with its socket.
    pub manner: Manner,
    /// The family of its socket.
    pub socket: Family,
    /// The family of the address: one of IPv4 is mapped for a socket of IPv6.
    pub address: Family,
}

impl Call {
    /// Every way.
    pub fn all() -> impl Iterator<Item = Self> {
        [Manner::Tcp, Manner::Connected, Manner::Unconnected].into_iter().flat_map(|manner| {
            SOCKETS.into_iter().map(move |(socket, address)| Self { manner, socket, address })
        })
    }

    /// The protocol.
    pub fn protocol(self) -> Protocol {
        match self.manner {
            Manner::Tcp => Protocol::Tcp,
            Manner::Connected | Manner::Unconnected => Protocol::Udp,
        }
    }

    /// The program that sends it straight to a backend. To a mapped address the kernel sends by the functions
    /// of IPv4, but it connects by those of the socket's family.
    pub fn program(self) -> Program {
        match (self.manner, self.socket, self.address) {
            (Manner::Tcp | Manner::Connected, Family::V4, _) => SockConnect4,
            (Manner::Tcp | Manner::Connected, Family::V6, _) => SockConnect6,
            (Manner::Unconnected, _, Family::V4) => SockSendmsg4,
            (Manner::Unconnected, _, Family::V6) => SockSendmsg6,
        }
    }

    /// An address as the socket has it.
    pub fn target(self, address: SocketAddr) -> SocketAddr {
        seen_by(self.socket, address)
    }

    /// Asks once by a new socket: who answered, and whom the application believes to speak to, by
    /// getpeername and by the source of the answer, which must be the same where there are both.
    pub fn ask(self, client: &Host, address: SocketAddr) -> Result<(Answer, SocketAddr)> {
        let target = self.target(address);
        Ok(match self.manner {
            Manner::Tcp => {
                let mut connection = client.tcp(target).connect()?;
                connection.echo()?;
                (connection.answer().clone(), connection.peer()?)
            }
            Manner::Connected => {
                let exchange = client.udp(target).exchange()?;
                let (answer, source) = exchange.ask_for_source()?;
                ensure!(exchange.peer()? == source, "an answer came from {source}");
                (answer, source)
            }
            Manner::Unconnected => client.unconnected(self.socket)?.ask(target)?,
        })
    }

    /// Begins to speak, without waiting for anything, and returns what the system call said.
    pub fn begin(self, client: &Host, address: SocketAddr) -> Result<io::Result<()>> {
        let target = self.target(address);
        Ok(match self.manner {
            Manner::Tcp => client.tcp(target).begin(),
            Manner::Connected => client.udp(target).exchange().map(drop),
            Manner::Unconnected => client.unconnected(self.socket)?.send(target),
        })
    }
}

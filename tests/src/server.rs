//! What a backend runs: a TCP and UDP server that says who it is and whom it sees.
//!
//! TCP: at once the line `NAME CLIENT`; then it answers lines. `upload N` reads N bytes and answers
//! their digest; `download N` sends N bytes and then their digest; `bye` ends the connection; any other
//! line is sent back.
//! UDP: to each datagram that does not begin with `quiet` the line `NAME CLIENT`, then the datagram, from
//! the address that was asked: a host has more than one.

use crate::{bulk, namespace::Namespace};
use anyhow::{Context, Result};
use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write},
    net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::Arc,
    thread,
    time::Duration,
};

/// How long a connection may be idle before its thread ends.
const IDLE: Duration = Duration::from_mins(5);

/// A running server; stopped on drop.
#[derive(Debug)]
pub struct Server {
    tcp: Arc<Socket>,
    udp: Arc<UdpSocket>,
}

impl Server {
    /// Starts one on a port of every address of a namespace, in both families.
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Result<Self> {
        let start = || -> io::Result<Self> {
            let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let tcp = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            tcp.set_only_v6(false)?;
            tcp.set_reuse_address(true)?;
            tcp.bind(&address.into())?;
            tcp.listen(4096)?;
            let udp = UdpSocket::bind(address)?;
            setsockopt(&udp, sockopt::Ipv6RecvPacketInfo, &true)?;
            let server = Self { tcp: Arc::new(tcp), udp: Arc::new(udp) };
            let (name, tcp) = (Arc::<str>::from(name), Arc::clone(&server.tcp));
            let (udp_name, udp) = (Arc::clone(&name), Arc::clone(&server.udp));
            thread::spawn(move || accept(&name, &tcp));
            thread::spawn(move || answer_datagrams(&udp_name, &udp));
            Ok(server)
        };
        namespace.enter(start).with_context(|| format!("{}: cannot serve port {port}", namespace.name()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This wakes the threads; the one of UDP says ENOTCONN and does it all the same.
        let _ = self.tcp.shutdown(Shutdown::Both);
        let _ = socket2::SockRef::from(&*self.udp).shutdown(Shutdown::Both);
    }
}

fn accept(name: &Arc<str>, listener: &Socket) {
    while let Ok((connection, client)) = listener.accept() {
        let Some(client) = client.as_socket() else { continue };
        let name = Arc::clone(name);
        // A connection ends with the error of its socket: the client sees it too.
        thread::spawn(move || converse(&name, client, connection.into()));
    }
}

fn converse(name: &str, client: SocketAddr, mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(IDLE))?;
    connection.set_write_timeout(Some(IDLE))?;
    writeln!(connection, "{name} {}", canonical(client))?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let amount = |command: &str| line.trim_end().strip_prefix(command).and_then(|n| n.parse().ok());
        if let Some(bytes) = amount("upload ") {
            let digest = bulk::receive(&mut reader, bytes)?;
            writeln!(connection, "{digest}")?;
        } else if let Some(bytes) = amount("download ") {
            let digest = bulk::send(&mut connection, bytes)?;
            writeln!(connection, "{digest}")?;
        } else if line == "bye\n" {
            break;
        } else {
            connection.write_all(line.as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}

fn answer_datagrams(name: &str, socket: &UdpSocket) {
    let mut datagram = vec![0; 65536];
    // A socket that is shut down has datagrams of nobody.
    while let Some((length, client, asked)) = receive(socket, &mut datagram) {
        if !datagram[..length].starts_with(b"quiet") {
            let header = format!("{name} {}\n", canonical(SocketAddrV6::from(client).into()));
            let answer = [IoSlice::new(header.as_bytes()), IoSlice::new(&datagram[..length])];
            let from = [ControlMessage::Ipv6PacketInfo(&asked)];
            // The client may be gone again.
            let _ = sendmsg(socket.as_raw_fd(), &answer, &from, MsgFlags::empty(), Some(&client));
        }
    }
}

/// A datagram: its length, who sent it, and the address it was sent to.
fn receive(socket: &UdpSocket, datagram: &mut [u8]) -> Option<(usize, SockaddrIn6, libc::in6_pktinfo)> {
    let mut control = cmsg_space!(libc::in6_pktinfo);
    let mut pieces = [IoSliceMut::new(datagram)];
    let received = recvmsg(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty()).ok()?;
    let asked = received.cmsgs().ok()?.find_map(|message| match message {
        // Which interface the answer leaves by is for the routes to say.
        ControlMessageOwned::Ipv6PacketInfo(asked) => Some(libc::in6_pktinfo { ipi6_ifindex: 0, ..asked }),
        _ => None,
    });
    Some((received.bytes, received.address?, asked?))
}

/// An IPv4 client as such, not as an IPv4-mapped IPv6 address.
fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

//! TCP connections whose two ends are in the hands of one thread.
//!
//! Between veths the kernel carries a packet all the way to the other end while its sender waits. So the thread
//! finds what it sent at the other end at once, and all the time goes to what is measured: none to waking
//! another thread, which takes longer than everything else and never equally long.

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use svc_lb_tests::{Namespace, large_cluster};

/// The port that listeners listen at: what stands for the pods of a large cluster is one of them.
pub const PORT: u16 = large_cluster::TARGET_PORT;

/// How long anything may take. It is less than the kernel waits before it sends a SYN once more (RFC 6298): a
/// packet that is lost is an error.
const PATIENCE: Duration = Duration::from_millis(900);

/// How much is written and read at once.
const CHUNK: usize = 1 << 18;

/// Where connections are accepted, by whichever thread opens them.
pub struct Listener(Socket);

impl Listener {
    /// Listens at [`PORT`] of every address of a namespace, in both families.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let listen = || -> io::Result<Self> {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_only_v6(false)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
            // The sockets of accepted connections inherit it.
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.listen(1)?;
            Ok(Self(socket))
        };
        namespace.enter(listen).with_context(|| format!("cannot listen at port {PORT}"))
    }
}

/// Both ends of a connection, which ends with a reset: a close would leave the client's port in TIME_WAIT, and
/// after some ten thousand connections there would be no more ports.
pub struct Connection {
    // Dropped first, and with it the connection.
    client: Socket,
    server: Socket,
    /// How long `connect()` took: until the SYN was answered.
    pub answered_after: Duration,
}

impl Connection {
    /// Connects to an address that leads to a listener.
    pub fn open(target: SocketAddr, listener: &Listener) -> Result<Self> {
        let client = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        client.set_linger(Some(Duration::ZERO))?;
        client.set_read_timeout(Some(PATIENCE))?;
        // connect() minds this one.
        client.set_write_timeout(Some(PATIENCE))?;
        let start = Instant::now();
        client.connect(&target.into()).with_context(|| format!("cannot connect to {target}"))?;
        let answered_after = start.elapsed();
        let (server, _) = listener.0.accept().with_context(|| format!("{target} led to nobody"))?;
        server.set_linger(Some(Duration::ZERO))?;
        Ok(Self { client, server, answered_after })
    }

    /// A request and its answer, a byte each.
    pub fn ask(&mut self) -> Result<()> {
        self.client.write_all(&[0])?;
        self.server.read_exact(&mut [0])?;
        self.server.write_all(&[0])?;
        Ok(self.client.read_exact(&mut [0])?)
    }

    /// Moves that many bytes to the server.
    pub fn send(&mut self, bytes: u64) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        let (mut to_send, mut to_receive) = (bytes, bytes);
        self.client.set_nonblocking(true)?;
        self.server.set_nonblocking(true)?;
        while to_receive > 0 {
            let most = to_send.min(CHUNK as u64) as usize;
            let sent = if most > 0 { if_ready(self.client.write(&chunk[..most]))? } else { 0 };
            to_send -= sent;
            let received = if_ready(self.server.read(&mut chunk))?;
            ensure!(received <= to_receive, "more arrived than was sent");
            to_receive -= received;
            if sent == 0 && received == 0 {
                self.wait(to_send > 0)?;
            }
        }
        self.client.set_nonblocking(false)?;
        Ok(self.server.set_nonblocking(false)?)
    }

    /// Waits until there is something to receive, or room for more: somebody between the two ends has yet to run.
    fn wait(&self, sending: bool) -> Result<()> {
        let writable = if sending { PollFlags::OUT } else { PollFlags::empty() };
        let mut ends = [PollFd::new(&self.server, PollFlags::IN), PollFd::new(&self.client, writable)];
        let ready = poll(&mut ends, Some(&PATIENCE.try_into()?))?;
        ensure!(ready > 0, "nothing arrives any more");
        Ok(())
    }
}

/// How many bytes were moved; none, if the socket was not ready for any.
fn if_ready(moved: io::Result<usize>) -> io::Result<u64> {
    match moved {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        moved => moved.map(|bytes| bytes as u64),
    }
}

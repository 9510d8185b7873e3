//! What a client does: ask a server who it is.

use crate::{
    conversation::{Answer, Connection, Exchange},
    namespace::{Namespace, join},
};
use socket2::{Domain, Socket, Type};
use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};
use svc_lb::compile::Protocol;

/// How long a client waits for each step, if the scenario says nothing else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How often each server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<String, usize>);

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        f.pad(&counts.join(", "))
    }
}

impl<const N: usize> PartialEq<[(&str, usize); N]> for Tally {
    fn eq(&self, expected: &[(&str, usize); N]) -> bool {
        self.0.len() == N && expected.iter().all(|&(name, count)| self.0.get(name) == Some(&count))
    }
}

/// A call that a client is about to make.
#[derive(Clone, Debug)]
pub struct Dial<'a> {
    namespace: &'a Namespace,
    protocol: Protocol,
    target: SocketAddr,
    source: SocketAddr,
    patience: Duration,
    threads: usize,
}

impl<'a> Dial<'a> {
    /// From a namespace to an address, from any port.
    pub fn new(namespace: &'a Namespace, protocol: Protocol, target: SocketAddr) -> Self {
        let any: IpAddr =
            if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let source = SocketAddr::new(any, 0);
        Self { namespace, protocol, target, source, patience: PATIENCE, threads: 1 }
    }

    /// How it calls.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From this port.
    pub fn from_port(mut self, port: u16) -> Self {
        self.source.set_port(port);
        self
    }

    /// Gives up after this long at each step.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes the calls of [`Dial::times`] from so many threads at once.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Makes a new connection (UDP: socket), asks, and closes.
    pub fn ask(&self) -> io::Result<Answer> {
        self.namespace.enter(|| self.ask_here())
    }

    /// Asks so often, each time by a new connection.
    pub fn times(&self, count: usize) -> io::Result<Tally> {
        // Shares that differ by one at most, and add up to the count.
        let share = |thread| (count + thread) / self.threads;
        self.namespace.enter(|| {
            thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..self.threads).map(|n| scope.spawn(move || self.ask_often(share(n)))).collect();
                let mut tally = Tally::default();
                for answers in threads.into_iter().map(join) {
                    for answer in answers? {
                        *tally.0.entry(answer.by).or_default() += 1;
                    }
                }
                Ok(tally)
            })
        })
    }

    /// Opens a TCP connection, and reads who answered.
    pub fn connect(&self) -> io::Result<Connection> {
        self.namespace.enter(|| self.connect_here())
    }

    /// Begins a TCP connection without waiting for anything: fails with what the call itself says, which is
    /// `InProgress` where a packet was sent.
    pub fn begin(&self) -> io::Result<()> {
        self.namespace.enter(|| {
            let socket = self.socket(Type::STREAM)?;
            socket.set_nonblocking(true)?;
            socket.connect(&self.target.into())
        })
    }

    /// Opens a connected UDP socket; nothing is sent yet.
    pub fn exchange(&self) -> io::Result<Exchange> {
        self.namespace.enter(|| self.exchange_here())
    }

    fn ask_often(&self, count: usize) -> io::Result<Vec<Answer>> {
        (0..count).map(|_| self.ask_here()).collect()
    }

    fn ask_here(&self) -> io::Result<Answer> {
        match self.protocol {
            Protocol::Tcp => {
                let mut connection = self.connect_here()?;
                connection.echo()?;
                Ok(connection.answer().clone())
            }
            Protocol::Udp => self.exchange_here()?.ask(),
            Protocol::Sctp => Err(crate::sctp::without_sockets()),
        }
    }

    fn connect_here(&self) -> io::Result<Connection> {
        let socket = loop {
            match self.connected() {
                // A port is free again a moment after its last connection has ended.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && self.source.port() != 0 => {
                    thread::yield_now();
                }
                result => break result?,
            }
        };
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.patience))?;
        Connection::new(stream)
    }

    fn connected(&self) -> io::Result<Socket> {
        let socket = self.socket(Type::STREAM)?;
        socket.connect_timeout(&self.target.into(), self.patience)?;
        Ok(socket)
    }

    fn exchange_here(&self) -> io::Result<Exchange> {
        let socket = self.socket(Type::DGRAM)?;
        if self.source.port() == 0 {
            bind_to_unused_port(&socket, self.source.ip())?;
        }
        socket.connect(&self.target.into())?;
        Ok(Exchange::new(socket.into()))
    }

    fn socket(&self, kind: Type) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.target), kind, None)?;
        socket.set_read_timeout(Some(self.patience))?;
        if self.source.port() != 0 {
            socket.set_reuse_address(true)?;
            socket.bind(&self.source.into())?;
        }
        Ok(socket)
    }
}

/// Binds to a port that no other call has had for long. The kernel gives ports at random, and to one
/// that was used a moment ago a load balancer may still know the conversation.
pub(crate) fn bind_to_unused_port(socket: &Socket, address: IpAddr) -> io::Result<()> {
    const FIRST: u16 = 33000;
    const COUNT: u16 = 27000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        match socket.bind(&SocketAddr::new(address, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
}

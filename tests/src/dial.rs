//! What a client does: ask a server who it is.

use crate::{
    bulk,
    host::Host,
    namespace::{Namespace, join},
};
use socket2::{Domain, Socket, Type};
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};
use svc_lb::compile::Protocol;

/// How long a client waits for each step, if the scenario says nothing else.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who answered, and whom it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's name.
    pub by: String,
    /// The address and port that the server saw.
    pub client: SocketAddr,
}

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
                Ok(connection.answer)
            }
            Protocol::Udp => self.exchange_here()?.ask(),
        }
    }

    fn connect_here(&self) -> io::Result<Connection> {
        let socket = self.socket(Type::STREAM)?;
        socket.connect_timeout(&self.target.into(), self.patience)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.patience))?;
        let mut stream = BufReader::new(stream);
        let answer = parse(&line(&mut stream)?)?;
        Ok(Connection { stream, answer })
    }

    fn exchange_here(&self) -> io::Result<Exchange> {
        let socket = self.socket(Type::DGRAM)?;
        if self.source.port() == 0 {
            bind_to_unused_port(&socket, self.source.ip())?;
        }
        socket.connect(&self.target.into())?;
        Ok(Exchange { socket: socket.into() })
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
fn bind_to_unused_port(socket: &Socket, address: IpAddr) -> io::Result<()> {
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

/// An open TCP connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    answer: Answer,
}

impl Connection {
    /// Who answered.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The client's own address and port.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Sends a line, and gets it back.
    pub fn echo(&mut self) -> io::Result<()> {
        self.send("hello")?;
        expect(line(&mut self.stream)?.as_str(), "hello")
    }

    /// Sends a line, without waiting for the answer.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.stream.get_mut(), "{text}")
    }

    /// Waits until the server closes.
    pub fn await_end(&mut self) -> io::Result<()> {
        match line(&mut self.stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok(line) => Err(io::Error::other(format!("{line:?} came instead of the end"))),
        }
    }

    /// Sends so many bytes; fails unless the server received just those.
    pub fn upload(&mut self, bytes: usize) -> io::Result<()> {
        self.send(&format!("upload {bytes}"))?;
        let sent = bulk::send(self.stream.get_mut(), bytes)?;
        expect(&line(&mut self.stream)?, &sent)
    }

    /// Receives so many bytes; fails unless they are those that the server sent.
    pub fn download(&mut self, bytes: usize) -> io::Result<()> {
        self.send(&format!("download {bytes}"))?;
        let received = bulk::receive(&mut self.stream, bytes)?;
        expect(&line(&mut self.stream)?, &received)
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) -> io::Result<()> {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO))
    }
}

/// A connected UDP socket: what arrives is from the address that it was opened to.
#[derive(Debug)]
pub struct Exchange {
    socket: UdpSocket,
}

impl Exchange {
    /// Sends a datagram, and reads who answered.
    pub fn ask(&self) -> io::Result<Answer> {
        self.ask_with(b"hello")
    }

    /// Sends a datagram with this payload, which must come back, and reads who answered.
    pub fn ask_with(&self, payload: &[u8]) -> io::Result<Answer> {
        self.socket.send(payload)?;
        let mut datagram = vec![0; payload.len() + 256];
        let length = self.socket.recv(&mut datagram)?;
        let (header, echo) = datagram[..length].split_at(end_of_line(&datagram[..length])?);
        if echo != payload {
            return Err(io::Error::other("another payload came back than was sent"));
        }
        parse(&String::from_utf8_lossy(header))
    }

    /// Sends an empty datagram, which no server answers.
    pub fn send_nothing(&self) -> io::Result<()> {
        self.socket.send(&[]).map(drop)
    }

    /// The client's own address and port.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A conversation that stands, of either protocol.
#[derive(Debug)]
pub enum Standing {
    /// A TCP connection.
    Tcp(Connection),
    /// A UDP socket, and its first answer.
    Udp(Exchange, Answer),
}

impl Standing {
    /// Makes a new connection (UDP: socket), and asks once.
    pub fn begin(client: &Host, protocol: Protocol, target: SocketAddr) -> io::Result<Self> {
        Ok(match protocol {
            Protocol::Tcp => Self::Tcp(client.tcp(target).connect()?),
            Protocol::Udp => {
                let exchange = client.udp(target).exchange()?;
                let answer = exchange.ask()?;
                Self::Udp(exchange, answer)
            }
        })
    }

    /// Who answered first.
    pub fn backend(&self) -> &str {
        match self {
            Self::Tcp(connection) => &connection.answer().by,
            Self::Udp(_, answer) => &answer.by,
        }
    }

    /// Asks once more; fails unless the same backend answers.
    pub fn go_on(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(connection) => connection.echo(),
            Self::Udp(exchange, answer) => expect(&exchange.ask()?, answer),
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match reader.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn end_of_line(datagram: &[u8]) -> io::Result<usize> {
    let end = datagram.iter().position(|&byte| byte == b'\n');
    end.map(|end| end + 1).ok_or_else(|| io::Error::other("a datagram without a header line"))
}

fn parse(header: &str) -> io::Result<Answer> {
    let answer = header
        .trim_end()
        .split_once(' ')
        .and_then(|(by, client)| Some(Answer { by: by.to_owned(), client: client.parse().ok()? }));
    answer.ok_or_else(|| io::Error::other(format!("a strange header line: {header:?}")))
}

fn expect<T: PartialEq + fmt::Debug + ?Sized>(received: &T, expected: &T) -> io::Result<()> {
    if received == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{received:?} came back instead of {expected:?}")))
}

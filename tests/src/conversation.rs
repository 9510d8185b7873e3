//! What client and server say to each other once they are connected.

use crate::{bulk, dial::Dial, host::Host, unconnected::Unconnected};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::connect_unspec,
};
use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};
use svc_lb::compile::Protocol;

/// Who answered, and whom it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server's name.
    pub by: String,
    /// The address and port that the server saw.
    pub client: SocketAddr,
}

/// An open TCP connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    answer: Answer,
}

impl Connection {
    /// Reads who answered on a connection that was just opened.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        let mut stream = BufReader::new(stream);
        let answer = parse(&line(&mut stream)?)?;
        Ok(Self { stream, answer })
    }

    /// Who answered.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The client's own address and port.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Whom it believes to speak to (getpeername).
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().peer_addr()
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
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self { socket }
    }

    /// Sends a datagram, and reads who answered.
    pub fn ask(&self) -> io::Result<Answer> {
        self.ask_with(b"hello")
    }

    /// Sends a datagram with this payload, which must come back, and reads who answered.
    pub fn ask_with(&self, payload: &[u8]) -> io::Result<Answer> {
        self.socket.send(payload)?;
        let mut datagram = vec![0; payload.len() + 256];
        let length = self.socket.recv(&mut datagram)?;
        read_answer(&datagram[..length], payload)
    }

    /// Sends a datagram, and reads who answered and which address the answer came from (recvfrom).
    pub fn ask_for_source(&self) -> io::Result<(Answer, SocketAddr)> {
        self.socket.send(b"hello")?;
        let mut datagram = [0; 256];
        let (length, source) = self.socket.recv_from(&mut datagram)?;
        Ok((read_answer(&datagram[..length], b"hello")?, source))
    }

    /// Sends a datagram. One that begins with `quiet` is not answered.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send(payload).map(drop)
    }

    /// Sends a datagram to somebody else. The socket stays connected, so no answer to it arrives.
    pub fn send_to(&self, payload: &[u8], target: SocketAddr) -> io::Result<()> {
        self.socket.send_to(payload, target).map(drop)
    }

    /// The client's own address and port.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whom it believes to speak to (getpeername).
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Connects it to another address.
    pub fn turn_to(&self, target: SocketAddr) -> io::Result<()> {
        self.socket.connect(target)
    }

    /// Ends the connection: the socket, at the same port, is connected to nobody (`AF_UNSPEC`, connect(2)).
    pub fn disconnect(self) -> io::Result<Unconnected> {
        connect_unspec(&self.socket)?;
        Ok(Unconnected::new(self.socket))
    }

    /// Whether the socket has an error within this time, as an event loop is told (`POLLERR`, poll(2)).
    pub fn has_error_within(&self, patience: Duration) -> io::Result<bool> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut sockets = [PollFd::new(&self.socket, PollFlags::empty())];
        poll(&mut sockets, Some(&patience))?;
        Ok(sockets[0].revents().contains(PollFlags::ERR))
    }

    /// Waits for a datagram that nobody is going to send, and returns the error that ends the wait.
    pub fn await_error(&self) -> io::Result<io::Error> {
        match self.socket.recv(&mut [0; 1]) {
            Err(error) => Ok(error),
            Ok(_) => Err(io::Error::other("a datagram came instead of an error")),
        }
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
        Self::by(&client.dial(protocol, target))
    }

    /// The same by a call that may say more.
    pub fn by(dial: &Dial<'_>) -> io::Result<Self> {
        Ok(match dial.protocol() {
            Protocol::Tcp => Self::Tcp(dial.connect()?),
            Protocol::Udp => {
                let exchange = dial.exchange()?;
                let answer = exchange.ask()?;
                Self::Udp(exchange, answer)
            }
            Protocol::Sctp => return Err(crate::sctp::without_sockets()),
        })
    }

    /// Who answered first, and whom it saw.
    pub fn answer(&self) -> &Answer {
        match self {
            Self::Tcp(connection) => connection.answer(),
            Self::Udp(_, answer) => answer,
        }
    }

    /// Who answered first.
    pub fn backend(&self) -> &str {
        &self.answer().by
    }

    /// Asks once more; fails unless the same backend answers.
    pub fn go_on(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(connection) => connection.echo(),
            Self::Udp(exchange, answer) => expect(&exchange.ask()?, answer),
        }
    }
}

/// Who answered by a datagram, which must end with what was asked.
pub(crate) fn read_answer(datagram: &[u8], asked: &[u8]) -> io::Result<Answer> {
    let (header, echo) = datagram.split_at(end_of_line(datagram)?);
    if echo != asked {
        return Err(io::Error::other("another payload came back than was sent"));
    }
    parse(&String::from_utf8_lossy(header))
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

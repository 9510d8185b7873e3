//! A TCP server, and clients that exchange as little with it, or as much, as they like.
//!
//! A request is a number of eight bytes in network byte order, and that many bytes. The answer is one byte.

use anyhow::{Context, Result};
use nix::sys::socket::{self, Shutdown};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream},
    os::fd::AsRawFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use svc_lb_tests::Namespace;

/// The port that servers serve.
pub const PORT: u16 = 9000;

/// How many connections a server serves at the same time.
const WORKERS: usize = 16;

/// How much is written and read at once.
const CHUNK: usize = 1 << 18;

/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server; stopped on drop.
pub struct Server(Arc<Socket>);

impl Server {
    /// Starts one on every address of a namespace, in both families.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let start = || -> io::Result<Self> {
            if let Ok(p) = std::env::var("PINS") {
                crate::processor::pin(p.parse().unwrap()).unwrap();
            }
            let listener = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            listener.set_only_v6(false)?;
            listener.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
            listener.listen(4096)?;
            let listener = Arc::new(listener);
            for _ in 0..WORKERS {
                let listener = Arc::clone(&listener);
                thread::spawn(move || {
                    let mut chunk = vec![0; CHUNK];
                    while let Ok((connection, _)) = listener.accept() {
                        // It ends when its client ends it, by a reset as often as not.
                        let _ = serve(connection.into(), &mut chunk);
                    }
                });
            }
            Ok(Self(listener))
        };
        namespace.enter(start).with_context(|| format!("cannot serve port {PORT}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This wakes the workers that wait for a connection.
        let _ = socket::shutdown(self.0.as_raw_fd(), Shutdown::Both);
    }
}

fn serve(mut connection: TcpStream, chunk: &mut [u8]) -> io::Result<()> {
    let mut length = [0; 8];
    loop {
        connection.read_exact(&mut length)?;
        let mut left = u64::from_be_bytes(length);
        while left > 0 {
            let most = left.min(CHUNK as u64) as usize;
            match connection.read(&mut chunk[..most])? {
                0 => return Ok(()),
                received => left -= received as u64,
            }
        }
        connection.write_all(&[0])?;
    }
}

/// A client's connection, which ends with a reset: a close would leave the client's port in TIME_WAIT, and
/// after some ten thousand connections there would be no more ports.
pub struct Connection(TcpStream);

impl Connection {
    /// Connects to an address.
    pub fn open(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Self(stream))
    }

    /// Asks, and returns how long the answer took.
    pub fn ask(&mut self) -> io::Result<Duration> {
        let start = Instant::now();
        self.0.write_all(&0_u64.to_be_bytes())?;
        self.0.read_exact(&mut [0])?;
        Ok(start.elapsed())
    }

    /// Sends that many bytes, and returns how long it took until the server had them all.
    pub fn send(&mut self, bytes: u64) -> io::Result<Duration> {
        let chunk = vec![0; CHUNK];
        let start = Instant::now();
        self.0.write_all(&bytes.to_be_bytes())?;
        let mut left = bytes;
        while left > 0 {
            let length = left.min(CHUNK as u64);
            self.0.write_all(&chunk[..length as usize])?;
            left -= length;
        }
        self.0.read_exact(&mut [0])?;
        Ok(start.elapsed())
    }
}

//! A conversation with sock_diag in one network namespace (sock_diag(7), netlink(7)).

use super::message::{Family, Request, Socket};
use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    sys::{self, protocols::NETLINK_SOCK_DIAG},
};
use std::io;

/// The longest datagram that the kernel answers with (`netlink_dump`).
const LONGEST: usize = 32 << 10;

/// A network namespace that tells of its sockets.
pub struct Diagnosis {
    socket: sys::Socket,
    datagram: Vec<u8>,
}

impl Diagnosis {
    /// Of the network namespace of this thread, whatever the thread does later.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: sys::Socket::new(NETLINK_SOCK_DIAG)?, datagram: Vec::with_capacity(LONGEST) })
    }

    /// The connected UDP sockets of a family. While others come and go, the kernel may pass over one.
    pub fn connected(&mut self, family: Family) -> io::Result<Vec<Socket>> {
        self.ask(Request::Connected(family), NLM_F_DUMP)
    }

    /// Closes a socket; whether it was still there.
    pub fn close(&mut self, socket: Socket) -> io::Result<bool> {
        match self.ask(Request::Close(socket), NLM_F_ACK) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a request, and reads answers up to the last one.
    fn ask(&mut self, request: Request, flags: u16) -> io::Result<Vec<Socket>> {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut sockets = Vec::new();
        loop {
            self.datagram.clear();
            self.socket.recv(&mut self.datagram, 0)?;
            if read(&self.datagram, &mut sockets)? {
                return Ok(sockets);
            }
        }
    }
}

/// Reads the messages in a datagram; whether the last answer is among them. An interrupted dump
/// (`NLM_F_DUMP_INTR`) is as good as another: it may lack sockets, as every dump may.
fn read(mut datagram: &[u8], sockets: &mut Vec<Socket>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<Socket>::deserialize(datagram).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(socket) => sockets.push(socket),
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(true),
            NetlinkPayload::Done(done) => return Err(io::Error::from_raw_os_error(-done.code)),
            NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => return Err(io::Error::other("the kernel lost an answer")),
        }
        // Every message begins at a multiple of four bytes.
        let length = message.header.length as usize;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_core::{NLMSG_DONE, NLMSG_ERROR};

    const SOCKET: u16 = 20;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn socket() -> Vec<u8> {
        let mut payload = [0; 74];
        payload[0] = libc::AF_INET as u8;
        message(SOCKET, &payload)
    }

    /// Whether the last answer was there, and how many sockets were.
    fn read(messages: &[Vec<u8>]) -> Result<(bool, usize), Option<i32>> {
        let mut sockets = Vec::new();
        let last = super::read(&messages.concat(), &mut sockets).map_err(|error| error.raw_os_error())?;
        Ok((last, sockets.len()))
    }

    #[test]
    fn answers_come_in_several_messages_and_datagrams() {
        let done = message(NLMSG_DONE, &0_i32.to_ne_bytes());
        assert_eq!(read(&[socket(), socket()]), Ok((false, 2)));
        assert_eq!(read(&[socket(), done.clone()]), Ok((true, 1)));
        assert_eq!(read(&[done]), Ok((true, 0)));
        assert_eq!(read(&[message(NLMSG_ERROR, &[0; 20])]), Ok((true, 0)), "an acknowledgement");
    }

    #[test]
    fn an_error_is_the_kernels() {
        let refused = (-libc::EOPNOTSUPP).to_ne_bytes();
        assert_eq!(read(&[socket(), message(NLMSG_DONE, &refused)]), Err(Some(libc::EOPNOTSUPP)));
        assert_eq!(read(&[message(NLMSG_ERROR, &refused)]), Err(Some(libc::EOPNOTSUPP)));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let socket = socket();
        assert_eq!(
            super::read(&socket[..60], &mut Vec::new()).map_err(|error| error.kind()),
            Err(io::ErrorKind::Other)
        );
    }
}

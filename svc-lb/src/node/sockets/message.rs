//! What is said to sock_diag about UDP sockets, and what it answers (`include/uapi/linux/sock_diag.h`,
//! `include/uapi/linux/inet_diag.h`).

use bytemuck::{Pod, Zeroable};
use rtnetlink::packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};
use svc_lb_common::{
    address::{Be16, Ipv4, Ipv6},
    socket::{Mapped, Remote},
};

/// `SOCK_DIAG_BY_FAMILY`: a question about sockets, and its answers.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `SOCK_DESTROY`: close a socket.
const SOCK_DESTROY: u16 = 21;
/// `TCP_ESTABLISHED`, as a bit: the state of a UDP socket that is connected.
const CONNECTED: u32 = 1 << 1;

/// The families of UDP sockets. Those of IPv6 may speak to IPv4.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    V4 = libc::AF_INET as u8,
    /// `AF_INET6`.
    V6 = libc::AF_INET6 as u8,
}

/// `struct inet_diag_sockid`: which socket. An IPv4 address is the first word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
struct SocketId {
    source_port: Be16,
    destination_port: Be16,
    source: Ipv6,
    destination: Ipv6,
    interface: u32,
    /// The lower half first.
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Question {
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: SocketId,
}

/// `struct inet_diag_msg`; attributes follow.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmissions: u8,
    id: SocketId,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    user: u32,
    inode: u32,
}

const _: () = assert!(size_of::<SocketId>() == 48);
const _: () = assert!(size_of::<Question>() == 56 && size_of::<Answer>() == 72);

/// What sock_diag is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// All connected UDP sockets of a family.
    Connected(Family),
    /// Closes a UDP socket: whoever waits for it gets `ECONNABORTED`.
    Close(Socket),
}

impl Request {
    fn question(self) -> Question {
        let (family, id) = match self {
            Self::Connected(family) => (family, SocketId::default()),
            Self::Close(Socket { family, id }) => (family, id),
        };
        let protocol = libc::IPPROTO_UDP as u8;
        Question { family: family as u8, protocol, extensions: 0, padding: 0, states: CONNECTED, id }
    }
}

impl NetlinkSerializable for Request {
    fn message_type(&self) -> u16 {
        match self {
            Self::Connected(_) => SOCK_DIAG_BY_FAMILY,
            Self::Close(_) => SOCK_DESTROY,
        }
    }

    fn buffer_len(&self) -> usize {
        size_of::<Question>()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(bytemuck::bytes_of(&self.question()));
    }
}

impl From<Request> for NetlinkPayload<Request> {
    fn from(request: Request) -> Self {
        Self::InnerMessage(request)
    }
}

/// A connected UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    family: Family,
    id: SocketId,
}

impl Socket {
    /// A number that no other socket ever has, in any network namespace (`SO_COOKIE`).
    pub fn cookie(&self) -> u64 {
        let [low, high] = self.id.cookie;
        u64::from(high) << 32 | u64::from(low)
    }

    /// Where it is connected to.
    pub fn remote(&self) -> Remote {
        let SocketId { destination, destination_port, .. } = self.id;
        let address = match self.family {
            Family::V4 => Ipv4(destination.0[0]).mapped(),
            Family::V6 => destination,
        };
        Remote::new(address, destination_port)
    }
}

impl NetlinkDeserializable for Socket {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let answer = payload.get(..size_of::<Answer>()).ok_or("an answer is too short")?;
        let Answer { family, id, .. } = bytemuck::pod_read_unaligned(answer);
        let known = [Family::V4, Family::V6].into_iter().find(|known| *known as u8 == family);
        let family = known.ok_or("a socket is of no family that was asked for")?;
        Ok(Self { family, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// An answer about a socket that is connected to port 53 of an address.
    fn answer(family: Family, destination: &[u8]) -> Vec<u8> {
        let mut bytes = vec![family as u8, 1, 0, 0, 0xc0, 0x01, 0, 53];
        bytes.extend([0; 16]);
        bytes.extend(destination);
        bytes.resize(40, 0);
        for word in [0_u32, 0x89ab_cdef, 0x0123_4567] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(72, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Socket, DecodeError> {
        Socket::deserialize(&NetlinkHeader::default(), bytes)
    }

    #[test]
    fn a_socket_tells_its_cookie_and_where_it_is_connected_to() {
        let v4 = Ipv4Addr::new(10, 0, 0, 1);
        let socket = read(&answer(Family::V4, &v4.octets())).expect("a socket");
        assert_eq!(socket.cookie(), 0x0123_4567_89ab_cdef);
        assert_eq!(socket.remote(), Remote::new(Ipv4::from(v4).mapped(), Be16::new(53)));
        let mapped = read(&answer(Family::V6, &v4.to_ipv6_mapped().octets())).expect("a socket");
        assert_eq!(mapped.remote(), socket.remote());
        let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        let socket = read(&answer(Family::V6, &v6.octets())).expect("a socket");
        assert_eq!(socket.remote(), Remote::new(v6.into(), Be16::new(53)));
    }

    #[test]
    fn a_socket_is_closed_as_the_one_that_was_told_of() {
        let mut bytes = answer(Family::V6, &[1; 16]);
        let close = Request::Close(read(&bytes).expect("a socket"));
        let mut request = vec![0; close.buffer_len()];
        close.serialize(&mut request);
        assert_eq!(request[..2], [libc::AF_INET6 as u8, libc::IPPROTO_UDP as u8]);
        assert_eq!(request[8..], bytes[4..52], "ports, addresses, interface and cookie");
        // What follows may be longer in another version of the kernel.
        bytes.extend([8, 0, 15, 0, 0, 0, 0, 0]);
        assert!(read(&bytes).is_ok());
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        assert!(read(&answer(Family::V4, &[])[..71]).is_err());
        let mut other = answer(Family::V4, &[]);
        other[0] = libc::AF_UNIX as u8;
        assert!(read(&other).is_err());
    }
}

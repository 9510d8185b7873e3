//! What is remembered of a socket that was sent straight to a backend.

use crate::address::{Address, Be16, Ipv4, Ipv6};
use bytemuck::{Pod, Zeroable};

/// How many entries `CONNECTIONS` holds, one a TCP connection.
pub const MAX_CONNECTIONS: u32 = 1 << 16;

/// How many entries `SOCKET_PEERS` holds, two for each service that an unconnected UDP socket speaks to
/// besides its first one.
pub const MAX_SOCKET_PEERS: u32 = 1 << 16;

/// The third word of an IPv4-mapped IPv6 address, `::ffff:0:0/96` (RFC 4291, 2.5.5.2).
const MAPPED: u32 = 0xffff_u32.to_be();

/// An address and port at the other end of a socket. One of IPv4 is the IPv4-mapped IPv6 address, as
/// sockets of IPv6 have it, so that one socket may speak to both families.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Remote {
    /// The address.
    pub address: Ipv6,
    /// The port.
    pub port: Be16,
    /// 0.
    pub padding: u16,
}

const _: () = assert!(size_of::<Remote>() == 20);

impl Remote {
    /// An address and port of either family.
    #[inline(always)]
    pub fn new(address: Ipv6, port: Be16) -> Self {
        Self { address, port, padding: 0 }
    }

    /// The address of IPv4, if it is one.
    #[inline(always)]
    pub fn v4(&self) -> Option<Ipv4> {
        let [first, second, third, last] = self.address.0;
        (first | second | (third ^ MAPPED) == 0).then_some(Ipv4(last))
    }
}

/// An address as a socket of IPv6 has it.
pub trait Mapped: Address {
    /// Itself, or the IPv4-mapped address.
    fn mapped(self) -> Ipv6;
}

impl Mapped for Ipv4 {
    #[inline(always)]
    fn mapped(self) -> Ipv6 {
        Ipv6([0, 0, MAPPED, self.0])
    }
}

impl Mapped for Ipv6 {
    #[inline(always)]
    fn mapped(self) -> Ipv6 {
        self
    }
}

/// The value of `CONNECTIONS`: the service that a TCP socket believes to speak to, and the backend that it
/// speaks to. The key is the socket's cookie (`bpf_get_socket_cookie`), which no other socket ever has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Connection {
    /// The frontend.
    pub frontend: Remote,
    /// The backend.
    pub backend: Remote,
    /// The backend's index in `BACKENDS_V4/6`, by the family of [`Self::backend`].
    pub index: u32,
    /// The backend's generation, if the connection counts in its
    /// [`BackendLoad`](crate::backend::BackendLoad); else 0, which no backend has.
    pub counted: u32,
}

const _: () = assert!(size_of::<Connection>() == 48);

/// The value of `SOCKETS` and of `SOCKET_PEERS`: the same of a UDP socket, and what it takes to tell whether
/// the backend is still there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Peer {
    /// The frontend. Its port is 0 while the socket speaks to no service.
    pub frontend: Remote,
    /// The backend.
    pub backend: Remote,
    /// The service id.
    pub service: u32,
    /// The backend's index in `BACKENDS_V4/6`, by the family of [`Self::backend`].
    pub index: u32,
    /// The backend's generation when it was chosen.
    pub generation: u32,
    /// When the socket last sent to it, in seconds of the dataplane's clock. Of a connection: when it was
    /// opened.
    pub last_used: u32,
    /// Bits of [`Peer`]'s constants.
    pub flags: u32,
}

impl Peer {
    /// Something came back from the backend.
    pub const ANSWERED: u32 = 1 << 0;
    /// Only in `SOCKETS`: the socket was connected to it.
    pub const CONNECTED: u32 = 1 << 1;
    /// Only in `SOCKETS`: the socket has further peers in `SOCKET_PEERS`.
    pub const HAS_OTHERS: u32 = 1 << 2;
    /// Only in `SOCKETS`: what comes from the backend is for one of those, which has the same one and was sent
    /// to later.
    pub const SHADOWED: u32 = 1 << 3;
    /// Only in `SOCKETS`: the socket counts in the backend's
    /// [`BackendLoad`](crate::backend::BackendLoad).
    pub const COUNTED: u32 = 1 << 4;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

const _: () = assert!(size_of::<Peer>() == 60);

/// What the program `lost_sockets` writes: a UDP socket that was connected to a backend that is gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct LostSocket {
    /// The socket's cookie (`bpf_get_socket_cookie`), which no other socket ever has.
    pub cookie: u64,
    /// The backend.
    pub backend: Remote,
    /// 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<LostSocket>() == 32);

/// The key of `SOCKET_PEERS`. A peer is there twice: by its frontend, for what the socket sends, and by its
/// backend, for what it receives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct PeerKey {
    /// The socket's cookie (`bpf_get_socket_cookie`), which no other socket ever has.
    pub cookie: u64,
    /// The frontend or the backend.
    pub remote: Remote,
    /// Which of the two: [`PeerKey::FRONTEND`] or [`PeerKey::BACKEND`].
    pub side: u32,
}

impl PeerKey {
    /// By its frontend.
    pub const FRONTEND: u32 = 0;
    /// By its backend.
    pub const BACKEND: u32 = 1;
}

const _: () = assert!(size_of::<PeerKey>() == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    #[test]
    fn an_ipv4_address_is_mapped_and_found_again() {
        let v4 = Ipv4Addr::new(10, 96, 0, 1);
        let mapped = Ipv4::from(v4).mapped();
        assert_eq!(mapped.to_ip(), IpAddr::V6(v4.to_ipv6_mapped()));
        assert_eq!(Remote::new(mapped, Be16::new(80)).v4(), Some(v4.into()));
    }

    #[test]
    fn an_ipv6_address_is_none_of_ipv4() {
        for address in ["::", "::a60:1", "::fffe:a60:1", "1::ffff:a60:1", "fd00::1"] {
            let address: Ipv6Addr = address.parse().unwrap();
            assert_eq!(Remote::new(Ipv6::from(address).mapped(), Be16::new(80)).v4(), None, "{address}");
        }
    }
}

//! Sending and seeing frames as they are, at an interface.

use crate::{namespace::Namespace, wait::SOON};
use anyhow::{Context, Result, bail};
use nix::{
    net::if_::if_nametoindex,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::{
    io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// Which frames a [`Wire`] sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All that arrive, before the programs at tc's ingress.
    All,
    /// IPv4 that goes up to the host's stack, after the programs at tc's ingress.
    Ipv4ForTheStack,
    /// IPv6 that goes up to the host's stack, after the programs at tc's ingress.
    Ipv6ForTheStack,
}

impl Sees {
    const fn protocol(self) -> u16 {
        let protocol = match self {
            Self::All => libc::ETH_P_ALL,
            Self::Ipv4ForTheStack => libc::ETH_P_IP,
            Self::Ipv6ForTheStack => libc::ETH_P_IPV6,
        };
        protocol.cast_unsigned() as u16
    }
}

/// A packet socket (packet(7)) at one interface.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
}

impl Wire {
    /// Opens one. It holds what it sees from now on.
    pub fn open(namespace: &Namespace, interface: &str, sees: Sees) -> Result<Self> {
        let open = || -> io::Result<Socket> {
            let index = if_nametoindex(interface)?;
            // No protocol yet: nothing is received before the socket is bound to the interface.
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
            // By force: a frame that finds no room is lost, and net.core.rmem_max allows little.
            setsockopt(&socket, RcvBufForce, &(16 << 20))?;
            set_option(&socket, libc::PACKET_AUXDATA, 1)?;
            set_option(&socket, libc::PACKET_IGNORE_OUTGOING, 1)?;
            socket.bind(&packet_address(index, sees.protocol()))?;
            Ok(socket)
        };
        let socket = namespace
            .enter(open)
            .with_context(|| format!("{}: cannot open a packet socket at {interface}", namespace.name()))?;
        Ok(Self { socket })
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = self.socket.send(frame)?;
        anyhow::ensure!(sent == frame.len(), "sent {sent} bytes of {}", frame.len());
        Ok(())
    }

    /// Sends a frame whose checksum is still to be completed, as the kernel's own sockets do where the interface
    /// says that it would: `start` is where what it covers begins, and `field` where it is, both in bytes from
    /// the start of the frame.
    pub fn send_unfinished(&self, frame: &[u8], start: u16, field: u16) -> Result<()> {
        /// `PACKET_VNET_HDR` of linux/if_packet.h.
        const PACKET_VNET_HDR: libc::c_int = 15;
        /// `VIRTIO_NET_HDR_F_NEEDS_CSUM` of linux/virtio_net.h.
        const NEEDS_CHECKSUM: u8 = 1;
        let [start, offset] = [start, field - start].map(u16::to_ne_bytes);
        let no_segments = [0; 5];
        // `struct virtio_net_hdr`.
        let header = [&[NEEDS_CHECKSUM][..], &no_segments, &start, &offset].concat();
        set_option(&self.socket, PACKET_VNET_HDR, 1)?;
        let sent = self.send(&[&header, frame].concat());
        set_option(&self.socket, PACKET_VNET_HDR, 0)?;
        sent
    }

    /// The next frame that `wanted` gives something for.
    pub fn find<T>(&self, limit: Duration, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.socket.set_read_timeout(Some(left))?;
            match receive(&self.socket) {
                Ok(frame) => {
                    if let Some(found) = wanted(&frame) {
                        return Ok(found);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        bail!("no such frame within {limit:?}")
    }

    /// Waits for just this frame.
    pub fn await_frame(&self, frame: &[u8]) -> Result<()> {
        self.find(SOON, |seen| (seen == frame).then_some(()))
    }

    /// All frames that arrived and were not read yet.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        self.socket.set_nonblocking(true)?;
        let mut frames = Vec::new();
        let end = loop {
            match receive(&self.socket) {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(frames),
                Err(error) => break Err(error.into()),
            }
        };
        self.socket.set_nonblocking(false)?;
        end
    }
}

/// The next frame that arrived, with the VLAN tag that the kernel took out put back in.
fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut frame = vec![0_u8; 70_000];
    let mut control = [0_u64; 16];
    let mut data = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
    // SAFETY: `msghdr` is a C struct of integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points to buffers of the lengths that it states, which outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    frame.truncate(length);
    // SAFETY: recvmsg filled the control buffer and set its length.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    if let Some(header) = header
        && (header.cmsg_level, header.cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA)
    {
        // SAFETY: a message of this type holds one `tpacket_auxdata`, perhaps not aligned.
        let aux = unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
        if aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
            let tag = [aux.tp_vlan_tpid.to_be_bytes(), aux.tp_vlan_tci.to_be_bytes()].concat();
            frame.splice(12..12, tag);
        }
    }
    Ok(frame)
}

/// `struct sockaddr_ll` of an interface and an Ethernet protocol.
fn packet_address(interface: u32, protocol: u16) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a storage has room and alignment for an address of every family.
    unsafe {
        *storage.view_as() = address;
    }
    // SAFETY: the storage was just filled with an address of this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// Sets an option of packet sockets.
fn set_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is an integer of the given size, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

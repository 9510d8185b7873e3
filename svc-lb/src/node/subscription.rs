//! What the kernel tells of changes, unasked (rtnetlink(7), multicast groups).

use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
    sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};
use std::{collections::VecDeque, io};

/// What is listened to.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Enough for the messages of some seconds in which thousands of routes come and go.
const BUFFER: usize = 4 << 20;

/// A message.
#[derive(Debug)]
pub enum Message {
    /// One that says what changed.
    Change(RouteNetlinkMessage),
    /// Something changed, of a kind that cannot be read here: a next-hop object.
    Other,
    /// Messages were lost: anything may have changed.
    Lost,
}

/// A socket on which the kernel tells of changes.
pub struct Subscription {
    socket: TokioSocket,
    received: VecDeque<Message>,
}

impl Subscription {
    /// Listens from now on. Must be called within a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        // Best effort: a smaller buffer only loses messages sooner, and Linux before 5.3 has no next-hop
        // objects to tell of.
        let _ = socket.socket_mut().set_rx_buf_sz(BUFFER);
        let _ = socket.socket_mut().add_membership(MulticastGroup::Nexthop as u32);
        Ok(Self { socket, received: VecDeque::new() })
    }

    /// The next message. Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Ok(message);
            }
            match self.socket.recv_from_full().await {
                Ok((datagram, _)) => self.received.extend(messages(&datagram)),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Message::Lost),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The messages in a datagram.
fn messages(mut datagram: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(buffer) = NetlinkBuffer::new_checked(datagram) {
        let length = buffer.length() as usize;
        let message = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
            Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => {
                Message::Change(message)
            }
            _ => Message::Other,
        };
        messages.push(message);
        // Every message begins at a multiple of four bytes.
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

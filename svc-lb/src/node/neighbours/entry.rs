//! One line of the kernel's neighbour tables.

use futures_util::TryStreamExt;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
            NeighbourState,
        },
        route::RouteProtocol,
    },
};
use std::net::IpAddr;

/// A neighbour as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The ifindex of the link that it is on.
    pub interface: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, if it is known and in use; also one that is being confirmed.
    pub mac: Option<[u8; 6]>,
    /// How well it is known.
    pub state: NeighbourState,
    /// Who made it (`NDA_PROTOCOL`); 0: the kernel, or nobody who says so.
    pub protocol: u8,
    /// Whether the kernel keeps it resolved (`NTF_EXT_MANAGED`).
    pub managed: bool,
    /// Whether somebody keeps it up to date who need not ask the link (`NTF_EXT_LEARNED`).
    pub learned: bool,
}

impl Entry {
    /// The entry in a message; `None` if it is of a bridge's forwarding table, a proxy's, or of another
    /// family.
    pub fn read(message: &NeighbourMessage) -> Option<Self> {
        let NeighbourMessage { header, attributes, .. } = message;
        if header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let (mut address, mut mac, mut protocol, mut managed) = (None, None, 0, false);
        for attribute in attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(to)) => {
                    address = Some(IpAddr::V4(*to));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(to)) => {
                    address = Some(IpAddr::V6(*to));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
                NeighbourAttribute::Protocol(number) => protocol = u8::from(*number),
                NeighbourAttribute::ExtFlags(flags) => managed = flags.contains(NeighbourExtFlags::Managed),
                _ => {}
            }
        }
        let unusable = matches!(
            header.state,
            NeighbourState::None | NeighbourState::Incomplete | NeighbourState::Failed
        );
        Some(Self {
            interface: header.ifindex,
            address: address?,
            mac: mac.filter(|_| !unusable),
            state: header.state,
            protocol,
            managed,
            learned: header.flags.contains(NeighbourFlags::ExtLearned),
        })
    }

    /// All entries of both families.
    pub async fn read_all(kernel: &Handle) -> Result<Vec<Self>, Error> {
        let mut entries = Vec::new();
        let mut messages = kernel.neighbours().get().execute();
        while let Some(message) = messages.try_next().await? {
            entries.extend(Self::read(&message));
        }
        Ok(entries)
    }
}

/// The number of a protocol, as the kernel keeps it.
pub fn protocol(number: u8) -> NeighbourAttribute {
    NeighbourAttribute::Protocol(RouteProtocol::from(number))
}

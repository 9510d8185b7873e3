//! One reading of the kernel's links, addresses and default routes (rtnetlink(7)).

use super::{Interface, Role, roles::Traits};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
        link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
    },
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Reads everything. The interfaces have no role yet; they are in the order of their indexes.
pub(super) async fn read(kernel: &Handle) -> Result<Vec<(Interface, Traits)>, Error> {
    let mut interfaces = BTreeMap::new();
    let mut links = kernel.link().get().execute();
    while let Some(message) = links.try_next().await? {
        let (interface, traits) = link(message);
        interfaces.insert(interface.index, (interface, traits));
    }
    let mut addresses = kernel.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        if let Some(address) = global_address(&message)
            && let Some((interface, _)) = interfaces.get_mut(&message.header.index)
        {
            interface.addresses.push(address);
        }
    }
    let families =
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    for family in families {
        let mut routes = kernel.route().get(family).execute();
        while let Some(message) = routes.try_next().await? {
            for index in default_route(&message) {
                if let Some((_, traits)) = interfaces.get_mut(&index) {
                    traits.default_route = true;
                }
            }
        }
    }
    Ok(interfaces.into_values().collect())
}

/// A link.
fn link(message: LinkMessage) -> (Interface, Traits) {
    let flags = message.header.flags;
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        mac: None,
        up: flags.contains(LinkFlags::Up),
        addresses: Vec::new(),
        role: Role::None(String::new()),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Address(bytes) => interface.mac = bytes.try_into().ok(),
            LinkAttribute::LinkInfo(infos) => {
                interface.kind = infos.iter().find_map(kind).unwrap_or_default();
            }
            _ => {}
        }
    }
    (interface, Traits { loopback: flags.contains(LinkFlags::Loopback), default_route: false })
}

/// The kind of link, if this attribute holds it.
fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

/// The address in a message, if it is one that can be relied on: of global scope, not found to be a
/// duplicate, and not one of the temporary addresses of RFC 8981, which come and go.
fn global_address(message: &AddressMessage) -> Option<IpNet> {
    let mut own = None;
    let mut peer = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // IPv4 gives both always; IPv6 gives the own one apart only where there is a peer.
    let address: IpAddr = own.or(peer)?;
    // For IPv6 the bit of "secondary" means "temporary".
    let temporary = address.is_ipv6() && flags.contains(AddressFlags::Secondary);
    let usable = message.header.scope == AddressScope::Universe
        && !flags.contains(AddressFlags::Dadfailed)
        && !temporary;
    if usable { IpNet::new(address, message.header.prefix_len).ok() } else { None }
}

/// Whether a route may be a default route of the main table.
pub(super) fn is_default(message: &RouteMessage) -> bool {
    message.header.destination_prefix_length == 0
        && message.header.table == RouteHeader::RT_TABLE_MAIN
        && message.header.kind == RouteType::Unicast
}

/// The interfaces over which a route leads, if it is a default route.
fn default_route(message: &RouteMessage) -> Vec<u32> {
    if !is_default(message) {
        return Vec::new();
    }
    let over = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Oif(index) => vec![*index],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    };
    message.attributes.iter().flat_map(over).collect()
}

//! One reading of the kernel's links, addresses and routes (rtnetlink(7)).

use super::{
    Interface, LinkLayer, PastNetfilter,
    routes::{Hop, Route, Routes},
    sysctls,
};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
        link::{InfoBridge, InfoData, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
        route::{
            RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHopFlags, RouteType, RouteVia,
        },
    },
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Reads links and addresses. The interfaces have no role yet; they are in the order of their indexes.
pub(super) async fn read_interfaces(kernel: &Handle) -> Result<Vec<Interface>, Error> {
    let past = sysctls::past_netfilter();
    let mut interfaces = BTreeMap::new();
    let mut links = kernel.link().get().execute();
    while let Some(message) = links.try_next().await? {
        let interface = link(message, past);
        interfaces.insert(interface.index, interface);
    }
    let mut addresses = kernel.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        if let Some(address) = global_address(&message)
            && let Some(interface) = interfaces.get_mut(&message.header.index)
        {
            interface.addresses.push(address);
        }
    }
    Ok(interfaces.into_values().collect())
}

/// Reads the main routing table of both families.
pub(super) async fn read_routes(kernel: &Handle) -> Result<Routes, Error> {
    let families =
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    let mut found = Vec::new();
    for family in families {
        let mut routes = kernel.route().get(family).execute();
        while let Some(message) = routes.try_next().await? {
            found.extend(route(&message));
        }
    }
    Ok(found.into_iter().collect())
}

/// A link. `past`: what bridges switch past netfilter, as far as their own settings do not differ.
fn link(message: LinkMessage, past: PastNetfilter) -> Interface {
    let flags = message.header.flags;
    let mut interface = Interface {
        index: message.header.index,
        link_layer: link_layer(message.header.link_layer_type),
        up: flags.contains(LinkFlags::Up),
        resolves: !flags.contains(LinkFlags::Noarp),
        ..Interface::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name = name,
            LinkAttribute::Address(bytes) => interface.mac = bytes.try_into().ok(),
            LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
            LinkAttribute::Controller(index) => interface.master = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => interface.kind = kind.to_string(),
                        LinkInfo::Data(InfoData::Bridge(settings)) => {
                            interface.past_netfilter = past_netfilter(&settings, past);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    interface
}

/// What packets of a link begin with. Those without a header are the kernel's own list
/// (`dev_is_mac_header_xmit`).
fn link_layer(kind: LinkLayerType) -> LinkLayer {
    match kind {
        LinkLayerType::Ether => LinkLayer::Ethernet,
        LinkLayerType::Loopback => LinkLayer::Loopback,
        LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6
        | LinkLayerType::Sit
        | LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre
        | LinkLayerType::None
        | LinkLayerType::Void
        | LinkLayerType::Rawip
        | LinkLayerType::Ppp => LinkLayer::None,
        _ => LinkLayer::Other,
    }
}

/// What a bridge switches past netfilter: what neither all bridges nor this one hand to it.
fn past_netfilter(settings: &[InfoBridge], all: PastNetfilter) -> PastNetfilter {
    let calls = |wanted: &dyn Fn(&InfoBridge) -> bool| settings.iter().any(wanted);
    PastNetfilter {
        v4: all.v4 && !calls(&|setting| matches!(setting, InfoBridge::NfCallIpTables(true))),
        v6: all.v6 && !calls(&|setting| matches!(setting, InfoBridge::NfCallIp6Tables(true))),
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

/// The route in a message, if it is one of the main table that may lead to somebody else.
pub(super) fn route(message: &RouteMessage) -> Option<Route> {
    let RouteMessage { header, attributes, .. } = message;
    let refuses = matches!(header.kind, RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit);
    if header.table != RouteHeader::RT_TABLE_MAIN
        || header.tos != 0
        || header.kind != RouteType::Unicast && !refuses
    {
        return None;
    }
    let length = header.destination_prefix_length;
    let (mut destination, mut metric, mut hops) = (None, 0, Vec::new());
    for attribute in attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(interface) => {
                hops.push(Hop { interface: *interface, gateway: gateway(attributes) });
            }
            RouteAttribute::MultiPath(ways) => {
                let alive = ways.iter().filter(|way| !way.flags.contains(RouteNextHopFlags::Dead));
                hops.extend(
                    alive
                        .map(|way| Hop { interface: way.interface_index, gateway: gateway(&way.attributes) }),
                );
            }
            _ => {}
        }
    }
    if refuses {
        hops.clear();
    }
    let destination = destination.or(match header.address_family {
        AddressFamily::Inet => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        AddressFamily::Inet6 => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        _ => None,
    })?;
    // Every interface has a route to the link-local addresses of its own link.
    let link_local = matches!(destination, IpAddr::V6(address) if address.is_unicast_link_local());
    let destination = IpNet::new(destination, length).ok().filter(|_| !link_local)?;
    Some(Route { destination, metric, hops })
}

/// The gateway in a route's attributes, or in those of one of its ways. An IPv4 route may have one of
/// IPv6.
fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

//! Interfaces, addresses, routes and neighbours of a namespace, by rtnetlink.

use crate::{
    namespace::Namespace,
    wait::{SOON, until},
};
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags},
        link::{InfoData, InfoVeth, LinkAttribute},
        neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourState},
        route::{RouteAttribute, RouteMetric},
    },
};
use std::{
    net::IpAddr,
    os::fd::{AsFd, AsRawFd},
};

mod events;

/// Changes the network of a namespace.
pub fn configure<T: Send>(
    namespace: &Namespace,
    steps: impl AsyncFnOnce(&Links) -> Result<T> + Send,
) -> Result<T> {
    let run = || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            steps(&Links { handle }).await
        })
    };
    namespace.enter(run).with_context(|| format!("cannot configure the network of {}", namespace.name()))
}

/// The network of the namespace that the thread is in.
pub struct Links {
    handle: Handle,
}

impl Links {
    /// A veth pair: one end here, the other in `peer_namespace`. Both are down.
    pub async fn veth(&self, name: &str, peer: &str, peer_namespace: &Namespace) -> Result<()> {
        let peer_message = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .setns_by_fd(peer_namespace.as_fd().as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer_message)))
            .build();
        self.handle.link().add(pair).execute().await.with_context(|| format!("veth pair {name}, {peer}"))
    }

    /// A bridge that is up.
    pub async fn bridge(&self, name: &str) -> Result<()> {
        let bridge = LinkBridge::new(name).build();
        self.handle.link().add(bridge).execute().await.with_context(|| format!("bridge {name}"))
    }

    /// A VXLAN over another interface; it is down, and knows nobody.
    pub async fn vxlan(&self, name: &str, number: u32, port: u16, underlay: &str) -> Result<()> {
        let vxlan = LinkVxlan::new(name, number).port(port).dev(index(underlay)?).learning(false).build();
        self.handle.link().add(vxlan).execute().await.with_context(|| format!("VXLAN {name}"))
    }

    /// Makes an interface a port of a bridge.
    pub async fn join(&self, port: &str, bridge: &str) -> Result<()> {
        let change = LinkUnspec::new_with_index(index(port)?).controller(index(bridge)?).build();
        self.handle.link().set(change).execute().await.with_context(|| format!("{port} into {bridge}"))
    }

    /// Sets an interface up.
    pub async fn up(&self, name: &str) -> Result<()> {
        let change = LinkUnspec::new_with_index(index(name)?).up().build();
        self.handle.link().set(change).execute().await.with_context(|| format!("{name} up"))
    }

    /// Sets an interface down.
    pub async fn down(&self, name: &str) -> Result<()> {
        let change = LinkUnspec::new_with_index(index(name)?).down().build();
        self.handle.link().set(change).execute().await.with_context(|| format!("{name} down"))
    }

    /// Removes an interface; the other end of a veth pair goes with it.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.handle.link().del(index(name)?).execute().await.with_context(|| format!("remove {name}"))
    }

    /// Sets the length of the longest packet that an interface sends.
    pub async fn mtu(&self, name: &str, mtu: u32) -> Result<()> {
        let change = LinkUnspec::new_with_index(index(name)?).mtu(mtu).build();
        self.handle.link().set(change).execute().await.with_context(|| format!("MTU {mtu} of {name}"))
    }

    /// Sets the link-layer address of an interface.
    pub async fn set_mac(&self, name: &str, mac: [u8; 6]) -> Result<()> {
        let change = LinkUnspec::new_with_index(index(name)?).address(mac.into()).build();
        self.handle.link().set(change).execute().await.with_context(|| format!("MAC of {name}"))
    }

    /// Gives an interface addresses, as [`Links::address`] does.
    pub async fn addresses(&self, name: &str, addresses: [IpNet; 2]) -> Result<()> {
        for address in addresses {
            self.address(name, address).await?;
        }
        Ok(())
    }

    /// Gives an interface an address, usable at once: without duplicate address detection.
    pub async fn address(&self, name: &str, address: IpNet) -> Result<()> {
        let mut request = self.handle.address().add(index(name)?, address.addr(), address.prefix_len());
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        request.execute().await.with_context(|| format!("address {address} of {name}"))
    }

    /// A route by an interface, to a gateway if one is given, which needs no route of its own.
    pub async fn route(&self, destination: IpNet, name: &str, gateway: Option<IpAddr>) -> Result<()> {
        let mut route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(destination.addr(), destination.prefix_len())?
            .output_interface(index(name)?);
        if let Some(gateway) = gateway {
            route = route.gateway(gateway)?.onlink();
        }
        self.handle.route().add(route.build()).execute().await.with_context(|| format!("route {destination}"))
    }

    /// In place of a route: one that takes packets of so many bytes at the most, and does not tell peers so
    /// when it announces what segments they may send.
    pub async fn narrow_route(
        &self,
        destination: IpNet,
        name: &str,
        gateway: IpAddr,
        mtu: u32,
    ) -> Result<()> {
        /// What Ethernet takes, less the headers of IPv6 and TCP.
        const SEGMENT: u32 = 1440;
        let mut route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(destination.addr(), destination.prefix_len())?
            .output_interface(index(name)?)
            .gateway(gateway)?
            .onlink()
            .build();
        let metrics = vec![RouteMetric::Mtu(mtu), RouteMetric::Advmss(SEGMENT)];
        route.attributes.push(RouteAttribute::Metrics(metrics));
        let replaced = self.handle.route().add(route).replace().execute().await;
        replaced.with_context(|| format!("narrow route {destination}"))
    }

    /// A neighbour that needs no resolution.
    pub async fn neighbour(&self, name: &str, address: IpAddr, mac: [u8; 6]) -> Result<()> {
        let request = self.handle.neighbours().add(index(name)?, address).link_layer_address(&mac);
        request.execute().await.with_context(|| format!("neighbour {address} at {name}"))
    }

    /// Whether the link-layer address of a neighbour is known.
    pub async fn is_resolved(&self, neighbour: IpAddr) -> Result<bool> {
        let address = NeighbourAttribute::Destination(neighbour.into());
        let entries: Vec<_> = self.handle.neighbours().get().execute().try_collect().await?;
        let mut of_neighbour = entries.iter().filter(|entry| entry.attributes.contains(&address));
        let unknown = [NeighbourState::None, NeighbourState::Incomplete, NeighbourState::Failed];
        Ok(of_neighbour.any(|entry| !unknown.contains(&entry.header.state)))
    }

    /// The host to which a VXLAN sends frames for a link-layer address.
    pub async fn forwarding(&self, name: &str, mac: [u8; 6], host: IpAddr) -> Result<()> {
        let entry = self.handle.neighbours().add_bridge(index(name)?, &mac);
        let entry = entry.flags(NeighbourFlags::Own).destination(host);
        entry.execute().await.with_context(|| format!("forwarding entry of {name} to {host}"))
    }

    /// The link-layer address of an interface.
    pub async fn mac(&self, name: &str) -> Result<[u8; 6]> {
        let link = self.handle.link().get().match_index(index(name)?).execute().try_next().await?;
        link.into_iter()
            .flat_map(|link| link.attributes)
            .find_map(|attribute| match attribute {
                LinkAttribute::Address(address) => address.try_into().ok(),
                _ => None,
            })
            .with_context(|| format!("{name} has no link-layer address"))
    }
}

/// Waits until an interface has the address by which IPv6 neighbours are looked up.
pub fn await_link_local(namespace: &Namespace, interface: &str) -> Result<()> {
    /// `IFA_F_TENTATIVE` (linux/if_addr.h), as a word of the table.
    const TENTATIVE: u32 = 0x40;
    until("a usable IPv6 link-local address", SOON, || {
        let table = namespace.proc_net("if_inet6")?;
        let usable = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
            let flags = words.get(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
            words.last() == Some(&interface)
                && words[0].starts_with("fe80")
                && flags.is_some_and(|flags| flags & TENTATIVE == 0)
        });
        Ok(usable.then_some(()))
    })
}

fn index(name: &str) -> Result<u32> {
    if_nametoindex(name).with_context(|| format!("no interface {name}"))
}

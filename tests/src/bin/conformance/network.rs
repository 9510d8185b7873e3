//! What is around the node of a case: pods behind a pod interface, and everybody else behind an uplink.
//!
//! Each side is one namespace that has all addresses of its backends. Nothing else is there, and nothing leads
//! further: no packet ever reaches the machine's own network.

use crate::case::{Case, Packet};
use anyhow::{Context, Result};
use ipnet::IpNet;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};
use svc_lb::compile::Protocol;
use svc_lb_tests::{
    Namespace, links,
    wait::{SOON, until},
};

/// The node's interface towards everybody but its pods.
pub const UPLINK: &str = "uplink0";
/// The node's interface towards its pods, named as CNI plugins do.
pub const POD: &str = "veth-pods";
/// The far end of either.
const PEER: &str = "eth0";

/// The node's default gateways. Nobody has these addresses: their neighbour entries lead to the other side.
const GATEWAYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe))];

/// The node's network in a case. Its interfaces are removed on drop, and with them what is attached there.
pub struct Network<'a> {
    node: &'a Namespace,
    /// The far ends: of the uplink, and of the pod interface.
    sides: Vec<Namespace>,
    backends: Vec<(SocketAddr, TcpListener)>,
}

impl<'a> Network<'a> {
    /// Gives a node the interfaces, addresses and routes of a case, and starts its backends.
    pub fn build(node: &'a Namespace, case: &Case) -> Result<Self> {
        let addresses = |local| {
            let endpoints = case.endpoints().filter(move |endpoint| endpoint.local == local);
            endpoints.map(|endpoint| endpoint.address).collect::<BTreeSet<IpAddr>>()
        };
        let local = addresses(true);
        let remote = &addresses(false) - &local;
        let mut network = Self { node, sides: Vec::new(), backends: Vec::new() };
        let own = &case.node.local_addresses;

        let world = network.join(UPLINK, &remote, own)?;
        let pods = network.join(POD, &local, own)?;
        // The one that stands for the node is to be the first of its interface, and the kernel lists the latest
        // of IPv6 first.
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = own.iter().partition(|address| address.is_ipv4());
        links::configure(node, async |links| {
            for address in v4.iter().chain(v6.iter().rev()) {
                let length = if address.is_ipv4() { 24 } else { 64 };
                links.address(UPLINK, IpNet::new(*address, length)?).await?;
            }
            for gateway in GATEWAYS {
                links.neighbour(UPLINK, gateway, world).await?;
                links.route(everything(gateway), UPLINK, Some(gateway)).await?;
            }
            for address in &local {
                links.neighbour(POD, *address, pods).await?;
                links.route(IpNet::from(*address), POD, None).await?;
            }
            Ok(())
        })?;
        network.serve(case)?;
        Ok(network)
    }

    /// The backend that a connection from this address has reached, and the address that it sees.
    pub fn accept(&self, client: SocketAddr) -> Result<(SocketAddr, IpAddr)> {
        until("a backend has the connection", SOON, || {
            for (backend, listener) in &self.backends {
                match listener.accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok((_, seen)) if seen.port() == client.port() => return Ok(Some((*backend, seen.ip()))),
                    // Somebody who gave up.
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(None)
        })
    }

    /// Joins a namespace with these addresses to an interface of the node. Gives its link-layer address.
    fn join(&mut self, interface: &str, addresses: &BTreeSet<IpAddr>, node: &[IpAddr]) -> Result<[u8; 6]> {
        let side = Namespace::of_host(interface)?;
        // What is for nobody there is not sent back.
        side.set_sysctl("ipv4/ip_forward", "0")?;
        side.set_sysctl("ipv6/conf/all/forwarding", "0")?;
        let to_node = links::configure(self.node, async |links| {
            links.veth(interface, PEER, &side).await?;
            links.up(interface).await?;
            links.mac(interface).await
        })?;
        let mac = links::configure(&side, async |links| {
            links.up(PEER).await?;
            for address in addresses {
                links.address(PEER, IpNet::from(*address)).await?;
            }
            for address in node {
                links.neighbour(PEER, *address, to_node).await?;
                links.route(IpNet::from(*address), PEER, None).await?;
            }
            links.mac(PEER).await
        })?;
        self.sides.push(side);
        Ok(mac)
    }

    /// Starts the servers that the packets of a case may reach.
    fn serve(&mut self, case: &Case) -> Result<()> {
        let tcp = case.packets.iter().filter(|it| it.protocol().is_ok_and(|it| it == Protocol::Tcp));
        let backends: BTreeSet<SocketAddr> = tcp.flat_map(Packet::backends).copied().collect();
        for backend in backends {
            let side = &self.sides[usize::from(case.is_local(backend))];
            let listen = || -> io::Result<TcpListener> {
                let listener = TcpListener::bind(backend)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            };
            let listener = side.enter(listen).with_context(|| format!("cannot serve {backend}"))?;
            self.backends.push((backend, listener));
        }
        Ok(())
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        let removed = links::configure(self.node, async |links| {
            links.remove(UPLINK).await?;
            links.remove(POD).await
        });
        if let Err(error) = removed {
            println!("{error:#}");
        }
    }
}

/// All addresses of the family of one.
fn everything(address: IpAddr) -> IpNet {
    IpNet::new_assert(address, 0).trunc()
}

//! A host of a rig: a namespace, its addresses, and what runs there.

use crate::{
    cgroup::Cgroup,
    dial::Dial,
    links,
    namespace::Namespace,
    plan::Addresses,
    server::Server,
    unconnected::Unconnected,
    wire::{Sees, Wire},
};
use anyhow::Result;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use svc_lb::compile::{Family, Protocol};

/// The interface by which every host reaches the others.
pub const INTERFACE: &str = "eth0";

/// A client, a node or a pod.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    addresses: Addresses,
    further_addresses: Vec<Addresses>,
    mac: [u8; 6],
    servers: Mutex<Vec<Server>>,
}

impl Host {
    /// A host whose [`INTERFACE`] is there already.
    pub(crate) fn new(namespace: Namespace, addresses: Addresses) -> Result<Self> {
        let mac = links::configure(&namespace, async |links| links.mac(INTERFACE).await)?;
        Ok(Self { namespace, addresses, further_addresses: Vec::new(), mac, servers: Mutex::default() })
    }

    /// Notes addresses of other interfaces.
    pub(crate) fn also_has(&mut self, addresses: Addresses) {
        self.further_addresses.push(addresses);
    }

    /// Puts the sockets that it makes from now on, its servers' too, into a cgroup.
    pub fn run_in(&mut self, cgroup: Arc<Cgroup>) {
        self.namespace.run_in(cgroup);
    }

    /// Its name, which its servers answer with.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The addresses of [`INTERFACE`].
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Whether it has an address, at whatever interface.
    pub fn has(&self, address: IpAddr) -> bool {
        let all = [&self.addresses].into_iter().chain(&self.further_addresses);
        all.into_iter().any(|its| its.of(Family::of(address)) == address)
    }

    /// The address of [`INTERFACE`] of a family.
    pub fn address(&self, family: Family) -> IpAddr {
        self.addresses.of(family)
    }

    /// The link-layer address of its interface.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Starts a TCP and UDP server on a port. It answers with the host's name.
    pub fn serve(&self, port: u16) -> Result<()> {
        let server = Server::start(&self.namespace, self.name(), port)?;
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        Ok(())
    }

    /// Stops every server that was started here: whoever connects is refused.
    pub fn stop_serving(&self) {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A call from here.
    pub fn dial(&self, protocol: Protocol, target: SocketAddr) -> Dial<'_> {
        Dial::new(&self.namespace, protocol, target)
    }

    /// A TCP call from here.
    pub fn tcp(&self, target: SocketAddr) -> Dial<'_> {
        self.dial(Protocol::Tcp, target)
    }

    /// A UDP call from here.
    pub fn udp(&self, target: SocketAddr) -> Dial<'_> {
        self.dial(Protocol::Udp, target)
    }

    /// A UDP socket of a family that is connected to nobody.
    pub fn unconnected(&self, family: Family) -> Result<Unconnected> {
        Unconnected::open(&self.namespace, family)
    }

    /// A packet socket at its interface.
    pub fn wire(&self, sees: Sees) -> Result<Wire> {
        Wire::open(&self.namespace, INTERFACE, sees)
    }

    /// Sets its interface down: whoever talks to it hears nothing more.
    pub fn fall_silent(&self) -> Result<()> {
        links::configure(&self.namespace, async |links| links.down(INTERFACE).await)
    }
}

//! A network of nodes and clients: hosts at one switch.

use crate::{
    host::{Host, INTERFACE},
    links,
    namespace::Namespace,
    plan::Addresses,
};
use anyhow::Result;

/// The interface of a host by which it is in a second lan.
pub const SECOND_INTERFACE: &str = "eth1";

/// The bridge that joins the hosts.
const SWITCH: &str = "lan";

/// Hosts at one switch.
#[derive(Debug)]
pub struct Lan {
    number: u8,
    switch: Namespace,
}

impl Lan {
    /// One without hosts. Its number gives its addresses.
    pub fn new(number: u8) -> Result<Self> {
        let switch = Namespace::new(SWITCH)?;
        switch.set_sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        links::configure(&switch, async |links| links.bridge(SWITCH).await)?;
        Ok(Self { number, switch })
    }

    /// The namespace of the switch; its port towards a host is named for the host.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// A new host, whose number gives its address.
    pub fn host(&self, name: &str, number: u8) -> Result<Host> {
        let namespace = Namespace::of_host(name)?;
        let addresses = self.join(&namespace, INTERFACE, number)?;
        Host::new(namespace, addresses)
    }

    /// Gives a host of another lan an interface here.
    pub fn adopt(&self, host: &mut Host, number: u8) -> Result<()> {
        let addresses = self.join(host.namespace(), SECOND_INTERFACE, number)?;
        host.also_has(addresses);
        Ok(())
    }

    fn join(&self, host: &Namespace, interface: &str, number: u8) -> Result<Addresses> {
        let (port, addresses) = (host.name(), Addresses::lan(self.number, number));
        links::configure(&self.switch, async |links| {
            links.veth(port, interface, host).await?;
            links.join(port, SWITCH).await?;
            links.up(port).await
        })?;
        links::configure(host, async |links| {
            links.up(interface).await?;
            links.addresses(interface, addresses.with_prefixes(24, 64)).await
        })?;
        links::await_link_local(host, interface)?;
        Ok(addresses)
    }
}

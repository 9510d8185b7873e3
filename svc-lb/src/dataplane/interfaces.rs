//! Keeps the programs on the interfaces that are served, and tells them what they must know of each.

use super::{
    attach::Attacher, error::DataplaneError, interface_table::InterfaceTable, maps::Maps, place::Place,
    typed::MapError,
};
use crate::{
    node::{self, Facts, LinkLayer},
    options::XdpMode,
    status::{Attachment, Hook},
};
use aya::Ebpf;
use std::{collections::BTreeMap, net::IpAddr, path::Path};
use svc_lb_common::{
    address::{Address, AddressPair},
    counters::Program,
    interface::{Interface, Settings},
};

/// What is attached where, and what the maps say of it.
#[derive(Debug)]
pub struct Interfaces {
    attacher: Attacher,
    xdp_mode: XdpMode,
    /// By name.
    attached: BTreeMap<String, Attached>,
    table: InterfaceTable,
    /// What `SETTINGS` holds.
    settings: Settings,
}

/// An interface with its programs.
#[derive(Debug)]
struct Attached {
    index: u32,
    places: Vec<Place>,
    attachments: Vec<Attachment>,
    /// Whether all of them are as they should be, so that there is nothing to do the next time.
    settled: bool,
}

impl Attached {
    fn has_xdp(&self) -> bool {
        self.attachments.iter().any(|it| matches!(it.by, Some(Hook::NativeXdp | Hook::GenericXdp)))
    }
}

impl Interfaces {
    /// What an earlier agent attached is taken over by the first [`Self::set`].
    pub fn new(pin_dir: &Path, xdp_mode: XdpMode, maps: &Maps) -> Result<Self, DataplaneError> {
        let mut interfaces = Self {
            attacher: Attacher::new(pin_dir)?,
            xdp_mode,
            attached: BTreeMap::new(),
            table: InterfaceTable::read(maps)?,
            settings: maps.settings.range(0, 1)?.first().copied().unwrap_or_default(),
        };
        // While no agent ran, nobody followed the routes.
        interfaces.invalidate_next_hops(maps)?;
        Ok(interfaces)
    }

    /// Makes the programs look every next hop up again.
    pub fn invalidate_next_hops(&mut self, maps: &Maps) -> Result<(), MapError> {
        // 0 is what a flow says that never looked one up.
        let generation = self.settings.route_generation.wrapping_add(1).max(1);
        self.write(maps, Settings { route_generation: generation, ..self.settings })
    }

    /// The generation of the routes.
    pub fn route_generation(&self) -> u32 {
        self.settings.route_generation
    }

    fn write(&mut self, maps: &Maps, settings: Settings) -> Result<(), MapError> {
        if self.settings != settings {
            maps.settings.set(&[(0, settings)])?;
            self.settings = settings;
        }
        Ok(())
    }

    /// Attaches to the interfaces that are served, and detaches from all others; only those that are
    /// new or have changed take work. A program that cannot be attached is in the result, and tried
    /// again the next time; so is one that somebody else has detached.
    pub fn set(
        &mut self,
        ebpf: &mut Ebpf,
        maps: &Maps,
        facts: &Facts,
        node: &[IpAddr],
    ) -> Result<Vec<Attachment>, DataplaneError> {
        let served: Vec<&node::Interface> = facts.interfaces.iter().filter(|it| it.is_served()).collect();
        self.look_after_attached(&served);
        let node = pair(node, AddressPair::default());
        self.write(maps, Settings { node, ..self.settings })?;

        // A program must know its interface from its first packet on.
        let mut changed = self.table.describe(maps, &self.entries(facts, node))?;
        self.detach_others(&served)?;
        for interface in &served {
            self.attach(ebpf, interface);
        }
        // Now it is known where XDP can send.
        let entries = self.entries(facts, node);
        changed |= self.table.describe(maps, &entries)?;
        self.table.forget_all_but(maps, &entries)?;
        if changed {
            // With its next hop a flow knows what can be sent by the interface.
            self.invalidate_next_hops(maps)?;
        }
        Ok(served
            .iter()
            .filter_map(|it| self.attached.get(&it.name))
            .flat_map(|it| it.attachments.clone())
            .collect())
    }

    /// As on a kernel before Linux 6.6.
    #[cfg(test)]
    pub fn without_tcx(&mut self) {
        self.attacher.without_tcx();
    }

    /// Detaches from places that are no longer served.
    fn detach_others(&mut self, served: &[&node::Interface]) -> Result<(), DataplaneError> {
        for (name, place) in self.attacher.attached()? {
            let interface = served.iter().find(|interface| interface.name == name);
            if !interface.is_some_and(|interface| self.places(interface).contains(&place)) {
                self.attacher.detach(&name, place)?;
            }
        }
        Ok(())
    }

    /// Forgets what is attached to interfaces that are others now, and finds out what somebody detached.
    fn look_after_attached(&mut self, served: &[&node::Interface]) {
        for interface in served {
            let places = self.places(interface);
            let Some(attached) = self.attached.get_mut(&interface.name) else { continue };
            if attached.index != interface.index || attached.places != places {
                self.attached.remove(&interface.name);
            } else {
                attached.settled &= places.iter().all(|place| self.attacher.is_attached(interface, *place));
            }
        }
        self.attached.retain(|name, _| served.iter().any(|interface| interface.name == *name));
    }

    /// Where an interface is to have programs.
    fn places(&self, interface: &node::Interface) -> Vec<Place> {
        // XDP comes last: what it passes on finds the programs behind it.
        let xdp = interface.is_uplink().then(|| Place::xdp(self.xdp_mode, interface).ok()).flatten();
        Place::tc(interface).into_iter().chain(xdp).collect()
    }

    fn attach(&mut self, ebpf: &mut Ebpf, interface: &node::Interface) {
        if self.attached.get(&interface.name).is_some_and(|attached| attached.settled) {
            return;
        }
        let attachment = |program: Program, result: Result<Hook, String>| Attachment {
            interface: interface.index,
            program: program.name().to_owned(),
            by: result.as_ref().ok().copied(),
            reason: result.err().unwrap_or_default(),
        };
        let places = self.places(interface);
        let mut attachments = Vec::new();
        for &place in &places {
            let result = self.attacher.attach(ebpf, interface, place);
            attachments.push(attachment(place.program(), result));
        }
        let settled = attachments.iter().all(|attachment| attachment.by.is_some());
        if interface.is_uplink()
            && let Err(why) = Place::xdp(self.xdp_mode, interface)
        {
            attachments.push(attachment(Program::XdpUplink, Err(why)));
        }
        let attached = Attached { index: interface.index, places, attachments, settled };
        self.attached.insert(interface.name.clone(), attached);
    }

    /// What the programs must know of interfaces.
    fn entries(&self, facts: &Facts, node: AddressPair) -> Vec<Interface> {
        let entry = |interface: &node::Interface| {
            let xdp = self.attached.get(&interface.name).is_some_and(Attached::has_xdp);
            entry(interface, bridge(facts, interface), xdp, node)
        };
        facts.interfaces.iter().filter(|interface| is_described(facts, interface)).map(entry).collect()
    }
}

/// Whether a program may meet an interface: it is served, or pods are ports of it, which reach each other
/// by neighbours there.
fn is_described(facts: &Facts, interface: &node::Interface) -> bool {
    let is_port = |it: &node::Interface| it.is_pod() && it.master == Some(interface.index);
    interface.is_served() || interface.kind == "bridge" && facts.interfaces.iter().any(is_port)
}

/// The bridge of which an interface is a port.
fn bridge<'a>(facts: &'a Facts, interface: &node::Interface) -> Option<&'a node::Interface> {
    let master = interface.master?;
    facts.interfaces.iter().find(|it| it.index == master && it.kind == "bridge")
}

/// What a program must know of an interface.
fn entry(
    interface: &node::Interface,
    bridge: Option<&node::Interface>,
    xdp: bool,
    node: AddressPair,
) -> Interface {
    let past_netfilter =
        bridge.filter(|_| interface.is_pod()).map(|it| it.past_netfilter).unwrap_or_default();
    let flags = [
        (Interface::UPLINK, interface.is_uplink()),
        (Interface::POD, interface.is_pod()),
        (Interface::XDP, xdp),
        (Interface::LAYER_3, interface.link_layer == LinkLayer::None),
        (Interface::SWITCHED_V4, past_netfilter.v4),
        (Interface::SWITCHED_V6, past_netfilter.v6),
    ];
    // What arrives at the port of a bridge is addressed to the bridge.
    let host = bridge.unwrap_or(interface);
    let addresses: Vec<IpAddr> = host.addresses.iter().map(ipnet::IpNet::addr).collect();
    Interface {
        addresses: pair(&addresses, node),
        mac: bytemuck::cast(host.mac.unwrap_or_default()),
        flags: flags.into_iter().filter(|(_, set)| *set).fold(0, |flags, (flag, _)| flags | flag),
        index: interface.index,
        master: host.index,
        mtu: interface.mtu,
    }
}

/// One address of each family: the node's if it is among these, else the first, else the node's.
fn pair(addresses: &[IpAddr], node: AddressPair) -> AddressPair {
    AddressPair { v4: one_of(addresses, node.v4), v6: one_of(addresses, node.v6) }
}

/// Others know the node by its own address, and the kernel lists those of IPv6 by the last that came.
fn one_of<A: Address>(addresses: &[IpAddr], node: A) -> A {
    let mut own = addresses.iter().copied().filter_map(A::from_ip);
    let first = own.clone().next().unwrap_or(node);
    if own.any(|address| address == node) { node } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{PastNetfilter, Role};

    #[test]
    fn an_interface_has_its_own_addresses_and_the_nodes_where_it_has_none() {
        let node = pair(&["192.0.2.1", "2001:db8::1"].map(|it| it.parse().unwrap()), AddressPair::default());
        let interface = node::Interface {
            index: 7,
            mac: Some([2, 0, 0, 0, 0, 9]),
            mtu: 1450,
            addresses: ["2001:db8:1::7/64", "2001:db8:1::8/64"].map(|it| it.parse().unwrap()).to_vec(),
            role: Role::Uplink("default route".to_owned()),
            ..node::Interface::default()
        };
        let entry = entry(&interface, None, true, node);
        assert_eq!((entry.index, entry.master, entry.mtu), (7, 7, 1450));
        assert_eq!(entry.addresses.v4.to_ip().to_string(), "192.0.2.1");
        assert_eq!(entry.addresses.v6.to_ip().to_string(), "2001:db8:1::7");
        let addresses = ["2001:db8:1::9", "2001:db8::1", "192.0.2.7"].map(|it| it.parse().unwrap());
        assert_eq!(pair(&addresses, node).v6.to_ip().to_string(), "2001:db8::1");
        assert_eq!(pair(&addresses, node).v4.to_ip().to_string(), "192.0.2.7");
        assert_eq!(bytemuck::bytes_of(&entry.mac), [2, 0, 0, 0, 0, 9]);
        assert!(entry.has(Interface::UPLINK) && entry.has(Interface::XDP) && !entry.has(Interface::POD));
    }

    #[test]
    fn a_bridge_of_pods_is_described_and_no_other_that_is_not_served() {
        let interface = |index, master: Option<u32>, role| node::Interface {
            index,
            kind: if master.is_none() { "bridge" } else { "veth" }.to_owned(),
            master,
            role,
            ..node::Interface::default()
        };
        let facts = Facts {
            interfaces: vec![
                interface(3, None, Role::None(String::new())),
                interface(4, None, Role::None(String::new())),
                interface(7, Some(3), Role::Pod(String::new())),
                interface(8, Some(4), Role::None(String::new())),
            ],
        };
        let described = facts.interfaces.iter().filter(|it| is_described(&facts, it));
        assert_eq!(described.map(|it| it.index).collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn a_pods_port_knows_its_bridge_and_what_that_switches_past_netfilter() {
        let bridge = node::Interface {
            index: 3,
            mac: Some([2, 0, 0, 0, 0, 3]),
            past_netfilter: PastNetfilter { v4: true, v6: false },
            ..node::Interface::default()
        };
        let port = |role| node::Interface { index: 7, role, ..node::Interface::default() };
        let of = |role| entry(&port(role), Some(&bridge), false, AddressPair::default());
        let pod = of(Role::Pod(String::new()));
        assert_eq!((pod.master, pod.flags), (3, Interface::POD | Interface::SWITCHED_V4));
        assert_eq!(bytemuck::bytes_of(&pod.mac), [2, 0, 0, 0, 0, 3], "the host is addressed so");
        assert_eq!(of(Role::Uplink(String::new())).flags, Interface::UPLINK, "only pods are switched to");
    }
}

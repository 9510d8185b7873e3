//! Keeps the programs on the interfaces that are served, and tells them what they must know of each.

use super::{attach::Attacher, error::DataplaneError, maps::Maps, place::Place, typed::MapError};
use crate::{
    node::{self, Facts, Role},
    options::XdpMode,
    status::{Attachment, Hook},
};
use aya::Ebpf;
use std::{collections::BTreeMap, net::IpAddr, path::Path};
use svc_lb_common::{
    address::{Address, AddressPair, Ipv4, Ipv6},
    counters::Program,
    interface::{Interface, Settings, slot},
};

/// What is attached where, and what the maps say of it.
#[derive(Debug)]
pub struct Interfaces {
    attacher: Attacher,
    xdp_mode: XdpMode,
    /// By name.
    attached: BTreeMap<String, Attached>,
    /// What `INTERFACES` holds, but for elements that are zero.
    entries: BTreeMap<u32, Interface>,
}

/// An interface with its programs.
#[derive(Debug)]
struct Attached {
    index: u32,
    uplink: bool,
    attachments: Vec<Attachment>,
    /// Whether all of them are as they should be, so that there is nothing to do the next time.
    settled: bool,
}

impl Attached {
    fn is_of(&self, interface: &node::Interface) -> bool {
        self.index == interface.index && self.uplink == is_uplink(interface)
    }

    fn has_xdp(&self) -> bool {
        self.attachments.iter().any(|it| matches!(it.by, Some(Hook::NativeXdp | Hook::GenericXdp)))
    }
}

impl Interfaces {
    /// What an earlier agent attached is taken over by the first [`Self::set`].
    pub fn new(pin_dir: &Path, xdp_mode: XdpMode, maps: &Maps) -> Result<Self, DataplaneError> {
        let entries = (0..).zip(maps.interfaces.range(0, maps.interfaces.length())?);
        Ok(Self {
            attacher: Attacher::new(pin_dir)?,
            xdp_mode,
            attached: BTreeMap::new(),
            entries: entries.filter(|(_, entry)| *entry != Interface::default()).collect(),
        })
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
        let is_served = |interface: &&node::Interface| !matches!(interface.role, Role::None(_));
        let served: Vec<&node::Interface> = facts.interfaces.iter().filter(is_served).collect();
        self.attached.retain(|name, attached| served.iter().any(|it| it.name == *name && attached.is_of(it)));
        for interface in &served {
            let places = self.places(interface);
            if let Some(attached) = self.attached.get_mut(&interface.name) {
                attached.settled &= places.iter().all(|place| self.attacher.is_attached(interface, *place));
            }
        }
        let node = pair(node, AddressPair::default());
        maps.settings.set(&[(0, Settings { node, ..Settings::default() })])?;

        // A program must know its interface from its first packet on.
        self.describe(maps, &served, node)?;
        self.detach_others(&served)?;
        for interface in &served {
            self.attach(ebpf, interface);
        }
        // Now it is known where XDP can send.
        self.describe(maps, &served, node)?;
        self.forget(maps, &served)?;
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

    /// Where an interface is to have programs.
    fn places(&self, interface: &node::Interface) -> Vec<Place> {
        if !is_uplink(interface) {
            return vec![Place::Tc(Program::TcPodIngress), Place::Tc(Program::TcPodEgress)];
        }
        // XDP comes last: what it passes on finds the programs behind it.
        let tc = [Place::Tc(Program::TcUplinkIngress), Place::Tc(Program::TcUplinkEgress)];
        tc.into_iter().chain(Place::xdp(self.xdp_mode, &interface.kind)).collect()
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
        let mut attachments = Vec::new();
        for place in self.places(interface) {
            let result = self.attacher.attach(ebpf, interface, place);
            attachments.push(attachment(place.program(), result));
        }
        let settled = attachments.iter().all(|attachment| attachment.by.is_some());
        let uplink = is_uplink(interface);
        if uplink && let Err(why) = Place::xdp(self.xdp_mode, &interface.kind) {
            attachments.push(attachment(Program::XdpUplink, Err(why)));
        }
        let attached = Attached { index: interface.index, uplink, attachments, settled };
        self.attached.insert(interface.name.clone(), attached);
    }

    /// Writes what the programs must know of the interfaces that are served.
    fn describe(
        &mut self,
        maps: &Maps,
        served: &[&node::Interface],
        node: AddressPair,
    ) -> Result<(), MapError> {
        let entries = served.iter().map(|interface| {
            let xdp = self.attached.get(&interface.name).is_some_and(Attached::has_xdp);
            (slot(interface.index), entry(interface, xdp, node))
        });
        let changed: Vec<(u32, Interface)> =
            entries.filter(|(index, entry)| self.entries.get(index) != Some(entry)).collect();
        maps.interfaces.set(&changed)?;
        self.entries.extend(changed);
        Ok(())
    }

    /// Empties what the maps say of interfaces that are no longer served.
    fn forget(&mut self, maps: &Maps, served: &[&node::Interface]) -> Result<(), MapError> {
        let is_gone = |index: &u32| !served.iter().any(|interface| slot(interface.index) == *index);
        let gone: Vec<(u32, Interface)> = self
            .entries
            .keys()
            .filter(|index| is_gone(index))
            .map(|index| (*index, Interface::default()))
            .collect();
        maps.interfaces.set(&gone)?;
        self.entries.retain(|index, _| !is_gone(index));
        Ok(())
    }
}

fn is_uplink(interface: &node::Interface) -> bool {
    matches!(interface.role, Role::Uplink(_))
}

/// An element of `INTERFACES`.
fn entry(interface: &node::Interface, xdp: bool, node: AddressPair) -> Interface {
    let role = if is_uplink(interface) { Interface::UPLINK } else { Interface::POD };
    let addresses: Vec<IpAddr> = interface.addresses.iter().map(ipnet::IpNet::addr).collect();
    Interface {
        addresses: pair(&addresses, node),
        mac: bytemuck::cast(interface.mac.unwrap_or_default()),
        flags: role | if xdp { Interface::XDP } else { 0 },
        index: interface.index,
        master: interface.index,
        mtu: 1500,
    }
}

/// The first address of each family, or the default's.
fn pair(addresses: &[IpAddr], default: AddressPair) -> AddressPair {
    AddressPair {
        v4: addresses.iter().copied().find_map(Ipv4::from_ip).unwrap_or(default.v4),
        v6: addresses.iter().copied().find_map(Ipv6::from_ip).unwrap_or(default.v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_its_own_addresses_and_the_nodes_where_it_has_none() {
        let node = pair(&["192.0.2.1", "2001:db8::1"].map(|it| it.parse().unwrap()), AddressPair::default());
        let interface = node::Interface {
            index: 7,
            name: "eth1".to_owned(),
            kind: String::new(),
            mac: Some([2, 0, 0, 0, 0, 9]),
            up: true,
            addresses: ["2001:db8:1::7/64", "2001:db8:1::8/64"].map(|it| it.parse().unwrap()).to_vec(),
            role: Role::Uplink("default route".to_owned()),
        };
        let entry = entry(&interface, true, node);
        assert_eq!(entry.addresses.v4.to_ip().to_string(), "192.0.2.1");
        assert_eq!(entry.addresses.v6.to_ip().to_string(), "2001:db8:1::7");
        assert_eq!(bytemuck::bytes_of(&entry.mac), [2, 0, 0, 0, 0, 9]);
        assert!(entry.has(Interface::UPLINK) && entry.has(Interface::XDP) && !entry.has(Interface::POD));
    }
}

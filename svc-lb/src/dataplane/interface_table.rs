//! What the maps say of interfaces: which has the slot, which is among the others.

use super::{maps::Maps, typed::MapError};
use std::collections::BTreeMap;
use svc_lb_common::interface::{Interface, slot};

/// What `INTERFACES` and `OTHER_INTERFACES` hold, but for slots that are zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InterfaceTable {
    /// By slot.
    slots: BTreeMap<u32, Interface>,
    /// By ifindex.
    others: BTreeMap<u32, Interface>,
}

impl InterfaceTable {
    /// What an earlier agent wrote.
    pub fn read(maps: &Maps) -> Result<Self, MapError> {
        let slots = (0..).zip(maps.interfaces.range(0, maps.interfaces.length())?);
        Ok(Self {
            slots: slots.filter(|(_, entry)| *entry != Interface::default()).collect(),
            others: maps.other_interfaces.dump()?.into_iter().collect(),
        })
    }

    /// Gives every interface a place: uplinks first, because whose packets come in by it cost less if it
    /// has its slot; then the older ones.
    fn of(interfaces: &[Interface]) -> Self {
        let mut table = Self::default();
        let mut in_order: Vec<&Interface> = interfaces.iter().collect();
        in_order.sort_by_key(|interface| (!interface.has(Interface::UPLINK), interface.index));
        for interface in in_order {
            let place = table.slots.entry(slot(interface.index)).or_insert(*interface);
            if place.index != interface.index {
                table.others.insert(interface.index, *interface);
            }
        }
        table
    }

    /// Writes what is new of these interfaces; `false`: nothing is. What the maps say of others stays, and one
    /// that has to leave its slot is among the others before.
    pub fn describe(&mut self, maps: &Maps, interfaces: &[Interface]) -> Result<bool, MapError> {
        let wanted = Self::of(interfaces);
        let others = missing(&wanted.others, &self.others);
        let slots = missing(&wanted.slots, &self.slots);
        maps.other_interfaces.set(&others)?;
        maps.interfaces.set(&slots)?;
        let changed = !others.is_empty() || !slots.is_empty();
        self.others.extend(others);
        self.slots.extend(slots);
        Ok(changed)
    }

    /// Removes what the maps say of all interfaces but these, which have been described.
    pub fn forget_all_but(&mut self, maps: &Maps, interfaces: &[Interface]) -> Result<(), MapError> {
        let wanted = Self::of(interfaces);
        let emptied = self.slots.keys().filter(|slot| !wanted.slots.contains_key(slot));
        let emptied: Vec<(u32, Interface)> = emptied.map(|slot| (*slot, Interface::default())).collect();
        let gone = self.others.keys().filter(|index| !wanted.others.contains_key(index));
        let gone: Vec<u32> = gone.copied().collect();
        maps.interfaces.set(&emptied)?;
        maps.other_interfaces.delete(&gone)?;
        *self = wanted;
        Ok(())
    }
}

/// The wanted elements that are not held so.
fn missing(wanted: &BTreeMap<u32, Interface>, held: &BTreeMap<u32, Interface>) -> Vec<(u32, Interface)> {
    let differs = |(key, interface): &(&u32, &Interface)| held.get(key) != Some(interface);
    wanted.iter().filter(differs).map(|(key, interface)| (*key, *interface)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use svc_lb_common::interface::INTERFACE_SLOTS;

    fn interface(index: u32, flags: u16) -> Interface {
        Interface { index, flags, ..Interface::default() }
    }

    #[test]
    fn of_two_with_one_slot_the_uplink_has_it_else_the_older() {
        let [pod, uplink, young] = [
            interface(5, Interface::POD),
            interface(5 + INTERFACE_SLOTS, Interface::UPLINK),
            interface(5 + 2 * INTERFACE_SLOTS, Interface::POD),
        ];
        let table = InterfaceTable::of(&[pod, young, uplink]);
        assert_eq!(table.slots, [(5, uplink)].into());
        assert_eq!(table.others, [(pod.index, pod), (young.index, young)].into());
        let table = InterfaceTable::of(&[young, pod]);
        assert_eq!(table.slots, [(5, pod)].into());
    }
}

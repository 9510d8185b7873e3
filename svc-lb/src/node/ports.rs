//! Sets of ports as `/proc/sys` spells them, and which ranges get in each other's way.

use std::{collections::BTreeSet, fmt, ops::RangeInclusive};
use svc_lb_common::snat::PortRange;

/// How many ports must be left for the connections that the node itself makes.
const EPHEMERAL_LEFT: usize = 1024;

/// A set of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(BTreeSet<u16>);

/// Why `--snat-port-range` and `--service-node-port-range` cannot be used on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// A connection of svc-lb and one of the node could get the same port.
    #[error(
        "--snat-port-range {snat} meets {ephemeral}, the ports of connections that the node itself makes \
         (sysctl net.ipv4.ip_local_port_range): choose a range outside"
    )]
    SnatMeetsEphemeral {
        /// `--snat-port-range`.
        snat: PortRange,
        /// `net.ipv4.ip_local_port_range`.
        ephemeral: PortRange,
    },
    /// An answer to a connection of svc-lb would be taken for a client of a NodePort.
    #[error("--snat-port-range {snat} meets --service-node-port-range {node_ports}: choose a range outside")]
    SnatMeetsNodePorts {
        /// `--snat-port-range`.
        snat: PortRange,
        /// `--service-node-port-range`.
        node_ports: PortRange,
    },
    /// With the NodePorts reserved, the node could hardly make connections.
    #[error(
        "--service-node-port-range {node_ports} leaves fewer than {EPHEMERAL_LEFT} of {ephemeral}, the \
         ports of connections that the node itself makes (sysctl net.ipv4.ip_local_port_range): choose a \
         smaller range"
    )]
    NodePortsTakeEphemeral {
        /// `--service-node-port-range`.
        node_ports: PortRange,
        /// `net.ipv4.ip_local_port_range`.
        ephemeral: PortRange,
    },
}

/// Checks the ranges of the flags against the node's: `net.ipv4.ip_local_port_range`, and what others
/// reserved in `net.ipv4.ip_local_reserved_ports`.
pub fn check_ranges(
    snat: PortRange,
    node_ports: PortRange,
    ephemeral: PortRange,
    reserved: &PortSet,
) -> Result<(), PortError> {
    let meet = |a: PortRange, b: PortRange| a.first <= b.last && b.first <= a.last;
    if meet(snat, ephemeral) {
        return Err(PortError::SnatMeetsEphemeral { snat, ephemeral });
    }
    if meet(snat, node_ports) {
        return Err(PortError::SnatMeetsNodePorts { snat, node_ports });
    }
    let taken = reserved.with(&PortSet::of(&[node_ports]));
    if meet(node_ports, ephemeral) && PortSet::of(&[ephemeral]).without(&taken).0.len() < EPHEMERAL_LEFT {
        return Err(PortError::NodePortsTakeEphemeral { node_ports, ephemeral });
    }
    Ok(())
}

impl PortSet {
    /// The ports of some ranges.
    pub fn of(ranges: &[PortRange]) -> Self {
        Self(ranges.iter().flat_map(|range| range.first..=range.last).collect())
    }

    /// Reads `1,5-9`, as in `net.ipv4.ip_local_reserved_ports`; `None` if it is not spelt so.
    pub fn parse(text: &str) -> Option<Self> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        let parts = text.trim().split(',').filter(|part| !part.is_empty());
        let ranges = parts.map(range).collect::<Option<Vec<RangeInclusive<u16>>>>()?;
        Some(Self(ranges.into_iter().flatten().collect()))
    }

    /// Whether there is no port.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ports of both.
    pub fn with(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// The ports that the other has not.
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }
}

impl fmt::Display for PortSet {
    /// As [`PortSet::parse`] reads it, in the fewest ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for &port in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == port => *last = port,
                _ => ranges.push((port, port)),
            }
        }
        let spell = |&(first, last): &(u16, u16)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        f.write_str(&ranges.iter().map(spell).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SNAT: PortRange = PortRange { first: 10000, last: 29999 };
    const NODE_PORTS: PortRange = PortRange { first: 30000, last: 32767 };
    const EPHEMERAL: PortRange = PortRange { first: 32768, last: 60999 };

    fn set(text: &str) -> PortSet {
        PortSet::parse(text).expect("a set of ports")
    }

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(check_ranges(SNAT, NODE_PORTS, EPHEMERAL, &PortSet::default()), Ok(()));
    }

    #[test]
    fn ranges_that_meet_are_refused_with_both_named() {
        let snat = PortRange { first: 29000, last: 32768 };
        let error = check_ranges(snat, NODE_PORTS, EPHEMERAL, &PortSet::default()).expect_err("a refusal");
        assert_eq!(error, PortError::SnatMeetsEphemeral { snat, ephemeral: EPHEMERAL });
        let sentence = error.to_string();
        assert!(sentence.contains("--snat-port-range 29000-32768 meets 32768-60999"), "{sentence}");
        let snat = PortRange { last: 30000, ..SNAT };
        let error = check_ranges(snat, NODE_PORTS, EPHEMERAL, &PortSet::default()).expect_err("a refusal");
        assert_eq!(error, PortError::SnatMeetsNodePorts { snat, node_ports: NODE_PORTS });
    }

    #[test]
    fn nodeports_may_take_a_part_of_the_ephemeral_range_but_not_all() {
        let check =
            |first, last, reserved| check_ranges(SNAT, PortRange { first, last }, EPHEMERAL, &set(reserved));
        assert_eq!(check(30000, 40000, ""), Ok(()));
        assert!(matches!(check(30000, 65535, ""), Err(PortError::NodePortsTakeEphemeral { .. })));
        assert!(matches!(check(30000, 40000, "40001-60000"), Err(PortError::NodePortsTakeEphemeral { .. })));
        assert_eq!(check(30000, 32767, "32768-60000"), Ok(()), "what others did is theirs");
    }

    #[test]
    fn sets_are_spelt_in_the_fewest_ranges() {
        assert_eq!(set("8080,1-3,4-5,30000\n").to_string(), "1-5,8080,30000");
        assert_eq!(set("65535,65534").to_string(), "65534-65535");
        assert_eq!(set("\n").to_string(), "");
        for wrong in ["a", "1-", "1-2-3", "70000", "-"] {
            assert_eq!(PortSet::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_back(
            before in proptest::collection::btree_set(any::<u16>(), 0..50),
            wanted in proptest::collection::btree_set(any::<u16>(), 0..50),
        ) {
            let (before, wanted) = (PortSet(before), PortSet(wanted));
            prop_assert_eq!(set(&before.to_string()), before.clone());
            let added = wanted.without(&before);
            prop_assert_eq!(before.with(&wanted).without(&added), before);
        }
    }
}

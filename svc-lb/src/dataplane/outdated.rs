//! Pinned maps that are not what this version makes: they are made anew, and with them those others that would
//! be wrong without them, but no more. Flows above all stay where they can.

use super::{
    bpffs,
    error::DataplaneError,
    maps::{
        CONNECTIONS, FLOWS, FamilyNames, NEW_FLOWS, SERVICE_NAMES, SERVICES, SLOTS, SOCKET_PEERS, SOCKETS,
    },
    syscall::{MapInfo, pinned_map_info},
};
use std::{collections::BTreeMap, path::Path};
use svc_lb_common::address::{Ipv4, Ipv6};

/// The maps that say which service has which id, and which backend which index and generation.
const NUMBERS: [&str; 3] = [SERVICE_NAMES, Ipv4::BACKENDS, Ipv6::BACKENDS];

/// The maps that hold those numbers: if one that says what they mean is made anew, all of these are. If one of
/// these is, the numbers stay, and the first sync fills it.
const HOLDERS: [&str; 15] = [
    LISTS[0],
    LISTS[1],
    Ipv4::FRONTENDS,
    Ipv6::FRONTENDS,
    Ipv4::SOURCE_RANGES,
    Ipv6::SOURCE_RANGES,
    Ipv4::AFFINITY,
    Ipv6::AFFINITY,
    FLOWS[0],
    FLOWS[1],
    NEW_FLOWS[0],
    NEW_FLOWS[1],
    SOCKETS,
    SOCKET_PEERS,
    CONNECTIONS,
];

/// A service says where its slots are: these two are made anew together.
const LISTS: [&str; 2] = [SERVICES, SLOTS];

/// Maps by name.
type Maps = BTreeMap<String, MapInfo>;

/// Removes the pins of what is to be made anew. The programs that run keep those maps until they are replaced.
pub fn discard(directory: &Path, definitions: &Maps) -> Result<(), DataplaneError> {
    let mut pinned = Maps::new();
    for name in bpffs::list(directory)? {
        let path = directory.join(&name);
        let info = pinned_map_info(&path).map_err(|source| DataplaneError::Pin { path, source })?;
        pinned.insert(name, MapInfo { id: 0, ..info });
    }
    for (name, info) in outdated(&pinned, definitions) {
        bpffs::remove(&directory.join(name))?;
        let lost = if FLOWS.contains(&name) { ", its flows are lost" } else { "" };
        let wanted = definitions.get(name).map_or_else(|| "gone".to_owned(), describe);
        tracing::warn!(
            "the pinned map {name} is made anew{lost}: it is {}, and should be {wanted}",
            describe(info)
        );
    }
    Ok(())
}

/// What is to be made anew of what is pinned.
fn outdated<'a>(pinned: &'a Maps, definitions: &Maps) -> Vec<(&'a str, &'a MapInfo)> {
    let fits = |name: &str| pinned.get(name) == definitions.get(name);
    let keeps = |names: &[&str]| names.iter().all(|name| fits(name));
    let (keeps_numbers, keeps_lists) = (keeps(&NUMBERS), keeps(&LISTS));
    let stays = |name: &str| {
        fits(name)
            && (keeps_numbers || !NUMBERS.contains(&name) && !HOLDERS.contains(&name))
            && (keeps_lists || !LISTS.contains(&name))
    };
    pinned.iter().map(|(name, info)| (name.as_str(), info)).filter(|(name, _)| !stays(name)).collect()
}

/// A map in words.
fn describe(info: &MapInfo) -> String {
    let MapInfo { kind, key_size, value_size, max_entries, flags, .. } = info;
    format!("of kind {kind}, {max_entries} entries of {key_size} + {value_size} bytes, flags {flags}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What goes if some maps are of another size, or not there at all.
    fn gone(other: &[&str], missing: &[&str]) -> BTreeSet<String> {
        let all = NUMBERS.into_iter().chain(HOLDERS).chain(["COUNTERS", "BACKEND_LOADS_V4"]);
        let definitions: Maps = all.map(|name| (name.to_owned(), MapInfo::default())).collect();
        let mut pinned = definitions.clone();
        pinned.retain(|name, _| !missing.contains(&name.as_str()));
        for name in other {
            pinned.insert((*name).to_owned(), MapInfo { value_size: 24, ..MapInfo::default() });
        }
        outdated(&pinned, &definitions).into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    fn names(names: impl IntoIterator<Item = &'static str>) -> BTreeSet<String> {
        names.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn what_fits_stays() {
        assert_eq!(gone(&[], &[]), BTreeSet::new());
        assert_eq!(gone(&[], &["COUNTERS", "AFFINITY_V4"]), BTreeSet::new(), "a new one takes none with it");
    }

    #[test]
    fn services_and_slots_go_together_and_alone() {
        assert_eq!(gone(&["SERVICES"], &[]), names(LISTS));
        assert_eq!(gone(&["SLOTS"], &[]), names(LISTS));
        assert_eq!(gone(&[], &["SLOTS"]), names(["SERVICES"]));
        for alone in
            ["FRONTENDS_V4", "SOURCE_RANGES_V6", "AFFINITY_V4", "FLOWS_V4", "CONNECTIONS", "COUNTERS"]
        {
            assert_eq!(gone(&[alone], &[]), names([alone]));
        }
    }

    #[test]
    fn numbers_take_with_them_what_holds_them() {
        let all = || names(NUMBERS.into_iter().chain(HOLDERS));
        for number in NUMBERS {
            assert_eq!(gone(&[number], &[]), all());
            let others = all().into_iter().filter(|name| name != number).collect();
            assert_eq!(gone(&[], &[number]), others);
        }
    }

    #[test]
    fn what_this_version_does_not_know_goes() {
        assert_eq!(gone(&["OLD"], &[]), names(["OLD"]));
    }
}

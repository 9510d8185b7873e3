//! What the programs counted, and how full the tables are.

use crate::dataplane::{
    maps::{FamilyMaps, FamilyNames, Maps},
    sweep::FlowCounts,
    typed::{HashMap, MapError},
};
use bytemuck::Pod;
use serde::Serialize;
use std::collections::BTreeMap;
use svc_lb_common::counters::{DropReason, Program, ProgramCounters};

/// The dataplane's numbers, over all processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// What each program finished, by its name.
    pub programs: BTreeMap<&'static str, Finished>,
    /// Packets dropped, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// How full the tables are: `flows_v4`, `new_flows_v4`, `frontends_v4`, `backends_v4`, `affinity_v4`
    /// (clients and their last backends), `source_ranges_v4`, the same of IPv6, `services`, `connections` (TCP sockets that were sent to a backend) and `socket_peers` (of UDP
    /// sockets that speak to several services).
    pub tables: BTreeMap<String, Fill>,
}

/// The packets that a program finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// From clients to backends, rewritten.
    pub forwarded: u64,
    /// From backends to clients, rewritten.
    pub replied: u64,
    /// Answered with a TCP RST or an ICMP error.
    pub rejected: u64,
    /// Dropped.
    pub dropped: u64,
    /// ICMP echo requests, answered.
    pub echoed: u64,
}

impl From<ProgramCounters> for Finished {
    fn from(counters: ProgramCounters) -> Self {
        let ProgramCounters { forwarded, replied, rejected, dropped, echoed } = counters;
        Self { forwarded, replied, rejected, dropped, echoed }
    }
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// Entries in use.
    pub entries: usize,
    /// The most there can be.
    pub capacity: u32,
}

/// All numbers. `flows`: how many entries the flow tables have.
pub fn read(maps: &Maps, flows: FlowCounts) -> Result<Statistics, MapError> {
    let [flows_v4, new_flows_v4, flows_v6, new_flows_v6] = flows;
    let mut statistics = Statistics::default();
    for program in Program::ALL {
        let counters = maps.programs.sum(program as u32)?;
        statistics.programs.insert(program.name(), counters.into());
    }
    for reason in DropReason::ALL {
        statistics.drops.insert(reason.name(), maps.drops.sum(reason as u32)?);
    }
    let services = maps.services.dump()?.len();
    statistics.tables.insert("services".to_owned(), fill(services, &maps.services));
    for (name, entries, capacity) in [
        ("connections", maps.connections.count()?, maps.connections.capacity()),
        ("socket_peers", maps.socket_peers.count()?, maps.socket_peers.capacity()),
    ] {
        statistics.tables.insert(name.to_owned(), Fill { entries, capacity });
    }
    statistics.tables.extend(family(&maps.v4, "v4", flows_v4, new_flows_v4)?);
    statistics.tables.extend(family(&maps.v6, "v6", flows_v6, new_flows_v6)?);
    Ok(statistics)
}

/// The tables of a family.
fn family<A: FamilyNames>(
    maps: &FamilyMaps<A>,
    family: &str,
    flows: usize,
    new_flows: usize,
) -> Result<[(String, Fill); 6], MapError> {
    let live = maps.backends()?.iter().filter(|backend| backend.is_live()).count();
    Ok([
        (format!("flows_{family}"), fill(flows, &maps.flows)),
        (format!("new_flows_{family}"), fill(new_flows, &maps.new_flows)),
        (format!("frontends_{family}"), fill(maps.frontends.dump()?.len(), &maps.frontends)),
        (format!("affinity_{family}"), fill(maps.affinities.count()?, &maps.affinities)),
        (format!("source_ranges_{family}"), fill(maps.source_ranges.count()?, &maps.source_ranges)),
        (format!("backends_{family}"), Fill { entries: live, capacity: maps.backends.length() }),
    ])
}

fn fill<K: Pod, V: Pod>(entries: usize, map: &HashMap<K, V>) -> Fill {
    Fill { entries, capacity: map.capacity() }
}

//! Corrects how many open connections backends have, for the services that are balanced by them.
//!
//! The programs count as flows open and close. A flow that the table evicts, or that times out, closes for nobody:
//! so each sweep counts those that there are. A flow that opens or closes behind the sweep's back is off by one
//! until the next sweep has come by. Open sockets only the programs know: theirs is kept, but that a value is
//! written as a whole loses a socket that opens or closes in the microsecond between its reading and its writing.

use super::{
    maps::{FamilyMaps, FamilyNames, Maps},
    state::State,
    typed::MapError,
};
use crate::compile::{Algorithm, Family};
use std::{collections::HashMap, net::SocketAddr};
use svc_lb_common::{address::Address, backend::BackendLoad, connection, flow::Flow};

/// How many open flows a walk over the flow tables has met, by family, backend index and generation.
#[derive(Debug, Default)]
pub struct OpenFlows(HashMap<(Family, u32, u32), i32>);

/// A backend whose open connections decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    family: Family,
    index: u32,
    generation: u32,
}

impl OpenFlows {
    /// Counts an entry, if it is that of a flow that counts: of its two entries the one from the client.
    pub fn note<A: Address>(&mut self, flow: &Flow<A>) {
        let is_counted = flow.has(Flow::<A>::COUNTED) && !flow.has(Flow::<A>::REPLY);
        if is_counted && !connection::State(flow.state).is_closed() {
            let family = if A::VERSION == 4 { Family::V4 } else { Family::V6 };
            *self.0.entry((family, flow.backend, flow.generation)).or_default() += 1;
        }
    }

    /// Writes what was counted. `keep_sockets`: whether programs count sockets; else there are none.
    pub fn write(&self, maps: &Maps, state: &State, keep_sockets: bool) -> Result<(), MapError> {
        for backend in counted(state) {
            let Counted { family, index, generation } = backend;
            let flows = self.0.get(&(family, index, generation)).copied().unwrap_or_default();
            match family {
                Family::V4 => maps.v4.correct_load(index, flows, keep_sockets)?,
                Family::V6 => maps.v6.correct_load(index, flows, keep_sockets)?,
            }
        }
        Ok(())
    }
}

/// The backends of the services that are balanced by open connections.
fn counted(state: &State) -> impl Iterator<Item = Counted> {
    let is_counted = |algorithm: u16| algorithm == Algorithm::LeastConnections as u16;
    let entries = state.services.values();
    let entries = entries.filter(move |entry| entry.service.is_some_and(|it| is_counted(it.algorithm)));
    entries.flat_map(|entry| &entry.backends).filter_map(|(key, held)| {
        let family = Family::of(SocketAddr::from(*key).ip());
        let generation = state.backends.of(family).generations.get(held.index as usize)?;
        Some(Counted { family, index: held.index, generation: *generation })
    })
}

impl Maps {
    /// How many open connections a backend has, as programs see it.
    pub fn open_connections(&self, family: Family, index: u32) -> Result<i32, MapError> {
        let BackendLoad { flows, sockets } = match family {
            Family::V4 => self.v4.backend_loads.get(index),
            Family::V6 => self.v6.backend_loads.get(index),
        }?;
        Ok(flows.saturating_add(sockets))
    }
}

impl<A: FamilyNames> FamilyMaps<A> {
    fn correct_load(&self, index: u32, flows: i32, keep_sockets: bool) -> Result<(), MapError> {
        let held = self.backend_loads.get(index)?;
        let sockets = if keep_sockets { held.sockets } else { 0 };
        let load = BackendLoad { flows, sockets };
        if load == held { Ok(()) } else { self.backend_loads.set(&[(index, load)]) }
    }
}

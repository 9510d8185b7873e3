//! Writes a plan to the maps.

use super::{
    element::{Backend, FrontendKey},
    maps::{FamilyMaps, FamilyNames, Maps},
    name::ServiceName,
    plan::{Refusal, Sink},
    source_range::SourceRange,
    syscall,
    typed::MapError,
};
use crate::compile::ServicePort;
use std::sync::Arc;
use svc_lb_common::{backend::BackendLoad, frontend::Frontend, hint, service::Service};

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// How many elements of maps were written or deleted.
    pub writes: usize,
    /// Whether backends of UDP were removed, or may have been since the last sync that succeeded.
    pub udp_backends_gone: bool,
    /// What does not fit into the maps; all else is in force.
    pub refusals: Vec<Refusal>,
}

impl Sink for &Maps {
    type Error = MapError;

    fn set_names(&mut self, names: &[(u32, Arc<ServicePort>)]) -> Result<(), MapError> {
        let elements: Vec<_> = names.iter().map(|(id, name)| (*id, ServiceName::new(name))).collect();
        self.names.set(&elements)?;
        let ids: Vec<_> = names.iter().map(|(id, _)| *id).collect();
        self.counters.reset(&ids)
    }

    fn put_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), MapError> {
        self.v4.put_backends(backends)?;
        self.v6.put_backends(backends)
    }

    fn set_backends(&mut self, backends: &[(u32, Backend)]) -> Result<(), MapError> {
        self.v4.set_backends(backends)?;
        self.v6.set_backends(backends)
    }

    fn set_slots(&mut self, slots: &[(u32, u32)]) -> Result<(), MapError> {
        self.slots.set(slots)
    }

    fn set_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), MapError> {
        self.v4.set_source_ranges(ranges)?;
        self.v6.set_source_ranges(ranges)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), MapError> {
        self.v4.remove_source_ranges(ranges)?;
        self.v6.remove_source_ranges(ranges)
    }

    fn set_services(&mut self, services: &[(u32, Service)]) -> Result<(), MapError> {
        self.services.set(services)
    }

    fn set_frontends(&mut self, frontends: &[(FrontendKey, Frontend)]) -> Result<(), MapError> {
        self.v4.set_frontends(frontends)?;
        self.v6.set_frontends(frontends)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), MapError> {
        self.v4.remove_frontends(keys)?;
        self.v6.remove_frontends(keys)
    }

    fn wait_for_programs(&mut self) {
        syscall::wait_for_programs();
    }

    fn remove_services(&mut self, ids: &[u32]) -> Result<(), MapError> {
        self.services.delete(ids)
    }

    fn remove_names(&mut self, ids: &[u32]) -> Result<(), MapError> {
        self.names.delete(ids)
    }
}

/// Each writes what is of its family.
impl<A: FamilyNames> FamilyMaps<A> {
    fn put_backends(&self, backends: &[(u32, Backend)]) -> Result<(), MapError> {
        let of_family = backends.iter().filter(|(_, backend)| backend.to_map::<A>().is_some());
        let loads: Vec<_> = of_family.map(|(index, _)| (*index, BackendLoad::default())).collect();
        self.backend_loads.set(&loads)?;
        self.set_backends(backends)
    }

    fn set_backends(&self, backends: &[(u32, Backend)]) -> Result<(), MapError> {
        let elements = backends.iter().filter_map(|(index, backend)| Some((*index, backend.to_map()?)));
        self.backends.set(&elements.collect::<Vec<_>>())
    }

    fn set_source_ranges(&self, ranges: &[SourceRange]) -> Result<(), MapError> {
        let elements = ranges.iter().filter_map(|range| Some((range.to_map()?, 0)));
        self.source_ranges.set(&elements.collect::<Vec<_>>())
    }

    fn remove_source_ranges(&self, ranges: &[SourceRange]) -> Result<(), MapError> {
        self.source_ranges.delete(&ranges.iter().filter_map(|range| range.to_map()).collect::<Vec<_>>())
    }

    fn set_frontends(&self, frontends: &[(FrontendKey, Frontend)]) -> Result<(), MapError> {
        let elements = frontends.iter().filter_map(|(key, frontend)| Some((key.to_map()?, *frontend)));
        let elements: Vec<(_, Frontend)> = elements.collect();
        // Without its hint no program finds an address.
        let addresses = frontends.iter().filter(|(key, _)| key.is_address());
        let hinted = addresses.filter_map(|(key, _)| A::from_ip(key.address));
        self.hints.set(&hinted.map(|address| (hint::index(address), hint::SET)).collect::<Vec<_>>())?;
        self.frontends.set(&elements)
    }

    fn remove_frontends(&self, keys: &[FrontendKey]) -> Result<(), MapError> {
        self.frontends.delete(&keys.iter().filter_map(|key| key.to_map()).collect::<Vec<_>>())
    }
}

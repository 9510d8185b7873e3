//! Reads back what an earlier agent left in the pinned maps.

use super::{
    element::{Backend, FrontendKey},
    maps::{FamilyMaps, FamilyNames, Maps},
    state::{Contents, Limits},
    typed::MapError,
};
use std::sync::Arc;
use svc_lb_common::service::Service;

/// How many backends are read at once.
const BATCH: u32 = 4096;

impl Maps {
    /// How much the maps hold.
    pub fn limits(&self) -> Limits {
        Limits {
            services: self.services.capacity().min(self.counters.length()),
            slots: self.slots.length(),
            backends: self.v4.backends.length().min(self.v6.backends.length()),
            frontends: self.v4.frontends.capacity().min(self.v6.frontends.capacity()),
            source_ranges: self.v4.source_ranges.capacity().min(self.v6.source_ranges.capacity()),
        }
    }

    /// Everything that a sync writes.
    pub fn contents(&self) -> Result<Contents, MapError> {
        let mut contents = self.contents_without_slots()?;
        let services: Vec<Service> = contents.services.values().copied().collect();
        for range in services.iter().flat_map(|it| [it.cluster, it.local]) {
            contents.add_slots(range.first, &self.slots.range(range.first, range.length)?);
        }
        Ok(contents)
    }

    /// The same but for the slots, which may be millions: backends say themselves in which lists they are.
    pub fn contents_without_slots(&self) -> Result<Contents, MapError> {
        let mut contents = Contents::default();
        for (id, name) in self.names.dump()? {
            contents.names.insert(id, name.read().map(Arc::new));
        }
        contents.services.extend(self.services.dump()?);
        contents.backends.v4 = self.v4.backends()?;
        contents.backends.v6 = self.v6.backends()?;
        self.v4.frontends(&mut contents)?;
        self.v6.frontends(&mut contents)?;
        self.v4.source_ranges(&mut contents)?;
        self.v6.source_ranges(&mut contents)?;
        Ok(contents)
    }
}

impl<A: FamilyNames> FamilyMaps<A> {
    /// The backends up to the last one that was ever used: indexes are first used in their order.
    pub fn backends(&self) -> Result<Vec<Backend>, MapError> {
        let mut backends = Vec::new();
        for first in (0..self.backends.length()).step_by(BATCH as usize) {
            for backend in self.backends.range(first, BATCH)? {
                if backend.generation == 0 {
                    return Ok(backends);
                }
                backends.push(Backend::from(&backend));
            }
        }
        Ok(backends)
    }

    fn frontends(&self, contents: &mut Contents) -> Result<(), MapError> {
        for (key, frontend) in self.frontends.dump()? {
            contents.frontends.insert(FrontendKey::from(&key), frontend);
        }
        Ok(())
    }

    fn source_ranges(&self, contents: &mut Contents) -> Result<(), MapError> {
        contents.source_ranges.extend(self.source_ranges.dump()?.iter().filter_map(|(key, _)| key.read()));
        Ok(())
    }
}

//! What the maps hold, in words: for `get`, `status` and metrics. Everything serialises as it is
//! printed with `-o json`.

mod affinity;
mod flows;
mod services;
mod statistics;

pub use affinity::Affinity;
pub use flows::{Direction, Flow};
pub use services::{Backend, Counters, Frontend, Kind, Policy, Selection, Service, Type};
pub use statistics::{Fill, Finished, Statistics};

pub(super) use services::read as services;
pub(super) use statistics::read as statistics;

use super::{
    clock::Clock,
    error::DataplaneError,
    maps::{self, Maps},
    syscall::Access,
    typed::MapError,
};
use std::path::Path;

/// The pinned maps, opened for reading: works whether an agent runs or not.
#[derive(Debug)]
pub struct View {
    pub(super) maps: Maps,
    clock: Clock,
}

impl View {
    /// What is pinned under a pin directory.
    pub fn open(pin_dir: &Path) -> Result<Self, DataplaneError> {
        if !maps::directory(pin_dir).exists() {
            return Err(DataplaneError::NothingPinned { path: pin_dir.to_owned() });
        }
        Ok(Self { maps: Maps::open(pin_dir, Access::Read)?, clock: Clock::open(pin_dir)? })
    }

    /// The services with their frontends, backends and counters, by name.
    pub fn services(&self) -> Result<Vec<Service>, MapError> {
        services::read(&self.maps)
    }

    /// Every entry of the flow tables, by source and destination.
    pub fn flows(&self) -> Result<Vec<Flow>, DataplaneError> {
        Ok(flows::read(&self.maps, self.clock.now()?)?)
    }

    /// Which backends clients had last, by service and client.
    pub fn affinity(&self) -> Result<Vec<Affinity>, DataplaneError> {
        Ok(affinity::read(&self.maps, self.clock.now()?)?)
    }

    /// What the programs counted, and how full the tables are.
    pub fn statistics(&self) -> Result<Statistics, MapError> {
        let Maps { v4, v6, .. } = &self.maps;
        let flows = [v4.flows.count()?, v4.new_flows.count()?, v6.flows.count()?, v6.new_flows.count()?];
        statistics::read(&self.maps, flows)
    }
}

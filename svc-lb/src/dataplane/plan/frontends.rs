//! Frontends, and the entries of their addresses.

use super::{Planner, Refusal};
use crate::{
    compile::{FrontendKind, Ownership, Tables, Target},
    dataplane::element::FrontendKey,
};
use std::collections::BTreeSet;
use svc_lb_common::frontend::Frontend;

impl Planner<'_> {
    /// Brings frontends and addresses up to date.
    pub(super) fn answer(&mut self, tables: &Tables) {
        let mut wanted = 0;
        for (place, target) in &tables.frontends {
            // A service that was refused is in the refusals already.
            let Some(&service) = self.state.names.get(&target.service) else { continue };
            let is_virtual = tables.addresses.get(&place.address).is_some_and(|it| *it != Ownership::Node);
            let flags =
                self.frontend_flags(service, target, tables) | if is_virtual { Frontend::VIRTUAL } else { 0 };
            match self.put_frontend(place.into(), Frontend { service, flags }) {
                Ok(()) => wanted += 1,
                Err(limit) => self.plan.refusals.push(Refusal::Frontends(*place, limit)),
            }
        }
        for (&address, ownership) in &tables.addresses {
            let flags = match ownership {
                Ownership::ClusterIp => Frontend::VIRTUAL,
                Ownership::External => Frontend::VIRTUAL | Frontend::EXTERNAL,
                Ownership::Node => 0,
            };
            let key = FrontendKey::of_address(address);
            match self.put_frontend(key, Frontend { service: 0, flags }) {
                Ok(()) => wanted += 1,
                Err(limit) => self.plan.refusals.push(Refusal::Addresses(address, limit)),
            }
        }
        if self.state.frontends.len() > wanted {
            self.remove_frontends(tables);
        }
    }

    /// Who may use a frontend of a service, and who asks there.
    fn frontend_flags(&self, service: u32, target: &Target, tables: &Tables) -> u32 {
        match target.kind {
            FrontendKind::ClusterIp => 0,
            FrontendKind::NodePort => Frontend::EXTERNAL,
            FrontendKind::ExternalIp => Frontend::EXTERNAL | Frontend::EXTERNAL_IP,
            FrontendKind::LoadBalancer => {
                // Of a service whose change is refused, as it was: the ranges in force are those.
                let applied = self.state.services.get(&service).and_then(|entry| entry.applied.as_ref());
                let described = applied.or_else(|| tables.services.get(&target.service));
                let is_limited = described.is_some_and(|it| it.source_ranges.is_some());
                let limited = if is_limited { Frontend::LIMITED } else { 0 };
                Frontend::EXTERNAL | Frontend::LOAD_BALANCER | limited
            }
        }
    }

    /// Writes a frontend unless it is there; the limit if there are too many.
    fn put_frontend(&mut self, key: FrontendKey, frontend: Frontend) -> Result<(), u32> {
        let held = self.state.frontends.get(&key);
        if held == Some(&frontend) {
            return Ok(());
        }
        if held.is_none() {
            let count = self.state.frontend_counts.of_mut(key.family());
            if *count >= self.state.limits.frontends {
                return Err(self.state.limits.frontends);
            }
            *count += 1;
        }
        let new = &mut self.plan.new;
        let writes = if key.is_address() { &mut new.addresses } else { &mut new.frontends };
        writes.push((key, frontend));
        self.state.frontends.insert(key, frontend);
        Ok(())
    }

    fn remove_frontends(&mut self, tables: &Tables) {
        let mut wanted: BTreeSet<FrontendKey> =
            tables.addresses.keys().map(|address| FrontendKey::of_address(*address)).collect();
        let served = tables.frontends.iter().filter(|(_, it)| self.state.names.contains_key(&it.service));
        wanted.extend(served.map(|(place, _)| FrontendKey::from(place)));
        let mut gone: Vec<FrontendKey> =
            self.state.frontends.keys().filter(|key| !wanted.contains(key)).copied().collect();
        gone.sort_unstable();
        for key in gone {
            self.state.frontends.remove(&key);
            *self.state.frontend_counts.of_mut(key.family()) -= 1;
            let gone = &mut self.plan.gone;
            let keys = if key.is_address() { &mut gone.addresses } else { &mut gone.frontends };
            keys.push(key);
        }
    }
}

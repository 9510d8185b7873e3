//! Which backends clients had last (`sessionAffinity: ClientIP`).

use crate::dataplane::{
    element::{Backend, IN_CLUSTER, IN_LOCAL},
    maps::{FamilyMaps, FamilyNames, Maps},
    typed::MapError,
};
use serde::Serialize;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};
use svc_lb_common::affinity;

/// What a client of a service had last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affinity {
    /// `namespace/name` and, if the port has a name, `:port`; `None` once the service is gone.
    pub service: Option<String>,
    /// The service's number.
    pub service_id: u32,
    /// The client.
    pub client: IpAddr,
    /// Its backend; `None` once no new connection may get that.
    pub backend: Option<SocketAddr>,
    /// How long ago its last connection was opened, in seconds.
    pub age: u32,
    /// For how long it keeps the backend if it opens none, in seconds; 0: not any more.
    pub remaining: u32,
}

impl Affinity {
    /// Whether the client's next connection gets the same backend.
    pub fn is_in_force(&self) -> bool {
        self.service.is_some() && self.backend.is_some() && self.remaining > 0
    }
}

/// Every entry, by service and client. `now`: the dataplane's clock.
pub fn read(maps: &Maps, now: u32) -> Result<Vec<Affinity>, MapError> {
    let names = maps.names.dump()?.into_iter();
    let names = names.filter_map(|(id, name)| Some((id, name.read()?.to_string()))).collect();
    let timeouts = maps.services.dump()?.into_iter().map(|(id, service)| (id, service.affinity_timeout));
    let reader = Reader { names, timeouts: timeouts.collect(), now };
    let mut affinities = reader.read(&maps.v4)?;
    affinities.extend(reader.read(&maps.v6)?);
    affinities.sort_by(|one, other| {
        let order = |it: &Affinity| (it.service_id, it.client);
        one.service.cmp(&other.service).then(order(one).cmp(&order(other)))
    });
    Ok(affinities)
}

/// What the numbers in an entry mean.
struct Reader {
    names: HashMap<u32, String>,
    timeouts: HashMap<u32, u32>,
    now: u32,
}

impl Reader {
    fn read<A: FamilyNames>(&self, maps: &FamilyMaps<A>) -> Result<Vec<Affinity>, MapError> {
        let backends = maps.backends()?;
        let usable = |backend: &&Backend| backend.has(IN_CLUSTER | IN_LOCAL);
        let told = |(key, found): (affinity::AffinityKey<A>, affinity::Affinity)| {
            let backend = backends.get(found.backend as usize).filter(usable);
            let age = self.now.wrapping_sub(found.last_used).cast_signed().max(0).cast_unsigned();
            Affinity {
                service: self.names.get(&key.service).cloned(),
                service_id: key.service,
                client: key.client.to_ip(),
                backend: backend.filter(|it| it.generation == found.generation).map(|it| it.endpoint),
                age,
                remaining: self.timeouts.get(&key.service).map_or(0, |timeout| timeout.saturating_sub(age)),
            }
        };
        Ok(maps.affinities.dump()?.into_iter().map(told).collect())
    }
}

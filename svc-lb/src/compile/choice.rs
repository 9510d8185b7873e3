//! Which endpoints of a Service port new connections may get, by the rules of kube-proxy.

use super::tables::{Lists, Weighted};
use crate::cluster::Endpoint;
use std::net::SocketAddr;

/// Where this node is, in the words of the endpoints' hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of its Node.
    pub node: &'a str,
    /// The zone of its Node, if it has one.
    pub zone: Option<&'a str>,
}

impl Place<'_> {
    /// Whether an endpoint is on this node.
    pub(super) fn has(self, endpoint: &Endpoint) -> bool {
        endpoint.node.as_deref() == Some(self.node)
    }
}

/// Sorts the endpoints of one Service port and family, which are in the order of their addresses and ports, into
/// lists. That of this node is made if `local` says that a policy of the Service is `Local`; hints do not
/// matter there.
///
/// An endpoint that is ready, or serves while it terminates, keeps its connections also where it is in no list:
/// it may be in one again as soon as a nearer one goes.
pub fn lists(endpoints: &[Endpoint], place: Place<'_>, local: bool) -> Lists {
    let cluster = nearest(usable(endpoints.iter()), place);
    let local = if local { usable(endpoints.iter().filter(|it| place.has(it))) } else { Vec::new() };
    let mut lists = Lists {
        cluster: cluster.into_iter().map(weighted).collect(),
        local: local.into_iter().map(weighted).collect(),
        ..Lists::default()
    };
    let alive = endpoints.iter().filter(|it| it.ready || (it.serving && it.terminating)).map(socket_address);
    let is_in = |list: &[Weighted], endpoint| list.binary_search_by_key(&endpoint, |it| it.endpoint).is_ok();
    lists.draining = alive.filter(|it| !is_in(&lists.cluster, *it) && !is_in(&lists.local, *it)).collect();
    lists
}

/// The endpoints that are ready; if there are none, those that serve while they terminate.
fn usable<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone) -> Vec<&'a Endpoint> {
    let ready: Vec<_> = endpoints.clone().filter(|it| it.ready).collect();
    if ready.is_empty() { endpoints.filter(|it| it.serving && it.terminating).collect() } else { ready }
}

/// Those of the usable endpoints that are hinted at for this node, else for its zone, else all. Hints count if
/// every endpoint has one, and only while endpoints are ready.
fn nearest<'a>(usable: Vec<&'a Endpoint>, place: Place<'_>) -> Vec<&'a Endpoint> {
    if !usable.first().is_some_and(|it| it.ready) {
        return usable;
    }
    let hinted_at = |hints: fn(&Endpoint) -> &[String], here: Option<&str>| {
        let all_have_hints = usable.iter().all(|it| !hints(it).is_empty());
        let here = here.filter(|_| all_have_hints)?;
        let near = usable.iter().filter(|it| hints(it).iter().any(|hint| hint == here));
        Some(near.copied().collect::<Vec<_>>()).filter(|near| !near.is_empty())
    };
    let near = hinted_at(|it| &it.node_hints, Some(place.node));
    near.or_else(|| hinted_at(|it| &it.zone_hints, place.zone)).unwrap_or(usable)
}

fn weighted(endpoint: &Endpoint) -> Weighted {
    Weighted { endpoint: socket_address(endpoint), weight: endpoint.weight }
}

fn socket_address(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address, endpoint.port)
}

//! Which endpoints of a Service port new connections may get, by the rules of kube-proxy.

use super::tables::{Lists, Weighted};
use crate::cluster::Endpoint;
use std::{net::SocketAddr, sync::Arc};

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
    pub fn has(self, endpoint: &Endpoint) -> bool {
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
    let hinted_at = |hints: fn(&Endpoint) -> &[Arc<str>], here: Option<&str>| {
        let all_have_hints = usable.iter().all(|it| !hints(it).is_empty());
        let here = here.filter(|_| all_have_hints)?;
        let near = usable.iter().filter(|it| hints(it).iter().any(|hint| **hint == *here));
        Some(near.copied().collect::<Vec<_>>()).filter(|near| !near.is_empty())
    };
    let near = hinted_at(|it| it.hints.nodes(), Some(place.node));
    near.or_else(|| hinted_at(|it| it.hints.zones(), place.zone)).unwrap_or(usable)
}

fn weighted(endpoint: &Endpoint) -> Weighted {
    Weighted { endpoint: socket_address(endpoint), weight: endpoint.weight }
}

fn socket_address(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address, endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Hints;
    use std::net::{IpAddr, Ipv4Addr};

    const PLACE: Place<'_> = Place { node: "here", zone: Some("a") };

    /// An endpoint of another node, without hints. Its address ends in this number.
    fn ready(last: u8) -> Endpoint {
        Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
            port: 80,
            ready: true,
            serving: true,
            terminating: false,
            node: Some("there".into()),
            hints: Hints::default(),
            weight: 1,
        }
    }

    fn here(endpoint: Endpoint) -> Endpoint {
        Endpoint { node: Some("here".into()), ..endpoint }
    }

    fn leaving(endpoint: Endpoint) -> Endpoint {
        Endpoint { ready: false, terminating: true, ..endpoint }
    }

    fn failing(endpoint: Endpoint) -> Endpoint {
        Endpoint { ready: false, serving: false, ..endpoint }
    }

    /// With hints for nodes, then for zones, with a space between two.
    fn hinted(endpoint: Endpoint, nodes: &str, zones: &str) -> Endpoint {
        let names = |names: &str| names.split_whitespace().map(Into::into).collect();
        Endpoint { hints: Hints::new(names(nodes), names(zones)), ..endpoint }
    }

    /// The last numbers of the endpoints in the lists: cluster, local, draining.
    fn sorted(endpoints: &[Endpoint], place: Place<'_>) -> [Vec<u8>; 3] {
        let Lists { cluster, local, draining } = lists(endpoints, place, true);
        let last = |it: SocketAddr| match it.ip() {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        let listed = |list: Vec<Weighted>| list.into_iter().map(|it| last(it.endpoint)).collect();
        [listed(cluster), listed(local), draining.into_iter().map(last).collect()]
    }

    /// The list of the cluster, of endpoints that are all ready.
    fn near(hints: &[(&str, &str)], place: Place<'_>) -> Vec<u8> {
        let endpoints = (1..).zip(hints).map(|(last, (nodes, zones))| hinted(ready(last), nodes, zones));
        let [cluster, ..] = sorted(&endpoints.collect::<Vec<_>>(), place);
        cluster
    }

    #[test]
    fn hints_for_the_node_go_before_those_for_its_zone() {
        assert_eq!(near(&[("here", "b"), ("there", "a"), ("there", "b")], PLACE), [1]);
        assert_eq!(near(&[("there here", "a"), ("there", "a")], PLACE), [1], "one endpoint may have several");
    }

    #[test]
    fn without_an_endpoint_for_the_node_its_zone_counts() {
        assert_eq!(near(&[("there", "a"), ("there", "b"), ("there", "b a")], PLACE), [1, 3]);
        assert_eq!(near(&[("", "a"), ("", "b")], PLACE), [1]);
    }

    #[test]
    fn hints_count_only_if_every_endpoint_has_one() {
        assert_eq!(near(&[("here", "a"), ("", "b"), ("there", "a")], PLACE), [1, 3], "the zones do");
        assert_eq!(near(&[("here", "a"), ("", ""), ("there", "a")], PLACE), [1, 2, 3]);
        assert_eq!(near(&[("here", ""), ("there", "")], PLACE), [1], "the nodes do");
    }

    #[test]
    fn without_an_endpoint_near_all_are_chosen() {
        assert_eq!(near(&[("", "b"), ("", "c")], PLACE), [1, 2]);
        let nowhere = Place { zone: None, ..PLACE };
        assert_eq!(near(&[("", "a"), ("", "b")], nowhere), [1, 2], "this node has no zone");
    }

    #[test]
    fn what_is_not_ready_has_no_say_in_topology() {
        let endpoints = [hinted(ready(1), "", "a"), ready(2), hinted(ready(3), "", "b")];
        assert_eq!(sorted(&endpoints, PLACE)[0], [1, 2, 3]);
        let [one, two, three] = endpoints;
        assert_eq!(sorted(&[one.clone(), failing(two.clone()), three.clone()], PLACE)[0], [1]);
        assert_eq!(sorted(&[failing(one.clone()), leaving(two.clone()), three.clone()], PLACE)[0], [3]);
        assert_eq!(
            sorted(&[leaving(one), failing(two), leaving(three)], PLACE)[0],
            [1, 3],
            "both still serve"
        );
    }

    #[test]
    fn endpoints_of_this_node_know_no_topology() {
        let endpoints =
            [here(hinted(ready(1), "", "b")), here(hinted(ready(2), "", "a")), hinted(ready(3), "", "a")];
        assert_eq!(sorted(&endpoints, PLACE), [vec![2, 3], vec![1, 2], vec![]]);
    }

    #[test]
    fn the_fallback_to_endpoints_that_leave_is_decided_for_each_list() {
        let endpoints = [ready(1), here(failing(ready(2))), here(leaving(ready(3))), leaving(ready(4))];
        assert_eq!(sorted(&endpoints, PLACE), [vec![1], vec![3], vec![4]]);
        let endpoints = [leaving(ready(1)), here(leaving(ready(2)))];
        assert_eq!(sorted(&endpoints, PLACE), [vec![1, 2], vec![2], vec![]]);
    }

    #[test]
    fn an_endpoint_that_only_topology_leaves_out_keeps_its_connections() {
        let endpoints = [hinted(ready(1), "", "a"), hinted(ready(2), "", "b"), failing(ready(3))];
        assert_eq!(sorted(&endpoints, PLACE), [vec![1], vec![], vec![2]]);
    }

    #[test]
    fn an_endpoint_of_no_known_node_is_not_local() {
        let endpoints = [Endpoint { node: None, ..ready(1) }];
        assert_eq!(sorted(&endpoints, Place::default()), [vec![1], vec![], vec![]]);
        assert_eq!(lists(&[here(ready(1))], PLACE, false).local, [], "nobody asks for local ones");
    }
}

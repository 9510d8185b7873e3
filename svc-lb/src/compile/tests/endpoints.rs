//! Which endpoints new connections get, and which keep those that they have.

use super::*;
use crate::compile::{Lists, Weighted};
use std::{collections::BTreeSet, net::SocketAddr};

/// The lists that a Service gets whose endpoints are 10.0.0.1 and so on, with these conditions.
fn lists_of(conditions: &[&str]) -> Lists {
    let fields: Vec<_> =
        conditions.iter().map(|conditions| format!("conditions: {{{conditions}}}")).collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let yaml = service("web", "  clusterIP: 10.96.0.10\n  ports: [{port: 80}]\n")
        + &slice("web-1", "IPv4", &numbered(&fields));
    Lists::clone(&only_service(&compiled(&yaml)).lists)
}

/// Of the endpoints 10.0.0.1 and so on, those with these last numbers.
fn those<E: From<SocketAddr>, T: FromIterator<E>>(numbers: &[u8]) -> T {
    numbers.iter().map(|last| E::from(SocketAddr::from(([10, 0, 0, *last], 80)))).collect()
}

const READY: &str = "ready: true";
const LEAVING: &str = "ready: false, serving: true, terminating: true";
const LEFT: &str = "ready: false, serving: false, terminating: true";
const FAILING: &str = "ready: false, serving: false, terminating: false";

#[test]
fn an_endpoint_that_terminates_and_serves_drains() {
    let lists = lists_of(&[READY, LEAVING, LEFT, FAILING, READY]);
    assert_eq!(lists.cluster, those::<Weighted, Vec<_>>(&[1, 5]));
    assert_eq!(lists.draining, those::<SocketAddr, BTreeSet<_>>(&[2]));
}

#[test]
fn without_ready_endpoints_new_connections_get_those_that_terminate_and_serve() {
    let lists = lists_of(&[FAILING, LEAVING, LEFT, LEAVING]);
    assert_eq!(lists.cluster, those::<Weighted, Vec<_>>(&[2, 4]));
    assert_eq!(lists.draining, those::<SocketAddr, BTreeSet<_>>(&[]));
    assert_eq!(lists_of(&[FAILING, LEFT]), Lists::default());
}

#[test]
fn endpoints_of_several_slices_are_one_list_and_families_never_mix() {
    let spec = "  clusterIPs: ['fd00::10', 10.96.0.10]\n  ipFamilies: [IPv6, IPv4]\n  \
                ipFamilyPolicy: RequireDualStack\n  ports: [{port: 80}]\n";
    let yaml = service("web", spec)
        + &slice("a", "IPv4", &numbered(&["nodeName: a", "nodeName: a"]))
        + &slice("b", "IPv4", &numbered(&["nodeName: a"]))
        + &slice("c", "IPv6", &["{addresses: ['fd01::1']}".to_owned()])
        + &slice("d", "IPv4", &["{addresses: ['fd01::2']}".to_owned()]).replace("port: 80", "port: 81");
    assert_eq!(
        lines(&compiled(&yaml)),
        [
            "ClusterIp 10.96.0.10:80/TCP default/web → 10.0.0.1:80 10.0.0.2:80",
            "ClusterIp [fd00::10]:80/TCP default/web → [fd01::1]:80",
        ]
    );
}

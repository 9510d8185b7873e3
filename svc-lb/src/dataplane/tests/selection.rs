//! What decides who gets which backend, in the pinned maps.

use super::{add, in_namespaces, open, service};
use crate::{
    compile::{Algorithm, Family, FrontendKind, Ownership, Service, Tables, TrafficPolicy},
    dataplane::view::{self, Kind, Policy, Type, View},
};
use std::{path::Path, sync::Arc};
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6},
    affinity::{Affinity, AffinityKey},
};

/// A load balancer's service of each family, for some sources only.
fn tables() -> Tables {
    let mut tables = Tables::default();
    add(&mut tables, "web", "10.96.0.1", &["10.0.0.1:8080", "10.0.0.2:8080"]);
    add(&mut tables, "web", "fd96::1", &["[fd00::1]:8080"]);
    for target in tables.frontends.values_mut().filter(|it| it.kind == FrontendKind::ClusterIp) {
        target.kind = FrontendKind::LoadBalancer;
    }
    tables.addresses.values_mut().for_each(|it| *it = Ownership::External);
    for service in tables.services.values_mut() {
        service.source_ranges = Some(ranges(&["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]));
        service.external_policy = TrafficPolicy::Local;
        service.affinity_timeout = 300;
        let lists = Arc::make_mut(&mut service.lists);
        lists.local = lists.cluster[..1].to_vec();
    }
    tables.cluster_cidrs = ranges(&["10.244.0.0/16", "fd44::/56"]);
    tables
}

fn ranges<T: FromIterator<ipnet::IpNet>>(texts: &[&str]) -> T {
    texts.iter().map(|text| text.parse::<ipnet::IpNet>().expect("a range")).collect()
}

fn services(pin_dir: &Path) -> Vec<view::Service> {
    View::open(pin_dir).expect("pinned maps").services().expect("services")
}

fn v4(tables: &mut Tables) -> &mut Service {
    tables.services.get_mut(&service("web", Family::V4)).expect("the service")
}

#[test]
fn ranges_and_policies_are_in_the_maps_and_the_next_agent_finds_them() {
    in_namespaces(|pin_dir| {
        let mut tables = tables();
        open(pin_dir).sync(&tables).expect("a sync");
        let [web, web6] = &services(pin_dir)[..] else { panic!("not two services") };
        assert_eq!(web.source_ranges, ranges::<Vec<_>>(&["10.0.0.0/8", "192.0.2.7/32"]));
        assert_eq!(web6.source_ranges, ranges::<Vec<_>>(&["fd00::/8"]));
        assert_eq!((web.kind, web.selection.external_policy), (Type::LoadBalancer, Policy::Local));
        let limited = web.frontends.iter().map(|it| (it.kind, it.limited)).collect::<Vec<_>>();
        assert_eq!(limited, [(Kind::LoadBalancer, true), (Kind::NodePort, false)]);
        assert_eq!(web.usable(Policy::Local).count(), 1);
        let fill = View::open(pin_dir).expect("pinned maps").statistics().expect("statistics").tables;
        assert_eq!(["source_ranges_v4", "source_ranges_v6"].map(|it| fill[it].entries), [3, 2]);

        let mut next = open(pin_dir);
        assert_eq!(next.sync(&tables).expect("a sync").writes, 0);
        v4(&mut tables).source_ranges = None;
        tables.cluster_cidrs.clear();
        // A frontend; two ranges of the service and two of the cluster.
        assert_eq!(next.sync(&tables).expect("a sync").writes, 1 + 4);
        assert_eq!(services(pin_dir)[0].source_ranges, []);
        next.sync(&Tables::default()).expect("a sync");
        let fill = next.statistics().expect("statistics").tables;
        assert_eq!(["source_ranges_v4", "source_ranges_v6"].map(|it| fill[it].entries), [0, 0]);
    });
}

#[test]
fn many_ranges_are_read_back() {
    in_namespaces(|pin_dir| {
        let mut tables = tables();
        let many = (0..10_000_u32).map(|number| {
            let [_, _, high, low] = number.to_be_bytes();
            ipnet::IpNet::new([172, 16 + high / 16, high, low].into(), 32).expect("a range")
        });
        v4(&mut tables).source_ranges = Some(many.collect());
        open(pin_dir).sync(&tables).expect("a sync");
        assert_eq!(services(pin_dir)[0].source_ranges.len(), 10_000);
        assert_eq!(open(pin_dir).sync(&tables).expect("a sync").writes, 0);
    });
}

#[test]
fn a_maglev_table_is_written_once() {
    in_namespaces(|pin_dir| {
        let mut tables = tables();
        v4(&mut tables).algorithm = Algorithm::Maglev;
        let mut dataplane = open(pin_dir);
        assert!(dataplane.sync(&tables).expect("a sync").writes > 2 * 16_000);
        assert_eq!(dataplane.sync(&tables).expect("a sync").writes, 0);
        assert_eq!(open(pin_dir).sync(&tables).expect("a sync").writes, 0);
        v4(&mut tables).affinity_timeout = 600;
        assert_eq!(dataplane.sync(&tables).expect("a sync").writes, 1, "its slots stay");
    });
}

#[test]
fn a_clients_backend_is_told_while_it_is_usable() {
    in_namespaces(|pin_dir| {
        let mut tables = tables();
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables).expect("a sync");
        let now = dataplane.clock.now().expect("a clock");
        let listed = services(pin_dir);
        let affinity_to = |backend: &view::Backend, age| Affinity {
            backend: backend.index,
            generation: backend.generation,
            last_used: now - age,
        };
        let client = |service: u32, last: u8| AffinityKey {
            service,
            client: Ipv4::from_ip([192, 0, 2, last].into()).expect("an address"),
        };
        let entries = [
            (client(listed[0].id, 7), affinity_to(&listed[0].backends[1], 30)),
            (client(listed[0].id, 8), affinity_to(&listed[0].backends[1], 400)),
        ];
        dataplane.maps.v4.affinities.set(&entries).expect("affinity");
        let six = AffinityKey { service: listed[1].id, client: Ipv6::default() };
        dataplane.maps.v6.affinities.set(&[(six, affinity_to(&listed[1].backends[0], 0))]).expect("affinity");
        let told = || View::open(pin_dir).expect("pinned maps").affinity().expect("affinity");
        let [first, second, third] = &told()[..] else { panic!("not three entries") };
        assert_eq!(first.service.as_deref(), Some("default/web:http"));
        assert_eq!(
            (first.client.to_string(), first.backend),
            ("192.0.2.7".to_owned(), "10.0.0.2:8080".parse().ok())
        );
        assert!((265..=270).contains(&first.remaining) && first.is_in_force(), "{first:?}");
        assert_eq!((second.remaining, second.is_in_force()), (0, false));
        assert_eq!(third.backend, "[fd00::1]:8080".parse().ok());

        let lists = Arc::make_mut(&mut v4(&mut tables).lists);
        let leaving = lists.cluster.pop().expect("a backend");
        lists.draining.insert(leaving.endpoint);
        dataplane.sync(&tables).expect("a sync");
        assert!(told()[0].backend.is_none(), "it is in no list");
        tables.services.remove(&Arc::clone(&service("web", Family::V4)));
        tables.frontends.retain(|_, target| tables.services.contains_key(&target.service));
        dataplane.sync(&tables).expect("a sync");
        assert!(told()[0].service.is_none());
    });
}

//! What is in the pinned maps, and which agent goes on with them.

use super::{add, in_namespaces, open, options, service, tables};
use crate::{
    compile::{Family, Tables},
    dataplane::{
        Dataplane, DataplaneError, Options, maps,
        view::{Backend, Kind, Service, View},
    },
};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::Path,
    sync::Arc,
};

/// The endpoints of each service by family, as the pinned maps have them.
fn endpoints(pin_dir: &Path) -> BTreeMap<String, Vec<String>> {
    let services = View::open(pin_dir).expect("pinned maps").services().expect("services");
    let endpoints = |service: Service| {
        let backends = service.backends.iter();
        let text = backends.map(|it| SocketAddr::new(it.address, it.port).to_string()).collect();
        (format!("{} {}", service.full_name(), service.family), text)
    };
    services.into_iter().map(endpoints).collect()
}

#[test]
fn what_is_synced_is_in_the_pinned_maps_for_both_families() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let report = dataplane.sync(&tables()).expect("a sync");
        assert_eq!(report.refusals, []);
        // Two names, five backends, five slots, two services, three frontends, three addresses.
        assert_eq!(report.writes, 20);
        assert_eq!(dataplane.sync(&tables()).expect("a sync").writes, 0);

        let services = View::open(pin_dir).expect("pinned maps").services().expect("services");
        let [v4, v6] = &services[..] else { panic!("not two services: {services:?}") };
        assert_eq!(
            (v4.full_name(), v4.protocol.as_str(), v4.family.as_str()),
            ("default/web:http".to_owned(), "TCP", "IPv4")
        );
        assert_eq!(
            v4.frontends.iter().map(|it| (it.address.to_string(), it.port, it.kind)).collect::<Vec<_>>(),
            [("10.96.0.1".to_owned(), 80, Kind::ClusterIp), ("192.0.2.1".to_owned(), 30080, Kind::NodePort)]
        );
        assert!(v4.backends.iter().all(|it| it.cluster && it.port == 8080));
        assert_eq!(v6.family, "IPv6");
        assert_eq!(endpoints(pin_dir)["default/web:http IPv6"], ["[fd00::1]:8080", "[fd00::2]:8080"]);
    });
}

#[test]
fn the_next_agent_goes_on_where_the_last_one_stopped() {
    in_namespaces(|pin_dir| {
        open(pin_dir).sync(&tables()).expect("a sync");
        let before = View::open(pin_dir).expect("pinned maps").services().expect("services");
        let inode = |name| fs::metadata(maps::directory(pin_dir).join(name)).expect("a pin").ino();
        let flows = inode("FLOWS_V4");

        let mut next = open(pin_dir);
        assert_eq!(inode("FLOWS_V4"), flows);
        assert_eq!(next.sync(&tables()).expect("a sync").writes, 0);
        let mut changed = tables();
        add(&mut changed, "web", "10.96.0.1", &["10.0.0.1:8080", "10.0.0.4:8080"]);
        next.sync(&changed).expect("a sync");
        let after = View::open(pin_dir).expect("pinned maps").services().expect("services");
        assert_eq!(after[0].id, before[0].id);
        assert_eq!(
            after[0].backends[0], before[0].backends[0],
            "a backend that stays keeps its index and generation"
        );
        assert!(!before[0].backends.iter().any(|it| it.index == after[0].backends[1].index));
        assert_eq!(after[1], before[1]);
    });
}

#[test]
fn a_backend_that_drains_is_shown_until_it_is_gone_over_a_restart_too() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables()).expect("a sync");
        let backends =
            || View::open(pin_dir).expect("pinned maps").services().expect("services")[0].backends.clone();
        let before = backends();
        let mut draining = tables();
        add(&mut draining, "web", "10.96.0.1", &["10.0.0.1:8080", "10.0.0.3:8080"]);
        let gone = draining.clone();
        let service = draining.services.get_mut(&service("web", Family::V4)).expect("the service");
        Arc::make_mut(&mut service.lists).draining.insert("10.0.0.2:8080".parse().expect("an endpoint"));
        dataplane.sync(&draining).expect("a sync");
        let leaving = Backend { cluster: false, draining: true, ..before[1].clone() };
        assert_eq!(backends(), [before[0].clone(), before[2].clone(), leaving]);

        let mut next = open(pin_dir);
        assert_eq!(next.sync(&draining).expect("a sync").writes, 0);
        assert_eq!(next.sync(&gone).expect("a sync").writes, 1);
        assert_eq!(backends(), [before[0].clone(), before[2].clone()]);
    });
}

#[test]
fn a_large_load_is_in_force_and_goes_again() {
    in_namespaces(|pin_dir| {
        let mut tables = Tables::default();
        for number in 0..3000u32 {
            let [_, _, high, low] = number.to_be_bytes();
            let endpoints: Vec<String> = (1..=3).map(|it| format!("10.{it}.{high}.{low}:80")).collect();
            let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
            add(&mut tables, &format!("service-{number}"), &format!("10.96.{high}.{low}"), &endpoints);
        }
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables).expect("a sync");
        let found = endpoints(pin_dir);
        assert_eq!(found.len(), 3000);
        assert_eq!(
            found["default/service-2999:http IPv4"],
            ["10.1.11.183:80", "10.2.11.183:80", "10.3.11.183:80"]
        );
        assert_eq!(open(pin_dir).sync(&tables).expect("a sync").writes, 0);
        dataplane.sync(&Tables::default()).expect("a sync");
        let statistics = View::open(pin_dir).expect("pinned maps").statistics().expect("statistics");
        for table in ["services", "frontends_v4", "backends_v4"] {
            assert_eq!(statistics.tables[table].entries, 0, "{table}");
        }
    });
}

#[test]
fn a_pinned_map_of_another_size_is_made_anew_and_the_others_stay() {
    in_namespaces(|pin_dir| {
        open(pin_dir).sync(&tables()).expect("a sync");
        let larger = Options { flow_entries: 8192, ..options(pin_dir) };
        let mut dataplane = Dataplane::open(&larger).expect("a dataplane");
        assert_eq!(dataplane.sync(&tables()).expect("a sync").writes, 0, "the services stay");
        let statistics = dataplane.statistics().expect("statistics");
        assert_eq!(statistics.tables["flows_v4"].capacity, 8192);
        assert_eq!(statistics.tables["new_flows_v4"].capacity, 2048);
    });
}

/// Puts an array that is too small in the place of a pinned map.
fn replace(pin_dir: &Path, name: &str) {
    let path = maps::directory(pin_dir).join(name);
    fs::remove_file(&path).expect("a pin");
    aya::maps::Array::<_, u32>::create(16, 0).expect("a map").pin(&path).expect("a pin");
}

/// The pinned maps, by name and inode.
fn inodes(pin_dir: &Path) -> BTreeMap<String, u64> {
    let pins = fs::read_dir(maps::directory(pin_dir)).expect("pins").map(|pin| pin.expect("a pin"));
    pins.map(|pin| (pin.file_name().into_string().expect("a name"), pin.ino())).collect()
}

#[test]
fn services_and_slots_of_another_size_are_filled_anew_and_all_else_stays() {
    in_namespaces(|pin_dir| {
        open(pin_dir).sync(&tables()).expect("a sync");
        let services = || View::open(pin_dir).expect("pinned maps").services().expect("services");
        let before = (services(), inodes(pin_dir));
        replace(pin_dir, "SLOTS");
        let mut dataplane = open(pin_dir);
        assert_eq!(dataplane.statistics().expect("statistics").tables["services"].entries, 0);
        // Five slots, two services.
        assert_eq!(dataplane.sync(&tables()).expect("a sync").writes, 7);
        assert_eq!(services(), before.0, "the same ids, indexes and generations");
        let after = inodes(pin_dir);
        let new: Vec<_> = before.1.iter().filter(|(name, inode)| after[*name] != **inode).collect();
        assert_eq!(new.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["SERVICES", "SLOTS"]);
    });
}

#[test]
fn what_holds_numbers_that_mean_nothing_any_more_is_made_anew() {
    in_namespaces(|pin_dir| {
        open(pin_dir).sync(&tables()).expect("a sync");
        let before = inodes(pin_dir);
        replace(pin_dir, "BACKENDS_V4");
        let mut dataplane = open(pin_dir);
        assert_eq!(dataplane.statistics().expect("statistics").tables["services"].entries, 0);
        assert_eq!(dataplane.sync(&tables()).expect("a sync").writes, 20);
        assert_eq!(endpoints(pin_dir).len(), 2);
        let after = inodes(pin_dir);
        for name in ["FLOWS_V4", "NEW_FLOWS_V6", "SOCKETS", "SOCKET_PEERS", "CONNECTIONS", "AFFINITY_V4"] {
            assert_ne!(before[name], after[name], "{name} would be read by the old numbers");
        }
        assert_eq!(before["COUNTERS"], after["COUNTERS"]);
    });
}

#[test]
fn maps_of_another_layout_go_once_the_programs_are_loaded() {
    in_namespaces(|pin_dir| {
        let old = pin_dir.join("maps-v0");
        fs::create_dir_all(&old).expect("a directory");
        aya::maps::Array::<_, u32>::create(16, 0).expect("a map").pin(old.join("SLOTS")).expect("a pin");
        drop(open(pin_dir));
        assert!(!old.exists());
    });
}

#[test]
fn a_directory_outside_a_bpf_file_system_is_refused_in_words() {
    in_namespaces(|_| {
        let directory = tempfile::tempdir().expect("a directory");
        let Err(error) = Dataplane::open(&options(&directory.path().join("svc-lb"))) else {
            panic!("opened")
        };
        assert!(matches!(error, DataplaneError::NoBpfFs { .. }));
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"), "{error}");
    });
}

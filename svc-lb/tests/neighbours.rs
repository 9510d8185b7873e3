//! The keeper has the kernel keep neighbours, in a network namespace of its own.

mod common;

use common::ip;
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};
use svc_lb::node::{Keeper, Neighbour, remove_neighbours};

/// Runs an asynchronous test in a network namespace with a link `v0`, on which nobody answers.
fn in_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    common::in_namespace(|| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        ip("address add 192.0.2.1/24 dev v0");
        ip("address add 2001:db8::1/64 dev v0 nodad");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
}

fn neighbour(address: &str) -> Neighbour {
    let interface = nix::net::if_::if_nametoindex("v0").expect("the link");
    Neighbour { interface, address: address.parse().expect("an address") }
}

fn set(addresses: &[&str]) -> BTreeSet<Neighbour> {
    addresses.iter().map(|address| neighbour(address)).collect()
}

/// How the kernel shows a neighbour; empty if there is none.
fn shown(address: &str) -> String {
    let words = ["-d", "neighbour", "show", "to", address, "dev", "v0", "nud", "all"];
    let output = Command::new("ip").args(words).output().expect("iproute2 is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until a neighbour is shown so.
async fn until(what: &str, address: &str, condition: impl Fn(&str) -> bool) {
    let give_up = Instant::now() + Duration::from_secs(5);
    while !condition(&shown(address)) {
        assert!(Instant::now() < give_up, "never: {what}: {:?}", shown(address));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_kept(shown: &str) -> bool {
    shown.contains("managed") && shown.contains("proto 92")
}

#[test]
fn wanted_neighbours_are_managed_until_they_are_not_wanted_any_more() {
    in_namespace(async || {
        // This one is known already.
        ip("neighbour add 192.0.2.3 dev v0 lladdr 02:00:00:00:00:03 nud stale");
        let keeper = Keeper::start().expect("a keeper");
        keeper.keep(set(&["192.0.2.2", "192.0.2.3", "2001:db8::2"]));
        for address in ["192.0.2.2", "192.0.2.3", "2001:db8::2"] {
            until("managed", address, is_kept).await;
        }
        keeper.keep(set(&["192.0.2.2"]));
        for address in ["192.0.2.3", "2001:db8::2"] {
            until("gone", address, str::is_empty).await;
        }
        assert!(is_kept(&shown("192.0.2.2")));
    });
}

#[test]
fn a_neighbour_that_somebody_deletes_is_back_when_that_is_told() {
    in_namespace(async || {
        let keeper = Keeper::start().expect("a keeper");
        keeper.keep(set(&["192.0.2.2"]));
        until("managed", "192.0.2.2", is_kept).await;
        ip("neighbour del 192.0.2.2 dev v0");
        keeper.look();
        let told = Instant::now();
        until("managed again", "192.0.2.2", is_kept).await;
        assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    });
}

#[test]
fn what_somebody_set_stays_as_it_is() {
    in_namespace(async || {
        ip("neighbour add 192.0.2.2 dev v0 lladdr 02:00:00:00:00:02 nud permanent");
        ip("neighbour add 192.0.2.3 dev v0 lladdr 02:00:00:00:00:03 extern_learn");
        let before = [shown("192.0.2.2"), shown("192.0.2.3")];
        let keeper = Keeper::start().expect("a keeper");
        keeper.keep(set(&["192.0.2.2", "192.0.2.3", "192.0.2.4"]));
        until("managed", "192.0.2.4", is_kept).await;
        assert_eq!([shown("192.0.2.2"), shown("192.0.2.3")], before);
        keeper.keep(set(&[]));
        until("gone", "192.0.2.4", str::is_empty).await;
        assert_eq!([shown("192.0.2.2"), shown("192.0.2.3")], before);
    });
}

#[test]
fn stale_neighbours_that_flows_use_are_confirmed() {
    in_namespace(async || {
        for last in [2, 3] {
            ip(&format!("neighbour add 192.0.2.{last} dev v0 lladdr 02:00:00:00:00:0{last} nud stale"));
        }
        let keeper = Keeper::start().expect("a keeper");
        keeper.keep(set(&[]));
        keeper.confirm([(neighbour("192.0.2.2").interface, [2, 0, 0, 0, 0, 2])].into());
        until("asked", "192.0.2.2", |shown| !shown.contains("STALE")).await;
        assert!(shown("192.0.2.3").contains("STALE"), "nobody uses this one: {}", shown("192.0.2.3"));
    });
}

#[test]
fn the_next_keeper_takes_over_and_cleanup_leaves_nothing() {
    in_namespace(async || {
        ip("neighbour add 192.0.2.9 dev v0 lladdr 02:00:00:00:00:09 nud stale");
        let first = Keeper::start().expect("a keeper");
        first.keep(set(&["192.0.2.2", "192.0.2.3"]));
        until("managed", "192.0.2.3", is_kept).await;
        drop(first);
        let next = Keeper::start().expect("a keeper");
        next.keep(set(&["192.0.2.2"]));
        until("gone", "192.0.2.3", str::is_empty).await;
        assert!(is_kept(&shown("192.0.2.2")));
        drop(next);
        remove_neighbours().await.expect("a cleanup");
        assert_eq!(shown("192.0.2.2"), "");
        assert!(shown("192.0.2.9").contains("STALE"), "another's");
    });
}

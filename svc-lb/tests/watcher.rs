//! The watcher follows a network namespace of its own.

mod common;

use common::ip;
use std::time::{Duration, Instant};
use svc_lb::node::{Change, Hop, Interface, LinkLayer, Machine, Watcher};

/// Runs an asynchronous test in a network namespace of its own.
fn in_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    common::in_namespace(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
}

async fn watcher() -> Watcher {
    Watcher::start().await.expect("a watcher")
}

/// The next change, which must come soon.
async fn next(watcher: &mut Watcher, what: &str) -> Change {
    let change = tokio::time::timeout(Duration::from_secs(5), watcher.changed()).await;
    change.unwrap_or_else(|_| panic!("never: {what}: {:#?}", watcher.machine())).expect("a watcher")
}

/// Waits until the machine satisfies a condition, and says how long that took.
async fn until(watcher: &mut Watcher, what: &str, condition: impl Fn(&Machine) -> bool) -> Duration {
    let start = Instant::now();
    while !condition(watcher.machine()) {
        next(watcher, what).await;
    }
    start.elapsed()
}

/// Waits for a change of this kind.
async fn until_told(watcher: &mut Watcher, expected: &Change) {
    while next(watcher, "a change").await != *expected {}
}

/// Waits until there is nothing new.
async fn until_quiet(watcher: &mut Watcher) {
    while tokio::time::timeout(Duration::from_millis(300), watcher.changed()).await.is_ok() {}
}

fn interface<'a>(machine: &'a Machine, name: &str) -> Option<&'a Interface> {
    machine.interfaces.iter().find(|interface| interface.name == name)
}

fn ways(machine: &Machine, address: &str) -> Vec<Hop> {
    machine.routes.to(address.parse().expect("an address")).to_vec()
}

fn addresses(machine: &Machine, name: &str) -> Vec<String> {
    interface(machine, name)
        .map(|interface| interface.addresses.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

#[test]
fn what_is_there_at_the_start_is_read() {
    in_namespace(async || {
        ip("link add out type veth peer name far");
        ip("link set out address 02:00:00:00:00:07 up");
        ip("address add 192.0.2.1/24 dev out");
        ip("address add 192.0.2.2/24 dev out");
        ip("address add 2001:db8::1/64 dev out nodad");
        ip("link add name br0 type bridge");
        ip("link set out master br0 mtu 1400");
        let watcher = watcher().await;
        let machine = watcher.machine();
        let out = interface(machine, "out").expect("the interface");
        assert_eq!((out.kind.as_str(), out.mac, out.up), ("veth", Some([2, 0, 0, 0, 0, 7]), true));
        assert_eq!(addresses(machine, "out"), ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"]);
        let bridge = interface(machine, "br0").expect("the bridge");
        assert_eq!((bridge.kind.as_str(), out.mtu, out.master), ("bridge", 1400, Some(bridge.index)));
        let lo = interface(machine, "lo").expect("the loopback");
        assert_eq!((lo.link_layer, out.link_layer), (LinkLayer::Loopback, LinkLayer::Ethernet));
        assert!(machine.interfaces.is_sorted_by_key(|interface| interface.index));
    });
}

#[test]
fn an_interface_that_appears_is_known_within_a_tenth_of_a_second() {
    in_namespace(async || {
        let mut watcher = watcher().await;
        ip("link add vethpod1 type veth peer name eth0");
        let is_there = |machine: &Machine| interface(machine, "vethpod1").is_some();
        let took = until(&mut watcher, "an interface", is_there).await;
        assert!(took < Duration::from_millis(100), "{took:?}");
        ip("link delete vethpod1");
        until(&mut watcher, "no interface", |machine| interface(machine, "vethpod1").is_none()).await;
    });
}

#[test]
fn addresses_and_routes_are_followed() {
    in_namespace(async || {
        ip("link add out type veth peer name far");
        ip("link set far up");
        ip("link set out up");
        let mut watcher = watcher().await;
        let index = interface(watcher.machine(), "out").expect("the interface").index;
        let is_default = |machine: &Machine| machine.routes.defaults().contains(&index);
        assert!(!is_default(watcher.machine()));
        ip("route add default dev out");
        until(&mut watcher, "a default route", is_default).await;
        // The kernel takes the route away without a word.
        ip("link set out down");
        until(&mut watcher, "no default route", |machine| !is_default(machine)).await;
        ip("link set out up");
        ip("address add 192.0.2.1/24 dev out");
        let has_address = |machine: &Machine| addresses(machine, "out") == ["192.0.2.1/24"];
        until(&mut watcher, "an address", has_address).await;
        let on_link = Hop { interface: index, gateway: None };
        until(&mut watcher, "its route", |machine| ways(machine, "192.0.2.7") == [on_link]).await;
        ip("route add 10.0.0.0/8 nexthop via 192.0.2.7 dev out nexthop via inet6 fe80::7 dev out");
        let by = |gateway: &str| Hop { gateway: gateway.parse().ok(), ..on_link };
        let both = [by("192.0.2.7"), by("fe80::7")];
        until(&mut watcher, "both ways", |machine| ways(machine, "10.0.0.1") == both).await;
        ip("nexthop add id 7 via 192.0.2.9 dev out");
        ip("route add 10.1.0.0/16 nhid 7");
        let by_object = [by("192.0.2.9")];
        until(&mut watcher, "a way of a next-hop object", |it| ways(it, "10.1.0.1") == by_object).await;
        // This route, too, goes without a word; only the object's end is told.
        ip("nexthop del id 7");
        until(&mut watcher, "no such way", |machine| ways(machine, "10.1.0.1") == both).await;
        ip("address delete 192.0.2.1/24 dev out");
        until(&mut watcher, "no address", |machine| addresses(machine, "out").is_empty()).await;
    });
}

#[test]
fn whatever_changes_the_ways_of_packets_is_told() {
    in_namespace(async || {
        ip("link add out type veth peer name far");
        ip("link set far up");
        ip("link set out up");
        ip("address add 192.0.2.1/24 dev out");
        let mut watcher = watcher().await;
        for change in [
            "route add 10.0.0.0/8 via 192.0.2.7",
            "route add 10.0.0.0/8 via 192.0.2.7 table 100",
            "rule add to 10.0.0.0/8 table 100",
            "-6 rule add to fd00::/64 table 100",
            "nexthop add id 7 via 192.0.2.9 dev out",
            "link set out mtu 1400",
            "address add 192.0.2.2/24 dev out",
        ] {
            until_quiet(&mut watcher).await;
            ip(change);
            until_told(&mut watcher, &Change::Ways).await;
        }
    });
}

#[test]
fn a_neighbour_is_news_when_it_moves_or_goes() {
    in_namespace(async || {
        ip("link add out type veth peer name far");
        ip("link set far up");
        ip("link set out up");
        ip("address add 192.0.2.1/24 dev out");
        let mut watcher = watcher().await;
        let index = interface(watcher.machine(), "out").expect("the interface").index;
        let news = Change::Neighbours([index].into());
        until_quiet(&mut watcher).await;
        for quiet in ["lladdr 02:00:00:00:00:02 nud reachable", "lladdr 02:00:00:00:00:02 nud stale"] {
            ip(&format!("neighbour replace 192.0.2.2 dev out {quiet}"));
            let change = tokio::time::timeout(Duration::from_millis(300), watcher.changed()).await;
            assert!(change.is_err(), "{quiet}: {change:?}");
        }
        ip("neighbour replace 192.0.2.2 dev out lladdr 02:00:00:00:00:03 nud reachable");
        until_told(&mut watcher, &news).await;
        ip("neighbour del 192.0.2.2 dev out");
        until_told(&mut watcher, &news).await;
    });
}

#[test]
fn messages_that_were_lost_do_not_matter() {
    in_namespace(async || {
        let mut watcher = watcher().await;
        // More messages than a socket buffer holds, none of which is read meanwhile.
        ip("link add out type veth peer name far");
        for _ in 0..400 {
            ip("link set out up");
            ip("link set out down");
        }
        ip("link add vethlast type veth peer name eth0");
        until(&mut watcher, "the last interface", |machine| interface(machine, "vethlast").is_some()).await;
    });
}

#[test]
fn a_dropped_wait_loses_no_change() {
    in_namespace(async || {
        let mut watcher = watcher().await;
        ip("link add vethpod1 type veth peer name eth0");
        let gone = Instant::now() + Duration::from_secs(5);
        while interface(watcher.machine(), "vethpod1").is_none() {
            assert!(Instant::now() < gone, "the change was lost");
            let _ = tokio::time::timeout(Duration::from_micros(50), watcher.changed()).await;
        }
    });
}

//! The watcher follows a network namespace of its own.

mod common;

use common::ip;
use std::time::{Duration, Instant};
use svc_lb::node::{Facts, Interface, Role, Roles, Watcher};

/// Runs an asynchronous test in a network namespace of its own.
fn in_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    common::in_namespace(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
}

async fn watcher() -> Watcher {
    let roles = Roles::new(&[], &["veth*".to_owned()]).expect("valid globs");
    Watcher::start(roles).await.expect("a watcher")
}

/// Waits until the facts satisfy a condition, and says how long that took.
async fn until(watcher: &mut Watcher, what: &str, condition: impl Fn(&Facts) -> bool) -> Duration {
    let start = Instant::now();
    while !condition(watcher.facts()) {
        let change = tokio::time::timeout(Duration::from_secs(5), watcher.changed()).await;
        change.unwrap_or_else(|_| panic!("never: {what}: {:#?}", watcher.facts())).expect("a watcher");
    }
    start.elapsed()
}

fn interface<'a>(facts: &'a Facts, name: &str) -> Option<&'a Interface> {
    facts.interfaces.iter().find(|interface| interface.name == name)
}

fn addresses(facts: &Facts, name: &str) -> Vec<String> {
    interface(facts, name)
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
        let watcher = watcher().await;
        let facts = watcher.facts();
        let out = interface(facts, "out").expect("the interface");
        assert_eq!((out.kind.as_str(), out.mac, out.up), ("veth", Some([2, 0, 0, 0, 0, 7]), true));
        assert_eq!(addresses(facts, "out"), ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"]);
        assert!(matches!(out.role, Role::Uplink(_)), "{out:?}");
        assert_eq!(interface(facts, "lo").map(|lo| &lo.role), Some(&Role::None("loopback".to_owned())));
        assert_eq!(interface(facts, "br0").map(|bridge| bridge.kind.as_str()), Some("bridge"));
        assert!(facts.interfaces.is_sorted_by_key(|interface| interface.index));
    });
}

#[test]
fn an_interface_that_appears_is_known_within_a_tenth_of_a_second() {
    in_namespace(async || {
        let mut watcher = watcher().await;
        ip("link add vethpod1 type veth peer name eth0");
        let is_pod =
            |facts: &Facts| interface(facts, "vethpod1").is_some_and(|pod| matches!(pod.role, Role::Pod(_)));
        let took = until(&mut watcher, "a pod interface", is_pod).await;
        assert!(took < Duration::from_millis(100), "{took:?}");
        ip("link delete vethpod1");
        until(&mut watcher, "no pod interface", |facts| interface(facts, "vethpod1").is_none()).await;
    });
}

#[test]
fn addresses_and_default_routes_make_and_unmake_an_uplink() {
    in_namespace(async || {
        ip("link add out type veth peer name far");
        ip("link set far up");
        ip("link set out up");
        let mut watcher = watcher().await;
        let is_uplink =
            |facts: &Facts| interface(facts, "out").is_some_and(|out| matches!(out.role, Role::Uplink(_)));
        assert!(!is_uplink(watcher.facts()));
        ip("route add default dev out");
        until(&mut watcher, "an uplink by its default route", is_uplink).await;
        // The kernel takes the route away without a word.
        ip("link set out down");
        until(&mut watcher, "no uplink without the route", |facts| !is_uplink(facts)).await;
        ip("address add 192.0.2.1/24 dev out");
        until(&mut watcher, "an uplink by its address", is_uplink).await;
        ip("address delete 192.0.2.1/24 dev out");
        until(&mut watcher, "no uplink without the address", |facts| !is_uplink(facts)).await;
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
        until(&mut watcher, "the last interface", |facts| interface(facts, "vethlast").is_some()).await;
    });
}

#[test]
fn a_dropped_wait_loses_no_change() {
    in_namespace(async || {
        let mut watcher = watcher().await;
        ip("link add vethpod1 type veth peer name eth0");
        let gone = Instant::now() + Duration::from_secs(5);
        while interface(watcher.facts(), "vethpod1").is_none() {
            assert!(Instant::now() < gone, "the change was lost");
            let _ = tokio::time::timeout(Duration::from_micros(50), watcher.changed()).await;
        }
    });
}

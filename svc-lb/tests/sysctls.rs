//! Sysctls of a network namespace of its own are set, and come back.

mod common;

use std::fs;
use svc_lb::{
    node::{Interface, PortSet, Role, Sysctls, restore_sysctls},
    state_dir::StateDir,
};
use svc_lb_common::snat::PortRange;

/// Runs a test in a network namespace with the interfaces `up1` and `vethpod1`, and gives it a state
/// directory.
fn in_namespace(test: fn(&StateDir)) {
    common::in_namespace(move || {
        common::ip("link add up1 type veth peer name vethpod1");
        let directory = tempfile::tempdir().expect("a directory");
        test(&StateDir::new(directory.path()));
    });
}

fn read(path: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/{path}")).expect("a sysctl").trim().to_owned()
}

fn write(path: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{path}"), value).expect("a sysctl");
}

/// Every setting of every interface, and the ports.
fn everything() -> Vec<(String, String)> {
    let mut all = vec![("reserved".to_owned(), read("ipv4/ip_local_reserved_ports"))];
    for family in ["ipv4", "ipv6"] {
        for interface in ["all", "default", "lo", "up1", "vethpod1"] {
            for name in ["forwarding", "send_redirects", "accept_redirects", "accept_ra"] {
                let path = format!("{family}/conf/{interface}/{name}");
                if fs::exists(format!("/proc/sys/net/{path}")).is_ok_and(|exists| exists) {
                    all.push((path.clone(), read(&path)));
                }
            }
        }
    }
    all
}

fn interface(index: u32, name: &str, role: Role) -> Interface {
    Interface { index, name: name.to_owned(), role, ..Interface::default() }
}

fn interfaces() -> [Interface; 3] {
    [
        interface(1, "lo", Role::None(String::new())),
        interface(2, "vethpod1", Role::Pod(String::new())),
        interface(3, "up1", Role::Uplink(String::new())),
    ]
}

fn ports() -> PortSet {
    PortSet::of(&[PortRange { first: 10000, last: 29999 }, PortRange { first: 30000, last: 32767 }])
}

#[test]
fn forwarding_is_turned_on_and_everything_comes_back() {
    in_namespace(|state| {
        write("ipv4/ip_local_reserved_ports", "8080,30000-30010");
        write("ipv6/conf/up1/forwarding", "1");
        write("ipv4/conf/all/accept_redirects", "0");
        let before = everything();
        let mut sysctls = Sysctls::open(state.clone(), true).expect("a state directory");
        assert_eq!(sysctls.apply(&interfaces(), &ports()).expect("a state directory"), [""; 0]);
        for interface in ["up1", "vethpod1"] {
            assert_eq!(read(&format!("ipv4/conf/{interface}/forwarding")), "1");
            assert_eq!(read(&format!("ipv4/conf/{interface}/send_redirects")), "0");
            assert_eq!(read(&format!("ipv6/conf/{interface}/forwarding")), "1");
        }
        assert_eq!(read("ipv6/conf/all/forwarding"), "1");
        assert_eq!(read("ipv4/conf/all/send_redirects"), "0");
        assert_eq!(read("ipv4/ip_local_reserved_ports"), "8080,10000-32767");
        assert_eq!(restore_sysctls(state).expect("a state directory"), [""; 0]);
        assert_eq!(everything(), before);
        assert_eq!(state.path().read_dir().map(Iterator::count).expect("a directory"), 0);
    });
}

#[test]
fn an_uplink_goes_on_hearing_routers_and_a_pod_is_not_heard() {
    in_namespace(|state| {
        write("ipv6/conf/up1/accept_ra", "1");
        write("ipv6/conf/vethpod1/accept_ra", "1");
        let mut sysctls = Sysctls::open(state.clone(), true).expect("a state directory");
        sysctls.apply(&interfaces(), &ports()).expect("a state directory");
        assert_eq!(read("ipv6/conf/up1/accept_ra"), "2");
        assert_eq!(read("ipv6/conf/vethpod1/accept_ra"), "1");
        // What a later agent finds is not what was there before.
        let mut later = Sysctls::open(state.clone(), true).expect("a state directory");
        write("ipv6/conf/up1/accept_ra", "1");
        later.apply(&interfaces(), &ports()).expect("a state directory");
        assert_eq!(read("ipv6/conf/up1/accept_ra"), "2");
        restore_sysctls(state).expect("a state directory");
        assert_eq!(read("ipv6/conf/up1/accept_ra"), "1");
        assert_eq!(read("ipv6/conf/all/forwarding"), "0");
    });
}

#[test]
fn where_the_node_forwards_already_accept_ra_is_not_ours() {
    in_namespace(|state| {
        write("ipv6/conf/all/forwarding", "1");
        write("ipv6/conf/up1/accept_ra", "1");
        let mut sysctls = Sysctls::open(state.clone(), true).expect("a state directory");
        sysctls.apply(&interfaces(), &ports()).expect("a state directory");
        assert_eq!(read("ipv6/conf/up1/accept_ra"), "1");
    });
}

#[test]
fn other_ports_replace_those_of_an_earlier_start() {
    in_namespace(|state| {
        write("ipv4/ip_local_reserved_ports", "20000");
        let start = |first, last| {
            let mut sysctls = Sysctls::open(state.clone(), true).expect("a state directory");
            let ports = PortSet::of(&[PortRange { first, last }]);
            sysctls.apply(&interfaces(), &ports).expect("a state directory");
            read("ipv4/ip_local_reserved_ports")
        };
        assert_eq!(start(10000, 10999), "10000-10999,20000");
        assert_eq!(start(20000, 20999), "20000-20999");
        restore_sysctls(state).expect("a state directory");
        assert_eq!(read("ipv4/ip_local_reserved_ports"), "20000");
    });
}

#[test]
fn what_was_remembered_before_the_machine_started_is_nothing() {
    in_namespace(|state| {
        let saved =
            r#"{"boot": "another", "values": {"net/ipv6/conf/up1/accept_ra": "0"}, "reservedPorts": "8080"}"#;
        fs::write(state.path().join("sysctls.json"), saved).expect("a file");
        write("ipv4/ip_local_reserved_ports", "8080");
        let before = everything();
        restore_sysctls(state).expect("a state directory");
        assert_eq!(everything(), before);
        assert!(!state.path().join("sysctls.json").exists());
    });
}

#[test]
fn what_may_not_be_set_is_named_and_left() {
    in_namespace(|state| {
        let before = everything();
        let mut sysctls = Sysctls::open(state.clone(), false).expect("a state directory");
        let missing = sysctls.apply(&interfaces(), &ports()).expect("a state directory").join("\n");
        for expected in [
            "net.ipv4.conf.*.forwarding should be 1 for up1, vethpod1",
            "net.ipv6.conf.*.forwarding should be 1 for all, up1, vethpod1",
            "net.ipv4.ip_local_reserved_ports should hold 10000-32767",
        ] {
            assert!(missing.contains(expected), "{missing}");
        }
        assert_eq!(everything(), before);
    });
}

#[test]
fn the_ephemeral_range_is_the_kernels() {
    in_namespace(|state| {
        write("ipv4/ip_local_port_range", "40000 50000");
        let sysctls = Sysctls::open(state.clone(), true).expect("a state directory");
        assert_eq!(sysctls.ephemeral_ports(), PortRange { first: 40000, last: 50000 });
    });
}

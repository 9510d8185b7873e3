//! Programs on interfaces: attached, replaced, detached.

use super::{NODE, in_namespaces, open, options, tables};
use crate::{
    dataplane::{Dataplane, Options, cleanup, syscall},
    node::{Facts, Interface, Role},
    options::XdpMode,
    status::{Attachment, Hook},
};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};
use svc_lb_common::{address::Address, interface as map};

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {words}");
}

/// Makes a veth pair.
fn veth(name: &str) {
    ip(&format!("link add {name} type veth peer name {name}p"));
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).expect("the interface is there")
}

fn interface(name: &str, kind: &str, role: Role) -> Interface {
    Interface {
        index: index(name),
        name: name.to_owned(),
        kind: kind.to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        role,
        ..Interface::default()
    }
}

fn uplink(name: &str, kind: &str) -> Interface {
    interface(name, kind, Role::Uplink("a test".to_owned()))
}

fn pod(name: &str) -> Interface {
    interface(name, "veth", Role::Pod("a test".to_owned()))
}

/// Sets the interfaces; how each program is attached, in the order of the result.
fn set(dataplane: &mut Dataplane, interfaces: &[Interface]) -> Vec<(String, Option<Hook>)> {
    let facts = Facts { interfaces: interfaces.to_vec() };
    let attachments = dataplane.set_interfaces(&facts, &[NODE]).expect("maps and pins");
    attachments.into_iter().map(|Attachment { program, by, .. }| (program, by)).collect()
}

/// The ids of the tcx programs at both hooks of an interface.
fn programs(name: &str) -> (Vec<u32>, Vec<u32>) {
    let at = |direction| {
        let (_, programs) = SchedClassifier::query_tcx(name, direction).expect("the interface is there");
        programs.iter().map(ProgramInfo::id).collect()
    };
    (at(TcAttachType::Ingress), at(TcAttachType::Egress))
}

/// Whether an XDP program is attached, and in the stack instead of the driver.
fn xdp(name: &str) -> Option<&'static str> {
    let output =
        Command::new("ip").args(["link", "show", "dev", name]).output().expect("iproute2 is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text {
        text if text.contains(" xdpgeneric ") => Some("generic"),
        text if text.contains(" xdp ") => Some("native"),
        _ => None,
    }
}

/// Names of the pins in a directory.
fn pins(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory of pins");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("a pin").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn interfaces_get_their_programs_and_lose_them() {
    in_namespaces(|pin_dir| {
        veth("up0");
        veth("pod0");
        let mut dataplane = open(pin_dir);
        let tc = |name: &str| (name.to_owned(), Some(Hook::Tcx));
        let attached = set(&mut dataplane, &[uplink("up0", "veth"), pod("pod0")]);
        let no_xdp = ("xdp_uplink".to_owned(), None);
        let expected = [
            tc("tc_uplink_ingress"),
            tc("tc_uplink_egress"),
            no_xdp,
            tc("tc_pod_ingress"),
            tc("tc_pod_egress"),
        ];
        assert_eq!(attached, expected);
        assert_eq!(
            pins(pin_dir.join("links")),
            ["pod0-tc_pod_egress", "pod0-tc_pod_ingress", "up0-tc_uplink_egress", "up0-tc_uplink_ingress"]
        );
        let before = (programs("up0"), programs("pod0"));
        assert_eq!((before.0.0.len(), before.0.1.len(), before.1.0.len(), before.1.1.len()), (1, 1, 1, 1));
        assert_eq!(set(&mut dataplane, &[uplink("up0", "veth"), pod("pod0")]), expected);
        assert_eq!((programs("up0"), programs("pod0")), before);

        set(&mut dataplane, &[pod("pod0")]);
        assert_eq!(programs("up0"), (vec![], vec![]));
        assert_eq!(programs("pod0"), before.1);
        // From pod to uplink: the old programs go, the new ones come.
        set(&mut dataplane, &[uplink("pod0", "veth")]);
        assert_eq!(pins(pin_dir.join("links")), ["pod0-tc_uplink_egress", "pod0-tc_uplink_ingress"]);
    });
}

#[test]
fn the_next_agent_replaces_the_programs_in_place() {
    in_namespaces(|pin_dir| {
        veth("up0");
        let links = || {
            let links = pins(pin_dir.join("links"));
            links
                .iter()
                .map(|pin| fs::metadata(pin_dir.join("links").join(pin)).expect("a pin").ino())
                .collect::<Vec<_>>()
        };
        let native = Options { xdp_mode: XdpMode::Native, ..options(pin_dir) };
        let mut first = Dataplane::open(&native).expect("a dataplane");
        set(&mut first, &[uplink("up0", "veth")]);
        let (before, pinned) = (programs("up0"), links());
        drop(first);
        assert_eq!(programs("up0"), before, "an agent that goes leaves its programs");
        assert_eq!(xdp("up0"), Some("native"));

        let mut next = Dataplane::open(&native).expect("a dataplane");
        set(&mut next, &[uplink("up0", "veth")]);
        let after = programs("up0");
        assert_eq!((after.0.len(), after.1.len()), (1, 1));
        assert_ne!(after, before);
        assert_eq!(links(), pinned, "the links are the same");
    });
}

#[test]
fn an_interface_that_comes_back_is_attached_to_anew() {
    in_namespaces(|pin_dir| {
        veth("pod0");
        let mut dataplane = open(pin_dir);
        set(&mut dataplane, &[pod("pod0")]);
        for agent_restarts in [false, true] {
            let old = index("pod0");
            ip("link del pod0");
            veth("other");
            veth("pod0");
            ip("link del other");
            assert_ne!(index("pod0"), old);
            if agent_restarts {
                dataplane = open(pin_dir);
            }
            assert!(set(&mut dataplane, &[pod("pod0")]).iter().all(|(_, by)| *by == Some(Hook::Tcx)));
            let (ingress, egress) = programs("pod0");
            assert_eq!((ingress.len(), egress.len()), (1, 1));
        }
        ip("link del pod0");
        assert_eq!(set(&mut dataplane, &[]), []);
        assert_eq!(pins(pin_dir.join("links")), [""; 0]);
    });
}

#[test]
fn interfaces_with_dots_in_their_names_are_served() {
    in_namespaces(|pin_dir| {
        ip("link add eth0.100 type veth peer name peer");
        let mut dataplane = open(pin_dir);
        let attached = set(&mut dataplane, &[pod("eth0.100")]);
        assert!(attached.iter().all(|(_, by)| *by == Some(Hook::Tcx)), "{attached:?}");
        set(&mut dataplane, &[]);
        assert_eq!(programs("eth0.100"), (vec![], vec![]));
    });
}

#[test]
fn xdp_is_attached_in_the_mode_that_was_asked_for() {
    in_namespaces(|pin_dir| {
        veth("up0");
        let modes = [
            (XdpMode::Native, Some(Hook::NativeXdp), Some("native")),
            (XdpMode::Generic, Some(Hook::GenericXdp), Some("generic")),
            (XdpMode::Off, None, None),
            (XdpMode::Generic, Some(Hook::GenericXdp), Some("generic")),
            (XdpMode::Native, Some(Hook::NativeXdp), Some("native")),
            (XdpMode::Auto, None, None),
        ];
        // Each agent finds what the one before it attached.
        for (xdp_mode, by, shown) in modes {
            let mut dataplane =
                Dataplane::open(&Options { xdp_mode, ..options(pin_dir) }).expect("a dataplane");
            let attached = set(&mut dataplane, &[uplink("up0", "veth")]);
            assert!(attached.contains(&("xdp_uplink".to_owned(), by)), "{xdp_mode}: {attached:?}");
            assert_eq!(xdp("up0"), shown, "{xdp_mode}");
        }
    });
}

#[test]
fn a_foreign_xdp_program_stays_and_tc_does_the_work() {
    in_namespaces(|pin_dir| {
        veth("up0");
        let native = Options { xdp_mode: XdpMode::Native, ..options(&pin_dir.with_file_name("other")) };
        let mut other = Dataplane::open(&native).expect("a dataplane");
        set(&mut other, &[uplink("up0", "veth")]);

        let native = Options { xdp_mode: XdpMode::Native, ..options(pin_dir) };
        let mut dataplane = Dataplane::open(&native).expect("a dataplane");
        let facts = Facts { interfaces: vec![uplink("up0", "veth")] };
        let attachments = dataplane.set_interfaces(&facts, &[NODE]).expect("maps and pins");
        let xdp = attachments.iter().find(|it| it.program == "xdp_uplink").expect("it is in the list");
        assert_eq!((xdp.by, xdp.reason.as_str()), (None, "another XDP program is attached"));
        assert_eq!(programs("up0").0.len(), 2, "tc is attached beside the other's");

        cleanup(&pin_dir.with_file_name("other")).expect("a cleanup");
        let attached = set(&mut dataplane, &[uplink("up0", "veth")]);
        assert!(attached.contains(&("xdp_uplink".to_owned(), Some(Hook::NativeXdp))), "it is tried again");
    });
}

#[test]
fn nothing_is_left_after_cleanup() {
    in_namespaces(|pin_dir| {
        veth("up0");
        let native = Options { xdp_mode: XdpMode::Native, ..options(pin_dir) };
        let mut dataplane = Dataplane::open(&native).expect("a dataplane");
        dataplane.sync(&tables()).expect("a sync");
        set(&mut dataplane, &[uplink("up0", "veth")]);
        dataplane.detach().expect("a cleanup");
        assert!(!pin_dir.exists());
        assert_eq!((programs("up0"), xdp("up0")), ((vec![], vec![]), None));
        cleanup(pin_dir).expect("there is nothing to clean up");
    });
}

#[test]
fn the_programs_know_their_interface_before_they_are_attached_and_until_they_are_gone() {
    in_namespaces(|pin_dir| {
        veth("up0");
        veth("pod0");
        let native = Options { xdp_mode: XdpMode::Native, ..options(pin_dir) };
        let entry = |dataplane: &Dataplane, name| {
            dataplane.maps.interfaces.range(index(name), 1).expect("an element")[0]
        };
        let mut dataplane = Dataplane::open(&native).expect("a dataplane");
        let mut up = uplink("up0", "veth");
        up.addresses = vec!["198.51.100.7/24".parse().expect("an address")];
        set(&mut dataplane, &[up, pod("pod0")]);
        let (up, pod) = (entry(&dataplane, "up0"), entry(&dataplane, "pod0"));
        assert_eq!(up.flags, map::Interface::UPLINK | map::Interface::XDP);
        assert_eq!(up.addresses.v4.to_ip().to_string(), "198.51.100.7");
        assert_eq!((pod.flags, pod.addresses.v4.to_ip()), (map::Interface::POD, NODE));
        assert_eq!(dataplane.maps.settings.range(0, 1).expect("settings")[0].node.v4.to_ip(), NODE);

        let mut next = open(pin_dir);
        set(&mut next, &[uplink("up0", "veth")]);
        assert_eq!(entry(&next, "up0").flags, map::Interface::UPLINK, "this agent has no XDP on a veth");
        assert_eq!(entry(&next, "pod0"), map::Interface::default());
    });
}

#[test]
fn before_tcx_filters_are_made_replaced_and_removed() {
    in_namespaces(|pin_dir| {
        veth("up0");
        let filters = || {
            let show = |hook| {
                let output = Command::new("tc").args(["filter", "show", "dev", "up0", hook]).output();
                String::from_utf8_lossy(&output.expect("iproute2 is installed").stdout).into_owned()
            };
            let (ingress, egress) = (show("ingress"), show("egress"));
            (ingress.matches("tc_uplink_ingress").count(), egress.matches("tc_uplink_egress").count())
        };
        let clsact = |name: &str| (name.to_owned(), Some(Hook::Clsact));
        let expected =
            [clsact("tc_uplink_ingress"), clsact("tc_uplink_egress"), ("xdp_uplink".to_owned(), None)];
        for _agent in 0..2 {
            let mut dataplane = open(pin_dir);
            dataplane.interfaces.without_tcx();
            assert_eq!(set(&mut dataplane, &[uplink("up0", "veth")]), expected);
            assert_eq!(filters(), (1, 1));
        }
        let mut dataplane = open(pin_dir);
        dataplane.interfaces.without_tcx();
        set(&mut dataplane, &[]);
        assert_eq!(filters(), (0, 0));
        set(&mut dataplane, &[uplink("up0", "veth")]);
        cleanup(pin_dir).expect("a cleanup");
        assert_eq!(filters(), (0, 0));
    });
}

#[test]
fn what_somebody_else_detached_is_attached_again() {
    in_namespaces(|pin_dir| {
        veth("pod0");
        let mut dataplane = open(pin_dir);
        set(&mut dataplane, &[pod("pod0")]);
        let pin = pin_dir.join("links").join("pod0-tc_pod_ingress");
        syscall::detach_link(&pin).expect("a link");
        assert_eq!(programs("pod0").0, [0; 0]);
        set(&mut dataplane, &[pod("pod0")]);
        assert_eq!(programs("pod0").0.len(), 1);
        fs::remove_file(pin).expect("a pin");
        set(&mut dataplane, &[pod("pod0")]);
        assert!(pins(pin_dir.join("links")).contains(&"pod0-tc_pod_ingress".to_owned()));
    });
}

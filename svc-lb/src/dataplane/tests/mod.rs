//! The dataplane against the kernel: each test in a thread that is alone in a network namespace and a
//! mount namespace with a BPF file system of its own. Whatever it leaves goes with the thread.

mod elements;
mod interfaces;
mod loads;
mod lost_sockets;
mod pins;
mod selection;
mod sweep;

use super::{
    Dataplane, Options, maps,
    syscall::{Access, RawMap},
};
use crate::{
    compile::{Family, Frontend, FrontendKind, Ownership, Protocol, Service, ServicePort, Tables, Target},
    options::XdpMode,
};
use nix::{
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    panic::resume_unwind,
    path::Path,
    sync::Arc,
    thread,
};
use svc_lb_common::{snat::PortRange, socket::Peer, timeout::Timeouts};

/// The node's address.
const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Runs a test in namespaces of its own, and gives it a directory for pins.
pub(crate) fn in_namespaces(test: fn(&Path)) {
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .expect("this test loads BPF programs in namespaces of its own: it must be run as root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
        let directory = tempfile::tempdir().expect("a directory");
        mount(Some("bpf"), directory.path(), Some("bpf"), MsFlags::empty(), none).expect("a BPF file system");
        test(&directory.path().join("svc-lb"));
        umount(directory.path()).expect("nobody uses the pins");
    };
    if let Err(panic) = thread::spawn(body).join() {
        resume_unwind(panic);
    }
}

fn options(pin_dir: &Path) -> Options {
    Options {
        pin_dir: pin_dir.to_owned(),
        xdp_mode: XdpMode::Auto,
        flow_entries: 4096,
        timeouts: Timeouts::default(),
        snat_ports: PortRange { first: 10000, last: 29999 },
        external_cluster_ips: false,
        own_ranges: Vec::new(),
    }
}

pub(crate) fn open(pin_dir: &Path) -> Dataplane {
    Dataplane::open(&options(pin_dir)).expect("a dataplane")
}

/// Keeps a peer with a socket, as a program does that has chosen it.
pub(crate) fn keep_with_socket(pin_dir: &Path, socket: &impl AsRawFd, peer: &Peer) {
    let map = RawMap::open(&maps::directory(pin_dir).join(maps::SOCKETS), Access::Write, None);
    let kept = map.and_then(|map| map.update(&socket.as_raw_fd().to_ne_bytes(), bytemuck::bytes_of(peer)));
    kept.expect("a socket that lives");
}

fn service(name: &str, family: Family) -> Arc<ServicePort> {
    Arc::new(ServicePort {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        port: "http".to_owned(),
        protocol: Protocol::Tcp,
        family,
    })
}

/// A service with a ClusterIP and a NodePort.
fn add(tables: &mut Tables, name: &str, cluster_ip: &str, endpoints: &[&str]) {
    let address: IpAddr = cluster_ip.parse().expect("an address");
    let service = service(name, Family::of(address));
    let list: Vec<_> = endpoints.iter().map(|it| it.parse().expect("an endpoint")).collect();
    tables.services.insert(Arc::clone(&service), Service::from(list));
    tables.addresses.insert(address, Ownership::ClusterIp);
    let place = Frontend { address, port: 80, protocol: Protocol::Tcp };
    let target = Target { service: Arc::clone(&service), kind: FrontendKind::ClusterIp };
    tables.frontends.insert(place, target);
    let place = Frontend { address: NODE, port: 30080, protocol: Protocol::Tcp };
    if address.is_ipv4() {
        tables.addresses.insert(NODE, Ownership::Node);
        tables.frontends.insert(place, Target { service, kind: FrontendKind::NodePort });
    }
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    add(&mut tables, "web", "10.96.0.1", &["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]);
    add(&mut tables, "web", "fd96::1", &["[fd00::1]:8080", "[fd00::2]:8080"]);
    tables
}

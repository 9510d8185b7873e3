//! The programs without a network: run one by one on frames that nobody sent.

use crate::{namespace::Namespace, private_run::PrivateRun};
use anyhow::{Context, Result};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};
use svc_lb::{
    compile::{Family, Frontend, FrontendKind, Ownership, Protocol, Service, ServicePort, Tables, Target},
    dataplane::{Dataplane, Options, Trial, view::View},
    node::{Facts, Interface, Role},
    options::XdpMode,
};
use svc_lb_common::{counters::Program, snat::PortRange, timeout::Timeouts};

/// Protocols that have ports.
pub const PROTOCOLS: [Protocol; 3] = Protocol::ALL;

/// A frontend of both families and all protocols, with one backend each.
pub const FRONTEND: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 1))];
/// The frontend's port.
pub const PORT: u16 = 80;
/// The port of a frontend whose backend is the frontend itself: a packet leaves translated and yet as
/// it came, and may be sent again.
pub const IDENTITY_PORT: u16 = 81;
/// The backend of the frontend.
pub const BACKEND: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 244, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 1))];
/// The backend's port.
pub const TARGET_PORT: u16 = 8080;
/// The link-layer address of the loopback interface, by which the frames seem to come in.
pub const MAC: [u8; 6] = [0; 6];

/// Where the maps are pinned.
const PIN_DIR: &str = "/run/bpf/svc-lb";

/// The loaded programs, with their maps.
pub struct Programs {
    dataplane: Dataplane,
}

impl Programs {
    /// Runs something with the programs loaded, and a frontend in their maps that serves everyone.
    pub fn with<T: Send>(inside: impl FnOnce(&mut Self) -> Result<T> + Send) -> Result<T> {
        let (namespace, run) = (Namespace::new("programs")?, PrivateRun::new()?);
        namespace.enter(|| {
            run.enter()?;
            inside(&mut Self::load().context("cannot load the programs")?)
        })
    }

    fn load() -> Result<Self> {
        let mut dataplane = Dataplane::open(&Options {
            pin_dir: PIN_DIR.into(),
            xdp_mode: XdpMode::Off,
            flow_entries: 1 << 16,
            timeouts: Timeouts::default(),
            snat_ports: PortRange { first: 10000, last: 29999 },
            external_cluster_ips: true,
            own_ranges: Vec::new(),
        })?;
        dataplane.sync(&tables())?;
        let loopback = Interface {
            index: 1,
            name: "lo".to_owned(),
            kind: "veth".to_owned(),
            mac: Some(MAC),
            up: true,
            addresses: vec!["192.0.2.1/24".parse()?, "2001:db8::1/64".parse()?],
            mtu: 1500,
            role: Role::Uplink("a test says so".to_owned()),
            ..Interface::default()
        };
        dataplane.set_interfaces(&Facts { interfaces: vec![loopback] }, &[])?;
        Ok(Self { dataplane })
    }

    /// What the programs have rewritten since they were loaded, in both directions.
    pub fn rewritten(&self, program: Program) -> Result<u64> {
        let programs = self.dataplane.statistics()?.programs;
        let counters = programs.get(program.name()).context("an unknown program")?;
        Ok(counters.forwarded + counters.replied)
    }

    /// What the maps hold.
    pub fn view(&self) -> Result<View> {
        Ok(View::open(Path::new(PIN_DIR))?)
    }

    /// Whether the kernel makes a test run of a frame: of none that ends with the link-layer header, and
    /// in tc of none without a whole IP header.
    pub fn takes(program: Program, frame: &[u8]) -> bool {
        const ETHERNET: usize = 14;
        let least = match (program, frame.get(12..ETHERNET)) {
            (Program::XdpUplink, _) => ETHERNET + 1,
            (_, Some([0x86, 0xdd])) => ETHERNET + 40,
            _ => ETHERNET + 20,
        };
        frame.len() >= least
    }

    /// Runs a program on a frame.
    pub fn run(&mut self, program: Program, frame: &[u8]) -> Result<Trial> {
        Ok(self.dataplane.try_packet(program, frame)?)
    }
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    for (address, backend) in FRONTEND.into_iter().zip(BACKEND) {
        for protocol in PROTOCOLS {
            let targets = [(PORT, (backend, TARGET_PORT)), (IDENTITY_PORT, (address, IDENTITY_PORT))];
            for (port, backend) in targets {
                let service = Arc::new(ServicePort {
                    namespace: "default".to_owned(),
                    name: format!("service-{port}"),
                    port: String::new(),
                    protocol,
                    family: Family::of(address),
                });
                let backends = vec![SocketAddr::from(backend)];
                tables.services.insert(service.clone(), Service::from(backends));
                let target = Target { service, kind: FrontendKind::ClusterIp };
                tables.frontends.insert(Frontend { address, port, protocol }, target);
            }
        }
        tables.addresses.insert(address, Ownership::ClusterIp);
    }
    tables
}

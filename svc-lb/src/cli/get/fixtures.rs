//! A service to list.

use crate::dataplane::view::{Backend, Counters, Frontend, Kind, Policy, Selection, Service, Type};

fn backend(last: u8, local: bool) -> Backend {
    let index = u32::from(last) - 1;
    let address = [10, 244, 0, last].into();
    Backend {
        address,
        port: 80,
        index,
        generation: 1,
        cluster: true,
        local,
        draining: false,
        open_connections: Some(7),
    }
}

pub fn web() -> Service {
    let frontend =
        |address: [u8; 4], port, kind| Frontend { address: address.into(), port, kind, limited: false };
    Service {
        id: 1,
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        port: "http".to_owned(),
        protocol: "TCP".to_owned(),
        family: "IPv4".to_owned(),
        kind: Type::NodePort,
        selection: Selection {
            algorithm: "maglev",
            external_policy: Policy::Local,
            affinity_timeout: 10_800,
            ..Selection::default()
        },
        frontends: vec![
            frontend([10, 96, 0, 7], 8080, Kind::ClusterIp),
            frontend([192, 0, 2, 1], 30163, Kind::NodePort),
            frontend([192, 0, 2, 2], 30163, Kind::NodePort),
        ],
        backends: vec![
            backend(1, true),
            backend(2, false),
            Backend { cluster: false, draining: true, ..backend(3, false) },
        ],
        counters: Counters {
            new_flows: 300,
            socket_connections: 20,
            forward_packets: 900,
            ..Counters::default()
        },
        ..Service::default()
    }
}

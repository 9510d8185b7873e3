//! Tables to plan for.

use crate::compile::{
    self, Family, Frontend, FrontendKind, Lists, Ownership, Protocol, ServicePort, Tables, Target, Weighted,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub fn name(number: usize) -> Arc<ServicePort> {
    Arc::new(ServicePort {
        namespace: "default".to_owned(),
        name: format!("service-{number}"),
        port: String::new(),
        protocol: Protocol::Tcp,
        family: if number.is_multiple_of(3) { Family::V6 } else { Family::V4 },
    })
}

pub fn endpoint(family: Family, number: u8) -> SocketAddr {
    match family {
        Family::V4 => ([10, 0, 0, number], 8080).into(),
        Family::V6 => ([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)], 8080).into(),
    }
}

pub fn virtual_address(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => [10, 96, 0, number].into(),
        Family::V6 => [0xfd96, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
    }
}

/// A service of the given number with lists of endpoints, and a frontend of its own.
pub fn add(tables: &mut Tables, number: usize, cluster: &[u8], local: &[u8], kind: FrontendKind) {
    let name = name(number);
    let weighted = |list: &[u8]| list.iter().map(|it| Weighted::from(endpoint(name.family, *it))).collect();
    let (cluster, local) = (weighted(cluster), weighted(local));
    let lists = Lists { cluster, local, ..Lists::default() };
    let service = compile::Service { lists: Arc::new(lists), ..compile::Service::default() };
    let place =
        Frontend { address: virtual_address(name.family, number as u8), port: 80, protocol: Protocol::Tcp };
    let ownership = match kind {
        FrontendKind::ClusterIp => Ownership::ClusterIp,
        FrontendKind::NodePort => Ownership::Node,
        FrontendKind::LoadBalancer | FrontendKind::ExternalIp => Ownership::External,
    };
    tables.addresses.insert(place.address, ownership);
    tables.frontends.insert(place, Target { service: Arc::clone(&name), kind });
    tables.services.insert(name, service);
}

pub fn service(tables: &mut Tables, number: usize, endpoints: &[u8]) {
    add(tables, number, endpoints, endpoints, FrontendKind::ClusterIp);
}

/// Has some endpoints of a service drain.
pub fn drain(tables: &mut Tables, number: usize, endpoints: &[u8]) {
    let name = name(number);
    let lists = Arc::make_mut(&mut tables.services.get_mut(&name).unwrap().lists);
    lists.draining = endpoints.iter().map(|it| endpoint(name.family, *it)).collect();
}

pub fn many(count: usize) -> Tables {
    let mut tables = Tables::default();
    for number in 0..count {
        service(&mut tables, number, &[1, 2, 3]);
    }
    tables
}

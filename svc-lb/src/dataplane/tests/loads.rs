//! How many open connections backends have.

use super::{
    add, in_namespaces, open, service,
    sweep::{LONG_AGO, pair, sweep},
};
use crate::{
    compile::{Algorithm, Family, Tables},
    dataplane::{Dataplane, loads::OpenFlows, view::View},
};
use std::path::Path;
use svc_lb_common::{
    address::Ipv4,
    backend::BackendLoad,
    connection::State,
    flow::{Flow, FlowKey, TCP},
};

fn tables(algorithm: Algorithm) -> Tables {
    let mut tables = Tables::default();
    add(&mut tables, "web", "10.96.0.1", &["10.0.0.1:8080", "10.0.0.2:8080"]);
    tables.services.get_mut(&service("web", Family::V4)).expect("the service").algorithm = algorithm;
    tables
}

/// The index and generation of each backend.
fn backends(pin_dir: &Path) -> Vec<(u32, u32)> {
    let services = View::open(pin_dir).expect("pinned maps").services().expect("services");
    services[0].backends.iter().map(|it| (it.index, it.generation)).collect()
}

/// A pair that counts in a backend's load.
fn counted(port: u16, age: u32, backend: (u32, u32), now: u32) -> [(FlowKey<Ipv4>, Flow<Ipv4>); 2] {
    pair(port, (age, age), now).map(|(key, flow)| {
        let flags = flow.flags | Flow::<Ipv4>::COUNTED;
        (key, Flow { backend: backend.0, generation: backend.1, flags, ..flow })
    })
}

fn set(dataplane: &Dataplane, index: u32, load: BackendLoad) {
    dataplane.maps.v4.backend_loads.set(&[(index, load)]).expect("a load");
}

fn loads(dataplane: &Dataplane, backends: &[(u32, u32)]) -> Vec<i32> {
    let load = |(index, _): &(u32, u32)| dataplane.maps.v4.backend_loads.get(*index).expect("a load").flows;
    backends.iter().map(load).collect()
}

#[test]
fn a_sweep_corrects_how_many_flows_backends_have_open() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables(Algorithm::LeastConnections)).expect("a sync");
        let backends = backends(pin_dir);
        let now = dataplane.clock.now().expect("a clock");
        let mut flows: Vec<_> = (1..=3).flat_map(|port| counted(port, 0, backends[0], now)).collect();
        // Of each of these pairs the walk meets one entry or the other first.
        flows.extend((100..110).flat_map(|port| counted(port, LONG_AGO, backends[0], now)));
        flows.extend(counted(5, 0, (backends[0].0, backends[0].1 + 1), now));
        flows.extend(pair(6, (0, 0), now));
        let closed = counted(7, 0, backends[0], now);
        flows.extend(closed.map(|(key, flow)| {
            let state = flow.state | State::RST_FORWARD;
            (FlowKey { protocol: TCP, ..key }, Flow { state, ..flow })
        }));
        dataplane.maps.v4.flows.set(&flows).expect("flows");
        // One whose forward entry alone is old lives on.
        let [forward, reply] = counted(8, 0, backends[0], now);
        let old = Flow { last_seen: now - LONG_AGO, ..forward.1 };
        dataplane.maps.v4.flows.set(&[(forward.0, old), reply]).expect("flows");
        set(&dataplane, backends[1].0, BackendLoad { flows: 7, sockets: 0 });
        sweep(&mut dataplane);
        assert_eq!(loads(&dataplane, &backends), [4, 0], "open, not expired, and of this backend");
    });
}

#[test]
fn only_what_is_balanced_by_open_connections_is_corrected() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        dataplane.sync(&tables(Algorithm::Random)).expect("a sync");
        let index = backends(pin_dir)[0].0;
        set(&dataplane, index, BackendLoad { flows: 7, sockets: 3 });
        sweep(&mut dataplane);
        assert_eq!(dataplane.maps.v4.backend_loads.get(index).expect("a load").flows, 7);
        dataplane.sync(&tables(Algorithm::LeastConnections)).expect("a sync");
        let load = |dataplane: &Dataplane| dataplane.maps.v4.backend_loads.get(index).expect("a load");
        let state = dataplane.state.as_ref().expect("there was a sync");
        OpenFlows::default().write(&dataplane.maps, state, true).expect("loads");
        assert_eq!(load(&dataplane), BackendLoad { flows: 0, sockets: 3 }, "only programs know the sockets");
        sweep(&mut dataplane);
        assert_eq!(load(&dataplane), BackendLoad::default(), "no program counts sockets here");
    });
}

#[test]
fn an_index_that_gets_another_endpoint_starts_with_none() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let loads: Vec<_> = (0..4).map(|index| (index, BackendLoad { flows: 7, sockets: 3 })).collect();
        dataplane.maps.v4.backend_loads.set(&loads).expect("loads");
        dataplane.sync(&tables(Algorithm::LeastConnections)).expect("a sync");
        for (index, _) in backends(pin_dir) {
            let load = dataplane.maps.v4.backend_loads.get(index).expect("a load");
            assert_eq!(load, BackendLoad::default());
        }
    });
}

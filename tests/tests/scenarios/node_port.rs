//! A client outside the cluster reaches a NodePort, and so do pods of the node and the node itself.

use anyhow::Result;
use svc_lb_common::counters::Program::{TcUplinkEgress, TcUplinkIngress, XdpUplink};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp, finishers::assert_internal, manifest::TARGET_PORT, plan::KINDS,
    with_and_without_xdp,
};

with_and_without_xdp!(
    a_local_backend_sees_the_clients_own_address,
    a_remote_backend_sees_the_nodes_address,
    a_backend_on_the_node_itself_sees_the_clients_own_address,
    pods_and_the_node_reach_a_node_port_of_the_node,
    a_node_that_masquerades_its_pods_serves_all_the_same,
    the_node_itself_may_call_from_a_port_that_is_a_node_port,
);

fn a_local_backend_sees_the_clients_own_address(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    local_backend_sees_the_client(&rig, &backend)
}

fn a_backend_on_the_node_itself_sees_the_clients_own_address(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    rig.node().serve(TARGET_PORT)?;
    local_backend_sees_the_client(&rig, rig.node())
}

fn local_backend_sees_the_client(rig: &Rig, backend: &Host) -> Result<()> {
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    let client = rig.client();
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = client.dial(protocol, rig.node_port(&service, family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), (backend.name(), client.address(family)));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [TcUplinkIngress], "{protocol} {family}");
        assert_eq!(work.replied_by(), [TcUplinkEgress], "{protocol} {family}");
        assert_eq!(work.new_flows(&service, protocol, family), 1);
    }
    Ok(())
}

fn a_remote_backend_sees_the_nodes_address(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.remote_pod("backend")?;
    remote_backend_sees_the_node(&rig, &backend, xdp)
}

fn remote_backend_sees_the_node(rig: &Rig, backend: &Host, xdp: Xdp) -> Result<()> {
    let finisher = match xdp {
        Xdp::Native => XdpUplink,
        _ => TcUplinkIngress,
    };
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = rig.client().dial(protocol, rig.node_port(&service, family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), ("backend", rig.node().address(family)));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [finisher], "{protocol} {family}");
        assert_eq!(work.replied_by(), [finisher], "{protocol} {family}");
        assert_eq!(work.new_flows(&service, protocol, family), 1);
    }
    assert_eq!(rig.losses(&[backend])?, [] as [String; 0]);
    Ok(())
}

fn pods_and_the_node_reach_a_node_port_of_the_node(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let clients = [(&pod, SocketLb::Off), (&member, SocketLb::On), (rig.node(), SocketLb::On)];
    for backend in [&local, &remote] {
        let service = Service::number(1).behind([backend]);
        rig.apply(&[&service])?;
        for ((family, protocol), (client, socket_lb)) in
            KINDS.into_iter().flat_map(|kind| clients.map(|client| (kind, client)))
        {
            let work = rig.work_of(|| {
                let answer = client.dial(protocol, rig.node_port(&service, family)).ask()?;
                assert_eq!(answer.by, backend.name());
                assert_eq!(answer.client.ip(), client.address(family));
                Ok(())
            })?;
            assert_internal(&work, socket_lb, &service, (family, protocol), 1);
        }
    }
    Ok(())
}

fn a_node_that_masquerades_its_pods_serves_all_the_same(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).masquerading().start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("backend")?);
    local_backend_sees_the_client(&rig, &local)?;
    remote_backend_sees_the_node(&rig, &remote, xdp)
}

fn the_node_itself_may_call_from_a_port_that_is_a_node_port(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    rig.client().serve(TARGET_PORT)?;
    for (family, protocol) in KINDS {
        let target = (rig.client().address(family), TARGET_PORT).into();
        let work = rig.work_of(|| {
            let answer = rig.node().dial(protocol, target).from_port(service.node_port()).ask()?;
            assert_eq!(answer.client, rig.node_port(&service, family));
            Ok(())
        })?;
        assert!(work.is_empty(), "{protocol} {family}: {work:?}");
    }
    for (family, protocol) in KINDS {
        assert_eq!(rig.client().dial(protocol, rig.node_port(&service, family)).ask()?.by, "backend");
    }
    Ok(())
}

//! A pod reaches a ClusterIP, whatever node the backend is on. Only tc works, on both its sides; or, where
//! sockets are balanced, nobody, and the node's own processes are clients too.

use anyhow::Result;
use svc_lb_common::counters::Program::TcPodIngress;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    finishers::{assert_internal, connecting},
    manifest::TARGET_PORT,
    plan::KINDS,
    with_and_without_socket_lb,
};

with_and_without_socket_lb!(
    a_pod_reaches_a_backend_on_its_own_node,
    a_pod_reaches_a_backend_on_another_node,
    a_pod_reaches_a_backend_on_another_node_that_uses_native_xdp,
    a_pod_reaches_a_backend_in_the_network_of_its_node,
    a_pod_reaches_a_backend_in_the_network_of_another_node_and_is_masqueraded_by_its_cni,
    a_pod_that_is_chosen_for_itself_gets_its_reply,
    pods_still_reach_each_other_and_the_world_by_their_own_addresses,
);

/// A pod asks a Service with one backend, which sees the pod's own address.
fn reaches(rig: &Rig, socket_lb: SocketLb, pod: &Host, backend: &Host) -> Result<()> {
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in rig.internal_clients(pod) {
            let work = rig.work_of(|| {
                let answer = client.dial(protocol, service.cluster_ip(family)).ask()?;
                assert_eq!(answer.by, backend.name());
                assert_eq!(answer.client.ip(), client.address(family));
                Ok(())
            })?;
            assert_internal(&work, socket_lb, &service, (family, protocol), 1);
        }
    }
    Ok(())
}

fn a_pod_reaches_a_backend_on_its_own_node(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    reaches(&rig, socket_lb, &pod, &backend)
}

fn a_pod_reaches_a_backend_on_another_node(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.remote_pod("backend")?);
    reaches(&rig, socket_lb, &pod, &backend)
}

fn a_pod_reaches_a_backend_on_another_node_that_uses_native_xdp(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).xdp(svc_lb_tests::Xdp::Native).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.remote_pod("backend")?);
    reaches(&rig, socket_lb, &pod, &backend)
}

fn a_pod_reaches_a_backend_in_the_network_of_its_node(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    rig.node().serve(TARGET_PORT)?;
    reaches(&rig, socket_lb, &rig.pod("pod")?, rig.node())
}

fn a_pod_reaches_a_backend_in_the_network_of_another_node_and_is_masqueraded_by_its_cni(
    socket_lb: SocketLb,
) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).masquerading().start()?;
    let (pod, backend) = (rig.pod("pod")?, &rig.network().node2);
    backend.serve(TARGET_PORT)?;
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in rig.internal_clients(&pod) {
            let work = rig.work_of(|| {
                let answer = client.dial(protocol, service.cluster_ip(family)).ask()?;
                assert_eq!((answer.by.as_str(), answer.client.ip()), ("node2", rig.node().address(family)));
                Ok(())
            })?;
            assert_internal(&work, socket_lb, &service, (family, protocol), 1);
        }
    }
    Ok(())
}

fn a_pod_that_is_chosen_for_itself_gets_its_reply(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let pod = rig.pod("pod")?;
    let service = Service::number(1).behind([&pod]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        // A packet that comes back to it must not come from itself; a socket that is connected to itself may.
        let (seen, forward, reply) = match socket_lb {
            SocketLb::On => (pod.address(family), connecting(family), vec![]),
            SocketLb::Off => (rig.node().address(family), TcPodIngress, vec![TcPodIngress]),
        };
        let work = rig.work_of(|| {
            let answer = pod.dial(protocol, service.cluster_ip(family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), ("pod", seen));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [forward]);
        assert_eq!(work.replied_by(), reply);
    }
    Ok(())
}

fn pods_still_reach_each_other_and_the_world_by_their_own_addresses(socket_lb: SocketLb) -> Result<()> {
    let rig = Rig::routed().socket_lb(socket_lb).start()?;
    let (pod, backend, remote) = (rig.pod("pod")?, rig.pod("backend")?, rig.remote_pod("remote")?);
    rig.client().serve(TARGET_PORT)?;
    rig.apply(&[&Service::number(1).behind([&backend, &remote])])?;
    let work = rig.work_of(|| {
        for (family, protocol) in KINDS {
            for server in [&backend, &remote, rig.client()] {
                let address = (server.address(family), TARGET_PORT).into();
                let answer = pod.dial(protocol, address).ask()?;
                assert_eq!((answer.by.as_str(), answer.client.ip()), (server.name(), pod.address(family)));
            }
        }
        Ok(())
    })?;
    assert!(work.is_empty(), "{work:?}");
    Ok(())
}

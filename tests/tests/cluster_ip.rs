//! A pod reaches a ClusterIP, whatever node the backend is on. Only tc works, on both its sides.

use anyhow::Result;
use svc_lb_common::counters::Program::{TcPodEgress, TcPodIngress};
use svc_lb_tests::{Host, Rig, Service, manifest::TARGET_PORT, plan::KINDS};

/// A pod asks a Service with one backend, which sees the pod's own address.
fn reaches(rig: &Rig, pod: &Host, backend: &Host) -> Result<()> {
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = pod.dial(protocol, service.cluster_ip(family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), (backend.name(), pod.address(family)));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [TcPodIngress], "{protocol} {family}");
        assert_eq!(work.replied_by(), [TcPodEgress], "{protocol} {family}");
        assert_eq!(work.new_flows(&service, protocol, family), 1);
    }
    Ok(())
}

#[test]
fn a_pod_reaches_a_backend_on_its_own_node() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    reaches(&rig, &pod, &backend)
}

#[test]
fn a_pod_reaches_a_backend_on_another_node() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.remote_pod("backend")?);
    reaches(&rig, &pod, &backend)
}

#[test]
fn a_pod_reaches_a_backend_on_another_node_that_uses_native_xdp() -> Result<()> {
    let rig = Rig::routed().xdp(svc_lb_tests::Xdp::Native).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.remote_pod("backend")?);
    reaches(&rig, &pod, &backend)
}

#[test]
fn a_pod_reaches_a_backend_in_the_network_of_its_node() -> Result<()> {
    let rig = Rig::routed().start()?;
    rig.node().serve(TARGET_PORT)?;
    reaches(&rig, &rig.pod("pod")?, rig.node())
}

#[test]
fn a_pod_reaches_a_backend_in_the_network_of_another_node_and_is_masqueraded_by_its_cni() -> Result<()> {
    let rig = Rig::routed().masquerading().start()?;
    let (pod, backend) = (rig.pod("pod")?, &rig.network().node2);
    backend.serve(TARGET_PORT)?;
    let service = Service::number(1).behind([backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = pod.dial(protocol, service.cluster_ip(family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), ("node2", rig.node().address(family)));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [TcPodIngress]);
        assert_eq!(work.replied_by(), [TcPodEgress]);
    }
    Ok(())
}

#[test]
fn a_pod_that_is_chosen_for_itself_sees_the_node_and_gets_its_reply() -> Result<()> {
    let rig = Rig::routed().start()?;
    let pod = rig.pod("pod")?;
    let service = Service::number(1).behind([&pod]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = pod.dial(protocol, service.cluster_ip(family)).ask()?;
            assert_eq!((answer.by.as_str(), answer.client.ip()), ("pod", rig.node().address(family)));
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), [TcPodIngress]);
        assert_eq!(work.replied_by(), [TcPodIngress]);
    }
    Ok(())
}

#[test]
fn pods_still_reach_each_other_and_the_world_by_their_own_addresses() -> Result<()> {
    let rig = Rig::routed().start()?;
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

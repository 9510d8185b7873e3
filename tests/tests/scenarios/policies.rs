//! Traffic policies: which endpoints a client gets, by where it is and by which frontend it comes.

use anyhow::Result;
use std::{
    collections::BTreeSet,
    io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut, WouldBlock},
    net::SocketAddr,
    time::Duration,
};
use svc_lb::compile::Protocol;
use svc_lb_common::counters::{
    DropReason::NoLocalEndpoint,
    Program::{TcPodIngress, TcUplinkIngress, XdpUplink},
};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb, Xdp, finishers::connecting, plan::KINDS, with_and_without_xdp,
};

with_and_without_xdp!(under_the_external_policy_local_clients_outside_get_local_endpoints_only);

/// How long to wait for what must not come.
const IN_VAIN: Duration = Duration::from_millis(300);

/// Asks in vain: nothing comes back.
fn unheard(client: &Host, protocol: Protocol, target: SocketAddr) {
    let error = client.dial(protocol, target).patience(IN_VAIN).ask().expect_err("it must not answer");
    assert!([TimedOut, WouldBlock].contains(&error.kind()), "{target} {protocol}: {error}");
}

/// Asks in vain: the call itself fails.
fn refused(client: &Host, protocol: Protocol, target: SocketAddr) {
    let error = client.dial(protocol, target).ask().expect_err("nobody is there");
    assert_eq!(error.kind(), ConnectionRefused, "{target} {protocol}: {error}");
}

/// Who answers a client that asks often enough to reach everyone.
fn answering(client: &Host, protocol: Protocol, target: SocketAddr) -> Result<BTreeSet<String>> {
    Ok(client.dial(protocol, target).times(8)?.0.into_keys().collect())
}

fn names(hosts: &[&Host]) -> BTreeSet<String> {
    hosts.iter().map(|host| host.name().to_owned()).collect()
}

fn under_the_external_policy_local_clients_outside_get_local_endpoints_only(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (one, two, remote) = (rig.pod("one")?, rig.pod("two")?, rig.remote_pod("remote")?);
    let service = Service::number(1).with("externalTrafficPolicy: Local");
    let finisher = if xdp == Xdp::Native { XdpUplink } else { TcUplinkIngress };
    let client = rig.client();

    rig.apply(&[&service.behind([&one, &two, &remote])])?;
    for (family, protocol) in KINDS {
        let target = rig.node_port(&service, family);
        assert_eq!(answering(client, protocol, target)?, names(&[&one, &two]), "{protocol} {family}");
        assert_eq!(client.dial(protocol, target).ask()?.client.ip(), client.address(family));
    }
    rig.apply(&[&service.behind([&remote])])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            unheard(client, protocol, rig.node_port(&service, family));
            Ok(())
        })?;
        assert_eq!(work.dropped_by(), [finisher], "{protocol} {family}");
        assert_eq!(work.drops(NoLocalEndpoint), work.all_drops());
    }
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            refused(client, protocol, rig.node_port(&service, family));
            Ok(())
        })?;
        assert_eq!(work.rejected_by(), [finisher], "{protocol} {family}");
    }
    assert_eq!(rig.losses(&[&one, &two, &remote])?, [] as [String; 0]);
    Ok(())
}

#[test]
fn under_the_external_policy_local_clients_inside_get_all_endpoints_and_keep_their_addresses() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1).with("externalTrafficPolicy: Local").behind([&local, &remote]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in [&pod, &member, rig.node()] {
            for target in [rig.node_port(&service, family), service.cluster_ip(family)] {
                assert_eq!(answering(client, protocol, target)?, names(&[&local, &remote]), "{target}");
                assert_eq!(client.dial(protocol, target).ask()?.client.ip(), client.address(family));
            }
        }
    }
    Ok(())
}

#[test]
fn under_the_internal_policy_local_a_cluster_ip_leads_to_local_endpoints_only() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let service = Service::number(1).with("internalTrafficPolicy: Local");

    rig.apply(&[&service.behind([&local, &remote])])?;
    for (family, protocol) in KINDS {
        for client in [&pod, &member, rig.node()] {
            let cluster_ip = service.cluster_ip(family);
            assert_eq!(answering(client, protocol, cluster_ip)?, names(&[&local]), "{cluster_ip}");
        }
        for client in [&pod, &member, rig.node(), rig.client()] {
            let node_port = rig.node_port(&service, family);
            assert_eq!(answering(client, protocol, node_port)?, names(&[&local, &remote]), "{node_port}");
        }
    }
    // The packets of pods are dropped on their way; the node's own processes are told so at once.
    rig.apply(&[&service.behind([&remote])])?;
    for (family, protocol) in KINDS {
        let cluster_ip = service.cluster_ip(family);
        for client in [&pod, &member] {
            let work = rig.work_of(|| {
                unheard(client, protocol, cluster_ip);
                Ok(())
            })?;
            assert_eq!(work.dropped_by(), [TcPodIngress], "{protocol} {family}");
            assert_eq!(work.drops(NoLocalEndpoint), work.all_drops());
        }
        let work = rig.work_of(|| {
            let error = rig.node().dial(protocol, cluster_ip).ask().expect_err("it must not answer");
            assert_eq!(error.kind(), HostUnreachable, "{error}");
            Ok(())
        })?;
        assert_eq!(work.dropped_by(), [connecting(family)], "{protocol} {family}");
        assert_eq!(work.drops(NoLocalEndpoint), 1);
    }
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in [&pod, &member, rig.node()] {
            refused(client, protocol, service.cluster_ip(family));
        }
    }
    Ok(())
}

#[test]
fn hints_for_this_node_choose_while_there_are_any() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    let (local, one, two) = (rig.pod("local")?, rig.remote_pod("one")?, rig.remote_pod("two")?);
    let service = Service::number(1).hinting();
    let endpoints: [(&[&Host], &[&Host]); 2] =
        [(&[&local, &one, &two], &[&local]), (&[&one, &two], &[&one, &two])];
    for (all, chosen) in endpoints {
        rig.apply(&[&service.behind(all.iter().copied())])?;
        for (family, protocol) in KINDS {
            let (cluster_ip, node_port) = (service.cluster_ip(family), rig.node_port(&service, family));
            for (client, target) in [(&pod, cluster_ip), (rig.node(), cluster_ip), (rig.client(), node_port)]
            {
                assert_eq!(answering(client, protocol, target)?, names(chosen), "{target} {protocol}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_source_inside_the_cluster_is_inside_wherever_it_comes_in() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let stranger = rig.remote_pod("stranger")?;
    let service = Service::number(1).with("externalTrafficPolicy: Local").behind([&local, &remote]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let target = rig.node_port(&service, family);
        assert_eq!(answering(&stranger, protocol, target)?, names(&[&local, &remote]), "{target}");
    }
    Ok(())
}

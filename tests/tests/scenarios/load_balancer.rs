//! Addresses that others than the cluster give: those of load balancers, and external IPs.

use anyhow::Result;
use std::{
    io::ErrorKind::{HostUnreachable, TimedOut, WouldBlock},
    net::SocketAddr,
    time::Duration,
};
use svc_lb::compile::Family;
use svc_lb_common::counters::{
    DropReason::SourceNotAllowed,
    Program::{TcPodIngress, TcUplinkIngress, XdpUplink},
};
use svc_lb_tests::{
    Rig, Service, SocketLb, Xdp,
    finishers::connecting,
    manifest::PORT,
    plan::{Addresses, KINDS},
    with_and_without_xdp,
};

with_and_without_xdp!(load_balancer_addresses_and_external_ips_are_served_to_everyone);

/// How long to wait for what must not come.
const IN_VAIN: Duration = Duration::from_millis(300);

fn load_balancer_addresses_and_external_ips_are_served_to_everyone(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let [balancer, external] = [1, 2].map(Addresses::load_balancer);
    let service = Service::number(1).behind([&local, &remote]).balanced_at(balancer).externally_at(external);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for address in [balancer, external] {
            let target = SocketAddr::new(address.of(family), PORT);
            for client in [rig.client(), &pod, &member, rig.node()] {
                let tally = client.dial(protocol, target).times(4)?;
                assert_eq!(tally, [("local", 2), ("remote", 2)], "{} {target} {protocol}", client.name());
            }
            let other = SocketAddr::new(address.of(family), PORT + 1);
            for client in [rig.client(), &pod, &member, rig.node()] {
                let error = client.dial(protocol, other).ask().expect_err("no Service has this port");
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{other} {protocol}");
            }
        }
    }
    Ok(())
}

/// A Service that only some sources may use by its load balancer.
fn limited_to(sources: &[&str]) -> Service {
    let ranges: Vec<String> = sources.iter().map(|source| format!("\"{source}\"")).collect();
    Service::number(1)
        .balanced_at(Addresses::load_balancer(1))
        .externally_at(Addresses::load_balancer(2))
        .with(&format!("loadBalancerSourceRanges: [{}]", ranges.join(", ")))
}

fn at(number: u8, family: Family) -> SocketAddr {
    SocketAddr::new(Addresses::load_balancer(number).of(family), PORT)
}

#[test]
fn source_ranges_limit_the_load_balancers_addresses_and_nothing_else() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).socket_lb(SocketLb::On).start()?;
    let (pod, member) = (rig.pod_outside_the_cgroup("pod")?, rig.pod("member")?);
    let backend = rig.pod("backend")?;
    let everyone = [rig.client(), &pod, &member, rig.node()];
    let clients: Vec<String> =
        rig.client().addresses().with_prefixes(32, 128).iter().map(ToString::to_string).collect();
    let clients: Vec<&str> = clients.iter().map(String::as_str).collect();
    let pods = ["10.244.0.0/24", "fd00:244::/64"];

    // Of everyone, those who may are first the client, then the pods.
    for (allowed, ranges) in [(0..1, clients), (1..3, pods.to_vec())] {
        let service = limited_to(&ranges).behind([&backend]);
        rig.apply(&[&service])?;
        for (family, protocol) in KINDS {
            for (number, client) in everyone.into_iter().enumerate() {
                if allowed.contains(&number) {
                    assert_eq!(client.dial(protocol, at(1, family)).ask()?.by, "backend");
                    continue;
                }
                let (dropper, told) = match number {
                    0 => (XdpUplink, vec![TimedOut, WouldBlock]),
                    1 | 2 => (TcPodIngress, vec![TimedOut, WouldBlock]),
                    _ => (connecting(family), vec![HostUnreachable]),
                };
                let work = rig.work_of(|| {
                    let dial = client.dial(protocol, at(1, family)).patience(IN_VAIN);
                    let error = dial.ask().expect_err("it must not be served");
                    assert!(told.contains(&error.kind()), "{}: {error}", client.name());
                    Ok(())
                })?;
                assert_eq!(work.dropped_by(), [dropper], "{} {protocol} {family}", client.name());
                assert_eq!(work.drops(SourceNotAllowed), work.all_drops());
            }
            for client in everyone {
                for target in [at(2, family), rig.node_port(&service, family)] {
                    assert_eq!(client.dial(protocol, target).ask()?.by, "backend", "{target}");
                }
            }
        }
    }
    // Without ranges everyone may again.
    let service = limited_to(&[]).behind([&backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in everyone {
            assert_eq!(client.dial(protocol, at(1, family)).ask()?.by, "backend");
        }
    }
    Ok(())
}

#[test]
fn the_node_may_use_a_load_balancer_whose_ranges_hold_it() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let backend = rig.pod("backend")?;
    let service = limited_to(&["172.18.0.0/16", " fd00:18::/32 "]).behind([&backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        for client in [rig.node(), rig.client()] {
            let work = rig.work_of(|| {
                assert_eq!(client.dial(protocol, at(1, family)).ask()?.by, "backend");
                Ok(())
            })?;
            let by_socket = client.name() == rig.node().name();
            let finisher = if by_socket { connecting(family) } else { TcUplinkIngress };
            assert_eq!(work.forwarded_by(), [finisher], "{protocol} {family}");
        }
    }
    Ok(())
}

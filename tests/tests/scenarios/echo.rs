//! Virtual addresses answer pings, and addresses that nobody was given do not.

use anyhow::Result;
use std::{net::SocketAddr, time::Duration};
use svc_lb_common::counters::{
    DropReason::{ClusterIpFromUplink, UnallocatedClusterIp},
    Program::{TcPodIngress, TcUplinkEgress, TcUplinkIngress},
};
use svc_lb_tests::{
    Rig, Service, SocketLb,
    finishers::connecting,
    ping::ping,
    plan::{Addresses, FAMILIES, KINDS},
};

#[test]
fn virtual_addresses_answer_pings() -> Result<()> {
    let rig = Rig::routed().start()?;
    let pod = rig.pod("pod")?;
    let balancer = Addresses::load_balancer(1);
    let service = Service::number(1).balanced_at(balancer);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let cluster_ip = service.cluster_ip(family).ip();
        for (client, address, program) in [
            (&pod, cluster_ip, TcPodIngress),
            (&pod, balancer.of(family), TcPodIngress),
            (rig.client(), balancer.of(family), TcUplinkIngress),
            (rig.node(), cluster_ip, TcUplinkEgress),
        ] {
            let work = rig.work_of(|| ping(client.namespace(), address))?;
            assert_eq!(work.echoed_by(), [program], "{} {address}", client.name());
            assert_eq!(work.all_drops(), 0);
        }
        let work = rig.work_of(|| ping(rig.client().namespace(), rig.node().address(family)))?;
        assert!(work.is_empty(), "the node answers for what it has itself: {work:?}");
        let work = rig.work_of(|| {
            ping(rig.client().namespace(), cluster_ip).expect_err("a ClusterIP is for the cluster only");
            Ok(())
        })?;
        assert_eq!((work.dropped_by(), work.drops(ClusterIpFromUplink)), (vec![TcUplinkIngress], 1));
    }
    Ok(())
}

#[test]
fn what_is_for_an_address_that_nobody_was_given_is_dropped() -> Result<()> {
    let rig = Rig::routed().socket_lb(SocketLb::On).start()?;
    let pod = rig.pod_outside_the_cgroup("pod")?;
    for (family, protocol) in KINDS {
        let target = SocketAddr::new(Addresses::service(99).of(family), 80);
        for (client, program) in
            [(&pod, TcPodIngress), (rig.client(), TcUplinkIngress), (rig.node(), connecting(family))]
        {
            let work = rig.work_of(|| {
                let dial = client.dial(protocol, target).patience(Duration::from_millis(300));
                dial.ask().expect_err("nobody has the address");
                Ok(())
            })?;
            assert_eq!(work.dropped_by(), [program], "{} {target} {protocol}", client.name());
            assert_eq!(work.drops(UnallocatedClusterIp), work.all_drops());
        }
    }
    Ok(())
}

//! A way that takes less than the client's link: svc-lb says so, and the transfer works.

use anyhow::Result;
use svc_lb_common::counters::Program::{self, TcUplinkIngress, XdpUplink};
use svc_lb_tests::{
    Rig, Service, Xdp,
    host::INTERFACE,
    lan::SECOND_INTERFACE,
    links, overlay,
    path_mtu::Prober,
    plan::FAMILIES,
    wait::{SOON, until},
    with_and_without_xdp,
};

/// What the client's link takes.
const LINK: usize = 1500;
/// What the link between the nodes takes, where it is another: the least that IPv6 allows.
const NARROW: u32 = 1280;
/// Many segments.
const AMOUNT: usize = 3_000_001;

with_and_without_xdp!(
    clients_learn_the_mtu_of_an_overlay_and_use_it,
    clients_learn_the_mtu_of_a_narrow_link_and_use_it,
);

fn clients_learn_the_mtu_of_an_overlay_and_use_it(xdp: Xdp) -> Result<()> {
    let rig = Rig::vxlan().xdp(xdp).start()?;
    learn_and_use(&rig, overlay::MTU, TcUplinkIngress)
}

fn clients_learn_the_mtu_of_a_narrow_link_and_use_it(xdp: Xdp) -> Result<()> {
    let rig = Rig::two_uplinks().xdp(xdp).start()?;
    let node2 = &rig.network().node2;
    let ends = [(rig.node().namespace(), SECOND_INTERFACE), (node2.namespace(), INTERFACE)];
    let ports = rig.network().lans().skip(1).flat_map(|lan| [(lan, rig.node().name()), (lan, node2.name())]);
    for (namespace, interface) in ends.into_iter().chain(ports) {
        links::configure(namespace, async |links| links.mtu(interface, NARROW).await)?;
    }
    learn_and_use(&rig, NARROW, if xdp == Xdp::Native { XdpUplink } else { TcUplinkIngress })
}

fn learn_and_use(rig: &Rig, mtu: u32, answerer: Program) -> Result<()> {
    let remote = rig.remote_pod("remote")?;
    let service = Service::number(1).behind([&remote]);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let target = rig.node_port(&service, family);
        let prober = Prober::connect(rig.client().namespace(), target)?;
        let work = rig.work_of(|| {
            until("the client learns the MTU", SOON, || {
                prober.send(LINK)?;
                Ok((prober.path_mtu()? == mtu).then_some(()))
            })
        })?;
        assert_eq!(work.rejected_by(), [answerer], "{family}");
        let work = rig.work_of(|| {
            let mut connection = rig.client().tcp(target).connect()?;
            connection.upload(AMOUNT)?;
            Ok(connection.download(AMOUNT)?)
        })?;
        assert_eq!(work.all_drops(), 0, "{family}");
    }
    Ok(())
}

//! What `--xdp-mode` means on an uplink.

use anyhow::Result;
use svc_lb::status::Hook;
use svc_lb_common::counters::Program::{TcUplinkIngress, XdpUplink};
use svc_lb_tests::{Rig, Service, Xdp, host::INTERFACE, plan::KINDS};

#[test]
fn native_is_xdp_in_the_driver() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).start()?;
    let xdp = rig.xdp_attachment(INTERFACE)?;
    assert_eq!((xdp.by, xdp.reason), (Some(Hook::NativeXdp), String::new()));
    Ok(())
}

#[test]
fn auto_leaves_a_veth_to_tc_and_says_why() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Auto).start()?;
    let xdp = rig.xdp_attachment(INTERFACE)?;
    assert!(xdp.by.is_none() && xdp.reason.contains("veth"), "{xdp:?}");
    serves_remote_backends(&rig, false)
}

#[test]
fn generic_is_xdp_in_the_stack() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Generic).start()?;
    assert_eq!(rig.xdp_attachment(INTERFACE)?.by, Some(Hook::GenericXdp));
    serves_remote_backends(&rig, true)
}

fn serves_remote_backends(rig: &Rig, by_xdp: bool) -> Result<()> {
    let finisher = if by_xdp { XdpUplink } else { TcUplinkIngress };
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = rig.client().dial(protocol, rig.node_port(&service, family)).ask()?;
            assert_eq!(answer.client.ip(), rig.node().address(family));
            Ok(())
        })?;
        assert_eq!((work.forwarded_by(), work.replied_by()), (vec![finisher], vec![finisher]));
    }
    Ok(())
}

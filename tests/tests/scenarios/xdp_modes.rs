//! What `--xdp-mode` means on an uplink.

use anyhow::{Context, Result};
use serde_json::Value;
use svc_lb_common::counters::Program::{TcUplinkIngress, XdpUplink};
use svc_lb_tests::{Rig, Service, Xdp, host::INTERFACE, plan::KINDS};

/// How `status` says that the XDP program is attached to the uplink, and why not.
fn attachment(rig: &Rig) -> Result<(Value, String)> {
    let attachments = rig.attachments(INTERFACE)?;
    let xdp = attachments.iter().find(|one| one["program"] == XdpUplink.name()).context("no word of XDP")?;
    Ok((xdp["by"].clone(), xdp["reason"].as_str().unwrap_or_default().to_owned()))
}

#[test]
fn native_is_xdp_in_the_driver() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).start()?;
    assert_eq!(attachment(&rig)?, ("native-xdp".into(), String::new()));
    Ok(())
}

#[test]
fn auto_leaves_a_veth_to_tc_and_says_why() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Auto).start()?;
    let (by, reason) = attachment(&rig)?;
    assert_eq!(by, Value::Null);
    assert!(reason.contains("veth"), "{reason:?}");
    serves_remote_backends(&rig, false)
}

#[test]
fn generic_is_xdp_in_the_stack() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Generic).start()?;
    assert_eq!(attachment(&rig)?.0, "generic-xdp");
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

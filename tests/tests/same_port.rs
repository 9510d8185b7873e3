//! One client port towards two frontends with one backend: the backend's replies tell the two apart.

use anyhow::Result;
use std::net::SocketAddr;
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{Host, Rig, Service, Xdp, conversation::Answer, plan::KINDS, with_and_without_xdp};

/// The port that the client uses for both; outside of what is reserved for SNAT.
const PORT: u16 = 41000;

with_and_without_xdp!(with_a_local_backend, with_a_remote_backend);

fn with_a_local_backend(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.pod("backend")?;
    both_frontends_answer(&rig, rig.client(), &backend, |service, family| rig.node_port(service, family))
}

fn with_a_remote_backend(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let backend = rig.remote_pod("backend")?;
    both_frontends_answer(&rig, rig.client(), &backend, |service, family| rig.node_port(service, family))
}

#[test]
fn from_a_pod_to_a_local_backend() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    both_frontends_answer(&rig, &pod, &backend, Service::cluster_ip)
}

#[test]
fn from_a_pod_to_a_remote_backend() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.remote_pod("backend")?);
    both_frontends_answer(&rig, &pod, &backend, Service::cluster_ip)
}

#[test]
fn from_a_pod_to_itself() -> Result<()> {
    let rig = Rig::routed().start()?;
    let pod = rig.pod("pod")?;
    both_frontends_answer(&rig, &pod, &pod, Service::cluster_ip)
}

fn both_frontends_answer(
    rig: &Rig,
    client: &Host,
    backend: &Host,
    frontend: impl Fn(&Service, Family) -> SocketAddr,
) -> Result<()> {
    let services = [1, 2].map(|number| Service::number(number).behind([backend]));
    rig.apply(&services.each_ref())?;
    for (family, protocol) in KINDS {
        let [first, second] = services
            .each_ref()
            .map(|service| client.dial(protocol, frontend(service, family)).from_port(PORT));
        let answers: [Answer; 2] = match protocol {
            Protocol::Tcp => {
                let mut open = [first.connect()?, second.connect()?];
                for connection in &mut open {
                    connection.echo()?;
                }
                open[0].download(100_000)?;
                open[1].download(100_000)?;
                open[0].echo()?;
                open.each_ref().map(|connection| connection.answer().clone())
            }
            Protocol::Udp => {
                let open = [first.exchange()?, second.exchange()?];
                let answers = [open[0].ask()?, open[1].ask()?];
                assert_eq!([open[0].ask()?, open[1].ask()?], answers);
                answers
            }
        };
        assert_ne!(answers[0].client, answers[1].client, "the backend cannot tell them apart");
        assert_eq!(answers[0].client.ip(), answers[1].client.ip());
    }
    Ok(())
}

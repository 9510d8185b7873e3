//! One client port towards two frontends with one backend, or towards a frontend and its backend: the backend's
//! replies tell the two apart.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::{Answer, Connection},
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS},
    with_and_without_xdp,
};

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

#[test]
fn a_connection_straight_to_the_backend_keeps_its_peer_beside_one_to_the_service() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend, remote) = (rig.pod("pod")?, rig.pod("backend")?, rig.remote_pod("remote")?);
    let services = [(Service::number(1), &backend), (Service::number(2), &remote)];
    let services = services.map(|(service, backend)| (service.behind([backend]), backend));
    rig.apply(&services.each_ref().map(|(service, _)| service))?;
    let mut ports = PORT..;
    let mut orders = [true, false].into_iter().cycle();
    for (service, backend) in &services {
        for (family, protocol) in KINDS.into_iter().flat_map(|kind| [kind, kind]) {
            let port = ports.next().context("a port")?;
            let straight = SocketAddr::new(backend.address(family), TARGET_PORT);
            let targets = [service.cluster_ip(family), straight];
            let [first, second] = if orders.next() == Some(true) { [0, 1] } else { [1, 0] };
            let call = |target: usize| pod.dial(protocol, targets[target]).from_port(port);
            let case = format!("{protocol} to {} and then to {}", targets[first], targets[second]);
            match protocol {
                Protocol::Tcp => {
                    let mut open = [call(first).connect()?, call(second).connect().context(case.clone())?];
                    for _ in 0..2 {
                        open.iter_mut().try_for_each(Connection::echo).context(case.clone())?;
                    }
                    assert_ne!(open[0].answer().client, open[1].answer().client, "{case}");
                }
                Protocol::Udp | Protocol::Sctp => {
                    let open = [call(first).exchange()?, call(second).exchange()?];
                    for _ in 0..2 {
                        for exchange in &open {
                            assert_eq!(exchange.ask().context(case.clone())?.by, backend.name(), "{case}");
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_port_is_free_for_the_backend_itself_once_its_connection_to_the_service_is_closed() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let call = |target| pod.tcp(target).from_port(PORT).connect();
        call(service.cluster_ip(family))?.reset()?;
        let straight = call(SocketAddr::new(backend.address(family), TARGET_PORT))?;
        assert_eq!(straight.answer().client, SocketAddr::new(pod.address(family), PORT), "its own port");
    }
    Ok(())
}

#[test]
fn a_connection_that_the_backend_remembers_is_in_nobodys_way() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let services = [1, 2].map(|number| Service::number(number).behind([&backend]));
    rig.apply(&services.each_ref())?;
    for family in FAMILIES {
        let call = |service: &Service| pod.tcp(service.cluster_ip(family)).from_port(PORT).connect();
        let mut ended = call(&services[0])?;
        ended.send("bye")?;
        ended.await_end()?;
        let remembered = ended.answer().client;
        drop(ended);
        let next = call(&services[1])?;
        assert_ne!(next.answer().client, remembered, "{family}: the backend has it in TIME-WAIT");
    }
    Ok(())
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
            Protocol::Udp | Protocol::Sctp => {
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

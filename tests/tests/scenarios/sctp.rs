//! SCTP, by packets of the scenarios' own: associations go through, with the right addresses, ports and CRC-32c
//! at both ends, and what cannot be served is refused. The ports change on the way: the Service's is not its
//! backends'.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_common::{
    counters::Program::{self, TcPodEgress, TcPodIngress, TcUplinkEgress, TcUplinkIngress, XdpUplink},
    sctp::chunk,
};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    frame::{Path, verify_checksums},
    icmp::{IcmpError, PORT_UNREACHABLE},
    links,
    manifest::TARGET_PORT,
    plan::FAMILIES,
    pods::veth,
    sctp::Sctp,
    wait::{SOON, until},
    wire::{Sees, Wire},
    with_and_without_xdp,
};

/// In the range for SNAT, so that it would stay if it could.
const PORT: u16 = 20000;

with_and_without_xdp!(
    an_association_of_a_client_outside_goes_through,
    a_second_frontend_of_one_backend_gets_another_port,
    a_client_outside_is_refused_where_nobody_serves,
);

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToBackend,
    ToClient,
}

/// The verification tags that the two ends chose.
const CLIENTS_TAG: u32 = 0x1111_1111;
const BACKENDS_TAG: u32 = 0x2222_2222;

/// An association from its beginning to its end: first chunks, and what stands in them behind their headers.
fn association() -> Vec<(Way, u8, Vec<u8>)> {
    use Way::{ToBackend, ToClient};
    // The sender's tag, its window, streams out and in, and its first sequence number.
    let init = |tag: u32| [&tag.to_be_bytes()[..], &[0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]].concat();
    // Its sequence number, stream, number in that, and protocol; then what the application sent.
    let data = |length| [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &vec![7; length]].concat();
    let acknowledged = [0, 0, 0, 1];
    let sack = [&acknowledged[..], &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
    vec![
        (ToBackend, chunk::INIT, init(CLIENTS_TAG)),
        (ToClient, chunk::INIT_ACK, init(BACKENDS_TAG)),
        (ToBackend, chunk::COOKIE_ECHO, vec![9; 200]),
        (ToClient, chunk::COOKIE_ACK, vec![]),
        (ToBackend, chunk::DATA, data(1)),
        (ToClient, chunk::SACK, sack),
        (ToClient, chunk::DATA, data(1000)),
        (ToBackend, chunk::DATA, data(1401)),
        (ToBackend, chunk::SHUTDOWN, acknowledged.to_vec()),
        (ToClient, chunk::SHUTDOWN_ACK, vec![]),
        (ToBackend, chunk::SHUTDOWN_COMPLETE, vec![]),
    ]
}

/// A client that speaks SCTP to a frontend, and the backend that is to answer.
struct Talk<'a> {
    backend: &'a Host,
    at_client: Wire,
    at_backend: Wire,
    /// From the client to the frontend, on the client's wire.
    path: Path,
}

impl<'a> Talk<'a> {
    /// `gateway`: the link-layer address that the client sends to.
    fn new(client: &Host, gateway: [u8; 6], target: SocketAddr, backend: &'a Host) -> Result<Self> {
        let source = SocketAddr::new(client.address(Family::of(target.ip())), PORT);
        let path = Path { macs: (client.mac(), gateway), source, destination: target };
        let (at_client, at_backend) = (client.wire(Sees::All)?, backend.wire(Sees::All)?);
        Ok(Self { backend, at_client, at_backend, path })
    }

    /// Goes through an association from its beginning to its end. Gives what the backend saw as its client.
    fn converse(&self) -> Result<SocketAddr> {
        self.exchange(association())
    }

    /// The same, so far that it is open.
    fn begin(&self) -> Result<SocketAddr> {
        self.exchange(association().into_iter().take_while(|packet| packet.1 != chunk::SHUTDOWN))
    }

    /// Sends each packet, and looks at it where it arrives.
    fn exchange(&self, packets: impl IntoIterator<Item = (Way, u8, Vec<u8>)>) -> Result<SocketAddr> {
        let mut reply = None;
        for (way, chunk, value) in packets {
            let at = || format!("{way:?}, chunk {chunk}");
            match way {
                Way::ToBackend => {
                    let tag = if chunk == chunk::INIT { 0 } else { BACKENDS_TAG };
                    self.at_client.send(&self.path.sctp(tag, chunk, &value)?)?;
                    let (mac, seen) = arrival(&self.at_backend, tag, chunk).with_context(at)?;
                    ensure!(seen.destination == self.backend_address(), "{}: {seen:?}", at());
                    let macs = (self.backend.mac(), mac);
                    let path = Path { macs, source: seen.destination, destination: seen.source };
                    ensure!(reply.is_none_or(|known| known == path), "{}: {seen:?}", at());
                    reply = Some(path);
                }
                Way::ToClient => {
                    let path: Path = reply.context("nobody asked")?;
                    self.at_backend.send(&path.sctp(CLIENTS_TAG, chunk, &value)?)?;
                    let (_, seen) = arrival(&self.at_client, CLIENTS_TAG, chunk).with_context(at)?;
                    let ends = (seen.source, seen.destination);
                    ensure!(ends == (self.path.destination, self.path.source), "{}: {seen:?}", at());
                }
            }
        }
        Ok(reply.context("an association without packets")?.destination)
    }

    /// What an INIT gets where nobody is to answer it.
    fn refusal(&self) -> Result<IcmpError> {
        self.at_client.send(&self.path.sctp(0, chunk::INIT, &association()[0].2)?)?;
        let (error, checksums) = self.at_client.find(SOON, |frame| {
            let error = IcmpError::read(frame)?;
            (error.quoted_source == self.path.source).then(|| (error, verify_checksums(frame)))
        })?;
        checksums?;
        Ok(error)
    }

    fn backend_address(&self) -> SocketAddr {
        SocketAddr::new(self.backend.address(Family::of(self.path.source.ip())), TARGET_PORT)
    }
}

/// The next packet with a tag and first chunk, with its source's link-layer address; its checksums are right.
fn arrival(wire: &Wire, tag: u32, chunk: u8) -> Result<([u8; 6], Sctp)> {
    let (mac, seen, checksums) = wire.find(SOON, |frame| {
        let seen = Sctp::read(frame).filter(|seen| (seen.tag, seen.chunk) == (tag, chunk))?;
        Some((*frame[6..].first_chunk()?, seen, verify_checksums(frame)))
    })?;
    checksums?;
    Ok((mac, seen))
}

/// The link-layer address that a pod of the node sends to.
fn gateway(rig: &Rig, pod: &Host) -> Result<[u8; 6]> {
    let interface = veth(pod.name());
    links::configure(rig.node().namespace(), async |links| links.mac(&interface).await)
}

fn an_association_of_a_client_outside_goes_through(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let accelerated = if xdp == Xdp::Native { XdpUplink } else { TcUplinkIngress };
    let ways = [
        (&local, rig.client(), (TcUplinkIngress, TcUplinkEgress)),
        (&remote, rig.node(), (accelerated, accelerated)),
    ];
    for (backend, seen, programs) in ways {
        let service = Service::number(1).with_sctp().behind([backend]);
        rig.apply(&[&service])?;
        for family in FAMILIES {
            let talk = Talk::new(rig.client(), rig.node().mac(), rig.node_port(&service, family), backend)?;
            let client = goes_through(&rig, &talk, programs)?;
            assert_eq!(client, SocketAddr::new(seen.address(family), PORT));
        }
    }
    assert_eq!(rig.losses(&[&local, &remote])?, [] as [String; 0]);
    Ok(())
}

#[test]
fn an_association_of_a_pod_goes_through() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let ways = [
        (&local, &pod, (TcPodIngress, TcPodEgress)),
        (&remote, &pod, (TcPodIngress, TcPodEgress)),
        (&pod, rig.node(), (TcPodIngress, TcPodIngress)),
    ];
    for (backend, seen, programs) in ways {
        let service = Service::number(1).with_sctp().behind([backend]);
        rig.apply(&[&service])?;
        for family in FAMILIES {
            let talk = Talk::new(&pod, gateway(&rig, &pod)?, service.cluster_ip(family), backend)?;
            let client = goes_through(&rig, &talk, programs)?;
            assert_eq!(client, SocketAddr::new(seen.address(family), PORT));
        }
    }
    assert_eq!(rig.losses(&[&pod, &local, &remote])?, [] as [String; 0]);
    Ok(())
}

/// All of an association arrives, by the work of these programs, and is known as closed in the end. Gives
/// the client that the backend saw.
fn goes_through(rig: &Rig, talk: &Talk, (forwarder, replier): (Program, Program)) -> Result<SocketAddr> {
    let mut client = None;
    let work = rig.work_of(|| {
        client = Some(talk.converse()?);
        Ok(())
    });
    let way = || format!("{} to {}", talk.path.destination, talk.backend.name());
    let work = work.with_context(way)?;
    // Besides, kernels without SCTP say so to every packet, and these errors are translated too.
    let sent = |way| association().iter().filter(|packet| packet.0 == way).count() as u64;
    ensure!(work.forwarded(forwarder) >= sent(Way::ToBackend), "{}: {work:?}", way());
    ensure!(work.replied(replier) >= sent(Way::ToClient), "{}: {work:?}", way());
    let flows = rig.flows()?;
    let its = flows.iter().filter(|flow| flow["destination"] == talk.path.destination.to_string());
    let states: Vec<_> = its.map(|flow| (flow["protocol"].clone(), flow["state"].clone())).collect();
    ensure!(states == [("SCTP".into(), "closed".into())], "{states:?}");
    client.context("no client was seen")
}

/// One client port towards two frontends with one backend.
fn a_second_frontend_of_one_backend_gets_another_port(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    for backend in [&local, &remote] {
        let services = [1, 2].map(|number| Service::number(number).with_sctp().behind([backend]));
        rig.apply(&services.each_ref())?;
        for family in FAMILIES {
            let talk = |number: usize| {
                let target = rig.node_port(&services[number], family);
                Talk::new(rig.client(), rig.node().mac(), target, backend)
            };
            // Half an association, so that it stays open.
            let keeper = talk(0)?.begin()?;
            let other = talk(1)?.converse()?;
            assert_eq!(other.ip(), keeper.ip(), "{family}");
            assert_ne!(other.port(), keeper.port(), "{family}: the backend cannot tell them apart");
        }
    }
    Ok(())
}

#[test]
fn each_protocol_of_one_port_reaches_its_own_backend() -> Result<()> {
    let rig = Rig::routed().start()?;
    let backends = [rig.pod("tcp")?, rig.pod("udp")?, rig.pod("sctp")?];
    let pod = rig.pod("pod")?;
    let service = Service::number(1).with_sctp();
    let slices = backends.each_ref().map(|backend| slices(&service, backend));
    rig.write_file("slices.yaml", &slices.concat())?;
    rig.write(&[&service])?;
    for family in FAMILIES {
        let target = service.cluster_ip(family);
        let served = || Ok(rig.served()?.iter().all(|port| port.backends.len() == 1).then_some(()));
        until("the agent serves all three", SOON, served)?;
        assert_eq!(pod.tcp(target).ask()?.by, "tcp");
        assert_eq!(pod.udp(target).ask()?.by, "udp");
        Talk::new(&pod, gateway(&rig, &pod)?, target, &backends[2])?.converse()?;
    }
    Ok(())
}

/// A socket of the kernel leaves the checksum zero where the interface says that it would compute it.
#[test]
fn a_checksum_that_nobody_has_computed_stays_zero() -> Result<()> {
    let rig = Rig::routed().with_offloads().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).with_sctp().behind([&backend]);
    rig.apply(&[&service])?;
    for (family, transport) in FAMILIES.into_iter().zip([34, 54]) {
        let talk = Talk::new(&pod, gateway(&rig, &pod)?, service.cluster_ip(family), &backend)?;
        let field = transport + 8;
        let mut frame = talk.path.sctp(0, chunk::INIT, &association()[0].2)?;
        frame[usize::from(field)..][..4].fill(0);
        talk.at_client.send_unfinished(&frame, transport, field)?;
        let seen = talk.at_backend.find(SOON, Sctp::read)?;
        assert_eq!((seen.destination, seen.checksum), (talk.backend_address(), 0), "{family}");
    }
    Ok(())
}

/// EndpointSlices of one backend, for the port that is named as it is.
fn slices(service: &Service, backend: &Host) -> String {
    let (service, name) = (service.name(), backend.name());
    let protocol = name.to_uppercase();
    let slice = |family: Family| {
        let address = backend.address(family);
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-{address_type}, namespace: default, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: {family}
ports: [{{name: {name}, protocol: {protocol}, port: {TARGET_PORT}}}]
endpoints: [{{addresses: [\"{address}\"], conditions: {{ready: true}}}}]
",
            address_type = family.to_string().to_lowercase()
        )
    };
    FAMILIES.map(slice).concat()
}

fn a_client_outside_is_refused_where_nobody_serves(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let nobody = rig.pod("nobody")?;
    let service = Service::number(1).with_sctp();
    rig.apply(&[&service])?;
    let rejecter = if xdp == Xdp::Native { XdpUplink } else { TcUplinkIngress };
    for family in FAMILIES {
        let talk = Talk::new(rig.client(), rig.node().mac(), rig.node_port(&service, family), &nobody)?;
        is_refused(&rig, &talk, family, rejecter)?;
    }
    Ok(())
}

#[test]
fn a_pod_is_refused_where_nobody_serves() -> Result<()> {
    let rig = Rig::routed().start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    // Its port is served by TCP and UDP: SCTP is another.
    let (empty, other) = (Service::number(1).with_sctp(), Service::number(2).behind([&backend]));
    rig.apply(&[&empty, &other])?;
    for family in FAMILIES {
        let unserved = SocketAddr::new(empty.cluster_ip(family).ip(), 81);
        for target in
            [empty.cluster_ip(family), rig.node_port(&empty, family), unserved, other.cluster_ip(family)]
        {
            let talk = Talk::new(&pod, gateway(&rig, &pod)?, target, &backend)?;
            is_refused(&rig, &talk, family, TcPodIngress)?;
        }
    }
    Ok(())
}

/// The client hears from the frontend that nobody is there.
fn is_refused(rig: &Rig, talk: &Talk, family: Family, rejecter: Program) -> Result<()> {
    let mut refusal = None;
    let work = rig.work_of(|| {
        refusal = Some(talk.refusal()?);
        Ok(())
    })?;
    let refusal = refusal.context("no refusal")?;
    assert_eq!(work.rejected_by(), [rejecter], "{}", talk.path.destination);
    assert_eq!(refusal.kind, PORT_UNREACHABLE[usize::from(family == Family::V6)]);
    assert_eq!((refusal.source, refusal.destination), (talk.path.destination.ip(), talk.path.source.ip()));
    assert_eq!(refusal.quoted_destination, talk.path.destination);
    Ok(())
}

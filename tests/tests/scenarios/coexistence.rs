//! Other people's programs, filters and masquerades on the same node.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use svc_lb::{compile::Protocol, status::Hook};
use svc_lb_common::counters::Program::{self, TcUplinkIngress, XdpUplink};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::Standing,
    dial::Dial,
    frame::{Packet, Path, verify_checksums},
    host::INTERFACE,
    manifest::TARGET_PORT,
    nftables::policy::masquerade_to_port,
    plan::{FAMILIES, KINDS},
    pods::veth,
    tap::{
        Direction::{self, Egress, Ingress},
        Stand, Tap,
    },
    wait::{SOON, until},
    wire::Sees,
    with_and_without_xdp,
    xdp_pass::XdpPass,
};

with_and_without_xdp!(
    foreign_classifiers_see_what_is_ours_translated_behind_us_and_nothing_else_changed,
    a_pod_masqueraded_to_a_node_port_converses_and_so_do_clients_of_that_node_port,
    a_node_that_calls_from_a_node_port_converses_and_so_do_clients_of_that_node_port,
);

/// Classifiers of somebody else at one hook: before ours, behind it by tcx, behind it by clsact.
struct Taps {
    of: &'static str,
    taps: [Tap; 3],
}

impl Taps {
    fn attach(rig: &Rig, of: &'static str, interface: &str, direction: Direction) -> Result<Self> {
        let node = rig.node().namespace();
        let attach = |stand| Tap::attach(node, interface, direction, stand);
        let [first, last, clsact] = Stand::ALL.map(attach);
        Ok(Self { of, taps: [first?, last?, clsact?] })
    }

    /// The one frame with this payload that passed the hook, as each of the three saw it.
    fn saw(&self, payload: &[u8]) -> Result<[Vec<u8>; 3]> {
        let mut views = [const { Vec::new() }; 3];
        for (view, tap) in views.iter_mut().zip(&self.taps) {
            let frames = tap.frames()?;
            let mut ours = frames
                .into_iter()
                .filter(|frame| Packet::read(frame).is_some_and(|packet| packet.payload.ends_with(payload)));
            *view = ours.next().with_context(|| format!("at {} a classifier saw nothing", self.of))?;
            assert_eq!(ours.next(), None, "at {} a classifier saw a frame twice", self.of);
        }
        Ok(views)
    }

    /// The frame passed the hook untouched.
    fn saw_it_unchanged(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let [first, last, clsact] = self.saw(payload)?;
        assert_eq!(first, last, "at {}", self.of);
        assert_eq!(first, clsact, "at {}", self.of);
        Ok(first)
    }

    /// The frame had these addresses before ours, and those behind it: source, destination.
    fn saw_it_translated(
        &self,
        payload: &[u8],
        before: [SocketAddr; 2],
        behind: [SocketAddr; 2],
    ) -> Result<()> {
        let [first, last, clsact] = self.saw(payload)?;
        let addresses = |frame: &[u8]| Packet::read(frame).map(|packet| [packet.source, packet.destination]);
        assert_eq!(addresses(&first), Some(before), "before ours at {}", self.of);
        assert_eq!(addresses(&last), Some(behind), "behind ours at {}", self.of);
        assert_eq!(last, clsact, "at {}", self.of);
        Ok(())
    }
}

fn foreign_classifiers_see_what_is_ours_translated_behind_us_and_nothing_else_changed(
    xdp: Xdp,
) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    let uplink_in = Taps::attach(&rig, "uplink ingress", INTERFACE, Ingress)?;
    let uplink_out = Taps::attach(&rig, "uplink egress", INTERFACE, Egress)?;
    let from_pod = Taps::attach(&rig, "ingress from the pod", &veth("pod"), Ingress)?;
    let to_pod = Taps::attach(&rig, "egress to the pod", &veth("pod"), Egress)?;
    let client = rig.client();
    for family in FAMILIES {
        // What is not ours: from the client to the pod itself, and back.
        let path = Path {
            macs: (client.mac(), rig.node().mac()),
            source: SocketAddr::new(client.address(family), 42000),
            destination: SocketAddr::new(pod.address(family), TARGET_PORT),
        };
        let (sent, answers) = (path.udp(b"not ours")?, client.wire(Sees::All)?);
        answers.send(&sent)?;
        let answer = answers.find(SOON, |frame| {
            let packet = Packet::read(frame)?;
            (packet.source == path.destination).then(|| frame.to_vec())
        })?;
        verify_checksums(&answer)?;
        assert_eq!(uplink_in.saw_it_unchanged(b"not ours")?, sent);
        to_pod.saw_it_unchanged(b"not ours")?;
        from_pod.saw_it_unchanged(b"not ours")?;
        uplink_out.saw_it_unchanged(b"not ours")?;

        // What is ours, from outside.
        let exchange = client.udp(rig.node_port(&service, family)).exchange()?;
        exchange.ask_with(b"from outside")?;
        let client_end = SocketAddr::new(client.address(family), exchange.local()?.port());
        let (node_port, target) =
            (rig.node_port(&service, family), SocketAddr::new(backend.address(family), TARGET_PORT));
        uplink_in.saw_it_translated(b"from outside", [client_end, node_port], [client_end, target])?;
        uplink_out.saw_it_translated(b"from outside", [target, client_end], [node_port, client_end])?;

        // What is ours, from a pod.
        let exchange = pod.udp(service.cluster_ip(family)).exchange()?;
        exchange.ask_with(b"from a pod")?;
        let (pod_end, cluster_ip) = (exchange.local()?, service.cluster_ip(family));
        from_pod.saw_it_translated(b"from a pod", [pod_end, cluster_ip], [pod_end, target])?;
        to_pod.saw_it_translated(b"from a pod", [target, pod_end], [cluster_ip, pod_end])?;

        for dial in [client.tcp(node_port), pod.tcp(cluster_ip)] {
            dial.connect()?.download(100_000)?;
        }
    }
    Ok(())
}

#[test]
fn a_foreign_xdp_program_leaves_the_work_to_tc_until_it_goes() -> Result<()> {
    let rig = Rig::routed().xdp(Xdp::Native).start()?;
    let backend = rig.remote_pod("backend")?;
    let service = Service::number(1).behind([&backend]);
    rig.stop_agent(Signal::SIGTERM)?;
    rig.svc_lb(&["cleanup"])?;

    let foreign = XdpPass::attach(rig.node().namespace(), INTERFACE)?;
    rig.start_agent()?;
    rig.apply(&[&service])?;
    let refused = rig.xdp_attachment(INTERFACE)?;
    assert_eq!((refused.by, &*refused.reason), (None, "another XDP program is attached"));
    finishes(&rig, &service, TcUplinkIngress)?;

    drop(foreign);
    // Whatever happens to an interface lets the agent try again what did not succeed.
    let _pod = rig.pod("pod")?;
    until("XDP is attached", SOON, || {
        Ok((rig.xdp_attachment(INTERFACE)?.by == Some(Hook::NativeXdp)).then_some(()))
    })?;
    finishes(&rig, &service, XdpUplink)
}

/// Clients of the NodePort of a remote backend are served, by one program.
fn finishes(rig: &Rig, service: &Service, finisher: Program) -> Result<()> {
    for (family, protocol) in KINDS {
        let work = rig.work_of(|| {
            let answer = rig.client().dial(protocol, rig.node_port(service, family)).ask()?;
            assert_eq!(answer.client.ip(), rig.node().address(family));
            Ok(())
        })?;
        assert_eq!((work.forwarded_by(), work.replied_by()), (vec![finisher], vec![finisher]));
    }
    Ok(())
}

fn a_pod_masqueraded_to_a_node_port_converses_and_so_do_clients_of_that_node_port(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let pod = rig.pod("pod")?;
    for family in FAMILIES {
        masquerade_to_port(rig.node().namespace(), pod.address(family), Service::number(1).node_port())?;
    }
    converses_beside_clients(&rig, |target, protocol| pod.dial(protocol, target))
}

fn a_node_that_calls_from_a_node_port_converses_and_so_do_clients_of_that_node_port(xdp: Xdp) -> Result<()> {
    let rig = Rig::routed().xdp(xdp).start()?;
    let port = Service::number(1).node_port();
    converses_beside_clients(&rig, |target, protocol| rig.node().dial(protocol, target).from_port(port))
}

/// Somebody calls a server outside, which sees the node's address and nodePort, while the same server's
/// host is a client of that NodePort.
fn converses_beside_clients<'a>(
    rig: &'a Rig,
    caller: impl Fn(SocketAddr, Protocol) -> Dial<'a>,
) -> Result<()> {
    let (local, remote) = (rig.pod("local")?, rig.remote_pod("remote")?);
    let (outside, service) = (rig.client(), Service::number(1));
    outside.serve(TARGET_PORT)?;
    for (family, protocol) in KINDS {
        let node_port = rig.node_port(&service, family);
        let mut standing = Standing::by(&caller((outside.address(family), TARGET_PORT).into(), protocol))
            .with_context(|| format!("{protocol} {family}"))?;
        assert_eq!(standing.answer().client, node_port, "{protocol} {family}");
        for backend in [&local, &remote] as [&Host; 2] {
            rig.apply(&[&service.behind([backend])])?;
            let mut client = Standing::begin(outside, protocol, node_port)?;
            assert_eq!(client.backend(), backend.name());
            let work = rig.work_of(|| Ok((0..3).try_for_each(|_| standing.go_on())?))?;
            assert!(work.is_empty(), "{protocol} {family}: {work:?}");
            client.go_on().with_context(|| format!("a client by {protocol} {family}"))?;
        }
    }
    assert_eq!(rig.counters()?.all_drops(), 0);
    Ok(())
}

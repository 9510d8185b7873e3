//! A process of the node or of a pod that speaks to a Service is sent straight to a backend: it believes to
//! speak to the Service, and none of its packets is translated.

use anyhow::{Context, Result, ensure};
use std::{
    io::ErrorKind::{AddrNotAvailable, ConnectionRefused},
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use svc_lb::compile::Family;
use svc_lb_common::counters::Program::{self, SockSendmsg4, TcPodEgress, TcPodIngress};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    calls::{Call, Manner, SOCKETS},
    cgroup::Cgroup,
    counters::Counters,
    dial::Tally,
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS},
};

/// What "at once" may be on a busy machine. TCP sends its second SYN after twice that time.
const AT_ONCE: Duration = Duration::from_millis(500);

fn start() -> Result<Rig> {
    Rig::routed().socket_lb(SocketLb::On).start()
}

/// A client asks a server, which sees the client's own address; the client sees the address that it asked.
fn asks(client: &Host, call: Call, target: SocketAddr, server: &Host) -> Result<()> {
    let ask = || -> Result<()> {
        let (answer, peer) = call.ask(client, target)?;
        ensure!(answer.by == server.name(), "{} answered", answer.by);
        ensure!(client.has(answer.client.ip()), "the server saw {}", answer.client);
        ensure!(peer == call.target(target), "the client saw {peer}");
        Ok(())
    };
    ask().with_context(|| format!("{} to {target}, {call:?}", client.name()))
}

/// No packet was translated: only these programs did something.
fn only(work: &Counters, programs: &[Program]) {
    assert_eq!(work.forwarded_by(), programs, "{work:?}");
    let others = [work.replied_by(), work.rejected_by(), work.dropped_by()].concat();
    assert!(others.iter().all(|program| Program::SOCKETS.contains(program)), "{work:?}");
    assert_eq!(work.all_drops(), 0, "{work:?}");
}

#[test]
fn every_way_to_speak_reaches_every_backend_by_the_clients_own_address_and_shows_the_service() -> Result<()> {
    let rig = start()?;
    rig.node().serve(TARGET_PORT)?;
    let (pod, local, remote) = (rig.pod("pod")?, rig.pod("local")?, rig.remote_pod("remote")?);
    let backends = [&local, &remote, rig.node(), &pod];
    let services: Vec<_> =
        (1..).zip(backends).map(|(number, backend)| Service::number(number).behind([backend])).collect();
    rig.apply(&services.iter().collect::<Vec<_>>())?;
    for call in Call::all() {
        let work = rig.work_of(|| {
            for (service, backend) in services.iter().zip(backends) {
                for target in [service.cluster_ip(call.address), rig.node_port(service, call.address)] {
                    asks(&pod, call, target, backend)?;
                    asks(rig.node(), call, target, backend)?;
                }
            }
            Ok(())
        })?;
        only(&work, &[call.program()]);
        assert_eq!(work.forwarded(call.program()), 16, "{call:?}: two clients, eight addresses");
        for service in &services {
            assert_eq!(work.socket_connections(service, call.protocol(), call.address), 4, "{call:?}");
            assert_eq!(work.new_flows(service, call.protocol(), call.address), 0, "{call:?}");
        }
    }
    assert!(rig.flows()?.is_empty());
    assert_eq!(rig.losses(&[&pod, &local, &remote])?, [] as [String; 0]);
    Ok(())
}

#[test]
fn what_is_no_frontend_is_left_alone() -> Result<()> {
    let rig = start()?;
    let (pod, backend, remote) = (rig.pod("pod")?, rig.pod("backend")?, rig.remote_pod("remote")?);
    rig.apply(&[&Service::number(1).behind([&backend, &remote])])?;
    // The node's address is a frontend at the nodePort alone, and nobody's at the port of the ClusterIP.
    let servers = [&backend, &remote, rig.client(), rig.node()];
    for server in [rig.client(), rig.node()] {
        server.serve(TARGET_PORT)?;
    }
    let work = rig.work_of(|| {
        for call in Call::all() {
            for server in servers {
                let target = (server.address(call.address), TARGET_PORT).into();
                asks(&pod, call, target, server)?;
                asks(rig.node(), call, target, server)?;
            }
        }
        Ok(())
    })?;
    assert!(work.is_empty(), "{work:?}");
    Ok(())
}

#[test]
fn what_nobody_serves_is_refused_by_the_call_itself() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let (served, empty) = (Service::number(1).behind([&backend]), Service::number(2));
    rig.apply(&[&served, &empty])?;
    for call in Call::all() {
        let no_service = SocketAddr::new(served.cluster_ip(call.address).ip(), 81);
        let targets = [empty.cluster_ip(call.address), rig.node_port(&empty, call.address), no_service];
        let calls = targets.iter().flat_map(|target| [(&pod, target), (rig.node(), target)]);
        let is_probe = |client: &Host, target| {
            client.name() == pod.name() && call.manner == Manner::Connected && target == no_service
        };
        let work = rig.work_of(|| {
            for (client, target) in calls.filter(|(client, target)| !is_probe(client, **target)) {
                let start = Instant::now();
                let error = call.begin(client, *target)?.expect_err("nobody is there");
                assert_eq!(error.kind(), ConnectionRefused, "{call:?} to {target}: {error}");
                assert!(start.elapsed() < AT_ONCE, "{call:?} to {target}: {:?}", start.elapsed());
            }
            Ok(())
        })?;
        only(&work, &[]);
        assert_eq!(work.rejected_by(), [call.program()], "{call:?}");
    }
    Ok(())
}

#[test]
fn a_pod_may_connect_a_udp_socket_to_no_service_and_is_refused_when_it_sends() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for (socket, family) in SOCKETS {
        let call = Call { manner: Manner::Connected, socket, address: family };
        let target = call.target(SocketAddr::new(service.cluster_ip(family).ip(), 81));
        let work = rig.work_of(|| {
            let exchange = pod.udp(target).exchange()?;
            assert_eq!(exchange.peer()?, target);
            assert_eq!(exchange.ask().expect_err("nobody is there").kind(), ConnectionRefused);
            Ok(())
        })?;
        assert_eq!(work.forwarded_by(), []);
        // To a mapped address the kernel sends by name.
        let sends_by_name = (socket != family).then_some(SockSendmsg4);
        assert_eq!(work.rejected_by(), [sends_by_name.unwrap_or(TcPodIngress)], "{call:?}");
    }
    Ok(())
}

#[test]
fn a_refused_socket_connects_to_a_service_that_has_endpoints_again() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let service = Service::number(1);
    rig.apply(&[&service])?;
    let sockets = [pod.unconnected(Family::V4)?, rig.node().unconnected(Family::V4)?];
    for socket in &sockets {
        socket.ask(service.cluster_ip(Family::V4)).expect_err("nobody is there");
    }
    rig.apply(&[&service.behind([&backend])])?;
    for socket in sockets {
        assert_eq!(socket.ask(service.cluster_ip(Family::V4))?.0.by, "backend");
        assert_eq!(socket.connect(service.cluster_ip(Family::V4))?.ask()?.by, "backend");
    }
    Ok(())
}

#[test]
fn pods_inside_and_outside_the_cgroup_and_the_node_take_exact_turns() -> Result<()> {
    let rig = start()?;
    let (inside, outside) = (rig.pod("inside")?, rig.pod_outside_the_cgroup("outside")?);
    let backends = [rig.pod("one")?, rig.pod("two")?, rig.remote_pod("three")?];
    let service = Service::number(1).behind(&backends);
    rig.apply(&[&service])?;
    let clients = [&inside, &outside, rig.node(), &outside];
    for (family, protocol) in KINDS {
        let target = service.cluster_ip(family);
        let work = rig.work_of(|| {
            // One after the other.
            let asked = clients.iter().cycle().take(12).map(|client| client.dial(protocol, target).ask());
            let turns = asked.map(|answer| Ok(answer?.by)).collect::<Result<Vec<_>>>()?;
            assert!(turns.chunks(3).all(|turn| turn == &turns[..3]), "{protocol} {family}: {turns:?}");
            // And all at once.
            let tallies = thread::scope(|scope| {
                let ask = |client: &Host| Ok(client.dial(protocol, target).threads(2).times(150)?);
                let threads = clients.map(|client| scope.spawn(move || ask(client)));
                threads.map(|thread| thread.join().expect("no panic")).into_iter().collect::<Result<Vec<_>>>()
            })?;
            assert_eq!(sum(&tallies), [("one", 200), ("two", 200), ("three", 200)], "{protocol} {family}");
            Ok(())
        })?;
        assert_eq!(work.new_flows(&service, protocol, family), 306);
        assert_eq!(work.socket_connections(&service, protocol, family), 306);
        let connects = Call { manner: Manner::Tcp, socket: family, address: family }.program();
        assert_eq!(work.forwarded_by(), [TcPodIngress, connects]);
        assert_eq!(work.replied_by(), [TcPodEgress]);
    }
    Ok(())
}

#[test]
fn one_port_of_a_client_cannot_have_two_connections_with_one_backend() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let services = [1, 2].map(|number| Service::number(number).behind([&backend]));
    rig.apply(&services.each_ref())?;
    for family in FAMILIES {
        for client in [&pod, rig.node()] {
            let [first, second] =
                services.each_ref().map(|service| client.tcp(service.cluster_ip(family)).from_port(41000));
            let mut standing = first.connect()?;
            // Nobody translates, so the kernel itself could not tell the two apart: it says so.
            let error = second.begin().expect_err("the port has that connection already");
            assert_eq!(error.kind(), AddrNotAvailable, "{error}");
            standing.echo()?;
        }
    }
    Ok(())
}

fn sum(tallies: &[Tally]) -> Tally {
    let mut sum = Tally::default();
    for (name, count) in tallies.iter().flat_map(|tally| &tally.0) {
        *sum.0.entry(name.clone()).or_default() += count;
    }
    sum
}

#[test]
fn what_is_remembered_of_a_connection_goes_with_its_socket() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let services = [1, 2, 3].map(|number| Service::number(number).behind([&backend]));
    rig.apply(&services.each_ref())?;
    let mut open = Vec::new();
    for call in Call::all().filter(|call| call.manner == Manner::Tcp) {
        let target = call.target(services[0].cluster_ip(call.address));
        for client in [&pod, rig.node()] {
            open.push(client.tcp(target).connect()?);
            client.tcp(target).connect()?.reset()?;
        }
    }
    assert_eq!(rig.entries("connections")?, 6);
    drop(open);
    assert_eq!(rig.entries("connections")?, 0);
    // The first Service is kept with the socket itself, the further ones each by its frontend, and by the one
    // backend that they have.
    let socket = pod.unconnected(Family::V4)?;
    for service in &services {
        socket.ask(service.cluster_ip(Family::V4))?;
    }
    assert_eq!(rig.entries("socket_peers")?, 3);
    Ok(())
}

#[test]
fn a_pod_in_a_cgroup_below_is_served_and_one_in_a_cgroup_beside_is_not() -> Result<()> {
    let rig = start()?;
    let cgroup = rig.cgroup().context("a rig with a cgroup")?;
    let (below, beside) = (Arc::new(Cgroup::below(cgroup)?), Arc::new(Cgroup::new()?));
    let backend = rig.pod("backend")?;
    let (served, not_served) = (rig.pod_in(Some(&below), "below")?, rig.pod_in(Some(&beside), "beside")?);
    let service = Service::number(1).behind([&backend]);
    rig.apply(&[&service])?;
    for family in FAMILIES {
        let ask = |pod: &Host| rig.work_of(|| Ok(pod.tcp(service.cluster_ip(family)).ask().map(drop)?));
        let connects = Call { manner: Manner::Tcp, socket: family, address: family }.program();
        assert_eq!(ask(&served)?.forwarded_by(), [connects]);
        assert_eq!(ask(&not_served)?.forwarded_by(), [TcPodIngress]);
    }
    Ok(())
}

#[test]
fn status_shows_the_cgroup_and_what_is_attached_to_it() -> Result<()> {
    let rig = start()?;
    let cgroup = rig.cgroup().context("a rig with a cgroup")?;
    let said = rig.socket_lb()?;
    assert_eq!((said.cgroup.as_deref(), &*said.reason), (Some(cgroup.path()), ""));
    let mut names = said.programs;
    names.sort_unstable();
    let mut expected = Program::SOCKETS.map(Program::name);
    expected.sort_unstable();
    assert_eq!(names, expected);
    let text = String::from_utf8(rig.svc_lb(&["status"])?.stdout)?;
    assert!(text.contains(cgroup.path().to_str().context("a name in UTF-8")?), "{text}");
    Ok(())
}

#[test]
fn status_says_that_the_nodes_own_processes_are_not_served_when_it_is_off() -> Result<()> {
    let rig = Rig::routed().start()?;
    let said = rig.socket_lb()?;
    assert!(said.cgroup.is_none() && said.programs.is_empty(), "{said:?}");
    let text = String::from_utf8(rig.svc_lb(&["status"])?.stdout)?;
    assert!(text.contains("the node's own processes are not served"), "{text}");
    Ok(())
}

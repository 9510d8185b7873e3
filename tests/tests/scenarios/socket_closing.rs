//! An endpoint goes: the UDP sockets that are connected to it get an error, and nothing else does.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::{
    io::ErrorKind::ConnectionAborted,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    conversation::{Connection, Exchange},
    manifest::TARGET_PORT,
    plan::{FAMILIES, KINDS, mapped},
    wait::until,
};

/// How soon a socket learns that its backend is gone.
const SOON: Duration = Duration::from_secs(2);

fn start() -> Result<Rig> {
    Rig::routed().socket_lb(SocketLb::On).start()
}

/// The addresses at which a Service is asked for: of both families, and the mapped one.
fn targets(service: &Service) -> [SocketAddr; 3] {
    let [v4, v6] = FAMILIES.map(|family| service.cluster_ip(family));
    [v4, v6, mapped(v4)]
}

/// Conversations of some clients with a Service of two backends, with each of them.
struct Conversations {
    udp: Vec<(Exchange, SocketAddr, String)>,
    tcp: Vec<Connection>,
}

impl Conversations {
    fn begin(clients: &[&Host], service: &Service) -> Result<Self> {
        let mut conversations = Self { udp: Vec::new(), tcp: Vec::new() };
        for target in targets(service) {
            for client in clients {
                for _ in 0..2 {
                    let exchange = client.udp(target).exchange()?;
                    let backend = exchange.ask()?.by;
                    conversations.udp.push((exchange, target, backend));
                    conversations.tcp.push(client.tcp(target).connect()?);
                }
            }
        }
        Ok(conversations)
    }

    /// The UDP sockets of a backend that is gone get an error, and may connect again; whatever else there is goes
    /// on.
    fn learn_that_it_is_gone(mut self, gone: &str) -> Result<()> {
        let start = Instant::now();
        let mut closed = Vec::new();
        for (exchange, target, backend) in &self.udp {
            if backend == gone {
                assert!(exchange.has_error_within(SOON)?, "{exchange:?}");
                let error = exchange.await_error()?;
                assert_eq!(error.kind(), ConnectionAborted, "{exchange:?}: {error}");
                closed.push((exchange, target));
            }
        }
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        assert_eq!(closed.len(), self.udp.len() / 2, "half of them had the backend that is gone");
        for (exchange, target) in closed {
            exchange.turn_to(*target)?;
            assert_ne!(exchange.ask().with_context(|| format!("{exchange:?} to {target}"))?.by, gone);
        }
        self.udp.retain(|(_, _, backend)| backend != gone);
        self.go_on()
    }

    fn go_on(&mut self) -> Result<()> {
        for (exchange, _, backend) in &self.udp {
            assert_eq!(&exchange.ask()?.by, backend);
        }
        Ok(self.tcp.iter_mut().try_for_each(Connection::echo)?)
    }
}

/// UDP sockets that speak to a backend by its own address: some from the beginning, some after they spoke to a
/// Service.
fn directly(clients: &[&Host], backend: &Host, service: &Service) -> Result<Vec<Exchange>> {
    let mut exchanges = Vec::new();
    for (client, family) in clients.iter().flat_map(|client| FAMILIES.map(|family| (client, family))) {
        let address = (backend.address(family), TARGET_PORT).into();
        exchanges.push(client.udp(address).exchange()?);
        for _ in 0..2 {
            let turned = client.udp(service.cluster_ip(family)).exchange()?;
            turned.ask()?;
            turned.turn_to(address)?;
            exchanges.push(turned);
        }
    }
    Ok(exchanges)
}

#[test]
fn udp_sockets_of_an_endpoint_that_goes_get_an_error_and_nothing_else_does() -> Result<()> {
    let rig = start()?;
    let (pod, stays, goes) = (rig.pod("pod")?, rig.pod("stays")?, rig.remote_pod("goes")?);
    let clients = [&pod, rig.node()];
    let (service, other) = (Service::number(1), Service::number(2).behind([&goes]));
    rig.apply(&[&service.behind([&stays, &goes]), &other])?;
    let conversations = Conversations::begin(&clients, &service)?;
    let direct = directly(&clients, &goes, &service)?;
    // The same endpoint of another Service is another backend.
    let of_other = pod.udp(other.cluster_ip(Family::V4)).exchange()?;
    of_other.ask()?;
    rig.apply(&[&service.behind([&stays]), &other])?;
    conversations.learn_that_it_is_gone("goes")?;
    for exchange in direct.iter().chain([&of_other]) {
        assert_eq!(exchange.ask()?.by, "goes");
    }
    for client in clients {
        assert_eq!(client.udp(service.cluster_ip(Family::V4)).times(2)?, [("stays", 2)]);
    }
    Ok(())
}

#[test]
fn udp_sockets_of_a_service_that_is_deleted_get_an_error() -> Result<()> {
    let rig = start()?;
    let (pod, backend, steady) = (rig.pod("pod")?, rig.pod("backend")?, rig.pod("steady")?);
    let clients = [&pod, rig.node()];
    let (service, other) = (Service::number(1).behind([&backend]), Service::number(2).behind([&steady]));
    rig.apply(&[&service, &other])?;
    let exchanges = |service: &Service, count: usize| {
        let by = |(client, target): (&Host, SocketAddr)| client.udp(target).exchange();
        let calls = clients.iter().flat_map(|client| targets(service).map(|target| (*client, target)));
        calls.cycle().take(count).map(by).collect::<Result<Vec<_>, _>>()
    };
    // So many that the kernel does not name all of them at once.
    let (of_service, of_other) = (exchanges(&service, 240)?, exchanges(&other, 6)?);
    // Resolvers wait for their answer already when it happens.
    thread::scope(|scope| -> Result<()> {
        let waiting: Vec<_> =
            of_service.iter().map(|exchange| scope.spawn(|| exchange.await_error())).collect();
        rig.apply(&[&other])?;
        let start = Instant::now();
        for thread in waiting {
            let error = thread.join().expect("no panic")?;
            assert_eq!(error.kind(), ConnectionAborted, "{error}");
        }
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        Ok(())
    })?;
    for exchange in &of_other {
        assert_eq!(exchange.ask()?.by, "steady");
    }
    Ok(())
}

#[test]
fn udp_sockets_of_an_endpoint_that_went_without_an_agent_get_an_error_from_the_next() -> Result<()> {
    let rig = start()?;
    let (pod, stays, goes) = (rig.pod("pod")?, rig.pod("stays")?, rig.remote_pod("goes")?);
    let service = Service::number(1);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        rig.apply(&[&service.behind([&stays, &goes])])?;
        let mut conversations = Conversations::begin(&[&pod, rig.node()], &service)?;
        rig.stop_agent(signal)?;
        rig.write(&[&service.behind([&stays])])?;
        conversations.go_on()?;
        rig.start_agent()?;
        conversations.learn_that_it_is_gone("goes")?;
    }
    Ok(())
}

#[test]
fn an_endpoint_that_terminates_keeps_its_sockets_until_it_is_gone() -> Result<()> {
    let rig = start()?;
    let (pod, stays, goes) = (rig.pod("pod")?, rig.pod("stays")?, rig.remote_pod("goes")?);
    let service = Service::number(1);
    rig.apply(&[&service.behind([&stays, &goes])])?;
    let mut conversations = Conversations::begin(&[&pod, rig.node()], &service)?;
    rig.apply(&[&service.behind([&stays]).and_terminating(&goes)])?;
    for (family, protocol) in KINDS {
        assert_eq!(pod.dial(protocol, service.cluster_ip(family)).times(4)?, [("stays", 4)]);
    }
    conversations.go_on()?;
    rig.stop_agent(Signal::SIGKILL)?;
    rig.start_agent()?;
    conversations.go_on()?;
    rig.apply(&[&service.behind([&stays])])?;
    conversations.learn_that_it_is_gone("goes")
}

#[test]
fn no_udp_socket_stays_with_an_endpoint_that_goes_while_it_connects() -> Result<()> {
    let rig = start()?;
    let pod = rig.pod("pod")?;
    let backends = [rig.pod("one")?, rig.pod("other")?];
    let service = Service::number(1);
    rig.apply(&[&service.behind(&backends[..1])])?;
    let dial = pod.udp(service.cluster_ip(Family::V4));
    for backend in backends.iter().rev().cycle().take(10) {
        let (over, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
        let exchanges = thread::scope(|scope| -> Result<Vec<Exchange>> {
            let connecting = scope.spawn(|| {
                let mut exchanges = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    exchanges.push(dial.exchange()?);
                    connected.store(exchanges.len(), Ordering::Relaxed);
                }
                Ok(exchanges)
            });
            let some = || Ok((connected.load(Ordering::Relaxed) > 10).then_some(()));
            let begun = until("some sockets are connected", SOON, some);
            let changed = begun.and_then(|()| rig.apply(&[&service.behind([backend])]));
            over.store(true, Ordering::Relaxed);
            changed?;
            connecting.join().expect("no panic")
        })?;
        let mut closed = 0;
        for exchange in &exchanges {
            closed += until("a socket of the endpoint that is gone is closed", SOON, || {
                let error = match exchange.ask() {
                    Ok(answer) => return Ok((answer.by == backend.name()).then_some(0)),
                    // The socket was closed before the answer came.
                    Err(error) if error.kind() == ConnectionAborted => error,
                    // To send is an error of another kind: the socket has no peer any more.
                    Err(_) => exchange.await_error()?,
                };
                assert_eq!(error.kind(), ConnectionAborted);
                Ok(Some(1))
            })?;
        }
        assert!(closed > 10, "{closed} of {} sockets", exchanges.len());
    }
    Ok(())
}

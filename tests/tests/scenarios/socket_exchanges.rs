//! UDP sockets that name their destination with each datagram, or change their mind: each answer comes from the
//! address that was asked.

use anyhow::{Context, Result};
use std::{io::ErrorKind::ConnectionRefused, net::SocketAddr};
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, SocketLb,
    calls::{SOCKETS, seen_by},
    manifest::TARGET_PORT,
    plan::FAMILIES,
    unconnected::Unconnected,
    wait::{SOON, until},
};

fn start() -> Result<Rig> {
    Rig::routed().socket_lb(SocketLb::On).start()
}

/// Who answers at an address, from which the answer comes.
fn answers(socket: &Unconnected, target: SocketAddr) -> Result<String> {
    let (answer, source) = socket.ask(target).with_context(|| format!("to {target}"))?;
    assert_eq!(source, target);
    Ok(answer.by)
}

#[test]
fn a_socket_sticks_to_its_backend_and_the_next_one_gets_the_next() -> Result<()> {
    let rig = start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.remote_pod("two")?);
    let service = Service::number(1).behind([&one, &two]);
    rig.apply(&[&service])?;
    for (socket, family) in SOCKETS {
        let work = rig.work_of(|| {
            for client in [&pod, rig.node()] {
                let sockets = [client.unconnected(socket)?, client.unconnected(socket)?];
                let target = seen_by(socket, service.cluster_ip(family));
                let ask =
                    || Ok::<_, anyhow::Error>([answers(&sockets[0], target)?, answers(&sockets[1], target)?]);
                let first = ask()?;
                assert_ne!(first[0], first[1], "round robin");
                for _ in 0..3 {
                    assert_eq!(ask()?, first);
                }
            }
            Ok(())
        })?;
        assert_eq!(work.socket_connections(&service, Protocol::Udp, family), 4);
        assert_eq!(work.new_flows(&service, Protocol::Udp, family), 0);
    }
    Ok(())
}

/// How many Services one socket speaks to.
const SERVICES: u8 = 20;

#[test]
fn one_socket_speaks_to_many_services_at_once_and_each_answer_comes_from_its_own() -> Result<()> {
    let rig = start()?;
    let (pod, backends) = (rig.pod("pod")?, [rig.pod("local")?, rig.remote_pod("remote")?]);
    let mut services = Vec::new();
    for number in 1..=SERVICES {
        let (backend, port) = (&backends[usize::from(number % 2)], 9000 + u16::from(number));
        backend.serve(port)?;
        services.push((Service::number(number).and(backend, port), backend.name().to_owned()));
    }
    rig.apply(&services.iter().map(|(service, _)| service).collect::<Vec<_>>())?;
    for client in [&pod, rig.node()] {
        for (kind, families) in [(Family::V4, &FAMILIES[..1]), (Family::V6, &FAMILIES)] {
            let socket = client.unconnected(kind)?;
            let mut asked: Vec<(SocketAddr, String)> = Vec::new();
            for (service, backend) in &services {
                let targets = families.iter().map(|&family| seen_by(kind, service.cluster_ip(family)));
                asked.extend(targets.map(|target| (target, backend.clone())));
            }
            asked.sort_unstable();
            for _ in 0..3 {
                for (target, _) in &asked {
                    socket.send(*target)?;
                }
                let mut answered = Vec::new();
                for _ in &asked {
                    let (answer, source) = socket.read()?;
                    answered.push((source, answer.by));
                }
                answered.sort_unstable();
                assert_eq!(answered, asked);
            }
        }
    }
    Ok(())
}

#[test]
fn a_backend_that_is_asked_directly_answers_by_its_own_address() -> Result<()> {
    let rig = start()?;
    let (pod, backend, other) = (rig.pod("pod")?, rig.pod("backend")?, rig.remote_pod("other")?);
    let service = Service::number(1).behind([&backend]);
    let another = Service::number(2).behind([&other]);
    rig.apply(&[&service, &another])?;
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let socket = client.unconnected(kind)?;
            let by_service = seen_by(kind, service.cluster_ip(family));
            let directly = seen_by(kind, (backend.address(family), TARGET_PORT).into());
            // The last use wins: by the address that was last asked, the backend answers.
            for _ in 0..2 {
                assert_eq!(answers(&socket, by_service)?, "backend");
                assert_eq!(answers(&socket, directly)?, "backend");
                assert_eq!(answers(&socket, seen_by(kind, another.cluster_ip(family)))?, "other");
                assert_eq!(answers(&socket, directly)?, "backend");
            }
        }
    }
    Ok(())
}

#[test]
fn services_with_one_backend_answer_each_by_the_address_that_was_asked_last() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    let services = [1, 2, 3].map(|number| Service::number(number).behind([&backend]));
    rig.apply(&services.each_ref())?;
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let socket = client.unconnected(kind)?;
            let cluster_ips = services.each_ref().map(|service| service.cluster_ip(family));
            let targets = cluster_ips.map(|cluster_ip| seen_by(kind, cluster_ip));
            for target in [0, 1, 0, 1, 2, 2, 1, 0, 2].map(|number| targets[number]) {
                assert_eq!(answers(&socket, target)?, "backend");
            }
        }
    }
    Ok(())
}

#[test]
fn when_its_endpoint_is_gone_the_next_datagram_reaches_another() -> Result<()> {
    let rig = start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.remote_pod("two")?);
    let third = rig.pod("three")?;
    let (service, steady) = (Service::number(1), Service::number(2).behind([&third]));
    let with = |backends: &[&Host]| rig.apply(&[&service.behind(backends.iter().copied()), &steady]);
    // A socket's first Service and a further one are remembered in different places.
    let mut sockets = Vec::new();
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let target = seen_by(kind, service.cluster_ip(family));
            sockets.push((client.unconnected(kind)?, target, None));
            sockets.push((client.unconnected(kind)?, target, Some(seen_by(kind, steady.cluster_ip(family)))));
        }
    }
    with(&[&one])?;
    for (socket, _, first) in &sockets {
        if let Some(first) = first {
            assert_eq!(answers(socket, *first)?, "three");
        }
    }
    for backend in [&one, &two, &one] {
        with(&[backend])?;
        for (socket, target, _) in &sockets {
            assert_eq!(answers(socket, *target)?, backend.name());
        }
    }
    with(&[])?;
    for (socket, target, _) in &sockets {
        let error = socket.send(*target).expect_err("no endpoint is left");
        assert_eq!(error.kind(), ConnectionRefused, "{error}");
    }
    with(&[&two])?;
    for (socket, target, first) in &sockets {
        assert_eq!(answers(socket, *target)?, "two");
        if let Some(first) = first {
            assert_eq!(answers(socket, *first)?, "three");
        }
    }
    Ok(())
}

#[test]
fn a_socket_stays_with_its_other_backends_when_it_loses_one() -> Result<()> {
    let rig = start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.remote_pod("two")?);
    let (first, further) = (Service::number(1), Service::number(2).behind([&one, &two]));
    rig.apply(&[&first.behind([&one]), &further])?;
    for (kind, family) in SOCKETS {
        let [lost, kept] = [&first, &further].map(|service| seen_by(kind, service.cluster_ip(family)));
        for client in [&pod, rig.node()] {
            let socket = client.unconnected(kind)?;
            assert_eq!(answers(&socket, lost)?, "one");
            let backend = answers(&socket, kept)?;
            rig.apply(&[&first.behind([&two]), &further])?;
            assert_eq!(answers(&socket, lost)?, "two");
            assert_eq!([answers(&socket, kept)?, answers(&socket, kept)?], [&*backend, &*backend]);
            rig.apply(&[&first.behind([&one]), &further])?;
        }
    }
    Ok(())
}

#[test]
fn an_exchange_that_was_idle_for_too_long_chooses_anew_unless_it_is_connected() -> Result<()> {
    let rig = Rig::routed()
        .socket_lb(SocketLb::On)
        .flag("--conntrack-udp-timeout", "3s")
        .flag("--conntrack-udp-timeout-stream", "3s")
        .start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.pod("two")?);
    let (service, other) = (Service::number(1).behind([&one, &two]), Service::number(2).behind([&one]));
    rig.apply(&[&service, &other])?;
    let target = service.cluster_ip(Family::V4);
    let connected = pod.udp(target).exchange()?;
    let answer = connected.ask()?;
    let (busy, client) = (pod.unconnected(Family::V4)?, rig.node());
    let backend = answers(&busy, target)?;
    // Whoever looks at an exchange uses it: each is looked at once.
    let mut idle = Vec::new();
    for _ in 0..400 {
        let socket = client.unconnected(Family::V4)?;
        answers(&socket, target)?;
        idle.push(socket);
        assert_eq!(answers(&busy, target)?, backend, "a busy exchange stays");
    }
    let chosen = |rig: &Rig| {
        Ok::<_, anyhow::Error>(rig.counters()?.socket_connections(&service, Protocol::Udp, Family::V4))
    };
    let before = chosen(&rig)?;
    assert_eq!(before, 402);
    until("an idle exchange chooses anew", SOON, || {
        assert_eq!(answers(&busy, target)?, backend, "a busy exchange stays");
        answers(&idle.pop().context("no idle socket is left")?, target)?;
        Ok((chosen(&rig)? == before + 1).then_some(()))
    })?;
    // It does not even if it speaks to somebody else first.
    connected.send_to(b"quiet", other.cluster_ip(Family::V4))?;
    assert_eq!((connected.ask()?, connected.peer()?), (answer, target));
    Ok(())
}

#[test]
fn a_socket_that_connects_again_believes_what_it_last_connected_to() -> Result<()> {
    let rig = start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.remote_pod("two")?);
    let (first, second) = (Service::number(1).behind([&one]), Service::number(2).behind([&two]));
    rig.apply(&[&first, &second])?;
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let of = |service: &Service| seen_by(kind, service.cluster_ip(family));
            let directly = |host: &Host| seen_by(kind, (host.address(family), TARGET_PORT).into());
            let targets = [(of(&second), "two"), (directly(&two), "two"), (directly(&one), "one")];
            let exchange = client.udp(of(&first)).exchange()?;
            assert_eq!((exchange.ask()?.by.as_str(), exchange.peer()?), ("one", of(&first)));
            for (target, by) in targets.into_iter().chain([(of(&first), "one"), (directly(&one), "one")]) {
                exchange.turn_to(target)?;
                assert_eq!((exchange.ask()?.by.as_str(), exchange.peer()?), (by, target));
            }
            // One that was unconnected before.
            let socket = client.unconnected(kind)?;
            assert_eq!(answers(&socket, of(&first))?, "one");
            let exchange = socket.connect(directly(&two))?;
            assert_eq!((exchange.ask()?.by.as_str(), exchange.peer()?), ("two", directly(&two)));
        }
    }
    Ok(())
}

#[test]
fn a_socket_that_ends_its_connection_speaks_to_whom_it_names() -> Result<()> {
    let rig = start()?;
    let (pod, backend) = (rig.pod("pod")?, rig.pod("backend")?);
    // From another address Linux lets nothing in any more, at least to a socket of IPv6.
    let services = [1, 2].map(|number| Service::number(number).behind([&backend]));
    rig.apply(&services.each_ref())?;
    let mut silent = Vec::new();
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let [own, other] = services.each_ref().map(|service| seen_by(kind, service.cluster_ip(family)));
            let directly = seen_by(kind, (backend.address(family), TARGET_PORT).into());
            let exchange = client.udp(own).exchange()?;
            exchange.ask()?;
            // No program hears of it.
            let socket = exchange.disconnect()?;
            for target in [directly, own, other, directly, own] {
                assert_eq!(answers(&socket, target)?, "backend");
            }
            let exchange = client.udp(own).exchange()?;
            exchange.ask()?;
            silent.push((exchange.disconnect()?, own));
        }
    }
    // What it has no connection with may go: the socket is not closed.
    backend.serve(9000)?;
    rig.apply(&[&Service::number(1).and(&backend, 9000)])?;
    for (socket, target) in &silent {
        assert_eq!(answers(socket, *target)?, "backend");
    }
    Ok(())
}

#[test]
fn a_connected_socket_that_sends_to_another_service_stays_connected_to_its_own() -> Result<()> {
    let rig = start()?;
    let (pod, one, two) = (rig.pod("pod")?, rig.pod("one")?, rig.pod("two")?);
    let (first, second) = (Service::number(1).behind([&one]), Service::number(2).behind([&two]));
    rig.apply(&[&first, &second])?;
    for (kind, family) in SOCKETS {
        for client in [&pod, rig.node()] {
            let [own, other] = [&first, &second].map(|service| seen_by(kind, service.cluster_ip(family)));
            let exchange = client.udp(own).exchange()?;
            assert_eq!(exchange.ask()?.by, "one");
            let work = rig.work_of(|| Ok(exchange.send_to(b"quiet", other)?))?;
            assert_eq!(work.socket_connections(&second, Protocol::Udp, family), 1);
            assert_eq!((exchange.ask()?.by.as_str(), exchange.peer()?), ("one", own));
        }
    }
    Ok(())
}

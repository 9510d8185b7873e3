//! Neighbours are forgotten, change their link-layer address, or hand their routes to another: what
//! svc-lb sends on by itself finds its way as well as what the host routes.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};
use svc_lb::compile::{Family, Protocol};
use svc_lb_tests::{
    Host, Rig, Service, Xdp,
    conversation::Standing,
    dial::Dial,
    frame::Packet,
    host::INTERFACE,
    links, load,
    manifest::TARGET_PORT,
    plan::{Addresses, FAMILIES, KINDS},
    stream::{self, INTERVAL, Stream},
    wait::{SOON, until},
    wire::Sees,
    with_and_without_xdp,
};

with_and_without_xdp!(
    neighbours_that_are_forgotten_under_load_lose_nothing,
    a_neighbour_that_changes_its_address_under_load_is_followed_as_the_host_follows_it,
    a_neighbour_that_changes_its_address_is_followed_within_two_seconds_without_an_agent,
    a_route_that_moves_to_another_gateway_under_load_is_followed_at_once,
    the_first_packet_to_a_neighbour_that_is_not_resolved_arrives,
    the_next_hops_of_remote_backends_are_kept_resolved,
);

/// How soon what the agent hears of the machine is in force.
const PROMISED: Duration = Duration::from_millis(100);

/// A rig with a Service whose only backend is on the second node.
struct Remote {
    rig: Rig,
    backend: Host,
    /// A pod beside the backend, which the client reaches through the node by plain routing.
    routed: Host,
    service: Service,
}

impl Remote {
    fn start(xdp: Xdp) -> Result<Self> {
        let rig = Rig::routed().xdp(xdp).start()?;
        let (backend, routed) = (rig.remote_pod("backend")?, rig.remote_pod("routed")?);
        let service = Service::number(1).behind([&backend]);
        rig.apply(&[&service])?;
        links::configure(rig.client().namespace(), async |links| {
            for address in routed.addresses().with_prefixes(32, 128) {
                let gateway = rig.node().address(Family::of(address.addr()));
                links.route(address, INTERFACE, Some(gateway)).await?;
            }
            Ok(())
        })?;
        // Nobody needs to be told of a new link-layer address.
        for sysctl in ["ipv4/conf/eth0/arp_notify", "ipv6/conf/eth0/ndisc_notify"] {
            rig.network().node2.namespace().set_sysctl(sysctl, "1")?;
        }
        Ok(Self { rig, backend, routed, service })
    }

    /// Clients of every family, by these protocols.
    fn clients(&self, protocols: &[Protocol]) -> Vec<Dial<'_>> {
        let kinds = KINDS.into_iter().filter(|(_, protocol)| protocols.contains(protocol));
        kinds
            .map(|(family, protocol)| {
                self.rig.client().dial(protocol, self.rig.node_port(&self.service, family))
            })
            .collect()
    }

    /// Lets clients ask by these protocols, and streams flow, while something happens; no question
    /// stays without its answer. Says what each stream lost.
    fn under_load(
        &self,
        protocols: &[Protocol],
        happening: impl FnOnce(&load::Progress) -> Result<()>,
    ) -> Result<Vec<Losses>> {
        let mut standing = Vec::new();
        for (family, protocol) in KINDS {
            let target = self.rig.node_port(&self.service, family);
            standing.push(Standing::begin(self.rig.client(), protocol, target)?);
        }
        let mut losses = Vec::new();
        load::during(&self.clients(protocols), |progress| {
            losses = self.streams(|| {
                progress.await_more(50)?;
                happening(progress)?;
                progress.await_more(50)
            })?;
            Ok(())
        })?;
        // Connections from before go on.
        standing.iter_mut().try_for_each(Standing::go_on)?;
        Ok(losses)
    }

    /// Lets streams flow to the backend by the NodePort, and beside them by plain routing, while
    /// something happens.
    fn streams(&self, happening: impl FnOnce() -> Result<()>) -> Result<Vec<Losses>> {
        let mut streams = Vec::new();
        for family in FAMILIES {
            let plain = SocketAddr::new(self.routed.address(family), TARGET_PORT);
            for (target, receiver) in
                [(self.rig.node_port(&self.service, family), &self.backend), (plain, &self.routed)]
            {
                let sender = self.rig.client().udp(target).exchange()?;
                streams.push(Stream { sender, receiver: receiver.wire(Sees::All)? });
            }
        }
        let lost = stream::during(&streams, happening)?;
        let losses = lost.chunks_exact(2);
        Ok(losses.map(|lost| Losses { served: lost[0].clone(), plain: lost[1].clone() }).collect())
    }
}

/// The datagrams of two streams that were lost, by number.
#[derive(Debug)]
struct Losses {
    /// Of the one by the NodePort.
    served: Vec<u32>,
    /// Of the one that the host routes.
    plain: Vec<u32>,
}

impl Losses {
    /// The stream by the NodePort lost no more than the other one and what was sent in this time.
    fn are_those_of_the_host_and(&self, time: Duration) {
        let more = usize::try_from(time.as_micros() / INTERVAL.as_micros()).expect("not many");
        assert!(self.served.len() <= self.plain.len() + more, "{self:?}");
    }
}

fn flush(host: &Host) -> Result<()> {
    links::configure(host.namespace(), async |links| links.flush_neighbours(INTERFACE).await)
}

/// Gives the second node's uplink another link-layer address, which it tells everybody.
fn change_mac(rig: &Rig, last: u8) -> Result<()> {
    let node2 = rig.network().node2.namespace();
    links::configure(node2, async |links| links.set_mac(INTERFACE, [2, 0, 0, 0, 2, last]).await)
}

fn neighbours_that_are_forgotten_under_load_lose_nothing(xdp: Xdp) -> Result<()> {
    let remote = Remote::start(xdp)?;
    let losses = remote.under_load(&[Protocol::Tcp, Protocol::Udp], |progress| {
        for _ in 0..5 {
            flush(remote.rig.node())?;
            progress.await_more(50)?;
        }
        Ok(())
    })?;
    for losses in losses {
        losses.are_those_of_the_host_and(Duration::ZERO);
    }
    assert_eq!(remote.rig.counters()?.all_drops(), 0);
    Ok(())
}

fn a_neighbour_that_changes_its_address_under_load_is_followed_as_the_host_follows_it(
    xdp: Xdp,
) -> Result<()> {
    let remote = Remote::start(xdp)?;
    // What is under way to the old address is lost, to the host's own streams too: TCP sends it again.
    let losses = remote.under_load(&[Protocol::Tcp], |progress| {
        for last in 1..=3 {
            change_mac(&remote.rig, last)?;
            progress.await_more(50)?;
        }
        Ok(())
    })?;
    for losses in losses {
        losses.are_those_of_the_host_and(3 * PROMISED);
    }
    assert_eq!(remote.rig.counters()?.all_drops(), 0);
    Ok(())
}

fn a_neighbour_that_changes_its_address_is_followed_within_two_seconds_without_an_agent(
    xdp: Xdp,
) -> Result<()> {
    let remote = Remote::start(xdp)?;
    remote.rig.stop_agent(Signal::SIGKILL)?;
    let mut standing = Vec::new();
    for (family, protocol) in KINDS {
        let target = remote.rig.node_port(&remote.service, family);
        standing.push(Standing::begin(remote.rig.client(), protocol, target)?);
    }
    // The last datagrams of all streams must arrive.
    remote.streams(|| {
        change_mac(&remote.rig, 1)?;
        thread::sleep(WITHOUT_AN_AGENT);
        Ok(())
    })?;
    standing.iter_mut().try_for_each(Standing::go_on)?;
    for client in remote.clients(&[Protocol::Tcp, Protocol::Udp]) {
        client.ask()?;
    }
    Ok(())
}

/// How long programs may follow an old next hop that nobody corrects.
const WITHOUT_AN_AGENT: Duration = Duration::from_secs(2);

fn a_route_that_moves_to_another_gateway_under_load_is_followed_at_once(xdp: Xdp) -> Result<()> {
    let remote = Remote::start(xdp)?;
    let rig = &remote.rig;
    // The client stands in for a second way to the second node.
    rig.client().namespace().set_sysctl("ipv4/ip_forward", "1")?;
    rig.client().namespace().set_sysctl("ipv6/conf/all/forwarding", "1")?;
    let node2 = &rig.network().node2;
    let losses = remote.under_load(&[Protocol::Tcp, Protocol::Udp], |_| {
        for (gateway, sender) in [(rig.client(), rig.client()), (node2, rig.node())].repeat(2) {
            reroute(rig.node(), &remote.backend, gateway.addresses())?;
            thread::sleep(PROMISED);
            all_come_from(sender, node2, &remote.backend)?;
        }
        Ok(())
    })?;
    for losses in losses {
        losses.are_those_of_the_host_and(Duration::ZERO);
    }
    assert_eq!(rig.counters()?.all_drops(), 0);
    Ok(())
}

/// Sends what a host has for another one to a gateway.
fn reroute(host: &Host, destination: &Host, gateway: Addresses) -> Result<()> {
    links::configure(host.namespace(), async |links| {
        for destination in destination.addresses().with_prefixes(32, 128) {
            let gateway = gateway.of(Family::of(destination.addr()));
            links.reroute(destination, INTERFACE, gateway).await?;
        }
        Ok(())
    })
}

/// Of what arrives at a node for a host behind it from now on, all is from one sender on the link.
fn all_come_from(sender: &Host, node: &Host, destination: &Host) -> Result<()> {
    let mut seen = 0;
    node.wire(Sees::All)?.find(SOON, |frame| {
        let address = Packet::read(frame)?.destination.ip();
        if address == destination.address(Family::of(address)) {
            assert_eq!(frame[6..12], sender.mac(), "from another than {}", sender.name());
            seen += 1;
        }
        (seen == 200).then_some(())
    })
}

fn the_first_packet_to_a_neighbour_that_is_not_resolved_arrives(xdp: Xdp) -> Result<()> {
    let remote = Remote::start(xdp)?;
    for (family, protocol) in KINDS {
        let target = remote.rig.node_port(&remote.service, family);
        for _ in 0..3 {
            flush(remote.rig.node())?;
            let begun = Instant::now();
            let dial = remote.rig.client().dial(protocol, target);
            dial.ask().with_context(|| format!("the first by {protocol} {family}"))?;
            assert!(begun.elapsed() < RETRANSMISSION, "{protocol} {family}: {:?}", begun.elapsed());
        }
    }
    Ok(())
}

/// Before this a client does not send its SYN again.
const RETRANSMISSION: Duration = Duration::from_millis(900);

fn the_next_hops_of_remote_backends_are_kept_resolved(xdp: Xdp) -> Result<()> {
    let remote = Remote::start(xdp)?;
    let node2: BTreeSet<IpAddr> = FAMILIES.map(|family| remote.rig.network().node2.address(family)).into();
    are_managed(&remote.rig, &node2)?;
    // Whoever deletes one has it back.
    flush(remote.rig.node())?;
    are_managed(&remote.rig, &node2)
}

/// Waits until the kernel keeps these neighbours of the node resolved.
fn are_managed(rig: &Rig, addresses: &BTreeSet<IpAddr>) -> Result<()> {
    until("managed neighbours", SOON, || {
        let managed = links::configure(rig.node().namespace(), async |links| {
            links.managed_neighbours(INTERFACE).await
        })?;
        Ok(addresses.iter().all(|address| managed.contains(address)).then_some(()))
    })
}

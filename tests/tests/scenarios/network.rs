//! The networks of the rigs without an agent: what the other scenarios stand on.

use anyhow::{Context, Result};
use etherparse::TcpHeader;
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_tests::{
    Host, Topology,
    frame::{Packet, Path},
    host::INTERFACE,
    losses::losses,
    network::Network,
    ping::ping,
    plan::{FAMILIES, KINDS},
    wait::SOON,
    wire::Sees,
    xdp_pass::XdpPass,
};

#[test]
fn everyone_reaches_everyone_and_is_seen_with_its_own_address() -> Result<()> {
    // Through a VXLAN a pod and the other node reach each other only if the pod is masqueraded: its
    // packets come by the lan, and the answers would go by the VXLAN.
    for topology in Topology::ALL.into_iter().filter(|&topology| topology != Topology::Vxlan) {
        everyone_reaches_everyone(&Network::build(topology, false)?, |client, _| client)?;
    }
    Ok(())
}

#[test]
fn masquerade_hides_pods_from_the_outside_and_from_nobody_else() -> Result<()> {
    for topology in Topology::ALL {
        let network = Network::build(topology, false)?;
        network.masquerade()?;
        everyone_reaches_everyone(&network, |client, server| match (client, server) {
            ("pod" | "pod-2", "client" | "node2") => "node",
            ("remote", "client" | "node") => "node2",
            _ => client,
        })?;
    }
    Ok(())
}

/// Everyone calls everyone. `seen_as` names the host one of whose addresses the server sees, for the
/// names of client and server.
fn everyone_reaches_everyone(
    network: &Network,
    seen_as: impl for<'a> Fn(&'a str, &'a str) -> &'a str,
) -> Result<()> {
    let topology = network.topology();
    let pods = [network.pod("pod")?, network.pod("pod-2")?, network.remote_pod("remote")?];
    let hosts = [&network.client, &network.node, &network.node2].into_iter().chain(&pods);
    let hosts: Vec<&Host> = hosts.collect();
    for host in &hosts {
        host.serve(8080)?;
    }
    for (client, server) in hosts.iter().flat_map(|client| hosts.iter().map(move |server| (client, server))) {
        for (family, protocol) in KINDS {
            let call = format!("{topology}: {} to {}, {protocol} {family}", client.name(), server.name());
            let address = SocketAddr::new(server.address(family), 8080);
            let answer = match client.dial(protocol, address).ask() {
                Ok(answer) => answer,
                Err(error) => panic!("{call}: {error}"),
            };
            assert_eq!(answer.by, server.name(), "{call}");
            if client.name() != server.name() {
                let expected = seen_as(client.name(), server.name());
                let seen = hosts.iter().find(|host| host.has(answer.client.ip())).map(|host| host.name());
                assert_eq!(seen, Some(expected), "{call}: from {}", answer.client);
            }
        }
        for family in FAMILIES {
            ping(client.namespace(), server.address(family)).with_context(|| topology.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn bytes_arrive_as_they_were_sent_through_xdp_and_without_offloads() -> Result<()> {
    for topology in Topology::ALL {
        let network = Network::build(topology, false)?;
        let _uplink = XdpPass::attach(network.node.namespace(), INTERFACE)?;
        let _peer = XdpPass::attach(network.lan(), network.node.name())?;
        let (pod, remote) = (network.pod("pod")?, network.remote_pod("remote")?);
        for (client, server) in [(&network.client, &pod), (&pod, &remote)] {
            server.serve(8080)?;
            for family in FAMILIES {
                let mut connection = client.tcp(SocketAddr::new(server.address(family), 8080)).connect()?;
                connection.upload(10_000_001)?;
                connection.download(10_000_001)?;
            }
        }
        let hosts = [&network.client, &network.node, &network.node2, &pod, &remote].map(Host::namespace);
        for namespace in hosts.into_iter().chain(network.lans()) {
            assert_eq!(losses(namespace)?, [] as [String; 0], "{topology}");
        }
    }
    Ok(())
}

#[test]
fn what_conntrack_has_not_seen_from_its_beginning_is_dropped() -> Result<()> {
    let network = Network::build(Topology::Routed, false)?;
    let pod = network.pod("pod")?;
    for family in FAMILIES {
        assert!(!answer_arrives(&network.client, &pod, network.node.mac(), family)?, "{family}");
    }
    Ok(())
}

#[test]
fn conntrack_sees_what_a_bridge_switches_only_where_it_is_meant_to() -> Result<()> {
    for netfilter in [true, false] {
        let network = Network::build(Topology::Bridged { netfilter }, false)?;
        let (client, server) = (network.pod("client-pod")?, network.pod("server-pod")?);
        for family in FAMILIES {
            let arrives = answer_arrives(&client, &server, server.mac(), family)?;
            assert_eq!(arrives, !netfilter, "br_netfilter {netfilter}, {family}");
        }
    }
    Ok(())
}

/// Whether the answer to a question that was never asked arrives at a host, through the next hop.
fn answer_arrives(from: &Host, to: &Host, next_hop: [u8; 6], family: Family) -> Result<bool> {
    let path = Path {
        macs: (from.mac(), next_hop),
        source: SocketAddr::new(from.address(family), 40000),
        destination: SocketAddr::new(to.address(family), 8080),
    };
    let arrivals = to.wire(Sees::All)?;
    let wire = from.wire(Sees::All)?;
    let header = TcpHeader { syn: true, ack: true, ..TcpHeader::default() };
    wire.send(&path.tcp(header, &[])?)?;
    // Something that goes through in any case.
    wire.send(&path.udp(b"hello")?)?;
    let ours = |frame: &[u8]| Packet::read(frame).filter(|packet| packet.source == path.source);
    Ok(arrivals.find(SOON, ours)?.tcp.is_some())
}

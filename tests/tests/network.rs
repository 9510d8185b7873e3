//! The rig's network without an agent: what the other scenarios stand on.

use anyhow::Result;
use etherparse::TcpHeader;
use std::net::SocketAddr;
use svc_lb_tests::{
    frame::{Packet, Path},
    host::INTERFACE,
    losses::losses,
    ping::ping,
    plan::{FAMILIES, KINDS},
    routed::Network,
    wait::SOON,
    wire::Sees,
    xdp_pass::XdpPass,
};

#[test]
fn everyone_reaches_everyone_and_is_seen_with_its_own_address() -> Result<()> {
    let network = Network::build(false)?;
    let (pod, remote) = (network.pod("pod")?, network.remote_pod("remote")?);
    let hosts = [&network.client, &network.node, &network.node2, &pod, &remote];
    for host in hosts {
        host.serve(8080)?;
    }
    for (client, server) in hosts.iter().flat_map(|client| hosts.map(|server| (client, server))) {
        for (family, protocol) in KINDS {
            let answer = client.dial(protocol, SocketAddr::new(server.address(family), 8080)).ask()?;
            assert_eq!(answer.by, server.name());
            if client.name() != server.name() {
                assert_eq!(answer.client.ip(), client.address(family));
            }
            ping(client.namespace(), server.address(family))?;
        }
    }
    Ok(())
}

#[test]
fn bytes_arrive_as_they_were_sent_through_xdp_and_without_offloads() -> Result<()> {
    let network = Network::build(false)?;
    let _uplink = XdpPass::attach(network.node.namespace(), INTERFACE)?;
    let _peer = XdpPass::attach(&network.lan, "node")?;
    let pod = network.pod("pod")?;
    pod.serve(8080)?;
    for family in FAMILIES {
        let mut connection = network.client.tcp(SocketAddr::new(pod.address(family), 8080)).connect()?;
        connection.upload(20_000_001)?;
        connection.download(20_000_001)?;
    }
    for namespace in [network.client.namespace(), &network.lan, network.node.namespace(), pod.namespace()] {
        assert_eq!(losses(namespace)?, [] as [String; 0]);
    }
    Ok(())
}

#[test]
fn masquerade_hides_pods_from_the_outside_and_from_nobody_else() -> Result<()> {
    let network = Network::build(false)?;
    let (pod, remote) = (network.pod("pod")?, network.remote_pod("remote")?);
    network.masquerade()?;
    for server in [&network.client, &network.node2, &remote] {
        server.serve(8080)?;
        for (family, protocol) in KINDS {
            let answer = pod.dial(protocol, SocketAddr::new(server.address(family), 8080)).ask()?;
            let seen_as = if server.name() == "remote" { &pod } else { &network.node };
            assert_eq!(answer.client.ip(), seen_as.address(family), "by {}", server.name());
        }
    }
    Ok(())
}

#[test]
fn what_conntrack_has_not_seen_from_its_beginning_is_dropped() -> Result<()> {
    let network = Network::build(false)?;
    let pod = network.pod("pod")?;
    let arrivals = pod.wire(Sees::All)?;
    for family in FAMILIES {
        let path = Path {
            macs: (network.client.mac(), network.node.mac()),
            source: SocketAddr::new(network.client.address(family), 40000),
            destination: SocketAddr::new(pod.address(family), 8080),
        };
        let wire = network.client.wire(Sees::All)?;
        // An answer to a question that was never asked, and after it something that goes through.
        let header = TcpHeader { syn: true, ack: true, ..TcpHeader::default() };
        wire.send(&path.tcp(header, &[])?)?;
        wire.send(&path.udp(b"hello")?)?;
        let first = arrivals.find(SOON, Packet::read)?;
        assert!(first.tcp.is_none(), "{first:?}");
    }
    Ok(())
}

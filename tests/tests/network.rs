//! The rig's network without an agent: what the other scenarios stand on.

use anyhow::Result;
use std::net::SocketAddr;
use svc_lb_tests::{
    host::INTERFACE,
    losses::losses,
    ping::ping,
    plan::{FAMILIES, KINDS},
    routed::Network,
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

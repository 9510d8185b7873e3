//! The rules that kube-proxy v1.36 writes in its nftables mode, to compare with; those of its iptables mode are in
//! [`iptables`].
//!
//! They follow `pkg/proxy/nftables/proxier.go` of Kubernetes, for Services of type ClusterIP and NodePort with
//! `externalTrafficPolicy: Cluster` and `--cluster-cidr`. What is the same in every cluster:
//!
//! - `services`, reached from the nat hooks of prerouting and output: one lookup of address, protocol and port
//!   in `service-ips`, and for the node's addresses one of protocol and port in `service-nodeports`.
//! - `service-endpoints-check` and `nodeport-endpoints-check`: the first packet of a connection is rejected if
//!   its Service has no endpoints.
//! - `cluster-ips-check`: it is rejected if its ClusterIP has no such port, and dropped if nobody has its
//!   ClusterIP.
//! - `firewall-check`: `loadBalancerSourceRanges`, empty here, which costs a lookup all the same.
//! - `mark-for-masquerade` and `masquerading`: what must come back by this node gets the node's address.
//!
//! And for each port of a Service:
//!
//! - `service-…`: marks what does not come from a pod, and chooses an endpoint at random.
//! - `external-…`: marks what comes to the nodePort, then as above.
//! - `endpoint-…`: marks what the endpoint sends to itself, and translates the destination.

pub mod iptables;

use anyhow::{Context, Result};
use ipnet::IpNet;
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};
use svc_lb::compile::Family;
use svc_lb_tests::Host;

/// What is the same for all Services of a family.
pub struct Cluster {
    /// Where the pods are: `--cluster-cidr`.
    pub pods: IpNet,
    /// Where the ClusterIPs are: the ServiceCIDR.
    pub services: IpNet,
    /// The node's address, at which it has NodePorts: `--nodeport-addresses primary`.
    pub node: IpAddr,
}

impl Cluster {
    /// A cluster with these ranges of pods and of ClusterIPs, lists that have one of each family.
    pub fn of(node: &Host, [pods, services]: [&str; 2], family: Family) -> Result<Self> {
        Ok(Self {
            pods: range(pods, family)?,
            services: range(services, family)?,
            node: node.address(family),
        })
    }
}

/// The range of a family, of a list.
fn range(list: &str, family: Family) -> Result<IpNet> {
    let ranges = list.split(',').map(str::parse).collect::<Result<Vec<IpNet>, _>>()?;
    ranges.into_iter().find(|range| Family::of(range.addr()) == family).context("a family without a range")
}

/// A TCP port of a Service in one family.
pub struct ServicePort {
    /// NAMESPACE/NAME/PORT
    pub name: String,
    /// The ClusterIP, and the port.
    pub cluster_ip: SocketAddr,
    /// The nodePort, if it has one.
    pub node_port: Option<u16>,
    /// Its endpoints.
    pub endpoints: Vec<SocketAddr>,
}

/// The rules, as `nft -f` reads them.
pub fn ruleset(cluster: &Cluster, ports: &[ServicePort]) -> String {
    let Cluster { services, node, .. } = cluster;
    let (ip, address) = words(*node);
    let mut rules = format!(
        "
table {ip} kube-proxy {{
    set cluster-ips {{ type {address}; }}
    set nodeport-ips {{ type {address}; elements = {{ {node} }}; }}
    map firewall-ips {{ type {address} . inet_proto . inet_service : verdict; }}
    map no-endpoint-nodeports {{ type inet_proto . inet_service : verdict; }}
    map no-endpoint-services {{ type {address} . inet_proto . inet_service : verdict; }}
    map service-ips {{ type {address} . inet_proto . inet_service : verdict; }}
    map service-nodeports {{ type inet_proto . inet_service : verdict; }}

    chain filter-prerouting-pre-dnat {{
        type filter hook prerouting priority -110;
        ct state new jump firewall-check
    }}
    chain filter-output-pre-dnat {{
        type filter hook output priority -110;
        ct state new jump firewall-check
    }}
    chain filter-forward {{
        type filter hook forward priority 0;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }}
    chain filter-input {{
        type filter hook input priority 0;
        ct state new jump nodeport-endpoints-check
        ct state new jump service-endpoints-check
    }}
    chain filter-output {{
        type filter hook output priority 0;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }}
    chain nat-prerouting {{
        type nat hook prerouting priority -100;
        jump services
    }}
    chain nat-output {{
        type nat hook output priority -100;
        jump services
    }}
    chain nat-postrouting {{
        type nat hook postrouting priority 100;
        jump masquerading
    }}

    chain services {{
        {ip} daddr . meta l4proto . th dport vmap @service-ips
        {ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
    }}
    chain service-endpoints-check {{
        {ip} daddr . meta l4proto . th dport vmap @no-endpoint-services
    }}
    chain nodeport-endpoints-check {{
        {ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
    }}
    chain cluster-ips-check {{
        {ip} daddr @cluster-ips reject
        {ip} daddr {{ {services} }} drop
    }}
    chain firewall-check {{
        {ip} daddr . meta l4proto . th dport vmap @firewall-ips
    }}
    chain reject-chain {{
        reject
    }}
    chain mark-for-masquerade {{
        meta mark set meta mark or 0x4000
    }}
    chain masquerading {{
        meta mark and 0x4000 == 0 return
        meta mark set meta mark xor 0x4000
        masquerade fully-random
    }}
}}
"
    );
    rules.push_str(&additions(cluster, ports));
    rules
}

/// The rules of further Services.
pub fn additions(cluster: &Cluster, ports: &[ServicePort]) -> String {
    let (ip, _) = words(cluster.node);
    let mut rules = String::new();
    for port in ports {
        add_port(&mut rules, ip, &cluster.pods, port);
    }
    rules
}

/// What kube-proxy changes when the endpoints of a port of a Service do: it fills that port's chains anew. An
/// endpoint's chain that is no longer used it removes later.
pub fn update(cluster: &Cluster, port: &ServicePort) -> String {
    let (ip, _) = words(cluster.node);
    let mut rules = String::new();
    let external = port.node_port.map(|_| external_chain(port));
    for chain in endpoint_chains(port).into_iter().chain([service_chain(port)]).chain(external) {
        // Writing to a String cannot fail.
        let _ = writeln!(rules, "add chain {ip} kube-proxy {chain}\nflush chain {ip} kube-proxy {chain}");
    }
    add_port(&mut rules, ip, &cluster.pods, port);
    rules
}

fn endpoint_chains(ServicePort { name, endpoints, .. }: &ServicePort) -> Vec<String> {
    let chain = |endpoint: &SocketAddr| {
        format!("endpoint-{name}__{}/{}", endpoint.ip(), endpoint.port()).replace(':', ".")
    };
    endpoints.iter().map(chain).collect()
}

fn service_chain(port: &ServicePort) -> String {
    format!("service-{}", port.name)
}

fn external_chain(port: &ServicePort) -> String {
    format!("external-{}", port.name)
}

/// The chains of a port of a Service, and what leads to them.
fn add_port(rules: &mut String, ip: &str, pods: &IpNet, port: &ServicePort) {
    let ServicePort { cluster_ip, node_port, endpoints, .. } = port;
    let (address, number) = (cluster_ip.ip(), cluster_ip.port());
    let mut add = |what: &str, rest: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(rules, "add {what} {ip} kube-proxy {rest}");
    };
    add("element", &format!("cluster-ips {{ {address} }}"));
    if endpoints.is_empty() {
        add("element", &format!("no-endpoint-services {{ {address} . tcp . {number} : goto reject-chain }}"));
        if let Some(node_port) = node_port {
            add("element", &format!("no-endpoint-nodeports {{ tcp . {node_port} : goto reject-chain }}"));
        }
        return;
    }
    let chains = endpoint_chains(port);
    for (chain, endpoint) in chains.iter().zip(endpoints) {
        add("chain", chain);
        add("rule", &format!("{chain} {ip} saddr {} jump mark-for-masquerade", endpoint.ip()));
        add("rule", &format!("{chain} meta l4proto tcp dnat to {endpoint}"));
    }
    let choices: Vec<String> =
        chains.iter().enumerate().map(|(choice, chain)| format!("{choice} : goto {chain}")).collect();
    let service = service_chain(port);
    add("chain", &service);
    add("rule", &format!("{service} {ip} daddr {address} {ip} saddr != {pods} jump mark-for-masquerade"));
    add("rule", &format!("{service} numgen random mod {} vmap {{ {} }}", choices.len(), choices.join(", ")));
    add("element", &format!("service-ips {{ {address} . tcp . {number} : goto {service} }}"));
    if let Some(node_port) = node_port {
        let external = external_chain(port);
        add("chain", &external);
        add("rule", &format!("{external} jump mark-for-masquerade"));
        add("rule", &format!("{external} goto {service}"));
        add("element", &format!("service-nodeports {{ tcp . {node_port} : goto {external} }}"));
    }
}

/// What nftables calls the family of an address, and the type of its addresses.
fn words(address: IpAddr) -> (&'static str, &'static str) {
    if address.is_ipv4() { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nft,
        traffic::{Connection, Listener, PORT},
    };
    use std::{io, net::TcpStream};
    use svc_lb_tests::{
        Service, Topology,
        network::Network,
        plan::{CLUSTER_CIDR, FAMILIES, SERVICE_RANGE},
    };

    /// A way of kube-proxy's, as a command that gives a host its rules.
    type Mode = fn(&Host, &Cluster, &[ServicePort]) -> Result<()>;

    #[test]
    fn the_rules_of_each_mode_lead_to_a_backend_or_refuse() -> Result<()> {
        let nftables: Mode = |node, cluster, ports| nft::run(node.namespace(), &ruleset(cluster, ports));
        let iptables: Mode = |node, cluster, ports| {
            let family = Family::of(cluster.node);
            iptables::restore(node.namespace(), family, &iptables::ruleset(cluster, ports))
        };
        [nftables, iptables].into_iter().try_for_each(lead_to_a_backend_or_refuse)
    }

    fn lead_to_a_backend_or_refuse(mode: Mode) -> Result<()> {
        let network = Network::build(Topology::Routed, true)?;
        let (client, backend) = (network.pod("client")?, network.pod("backend")?);
        let listener = Listener::start(backend.namespace())?;
        let (served, empty) = (Service::number(1), Service::number(2));
        for family in FAMILIES {
            let endpoint = SocketAddr::new(backend.address(family), PORT);
            let port = |service: &Service, endpoints| ServicePort {
                name: format!("default/{}/tcp", service.name()),
                cluster_ip: service.cluster_ip(family),
                node_port: Some(service.node_port()),
                endpoints,
            };
            let cluster = Cluster::of(&network.node, [CLUSTER_CIDR, SERVICE_RANGE], family)?;
            let ports = [port(&served, vec![endpoint]), port(&empty, Vec::new())];
            mode(&network.node, &cluster, &ports)?;

            let ask = |target| Connection::open(target, &listener)?.ask();
            client.namespace().enter(|| ask(served.cluster_ip(family)))?;
            let node_port = SocketAddr::new(network.node.address(family), served.node_port());
            network.client.namespace().enter(|| ask(node_port))?;
            let refused = client.namespace().enter(|| TcpStream::connect(empty.cluster_ip(family)));
            assert_eq!(refused.map_err(|error| error.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
        }
        Ok(())
    }

    #[test]
    fn an_update_leads_to_the_endpoints_of_now() -> Result<()> {
        let network = Network::build(Topology::Routed, true)?;
        let (client, nobody, backend) =
            (network.pod("client")?, network.pod("nobody")?, network.pod("backend")?);
        let listener = Listener::start(backend.namespace())?;
        let service = Service::number(1);
        for family in FAMILIES {
            let port = |host: &Host| ServicePort {
                name: "default/service/tcp".to_owned(),
                cluster_ip: service.cluster_ip(family),
                node_port: Some(service.node_port()),
                endpoints: vec![SocketAddr::new(host.address(family), PORT)],
            };
            let cluster = Cluster::of(&network.node, [CLUSTER_CIDR, SERVICE_RANGE], family)?;
            let node = network.node.namespace();
            nft::run(node, &(ruleset(&cluster, &[]) + &additions(&cluster, &[port(&nobody)])))?;
            let connect = || client.namespace().enter(|| TcpStream::connect(service.cluster_ip(family)));
            assert_eq!(connect().map_err(|error| error.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
            nft::run(node, &update(&cluster, &port(&backend)))?;
            client.namespace().enter(|| Connection::open(service.cluster_ip(family), &listener)?.ask())?;
        }
        Ok(())
    }
}

//! The rules that kube-proxy v1.36 writes in its iptables mode.
//!
//! They follow `pkg/proxy/iptables/proxier.go` of Kubernetes, for the same Services as those of the nftables mode. The
//! first packet of a connection meets the rules of all ClusterIPs one by one until one fits, and those of the nodePorts
//! after them.

use super::{Cluster, ServicePort};
use crate::tool;
use anyhow::Result;
use std::fmt::Write as _;
use svc_lb::compile::Family;
use svc_lb_tests::Namespace;

/// Adds rules to those of a namespace.
pub fn restore(namespace: &Namespace, family: Family, rules: &str) -> Result<()> {
    let program = match family {
        Family::V4 => "iptables-nft-restore",
        Family::V6 => "ip6tables-nft-restore",
    };
    tool::feed(namespace, &[program, "--noflush"], "iptables", rules)
}

/// The rules, as `iptables-restore` reads them.
pub fn ruleset(cluster: &Cluster, ports: &[ServicePort]) -> String {
    let mut rules = Rules::default();
    for (number, port) in ports.iter().enumerate() {
        rules.add(cluster, number, port);
    }
    // Addresses of the loopback network are no way into pods; IPv6 has but one such address.
    let firewall = if cluster.node.is_ipv4() {
        "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" ! -s 127.0.0.0/8 -d 127.0.0.0/8 \
         -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n"
    } else {
        ""
    };
    let Rules { chains, services, node_ports, others, rejects } = rules;
    format!(
        "*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{firewall}{rejects}COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
{chains}-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
{services}{node_ports}{others}-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
"
    )
}

/// What there is for each port of a Service, by where it stands.
#[derive(Default)]
struct Rules {
    /// Declarations of chains.
    chains: String,
    /// Rules of KUBE-SERVICES.
    services: String,
    /// Rules of KUBE-NODEPORTS.
    node_ports: String,
    /// Rules of chains of their own.
    others: String,
    /// Rules of the filter table for ports without endpoints.
    rejects: String,
}

impl Rules {
    fn add(&mut self, cluster: &Cluster, number: usize, port: &ServicePort) {
        let ServicePort { name, cluster_ip, node_port, endpoints } = port;
        let prefix = if cluster_ip.is_ipv4() { 32 } else { 128 };
        let at_cluster_ip =
            format!("-m tcp -p tcp -d {}/{prefix} --dport {}", cluster_ip.ip(), cluster_ip.port());
        // Writing to a String cannot fail, here and below.
        if endpoints.is_empty() {
            let comment = format!("-m comment --comment \"{name} has no endpoints\"");
            let _ = writeln!(self.rejects, "-A KUBE-SERVICES {comment} {at_cluster_ip} -j REJECT");
            if let Some(node_port) = node_port {
                let at_node_port = format!("-m addrtype --dst-type LOCAL -m tcp -p tcp --dport {node_port}");
                let _ =
                    writeln!(self.rejects, "-A KUBE-EXTERNAL-SERVICES {comment} {at_node_port} -j REJECT");
            }
            return;
        }
        // kube-proxy makes these names of a hash as long as this number.
        let service = format!("KUBE-SVC-{number:016}");
        let comment = format!("-m comment --comment \"{name} cluster IP\"");
        let _ = writeln!(self.chains, ":{service} - [0:0]");
        let _ = writeln!(self.services, "-A KUBE-SERVICES {comment} {at_cluster_ip} -j {service}");
        let pods = cluster.pods;
        let _ = writeln!(self.others, "-A {service} {comment} {at_cluster_ip} ! -s {pods} -j KUBE-MARK-MASQ");
        if let Some(node_port) = node_port {
            self.add_node_port(number, name, *node_port, &service);
        }
        for (place, endpoint) in endpoints.iter().enumerate() {
            let chain = format!("KUBE-SEP-{number:012}{place:04}");
            let to = format!("-m comment --comment \"{name} -> {endpoint}\"");
            let left = (endpoints.len() - place) as u32;
            let chance = if left == 1 {
                String::new()
            } else {
                format!(" -m statistic --mode random --probability {:.10}", 1.0 / f64::from(left))
            };
            let _ = writeln!(self.chains, ":{chain} - [0:0]");
            let _ = writeln!(self.others, "-A {service} {to}{chance} -j {chain}");
            let comment = format!("-m comment --comment {name}");
            let from = format!("-s {}/{prefix}", endpoint.ip());
            let _ = writeln!(self.others, "-A {chain} {comment} {from} -j KUBE-MARK-MASQ");
            let _ = writeln!(
                self.others,
                "-A {chain} {comment} -m tcp -p tcp -j DNAT --to-destination {endpoint}"
            );
        }
    }

    fn add_node_port(&mut self, number: usize, name: &str, node_port: u16, service: &str) {
        let external = format!("KUBE-EXT-{number:016}");
        let _ = writeln!(self.chains, ":{external} - [0:0]");
        let _ = writeln!(
            self.node_ports,
            "-A KUBE-NODEPORTS -m comment --comment {name} -m tcp -p tcp --dport {node_port} -j {external}"
        );
        let _ = writeln!(
            self.others,
            "-A {external} -m comment --comment \"masquerade traffic for {name} external destinations\" -j KUBE-MARK-MASQ
-A {external} -j {service}"
        );
    }
}

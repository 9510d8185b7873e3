//! Rules about single hosts: a policy that keeps two apart, a masquerade to one port.

use super::{Batch, EQUAL, IPV4, IPV6, REGISTER, address_at, bytes, compare, expression, nest, number};
use crate::namespace::Namespace;
use anyhow::{Context, Result};
use ipnet::IpNet;
use std::net::IpAddr;

/// `NF_DROP`.
const DROP: u32 = 0;

/// `NF_NAT_RANGE_PROTO_SPECIFIED`.
const THIS_PORT: u32 = 1 << 1;

/// Drops what a host forwards from one address to another, as a network policy does.
pub fn forbid(namespace: &Namespace, from: IpAddr, to: IpAddr) -> Result<()> {
    let (family, source, destination) = offsets(from);
    let mut batch = Batch::default();
    batch.table(family, "policy");
    batch.chain(family, "policy", "forward", "filter", libc::NF_INET_FORWARD, 0);
    let mut rule = [is_at(source, from), is_at(destination, to)].concat();
    rule.push(expression("immediate", &[number(1, 0), nest(2, &[nest(2, &[number(1, DROP)])])]));
    batch.rule(family, "policy", "forward", &rule);
    batch.commit(namespace).with_context(|| format!("drop {from} → {to}"))
}

/// Gives what a host sends on for one address another source: the host's own, and this port.
pub fn masquerade_to_port(namespace: &Namespace, source: IpAddr, port: u16) -> Result<()> {
    let (family, offset, _) = offsets(source);
    let mut batch = Batch::default();
    batch.table(family, "to-port");
    batch.chain(family, "to-port", "postrouting", "nat", libc::NF_INET_POST_ROUTING, 99);
    let mut rule = is_at(offset, source);
    rule.push(expression(
        "immediate",
        &[number(1, REGISTER), nest(2, &[super::attribute(1, &port.to_be_bytes())])],
    ));
    rule.push(expression("masq", &[number(1, THIS_PORT), number(2, REGISTER), number(3, REGISTER)]));
    batch.rule(family, "to-port", "postrouting", &rule);
    batch.commit(namespace).with_context(|| format!("masquerade {source} to port {port}"))
}

/// The rule ends here unless the IP header has this address at an offset.
fn is_at(offset: u32, address: IpAddr) -> Vec<Vec<u8>> {
    vec![address_at(offset, &IpNet::from(address)), compare(EQUAL, &bytes(address))]
}

/// The protocol family of an address, and where its source and its destination are in the IP header.
fn offsets(address: IpAddr) -> (u8, u32, u32) {
    if address.is_ipv4() { (IPV4, 12, 16) } else { (IPV6, 8, 24) }
}

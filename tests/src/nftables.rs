//! The two nftables rules that break load balancers in the field, set by netlink.
//!
//! The numbers are those of linux/netfilter/nf_tables.h and nfnetlink.h. Attributes are in network
//! byte order; what a rule compares packets with is not touched.

use crate::namespace::Namespace;
use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::net::IpAddr;

pub mod policy;

const SUBSYSTEM_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM_NFTABLES << 8;
const NEW_CHAIN: u16 = (SUBSYSTEM_NFTABLES << 8) + 3;
const NEW_RULE: u16 = (SUBSYSTEM_NFTABLES << 8) + 6;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const REQUEST: u16 = 0x01;
const ACKNOWLEDGE: u16 = 0x04;
const CREATE: u16 = 0x400;
const NESTED: u16 = 0x8000;

/// The register that expressions load to and compare.
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`: any port, not the one nearest to the pod's.
const RANDOM_FULLY: u32 = 1 << 4;

/// `ct state invalid drop` for what the node forwards and for what it receives: conntrack must see
/// both directions of a connection, and the same addresses in both.
pub fn drop_invalid(namespace: &Namespace) -> Result<()> {
    let rule = [
        // ct state → register; register & invalid; not 0
        expression("ct", &[number(1, REGISTER), number(2, 0)]),
        masked(&1u32.to_ne_bytes()),
        compare(NOT_EQUAL, &0u32.to_ne_bytes()),
        expression("immediate", &[number(1, 0), nest(2, &[nest(2, &[number(1, 0)])])]),
    ];
    let mut batch = Batch::default();
    for family in [IPV4, IPV6] {
        batch.table(family, "strict");
        batch.chain(family, "strict", "input", "filter", libc::NF_INET_LOCAL_IN, 0);
        batch.rule(family, "strict", "input", &rule);
        batch.chain(family, "strict", "forward", "filter", libc::NF_INET_FORWARD, 0);
        batch.rule(family, "strict", "forward", &rule);
    }
    batch.commit(namespace).context("ct state invalid drop")
}

/// What a CNI does: the source of pods becomes the node's address, at a random port, in what leaves
/// for an address outside `pods`.
pub fn masquerade(namespace: &Namespace, pods: &[IpNet]) -> Result<()> {
    let mut batch = Batch::default();
    for pods in pods {
        let (family, source, destination) = match pods {
            IpNet::V4(_) => (IPV4, 12, 16),
            IpNet::V6(_) => (IPV6, 8, 24),
        };
        let rule = [
            address_at(source, pods),
            masked(&bytes(pods.netmask())),
            compare(EQUAL, &bytes(pods.network())),
            address_at(destination, pods),
            masked(&bytes(pods.netmask())),
            compare(NOT_EQUAL, &bytes(pods.network())),
            expression("masq", &[number(1, RANDOM_FULLY)]),
        ];
        batch.table(family, "cni");
        batch.chain(family, "cni", "postrouting", "nat", libc::NF_INET_POST_ROUTING, 100);
        batch.rule(family, "cni", "postrouting", &rule);
    }
    batch.commit(namespace).context("masquerade fully-random")
}

/// An address of the IP header → register.
fn address_at(offset: u32, family_of: &IpNet) -> Vec<u8> {
    let length = u32::from(family_of.max_prefix_len()) / 8;
    expression("payload", &[number(1, REGISTER), number(2, 1), number(3, offset), number(4, length)])
}

/// register & mask → register.
fn masked(mask: &[u8]) -> Vec<u8> {
    let data = [
        number(1, REGISTER),
        number(2, REGISTER),
        number(3, mask.len() as u32),
        nest(4, &[attribute(1, mask)]),
        nest(5, &[attribute(1, &vec![0; mask.len()])]),
    ];
    expression("bitwise", &data)
}

/// The rule ends here unless the register is, or is not, the value.
fn compare(operation: u32, value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, operation), nest(3, &[attribute(1, value)])])
}

fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, data)])
}

fn nest(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &attributes.concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// `struct nlattr`, its value, and the padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Messages that take effect together.
#[derive(Default)]
struct Batch {
    messages: Vec<u8>,
    count: usize,
}

impl Batch {
    fn table(&mut self, family: u8, name: &str) {
        self.add(NEW_TABLE, family, &[text(1, name)]);
    }

    fn chain(&mut self, family: u8, table: &str, name: &str, kind: &str, hook: i32, priority: u32) {
        let hook = nest(4, &[number(1, hook.cast_unsigned()), number(2, priority)]);
        self.add(NEW_CHAIN, family, &[text(1, table), text(3, name), hook, text(7, kind)]);
    }

    fn rule(&mut self, family: u8, table: &str, chain: &str, expressions: &[Vec<u8>]) {
        self.add(NEW_RULE, family, &[text(1, table), text(2, chain), nest(4, expressions)]);
    }

    fn add(&mut self, kind: u16, family: u8, attributes: &[Vec<u8>]) {
        let flags = REQUEST | CREATE | ACKNOWLEDGE;
        self.messages.extend(message(kind, flags, family, 0, &attributes.concat()));
        self.count += 1;
    }

    /// Sends the messages, and reads an acknowledgement for each.
    fn commit(self, namespace: &Namespace) -> Result<()> {
        let begin = message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM_NFTABLES, &[]);
        let end = message(BATCH_END, REQUEST, 0, SUBSYSTEM_NFTABLES, &[]);
        namespace.enter(|| {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.send_to(&[begin, self.messages, end].concat(), &SocketAddr::new(0, 0), 0)?;
            let mut acknowledged = 0;
            while acknowledged < self.count {
                let (bytes, _) = socket.recv_from_full()?;
                acknowledged += acknowledgements(&bytes)?;
            }
            Ok(())
        })
    }
}

/// `struct nlmsghdr`, `struct nfgenmsg`, and the attributes.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = ((attributes.len() + 20) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// How many messages the kernel acknowledges here; its first error, if there is one.
fn acknowledgements(mut bytes: &[u8]) -> Result<usize> {
    let mut count = 0;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_ne_bytes(*length) as usize;
        // The header's type is at 0 of `rest`, its end at 12; struct nlmsgerr begins with the errno.
        ensure!(length >= 20 && length <= bytes.len(), "a netlink message of {length} bytes");
        let error = i32::from_ne_bytes([rest[12], rest[13], rest[14], rest[15]]);
        if error != 0 {
            bail!("nftables: {}", std::io::Error::from_raw_os_error(-error));
        }
        count += 1;
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(count)
}

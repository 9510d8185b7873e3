//! CIDRs as Kubernetes objects spell them.

use super::address::parse_address;
use ipnet::IpNet;

/// Reads a CIDR, whose address may have the forms that an address may have, and gives the network. `None`
/// also for an IPv4 network that is spelt as an IPv6 one: programs differ in what they take it for.
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let is_v6 = address.contains(':');
    let address = parse_address(address).filter(|address| address.is_ipv6() == is_v6)?;
    let length = length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse().ok())??;
    IpNet::new(address, length).ok().map(|range| range.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cidr_has_one_form() {
        for (text, expected) in [
            ("203.0.113.7/25", "203.0.113.0/25"),
            ("010.000.0.0/8", "10.0.0.0/8"),
            ("FD00::1/64", "fd00::/64"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(parse_cidr(text), Some(expected.parse().expect("a CIDR")), "{text}");
        }
        for wrong in ["::ffff:10.0.0.0/104", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0.1", "all"] {
            assert_eq!(parse_cidr(wrong), None, "{wrong}");
        }
    }
}

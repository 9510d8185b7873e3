//! IP addresses as Kubernetes objects spell them.

use std::net::{IpAddr, Ipv4Addr};

/// Reads an address in the forms that Kubernetes has accepted over the years, and gives the one form
/// that is passed on: octets with leading zeros are decimal, an IPv4-mapped IPv6 address is IPv4.
/// `None` for what is no address, or has a zone.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical()),
        Err(_) => parse_with_leading_zeros(text).map(IpAddr::V4),
    }
}

/// Whether an address is spelt in a way that programs read differently, or refuse.
pub fn is_ambiguous(text: &str) -> bool {
    text.parse().ok() != parse_address(text)
}

/// Why traffic cannot be sent on to an address, or a virtual address cannot be there.
pub fn why_unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("it is the unspecified address")
    } else if address.is_loopback() {
        Some("it is a loopback address")
    } else if link_local {
        Some("it is a link-local address, which has a meaning on one link only")
    } else if address.is_multicast() {
        Some("it is a multicast address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("it is the broadcast address")
    } else {
        None
    }
}

/// Four decimal octets, any of them with leading zeros.
fn parse_with_leading_zeros(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for (text, expected) in [
            ("10.96.0.10", "10.96.0.10"),
            ("010.096.000.010", "10.96.0.10"),
            ("::ffff:10.96.0.10", "10.96.0.10"),
            ("FD00::00:1", "fd00::1"),
        ] {
            assert_eq!(parse_address(text), Some(expected.parse().expect("an address")), "{text}");
        }
        for wrong in ["", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.+1", "10.0..1", "fe80::1%eth0", "web"]
        {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn leading_zeros_and_mapped_addresses_are_ambiguous() {
        assert!(is_ambiguous("10.96.0.010"));
        assert!(is_ambiguous("::ffff:10.96.0.10"));
        assert!(!is_ambiguous("10.96.0.10"));
        assert!(!is_ambiguous("FD00::1"));
    }

    #[test]
    fn no_host_in_the_cluster_has_a_special_address() {
        for special in [
            "0.0.0.0",
            "::",
            "127.0.0.1",
            "::1",
            "169.254.0.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(why_unusable(special.parse().expect("an address")).is_some(), "{special}");
        }
        for ordinary in ["10.0.0.1", "100.64.0.1", "192.168.1.1", "fd00::1", "2001:db8::1"] {
            assert!(why_unusable(ordinary.parse().expect("an address")).is_none(), "{ordinary}");
        }
    }
}

//! Whether a range of ClusterIPs is free: addresses of it that no Service has would be dropped, and those
//! that a Service has would be taken from whoever has them now.

use super::Interface;
use ipnet::IpNet;

/// What a range of `--service-cluster-ip-range` meets, in words: the cluster's pods, an address of the
/// node or what can be reached over one of its links directly. `None`: nothing.
pub fn range_conflict(range: IpNet, interfaces: &[Interface], cluster_cidrs: &[IpNet]) -> Option<String> {
    let meet = |other: &IpNet| range.contains(other) || other.contains(&range);
    if let Some(pods) = cluster_cidrs.iter().find(|pods| meet(pods)) {
        return Some(format!("--cluster-cidr {pods}"));
    }
    interfaces.iter().find_map(|interface| {
        let address = interface.addresses.iter().find(|address| meet(address))?;
        Some(format!("{address}, an address of {}", interface.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a CIDR")
    }

    #[test]
    fn a_range_meets_what_holds_it_and_what_it_holds() {
        let interfaces = [Interface {
            name: "eth0".to_owned(),
            addresses: vec![net("192.0.2.5/24"), net("2001:db8::5/64")],
            ..Interface::default()
        }];
        let pods = [net("10.244.0.0/16")];
        let meets = |range| range_conflict(net(range), &interfaces, &pods);
        assert_eq!(meets("10.96.0.0/12"), None);
        assert_eq!(meets("fd00::/108"), None);
        assert_eq!(meets("10.0.0.0/8"), Some("--cluster-cidr 10.244.0.0/16".to_owned()));
        assert_eq!(meets("10.244.7.0/24"), Some("--cluster-cidr 10.244.0.0/16".to_owned()));
        assert_eq!(meets("192.0.0.0/16"), Some("192.0.2.5/24, an address of eth0".to_owned()));
        assert_eq!(meets("192.0.2.128/25"), Some("192.0.2.5/24, an address of eth0".to_owned()));
        assert_eq!(meets("2001:db8::/32"), Some("2001:db8::5/64, an address of eth0".to_owned()));
    }
}

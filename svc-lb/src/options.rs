//! The values of options that more than one part of the agent reads, as they are spelt.

use ipnet::IpNet;
use std::{fmt, net::SocketAddr, str::FromStr};
use svc_lb_common::snat::PortRange;

/// `--xdp-mode`: which XDP program an uplink gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native XDP where the kind of link can transmit by itself, else none.
    #[default]
    Auto,
    /// Native XDP, or an error.
    Native,
    /// XDP in the stack, which linearises GRO packets: for tests.
    Generic,
    /// None: tc does everything.
    Off,
}

impl FromStr for XdpMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "generic" => Ok(Self::Generic),
            "off" => Ok(Self::Off),
            _ => Err("expected auto, native, generic or off".to_owned()),
        }
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Off => "off",
        })
    }
}

/// Whether something is done: `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// `--nodeport-addresses`: which addresses of the node answer at a NodePort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The Node's InternalIP of each family, else the first uplink's first global address.
    #[default]
    Primary,
    /// Every address of an interface that one of these holds; loopback never.
    Within(Vec<IpNet>),
}

impl FromStr for NodePortAddresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "primary" {
            return Ok(Self::Primary);
        }
        let range = |part: &str| {
            part.trim().parse().map_err(|_| format!("{part:?} is neither a CIDR nor, alone, \"primary\""))
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self::Within)
    }
}

impl fmt::Display for NodePortAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.pad("primary"),
            Self::Within(ranges) => {
                f.pad(&ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// Where a server listens; empty: nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress(pub Option<SocketAddr>);

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let expected = || "expected address:port, such as 0.0.0.0:10256 or [::]:10256".to_owned();
        text.parse().map(|address| Self(Some(address))).map_err(|_| expected())
    }
}

/// Reads a range of ports as `first-last`, neither of them 0.
pub fn port_range(text: &str) -> Result<PortRange, String> {
    let parse = || {
        let (first, last) = text.split_once('-')?;
        let range = PortRange { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
        (range.first != 0 && range.first <= range.last).then_some(range)
    };
    parse().ok_or_else(|| "expected two ports as first-last, between 1 and 65535".to_owned())
}

/// Reads a duration as Go and kube-proxy spell it (`24h`, `1h0m0s`, `30s`): whole seconds, at least
/// one and less than 2³¹, so that the dataplane's wrapping clock can tell an age from its past.
pub fn seconds(text: &str) -> Result<u32, String> {
    let duration: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a duration such as 30s, 5m or 24h0m0s".to_owned())?;
    match i32::try_from(duration.as_secs()) {
        Ok(seconds) if seconds > 0 && duration.subsec_nanos() == 0 => Ok(seconds.cast_unsigned()),
        _ => Err("expected whole seconds, at least one and less than 2³¹".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_are_two_ports_in_order() {
        assert_eq!(port_range("30000-32767"), Ok(PortRange { first: 30000, last: 32767 }));
        assert_eq!(port_range("80-80"), Ok(PortRange { first: 80, last: 80 }));
        for wrong in ["", "80", "0-80", "81-80", "1-65536", "-", "a-b", "1-2-3", "-1-5"] {
            assert!(port_range(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_spelt_as_in_go() {
        for (text, expected) in [("30s", 30), ("24h", 86400), ("1h0m0s", 3600), ("2m30s", 150)] {
            assert_eq!(seconds(text), Ok(expected), "{text:?}");
        }
        for wrong in ["", "0s", "30", "-5s", "500ms", "1s500ms", "1000000h", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn nodeport_addresses_are_primary_or_ranges() {
        assert_eq!("primary".parse(), Ok(NodePortAddresses::Primary));
        let ranges: NodePortAddresses = "10.0.0.0/8, fd00::/8".parse().expect("two ranges");
        assert_eq!(ranges.to_string(), "10.0.0.0/8,fd00::/8");
        for wrong in ["", "10.0.0.1", "primary,10.0.0.0/8", "10.0.0.0/33"] {
            assert!(wrong.parse::<NodePortAddresses>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn xdp_modes_are_read_as_they_are_written() {
        for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic, XdpMode::Off] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
    }
}

//! The places on an interface where a program is attached, and the pins that remember them.

use super::{bpffs, error::DataplaneError};
use crate::{
    node::{Interface, LinkLayer},
    options::XdpMode,
};
use aya::programs::TcAttachType;
use std::path::{Path, PathBuf};
use svc_lb_common::counters::Program;

/// A program and how it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `xdp_uplink` in the driver.
    NativeXdp,
    /// `xdp_uplink` in the stack.
    GenericXdp,
    /// A tc program.
    Tc(Program),
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NativeXdp,
        Self::GenericXdp,
        Self::Tc(Program::TcUplinkIngress),
        Self::Tc(Program::TcUplinkEgress),
        Self::Tc(Program::TcPodIngress),
        Self::Tc(Program::TcPodEgress),
        Self::Tc(Program::TcL3Ingress),
        Self::Tc(Program::TcL3Egress),
    ];

    /// Where an interface has tc programs: one for each direction.
    pub fn tc(interface: &Interface) -> [Self; 2] {
        let programs = if !interface.is_uplink() {
            [Program::TcPodIngress, Program::TcPodEgress]
        } else if interface.link_layer == LinkLayer::None {
            [Program::TcL3Ingress, Program::TcL3Egress]
        } else {
            [Program::TcUplinkIngress, Program::TcUplinkEgress]
        };
        programs.map(Self::Tc)
    }

    /// The program's name, and for what is not its first choice also the mode: the kernel does not
    /// say in which mode a link is attached.
    fn name(self) -> &'static str {
        match self {
            Self::NativeXdp => Program::XdpUplink.name(),
            Self::GenericXdp => "xdp_uplink-generic",
            Self::Tc(program) => program.name(),
        }
    }

    /// The program.
    pub fn program(self) -> Program {
        match self {
            Self::NativeXdp | Self::GenericXdp => Program::XdpUplink,
            Self::Tc(program) => program,
        }
    }

    /// Where an uplink has XDP: in one place, or nowhere and why.
    pub fn xdp(mode: XdpMode, interface: &Interface) -> Result<Self, String> {
        let kind = interface.kind.as_str();
        match mode {
            // In the stack it would find an IP header where it expects the Ethernet header.
            _ if interface.link_layer == LinkLayer::None => {
                Err("XDP is for Ethernet frames, and this link has none".to_owned())
            }
            XdpMode::Off => Err("--xdp-mode is off".to_owned()),
            XdpMode::Generic => Ok(Self::GenericXdp),
            XdpMode::Native => Ok(Self::NativeXdp),
            XdpMode::Auto if kind.is_empty() => Ok(Self::NativeXdp),
            // What a veth transmits by XDP is lost in silence where the peer has no XDP program, and
            // a bridge or tunnel has no hardware that could transmit at all.
            XdpMode::Auto => Err(format!("--xdp-mode auto means hardware only, and this link is a {kind}")),
        }
    }
}

/// Which way the packets go that a tc program sees.
pub fn direction(program: Program) -> TcAttachType {
    match program {
        Program::TcUplinkEgress | Program::TcPodEgress | Program::TcL3Egress => TcAttachType::Egress,
        _ => TcAttachType::Ingress,
    }
}

/// The directory that remembers what is attached: `<interface>-<place>` is a pinned link or, for a
/// filter of a clsact qdisc, which cannot be pinned, an empty directory.
#[derive(Clone, Debug)]
pub struct Pins(PathBuf);

impl Pins {
    /// The pins in a pin directory.
    pub fn new(pin_dir: &Path) -> Self {
        Self(pin_dir.join("links"))
    }

    /// Makes the directory.
    pub fn create(&self) -> Result<(), DataplaneError> {
        bpffs::create(&self.0)
    }

    /// Removes the directory and what is in it.
    pub fn remove(&self) -> Result<(), DataplaneError> {
        bpffs::remove_all(&self.0)
    }

    /// Where a place is remembered. Names in a BPF file system have no dots, and those of interfaces
    /// no colons.
    pub fn path(&self, interface: &str, place: Place) -> PathBuf {
        self.0.join(format!("{}-{}", interface.replace('.', ":"), place.name()))
    }

    /// All that is remembered: interfaces and places.
    pub fn list(&self) -> Result<Vec<(String, Place)>, DataplaneError> {
        Ok(bpffs::list(&self.0)?.iter().filter_map(|name| parse(name)).collect())
    }
}

/// The interface and the place that a pin's name stands for.
fn parse(name: &str) -> Option<(String, Place)> {
    Place::ALL.into_iter().find_map(|place| {
        let interface = name.strip_suffix(place.name())?.strip_suffix('-')?;
        Some((interface.replace(':', "."), place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Role;

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        let pins = Pins::new(Path::new("/pins"));
        for interface in ["eth0", "eth0.100", "a-b", "xdp_uplink", "veth-xdp_uplink"] {
            for place in Place::ALL {
                let path = pins.path(interface, place);
                let name = path.file_name().and_then(|name| name.to_str()).unwrap();
                assert!(!name.contains('.'));
                assert_eq!(parse(name), Some((interface.to_owned(), place)));
            }
        }
        assert_eq!(parse("eth0"), None);
        assert_eq!(parse("eth0-other"), None);
    }

    #[test]
    fn auto_takes_hardware_only_and_the_others_what_they_are_told() {
        let link = |kind: &str| Interface { kind: kind.to_owned(), ..Interface::default() };
        assert_eq!(Place::xdp(XdpMode::Auto, &link("")), Ok(Place::NativeXdp));
        for kind in ["veth", "bridge", "vxlan", "geneve"] {
            let why = Place::xdp(XdpMode::Auto, &link(kind)).unwrap_err();
            assert!(why.contains(kind), "{why}");
            assert_eq!(Place::xdp(XdpMode::Native, &link(kind)), Ok(Place::NativeXdp));
            assert_eq!(Place::xdp(XdpMode::Generic, &link(kind)), Ok(Place::GenericXdp));
        }
        assert!(Place::xdp(XdpMode::Off, &link("")).is_err());
    }

    #[test]
    fn a_link_without_ethernet_has_programs_of_its_own_and_no_xdp() {
        let role = Role::Uplink(String::new());
        let tunnel = Interface { link_layer: LinkLayer::None, role, ..Interface::default() };
        assert_eq!(Place::tc(&tunnel), [Program::TcL3Ingress, Program::TcL3Egress].map(Place::Tc));
        for mode in [XdpMode::Auto, XdpMode::Native, XdpMode::Generic] {
            assert!(Place::xdp(mode, &tunnel).unwrap_err().contains("Ethernet"), "{mode}");
        }
    }
}

//! Which interfaces are served: a pure function of what the kernel shows and of the flags.

use super::{Interface, Role};
use globset::{Glob, GlobSet, GlobSetBuilder};

/// The default of `--pod-interface`: how widespread CNI plugins name the host side of a pod's interface.
pub const DEFAULT_POD_INTERFACES: [&str; 6] = ["veth*", "cali*", "lxc*", "eni*", "azv*", "gke*"];

/// The kinds of link besides hardware that can be an uplink or a pod interface: they carry Ethernet
/// frames, and what they receive is theirs alone.
const SERVED_KINDS: [&str; 7] = ["veth", "bond", "team", "vlan", "macvlan", "ipvlan", "netkit"];

/// What the flags say about interfaces.
#[derive(Clone, Debug)]
pub struct Roles {
    uplinks: Vec<String>,
    pods: GlobSet,
}

/// What decides on an uplink by default, and is of no further interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// It is a loopback interface.
    pub loopback: bool,
    /// A default route of the main table leads over it.
    pub default_route: bool,
}

impl Roles {
    /// `uplinks`: the names of `--uplink`; none means the default. `pods`: the globs of
    /// `--pod-interface`. Fails on a glob that is none, with a sentence.
    pub fn new(uplinks: &[String], pods: &[String]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        for pod in pods {
            globs.add(Glob::new(pod)?);
        }
        Ok(Self { uplinks: uplinks.to_vec(), pods: globs.build()? })
    }

    /// Those of `--uplink` that do not exist.
    pub fn missing_uplinks<'a>(&'a self, interfaces: &'a [Interface]) -> impl Iterator<Item = &'a str> {
        let exists = |name: &str| interfaces.iter().any(|interface| interface.name == name);
        self.uplinks.iter().map(String::as_str).filter(move |name| !exists(name))
    }

    /// The role of an interface; the one that it holds is not looked at.
    pub(super) fn role(&self, interface: &Interface, traits: Traits) -> Role {
        let named = self.uplinks.contains(&interface.name);
        let (role, reason): (fn(String) -> Role, String) = if named {
            (Role::Uplink, "named by --uplink".to_owned())
        } else if traits.loopback {
            return Role::None("loopback".to_owned());
        } else if self.pods.is_match(&interface.name) {
            (Role::Pod, "matches --pod-interface".to_owned())
        } else if !self.uplinks.is_empty() {
            return Role::None("not named by --uplink".to_owned());
        } else if traits.default_route {
            (Role::Uplink, "holds a default route".to_owned())
        } else if let Some(address) = interface.addresses.first() {
            (Role::Uplink, format!("holds the address {}", address.addr()))
        } else {
            return Role::None("no default route and no global address".to_owned());
        };
        match obstacle(interface, traits) {
            Some(obstacle) => Role::None(format!("{reason}, but {obstacle}")),
            None => role(reason),
        }
    }
}

/// Why an interface cannot be served at all.
fn obstacle(interface: &Interface, traits: Traits) -> Option<String> {
    let kind = interface.kind.as_str();
    if traits.loopback {
        Some("it is a loopback interface".to_owned())
    } else if !kind.is_empty() && !SERVED_KINDS.contains(&kind) {
        Some(format!("interfaces of kind {kind} are not served yet"))
    } else if interface.mac.is_none() {
        Some("it has no Ethernet address".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Traits = Traits { loopback: false, default_route: false };
    const DEFAULT_ROUTE: Traits = Traits { loopback: false, default_route: true };
    const LOOPBACK: Traits = Traits { loopback: true, default_route: false };

    fn interface(name: &str, kind: &str, addresses: &[&str]) -> Interface {
        Interface {
            index: 2,
            name: name.to_owned(),
            kind: kind.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            up: true,
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            role: Role::None(String::new()),
        }
    }

    fn roles(uplinks: &[&str]) -> Roles {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Roles::new(&owned(uplinks), &owned(&DEFAULT_POD_INTERFACES)).expect("valid globs")
    }

    fn reason(role: Role) -> String {
        match role {
            Role::None(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_or_a_default_route_makes_an_uplink() {
        let by_address = roles(&[]).role(&interface("eth0", "", &["192.0.2.1/24"]), PLAIN);
        assert_eq!(by_address, Role::Uplink("holds the address 192.0.2.1".to_owned()));
        let by_route = roles(&[]).role(&interface("eth1", "", &[]), DEFAULT_ROUTE);
        assert_eq!(by_route, Role::Uplink("holds a default route".to_owned()));
        assert!(matches!(roles(&[]).role(&interface("eth2", "", &[]), PLAIN), Role::None(_)));
    }

    #[test]
    fn a_pod_interface_is_no_uplink_whatever_it_holds() {
        for name in ["vethab12", "cali0123", "lxc_health"] {
            let role = roles(&[]).role(&interface(name, "veth", &["10.244.0.1/32"]), DEFAULT_ROUTE);
            assert!(matches!(role, Role::Pod(_)), "{name}: {role:?}");
        }
    }

    #[test]
    fn named_uplinks_are_the_only_ones_and_win_over_globs() {
        let roles = roles(&["veth-out"]);
        assert!(matches!(roles.role(&interface("veth-out", "veth", &[]), PLAIN), Role::Uplink(_)));
        assert!(matches!(roles.role(&interface("veth-pod", "veth", &[]), PLAIN), Role::Pod(_)));
        let other = roles.role(&interface("eth0", "", &["192.0.2.1/24"]), DEFAULT_ROUTE);
        assert_eq!(reason(other), "not named by --uplink");
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let addressed = |kind| interface("net0", kind, &["192.0.2.1/24"]);
        for kind in ["bridge", "vxlan", "dummy", "tun", "wireguard"] {
            let reason = reason(roles(&[]).role(&addressed(kind), PLAIN));
            assert!(reason.contains(&format!("kind {kind} are not served yet")), "{reason}");
        }
        let no_mac = Interface { mac: None, ..addressed("") };
        assert!(reason(roles(&[]).role(&no_mac, PLAIN)).contains("no Ethernet address"));
        assert_eq!(reason(roles(&[]).role(&addressed(""), LOOPBACK)), "loopback");
        let named = roles(&["net0"]).role(&addressed(""), LOOPBACK);
        assert_eq!(reason(named), "named by --uplink, but it is a loopback interface");
    }

    #[test]
    fn a_missing_uplink_is_noticed() {
        let roles = roles(&["eth0", "eth9"]);
        let interfaces = [interface("eth0", "", &[])];
        assert_eq!(roles.missing_uplinks(&interfaces).collect::<Vec<_>>(), ["eth9"]);
    }

    #[test]
    fn a_broken_glob_is_refused() {
        assert!(Roles::new(&[], &["veth[".to_owned()]).is_err());
    }
}

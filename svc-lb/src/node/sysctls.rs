//! The kernel settings that forwarding needs: set and remembered, or named.

use super::{Interface, PastNetfilter, PortSet};
use crate::state_dir::{StateDir, StateError};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::Path,
};
use svc_lb_common::snat::PortRange;

/// The file that remembers what was there before.
const FILE: &str = "sysctls.json";
/// Where the kernel shows its settings: those of the reader's network namespace.
const ROOT: &str = "/proc/sys";
/// Ports that the kernel gives to nobody who does not ask for them.
const RESERVED_PORTS: &str = "net/ipv4/ip_local_reserved_ports";
/// The ports that the kernel gives to those who do not ask for one.
const EPHEMERAL_PORTS: &str = "net/ipv4/ip_local_port_range";
/// What differs from one start of the machine to the next.
const BOOT: &str = "kernel/random/boot_id";
/// IPv6 forwarding of the whole network namespace.
const IPV6_FORWARDING: &str = "net/ipv6/conf/all/forwarding";

/// Whether br_netfilter hands bridged packets of a family to netfilter; absent where it is not loaded.
const BRIDGED_V4: &str = "net/bridge/bridge-nf-call-iptables";
const BRIDGED_V6: &str = "net/bridge/bridge-nf-call-ip6tables";

/// The sysctls of the agent's network namespace.
pub struct Sysctls {
    state: StateDir,
    /// `--set-sysctls`.
    may_set: bool,
    saved: Saved,
}

/// What `cleanup` needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saved {
    /// Which start of the machine this is about: the next one knows nothing of the agent's writes.
    boot: String,
    /// Paths below `/proc/sys` → the value before the agent's first write.
    values: BTreeMap<String, String>,
    /// The ports that the agent added to the reserved ones.
    reserved_ports: String,
}

/// A setting of one interface, or of `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// `ipv4` or `ipv6`.
    family: &'static str,
    interface: String,
    name: &'static str,
    value: &'static str,
}

impl Setting {
    fn new(family: &'static str, interface: &str, name: &'static str, value: &'static str) -> Self {
        Self { family, interface: interface.to_owned(), name, value }
    }

    fn path(&self) -> String {
        format!("net/{}/conf/{}/{}", self.family, self.interface, self.name)
    }
}

impl Sysctls {
    /// Those of this process; what was remembered is read from the state directory. `may_set`:
    /// `--set-sysctls`.
    pub fn open(state: StateDir, may_set: bool) -> Result<Self, StateError> {
        let saved = Saved::read(&state)?;
        Ok(Self { state, may_set, saved })
    }

    /// `net.ipv4.ip_local_port_range`, or the kernel's default where it cannot be read.
    pub fn ephemeral_ports(&self) -> PortRange {
        let read = || {
            let text = read(EPHEMERAL_PORTS)?;
            let (first, last) = text.split_once(char::is_whitespace)?;
            Some(PortRange { first: first.parse().ok()?, last: last.trim().parse().ok()? })
        };
        read().unwrap_or(PortRange { first: 32768, last: 60999 })
    }

    /// The reserved ports, without those that the agent added.
    pub fn reserved_ports_of_others(&self) -> PortSet {
        reserved_ports().unwrap_or_default().without(&self.saved.reserved_ports())
    }

    /// Makes the kernel forward between the served interfaces, and keep its hands off some ports; the
    /// values before are remembered. Names, a line each, what could not be set or may not be.
    pub fn apply(&mut self, interfaces: &[Interface], reserve: &PortSet) -> Result<Vec<String>, StateError> {
        let others = self.reserved_ports_of_others();
        let reserved = others.with(reserve);
        let ports_differ = reserved_ports().is_some_and(|has| has != reserved);
        let mut settings = self.settings(interfaces);
        settings.retain(|setting| read(&setting.path()).is_some_and(|value| value != setting.value));
        if self.may_set {
            self.remember(interfaces, &settings, &reserve.without(&others))?;
        }

        let mut refused = Refusals::default();
        for setting in settings {
            if let Err(why) = self.set(&setting.path(), setting.value) {
                refused.add(setting, why);
            }
        }
        let mut lines = refused.lines();
        if ports_differ && let Err(why) = self.set(RESERVED_PORTS, &reserved.to_string()) {
            lines.push(format!("the sysctl net.ipv4.ip_local_reserved_ports should hold {reserve}{why}"));
        }
        Ok(lines)
    }

    /// What should be set, in this order.
    fn settings(&self, interfaces: &[Interface]) -> Vec<Setting> {
        let served: Vec<&str> = interfaces
            .iter()
            .filter(|interface| interface.is_served() || has_served_ports(interface, interfaces))
            .map(|interface| interface.name.as_str())
            .collect();
        let mut settings = Vec::new();
        if served.is_empty() {
            return settings;
        }
        // A packet that leaves by the interface that it came in by is svc-lb's doing, not a detour of
        // the sender. The kernel sends redirects if either "all" or the interface says so.
        settings.push(Setting::new("ipv4", "all", "send_redirects", "0"));
        for interface in &served {
            settings.push(Setting::new("ipv4", interface, "send_redirects", "0"));
            settings.push(Setting::new("ipv4", interface, "forwarding", "1"));
        }
        if self.ipv6_forwarding_is_ours() {
            for interface in interfaces.iter().filter(|interface| hears_routers(interface)) {
                let setting = Setting::new("ipv6", &interface.name, "accept_ra", "2");
                if read(&setting.path()).is_some_and(|value| value == "1") {
                    settings.push(setting);
                }
            }
        }
        settings.push(Setting::new("ipv6", "all", "forwarding", "1"));
        for interface in &served {
            settings.push(Setting::new("ipv6", interface, "forwarding", "1"));
        }
        settings
    }

    /// Whether the agent turned IPv6 forwarding on, or is about to. Then a node that learnt its routes
    /// from routers would lose them, unless accept_ra says 2: also while forwarding. (Not on pod
    /// interfaces: there the change closes a hole.)
    fn ipv6_forwarding_is_ours(&self) -> bool {
        self.saved.values.contains_key(IPV6_FORWARDING)
            || read(IPV6_FORWARDING).is_some_and(|value| value == "0")
    }

    /// Remembers, before anything is changed, what is about to change.
    fn remember(
        &mut self,
        interfaces: &[Interface],
        settings: &[Setting],
        ports: &PortSet,
    ) -> Result<(), StateError> {
        let mut paths: Vec<String> = settings.iter().map(Setting::path).collect();
        if paths.iter().any(|path| path == IPV6_FORWARDING) {
            // It changes those of all interfaces.
            let names = interfaces.iter().map(|interface| interface.name.as_str()).chain(["default"]);
            paths.extend(names.map(|name| Setting::new("ipv6", name, "forwarding", "1").path()));
        }
        let mut saved = self.saved.clone();
        for path in paths {
            if let Some(value) = read(&path) {
                saved.values.entry(path).or_insert(value);
            }
        }
        saved.reserved_ports = ports.to_string();
        if saved != self.saved {
            saved.values.retain(|path, _| read(path).is_some());
            self.state.write(FILE, &saved)?;
            self.saved = saved;
        }
        Ok(())
    }

    /// Writes a value, or says why not.
    fn set(&self, path: &str, value: &str) -> Result<(), String> {
        if !self.may_set {
            return Err(String::new());
        }
        write(path, value).map_err(|error| format!(", but cannot be set: {error}"))
    }
}

/// Whether the node may learn routes from routers that it hears there.
fn hears_routers(interface: &Interface) -> bool {
    interface.name != "lo" && !interface.is_pod()
}

/// Whether it is a bridge (or a bond, a VRF) to which an interface belongs that is served: the host's
/// stack sees there what those ports receive.
fn has_served_ports(interface: &Interface, interfaces: &[Interface]) -> bool {
    interfaces.iter().any(|port| port.master == Some(interface.index) && port.is_served())
}

/// Undoes what [`Sysctls::apply`] ever did with this state directory. Names, a line each, what could
/// not be restored.
pub fn restore(state: &StateDir) -> Result<Vec<String>, StateError> {
    let saved = Saved::read(state)?;
    let mut values: Vec<(&str, String)> =
        saved.values.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
    // "all" sets every interface: it goes first.
    values.sort_by_key(|(path, _)| !path.contains("/all/"));
    if let Some(reserved) = reserved_ports() {
        values.push((RESERVED_PORTS, reserved.without(&saved.reserved_ports()).to_string()));
    }
    let mut lines = Vec::new();
    for (path, value) in values {
        if read(path).is_some_and(|now| now != value)
            && let Err(error) = write(path, &value)
        {
            lines.push(format!("the sysctl {path} was {value:?}, but cannot be restored: {error}"));
        }
    }
    if lines.is_empty() {
        state.remove(FILE)?;
    }
    Ok(lines)
}

impl Saved {
    /// What was remembered since the machine started.
    fn read(state: &StateDir) -> Result<Self, StateError> {
        let boot = read(BOOT).unwrap_or_default();
        let saved = state.read::<Self>(FILE)?.filter(|saved| saved.boot == boot);
        Ok(saved.unwrap_or_else(|| Self { boot, ..Self::default() }))
    }

    fn reserved_ports(&self) -> PortSet {
        PortSet::parse(&self.reserved_ports).unwrap_or_default()
    }
}

/// Settings that were not made, in few lines however many interfaces there are.
#[derive(Default)]
struct Refusals(BTreeMap<(&'static str, &'static str, &'static str, String), BTreeSet<String>>);

impl Refusals {
    fn add(&mut self, setting: Setting, why: String) {
        let key = (setting.family, setting.name, setting.value, why);
        self.0.entry(key).or_default().insert(setting.interface);
    }

    fn lines(self) -> Vec<String> {
        let line = |((family, name, value, why), interfaces): (_, BTreeSet<String>)| {
            let interfaces = interfaces.into_iter().collect::<Vec<_>>().join(", ");
            format!("the sysctl net.{family}.conf.*.{name} should be {value} for {interfaces}{why}")
        };
        self.0.into_iter().map(line).collect()
    }
}

/// Which families bridges switch past netfilter, as far as br_netfilter decides.
pub(super) fn past_netfilter() -> PastNetfilter {
    let past = |path| read(path).is_none_or(|value| value == "0");
    PastNetfilter { v4: past(BRIDGED_V4), v6: past(BRIDGED_V6) }
}

/// A value, by its path below `/proc/sys`: a path, because names of interfaces may have dots. `None`
/// where the kernel has no such setting, or the interface is gone.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok().map(|value| value.trim().to_owned())
}

/// Sets a value. The end of line is for empty ones: a write of no bytes changes nothing. An interface
/// that went away meanwhile is no error.
fn write(path: &str, value: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(Path::new(ROOT).join(path));
    match file.and_then(|mut file| file.write_all(format!("{value}\n").as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// `net.ipv4.ip_local_reserved_ports`.
fn reserved_ports() -> Option<PortSet> {
    PortSet::parse(&read(RESERVED_PORTS)?)
}

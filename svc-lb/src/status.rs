//! What the agent says of itself: `status.json` in the state directory, replaced by `run` on each
//! change and read by `status`.

use crate::state_dir::{StateDir, StateError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, path::PathBuf};

/// The name of the file.
const FILE: &str = "status.json";

/// The agent at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// Its process id, in its own PID namespace.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Which node it believes to be.
    pub node: Node,
    /// What it serves.
    pub counts: Counts,
    /// The last successful sync; `None` before the first.
    pub last_sync: Option<Sync>,
    /// Why the sync after that one failed; it is tried again. `None` when all is well.
    pub error: Option<String>,
    /// Every interface, in the order of their indexes.
    pub interfaces: Vec<Interface>,
    /// How processes are sent straight to backends. An agent that knew nothing of it did not do it.
    #[serde(default)]
    pub socket_lb: SocketLb,
    /// The Services without an address, by name.
    #[serde(default)]
    pub unserved: Vec<Unserved>,
    /// The containers whose readiness probes do not pass, and why, a line each.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// What is wrong with the manifests, with the node or with how they fit, a line each.
    pub findings: Vec<String>,
}

/// The node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `metadata.name` of the Node: the host's name or `--hostname-override`.
    pub name: String,
    /// Its own addresses, at most one a family: the source of what svc-lb sends in its name.
    pub addresses: Vec<IpAddr>,
}

/// A Service that leads to its endpoints by DNS alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unserved {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.externalName` of one of type ExternalName; `None`: it is headless.
    pub external_name: Option<String>,
}

/// How much is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Service ports, counted once a family.
    pub service_ports: usize,
    /// Addresses and ports that are answered for.
    pub frontends: usize,
    /// Backends that new connections get, counted once for each service port.
    pub backends: usize,
}

/// A successful sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// When it ended.
    pub time: Timestamp,
    /// How long it took, from joining the objects to the last map write, in microseconds.
    pub microseconds: u64,
    /// How many map elements it wrote or deleted.
    pub writes: usize,
    /// What took how long.
    #[serde(default)]
    pub stages: Stages,
}

/// How long each stage of a sync took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stages {
    /// Reading and parsing what changed of the manifests; 0 if something else was the reason for the sync.
    pub parse: u64,
    /// From the objects to the tables.
    pub compile: u64,
    /// Finding what differs in the maps, and writing that.
    pub write: u64,
}

/// An interface, and what svc-lb does there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its ifindex.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is to svc-lb.
    pub role: Role,
    /// Why, in words.
    pub reason: String,
    /// The programs that belong there; none where the role is [`Role::None`].
    pub attachments: Vec<Attachment>,
}

/// Load balancing at the sockets of the node's and the pods' processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketLb {
    /// The cgroup whose processes are served, with all below it; `None` where it is off.
    pub cgroup: Option<PathBuf>,
    /// Why it is off, or why it is not whole; empty if all is well.
    pub reason: String,
    /// The programs that are attached to the cgroup.
    pub programs: Vec<String>,
}

/// What an interface is to svc-lb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Towards the world and the other nodes.
    Uplink,
    /// The host side of a pod's veth pair.
    Pod,
    /// Left alone.
    None,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Uplink => "uplink",
            Self::Pod => "pod",
            Self::None => "none",
        })
    }
}

/// One program on one interface: attached, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The ifindex.
    pub interface: u32,
    /// The program's name, as in the object file.
    pub program: String,
    /// How it is attached; `None` if it is not.
    pub by: Option<Hook>,
    /// Why it is not attached, or not by the first choice; empty if it is.
    pub reason: String,
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// XDP in the driver.
    NativeXdp,
    /// XDP in the stack.
    GenericXdp,
    /// tc by a link, Linux 6.6 and later.
    Tcx,
    /// tc by a filter of the clsact qdisc.
    Clsact,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NativeXdp => "native XDP",
            Self::GenericXdp => "generic XDP",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

impl Status {
    /// What an agent wrote last, whether it still runs or not; `None` if none ever ran with this
    /// state directory.
    pub fn read(state_dir: &StateDir) -> Result<Option<Self>, StateError> {
        state_dir.read(FILE)
    }

    /// Replaces the file.
    pub fn write(&self, state_dir: &StateDir) -> Result<(), StateError> {
        state_dir.write(FILE, self)
    }

    /// Removes the file: there is no dataplane any more.
    pub fn remove(state_dir: &StateDir) -> Result<(), StateError> {
        state_dir.remove(FILE)
    }
}

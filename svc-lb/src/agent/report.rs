//! What the agent knows, in the words of `status`.

use crate::{
    cluster::{self, UnservedKind},
    compile::Compiled,
    dataplane::{DataplaneError, Unattached},
    metrics::Durations,
    node::{Facts, Role},
    source::{Finding, Name, Objects, Origin, Problem, Severity},
    status::{self, Attachment, Counts, SocketLb, Stages},
};
use jiff::Timestamp;
use std::{path::Path, time::Duration};
use svc_lb_common::counters::Program;
use tracing::{info, warn};

/// The taint of a Node that the cluster autoscaler is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// How much the tables hold.
pub fn counts(compiled: &Compiled) -> Counts {
    let Compiled { tables, backends, .. } = compiled;
    Counts { service_ports: tables.services.len(), frontends: tables.frontends.len(), backends: *backends }
}

/// The Services without an address.
pub fn unserved(services: &[cluster::Unserved]) -> Vec<status::Unserved> {
    let told = services.iter().map(|service| status::Unserved {
        namespace: service.name.namespace.clone(),
        name: service.name.name.clone(),
        external_name: match &service.kind {
            UnservedKind::ExternalName(name) => Some(name.clone()),
            UnservedKind::Headless => None,
        },
    });
    told.collect()
}

/// A sync that succeeded just now.
pub fn sync(durations: Durations, writes: usize) -> status::Sync {
    let Durations { parse, compile, write } = durations;
    let stages =
        Stages { parse: microseconds(parse), compile: microseconds(compile), write: microseconds(write) };
    status::Sync { time: Timestamp::now(), microseconds: microseconds(compile + write), writes, stages }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Tells the log what was attached, and what was not, since the last time.
pub fn log_attachments(before: &[status::Interface], after: &[status::Interface]) {
    let attachments = |interfaces: &[status::Interface]| {
        let of = |interface: &status::Interface| {
            let name = interface.name.clone();
            interface.attachments.clone().into_iter().map(move |attachment| (name.clone(), attachment))
        };
        interfaces.iter().flat_map(of).collect::<Vec<_>>()
    };
    let before = attachments(before);
    for (interface, attachment) in attachments(after).iter().filter(|attachment| !before.contains(attachment))
    {
        let Attachment { program, by, reason, .. } = attachment;
        let how = by.map_or_else(|| format!("not attached: {reason}"), |hook| format!("attached by {hook}"));
        info!("{interface}: {program} is {how}");
    }
}

/// How sockets are served, by a cgroup or, and why, not at all.
pub fn socket_lb(
    cgroup: Result<&Path, &str>,
    unattached: Result<&[Unattached], &DataplaneError>,
) -> SocketLb {
    let cgroup = match cgroup {
        Ok(cgroup) => cgroup,
        Err(why) => {
            let reason = format!("{why}, so the node's own processes are not served");
            return SocketLb { reason, ..SocketLb::default() };
        }
    };
    let (missing, reason): (Vec<&str>, String) = match unattached {
        Ok(unattached) => {
            let missing = unattached.iter().map(|it| it.program).collect();
            (missing, unattached.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Err(error) => (Program::SOCKETS.map(Program::name).to_vec(), error.to_string()),
    };
    let attached = Program::SOCKETS.map(Program::name).into_iter().filter(|name| !missing.contains(name));
    SocketLb { cgroup: Some(cgroup.to_owned()), reason, programs: attached.map(str::to_owned).collect() }
}

/// Tells the log how sockets are served now.
pub fn log_socket_lb(status: &SocketLb) {
    let SocketLb { cgroup, reason, programs } = status;
    match cgroup {
        Some(cgroup) if reason.is_empty() => info!("socket LB is on for {}", cgroup.display()),
        Some(cgroup) => {
            let (done, all) = (programs.len(), Program::SOCKETS.len());
            warn!("socket LB has {done} of {all} programs at {}: {reason}", cgroup.display());
        }
        None => info!("socket LB is off: {reason}"),
    }
}

/// The interfaces, each with its attachments.
pub fn interfaces(facts: &Facts, attachments: &[Attachment]) -> Vec<status::Interface> {
    let describe = |interface: &crate::node::Interface| {
        let (role, reason) = match &interface.role {
            Role::Uplink(reason) => (status::Role::Uplink, reason),
            Role::Pod(reason) => (status::Role::Pod, reason),
            Role::None(reason) => (status::Role::None, reason),
        };
        let of_interface = attachments.iter().filter(|attachment| attachment.interface == interface.index);
        status::Interface {
            index: interface.index,
            name: interface.name.clone(),
            role,
            reason: reason.clone(),
            attachments: of_interface.cloned().collect(),
        }
    };
    facts.interfaces.iter().map(describe).collect()
}

/// What is wrong with the manifests; notes are left to `check`.
pub fn findings<'a>(
    findings: &[Finding],
    remarks: impl Iterator<Item = (&'a Origin, &'a Problem)>,
) -> Vec<String> {
    let of_files = findings.iter().filter(|finding| finding.severity != Severity::Info);
    let of_objects = remarks.filter(|(_, problem)| problem.severity != Severity::Info);
    let of_objects = of_objects.map(|(origin, problem)| origin.finding(problem.clone()).to_string());
    of_files.map(ToString::to_string).chain(of_objects).collect()
}

/// Whether this node is about to go: its Node is being deleted or tainted so by the autoscaler, or is
/// missing where others are known. Manifests without Nodes say nothing about it.
pub fn node_leaves(objects: &Objects, name: &str) -> bool {
    if objects.nodes.is_empty() {
        return false;
    }
    let Some(node) = objects.nodes.get(&Name { namespace: String::new(), name: name.to_owned() }) else {
        return true;
    };
    let taints = node.value.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.value.metadata.deletion_timestamp.is_some()
        || taints.into_iter().any(|taint| taint.key == TO_BE_DELETED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileSource;
    use std::fs;

    /// What a file with this text holds.
    fn objects(text: &str) -> Objects {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("nodes.yaml");
        fs::write(&file, text).expect("a file");
        let reading = FileSource::new(vec![file]).read();
        assert_eq!(reading.findings, []);
        reading.objects
    }

    #[test]
    fn a_node_leaves_when_it_is_deleted_tainted_or_missing() {
        let node =
            |rest: &str| objects(&format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: one\n{rest}"));
        assert!(!node_leaves(&Objects::default(), "one"), "no Node is known");
        assert!(!node_leaves(&node(""), "one"));
        assert!(node_leaves(&node(""), "two"));
        assert!(node_leaves(&node("  deletionTimestamp: 2026-01-01T00:00:00Z\n"), "one"));
        let tainted = |key| node(&format!("spec:\n  taints: [{{key: {key}, effect: NoSchedule}}]\n"));
        assert!(node_leaves(&tainted("ToBeDeletedByClusterAutoscaler"), "one"));
        assert!(!node_leaves(&tainted("node.kubernetes.io/unschedulable"), "one"));
    }

    #[test]
    fn an_interface_shows_its_own_attachments() {
        let interface = |index, role| crate::node::Interface {
            index,
            name: format!("eth{index}"),
            role,
            ..crate::node::Interface::default()
        };
        let facts = Facts {
            interfaces: vec![
                interface(1, Role::None("loopback".to_owned())),
                interface(2, Role::Uplink("holds a default route".to_owned())),
            ],
        };
        let attachment = Attachment {
            interface: 2,
            program: "tc_uplink_ingress".to_owned(),
            by: Some(status::Hook::Tcx),
            reason: String::new(),
        };
        let shown = interfaces(&facts, std::slice::from_ref(&attachment));
        assert_eq!((shown[0].role, shown[0].attachments.len()), (status::Role::None, 0));
        assert_eq!((shown[1].role, &shown[1].attachments), (status::Role::Uplink, &vec![attachment]));
        assert_eq!(shown[1].reason, "holds a default route");
    }
}

//! `svc-lb status`: what the agent does on this node, and what its programs counted.

use super::{Status as Flags, StatusOutput, get, table::Table};
use crate::{
    dataplane::{
        DataplaneError,
        view::{Finished, Statistics, View},
    },
    state_dir::StateDir,
    status::{Hook, Interface, SocketLb, Status},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt, path::Path, process::ExitCode};
use svc_lb_common::counters::{DropReason, Program};

/// Everything that `status` knows.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether an agent runs.
    running: bool,
    /// What the last agent said; `None` if none ever ran with this state directory.
    agent: Option<Status>,
    /// The numbers of the pinned maps, if there are any.
    #[serde(flatten)]
    statistics: Option<Statistics>,
}

/// Prints how things are.
pub fn status(flags: &Flags) -> anyhow::Result<ExitCode> {
    let state = StateDir::new(&flags.directories.state_dir);
    let agent = Status::read(&state)?;
    // An agent holds the lock as long as it runs.
    let running = agent.is_some() && state.try_lock()?.is_none();
    let statistics = match View::open(&flags.directories.pin_dir) {
        Ok(view) => Some(view.statistics()?),
        Err(DataplaneError::NothingPinned { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let report = Report { running, agent, statistics };
    let text = match flags.output {
        StatusOutput::Json => get::json(&report)?,
        StatusOutput::Table => Text { report: &report, now: Timestamp::now() }.to_string(),
    };
    get::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// For people.
struct Text<'a> {
    report: &'a Report,
    now: Timestamp,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.report.agent {
            Some(agent) => self.agent(f, agent)?,
            None => writeln!(f, "no agent has run here")?,
        }
        match &self.report.statistics {
            Some(numbers) => statistics(f, numbers)?,
            None => writeln!(f, "\nnothing is pinned: no program is attached")?,
        }
        if let Some(agent) = &self.report.agent {
            list(f, "not ready", &agent.not_ready)?;
            list(f, "findings", &agent.findings)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    fn agent(&self, f: &mut fmt::Formatter<'_>, agent: &Status) -> fmt::Result {
        let Status { version, pid, started, node, counts, .. } = agent;
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        writeln!(f, "svc-lb {version} on {} ({})", node.name, addresses.join(", "))?;
        if self.report.running {
            writeln!(f, "agent:    running for {}, pid {pid}", self.since(*started))?;
        } else {
            writeln!(f, "agent:    not running; what it left is in force")?;
        }
        match &agent.last_sync {
            Some(sync) => {
                let (ago, writes) = (self.since(sync.time), sync.writes);
                let (whole, part) = (sync.microseconds / 1000, sync.microseconds % 1000 / 100);
                writeln!(f, "sync:     {ago} ago, {writes} writes in {whole}.{part} ms")?;
            }
            None => writeln!(f, "sync:     none yet")?,
        }
        writeln!(
            f,
            "serving:  service ports: {}, frontends: {}, backends: {}",
            counts.service_ports, counts.frontends, counts.backends
        )?;
        writeln!(f, "sockets:  {}", sockets(&agent.socket_lb))?;
        if let Some(error) = &agent.error {
            writeln!(f, "error:    {error}")?;
        }
        let mut table = Table::new(&["INTERFACE", "ROLE", "TC", "XDP", "WHY"]);
        for interface in &agent.interfaces {
            let (tc, xdp, why) = attachments(interface);
            table.row([interface.name.clone(), interface.role.to_string(), tc, xdp, why]);
        }
        write!(f, "\n{table}")
    }

    /// How long ago something was.
    fn since(&self, then: Timestamp) -> String {
        let seconds = self.now.duration_since(then).as_secs();
        get::age(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    }
}

/// Whether processes are sent straight to backends, and if not, why.
fn sockets(SocketLb { cgroup, reason, programs }: &SocketLb) -> String {
    let Some(cgroup) = cgroup.as_deref().map(Path::display) else {
        return if reason.is_empty() { "none yet".to_owned() } else { format!("socket LB is off: {reason}") };
    };
    match (programs.is_empty(), reason.is_empty()) {
        (false, true) => format!("socket LB is on for {cgroup}"),
        (false, false) => format!("socket LB is on for {cgroup}, but not whole: {reason}"),
        (true, _) => format!("socket LB is not on for {cgroup}: {reason}"),
    }
}

/// What the programs counted, and how full the tables are. Those for sockets that counted nothing are left
/// out: that they are attached is said above.
fn statistics(f: &mut fmt::Formatter<'_>, statistics: &Statistics) -> fmt::Result {
    let mut table = Table::new(&["PROGRAM", "FORWARDED", "REPLIED", "REJECTED", "DROPPED", "ECHOED"]);
    for program in Program::ALL {
        let name = program.name();
        let finished = statistics.programs.get(name).copied().unwrap_or_default();
        if finished == Finished::default() && Program::SOCKETS.contains(&program) {
            continue;
        }
        let Finished { forwarded, replied, rejected, dropped, echoed } = finished;
        let numbers = [forwarded, replied, rejected, dropped, echoed];
        table.row([name.to_owned()].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    write!(f, "\n{table}")?;

    let dropped = DropReason::ALL.map(DropReason::name).into_iter().filter_map(|reason| {
        let packets = statistics.drops.get(reason).copied()?;
        (packets > 0).then(|| [reason.to_owned(), packets.to_string()])
    });
    let mut table = Table::new(&["DROPPED-FOR", "PACKETS"]);
    let mut any = false;
    for row in dropped {
        table.row(row);
        any = true;
    }
    if any {
        write!(f, "\n{table}")?;
    }

    let mut table = Table::new(&["TABLE", "ENTRIES", "CAPACITY", "FULL"]);
    for (name, fill) in &statistics.tables {
        let percent = fill.entries as u64 * 100 / u64::from(fill.capacity.max(1));
        let (entries, capacity) = (fill.entries.to_string(), fill.capacity.to_string());
        table.row([name.clone(), entries, capacity, format!("{percent}%")]);
    }
    write!(f, "\n{table}")
}

/// How tc and XDP are attached to an interface, and why so.
fn attachments(interface: &Interface) -> (String, String, String) {
    let (mut tc, mut xdp, mut why) = (String::new(), String::new(), vec![interface.reason.clone()]);
    for attachment in &interface.attachments {
        match attachment.by {
            Some(Hook::NativeXdp) => "native".clone_into(&mut xdp),
            Some(Hook::GenericXdp) => "generic".clone_into(&mut xdp),
            Some(hook) => tc = hook.to_string(),
            None => why.push(format!("no {}: {}", attachment.program, attachment.reason)),
        }
    }
    why.retain(|reason| !reason.is_empty());
    (tc, xdp, why.join("; "))
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if !lines.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataplane::view::Fill,
        status::{Attachment, Counts, Node, Role, Stages, Sync},
    };
    use std::collections::BTreeMap;

    fn socket_lb(reason: &str, programs: &[Program]) -> SocketLb {
        SocketLb {
            cgroup: Some("/sys/fs/cgroup".into()),
            reason: reason.to_owned(),
            programs: programs.iter().map(|program| program.name().to_owned()).collect(),
        }
    }

    fn report() -> Report {
        let started: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let attachment = |program: &str, by, reason: &str| Attachment {
            interface: 2,
            program: program.to_owned(),
            by,
            reason: reason.to_owned(),
        };
        let uplink = Interface {
            index: 2,
            name: "eth0".to_owned(),
            role: Role::Uplink,
            reason: "default route".to_owned(),
            attachments: vec![
                attachment("tc_uplink_ingress", Some(Hook::Tcx), ""),
                attachment("tc_uplink_egress", Some(Hook::Tcx), ""),
                attachment("xdp_uplink", None, "another XDP program is attached"),
            ],
        };
        let agent = Status {
            version: "0.1.0".to_owned(),
            pid: 42,
            started,
            node: Node { name: "worker".to_owned(), addresses: vec!["192.0.2.1".parse().unwrap()] },
            counts: Counts { service_ports: 1, frontends: 2, backends: 3 },
            last_sync: Some(Sync {
                time: started,
                microseconds: 1290,
                writes: 12,
                stages: Stages::default(),
            }),
            error: None,
            interfaces: vec![uplink],
            socket_lb: socket_lb("", &Program::SOCKETS),
            unserved: Vec::new(),
            not_ready: vec!["default/web, container web: tcp 10.0.0.1:80: connection refused".to_owned()],
            findings: vec!["services.yaml:3:1: what".to_owned()],
        };
        let finished = Finished { forwarded: 300, replied: 299, ..Finished::default() };
        let statistics = Statistics {
            programs: BTreeMap::from([
                ("tc_uplink_ingress", finished),
                ("sock_connect4", Finished { forwarded: 5, ..Finished::default() }),
                ("sock_connect6", Finished::default()),
            ]),
            drops: BTreeMap::from([("unroutable", 7), ("no-source-port", 0)]),
            tables: BTreeMap::from([("flows_v4".to_owned(), Fill { entries: 600, capacity: 1000 })]),
        };
        Report { running: true, agent: Some(agent), statistics: Some(statistics) }
    }

    #[test]
    fn the_text_says_it_all() {
        let text = Text { report: &report(), now: "2026-01-01T00:01:30Z".parse().unwrap() }.to_string();
        let expected = "\
svc-lb 0.1.0 on worker (192.0.2.1)
agent:    running for 90s, pid 42
sync:     90s ago, 12 writes in 1.2 ms
serving:  service ports: 1, frontends: 2, backends: 3
sockets:  socket LB is on for /sys/fs/cgroup

INTERFACE   ROLE     TC    XDP   WHY
eth0        uplink   tcx   -     default route; no xdp_uplink: another XDP program is attached

PROGRAM             FORWARDED   REPLIED   REJECTED   DROPPED   ECHOED
xdp_uplink                  0         0          0         0        0
tc_uplink_ingress         300       299          0         0        0
tc_uplink_egress            0         0          0         0        0
tc_pod_ingress              0         0          0         0        0
tc_pod_egress               0         0          0         0        0
tc_l3_ingress               0         0          0         0        0
tc_l3_egress                0         0          0         0        0
sock_connect4               5         0          0         0        0

DROPPED-FOR   PACKETS
unroutable          7

TABLE      ENTRIES   CAPACITY   FULL
flows_v4       600       1000    60%

not ready:
  default/web, container web: tcp 10.0.0.1:80: connection refused

findings:
  services.yaml:3:1: what
";
        assert_eq!(text, expected);
    }

    #[test]
    fn it_says_which_sockets_are_served_and_if_not_why() {
        assert_eq!(sockets(&SocketLb::default()), "none yet");
        let off = "cgroup v2 is not mounted, so the node's own processes are not served";
        let line = sockets(&SocketLb { reason: off.to_owned(), ..SocketLb::default() });
        assert_eq!(line, format!("socket LB is off: {off}"));
        let missing = "sock_recvmsg6 is not attached: Operation not permitted";
        assert_eq!(
            sockets(&socket_lb(missing, &Program::SOCKETS[..5])),
            format!("socket LB is on for /sys/fs/cgroup, but not whole: {missing}")
        );
        assert_eq!(
            sockets(&socket_lb("cannot create the directory", &[])),
            "socket LB is not on for /sys/fs/cgroup: cannot create the directory"
        );
    }

    #[test]
    fn without_an_agent_there_is_little_to_say() {
        let report = Report { running: false, agent: None, statistics: None };
        let text = Text { report: &report, now: Timestamp::UNIX_EPOCH }.to_string();
        assert_eq!(text, "no agent has run here\n\nnothing is pinned: no program is attached\n");
        assert_eq!(get::json(&report).unwrap(), "{\n  \"running\": false,\n  \"agent\": null\n}\n");
    }

    #[test]
    fn the_form_for_programs() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["running"], true);
        assert_eq!(json["agent"]["lastSync"]["writes"], 12);
        assert_eq!(json["programs"]["tc_uplink_ingress"]["forwarded"], 300);
        assert_eq!(json["drops"]["unroutable"], 7);
        assert_eq!(json["tables"]["flows_v4"]["entries"], 600);
    }
}

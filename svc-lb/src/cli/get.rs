//! `svc-lb get`: what the pinned maps hold, whether an agent runs or not.

use super::{Get, GetOutput, Listing, table::Table};
use crate::dataplane::view::{Affinity, Backend, Direction, Flow, Frontend, Kind, Policy, Service, View};
use ipnet::IpNet;
use serde::Serialize;
use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

/// A frontend, as `get frontends` lists it.
#[derive(Debug, Serialize)]
struct FrontendRow {
    #[serde(flatten)]
    frontend: Frontend,
    protocol: String,
    service: String,
    service_id: u32,
    /// Which backends it leads to; of a frontend that is not a ClusterIP: those outside the cluster.
    policy: Policy,
    /// How many these are.
    backends: usize,
    /// The only sources that may use it; `None`: all may.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ranges: Option<Vec<IpNet>>,
}

/// A backend, as `get backends` lists it.
#[derive(Debug, Serialize)]
struct BackendRow {
    #[serde(flatten)]
    backend: Backend,
    protocol: String,
    service: String,
    service_id: u32,
}

/// Lists services, frontends, backends, flows or the backends that clients had last.
pub fn get(flags: &Get) -> anyhow::Result<ExitCode> {
    let view = View::open(&flags.directories.pin_dir)?;
    let wide = flags.output == GetOutput::Wide;
    let text = match (flags.what, flags.output) {
        (Listing::Services, GetOutput::Json) => json(&view.services()?)?,
        (Listing::Services, _) => services(&view.services()?, wide).to_string(),
        (Listing::Frontends, GetOutput::Json) => json(&frontend_rows(view.services()?))?,
        (Listing::Frontends, _) => frontends(&frontend_rows(view.services()?), wide).to_string(),
        (Listing::Backends, GetOutput::Json) => json(&backend_rows(view.services()?))?,
        (Listing::Backends, _) => backends(&backend_rows(view.services()?), wide).to_string(),
        (Listing::Flows, GetOutput::Json) => json(&view.flows()?)?,
        (Listing::Flows, GetOutput::Wide) => all_flows(&view.flows()?).to_string(),
        (Listing::Flows, GetOutput::Table) => connections(&view.flows()?).to_string(),
        (Listing::Affinity, GetOutput::Json) => json(&view.affinity()?)?,
        (Listing::Affinity, _) => affinity(&view.affinity()?, wide).to_string(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to the standard output; that nobody reads on is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// For programs.
pub(super) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

fn services(services: &[Service], wide: bool) -> Table {
    let mut header = vec!["SERVICE", "PROTOCOL", "CLUSTER-IP", "NODE-PORT", "BACKENDS", "CONNECTIONS"];
    if wide {
        header.extend(["TYPE", "EXTERNAL-IP", "ALGORITHM", "INTERNAL-POLICY", "EXTERNAL-POLICY", "AFFINITY"]);
        header.extend(["FLOWS", "SOCKETS", "PACKETS-IN", "BYTES-IN", "PACKETS-OUT", "BYTES-OUT", "ID"]);
    }
    let mut table = Table::new(&header);
    for service in services {
        let counters = service.counters;
        let mut cells = vec![
            service.full_name(),
            service.protocol.clone(),
            addresses(service, &[Kind::ClusterIp]),
            node_ports(service),
            service.backends.iter().filter(|backend| !backend.draining).count().to_string(),
            counters.connections().to_string(),
        ];
        if wide {
            let selection = service.selection;
            cells.extend([
                service.kind.to_string(),
                addresses(service, &[Kind::LoadBalancer, Kind::ExternalIp]),
                selection.algorithm.to_owned(),
                selection.internal_policy.to_string(),
                selection.external_policy.to_string(),
                if selection.affinity_timeout == 0 { String::new() } else { age(selection.affinity_timeout) },
            ]);
            let counted = [
                counters.new_flows,
                counters.socket_connections,
                counters.forward_packets,
                counters.forward_bytes,
                counters.reply_packets,
                counters.reply_bytes,
                service.id.into(),
            ];
            cells.extend(counted.map(|number| number.to_string()));
        }
        table.row(cells);
    }
    table
}

/// The addresses of some kinds of a service's frontends, with their port.
fn addresses(service: &Service, kinds: &[Kind]) -> String {
    let frontends = service.frontends.iter().filter(|frontend| kinds.contains(&frontend.kind));
    frontends.map(socket).collect::<Vec<_>>().join(", ")
}

/// The nodePorts of a service; every address of the node that answers has the same.
fn node_ports(service: &Service) -> String {
    let node_ports = service.frontends.iter().filter(|frontend| frontend.kind == Kind::NodePort);
    let mut ports: Vec<String> = node_ports.map(|frontend| frontend.port.to_string()).collect();
    ports.dedup();
    ports.join(", ")
}

fn socket(frontend: &Frontend) -> String {
    SocketAddr::new(frontend.address, frontend.port).to_string()
}

/// The frontends of all services, by address and port.
fn frontend_rows(services: Vec<Service>) -> Vec<FrontendRow> {
    let rows = services.into_iter().flat_map(|service| {
        let row = |frontend: &Frontend| {
            let policy = service.policy(frontend);
            FrontendRow {
                policy,
                backends: service.usable(policy).count(),
                source_ranges: frontend.limited.then(|| service.source_ranges.clone()),
                protocol: service.protocol.clone(),
                service: service.full_name(),
                service_id: service.id,
                frontend: frontend.clone(),
            }
        };
        service.frontends.iter().map(row).collect::<Vec<_>>()
    });
    let mut rows: Vec<FrontendRow> = rows.collect();
    rows.sort_by(|one, other| {
        let order = |row: &FrontendRow| (row.frontend.address, row.frontend.port, row.protocol.clone());
        order(one).cmp(&order(other))
    });
    rows
}

fn frontends(rows: &[FrontendRow], wide: bool) -> Table {
    let mut header = vec!["FRONTEND", "PROTOCOL", "KIND", "SERVICE", "BACKENDS"];
    if wide {
        header.extend(["POLICY", "SOURCES", "SERVICE-ID"]);
    }
    let mut table = Table::new(&header);
    for row in rows {
        let mut cells = vec![
            socket(&row.frontend),
            row.protocol.clone(),
            row.frontend.kind.to_string(),
            row.service.clone(),
            row.backends.to_string(),
        ];
        if wide {
            cells.extend([row.policy.to_string(), sources(row), row.service_id.to_string()]);
        }
        table.row(cells);
    }
    table
}

/// Who may use a frontend: empty for everyone.
fn sources(row: &FrontendRow) -> String {
    match row.source_ranges.as_deref() {
        None => String::new(),
        Some([]) => "none".to_owned(),
        Some(ranges) => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The backends of all services, by service.
fn backend_rows(services: Vec<Service>) -> Vec<BackendRow> {
    let rows = services.into_iter().flat_map(|service| {
        let (name, id, protocol) = (service.full_name(), service.id, service.protocol);
        service.backends.into_iter().map(move |backend| BackendRow {
            backend,
            protocol: protocol.clone(),
            service: name.clone(),
            service_id: id,
        })
    });
    rows.collect()
}

fn backends(rows: &[BackendRow], wide: bool) -> Table {
    let mut header = vec!["SERVICE", "PROTOCOL", "BACKEND", "LISTS"];
    if wide {
        header.extend(["INDEX", "GENERATION", "SERVICE-ID"]);
    }
    let mut table = Table::new(&header);
    for BackendRow { backend, protocol, service, service_id } in rows {
        let sources = match (backend.cluster, backend.local) {
            _ if backend.draining => "draining",
            (true, true) => "cluster, local",
            (true, false) => "cluster",
            _ => "local",
        };
        let endpoint = SocketAddr::new(backend.address, backend.port).to_string();
        let mut cells = vec![service.clone(), protocol.clone(), endpoint, sources.to_owned()];
        if wide {
            cells.extend([backend.index, backend.generation, *service_id].map(|number| number.to_string()));
        }
        table.row(cells);
    }
    table
}

/// Connections: of each flow the direction from the client.
fn connections(flows: &[Flow]) -> Table {
    let mut table = Table::new(&["PROTOCOL", "CLIENT", "FRONTEND", "BACKEND", "SERVICE", "STATE", "IDLE"]);
    for flow in flows.iter().filter(|flow| flow.direction == Direction::Forward && !flow.bypass) {
        table.row([
            flow.protocol.clone(),
            flow.source.to_string(),
            flow.destination.to_string(),
            backend(flow),
            flow.service.clone().unwrap_or_default(),
            flow.state.to_owned(),
            age(flow.age),
        ]);
    }
    table
}

/// Every entry of the flow tables.
fn all_flows(flows: &[Flow]) -> Table {
    let mut table = Table::new(&[
        "HOOK",
        "PROTOCOL",
        "SOURCE",
        "DESTINATION",
        "NEW-SOURCE",
        "NEW-DESTINATION",
        "BACKEND",
        "SERVICE",
        "STATE",
        "IDLE",
        "WAY",
    ]);
    for flow in flows {
        let way = match flow {
            Flow { bypass: true, .. } => "untouched",
            Flow { routed: true, .. } => "sent on",
            _ => "stack",
        };
        table.row([
            flow.hook.to_owned(),
            flow.protocol.clone(),
            flow.source.to_string(),
            flow.destination.to_string(),
            flow.rewritten_source.to_string(),
            flow.rewritten_destination.to_string(),
            backend(flow),
            flow.service.clone().unwrap_or_default(),
            flow.state.to_owned(),
            age(flow.age),
            way.to_owned(),
        ]);
    }
    table
}

/// Which backends clients get again; in the wide form also those that they had and do not get any more.
fn affinity(affinities: &[Affinity], wide: bool) -> Table {
    let mut header = vec!["SERVICE", "CLIENT", "BACKEND", "IDLE", "REMAINING"];
    header.extend(wide.then_some("SERVICE-ID"));
    let mut table = Table::new(&header);
    for it in affinities.iter().filter(|it| wide || it.is_in_force()) {
        let mut cells = vec![
            it.service.clone().unwrap_or_default(),
            it.client.to_string(),
            it.backend.map(|backend| backend.to_string()).unwrap_or_default(),
            age(it.age),
            age(it.remaining),
        ];
        cells.extend(wide.then(|| it.service_id.to_string()));
        table.row(cells);
    }
    table
}

fn backend(flow: &Flow) -> String {
    let removed = if flow.backend_removed { " (removed)" } else { "" };
    flow.backend.map(|backend| format!("{backend}{removed}")).unwrap_or_default()
}

/// Seconds as kubectl shows an age: `42s`, `5m`, `3h`, `2d`.
pub(super) fn age(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::view::{Counters, Selection};
    use serde_json::json;

    fn backend(last: u8, local: bool) -> Backend {
        let index = u32::from(last) - 1;
        let address = [10, 244, 0, last].into();
        Backend { address, port: 80, index, generation: 1, cluster: true, local, draining: false }
    }

    fn web() -> Service {
        let frontend =
            |address: [u8; 4], port, kind| Frontend { address: address.into(), port, kind, limited: false };
        Service {
            id: 1,
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            port: "http".to_owned(),
            protocol: "TCP".to_owned(),
            family: "IPv4".to_owned(),
            kind: Kind::NodePort,
            selection: Selection {
                algorithm: "maglev",
                external_policy: Policy::Local,
                affinity_timeout: 10_800,
                ..Selection::default()
            },
            frontends: vec![
                frontend([10, 96, 0, 7], 8080, Kind::ClusterIp),
                frontend([192, 0, 2, 1], 30163, Kind::NodePort),
                frontend([192, 0, 2, 2], 30163, Kind::NodePort),
            ],
            backends: vec![
                backend(1, true),
                backend(2, false),
                Backend { cluster: false, draining: true, ..backend(3, false) },
            ],
            counters: Counters {
                new_flows: 300,
                socket_connections: 20,
                forward_packets: 900,
                ..Counters::default()
            },
            ..Service::default()
        }
    }

    fn flow(direction: Direction) -> Flow {
        let [client, frontend, backend] =
            ["10.244.0.9:40000", "10.96.0.7:8080", "10.244.0.1:80"].map(|it| it.parse().unwrap());
        Flow {
            table: "flows",
            hook: "pod-ingress",
            direction,
            protocol: "TCP".to_owned(),
            source: client,
            destination: frontend,
            rewritten_source: client,
            rewritten_destination: backend,
            service: Some("default/web:http".to_owned()),
            service_id: 1,
            backend: Some(backend),
            backend_removed: true,
            state: "established",
            age: 150,
            routed: false,
            bypass: false,
        }
    }

    #[test]
    fn a_service_is_one_line() {
        let expected = "\
SERVICE            PROTOCOL   CLUSTER-IP       NODE-PORT   BACKENDS   CONNECTIONS
default/web:http   TCP        10.96.0.7:8080       30163          2           320
";
        assert_eq!(services(&[web()], false).to_string(), expected);
        let wide = services(&[web()], true).to_string();
        let words: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
        let cell = |title| words[0].iter().position(|it| *it == title).map(|column| words[1][column]);
        let described = ["TYPE", "ALGORITHM", "INTERNAL-POLICY", "EXTERNAL-POLICY", "AFFINITY"].map(cell);
        assert_eq!(described, ["NodePort", "maglev", "Cluster", "Local", "3h"].map(Some));
        let counted = ["CONNECTIONS", "FLOWS", "SOCKETS", "PACKETS-IN"].map(cell);
        assert_eq!(counted, ["320", "300", "20", "900"].map(Some));
    }

    #[test]
    fn frontends_lead_to_the_backends_of_their_policy() {
        let expected = "\
FRONTEND          PROTOCOL   KIND        SERVICE            BACKENDS
10.96.0.7:8080    TCP        ClusterIP   default/web:http          2
192.0.2.1:30163   TCP        NodePort    default/web:http          1
192.0.2.2:30163   TCP        NodePort    default/web:http          1
";
        assert_eq!(frontends(&frontend_rows(vec![web()]), false).to_string(), expected);
    }

    #[test]
    fn a_load_balancers_address_shows_who_may_use_it() {
        let address = [203, 0, 113, 9].into();
        let frontend = Frontend { address, port: 80, kind: Kind::LoadBalancer, limited: true };
        let range = |text: &str| text.parse::<IpNet>().unwrap();
        let source_ranges = vec![range("10.0.0.0/8"), range("192.0.2.0/24")];
        let limited = Service { frontends: vec![frontend], source_ranges, ..web() };
        let closed = Service { source_ranges: Vec::new(), ..limited.clone() };
        let expected = "\
FRONTEND         PROTOCOL   KIND           SERVICE            BACKENDS   POLICY   SOURCES                    SERVICE-ID
203.0.113.9:80   TCP        LoadBalancer   default/web:http          1   Local    10.0.0.0/8, 192.0.2.0/24            1
203.0.113.9:80   TCP        LoadBalancer   default/web:http          1   Local    none                                1
";
        let rows = frontend_rows(vec![limited, closed]);
        assert_eq!(frontends(&rows, true).to_string(), expected);
        let json = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!((&json["limited"], &json["source_ranges"][1]), (&json!(true), &json!("192.0.2.0/24")));
    }

    #[test]
    fn a_client_that_comes_back_is_one_line() {
        let affinity_to = |backend: Option<&str>, age, remaining| Affinity {
            service: Some("default/web:http".to_owned()),
            service_id: 1,
            client: [192, 0, 2, 7].into(),
            backend: backend.map(|it| it.parse().unwrap()),
            age,
            remaining,
        };
        let all = [
            affinity_to(Some("10.244.0.1:80"), 30, 10_770),
            affinity_to(Some("10.244.0.1:80"), 10_900, 0),
            affinity_to(None, 30, 10_770),
        ];
        let expected = "\
SERVICE            CLIENT      BACKEND         IDLE   REMAINING
default/web:http   192.0.2.7   10.244.0.1:80    30s          2h
";
        assert_eq!(affinity(&all, false).to_string(), expected);
        assert_eq!(affinity(&all, true).to_string().lines().count(), 4);
    }

    #[test]
    fn backends_say_to_which_lists_they_belong() {
        let expected = "\
SERVICE            PROTOCOL   BACKEND         LISTS
default/web:http   TCP        10.244.0.1:80   cluster, local
default/web:http   TCP        10.244.0.2:80   cluster
default/web:http   TCP        10.244.0.3:80   draining
";
        assert_eq!(backends(&backend_rows(vec![web()]), false).to_string(), expected);
    }

    #[test]
    fn a_connection_is_one_line() {
        let flows = [flow(Direction::Forward), flow(Direction::Reply)];
        let expected = "\
PROTOCOL   CLIENT             FRONTEND         BACKEND                   SERVICE            STATE         IDLE
TCP        10.244.0.9:40000   10.96.0.7:8080   10.244.0.1:80 (removed)   default/web:http   established     2m
";
        assert_eq!(connections(&flows).to_string(), expected);
        assert_eq!(all_flows(&flows).to_string().lines().count(), 3);
    }

    #[test]
    fn the_forms_for_programs() {
        let service = serde_json::to_value(web()).unwrap();
        assert_eq!(service["counters"]["new_flows"], 300);
        assert_eq!(service["counters"]["socket_connections"], 20);
        assert_eq!(
            [&service["type"], &service["algorithm"], &service["external_policy"]],
            ["NodePort", "maglev", "Local"]
        );
        assert_eq!(
            service["frontends"][1],
            json!({"address": "192.0.2.1", "port": 30163, "kind": "NodePort", "limited": false})
        );
        assert_eq!(
            serde_json::to_value(&frontend_rows(vec![web()])[0]).unwrap(),
            json!({"address": "10.96.0.7", "port": 8080, "kind": "ClusterIP", "limited": false, "protocol": "TCP",
                   "service": "default/web:http", "service_id": 1, "policy": "Cluster", "backends": 2})
        );
        assert_eq!(
            serde_json::to_value(&backend_rows(vec![web()])[1]).unwrap(),
            json!({"address": "10.244.0.2", "port": 80, "index": 1, "generation": 1, "cluster": true,
                   "local": false, "draining": false, "protocol": "TCP", "service": "default/web:http", "service_id": 1})
        );
        let flow = serde_json::to_value(flow(Direction::Reply)).unwrap();
        assert_eq!(flow["direction"], "reply");
        assert_eq!(flow["rewritten_destination"], "10.244.0.1:80");
    }

    #[test]
    fn ages_are_short() {
        assert_eq!([0, 119, 120, 7199, 7200, 172_800].map(age), ["0s", "119s", "2m", "119m", "2h", "2d"]);
    }
}

//! `get services`.

use super::age;
use crate::{
    cli::table::Table,
    dataplane::view::{Frontend, Kind, Selection, Service, Type},
    status::Unserved,
};
use serde::Serialize;
use std::net::SocketAddr;

/// A service, as `get services` lists it.
#[derive(Debug, Serialize)]
pub struct ServiceRow {
    #[serde(flatten)]
    service: Service,
    /// Whether it leads to its endpoints by DNS alone (`clusterIP: None`).
    headless: bool,
    /// What it is another name for.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_name: Option<String>,
}

/// The services of the maps and those that have no address, by name.
pub fn rows(services: Vec<Service>, unserved: Vec<Unserved>) -> Vec<ServiceRow> {
    let served =
        services.into_iter().map(|service| ServiceRow { service, headless: false, external_name: None });
    let unserved = unserved.into_iter().map(|Unserved { namespace, name, external_name }| {
        let kind = if external_name.is_some() { Type::ExternalName } else { Type::ClusterIp };
        let service = Service { namespace, name, kind, ..Service::default() };
        ServiceRow { service, headless: external_name.is_none(), external_name }
    });
    let mut rows: Vec<ServiceRow> = served.chain(unserved).collect();
    // Stable: ports stay in their order.
    rows.sort_by(|one, other| {
        let order = |row: &ServiceRow| (row.service.namespace.clone(), row.service.name.clone());
        order(one).cmp(&order(other))
    });
    rows
}

pub fn table(rows: &[ServiceRow], wide: bool) -> Table {
    let mut header = vec![
        "SERVICE",
        "TYPE",
        "PROTOCOL",
        "CLUSTER-IP",
        "EXTERNAL-IP",
        "NODE-PORT",
        "BACKENDS",
        "CONNECTIONS",
    ];
    if wide {
        header.extend(["ALGORITHM", "INTERNAL-POLICY", "EXTERNAL-POLICY", "AFFINITY"]);
        header.extend(["FLOWS", "SOCKETS", "PACKETS-IN", "BYTES-IN", "PACKETS-OUT", "BYTES-OUT", "ID"]);
    }
    let mut table = Table::new(&header);
    for row in rows {
        let service = &row.service;
        let cluster_ip = addresses(service, &[Kind::ClusterIp]);
        let external_ip = addresses(service, &[Kind::LoadBalancer, Kind::ExternalIp]);
        let mut cells = vec![
            service.full_name(),
            service.kind.to_string(),
            service.protocol.clone(),
            if row.headless { "None".to_owned() } else { cluster_ip },
            row.external_name.clone().unwrap_or(external_ip),
            node_ports(service),
            service.backends.iter().filter(|backend| !backend.draining).count().to_string(),
            service.counters.connections().to_string(),
        ];
        if wide {
            cells.extend(selection(service));
            cells.extend(counted(service).map(|number| number.to_string()));
        }
        table.row(cells);
    }
    table
}

/// How a connection gets a backend; of a service that no connection reaches nothing.
fn selection(service: &Service) -> [String; 4] {
    let Selection { algorithm, internal_policy, external_policy, affinity_timeout } = service.selection;
    if service.frontends.is_empty() {
        return Default::default();
    }
    let affinity = if affinity_timeout == 0 { String::new() } else { age(affinity_timeout) };
    [algorithm.to_owned(), internal_policy.to_string(), external_policy.to_string(), affinity]
}

/// What was counted for a service, and its number.
fn counted(service: &Service) -> [u64; 7] {
    let counters = service.counters;
    [
        counters.new_flows,
        counters.socket_connections,
        counters.forward_packets,
        counters.forward_bytes,
        counters.reply_packets,
        counters.reply_bytes,
        service.id.into(),
    ]
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

pub(super) fn socket(frontend: &Frontend) -> String {
    SocketAddr::new(frontend.address, frontend.port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::get::fixtures::web;
    use serde_json::json;

    #[test]
    fn a_service_is_one_line() {
        let expected = "\
SERVICE            TYPE       PROTOCOL   CLUSTER-IP       EXTERNAL-IP   NODE-PORT   BACKENDS   CONNECTIONS
default/web:http   NodePort   TCP        10.96.0.7:8080   -                 30163          2           320
";
        let rows = rows(vec![web()], Vec::new());
        assert_eq!(table(&rows, false).to_string(), expected);
        let wide = table(&rows, true).to_string();
        let words: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
        let cell = |title| words[0].iter().position(|it| *it == title).map(|column| words[1][column]);
        let described = ["ALGORITHM", "INTERNAL-POLICY", "EXTERNAL-POLICY", "AFFINITY"].map(cell);
        assert_eq!(described, ["maglev", "Cluster", "Local", "3h"].map(Some));
        let counted = ["CONNECTIONS", "FLOWS", "SOCKETS", "PACKETS-IN"].map(cell);
        assert_eq!(counted, ["320", "300", "20", "900"].map(Some));
    }

    #[test]
    fn services_without_an_address_are_among_the_others() {
        let unserved = |name: &str, external_name: Option<&str>| Unserved {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            external_name: external_name.map(str::to_owned),
        };
        let rows = rows(vec![web()], vec![unserved("db", None), unserved("zoo", Some("zoo.example.org"))]);
        let expected = "\
SERVICE            TYPE           PROTOCOL   CLUSTER-IP       EXTERNAL-IP       NODE-PORT   BACKENDS   CONNECTIONS
default/db         ClusterIP      -          None             -                 -                  0             0
default/web:http   NodePort       TCP        10.96.0.7:8080   -                 30163              2           320
default/zoo        ExternalName   -          -                zoo.example.org   -                  0             0
";
        assert_eq!(table(&rows, false).to_string(), expected);
    }

    #[test]
    fn the_form_for_programs() {
        let row = serde_json::to_value(&rows(vec![web()], Vec::new())[0]).unwrap();
        assert_eq!(row["counters"]["new_flows"], 300);
        assert_eq!(row["counters"]["socket_connections"], 20);
        assert_eq!(
            [&row["type"], &row["algorithm"], &row["external_policy"], &row["headless"]],
            [&json!("NodePort"), &json!("maglev"), &json!("Local"), &json!(false)]
        );
        let frontend = json!({"address": "192.0.2.1", "port": 30163, "kind": "NodePort", "limited": false});
        assert_eq!(row["frontends"][1], frontend);
    }
}

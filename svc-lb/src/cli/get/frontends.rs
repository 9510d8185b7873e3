//! `get frontends`.

use super::services::socket;
use crate::{
    cli::table::Table,
    dataplane::view::{Frontend, Policy, Service},
};
use ipnet::IpNet;
use serde::Serialize;

/// A frontend, as `get frontends` lists it.
#[derive(Debug, Serialize)]
pub struct FrontendRow {
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

/// The frontends of all services, by address and port.
pub fn rows(services: Vec<Service>) -> Vec<FrontendRow> {
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

pub fn table(rows: &[FrontendRow], wide: bool) -> Table {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::get::fixtures::web, dataplane::view::Kind};
    use serde_json::json;

    #[test]
    fn frontends_lead_to_the_backends_of_their_policy() {
        let expected = "\
FRONTEND          PROTOCOL   KIND        SERVICE            BACKENDS
10.96.0.7:8080    TCP        ClusterIP   default/web:http          2
192.0.2.1:30163   TCP        NodePort    default/web:http          1
192.0.2.2:30163   TCP        NodePort    default/web:http          1
";
        assert_eq!(table(&rows(vec![web()]), false).to_string(), expected);
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
        let listed = rows(vec![limited, closed]);
        assert_eq!(table(&listed, true).to_string(), expected);
        let json = serde_json::to_value(&listed[0]).unwrap();
        assert_eq!((&json["limited"], &json["source_ranges"][1]), (&json!(true), &json!("192.0.2.0/24")));
    }

    #[test]
    fn the_form_for_programs() {
        assert_eq!(
            serde_json::to_value(&rows(vec![web()])[0]).unwrap(),
            json!({"address": "10.96.0.7", "port": 8080, "kind": "ClusterIP", "limited": false, "protocol": "TCP",
                   "service": "default/web:http", "service_id": 1, "policy": "Cluster", "backends": 2})
        );
    }
}

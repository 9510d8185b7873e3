//! `get flows`.

use super::age;
use crate::{
    cli::table::Table,
    dataplane::view::{Direction, Flow},
};

/// Connections: of each flow the direction from the client.
pub fn connections(flows: &[Flow]) -> Table {
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
pub fn entries(flows: &[Flow]) -> Table {
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

fn backend(flow: &Flow) -> String {
    let removed = if flow.backend_removed { " (removed)" } else { "" };
    flow.backend.map(|backend| format!("{backend}{removed}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_connection_is_one_line() {
        let flows = [flow(Direction::Forward), flow(Direction::Reply)];
        let expected = "\
PROTOCOL   CLIENT             FRONTEND         BACKEND                   SERVICE            STATE         IDLE
TCP        10.244.0.9:40000   10.96.0.7:8080   10.244.0.1:80 (removed)   default/web:http   established     2m
";
        assert_eq!(connections(&flows).to_string(), expected);
        assert_eq!(entries(&flows).to_string().lines().count(), 3);
    }

    #[test]
    fn the_form_for_programs() {
        let flow = serde_json::to_value(flow(Direction::Reply)).unwrap();
        assert_eq!(flow["direction"], "reply");
        assert_eq!(flow["rewritten_destination"], "10.244.0.1:80");
    }
}

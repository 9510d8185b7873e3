//! `get backends`.

use crate::{
    cli::table::Table,
    dataplane::view::{Backend, Service},
};
use serde::Serialize;
use std::net::SocketAddr;

/// A backend, as `get backends` lists it.
#[derive(Debug, Serialize)]
pub struct BackendRow {
    #[serde(flatten)]
    backend: Backend,
    protocol: String,
    service: String,
    service_id: u32,
}

/// The backends of all services, by service.
pub fn rows(services: Vec<Service>) -> Vec<BackendRow> {
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

pub fn table(rows: &[BackendRow], wide: bool) -> Table {
    let mut header = vec!["SERVICE", "PROTOCOL", "BACKEND", "LISTS"];
    if wide {
        header.extend(["OPEN", "INDEX", "GENERATION", "SERVICE-ID"]);
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
            cells.push(backend.open_connections.map(|open| open.to_string()).unwrap_or_default());
            cells.extend([backend.index, backend.generation, *service_id].map(|number| number.to_string()));
        }
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::get::fixtures::web;
    use serde_json::json;

    #[test]
    fn backends_say_to_which_lists_they_belong() {
        let expected = "\
SERVICE            PROTOCOL   BACKEND         LISTS
default/web:http   TCP        10.244.0.1:80   cluster, local
default/web:http   TCP        10.244.0.2:80   cluster
default/web:http   TCP        10.244.0.3:80   draining
";
        assert_eq!(table(&rows(vec![web()]), false).to_string(), expected);
    }

    #[test]
    fn the_form_for_programs() {
        assert_eq!(
            serde_json::to_value(&rows(vec![web()])[1]).unwrap(),
            json!({"address": "10.244.0.2", "port": 80, "index": 1, "generation": 1, "cluster": true,
                   "local": false, "draining": false, "open_connections": 7, "protocol": "TCP", "service": "default/web:http", "service_id": 1})
        );
    }
}

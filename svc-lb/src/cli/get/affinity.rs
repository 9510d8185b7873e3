//! `get affinity`.

use super::age;
use crate::{cli::table::Table, dataplane::view::Affinity};

/// Which backends clients get again; in the wide form also those that they had and do not get any more.
pub fn table(affinities: &[Affinity], wide: bool) -> Table {
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(table(&all, false).to_string(), expected);
        assert_eq!(table(&all, true).to_string().lines().count(), 4);
    }
}

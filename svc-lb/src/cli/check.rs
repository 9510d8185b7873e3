//! `svc-lb check`: reads manifests as `run` would, without privileges, and says what is wrong with them.

use crate::{
    cluster::{self, Allocations, Cluster, Ranges},
    compile::{self, compile},
    node::Facts,
    options::port_range,
    source::{FileSource, Finding, Severity},
};
use clap::Args;
use ipnet::IpNet;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};
use svc_lb_common::snat::PortRange;

/// Parse, validate and compile manifests, without privileges.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Files, and directories of .yaml, .yml and .json files
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// What ClusterIPs come from [default: 10.96.0.0/12; then a ClusterIP from elsewhere is no error].
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// Ports that node ports are from
    #[arg(long, value_name = "FIRST-LAST", value_parser = port_range, default_value = "30000-32767")]
    pub service_node_port_range: PortRange,
}

/// Prints each finding as `path:line:column: what, why, the mend`, then a summary. Exits with 1 if there
/// is an error among them.
pub fn check(args: &CheckArgs) -> io::Result<ExitCode> {
    let (findings, summary) = report(args);
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "{summary}")?;
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(refused)))
}

/// The findings, by their place, and the summary.
fn report(args: &CheckArgs) -> (Vec<Finding>, String) {
    let ranges = Ranges::given(&args.service_cluster_ip_range, args.service_node_port_range);
    let reading = FileSource::new(args.paths.clone()).read();
    let joined = cluster::join(&reading.objects, &ranges, &Allocations::default());
    let compiled = compile(&joined.cluster, &Facts::default(), &compile::Options::default());
    let mut findings = reading.findings;
    findings.extend(joined.findings());
    findings.extend(compiled.findings());
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let summary = summary(&joined.cluster, &findings);
    (findings, summary)
}

/// How much there is, and how much is wrong, in one line.
fn summary(cluster: &Cluster, findings: &[Finding]) -> String {
    let services = &cluster.services;
    let ports = || services.iter().flat_map(|service| &service.ports);
    let cluster_ip_ports: usize =
        services.iter().map(|service| service.cluster_ips.len() * service.ports.len()).sum();
    let node_ports = ports().filter(|port| port.node_port.is_some()).count();
    let endpoints: usize = ports().map(|port| port.endpoints.len()).sum();
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    format!(
        "{}: {}, {}, {}; {}, {}, {}",
        count(services.len(), "service"),
        count(cluster_ip_ports, "ClusterIP frontend"),
        count(node_ports, "node port"),
        count(endpoints, "endpoint"),
        count(of(Severity::Error), "error"),
        count(of(Severity::Warning), "warning"),
        count(of(Severity::Info), "note"),
    )
}

/// A number of things.
fn count(number: usize, thing: &str) -> String {
    match number {
        0 => format!("no {thing}s"),
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn report_of(paths: &[PathBuf]) -> (Vec<String>, String) {
        let (findings, summary) = report(&CheckArgs {
            paths: paths.to_vec(),
            service_cluster_ip_range: Vec::new(),
            service_node_port_range: Ranges::default().node_ports,
        });
        (findings.iter().map(ToString::to_string).collect(), summary)
    }

    #[test]
    fn the_example_is_good() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hostname.yaml");
        let (findings, summary) = report_of(&[example.into()]);
        assert_eq!(findings, [] as [&str; 0]);
        assert_eq!(
            summary,
            "1 service: 1 ClusterIP frontend, 1 node port, 3 endpoints; no errors, no warnings, no notes"
        );
    }

    #[test]
    fn findings_of_every_stage_come_in_the_order_of_their_places() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("a.yaml");
        let service = |name: &str, spec: &str| {
            format!("---\nkind: Service\napiVersion: v1\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
        };
        let text = service("a", "ports: [{port: 80}], clusterIP: 10.96.0.1, selector: {a: b}")
            + &service("b", "ports: [{port: 80}], clusterIP: 10.96.0.1, selector: {a: b}")
            + &service("c", "ports: [{port: 0}]");
        fs::write(&file, text).expect("written");
        let missing = directory.path().join("b.yaml");
        let (findings, summary) = report_of(&[missing, file]);
        let expected = [
            "a.yaml:5:16: note: port 80 has no endpoints",
            "a.yaml:10:16: note: port 80 has no endpoints",
            "a.yaml:10:40: error: the ClusterIP 10.96.0.1 is taken",
            "a.yaml:15:23: error: spec.ports[0].port is missing or 0",
            "b.yaml:1:1: error: there is no such file",
        ];
        assert_eq!(findings.len(), expected.len(), "{findings:#?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.contains(expected), "{finding}");
        }
        assert_eq!(
            summary,
            "2 services: 2 ClusterIP frontends, no node ports, no endpoints; 3 errors, no warnings, 2 notes"
        );
    }
}

//! `/metrics`: what the agent did, and what the programs counted, in the OpenMetrics format.

use crate::{compile::ServicePort, status::Counts};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use std::{sync::Arc, time::Duration};
use svc_lb_common::counters::{DropReason, Program, ProgramCounters, ServiceCounters};

/// What the programs have counted, summed up over the processors.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Per service id that is in use.
    pub services: Vec<(Arc<ServicePort>, ServiceCounters)>,
    /// Per program.
    pub programs: Vec<(Program, ProgramCounters)>,
    /// Dropped packets.
    pub drops: Vec<(DropReason, u64)>,
}

/// Reads the counters; an error is a sentence.
type ReadCounters = dyn Fn() -> Result<Counters, String> + Send + Sync;

/// The agent's own numbers, and where to find those of the programs.
#[derive(Clone)]
pub struct Metrics {
    sync_duration: Histogram,
    syncs: Family<Labels, Counter>,
    service_ports: Gauge,
    frontends: Gauge,
    backends: Gauge,
    findings: Gauge,
    read_counters: Arc<ReadCounters>,
}

/// The labels of one series.
type Labels = Vec<(&'static str, String)>;

impl Metrics {
    /// `read_counters` is called for each scrape, by any thread.
    pub fn new(read_counters: impl Fn() -> Result<Counters, String> + Send + Sync + 'static) -> Self {
        Self {
            // From half a millisecond to 16 seconds.
            sync_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            syncs: Family::default(),
            service_ports: Gauge::default(),
            frontends: Gauge::default(),
            backends: Gauge::default(),
            findings: Gauge::default(),
            read_counters: Arc::new(read_counters),
        }
    }

    /// A sync succeeded, and took some time.
    pub fn synced(&self, duration: Duration) {
        self.sync_duration.observe(duration.as_secs_f64());
        self.syncs.get_or_create(&labels([("result", "success")])).inc();
    }

    /// A sync failed.
    pub fn sync_failed(&self) {
        self.syncs.get_or_create(&labels([("result", "failure")])).inc();
    }

    /// How much is served, and how many lines of findings there are.
    pub fn describe(&self, counts: Counts, findings: usize) {
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.service_ports, counts.service_ports);
        set(&self.frontends, counts.frontends);
        set(&self.backends, counts.backends);
        set(&self.findings, findings);
    }

    /// The server of `/metrics`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(async |State(metrics): State<Self>| metrics.answer()))
            .with_state(self.clone())
    }

    fn answer(&self) -> Response {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        match (self.read_counters)().and_then(|counters| self.render(&counters)) {
            Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    }

    fn render(&self, counters: &Counters) -> Result<String, String> {
        let mut registry = Registry::with_prefix("svc_lb");
        self.register(&mut registry);
        register_counters(&mut registry, counters);
        let mut text = String::new();
        encode(&mut text, &registry).map_err(|error| error.to_string())?;
        Ok(text)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("build", "The agent", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_with_unit(
            "sync_duration",
            "How long a successful sync took, from reading to the last map write",
            Unit::Seconds,
            self.sync_duration.clone(),
        );
        registry.register("syncs", "Syncs, by result", self.syncs.clone());
        registry.register("service_ports", "Service ports, once a family", self.service_ports.clone());
        registry.register("frontends", "Addresses and ports that are answered for", self.frontends.clone());
        registry.register("backends", "Backends, once for each service port", self.backends.clone());
        registry.register("findings", "What is wrong with manifests or node", self.findings.clone());
    }
}

fn register_counters(registry: &mut Registry, counters: &Counters) {
    let services = || counters.services.iter().map(|(port, counted)| (service_labels(port), counted));
    let directed = |labels: &Labels, direction: &str| {
        let mut labels = labels.clone();
        labels.push(("direction", direction.to_owned()));
        labels
    };
    let new_flows = services().map(|(labels, counted)| (labels, counted.new_flows));
    registry.register("service_new_flows", "Flows made", family(new_flows));
    let packets = services().flat_map(|(labels, counted)| {
        [
            (directed(&labels, "forward"), counted.forward_packets),
            (directed(&labels, "reply"), counted.reply_packets),
        ]
    });
    registry.register("service_packets", "Packets that were translated", family(packets));
    let bytes = services().flat_map(|(labels, counted)| {
        [
            (directed(&labels, "forward"), counted.forward_bytes),
            (directed(&labels, "reply"), counted.reply_bytes),
        ]
    });
    let help = "Bytes that were translated, from the IP header on";
    registry.register_with_unit("service_traffic", help, Unit::Bytes, family(bytes));
    let programs = counters.programs.iter().flat_map(|(program, counted)| {
        [
            ("forwarded", counted.forwarded),
            ("replied", counted.replied),
            ("rejected", counted.rejected),
            ("dropped", counted.dropped),
        ]
        .map(|(outcome, packets)| (labels([("program", program.name()), ("outcome", outcome)]), packets))
    });
    registry.register("program_packets", "Packets, by the program that finished them", family(programs));
    let drops =
        counters.drops.iter().map(|(reason, packets)| (labels([("reason", reason.name())]), *packets));
    registry.register("dropped_packets", "Packets that were dropped, by reason", family(drops));
}

/// Counters that have these values.
fn family(series: impl Iterator<Item = (Labels, u64)>) -> Family<Labels, Counter> {
    let family = Family::default();
    for (labels, value) in series {
        let counter: &Counter = &family.get_or_create(&labels);
        counter.inc_by(value);
    }
    family
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
}

fn service_labels(port: &ServicePort) -> Labels {
    labels([
        ("namespace", &port.namespace),
        ("service", &port.name),
        ("port", &port.port),
        ("protocol", &port.protocol.to_string()),
        ("family", &port.family.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Family, Protocol};

    fn counters() -> Counters {
        let port = ServicePort {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            port: "http".to_owned(),
            protocol: Protocol::Tcp,
            family: Family::V4,
        };
        let counted = ServiceCounters {
            new_flows: 300,
            forward_packets: 900,
            forward_bytes: 90_000,
            reply_packets: 901,
            reply_bytes: 5_000_000_000,
        };
        Counters {
            services: vec![(Arc::new(port), counted)],
            programs: vec![(
                Program::XdpUplink,
                ProgramCounters { rejected: 7, ..ProgramCounters::default() },
            )],
            drops: vec![(DropReason::NoSourcePort, 3)],
        }
    }

    #[test]
    fn everything_that_is_counted_is_shown() {
        let metrics = Metrics::new(|| Ok(counters()));
        metrics.synced(Duration::from_millis(3));
        metrics.sync_failed();
        metrics.describe(Counts { service_ports: 1, frontends: 2, backends: 3 }, 4);
        let text = metrics.render(&counters()).expect("text");
        let web = r#"namespace="default",service="web",port="http",protocol="TCP",family="IPv4""#;
        for line in [
            &format!("svc_lb_service_new_flows_total{{{web}}} 300"),
            &format!("svc_lb_service_packets_total{{{web},direction=\"reply\"}} 901"),
            &format!("svc_lb_service_traffic_bytes_total{{{web},direction=\"reply\"}} 5000000000"),
            r#"svc_lb_program_packets_total{program="xdp_uplink",outcome="rejected"} 7"#,
            r#"svc_lb_dropped_packets_total{reason="no-source-port"} 3"#,
            "svc_lb_sync_duration_seconds_count 1",
            r#"svc_lb_syncs_total{result="failure"} 1"#,
            "svc_lb_frontends 2",
            "svc_lb_findings 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_dataplane_that_cannot_be_read_is_an_error() {
        let response = Metrics::new(|| Err("no maps".to_owned())).answer();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

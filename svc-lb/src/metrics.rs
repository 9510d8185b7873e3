//! `/metrics`: what the agent did, and what the programs counted, in the OpenMetrics format.

use crate::{
    dataplane::{
        MapError,
        view::{Service, Statistics},
    },
    status::Counts,
};
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
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What the programs counted, and how full the tables are.
type Counted = (Vec<Service>, Statistics);

/// Scrapes that wait for an answer: only the agent reads the maps.
pub type Scrapes = mpsc::Receiver<Scrape>;

/// A scrape that waits for an answer.
#[derive(Debug)]
pub struct Scrape(oneshot::Sender<Result<Counted, MapError>>);

impl Scrape {
    /// Answers it.
    pub fn answer(self, counted: Result<Counted, MapError>) {
        // Whoever asked may have hung up.
        let _ = self.0.send(counted);
    }
}

/// The agent's own numbers, and where to find those of the programs.
#[derive(Clone)]
pub struct Metrics {
    sync_duration: Histogram,
    stage_durations: Family<Labels, Histogram>,
    map_writes: Counter,
    syncs: Family<Labels, Counter>,
    probes: Family<Labels, Counter>,
    service_ports: Gauge,
    frontends: Gauge,
    backends: Gauge,
    findings: Gauge,
    scrapes: mpsc::Sender<Scrape>,
}

/// How long a sync took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Reading and parsing what changed of the manifests; zero if something else was the reason for the sync.
    pub parse: Duration,
    /// From the objects to the tables.
    pub compile: Duration,
    /// Finding what differs in the maps, and writing that.
    pub write: Duration,
}

/// The labels of one series.
type Labels = Vec<(&'static str, String)>;

impl Metrics {
    /// All zero, and where the agent finds the scrapes that it is to answer.
    pub fn new() -> (Self, Scrapes) {
        let (sender, scrapes) = mpsc::channel(1);
        let metrics = Self {
            sync_duration: duration(),
            stage_durations: Family::new_with_constructor(duration),
            map_writes: Counter::default(),
            syncs: Family::default(),
            probes: Family::default(),
            service_ports: Gauge::default(),
            frontends: Gauge::default(),
            backends: Gauge::default(),
            findings: Gauge::default(),
            scrapes: sender,
        };
        (metrics, scrapes)
    }

    /// A sync succeeded, took some time, and wrote or deleted so many map elements.
    pub fn synced(&self, durations: Durations, writes: usize) {
        let Durations { parse, compile, write } = durations;
        self.sync_duration.observe((compile + write).as_secs_f64());
        let stages = [("parse", parse), ("compile", compile), ("write", write)];
        for (stage, duration) in stages.into_iter().filter(|(_, duration)| !duration.is_zero()) {
            let stage = self.stage_durations.get_or_create(&labels([("stage", stage)]));
            stage.observe(duration.as_secs_f64());
        }
        self.map_writes.inc_by(writes as u64);
        self.syncs.get_or_create(&labels([("result", "success")])).inc();
    }

    /// A sync failed.
    pub fn sync_failed(&self) {
        self.syncs.get_or_create(&labels([("result", "failure")])).inc();
    }

    /// A readiness probe of a container came to its end.
    pub fn probed(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.probes.get_or_create(&labels([("result", result)])).inc();
    }

    /// How much is served, and how many lines of findings there are.
    pub fn describe(&self, counts: Counts, findings: usize) {
        set(&self.service_ports, counts.service_ports);
        set(&self.frontends, counts.frontends);
        set(&self.backends, counts.backends);
        set(&self.findings, findings);
    }

    /// The server of `/metrics`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(async |State(metrics): State<Self>| metrics.answer().await))
            .with_state(self.clone())
    }

    async fn answer(&self) -> Response {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        match self.counted().await.and_then(|counted| self.render(&counted)) {
            Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    }

    /// Asks the agent.
    async fn counted(&self) -> Result<Counted, String> {
        let (answer, counted) = oneshot::channel();
        let stopping = || "the agent is stopping".to_owned();
        self.scrapes.send(Scrape(answer)).await.map_err(|_| stopping())?;
        counted.await.map_err(|_| stopping())?.map_err(|error| error.to_string())
    }

    fn render(&self, (services, statistics): &Counted) -> Result<String, String> {
        let mut registry = Registry::with_prefix("svc_lb");
        self.register(&mut registry);
        register_services(&mut registry, services);
        register_statistics(&mut registry, statistics);
        let mut text = String::new();
        encode(&mut text, &registry).map_err(|error| error.to_string())?;
        Ok(text)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("build", "The agent", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_with_unit(
            "sync_duration",
            "How long a successful sync took, from joining the objects to the last map write",
            Unit::Seconds,
            self.sync_duration.clone(),
        );
        registry.register_with_unit(
            "stage_duration",
            "How long the stages of a successful sync took: to parse what changed of the manifests, to compile \
             the tables, and to write the difference to the maps",
            Unit::Seconds,
            self.stage_durations.clone(),
        );
        let help = "Map elements that syncs wrote or deleted";
        registry.register("map_writes", help, self.map_writes.clone());
        registry.register("syncs", "Syncs, by result", self.syncs.clone());
        registry.register("probes", "Readiness probes of containers, by result", self.probes.clone());
        registry.register("service_ports", "Service ports, once a family", self.service_ports.clone());
        registry.register("frontends", "Addresses and ports that are answered for", self.frontends.clone());
        registry.register("backends", "Backends, once for each service port", self.backends.clone());
        registry.register("findings", "What is wrong with manifests or node", self.findings.clone());
    }
}

fn register_services(registry: &mut Registry, services: &[Service]) {
    let services = || services.iter().map(|service| (service_labels(service), service.counters));
    let new_flows = services().map(|(labels, counted)| (labels, counted.new_flows));
    registry.register("service_new_flows", "Flows made", family(new_flows));
    let connections = services().map(|(labels, counted)| (labels, counted.socket_connections));
    let help = "Connections, and exchanges of unconnected UDP sockets, that were sent straight to a backend";
    registry.register("service_socket_connections", help, family(connections));
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
}

fn register_statistics(registry: &mut Registry, statistics: &Statistics) {
    let Statistics { programs, drops, tables } = statistics;
    let programs = programs.iter().flat_map(|(program, finished)| {
        [
            ("forwarded", finished.forwarded),
            ("replied", finished.replied),
            ("rejected", finished.rejected),
            ("dropped", finished.dropped),
            ("echoed", finished.echoed),
        ]
        .map(|(outcome, packets)| (labels([("program", program), ("outcome", outcome)]), packets))
    });
    let help = "Packets, and calls on sockets, by the program that finished them";
    registry.register("program_packets", help, family(programs));
    let drops = drops.iter().map(|(reason, packets)| (labels([("reason", reason)]), *packets));
    registry.register("dropped_packets", "Packets that were dropped, by reason", family(drops));
    let entries: Family<Labels, Gauge> = Family::default();
    let capacity: Family<Labels, Gauge> = Family::default();
    for (table, fill) in tables {
        let labels = labels([("table", table)]);
        set(&entries.get_or_create(&labels), fill.entries);
        set(&capacity.get_or_create(&labels), fill.capacity as usize);
    }
    registry.register("table_entries", "Entries of a table in use", entries);
    registry.register("table_capacity", "The most entries that a table can have", capacity);
}

/// Buckets from half a millisecond to 16 seconds.
fn duration() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
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

fn service_labels(service: &Service) -> Labels {
    let Service { namespace, name, port, protocol, family, .. } = service;
    labels([
        ("namespace", namespace),
        ("service", name),
        ("port", port),
        ("protocol", protocol),
        ("family", family),
    ])
}

fn directed(labels: &Labels, direction: &str) -> Labels {
    [labels.as_slice(), &[("direction", direction.to_owned())]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::view::{Counters, Fill, Finished};

    fn counted() -> Counted {
        let counters = Counters {
            socket_connections: 20,
            new_flows: 300,
            forward_packets: 900,
            forward_bytes: 90_000,
            reply_packets: 901,
            reply_bytes: 5_000_000_000,
        };
        let service = Service {
            id: 1,
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            port: "http".to_owned(),
            protocol: "TCP".to_owned(),
            family: "IPv4".to_owned(),
            counters,
            ..Service::default()
        };
        let statistics = Statistics {
            programs: [("xdp_uplink", Finished { rejected: 7, ..Finished::default() })].into(),
            drops: [("no-source-port", 3)].into(),
            tables: [("flows_v4".to_owned(), Fill { entries: 5, capacity: 1024 })].into(),
        };
        (vec![service], statistics)
    }

    #[test]
    fn everything_that_is_counted_is_shown() {
        let (metrics, _) = Metrics::new();
        let (parse, compile, write) = (Duration::ZERO, Duration::from_millis(2), Duration::from_millis(1));
        metrics.synced(Durations { parse, compile, write }, 17);
        metrics.sync_failed();
        metrics.probed(true);
        metrics.probed(false);
        metrics.probed(true);
        metrics.describe(Counts { service_ports: 1, frontends: 2, backends: 3 }, 4);
        let text = metrics.render(&counted()).expect("text");
        let web = r#"namespace="default",service="web",port="http",protocol="TCP",family="IPv4""#;
        for line in [
            &format!("svc_lb_service_new_flows_total{{{web}}} 300"),
            &format!("svc_lb_service_socket_connections_total{{{web}}} 20"),
            &format!("svc_lb_service_packets_total{{{web},direction=\"reply\"}} 901"),
            &format!("svc_lb_service_traffic_bytes_total{{{web},direction=\"reply\"}} 5000000000"),
            r#"svc_lb_program_packets_total{program="xdp_uplink",outcome="rejected"} 7"#,
            r#"svc_lb_dropped_packets_total{reason="no-source-port"} 3"#,
            r#"svc_lb_table_entries{table="flows_v4"} 5"#,
            r#"svc_lb_table_capacity{table="flows_v4"} 1024"#,
            "svc_lb_sync_duration_seconds_count 1",
            "svc_lb_sync_duration_seconds_sum 0.003",
            r#"svc_lb_stage_duration_seconds_sum{stage="compile"} 0.002"#,
            "svc_lb_map_writes_total 17",
            r#"svc_lb_syncs_total{result="failure"} 1"#,
            r#"svc_lb_probes_total{result="success"} 2"#,
            r#"svc_lb_probes_total{result="failure"} 1"#,
            "svc_lb_frontends 2",
            "svc_lb_findings 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn a_scrape_is_answered_by_the_agent() {
        let (metrics, mut scrapes) = Metrics::new();
        let agent = async { scrapes.recv().await.expect("a scrape").answer(Ok(counted())) };
        let (response, ()) = tokio::join!(metrics.answer(), agent);
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_scrape_that_nobody_answers_is_an_error() {
        let (metrics, scrapes) = Metrics::new();
        drop(scrapes);
        assert_eq!(metrics.answer().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

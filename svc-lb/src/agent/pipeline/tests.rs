//! However many changes lead there, the tables are those that the manifests give when they are read anew.

use super::*;
use crate::{
    agent::Ports,
    cluster::{Ranges, concerned},
    compile,
    node::{Hop, Interface, Roles, Route},
    options::NodePortAddresses,
    source::{FileSource, Finding, Reading},
};
use proptest::prelude::*;
use std::{fs, path::Path};
use svc_lb_common::snat::PortRange;

/// How many documents there are at most, and of how many kinds.
const DOCUMENTS: usize = 24;
const KINDS: usize = 6;

/// One of the documents in one of its forms. They meet: Services that want the same, with endpoints of all sources.
fn document(index: usize, form: usize) -> String {
    let number = index / KINDS;
    match index % KINDS {
        0 => {
            let spec = [
                "clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80}]",
                "clusterIP: 10.96.0.2, type: NodePort, selector: {app: b}, ports: [{port: 80, nodePort: 30001}]",
                "type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: a}, ports: [{port: 80}]",
                "ipFamilyPolicy: PreferDualStack, selector: {app: a, tier: x}, ports: [{name: n, port: 80}]",
                "clusterIP: None, selector: {app: a}, ports: [{port: 80}]",
                "externalIPs: [10.96.0.1], internalTrafficPolicy: Local, ports: [{port: 80, protocol: UDP}]",
            ][form % 6];
            let created = ["null", "2020-01-01T00:00:00Z"][form / 6 % 2];
            format!(
                "kind: Service\napiVersion: v1\nmetadata: {{name: s{number}, creationTimestamp: {created}}}\n\
                 spec: {{{spec}}}\n"
            )
        }
        1 | 2 => {
            let service = (number + form / 8) % 5;
            let ready = form.is_multiple_of(2);
            let protocol = ["TCP", "UDP"][form / 4 % 2];
            let node = form / 2 % 3;
            // Now and then there are two of one name.
            let name = if form == 31 { 1 } else { index };
            format!(
                "kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\n\
                 metadata: {{name: e{name}, labels: {{kubernetes.io/service-name: s{service}}}}}\n\
                 addressType: IPv4\nports: [{{port: 80, protocol: {protocol}}}]\nendpoints:\n\
                 - {{addresses: [10.{node}.0.{index}], nodeName: node-{node}, conditions: {{ready: {ready}}}}}\n\
                 - {{addresses: [10.1.0.9], targetRef: {{kind: Pod, name: p{number}}}}}\n"
            )
        }
        3 => {
            let (app, node) = (["a", "b"][form % 2], form / 2 % 3);
            let weight = if form % 16 == 15 { ", annotations: {svc-lb.io/weight: '7'}" } else { "" };
            let ready = ["True", "False"][form / 4 % 2];
            format!(
                "kind: Pod\napiVersion: v1\nmetadata: {{name: p{number}, labels: {{app: {app}, tier: x}}{weight}}}\n\
                 spec: {{nodeName: node-{node}, containers: [{{name: c}}]}}\n\
                 status: {{podIP: 10.{node}.1.{number}, conditions: [{{type: Ready, status: '{ready}'}}]}}\n"
            )
        }
        4 => format!(
            "kind: Endpoints\napiVersion: v1\nmetadata: {{name: s{number}}}\n\
             subsets: [{{addresses: [{{ip: 10.{}.2.1}}], ports: [{{port: {}}}]}}]\n",
            form % 3,
            80 + form
        ),
        _ => format!(
            "kind: Node\napiVersion: v1\n\
             metadata: {{name: node-{number}, labels: {{topology.kubernetes.io/zone: zone-{}}}}}\n\
             status: {{addresses: [{{type: InternalIP, address: 192.0.2.{number}}}]}}\n",
            form % 2
        ),
    }
}

/// 10.0.0.0/16 is behind a gateway, 10.1.0.0/16 on a link, and 10.2.0.0/16 behind a link that is an uplink only
/// while there are backends.
fn machine(has_address: bool) -> Machine {
    let interface = |index: u32, addresses: &[&str]| Interface {
        index,
        name: format!("eth{index}"),
        resolves: true,
        mac: Some([2; 6]),
        addresses: addresses.iter().map(|it| it.parse().expect("an address")).collect(),
        ..Interface::default()
    };
    let route = |destination: &str, interface, gateway: Option<&str>| Route {
        destination: destination.parse().expect("a prefix"),
        metric: 0,
        hops: vec![Hop { interface, gateway: gateway.map(|it| it.parse().expect("an address")) }],
    };
    let own: &[&str] = if has_address { &["192.0.2.1/24"] } else { &["192.0.2.3/24", "10.1.0.9/16"] };
    Machine {
        interfaces: vec![interface(2, own), interface(3, &["198.51.100.1/24"]), interface(4, &[])],
        routes: [
            route("0.0.0.0/0", 2, Some("192.0.2.254")),
            route("10.0.0.0/16", 2, Some("192.0.2.253")),
            route("10.1.0.0/16", 3, None),
            route("10.2.0.0/16", 4, Some("198.51.100.2")),
        ]
        .into_iter()
        .collect(),
    }
}

fn options() -> Options {
    let node_ports = PortRange { first: 30000, last: 30003 };
    let cluster_ips = ["10.96.0.0/28", "fd00::/124"].map(|range| range.parse().expect("a range"));
    Options {
        ranges: Ranges::given(&cluster_ips, node_ports),
        cluster_cidrs: Vec::new(),
        compile: compile::Options {
            node_name: "node-1".to_owned(),
            nodeport_addresses: NodePortAddresses::default(),
            cluster_cidrs: Vec::new(),
        },
        roles: Roles::new(&[], &[]).expect("no globs"),
        cgroup: Err(String::new()),
        ports: Ports { snat: node_ports, node_ports },
    }
}

/// What is wrong, with places and in order.
fn findings(pipeline: &Pipeline) -> Vec<Finding> {
    pipeline.remarks().map(|(origin, problem)| origin.finding(problem.clone())).collect()
}

/// Compares what changes led to with what is made anew.
fn assert_same(one: &Pipeline, other: &Pipeline, machine: &Machine) -> Result<(), TestCaseError> {
    for (one, other) in one.joined.cluster.services.iter().zip(&other.joined.cluster.services) {
        prop_assert_eq!((&one.name, &one.ports), (&other.name, &other.ports));
    }
    prop_assert_eq!(&one.joined.cluster.unserved, &other.joined.cluster.unserved);
    prop_assert_eq!(&one.joined.cluster.nodes, &other.joined.cluster.nodes);
    prop_assert_eq!(&one.joined.allocations, &other.joined.allocations);
    prop_assert_eq!(findings(one), findings(other));
    prop_assert_eq!((&one.reach, &one.backends, &one.facts), (&other.reach, &other.backends, &other.facts));
    prop_assert_eq!(one.neighbours(machine), other.neighbours(machine));
    prop_assert_eq!(&one.compiled.tables, &other.compiled.tables);
    prop_assert_eq!(&one.compiled.health_checks, &other.compiled.health_checks);
    prop_assert_eq!(&one.compiled.nodeport_addresses, &other.compiled.nodeport_addresses);
    prop_assert_eq!(&one.compiled.unserved, &other.compiled.unserved);
    prop_assert_eq!(one.compiled.backends, other.compiled.backends);
    Ok(())
}

/// One step: a document gets another form, or goes; lines are put above all; the machine is another.
type Step = (usize, Option<usize>, usize, bool);

fn write(directory: &Path, forms: &[Option<usize>], lines: usize) {
    let documents = |range: std::ops::Range<usize>| -> String {
        let shown = range.filter_map(|index| Some(format!("---\n{}", document(index, forms[index]?))));
        // An empty document first, so that no other is another by what stands above it.
        "# above\n".repeat(lines) + "---\n" + &shown.collect::<String>()
    };
    fs::write(directory.join("a.yaml"), documents(0..DOCUMENTS / 2)).expect("written");
    fs::write(directory.join("b.yaml"), documents(DOCUMENTS / 2..DOCUMENTS)).expect("written");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn changes_lead_to_what_is_made_anew(
        start in prop::collection::vec(prop::option::weighted(0.8, 0usize..32), DOCUMENTS),
        steps in prop::collection::vec(
            (0usize..DOCUMENTS, prop::option::weighted(0.85, 0usize..32), 0usize..3, prop::bool::weighted(0.9)),
            1..10,
        ),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options();
        let mut source = FileSource::new(vec![directory.path().to_owned()]);
        let mut forms = start;
        let (mut reading, mut pipeline) = (Reading::default(), Pipeline::default());
        let first: Step = (0, forms[0], 0, true);
        let mut known = machine(true);
        for (index, form, lines, has_address) in [first].into_iter().chain(steps) {
            forms[index] = form;
            write(directory.path(), &forms, lines);
            let machine = machine(has_address);
            if machine != known {
                pipeline.follow_machine(&machine, &options);
                known = machine.clone();
            }
            let difference = source.refresh(&mut reading);
            let concerned = concerned(&difference, &reading.objects);
            let fresh = FileSource::new(vec![directory.path().to_owned()]).read();
            prop_assert_eq!(&reading.findings, &fresh.findings);
            let mut anew = Pipeline::new(pipeline.joined.allocations.clone());
            anew.follow(&fresh.objects, &Concerned::Everything, &machine, &options);
            let before = pipeline.compiled.tables.clone();
            let renewed = pipeline.follow(&reading.objects, &concerned, &machine, &options);
            assert_same(&pipeline, &anew, &machine)?;
            let Renewed::Backends(services) = renewed else { continue };
            let after = &pipeline.compiled.tables;
            prop_assert_eq!((&before.frontends, &before.addresses), (&after.frontends, &after.addresses));
            for (name, service) in &before.services {
                prop_assert!(services.contains(name) || after.services.get(name) == Some(service), "{}", name);
            }
        }
    }
}

/// What the first property is for: a change of endpoints alone is not made anew.
#[test]
fn endpoints_alone_renew_their_service_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options();
    let machine = machine(true);
    let mut source = FileSource::new(vec![directory.path().to_owned()]);
    let mut forms = [Some(0); DOCUMENTS];
    write(directory.path(), &forms, 0);
    let mut reading = Reading::default();
    source.refresh(&mut reading);
    let mut pipeline = Pipeline::default();
    pipeline.follow(&reading.objects, &Concerned::Everything, &machine, &options);
    // A slice of the Service s0.
    forms[1] = Some(1);
    write(directory.path(), &forms, 3);
    let difference = source.refresh(&mut reading);
    let concerned = concerned(&difference, &reading.objects);
    let Concerned::EndpointsOf(services) = &concerned else { panic!("{concerned:?}") };
    assert_eq!(services.iter().map(ToString::to_string).collect::<Vec<_>>(), ["default/s0"]);
    let renewed = pipeline.follow(&reading.objects, &concerned, &machine, &options);
    let Renewed::Backends(services) = renewed else { panic!("{renewed:?}") };
    assert_eq!(services.iter().map(ToString::to_string).collect::<Vec<_>>(), ["default/s0"]);
}

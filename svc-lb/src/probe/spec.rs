//! What a container's `readinessProbe` asks for.

use k8s_openapi::{
    api::core::v1::{self as api, Container, HTTPGetAction, Pod, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

/// A container's readiness probe, with the API's defaults for what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is tried.
    pub action: Action,
    /// When.
    pub timing: Timing,
    /// How often in a row it must succeed or fail to count.
    pub thresholds: Thresholds,
}

/// What a probe tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// `tcpSocket`: to connect.
    Connect(Target),
    /// `httpGet`: to get a page.
    Get(Request),
    /// What cannot succeed, and why.
    Impossible(String),
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// An address, or a name for the resolver.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An HTTP request with the method GET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Whether it goes over TLS.
    pub https: bool,
    /// Which server is asked.
    pub target: Target,
    /// The path, and the query if there is one.
    pub path: String,
    /// Headers that the manifest gives, by name and value.
    pub headers: Vec<(String, String)>,
}

/// When a probe is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `initialDelaySeconds`.
    pub initial_delay: Duration,
    /// `periodSeconds`.
    pub period: Duration,
    /// `timeoutSeconds`.
    pub timeout: Duration,
}

/// How often in a row a result must come to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// `successThreshold`.
    pub success: u32,
    /// `failureThreshold`.
    pub failure: u32,
}

/// What the containers of a Pod ask for.
#[derive(Clone, Debug, Default)]
pub struct Requested {
    /// The probes that are run, by container.
    pub probes: BTreeMap<String, Probe>,
    /// Whether there are others, by a command or by gRPC, which are not run: then the Pod's conditions count
    /// too.
    pub conditions_count: bool,
}

/// What the containers of a Pod at this address ask for. Containers that start before the others and then run
/// beside them (sidecars) have probes too.
pub fn requested(pod: &Pod, address: IpAddr) -> Requested {
    let mut requested = Requested::default();
    let Some(spec) = &pod.spec else { return requested };
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    for container in spec.containers.iter().chain(sidecars) {
        let Some(probe) = &container.readiness_probe else { continue };
        match action(probe, container, address) {
            Some(action) => {
                requested.probes.insert(container.name.clone(), with_defaults(action, probe));
            }
            None => requested.conditions_count = true,
        }
    }
    requested
}

/// What a probe tries; `None` if svc-lb does not run it.
fn action(probe: &api::Probe, container: &Container, address: IpAddr) -> Option<Action> {
    let action = match (&probe.http_get, &probe.tcp_socket) {
        (Some(get), _) => get_action(get, container, address),
        (None, Some(socket)) => connect_action(socket, container, address),
        (None, None) => return None,
    };
    Some(action.unwrap_or_else(Action::Impossible))
}

fn get_action(get: &HTTPGetAction, container: &Container, address: IpAddr) -> Result<Action, String> {
    let headers = get.http_headers.iter().flatten();
    Ok(Action::Get(Request {
        https: get.scheme.as_deref() == Some("HTTPS"),
        target: target(get.host.as_deref(), &get.port, container, address)?,
        path: get.path.clone().unwrap_or_default(),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    }))
}

fn connect_action(
    socket: &TCPSocketAction,
    container: &Container,
    address: IpAddr,
) -> Result<Action, String> {
    Ok(Action::Connect(target(socket.host.as_deref(), &socket.port, container, address)?))
}

fn target(
    host: Option<&str>,
    port: &IntOrString,
    container: &Container,
    address: IpAddr,
) -> Result<Target, String> {
    let host = host.filter(|host| !host.is_empty()).map_or_else(|| address.to_string(), str::to_owned);
    Ok(Target { host, port: self::port(port, container)? })
}

/// A port by number, or by the name that one of the container's ports has.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let valid = |number: i32| u16::try_from(number).ok().filter(|number| *number != 0);
    match port {
        IntOrString::Int(number) => valid(*number).ok_or_else(|| format!("{number} is no port")),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name));
            named
                .and_then(|port| valid(port.container_port))
                .ok_or_else(|| format!("the container has no port named {name:?}"))
        }
    }
}

/// As the API server does, which takes 0 for a number that is left out.
fn with_defaults(action: Action, probe: &api::Probe) -> Probe {
    let number = |given: Option<i32>, default: u32| {
        given.and_then(|given| u32::try_from(given).ok()).filter(|given| *given != 0).unwrap_or(default)
    };
    let seconds = |given, default| Duration::from_secs(number(given, default).into());
    Probe {
        action,
        timing: Timing {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
        },
        thresholds: Thresholds {
            success: number(probe.success_threshold, 1),
            failure: number(probe.failure_threshold, 3),
        },
    }
}

impl fmt::Display for Action {
    /// What is tried, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(target) => write!(f, "tcp {target}"),
            Self::Get(Request { https, target, path, .. }) => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                write!(f, "GET {}://{target}{slash}{path}", if *https { "https" } else { "http" })
            }
            Self::Impossible(_) => f.write_str("probe"),
        }
    }
}

impl fmt::Display for Target {
    /// `host:port`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::read_text;

    /// What a Pod asks for at 10.0.0.1 whose container `web` has this probe.
    fn probe(probe: &str) -> Requested {
        container(&format!(
            "{{name: web, ports: [{{name: http, containerPort: 8080}}], readinessProbe: {probe}}}"
        ))
    }

    fn container(container: &str) -> Requested {
        pod(&format!("containers: [{container}]"))
    }

    fn pod(spec: &str) -> Requested {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{spec}}}\n");
        let pods = read_text("pods.yaml", &text).objects.pods;
        let pod = pods.values().next().expect("a Pod");
        requested(&pod.value, [10, 0, 0, 1].into())
    }

    fn action(text: &str) -> String {
        probe(text).probes["web"].action.to_string()
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_api() {
        for text in
            ["{tcpSocket: {port: 80}}", "{tcpSocket: {port: 80}, periodSeconds: 0, failureThreshold: 0}"]
        {
            let Probe { timing, thresholds, .. } = probe(text).probes["web"].clone();
            let seconds = [timing.initial_delay, timing.period, timing.timeout].map(|it| it.as_secs());
            assert_eq!((seconds, thresholds), ([0, 10, 1], Thresholds { success: 1, failure: 3 }), "{text}");
        }
        let given = "{tcpSocket: {port: 80}, initialDelaySeconds: 5, periodSeconds: 2, timeoutSeconds: 4, \
                     successThreshold: 6, failureThreshold: 7}";
        let Probe { timing, thresholds, .. } = probe(given).probes["web"].clone();
        let seconds = [timing.initial_delay, timing.period, timing.timeout].map(|it| it.as_secs());
        assert_eq!((seconds, thresholds), ([5, 2, 4], Thresholds { success: 6, failure: 7 }));
    }

    #[test]
    fn the_pods_address_is_asked_unless_the_probe_names_a_host() {
        for (text, expected) in [
            ("{tcpSocket: {port: 80}}", "tcp 10.0.0.1:80"),
            ("{tcpSocket: {port: http}}", "tcp 10.0.0.1:8080"),
            ("{tcpSocket: {port: 80, host: 'fd00::1'}}", "tcp [fd00::1]:80"),
            ("{httpGet: {port: http}}", "GET http://10.0.0.1:8080/"),
            ("{httpGet: {port: 1, path: '/a?b=c', scheme: HTTPS}}", "GET https://10.0.0.1:1/a?b=c"),
            ("{httpGet: {port: 1, path: a, host: example.test}}", "GET http://example.test:1/a"),
        ] {
            assert_eq!(action(text), expected, "{text}");
        }
    }

    #[test]
    fn headers_are_those_of_the_manifest() {
        let probes =
            probe("{httpGet: {port: 1, httpHeaders: [{name: Host, value: a}, {name: X, value: b}]}}").probes;
        let Action::Get(request) = &probes["web"].action else { panic!("{probes:?}") };
        assert_eq!(
            request.headers,
            [("Host", "a"), ("X", "b")].map(|(name, value)| (name.into(), value.into()))
        );
    }

    #[test]
    fn what_is_not_run_leaves_the_rest_to_the_conditions() {
        for text in ["{exec: {command: [ls]}}", "{grpc: {port: 1}}"] {
            let Requested { probes, conditions_count } = probe(text);
            assert!(probes.is_empty() && conditions_count, "{text}");
        }
    }

    #[test]
    fn a_port_that_the_container_does_not_have_can_never_succeed() {
        let Requested { probes, conditions_count } = probe("{httpGet: {port: https}}");
        let why = "the container has no port named \"https\"".to_owned();
        assert_eq!((&probes["web"].action, conditions_count), (&Action::Impossible(why), false));
    }

    #[test]
    fn sidecars_are_probed_and_other_init_containers_are_not() {
        let init = |rest: &str| {
            let probe = "readinessProbe: {tcpSocket: {port: 1}}";
            pod(&format!("containers: [], initContainers: [{{name: proxy, {probe}{rest}}}]")).probes.len()
        };
        assert_eq!((init(", restartPolicy: Always"), init("")), (1, 0));
    }
}

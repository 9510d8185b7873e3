//! `readinessProbe` of a container.

use super::values::{one_of, port, port_reference};
use crate::source::finding::Problem;
use k8s_openapi::{
    api::core::v1::{ContainerPort, ExecAction, GRPCAction, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// Checks the probe at a field, in a container with some ports.
pub fn validate(field: &str, probe: &Probe, ports: &[ContainerPort], problems: &mut Vec<Problem>) {
    handlers(field, probe, problems);
    if let Some(action) = &probe.http_get {
        http(&format!("{field}.httpGet"), action, ports, problems);
    }
    if let Some(action) = &probe.tcp_socket {
        target(&format!("{field}.tcpSocket.port"), &action.port, ports, problems);
    }
    if let Some(action) = &probe.grpc {
        grpc(&format!("{field}.grpc"), action, problems);
    }
    if let Some(action) = &probe.exec {
        exec(&format!("{field}.exec"), action, problems);
    }
    numbers(field, probe, problems);
    if probe.termination_grace_period_seconds.is_some() {
        let field = format!("{field}.terminationGracePeriodSeconds");
        let what = format!("{field} is given");
        let mend = "leave it out; until then it has no effect";
        problems.push(Problem::error(field, what, "a Pod that is not ready is not ended", mend));
    }
}

/// Checks that there is one way to probe.
fn handlers(field: &str, probe: &Probe, problems: &mut Vec<Problem>) {
    let handlers = [
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
        ("exec", probe.exec.is_some()),
        ("grpc", probe.grpc.is_some()),
    ];
    let given: Vec<_> = handlers.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    let what = match given[..] {
        [_] => return,
        [] => format!("{field} does not say how to probe"),
        _ => format!("{field} has {}", given.join(" and ")),
    };
    let mend = "write one, such as tcpSocket: {port: 80}";
    problems.push(Problem::refusal(
        field,
        what,
        "a probe has one of httpGet, tcpSocket, exec and grpc",
        mend,
    ));
}

fn http(field: &str, action: &HTTPGetAction, ports: &[ContainerPort], problems: &mut Vec<Problem>) {
    target(&format!("{field}.port"), &action.port, ports, problems);
    one_of(problems, &format!("{field}.scheme"), action.scheme.as_deref(), &["HTTP", "HTTPS"]);
    for (index, header) in action.http_headers.iter().flatten().enumerate() {
        if !is_header_name(&header.name) {
            let field = format!("{field}.httpHeaders[{index}].name");
            let what = format!("{field} is {:?}", header.name);
            let why = "the name of a header has letters, digits and '-'";
            problems.push(Problem::refusal(field, what, why, "write another"));
        }
    }
}

/// As [`HTTPGetAction`] allows it, which is less than HTTP does.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Checks the port that is probed. A name is that of a port of the same container.
fn target(field: &str, port: &IntOrString, ports: &[ContainerPort], problems: &mut Vec<Problem>) {
    let before = problems.len();
    port_reference(problems, field, port);
    if let IntOrString::String(name) = port
        && problems.len() == before
        && !ports.iter().any(|port| port.name.as_ref() == Some(name))
    {
        problems.push(Problem::warning(
            field,
            format!("{field} is {name}"),
            "the container has no port of that name, so no probe can succeed",
            "name one of its ports, or write a number",
        ));
    }
}

fn grpc(field: &str, action: &GRPCAction, problems: &mut Vec<Problem>) {
    port(problems, &format!("{field}.port"), action.port);
    not_probed(field, "gRPC", problems);
}

fn exec(field: &str, action: &ExecAction, problems: &mut Vec<Problem>) {
    if action.command.as_ref().is_none_or(Vec::is_empty) {
        let field = format!("{field}.command");
        let what = format!("{field} is missing or empty");
        let mend = "write it; svc-lb does not run it either way";
        problems.push(Problem::error(field, what, "it is what the probe runs", mend));
    }
    not_probed(field, "a command within the container", problems);
}

fn not_probed(field: &str, means: &str, problems: &mut Vec<Problem>) {
    problems.push(Problem::warning(
        field,
        format!("{field} has no effect"),
        format!("svc-lb probes by httpGet and tcpSocket, not by {means}"),
        "the Pod is ready as its status.conditions say; write one of those two to have it probed",
    ));
}

/// Checks times, in seconds, and thresholds. 0 stands for the default.
fn numbers(field: &str, probe: &Probe, problems: &mut Vec<Problem>) {
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("periodSeconds", probe.period_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (leaf, number) in numbers {
        if let Some(number) = number.filter(|number| *number < 0) {
            let field = format!("{field}.{leaf}");
            let what = format!("{field} is {number}");
            problems.push(Problem::refusal(field, what, "it is not negative", "write 1 or more"));
        }
    }
}

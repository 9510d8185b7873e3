//! `readinessProbe` of a container. It is read as far as it goes ([`crate::probe`]), so the Pod stays.

use super::values::{misplaced, one_of, port, port_reference, tolerating};
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
    if let Some(action) = &probe.exec {
        exec(&format!("{field}.exec"), action, problems);
    }
    if let Some(action) = &probe.grpc {
        grpc(&format!("{field}.grpc"), action, problems);
    }
    numbers(field, probe, problems);
    if probe.termination_grace_period_seconds.is_some() {
        let field = format!("{field}.terminationGracePeriodSeconds");
        misplaced(problems, &field, "a Pod that is not ready is not ended");
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
    let (what, until_then) = match given[..] {
        [_] => return,
        [] => (format!("{field} does not say how to probe"), "the Pod's status.conditions count"),
        [first, ..] => {
            let until_then = if first == "exec" { "none is run" } else { "the first is run" };
            (format!("{field} has {}", given.join(" and ")), until_then)
        }
    };
    let why = "a probe has one of httpGet, tcpSocket, exec and grpc";
    problems.push(Problem::error(field, what, why, format!("write one; until then {until_then}")));
}

fn http(field: &str, action: &HTTPGetAction, ports: &[ContainerPort], problems: &mut Vec<Problem>) {
    target(&format!("{field}.port"), &action.port, ports, problems);
    tolerating(problems, "it is HTTP", |problems| {
        one_of(problems, &format!("{field}.scheme"), action.scheme.as_deref(), &["HTTP", "HTTPS"]);
    });
    for (index, header) in action.http_headers.iter().flatten().enumerate() {
        if !is_header_name(&header.name) {
            let field = format!("{field}.httpHeaders[{index}].name");
            let what = format!("{field} is {:?}", header.name);
            problems.push(Problem::error(
                field,
                what,
                "such a name has letters, digits and '-'",
                "write another",
            ));
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
    tolerating(problems, "no probe can succeed, and the Pod is not ready", |problems| {
        port_reference(problems, field, port);
    });
    if let IntOrString::String(name) = port
        && problems.len() == before
        && !ports.iter().any(|port| port.name.as_ref() == Some(name))
    {
        problems.push(Problem::warning(
            field,
            format!("{field} is {name}"),
            "the container has no port of that name, so no probe can succeed, and the Pod is not ready",
            "name one of its ports, or write a number",
        ));
    }
}

fn exec(field: &str, action: &ExecAction, problems: &mut Vec<Problem>) {
    if action.command.as_ref().is_none_or(Vec::is_empty) {
        let field = format!("{field}.command");
        let what = format!("{field} is missing or empty");
        problems.push(Problem::error(field, what, "it is what the probe runs", "write it"));
    }
    not_run(field, "run a command in a container", problems);
}

fn grpc(field: &str, action: &GRPCAction, problems: &mut Vec<Problem>) {
    tolerating(problems, "it makes no difference", |problems| {
        port(problems, &format!("{field}.port"), action.port);
    });
    not_run(field, "ask gRPC servers", problems);
}

/// Says that a probe is left to others.
fn not_run(field: &str, does_not: &str, problems: &mut Vec<Problem>) {
    problems.push(Problem::warning(
        field,
        format!("{field} has no effect"),
        format!("svc-lb does not {does_not}"),
        "write httpGet or tcpSocket; until then the Pod's status.conditions say whether it is ready",
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
            let mend = "write 1 or more; until then it is the default";
            problems.push(Problem::error(field, what, "it is not negative", mend));
        }
    }
}

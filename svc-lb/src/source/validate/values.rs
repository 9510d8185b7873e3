//! Checks of single values, which several kinds of objects share.

use super::names::{is_dns_label, is_port_name, is_qualified_name};
use crate::source::{
    address::{is_ambiguous, parse_address, why_unusable},
    cidr::parse_cidr,
    family::Family,
    finding::Problem,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::{collections::HashSet, fmt::Display, hash::Hash, net::IpAddr};

/// Checks a port's number.
pub fn port(problems: &mut Vec<Problem>, field: &str, number: i32) {
    if !(1..=65535).contains(&number) {
        let what =
            if number == 0 { format!("{field} is missing or 0") } else { format!("{field} is {number}") };
        problems.push(Problem::refusal(
            field,
            what,
            "a port is a number from 1 to 65535",
            "write one of these numbers",
        ));
    }
}

/// Checks a reference to a port of a container, by number or by name.
pub fn port_reference(problems: &mut Vec<Problem>, field: &str, reference: &IntOrString) {
    match reference {
        IntOrString::Int(number) => port(problems, field, *number),
        IntOrString::String(name) if is_port_name(name) => {}
        IntOrString::String(name) => problems.push(Problem::refusal(
            field,
            format!("{field} is {name:?}"),
            "it is a number, without quotes, or the name of a container's port: lower-case letters, digits and \
             '-', at most 15 of them, at least one a letter",
            "write one of these",
        )),
    }
}

/// Checks the name of a port of a Service, a slice, or Endpoints, which may be left out.
pub fn port_name(problems: &mut Vec<Problem>, field: &str, name: Option<&str>) {
    if let Some(name) = name.filter(|name| !name.is_empty() && !is_dns_label(name)) {
        problems.push(Problem::refusal(
            field,
            format!("{field} is {name:?}"),
            "a name has lower-case letters, digits and '-', and at most 63 of them",
            "give it another name",
        ));
    }
}

/// Checks an `appProtocol`, which nothing depends on here.
pub fn app_protocol(problems: &mut Vec<Problem>, field: &str, protocol: Option<&str>) {
    if let Some(protocol) = protocol.filter(|protocol| !is_qualified_name(protocol)) {
        problems.push(Problem::error(
            field,
            format!("{field} is {protocol:?}"),
            "it is a name of IANA's such as http, or one with a domain as in kubernetes.io/h2c",
            "write one of these; what svc-lb does is the same for all",
        ));
    }
}

/// Checks a field that has one of a few values, or none.
pub fn one_of(problems: &mut Vec<Problem>, field: &str, value: Option<&str>, allowed: &[&str]) {
    if let Some(value) = value.filter(|value| !value.is_empty() && !allowed.contains(value)) {
        let similar = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(value));
        let mend =
            similar.map_or("write one of these, or leave it out".to_owned(), |word| format!("write {word}"));
        problems.push(Problem::refusal(
            field,
            format!("{field} is {value:?}"),
            format!("it is one of {}", allowed.join(", ")),
            mend,
        ));
    }
}

/// Checks the `protocol` of a port.
pub fn protocol(problems: &mut Vec<Problem>, field: &str, value: Option<&str>) {
    one_of(problems, field, value, &["TCP", "UDP", "SCTP"]);
}

/// Checks the address of a host or a Service, and its family where that is known.
pub fn address(problems: &mut Vec<Problem>, field: &str, text: &str, family: Option<Family>) {
    let mut error = |why: &str, mend: &str| {
        problems.push(Problem::refusal(field, format!("{field} is {text:?}"), why, mend));
    };
    let Some(address) = parse_address(text) else {
        return error("that is not an IP address", "write one, such as 10.0.0.1 or fd00::1");
    };
    if let Some(why) = why_unusable(address) {
        error(why, "write an ordinary unicast address");
    } else if let Some(family) = family.filter(|family| *family != Family::of(address)) {
        error(&format!("an {family} address belongs here"), "write one, or give the other family");
    } else {
        spelling(problems, field, text, address);
    }
}

/// Checks that an address is spelt in a way that everybody reads alike.
pub fn spelling(problems: &mut Vec<Problem>, field: &str, text: &str, address: IpAddr) {
    if is_ambiguous(text) {
        problems.push(Problem::error(
            field,
            format!("{field} is {text:?}"),
            "programs differ in how they read an address in this form",
            format!("svc-lb takes it for {address}: write that"),
        ));
    }
}

/// Checks a CIDR, of which something is said.
pub fn range(problems: &mut Vec<Problem>, field: &str, what: String, text: &str) {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    match parse_cidr(text) {
        None => problems.push(Problem::refusal(
            field,
            what,
            "that is not a CIDR",
            "write one, such as 10.244.1.0/24 or fd00:1::/64",
        )),
        Some(range) if is_ambiguous(address) || text.parse() != Ok(range) => problems.push(Problem::error(
            field,
            what,
            "programs differ in how they read a range in this form",
            format!("svc-lb takes it for {range}: write that"),
        )),
        Some(_) => {}
    }
}

/// Checks a part that an object can do without: whatever is wrong with it, the object stays, and the findings
/// say what is done until then.
pub fn tolerating(problems: &mut Vec<Problem>, until_then: &str, check: impl FnOnce(&mut Vec<Problem>)) {
    let before = problems.len();
    check(problems);
    for problem in problems[before..].iter_mut().filter(|problem| problem.refuses) {
        problem.refuses = false;
        problem.mend = format!("{}; until then {until_then}", problem.mend);
    }
}

/// Adds an error for each value that an earlier one of the same list repeats.
pub fn unique<T: Eq + Hash + Display>(
    problems: &mut Vec<Problem>,
    values: &[(String, T)],
    why: &str,
    mend: &str,
) {
    problems.extend(repeated(values).map(|(field, value)| {
        Problem::refusal(field, format!("{field} is {value} a second time"), why, mend)
    }));
}

/// The values that an earlier one of the same list repeats, each with its field.
pub fn repeated<T: Eq + Hash>(values: &[(String, T)]) -> impl Iterator<Item = &(String, T)> {
    let mut seen = HashSet::new();
    values.iter().filter(move |(_, value)| !seen.insert(value))
}

/// Checks that a list is not longer than the API allows.
pub fn at_most(problems: &mut Vec<Problem>, field: &str, length: usize, most: usize) {
    if length > most {
        problems.push(Problem::error(
            field,
            format!("{field} has {length} items"),
            format!("it may have {most}"),
            "write fewer; until then all of them are read",
        ));
    }
}

/// Reports a field that may not be given here, where it has no effect.
pub fn misplaced(problems: &mut Vec<Problem>, field: &str, why: &str) {
    problems.push(Problem::error(
        field,
        format!("{field} is given"),
        why,
        "leave it out; until then it has no effect",
    ));
}

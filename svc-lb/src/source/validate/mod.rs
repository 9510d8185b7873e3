//! What the Kubernetes API server would say to an object, for the fields that svc-lb reads. It is in
//! front of the cluster's objects, but nothing is in front of a file.

mod endpoints;
mod node;
mod pod;
mod service;

use super::{
    address::{is_ambiguous, parse_address, why_unusable},
    family::Family,
    finding::Problem,
};
use std::fmt::Display;

/// An object that can be checked.
pub(super) trait Validate {
    /// Adds what is wrong with the object. After an error the object is not used.
    fn validate(&self, problems: &mut Vec<Problem>);
}

/// Checks a port's number.
fn port(problems: &mut Vec<Problem>, field: &str, number: i32) {
    if !(1..=65535).contains(&number) {
        let what =
            if number == 0 { format!("{field} is missing or 0") } else { format!("{field} is {number}") };
        problems.push(Problem::error(
            field,
            what,
            "a port is a number from 1 to 65535",
            "write one of these numbers",
        ));
    }
}

/// Checks a field that has one of a few values, or none.
fn one_of(problems: &mut Vec<Problem>, field: &str, value: Option<&str>, allowed: &[&str]) {
    if let Some(value) = value.filter(|value| !value.is_empty() && !allowed.contains(value)) {
        let similar = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(value));
        let mend =
            similar.map_or("write one of these, or leave it out".to_owned(), |word| format!("write {word}"));
        problems.push(Problem::error(
            field,
            format!("{field} is {value:?}"),
            format!("it is one of {}", allowed.join(", ")),
            mend,
        ));
    }
}

/// Checks the `protocol` of a port.
fn protocol(problems: &mut Vec<Problem>, field: &str, value: Option<&str>) {
    one_of(problems, field, value, &["TCP", "UDP", "SCTP"]);
}

/// Checks the address of a host or a Service, and its family where that is known.
fn address(problems: &mut Vec<Problem>, field: &str, text: &str, family: Option<Family>) {
    let mut error = |why: &str, mend: &str| {
        problems.push(Problem::error(field, format!("{field} is {text:?}"), why, mend));
    };
    let Some(address) = parse_address(text) else {
        return error("that is not an IP address", "write one, such as 10.0.0.1 or fd00::1");
    };
    if let Some(why) = why_unusable(address) {
        error(why, "write an ordinary unicast address");
    } else if let Some(family) = family.filter(|family| *family != Family::of(address)) {
        error(&format!("an {family} address belongs here"), "write one, or give the other family");
    } else if is_ambiguous(text) {
        problems.push(Problem::warning(
            field,
            format!("{field} is {text:?}"),
            "programs differ in how they read an address in this form",
            format!("svc-lb takes it for {address}: write that"),
        ));
    }
}

/// Adds an error for each value that an earlier one of the same list repeats.
fn unique<T: PartialEq + Display>(
    problems: &mut Vec<Problem>,
    values: &[(String, T)],
    why: &str,
    mend: &str,
) {
    for (index, (field, value)) in values.iter().enumerate() {
        if values[..index].iter().any(|(_, earlier)| earlier == value) {
            problems.push(Problem::error(field, format!("{field} is {value} a second time"), why, mend));
        }
    }
}

/// Whether a text is a label of a DNS name (RFC 1123), as namespaces and ports are named.
pub(super) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a text is a DNS name (RFC 1123), as most objects are named.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether a text is a name of a port in a Pod (RFC 6335): with a letter, at most 15 characters.
fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_label(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names() {
        for good in ["web", "a", "0", "web-1", "kube-dns"] {
            assert!(is_dns_label(good) && is_dns_name(good), "{good}");
        }
        for bad in ["", "-web", "web-", "Web", "web_1", "wéb"] {
            assert!(!is_dns_label(bad) && !is_dns_name(bad), "{bad}");
        }
        assert!(is_dns_name("node-1.example.org") && !is_dns_label("node-1.example.org"));
        assert!(!is_dns_name("node..org"));
        assert!(!is_dns_label(&"a".repeat(64)) && !is_dns_name(&"a.".repeat(127)));
    }

    #[test]
    fn port_names_have_a_letter_and_fifteen_characters_at_most() {
        for good in ["http", "a", "80a", "http-alt-1"] {
            assert!(is_port_name(good), "{good}");
        }
        for bad in ["", "80", "http_", "a--b", "sixteen-letters-"] {
            assert!(!is_port_name(bad), "{bad}");
        }
    }
}

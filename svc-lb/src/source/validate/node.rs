//! Node v1.

use super::{
    Validate,
    values::{self, address, repeated},
};
use crate::source::{cidr::parse_cidr, family::Family, finding::Problem};
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};

impl Validate for Node {
    fn validate(&self, problems: &mut Vec<Problem>) {
        if let Some(namespace) = self.metadata.namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
            problems.push(Problem::error(
                "metadata.namespace",
                format!("metadata.namespace is {namespace:?}"),
                "a Node belongs to no namespace",
                "leave it out; until then it has no effect",
            ));
        }
        if let Some(status) = &self.status {
            addresses(status, problems);
        }
        if let Some(spec) = &self.spec {
            pod_cidrs(spec, problems);
        }
    }
}

fn addresses(status: &NodeStatus, problems: &mut Vec<Problem>) {
    let mut seen = Vec::new();
    for (index, node_address) in status.addresses.iter().flatten().enumerate() {
        let field = format!("status.addresses[{index}]");
        if node_address.type_ == "InternalIP" {
            address(problems, &format!("{field}.address"), &node_address.address, None);
        }
        seen.push((field, format!("{} {}", node_address.type_, node_address.address)));
    }
    problems.extend(repeated(&seen).map(|(field, address)| {
        let what = format!("{field} is {address} a second time");
        Problem::error(field, what, "once is enough", "delete one of the two")
    }));
}

fn pod_cidrs(spec: &NodeSpec, problems: &mut Vec<Problem>) {
    let one = spec.pod_cidr.as_ref().filter(|range| !range.is_empty());
    let one = one.map(|range| ("spec.podCIDR".to_owned(), range));
    let several = spec.pod_cidrs.iter().flatten().enumerate();
    let several: Vec<_> = several.map(|(index, range)| (format!("spec.podCIDRs[{index}]"), range)).collect();
    for (field, range) in one.iter().chain(&several) {
        values::range(problems, field, format!("{field} is {range:?}"), range);
    }
    if let (Some((field, range)), Some((_, first))) = (&one, several.first())
        && range != first
    {
        problems.push(Problem::error(
            field,
            format!("{field} is {range}"),
            "it is the first of spec.podCIDRs, which is another",
            "leave out one of the two fields; until then spec.podCIDRs holds",
        ));
    }
    let family = |range: &str| parse_cidr(range).map(|range| Family::of(range.addr()));
    let families = several.into_iter().filter_map(|(field, range)| Some((field, family(range)?)));
    problems.extend(repeated(&families.collect::<Vec<_>>()).map(|(field, family)| {
        Problem::error(
            field,
            format!("{field} is a second {family} range"),
            "a Node has one of each family",
            "leave it out; until then it is used, too",
        )
    }));
}

//! Node v1.

use super::{Validate, address};
use crate::source::finding::Problem;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;

impl Validate for Node {
    fn validate(&self, problems: &mut Vec<Problem>) {
        let addresses = self.status.iter().flat_map(|status| status.addresses.iter().flatten());
        for (index, node_address) in addresses.enumerate() {
            if node_address.type_ == "InternalIP" {
                let field = format!("status.addresses[{index}].address");
                address(problems, &field, &node_address.address, None);
            }
        }
        let spec = self.spec.iter();
        let one =
            spec.clone().flat_map(|spec| &spec.pod_cidr).map(|range| ("spec.podCIDR".to_owned(), range));
        let several = spec.flat_map(|spec| spec.pod_cidrs.iter().flatten()).enumerate();
        let several = several.map(|(index, range)| (format!("spec.podCIDRs[{index}]"), range));
        for (field, range) in one.chain(several).filter(|(_, range)| range.parse::<IpNet>().is_err()) {
            let what = format!("{field} is {range:?}");
            let mend = "write one, such as 10.244.1.0/24 or fd00:1::/64";
            problems.push(Problem::error(field, what, "that is not a CIDR", mend));
        }
    }
}

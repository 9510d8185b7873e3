//! Node v1.

use super::{Validate, address};
use crate::source::finding::Problem;
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
    }
}

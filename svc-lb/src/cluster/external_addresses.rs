//! The addresses at which a Service is there for the world outside the cluster.

use super::model::Listed;
use crate::source::{Ingress, Service, parse_address, why_unusable};

/// The addresses of its load balancer whose packets come to the node as they were sent. Those of a load balancer
/// that answers for itself (`ipMode: Proxy`) stay with it.
pub fn load_balancer_ips(service: &Service) -> Vec<Listed> {
    if service.type_.as_deref() != Some("LoadBalancer") {
        return Vec::new();
    }
    let is_virtual = |ingress: &Ingress| matches!(ingress.ip_mode.as_deref(), None | Some("VIP"));
    listed(service.ingress.iter().map(|ingress| ingress.ip.as_deref().filter(|_| is_virtual(ingress))))
}

/// The addresses that somebody else leads to the cluster's nodes.
pub fn external_ips(service: &Service) -> Vec<Listed> {
    listed(service.external_ips.iter().map(|address| Some(&**address)))
}

/// Those of a list's texts that are addresses which can be reached from outside. The others have been reported.
fn listed<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<Listed> {
    let addresses = texts.enumerate().filter_map(|(index, text)| {
        let address = parse_address(text?).filter(|address| why_unusable(*address).is_none())?;
        Some(Listed { index, address })
    });
    addresses.collect()
}

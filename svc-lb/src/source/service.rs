//! What svc-lb keeps of a Service: there may be tens of thousands, and the API's own type takes two kilobytes for each.

use super::{annotations, cluster_ips::is_headless, interned::interned, labels};
use k8s_openapi::{
    api::core::v1 as api,
    apimachinery::pkg::{apis::meta::v1::Time, util::intstr::IntOrString},
};
use std::sync::Arc;
use svc_lb_common::selection::Algorithm;

/// A Service v1, as it is written. Words that many Services have are kept once.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `metadata.creationTimestamp`.
    pub created: Option<Time>,
    /// Whether it carries the label that gives it to another proxy.
    pub is_of_other_proxy: bool,
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// `spec.type`.
    pub type_: Option<Arc<str>>,
    /// `spec.externalName`.
    pub external_name: Option<Box<str>>,
    /// Whether it asks for no virtual address.
    pub is_headless: bool,
    /// `spec.clusterIPs`.
    pub cluster_ips: Box<[Box<str>]>,
    /// `spec.clusterIP`, where the list is empty.
    pub cluster_ip: Option<Box<str>>,
    /// `spec.ipFamilies`.
    pub ip_families: Box<[Arc<str>]>,
    /// `spec.ipFamilyPolicy`.
    pub ip_family_policy: Option<Arc<str>>,
    /// `spec.ports`.
    pub ports: Box<[ServicePort]>,
    /// `spec.selector`: labels and their values, in the order of the labels.
    pub selector: Box<Selector>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: Option<bool>,
    /// `spec.trafficDistribution`.
    pub traffic_distribution: Option<Arc<str>>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Arc<str>>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: Option<Arc<str>>,
    /// `spec.externalIPs`.
    pub external_ips: Box<[Box<str>]>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Box<[Ingress]>,
    /// `spec.loadBalancerSourceRanges`.
    pub load_balancer_source_ranges: Box<[Box<str>]>,
    /// `spec.allocateLoadBalancerNodePorts`.
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// `spec.healthCheckNodePort`.
    pub health_check_node_port: Option<i32>,
    /// `spec.sessionAffinity`.
    pub session_affinity: Option<Arc<str>>,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds`.
    pub affinity_timeout_seconds: Option<i32>,
}

/// Labels and the values that they must have.
pub type Selector = [(Arc<str>, Box<str>)];

/// A port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// `protocol`.
    pub protocol: Option<Arc<str>>,
    /// `port`.
    pub port: i32,
    /// `nodePort`.
    pub node_port: Option<i32>,
    /// `targetPort`.
    pub target_port: Option<IntOrString>,
}

/// An address of a load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// `ip`.
    pub ip: Option<Box<str>>,
    /// `ipMode`.
    pub ip_mode: Option<Arc<str>>,
}

impl From<&api::Service> for Service {
    fn from(service: &api::Service) -> Self {
        let default = api::ServiceSpec::default();
        // One without a spec is refused.
        let spec = service.spec.as_ref().unwrap_or(&default);
        let word = |field: &Option<String>| field.as_deref().map(interned);
        let text = |field: &Option<String>| field.as_deref().map(Box::from);
        let texts =
            |field: &Option<Vec<String>>| field.iter().flatten().map(|it| it.as_str().into()).collect();
        let cluster_ips: Box<[_]> = texts(&spec.cluster_ips);
        let affinity = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let selector = spec.selector.iter().flatten();
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        Self {
            created: service.metadata.creation_timestamp.clone(),
            is_of_other_proxy: labels::has(service, labels::SERVICE_PROXY_NAME),
            algorithm: annotations::algorithm(service),
            type_: word(&spec.type_),
            external_name: text(&spec.external_name),
            is_headless: is_headless(spec),
            cluster_ip: text(&spec.cluster_ip).filter(|_| cluster_ips.is_empty()),
            cluster_ips,
            ip_families: spec.ip_families.iter().flatten().map(|family| interned(family)).collect(),
            ip_family_policy: word(&spec.ip_family_policy),
            ports: spec.ports.iter().flatten().map(ServicePort::from).collect(),
            selector: selector.map(|(label, value)| (interned(label), value.as_str().into())).collect(),
            publish_not_ready_addresses: spec.publish_not_ready_addresses,
            traffic_distribution: word(&spec.traffic_distribution),
            internal_traffic_policy: word(&spec.internal_traffic_policy),
            external_traffic_policy: word(&spec.external_traffic_policy),
            external_ips: texts(&spec.external_ips),
            ingress: balancer.iter().flat_map(|it| it.ingress.iter().flatten()).map(Ingress::from).collect(),
            load_balancer_source_ranges: texts(&spec.load_balancer_source_ranges),
            allocate_load_balancer_node_ports: spec.allocate_load_balancer_node_ports,
            health_check_node_port: spec.health_check_node_port,
            session_affinity: word(&spec.session_affinity),
            affinity_timeout_seconds: affinity.and_then(|client_ip| client_ip.timeout_seconds),
        }
    }
}

impl Service {
    /// The ClusterIPs that the manifest gives, each with its field. An empty one is as good as none.
    pub fn given_cluster_ips(&self) -> impl Iterator<Item = (String, &str)> {
        let several = self.cluster_ips.iter().enumerate();
        let several = several.map(|(index, address)| (format!("spec.clusterIPs[{index}]"), &**address));
        let only = self.cluster_ip.iter().map(|address| ("spec.clusterIP".to_owned(), &**address));
        several.chain(only).filter(|(_, address)| !address.is_empty())
    }
}

impl From<&api::ServicePort> for ServicePort {
    fn from(port: &api::ServicePort) -> Self {
        Self {
            name: port.name.as_deref().map(interned),
            protocol: port.protocol.as_deref().map(interned),
            port: port.port,
            node_port: port.node_port,
            target_port: port.target_port.clone(),
        }
    }
}

impl From<&api::LoadBalancerIngress> for Ingress {
    fn from(ingress: &api::LoadBalancerIngress) -> Self {
        Self { ip: ingress.ip.as_deref().map(Box::from), ip_mode: ingress.ip_mode.as_deref().map(interned) }
    }
}

//! What the dataplane counts, as `svc-lb status` and `svc-lb get services` print it.

use crate::manifest::Service;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use svc_lb::compile::{Family, Protocol};
use svc_lb_common::counters::{DropReason, Program};

/// Counters, each by its place in the output, such as `programs/xdp_uplink/forwarded`; those that are
/// 0 are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads what `status -o json` and `get services -o json` print.
    pub fn read(status: &Value, services: &Value) -> Result<Self> {
        let mut counters = Self::default();
        for part in ["programs", "drops"] {
            counters.add(part, status.get(part).with_context(|| format!("no {part} in the status"))?);
        }
        for service in services.as_array().context("no list of services")? {
            let key = ["name", "protocol", "family"].map(|key| service[key].as_str().unwrap_or("?"));
            counters.add(&format!("services/{}", key.join("/")), &service["counters"]);
        }
        Ok(counters)
    }

    /// What was counted after `before`.
    pub fn since(&self, before: &Self) -> Self {
        let difference = |(key, count): (&String, &u64)| {
            let count = count - before.get(key);
            (count != 0).then(|| (key.clone(), count))
        };
        Self(self.0.iter().filter_map(difference).collect())
    }

    /// Whether nothing was counted at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The programs that sent packets from clients on to backends.
    pub fn forwarded_by(&self) -> Vec<Program> {
        self.programs("forwarded")
    }

    /// The programs that sent packets from backends back to clients.
    pub fn replied_by(&self) -> Vec<Program> {
        self.programs("replied")
    }

    /// The programs that answered packets with a reset or an ICMP error.
    pub fn rejected_by(&self) -> Vec<Program> {
        self.programs("rejected")
    }

    /// The programs that dropped packets.
    pub fn dropped_by(&self) -> Vec<Program> {
        self.programs("dropped")
    }

    /// The programs that answered pings.
    pub fn echoed_by(&self) -> Vec<Program> {
        self.programs("echoed")
    }

    /// How many packets from clients a program sent on to backends.
    pub fn forwarded(&self, program: Program) -> u64 {
        self.get(&format!("programs/{}/forwarded", program.name()))
    }

    /// How many packets from backends a program sent back to clients.
    pub fn replied(&self, program: Program) -> u64 {
        self.get(&format!("programs/{}/replied", program.name()))
    }

    /// How many packets were dropped for a reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.get(&format!("drops/{}", reason.name()))
    }

    /// How many packets were dropped for any reason.
    pub fn all_drops(&self) -> u64 {
        self.0.iter().filter(|(key, _)| key.starts_with("drops/")).map(|(_, count)| count).sum()
    }

    /// How many flows of a Service were made.
    pub fn new_flows(&self, service: &Service, protocol: Protocol, family: Family) -> u64 {
        self.get(&format!("services/{}/{protocol}/{family}/new_flows", service.name()))
    }

    /// How many connections, and exchanges of unconnected UDP sockets, were sent straight to a backend of a
    /// Service.
    pub fn socket_connections(&self, service: &Service, protocol: Protocol, family: Family) -> u64 {
        self.get(&format!("services/{}/{protocol}/{family}/socket_connections", service.name()))
    }

    fn programs(&self, what: &str) -> Vec<Program> {
        let did = |program: &Program| self.get(&format!("programs/{}/{what}", program.name())) != 0;
        Program::ALL.into_iter().filter(did).collect()
    }

    fn get(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// Adds every number of a tree of objects.
    fn add(&mut self, path: &str, tree: &Value) {
        if let Some(count) = tree.as_u64().filter(|&count| count != 0) {
            *self.0.entry(path.to_owned()).or_default() += count;
        }
        for (key, value) in tree.as_object().into_iter().flatten() {
            self.add(&format!("{path}/{key}"), value);
        }
    }
}

//! What `svc-lb` says on a rig's node of what it does there, and the kernel of what it lost.

use super::Rig;
use crate::{counters::Counters, host::Host, losses::losses, manifest::Served, network::Network};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::BTreeSet, process::Output};
use svc_lb_common::counters::Program;

impl Rig {
    /// Runs `svc-lb WORDS…` on the node to its end.
    pub fn svc_lb(&self, words: &[&str]) -> Result<Output> {
        let (subcommand, rest) = words.split_first().context("no subcommand")?;
        Ok(self.command(subcommand)?.args(rest).output()?)
    }

    /// What `svc-lb WORDS… -o json` prints.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let output = self.svc_lb(&[words, &["-o", "json"]].concat())?;
        if !output.status.success() {
            bail!("svc-lb {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What the dataplane has counted so far.
    pub fn counters(&self) -> Result<Counters> {
        Counters::read(&self.json(&["status"])?, &self.json(&["get", "services"])?)
    }

    /// What the dataplane counts while something happens.
    pub fn work_of(&self, happening: impl FnOnce() -> Result<()>) -> Result<Counters> {
        let before = self.counters()?;
        happening()?;
        Ok(self.counters()?.since(&before))
    }

    /// How many entries a table has, by its name in `svc-lb status`.
    pub fn entries(&self, table: &str) -> Result<u64> {
        let status = self.json(&["status"])?;
        status["tables"][table]["entries"].as_u64().with_context(|| format!("no table {table} in the status"))
    }

    /// The flows of the table, as `svc-lb get flows` prints them.
    pub fn flows(&self) -> Result<Vec<Value>> {
        let flows = self.json(&["get", "flows"])?;
        Ok(flows.as_array().context("a list of flows")?.clone())
    }

    /// What the kernel threw away in silence on the way between these pods and the others, in words.
    pub fn losses(&self, pods: &[&Host]) -> Result<Vec<String>> {
        let Network { client, node, node2, .. } = &self.network;
        let hosts = [client, node, node2].into_iter().chain(pods.iter().copied()).map(Host::namespace);
        let namespaces = hosts.chain(self.network.lans());
        namespaces.map(losses).collect::<Result<Vec<_>>>().map(|losses| losses.concat())
    }

    /// What the agent serves, as `svc-lb get services` prints it.
    pub fn served(&self) -> Result<BTreeSet<Served>> {
        let services = self.json(&["get", "services"])?;
        let services = services.as_array().context("no list of services")?;
        // A Service without any address is shown, and not served.
        let served = services.iter().filter(|service| service["frontends"] != Value::Array(Vec::new()));
        served.map(Served::read).collect::<Option<_>>().context("a service of a strange form")
    }

    /// What is wrong with the manifests, as `svc-lb status` says.
    pub fn findings(&self) -> Result<Vec<String>> {
        let status = self.json(&["status"])?;
        let findings = status["agent"]["findings"].as_array().context("no findings in the status")?;
        Ok(findings.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The programs of an interface of the node, as `svc-lb status` shows them; none if it is not known.
    pub fn attachments(&self, interface: &str) -> Result<Vec<Value>> {
        let status = self.json(&["status"])?;
        let interfaces = status["agent"]["interfaces"].as_array().context("no interfaces in the status")?;
        let found = interfaces.iter().find(|known| known["name"] == interface);
        Ok(found.and_then(|known| known["attachments"].as_array()).cloned().unwrap_or_default())
    }

    /// What `svc-lb status` says of the balancing of sockets.
    pub fn socket_lb(&self) -> Result<Value> {
        Ok(self.json(&["status"])?["agent"]["socketLb"].take())
    }

    /// The interfaces of the node that a program is attached to.
    pub fn served_by(&self, program: Program) -> Result<BTreeSet<String>> {
        let status = self.json(&["status"])?;
        let interfaces = status["agent"]["interfaces"].as_array().context("no interfaces in the status")?;
        let is_attached = |one: &Value| one["program"] == program.name() && !one["by"].is_null();
        let served = interfaces
            .iter()
            .filter(|known| known["attachments"].as_array().is_some_and(|all| all.iter().any(is_attached)));
        served
            .map(|known| Ok(known["name"].as_str().context("an interface without a name")?.to_owned()))
            .collect()
    }
}

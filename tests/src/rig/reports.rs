//! What `svc-lb` says on a rig's node of what it does there, and the kernel of what it lost.

use super::{Rig, STATE};
use crate::{counters::Counters, host::Host, losses::losses, manifest::Served, network::Network};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::BTreeSet, process::Output};
use svc_lb::{
    dataplane::view::View,
    state_dir::StateDir,
    status::{Attachment, SocketLb, Status},
};
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

    /// What the agent said last of itself. It is read here, as `svc-lb status` does, because scenarios ask so often
    /// that the start of a process would be most of what they do.
    pub fn status(&self) -> Result<Status> {
        Status::read(&StateDir::new(self.run.path(STATE)))?.context("no agent has run here")
    }

    /// What the maps hold, read here for the same reason.
    pub fn view(&self) -> Result<View> {
        Ok(View::open(&self.pins())?)
    }

    /// What the dataplane has counted so far.
    pub fn counters(&self) -> Result<Counters> {
        let view = self.view()?;
        Counters::read(&serde_json::to_value(view.statistics()?)?, &serde_json::to_value(view.services()?)?)
    }

    /// What the dataplane counts while something happens.
    pub fn work_of(&self, happening: impl FnOnce() -> Result<()>) -> Result<Counters> {
        let before = self.counters()?;
        happening()?;
        Ok(self.counters()?.since(&before))
    }

    /// How many entries a table has, by its name in `svc-lb status`.
    pub fn entries(&self, table: &str) -> Result<usize> {
        let statistics = self.view()?.statistics()?;
        Ok(statistics.tables.get(table).with_context(|| format!("no table {table}"))?.entries)
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
        let services = serde_json::to_value(self.view()?.services()?)?;
        let services = services.as_array().context("no list of services")?;
        services.iter().map(Served::read).collect::<Option<_>>().context("a service of a strange form")
    }

    /// What is wrong with the manifests, as `svc-lb status` says.
    pub fn findings(&self) -> Result<Vec<String>> {
        Ok(self.status()?.findings)
    }

    /// The programs of an interface of the node, as `svc-lb status` shows them; none if it is not known.
    pub fn attachments(&self, interface: &str) -> Result<Vec<Attachment>> {
        let found = self.status()?.interfaces.into_iter().find(|known| known.name == interface);
        Ok(found.map(|known| known.attachments).unwrap_or_default())
    }

    /// Whether and how XDP is attached to an interface of the node, or why not.
    pub fn xdp_attachment(&self, interface: &str) -> Result<Attachment> {
        let found =
            self.attachments(interface)?.into_iter().find(|one| one.program == Program::XdpUplink.name());
        found.context("no word of XDP")
    }

    /// What `svc-lb status` says of the balancing of sockets.
    pub fn socket_lb(&self) -> Result<SocketLb> {
        Ok(self.status()?.socket_lb)
    }

    /// The interfaces of the node that a program is attached to.
    pub fn served_by(&self, program: Program) -> Result<BTreeSet<String>> {
        let is_attached = |one: &Attachment| one.program == program.name() && one.by.is_some();
        let served =
            self.status()?.interfaces.into_iter().filter(|known| known.attachments.iter().any(is_attached));
        Ok(served.map(|known| known.name).collect())
    }
}

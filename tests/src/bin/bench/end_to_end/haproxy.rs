//! HAProxy in TCP mode, as Debian has it.

use crate::processor;
use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use std::{
    env,
    fmt::Write as _,
    fs,
    io::Read,
    net::{IpAddr, SocketAddr},
    process::{self, Child, Command, Stdio},
};
use svc_lb_tests::{
    Namespace, child, links,
    wait::{SOON, until},
};

/// A running HAProxy, on the processor that is measured; killed on drop.
pub struct Haproxy {
    child: Child,
}

impl Haproxy {
    /// Starts one in a namespace that leads from each address to the other of its pair.
    pub fn start(namespace: &Namespace, routes: &[(SocketAddr, SocketAddr)]) -> Result<Self> {
        let configuration = env::temp_dir().join(format!("svc-lb-bench-haproxy-{}.cfg", process::id()));
        fs::write(&configuration, text(routes))?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        namespace.adopt(&mut command);
        let child = child::spawn(command).context("Debian has HAProxy in its package haproxy")?;
        let mut haproxy = Self { child };
        processor::keep_on_one(haproxy.process())?;
        let listens = until("HAProxy listens", SOON, || {
            if haproxy.child.try_wait()?.is_some() {
                bail!("HAProxy ended at once:\n{}", haproxy.last_words()?);
            }
            // To ask HAProxy itself would make it ask the backend.
            Ok((listening(namespace)? >= routes.len()).then_some(()))
        });
        // It has been read, or never will be.
        fs::remove_file(&configuration)?;
        listens.map(|()| haproxy)
    }

    /// What it has printed, once it has ended.
    fn last_words(&mut self) -> Result<String> {
        let mut words = String::new();
        self.child.stderr.take().context("words that were read already")?.read_to_string(&mut words)?;
        Ok(words)
    }

    /// The process that does all the work.
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // These fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many TCP sockets of a namespace listen.
fn listening(namespace: &Namespace) -> Result<usize> {
    /// TCP_LISTEN (net/tcp_states.h), as a word of the table.
    const LISTEN: &str = "0A";
    let tables = [namespace.proc_net("tcp")?, namespace.proc_net("tcp6")?].concat();
    Ok(tables.lines().filter(|line| line.split_whitespace().nth(3) == Some(LISTEN)).count())
}

/// Gives a node an address of its own, to listen at.
pub fn adopt(namespace: &Namespace, address: IpAddr) -> Result<()> {
    links::configure(namespace, async |links| links.address("lo", address.into()).await)
}

/// One thread, because one processor is measured. Connections end with a reset, as the client's do.
fn text(routes: &[(SocketAddr, SocketAddr)]) -> String {
    let mut text = "global
    nbthread 1
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    option nolinger
"
    .to_owned();
    for (number, (frontend, backend)) in routes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "listen route-{number}\n    bind {frontend}\n    server backend {backend}\n");
    }
    text
}

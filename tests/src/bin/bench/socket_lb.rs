//! What connect-time load balancing costs a client in a pod.

mod connections;
mod established;
mod reconnect;

use crate::{
    report::Group,
    rounds::Effort,
    traffic::{Connection, Listener, PORT},
};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use svc_lb::compile::Family;
use svc_lb_common::counters::Program;
use svc_lb_tests::{Host, Rig, Service, plan::FAMILIES, rig::SocketLb};

/// The Service's number.
const SERVICE: u8 = 1;

/// Measures everything.
pub fn measure(effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let scene = Scene::build()?;
    reconnect::measure(&scene, effort, done)?;
    established::measure(&scene, effort, done)?;
    connections::measure(&scene, effort, done)
}

/// A node with svc-lb, a client in a pod of it, and a Service whose one backend is in another pod.
struct Scene {
    rig: Rig,
    client: Host,
    backend: Host,
    service: Service,
    listener: Listener,
}

/// Whether a socket belongs to the cgroup whose sockets svc-lb balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    /// It does.
    Inside,
    /// It does not: it is as on a machine without svc-lb, and its packets are translated instead.
    Outside,
}

impl Scene {
    fn build() -> Result<Self> {
        let rig = Rig::routed().with_offloads().socket_lb(SocketLb::On).quiet().start()?;
        let (client, backend) =
            (rig.pod_outside_the_cgroup("client")?, rig.pod_outside_the_cgroup("backend")?);
        let listener = Listener::start(backend.namespace())?;
        let service = Service::number(SERVICE).and(&backend, PORT);
        rig.apply(&[&service])?;
        let scene = Self { rig, client, backend, service, listener };
        FAMILIES.into_iter().try_for_each(|family| scene.check(family))?;
        Ok(scene)
    }

    /// The backend's own address.
    fn backend(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.backend.address(family), PORT)
    }

    /// The Service's address.
    fn cluster_ip(&self, family: Family) -> SocketAddr {
        self.service.cluster_ip(family)
    }

    /// Does something in the client's pod, on a thread that makes such sockets; so do threads that it starts.
    fn client<T: Send>(&self, socket: Socket, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.client.namespace().enter(|| {
            if socket == Socket::Inside {
                self.rig.cgroup().context("the rig has no cgroup")?.join()?;
            }
            inside()
        })
    }

    /// Fails unless svc-lb sends a socket of the cgroup straight to the backend.
    fn check(&self, family: Family) -> Result<()> {
        let program = match family {
            Family::V4 => Program::SockConnect4,
            Family::V6 => Program::SockConnect6,
        };
        let cluster_ip = self.cluster_ip(family);
        let work = self.rig.work_of(|| {
            self.client(Socket::Inside, || Connection::open(cluster_ip, &self.listener)?.ask())
        })?;
        let sent = work.forwarded(program);
        ensure!(sent == 1, "{} sent {sent} sockets to the backend, not 1", program.name());
        ensure!(work.forwarded(Program::TcPodIngress) == 0, "packets to {cluster_ip} were translated");
        Ok(())
    }
}

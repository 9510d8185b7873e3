//! Which backend a client gets: the one place that decides, for first packets and for sockets.

use crate::{
    affinity,
    exception::Exception,
    frontend,
    maps::{self, Maps},
    select::{self, Selected},
};
use svc_lb_common::{
    affinity::AffinityKey, backend::Backend, counters::DropReason, frontend::Frontend, selection::Algorithm,
    service::Service, source_range,
};

/// Who asks. What it takes to learn something of it is done only if that decides.
pub trait Client<A> {
    /// Whether it comes in by an uplink.
    fn is_outside(&self) -> bool;
    /// Its address; `None`: it has none yet.
    fn address(&self) -> Option<A>;
    /// The number that gives its slot of a Maglev table.
    fn number(&self) -> u32;
}

/// How a client asks.
pub struct Request {
    /// Whether a connection may begin with this.
    pub opening: bool,
    /// Whether it may belong to a connection that was begun.
    pub continuing: bool,
}

/// What it gets.
pub struct Choice<A: 'static> {
    /// The service id.
    pub service: u32,
    /// The backend.
    pub selected: Selected<A>,
    /// Whether the backend's open connections are counted.
    pub counted: bool,
}

/// Chooses among the backends of a frontend, which is what the client asked for.
#[inline(always)]
pub fn choose<A: Maps>(
    request: &Request,
    frontend: Frontend,
    client: &impl Client<A>,
    now: u32,
) -> Result<Choice<A>, Exception> {
    let otherwise = frontend::otherwise(frontend);
    let is_external = frontend.has(Frontend::EXTERNAL);
    if frontend::is_closed_to(client.is_outside()) && !is_external {
        return Err(Exception::Drop(DropReason::ClusterIpFromUplink));
    }
    let service = maps::service(frontend.service).ok_or(otherwise)?;
    // What a hash chose it chooses again.
    let is_maglev = service.algorithm == Algorithm::Maglev as u16;
    if !request.opening && !(is_maglev && request.continuing) {
        return Err(otherwise);
    }
    if frontend.has(Frontend::LIMITED) {
        let source = client.address().ok_or(Exception::SourceUnknown)?;
        if !maps::source_range_holds(frontend.service, source) {
            return Err(Exception::Drop(DropReason::SourceNotAllowed));
        }
    }
    let local = if is_external {
        service.has(Service::EXTERNAL_LOCAL) && client.is_outside() && !is_of_cluster(client)
    } else {
        service.has(Service::INTERNAL_LOCAL)
    };
    let slots = if local { &service.local } else { &service.cluster };
    if slots.length == 0 {
        let is_elsewhere = local && service.cluster.length != 0;
        let reason = Exception::Drop(DropReason::NoLocalEndpoint);
        return Err(if is_elsewhere { reason } else { Exception::Reject });
    }
    let selected = if service.affinity_timeout == 0 {
        select::one(service, slots, client)
    } else {
        let address = client.address().ok_or(Exception::SourceUnknown)?;
        let key = AffinityKey { service: frontend.service, client: address };
        let list = if local { Backend::<A>::IN_LOCAL } else { Backend::<A>::IN_CLUSTER };
        match affinity::find(&key, service.affinity_timeout, list, now) {
            Some(selected) => Some(selected),
            None => select::one(service, slots, client).inspect(|it| affinity::keep(&key, it, now)),
        }
    };
    let counted = service.algorithm == Algorithm::LeastConnections as u16;
    Ok(Choice { service: frontend.service, selected: selected.ok_or(Exception::Reject)?, counted })
}

/// Whether a client is inside the cluster although it comes in by an uplink (`--cluster-cidr`).
#[inline(always)]
fn is_of_cluster<A: Maps>(client: &impl Client<A>) -> bool {
    client.address().is_some_and(|address| maps::source_range_holds(source_range::CLUSTER, address))
}

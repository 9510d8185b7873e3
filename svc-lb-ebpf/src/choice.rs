//! Which backend a client gets: the one place that decides, for first packets and for sockets.

use crate::{
    config,
    exception::Exception,
    frontend,
    maps::{self, Maps},
    select::{self, Selected},
};
use svc_lb_common::{address::Be16, counters::DropReason, frontend::Frontend};

/// What a client asks for.
pub struct Request<A> {
    /// The address that it sends to.
    pub address: A,
    /// The port that it sends to.
    pub port: Be16,
    /// The IP protocol number.
    pub protocol: u16,
    /// Whether it is outside the cluster: it comes in by an uplink.
    pub external: bool,
    /// Whether a connection may begin with this.
    pub opening: bool,
}

/// What it gets.
pub struct Choice<A: 'static> {
    /// The service id.
    pub service: u32,
    /// The backend.
    pub selected: Selected<A>,
}

/// Chooses. What is for no frontend, or for a host that owns the frontend's address, is not ours.
#[inline(always)]
pub fn choose<A: Maps>(request: &Request<A>) -> Result<Choice<A>, Exception> {
    let address = frontend::address(request.address).ok_or(Exception::NotOurs)?;
    let is_virtual = address.has(Frontend::VIRTUAL);
    if request.external && is_virtual && !address.has(Frontend::EXTERNAL) && !config::external_cluster_ips() {
        return Err(Exception::Drop(DropReason::ClusterIpFromUplink));
    }
    // What svc-lb does not serve at an address belongs to the host that owns it, and to nobody where
    // the address is virtual.
    let otherwise = if is_virtual { Exception::Reject } else { Exception::NotOurs };
    let frontend = frontend::find(request.address, request.port, request.protocol).ok_or(otherwise)?;
    if !request.opening {
        return Err(otherwise);
    }
    let service = maps::service(frontend.service).ok_or(otherwise)?;
    let selected = select::next::<A>(&service.cluster).ok_or(Exception::Reject)?;
    Ok(Choice { service: frontend.service, selected })
}

//! What a first packet is for.
//!
//! A frontend says itself all that must be known of its address, whose own entry is for what is for none of its
//! frontends: so a new flow takes one lookup.

use crate::{config, exception::Exception, hint, maps::Maps};
use svc_lb_common::{
    address::Be16,
    counters::DropReason,
    frontend::{Frontend, FrontendKey},
};

/// The frontend at an address, port and protocol, or what becomes of what is for none. `closed`: as of
/// [`is_closed_to`].
#[inline(always)]
pub fn at<A: Maps>(address: A, port: Be16, protocol: u16, closed: bool) -> Result<Frontend, Exception> {
    if let Some(frontend) = find(address, port, protocol) {
        return Ok(*frontend);
    }
    let entry = known(address)?;
    Err(match entry.has(Frontend::VIRTUAL) {
        true if closed && !entry.has(Frontend::EXTERNAL) => Exception::Drop(DropReason::ClusterIpFromUplink),
        _ => otherwise(entry),
    })
}

/// Whether ClusterIPs are closed to a client, which is outside of the node or not.
#[inline(always)]
pub fn is_closed_to(is_outside: bool) -> bool {
    is_outside && !config::external_cluster_ips()
}

/// What becomes of what svc-lb does not serve at an address of which it has an entry: it belongs to the host that
/// owns the address, and to nobody where that is virtual.
#[inline(always)]
pub fn otherwise(entry: Frontend) -> Exception {
    if entry.has(Frontend::VIRTUAL) { Exception::Reject } else { Exception::NotOurs }
}

/// The entry of an address, if it occurs in any frontend.
#[inline(always)]
pub fn address<A: Maps>(address: A) -> Option<&'static Frontend> {
    if !hint::is_set::<A>(svc_lb_common::hint::index(address)) {
        return None;
    }
    // SAFETY: an entry is replaced as a whole and freed after a grace period of RCU, in which this
    // program runs.
    unsafe { A::frontends().get(FrontendKey::of_address(address)) }
}

/// The frontend at an address, port and protocol.
#[inline(always)]
pub fn find<A: Maps>(address: A, port: Be16, protocol: u16) -> Option<&'static Frontend> {
    // SAFETY: as above.
    unsafe { A::frontends().get(FrontendKey { address, port, protocol }) }
}

/// The entry of an address, or what becomes of what is for none that occurs in a frontend.
#[inline(always)]
pub fn known<A: Maps>(address: A) -> Result<Frontend, Exception> {
    self::address(address).copied().ok_or_else(|| none_at(address))
}

/// What becomes of what is for an address that occurs in no frontend.
#[inline(always)]
pub fn none_at<A: Maps>(address: A) -> Exception {
    if config::is_unallocated(address) {
        Exception::Drop(DropReason::UnallocatedClusterIp)
    } else {
        Exception::NotOurs
    }
}

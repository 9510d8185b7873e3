//! What a first packet is for.

use crate::{config, exception::Exception, hint, maps::Maps};
use svc_lb_common::{
    address::Be16,
    counters::DropReason,
    frontend::{Frontend, FrontendKey},
};

/// The entry of an address, if it occurs in any frontend. Looked up first: most packets are for no
/// frontend at all, and its hint alone tells so.
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

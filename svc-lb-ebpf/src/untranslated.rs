//! Connections that svc-lb does not translate, and that would have the addresses and ports of one that it
//! does: a client speaks to a backend by a frontend and straight, from one port. What comes back would be
//! taken for the other's. As under nf_conntrack, each keeps its own peer: the later one gets another port.

use crate::{
    exception::Exception,
    flow::{self, Place},
    maps, nat,
    packet::{Family, Headers},
};
use svc_lb_common::{
    connection::State,
    flow::{Flow, FlowKey, Hook},
};

/// Looks at what opens a connection to no frontend. If its answers would be taken for those of a flow, it
/// gets a flow of its own, whose draft this gives; all else is not ours.
#[inline(never)]
pub fn admit<A: Family>(headers: &Headers<A>, hook: Hook, now: u32) -> Result<&'static Flow<A>, Exception> {
    let reply_hook = if matches!(hook, Hook::PodIngress) { Hook::PodEgress } else { Hook::UplinkEgress };
    let FlowKey { tuple, protocol, .. } = &headers.key;
    let reply = FlowKey { tuple: tuple.reversed(), protocol: *protocol, hook: reply_hook as u16 };
    if !headers.is_opening() || flow::peek(&reply, now).is_none() {
        return Err(Exception::NotOurs);
    }
    nat::draft_untranslated(&headers.key, now)
}

/// Makes way for the connection that a packet, whose headers were parsed, is an answer of: the flow that has its
/// addresses and ports goes, and will get another port when its client tries again.
#[inline(never)]
pub fn make_way<A: Family>(now: u32) {
    let (Some(scratch), Some(headers)) = (maps::scratch::<A>(), maps::headers::<A>()) else { return };
    let key = &headers.key;
    let Some(in_the_way) = flow::peek(key, now) else { return };
    scratch.flow = Flow {
        rewrite: key.tuple,
        last_seen: now,
        state: State::REPLIED | State::ESTABLISHED,
        partner_hook: in_the_way.partner_hook,
        flags: Flow::<A>::REPLY | Flow::<A>::BYPASS,
        ..Flow::default()
    };
    flow::remove(key, in_the_way);
    scratch.pair(key);
    let place = Place::of_new_flow(now);
    if place.insert(key, &scratch.flow) && !place.insert(&scratch.partner_key, &scratch.partner) {
        place.take_back(key);
    }
}

//! The rewrite of a new flow.

use crate::{
    exception::Exception, flow::Place, maps, packet::Family, route::NextHop, select::Selected, source_port,
    stats,
};
use svc_lb_common::{
    address::Tuple,
    counters::DropReason,
    flow::{Flow, FlowKey, Hook},
    interface::Interface,
};

/// The draft of a first packet's flow to a backend: the client keeps its address and port.
#[inline(always)]
pub fn draft<A: Family>(
    key: &FlowKey<A>,
    service: u32,
    selected: &Selected<A>,
    now: u32,
) -> Result<&'static Flow<A>, Exception> {
    let backend = selected.backend;
    let scratch = maps::scratch::<A>().ok_or(FULL)?;
    scratch.flow = Flow {
        rewrite: Tuple { destination: backend.address, destination_port: backend.port, ..key.tuple },
        service,
        backend: selected.index,
        generation: backend.generation,
        last_seen: now,
        ..Flow::default()
    };
    Ok(&scratch.flow)
}

/// Makes the drafted flow: both its entries, the reply's first. `hop`: where the node would send a
/// packet to the backend; of what comes from a pod only if that is past the host's stack. Gives the flow to apply, which is another processor's if that one was faster.
///
/// Three steps with a stack frame of their own each: together they would be more than a program may
/// have.
#[inline(always)]
pub fn open<A: Family>(
    key: &FlowKey<A>,
    hook: Hook,
    hop: Option<&NextHop>,
    now: u32,
) -> Result<&'static Flow<A>, Exception> {
    set_path::<A>(hook, hop, now)?;
    source_port::reserve(key)?;
    commit(key)
}

/// Inserts the forward entry, which makes the flow known.
#[inline(never)]
fn commit<A: Family>(key: &FlowKey<A>) -> Result<&'static Flow<A>, Exception> {
    let scratch = maps::scratch::<A>().ok_or(FULL)?;
    let place = scratch.place;
    if !place.insert(key, &scratch.flow) {
        place.take_back(&scratch.partner_key);
        scratch.flow = *place.winner(key).ok_or(FULL)?;
        return Ok(&scratch.flow);
    }
    stats::new_flow(scratch.flow.service);
    Ok(&scratch.flow)
}

/// There is no memory for the flow.
const FULL: Exception = Exception::Drop(DropReason::FlowTableFull);

/// Decides by interface how the drafted flow's packets go: out by an uplink what came in by one → under
/// the node's address, or the reply would go past this node; back to the pod that it came from → under
/// the node's address too; all else keeps the client's address and goes by the host's stack, or by the
/// bridge.
#[inline(never)]
fn set_path<A: Family>(hook: Hook, hop: Option<&NextHop>, now: u32) -> Result<(), Exception> {
    let scratch = maps::scratch::<A>().ok_or(FULL)?;
    let flow = &mut scratch.flow;
    let uplink = hop
        .filter(|hop| hop.is_by(Interface::UPLINK) && matches!(hook, Hook::UplinkIngress))
        .and_then(|hop| maps::interface(hop.ifindex));
    let (reply_hook, flags, addresses) = match (hook, uplink) {
        (Hook::PodIngress, _) if flow.rewrite.source == flow.rewrite.destination => {
            (hook, Flow::<A>::RETURNED, maps::settings().map(|settings| &settings.node))
        }
        (Hook::PodIngress, _) if hop.is_some() => (Hook::PodEgress, Flow::<A>::SWITCHED, None),
        (Hook::PodIngress, _) => (Hook::PodEgress, 0, None),
        (_, Some(uplink)) => (hook, Flow::<A>::ROUTED, Some(&uplink.addresses)),
        (_, None) => (Hook::UplinkEgress, 0, None),
    };
    if let Some(hop) = hop {
        hop.keep_in(flow);
    }
    flow.partner_hook = reply_hook as u8;
    flow.flags = flags;
    if let Some(addresses) = addresses {
        flow.rewrite.source = A::of(addresses);
        if flow.rewrite.source.is_unspecified() {
            return Err(Exception::Drop(DropReason::NoNodeAddress));
        }
    }
    scratch.masqueraded = u32::from(addresses.is_some());
    scratch.place = Place::of_new_flow(now);
    Ok(())
}

/// Makes the pair of a UDP exchange that the host's stack owns: translated into itself.
#[inline(always)]
pub fn open_bypass<A: Family>(key: &FlowKey<A>, now: u32) {
    let Some(scratch) = maps::scratch::<A>() else { return };
    scratch.flow = Flow {
        rewrite: key.tuple,
        last_seen: now,
        partner_hook: Hook::UplinkIngress as u8,
        flags: Flow::<A>::BYPASS,
        ..Flow::default()
    };
    scratch.pair(key);
    let place = Place::of_new_flow(now);
    // Taken: by a flow of svc-lb, which this packet is a reply of that another program sent on.
    if place.insert(&scratch.partner_key, &scratch.partner) && !place.insert(key, &scratch.flow) {
        place.take_back(&scratch.partner_key);
    }
}

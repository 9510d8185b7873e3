//! The rewrite of a new flow.

use crate::{
    choice::Choice,
    exception::Exception,
    flow::Place,
    frontend, load, maps,
    packet::{Family, Headers},
    select::Selected,
    source_port,
    stages::Stages,
    stats,
};
use svc_lb_common::{
    address::Tuple,
    connection::State,
    counters::DropReason,
    flow::{Flow, FlowKey, Hook, NextHop},
    frontend::Frontend,
    interface::Interface,
};

/// The draft of a first packet's flow to a backend: the client keeps its address and port.
#[inline(always)]
pub fn draft<A: Family>(headers: &Headers<A>, choice: &Choice<A>, now: u32) -> Result<(), Exception> {
    let Selected { index, backend } = choice.selected;
    let scratch = maps::scratch::<A>().ok_or(Exception::NotOurs)?;
    scratch.flow = Flow {
        rewrite: Tuple { destination: backend.address, destination_port: backend.port, ..headers.key.tuple },
        service: choice.service,
        backend: index,
        generation: backend.generation,
        last_seen: now,
        state: if headers.is_opening() { 0 } else { CONTINUED },
        flags: if choice.counted { Flow::<A>::COUNTED } else { 0 },
        ..Flow::default()
    };
    Ok(())
}

/// The flow that was drafted last.
#[inline(always)]
pub fn drafted<A: Family>() -> Result<&'static Flow<A>, Exception> {
    maps::scratch::<A>().map(|scratch| &scratch.flow).ok_or(Exception::NotOurs)
}

/// The state of a flow that was there before, and is found again: its backend has answered. That the client
/// is there too its next packet shows; one that was made up would be kept for a day else.
const CONTINUED: u32 = State::REPLIED;

/// The draft of the flow of what is for no frontend: all that it may get is another source port.
#[inline(always)]
pub fn draft_untranslated<A: Family>(key: &FlowKey<A>, now: u32) -> Result<&'static Flow<A>, Exception> {
    let scratch = maps::scratch::<A>().ok_or(Exception::NotOurs)?;
    scratch.flow = Flow { rewrite: key.tuple, last_seen: now, ..Flow::default() };
    Ok(&scratch.flow)
}

/// What became of a flow that was to be made.
#[repr(u32)]
pub enum Opened {
    /// It is in the table, and in the scratch.
    Made,
    /// There is no memory for it.
    NoMemory,
    /// Every source port that was tried belongs to a live flow.
    NoSourcePort,
    /// The node has no address of the family to send from.
    NoNodeAddress,
    /// It was there before under an address and port that nobody knows any more.
    Forgotten,
}

/// Makes the drafted flow of the packet whose headers were parsed: both its entries, the reply's first.
/// `hop`: where the node would send a packet to the backend; of what comes from a pod only if that is past
/// the host's stack. Gives the flow to apply, which is another processor's if that one was faster.
#[inline(always)]
pub fn open<A: Stages>(hook: Hook, hop: Option<&NextHop>, now: u32) -> Result<&'static Flow<A>, Exception> {
    let from_pod = u32::from(matches!(hook, Hook::PodIngress));
    let reason = match A::make(from_pod, u32::from(hop.is_some()), now) {
        Opened::Made => return maps::scratch::<A>().map(|scratch| &scratch.flow).ok_or(Exception::NotOurs),
        Opened::NoMemory => DropReason::FlowTableFull,
        Opened::NoSourcePort => DropReason::NoSourcePort,
        Opened::NoNodeAddress => DropReason::NoNodeAddress,
        Opened::Forgotten => return Err(forgotten::<A>()),
    };
    Err(Exception::Drop(reason))
}

/// What becomes of a packet whose connection is known no more: as of one whose connection never was, it is
/// the host's that owns the address.
#[inline(always)]
fn forgotten<A: Family>() -> Exception {
    let address = maps::headers::<A>().and_then(|headers| frontend::address(headers.key.tuple.destination));
    match address {
        Some(address) if address.has(Frontend::VIRTUAL) => Exception::Reject,
        _ => Exception::NotOurs,
    }
}

/// Makes the drafted flow, whose next hop is in the scratch if it has one.
#[inline(always)]
pub fn make<A: Family>(key: &FlowKey<A>, from_pod: bool, has_next_hop: bool, now: u32) -> Opened {
    if !set_path::<A>(from_pod, has_next_hop, now) {
        return Opened::NoNodeAddress;
    }
    if is_forgotten::<A>() {
        return Opened::Forgotten;
    }
    if !source_port::reserve(key) {
        return Opened::NoSourcePort;
    }
    if commit(key) { Opened::Made } else { Opened::NoMemory }
}

/// Whether the drafted flow was there before and its source was replaced: by which port, only its lost
/// entry knew.
#[inline(always)]
fn is_forgotten<A: Family>() -> bool {
    maps::scratch::<A>().is_some_and(|scratch| scratch.masqueraded != 0 && scratch.flow.state != 0)
}

/// Inserts the forward entry, which makes the flow known. Gives whether that, or another processor's, is
/// in the table and the scratch.
#[inline(always)]
fn commit<A: Family>(key: &FlowKey<A>) -> bool {
    let Some(scratch) = maps::scratch::<A>() else { return false };
    if !scratch.place.insert(key, &scratch.flow) {
        return yield_to_winner(key);
    }
    stats::new_flow(scratch.flow.service);
    load::flow_opened(&scratch.flow);
    true
}

/// Takes the reply's entry back, and another processor's flow into the scratch, which made one with this key at the
/// same moment. Gives whether there is one.
#[inline(never)]
fn yield_to_winner<A: Family>(key: &FlowKey<A>) -> bool {
    let Some(scratch) = maps::scratch::<A>() else { return false };
    let place = scratch.place;
    place.take_back(&scratch.partner_key);
    match place.winner(key) {
        Some(winner) => {
            scratch.flow = *winner;
            true
        }
        None => false,
    }
}

/// Decides by interface how the drafted flow's packets go: out by an uplink what came in by one → under
/// the node's address, or the reply would go past this node; back to the pod that it came from → under
/// the node's address too; all else keeps the client's address and goes by the host's stack, or by the
/// bridge. `false`: the node has no such address.
#[inline(always)]
fn set_path<A: Family>(from_pod: bool, has_next_hop: bool, now: u32) -> bool {
    let Some(scratch) = maps::scratch::<A>() else { return false };
    let (flow, hop, route_generation) = (&mut scratch.flow, &scratch.next_hop, scratch.route_generation);
    let uplink = if has_next_hop && !from_pod && hop.is_by(Interface::UPLINK) {
        maps::interface(hop.ifindex)
    } else {
        None
    };
    let (reply_hook, flags, addresses) = match uplink {
        Some(uplink) => (Hook::UplinkIngress, Flow::<A>::ROUTED, Some(&uplink.addresses)),
        None if !from_pod => (Hook::UplinkEgress, 0, None),
        None if flow.rewrite.source == flow.rewrite.destination => {
            (Hook::PodIngress, Flow::<A>::RETURNED, maps::settings().map(|settings| &settings.node))
        }
        None if has_next_hop => (Hook::PodEgress, Flow::<A>::SWITCHED, None),
        None => (Hook::PodEgress, 0, None),
    };
    if has_next_hop && hop.is_resolved() {
        flow.next_hop = *hop;
        flow.route_generation = route_generation;
    }
    flow.partner_hook = reply_hook as u8;
    flow.flags |= flags;
    if let Some(addresses) = addresses {
        flow.rewrite.source = A::of(addresses);
        if flow.rewrite.source.is_unspecified() {
            return false;
        }
    }
    scratch.masqueraded = u32::from(addresses.is_some());
    scratch.place = Place::of_new_flow(now);
    true
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

//! The way of a packet, the same at every hook: flow → frontend → select → rewrite → forward.

use crate::{
    answer,
    choice::{self, Client, Request},
    clock, echo,
    exception::Exception,
    flow::{self, Found},
    fragment, frontend, hint, icmp, maps, nat,
    packet::{self, Family, Headers, Packet, sctp},
    route,
    stages::Stages,
    stats, untranslated,
};
use aya_log_ebpf::debug;
use svc_lb_common::{
    address::{Ipv4, Ipv6, Tuple},
    counters::{DropReason, Program},
    flow::{Flow, FlowKey, Hook, NextHop, SCTP, UDP},
    fragment::Piece,
    frontend::Frontend,
    hash::hash,
};

/// Runs the pipeline for a packet at a hook.
#[inline(always)]
pub fn run<P: Packet>(packet: P, hook: Hook, program: Program) -> P::Verdict {
    let Ok(ether_type) = packet.ether_type() else { return P::NEXT };
    if ether_type == Ipv4::ETHER_TYPE {
        family::<P, Ipv4>(packet, hook, program)
    } else if ether_type == Ipv6::ETHER_TYPE {
        family::<P, Ipv6>(packet, hook, program)
    } else {
        P::NEXT
    }
}

/// The pipeline for one family. In tc what it calls has a stack frame of its own each: together they would be
/// more than a program may have.
#[inline(always)]
fn family<P: Packet, A: Stages>(packet: P, hook: Hook, program: Program) -> P::Verdict {
    let outcome = if P::TC_FOLLOWS {
        translate::<P, A>(packet, hook, program)
    } else {
        match translate_apart::<P, A>(packet, hook, program) {
            Err(Exception::Related) => follow::<P, A>(packet, program),
            outcome => outcome,
        }
    };
    match outcome {
        Ok(verdict) => verdict,
        Err(Exception::NotOurs) => P::NEXT,
        Err(Exception::Untranslated) => {
            untranslated::make_way::<A>(clock::now());
            P::NEXT
        }
        Err(exception) => conclude::<P, A>(packet, exception, program),
    }
}

/// Whether packets pass this hook before the host's stack sees them.
const fn is_ingress(hook: Hook) -> bool {
    matches!(hook, Hook::UplinkIngress | Hook::PodIngress)
}

/// Finds or makes the packet's flow and applies it. What a packet of a known flow takes is in one function: where
/// the kernel keeps the processor from predicting returns, each costs some nanoseconds.
#[inline(always)]
fn translate<P: Packet, A: Stages>(packet: P, hook: Hook, program: Program) -> Result<P::Verdict, Exception> {
    let ours = if is_ingress(hook) { packet.is_for_this_host() } else { packet.is_untagged() };
    if !ours {
        return Err(Exception::NotOurs);
    }
    let headers = packet::parse::<P, A>(packet, hook)?;
    if !hint::is_set::<A>(headers.key.hint()) {
        let destination = headers.key.tuple.destination;
        return Err(if is_ingress(hook) { frontend::none_at(destination) } else { Exception::NotOurs });
    }
    let now = clock::now();
    let (flow, way, hop) = match flow::find(headers, now) {
        Some(found) => {
            let hop = next_hop(packet, hook, headers, &found, now);
            let way = way(&packet, hook, headers, found.flow(), hop)?;
            (flow::refresh(&found, headers, now)?, way, hop)
        }
        None if is_ingress(hook) => {
            let FlowKey { tuple, protocol, .. } = &headers.key;
            let closed = frontend::is_closed_to(matches!(hook, Hook::UplinkIngress));
            let frontend = frontend::at(tuple.destination, tuple.destination_port, *protocol, closed);
            let flow = match frontend.and_then(|it| A::admit(it.service, it.flags, now)) {
                Ok(()) => nat::drafted()?,
                Err(Exception::NotOurs) if !P::TC_FOLLOWS => untranslated::admit(headers, hook, now)?,
                Err(exception) => return Err(exception),
            };
            let hop = first_hop(packet, hook, headers, flow);
            let flow = nat::open(hook, hop, now)?;
            (flow, way(&packet, hook, headers, flow, hop)?, hop)
        }
        None => {
            bypass(&headers.key, hook, now);
            return Err(Exception::NotOurs);
        }
    };
    apply(packet, headers, flow, (way, hop), program, now)
}

/// The same with a stack frame of its own.
#[inline(never)]
fn translate_apart<P: Packet, A: Stages>(
    packet: P,
    hook: Hook,
    program: Program,
) -> Result<P::Verdict, Exception> {
    translate::<P, A>(packet, hook, program)
}

/// Applies a flow to a packet, which leaves so.
#[inline(always)]
fn apply<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    flow: &Flow<A>,
    way: (Way, Option<&'static NextHop>),
    program: Program,
    now: u32,
) -> Result<P::Verdict, Exception> {
    if flow.has(Flow::<A>::BYPASS) {
        return Err(Exception::NotOurs);
    }
    if headers.piece == Piece::First && !P::TC_FOLLOWS {
        fragment::remember(headers, &flow.rewrite, now)?;
    }
    let verdict = send(packet, headers, flow, way)?;
    stats::rewritten(program, flow.service, flow.has(Flow::<A>::REPLY), headers.length);
    Ok(verdict)
}

/// The next hop of a known flow's packet, if it does not leave by the host's stack: from the flow, where
/// it is looked up again every second and whenever a route changes.
#[inline(always)]
fn next_hop<P: Packet, A: Family>(
    packet: P,
    hook: Hook,
    headers: &Headers<A>,
    found: &Found<A>,
    now: u32,
) -> Option<&'static NextHop> {
    if !is_ingress(hook) || !found.flow().has_next_hop() {
        return None;
    }
    if let Some(hop) = found.next_hop(now) {
        return if P::TC_FOLLOWS { Some(hop) } else { in_scratch::<A>(hop) };
    }
    let hop = route::look_up(packet, &found.flow().rewrite, headers.key.protocol)?;
    found.keep_next_hop();
    Some(hop)
}

/// A copy of a next hop where one that was looked up is. In tc there is more to follow than in XDP: the verifier is
/// to follow it but once.
#[inline(always)]
fn in_scratch<A: Family>(hop: &NextHop) -> Option<&'static NextHop> {
    let scratch = maps::scratch::<A>()?;
    scratch.next_hop = *hop;
    Some(&scratch.next_hop)
}

/// The next hop of a first packet, which decides on the way of its flow.
#[inline(always)]
fn first_hop<P: Packet, A: Family>(
    packet: P,
    hook: Hook,
    headers: &Headers<A>,
    flow: &Flow<A>,
) -> Option<&'static NextHop> {
    if matches!(hook, Hook::UplinkIngress) {
        return route::look_up(packet, &flow.rewrite, headers.key.protocol);
    }
    let bridge = route::bridge_of::<A>(packet.ifindex())?;
    route::look_up(packet, &flow.rewrite, headers.key.protocol).filter(|hop| hop.ifindex == bridge)
}

/// How a packet leaves.
#[derive(Clone, Copy)]
enum Way {
    /// By the host's stack.
    Stack,
    /// By another port of the bridge that it came in by, to the next hop.
    Switched,
    /// To the next hop.
    Routed,
    /// Out of the interface that it came in by.
    Returned,
}

/// Decides how the packet leaves, before anything of it or its flow is touched: what this program
/// cannot finish it leaves as it is.
#[inline(always)]
fn way<P: Packet, A: Family>(
    packet: &P,
    hook: Hook,
    headers: &Headers<A>,
    flow: &Flow<A>,
    hop: Option<&'static NextHop>,
) -> Result<Way, Exception> {
    let way = if !is_ingress(hook) {
        return Ok(Way::Stack);
    } else if flow.has(Flow::<A>::ROUTED) {
        let hop = hop.ok_or(Exception::Drop(DropReason::Unroutable))?;
        if !packet.can_send_to(hop) {
            return Err(Exception::NotOurs);
        }
        let mtu = u32::from(hop.mtu);
        if headers.length > mtu && packet.length_on_wire(headers)? > mtu {
            // The answer tells it.
            maps::scratch::<A>().ok_or(Exception::NotOurs)?.next_hop.mtu = hop.mtu;
            return Err(Exception::TooLong);
        }
        Way::Routed
    } else if P::TC_FOLLOWS {
        return Err(Exception::NotOurs);
    } else if flow.has(Flow::<A>::RETURNED) {
        Way::Returned
    } else {
        // While the neighbour is not known the stack takes the packet, and asks for it.
        let switched = flow.has(Flow::<A>::SWITCHED) && hop.is_some_and(NextHop::is_resolved);
        return Ok(if switched { Way::Switched } else { Way::Stack });
    };
    if headers.hop_limit <= 1 {
        return Err(Exception::TimeExceeded);
    }
    Ok(way)
}

/// Rewrites the packet and lets it go, to its next hop if it has one.
#[inline(always)]
fn send<P: Packet, A: Family>(
    packet: P,
    headers: &Headers<A>,
    flow: &Flow<A>,
    (way, hop): (Way, Option<&'static NextHop>),
) -> Result<P::Verdict, Exception> {
    let hops = if matches!(way, Way::Stack | Way::Switched) { 0 } else { 1 };
    if headers.key.protocol == SCTP {
        sctp::rewrite(packet, headers, &flow.rewrite, hops)?;
    } else {
        packet.rewrite(headers, flow, hops)?;
    }
    let hop = || {
        let in_scratch = || maps::scratch::<A>().map(|scratch| &scratch.next_hop);
        // The one is the other: see `in_scratch`.
        if P::TC_FOLLOWS { hop } else { in_scratch() }.ok_or(Exception::NotOurs)
    };
    match way {
        Way::Stack => Ok(P::NEXT),
        Way::Switched => packet.switch_to(hop()?).map(|()| P::NEXT),
        Way::Routed => packet.send_to::<A>(hop()?),
        Way::Returned => packet.send_back(),
    }
}

/// Who sent a first packet.
struct Sender<'a, A> {
    tuple: &'a Tuple<A>,
    is_outside: bool,
}

impl<A: Family> Client<A> for Sender<'_, A> {
    #[inline(always)]
    fn is_outside(&self) -> bool {
        self.is_outside
    }

    #[inline(always)]
    fn address(&self) -> Option<A> {
        Some(self.tuple.source)
    }

    #[inline(always)]
    fn number(&self) -> u32 {
        hash(self.tuple)
    }
}

/// Chooses the backend of the first packet whose headers were parsed, which is for a frontend, and drafts its flow.
#[inline(always)]
pub fn admit<A: Family>(headers: &Headers<A>, frontend: Frontend, now: u32) -> Result<(), Exception> {
    let FlowKey { tuple, hook, .. } = &headers.key;
    let request = Request { opening: headers.is_opening(), continuing: headers.is_continuing() };
    let client = Sender { tuple, is_outside: *hook == Hook::UplinkIngress as u16 };
    nat::draft(headers, &choice::choose(&request, frontend, &client, now)?, now)
}

/// Remembers a UDP exchange of the host itself, or of a pod that a CNI masquerades, whose source port
/// happens to be a NodePort's: its answers are not for the NodePort.
#[inline(never)]
fn bypass<A: Family>(key: &FlowKey<A>, hook: Hook, now: u32) {
    if key.protocol != UDP || !matches!(hook, Hook::UplinkEgress) {
        return;
    }
    match frontend::address(key.tuple.source) {
        Some(address) if !address.has(Frontend::VIRTUAL) => {}
        _ => return,
    }
    if frontend::find(key.tuple.source, key.tuple.source_port, key.protocol).is_some() {
        nat::open_bypass(key, now);
    }
}

/// Translates a packet without ports of its own, as the flow that it belongs to.
#[inline(never)]
fn follow<P: Packet, A: Family>(packet: P, program: Program) -> Result<P::Verdict, Exception> {
    let headers = &*maps::headers::<A>().ok_or(Exception::NotOurs)?;
    match headers.piece {
        Piece::Later => fragment::follow(packet, headers, program),
        _ if echo::is_request(packet, headers) => echo::answer(packet, headers, program),
        Piece::Whole | Piece::First => icmp::translate(packet, headers, program),
    }
}

/// What becomes of a packet that neither leaves as it came nor translated. Nothing of it was changed yet.
#[inline(never)]
fn conclude<P: Packet, A: Family>(packet: P, exception: Exception, program: Program) -> P::Verdict {
    let outcome = match exception {
        Exception::Reject | Exception::TimeExceeded | Exception::TooLong => {
            let headers = maps::headers::<A>().ok_or(Exception::NotOurs);
            headers.and_then(|headers| answer::to(&packet, headers, exception))
        }
        other => Err(other),
    };
    match outcome {
        Ok(verdict) => {
            stats::rejected(program);
            verdict
        }
        Err(Exception::Drop(reason)) => {
            debug!(&packet.context(), "drop: reason {}", reason as u32);
            stats::dropped(program, reason);
            P::DROP
        }
        Err(_) => P::NEXT,
    }
}

//! The flow table. A flow is a pair of entries, one a direction, and stays a pair.
//!
//! While new flows arrive faster than a limit, unfinished ones go to a table of their own
//! (`NEW_FLOWS_V4/6`), so that a flood of handshakes evicts handshakes only.

use crate::{
    atomic, config,
    exception::Exception,
    hint, load,
    maps::{self, Flows, Maps},
    packet::{Family, Headers},
    stages::Stages,
};
use aya_ebpf::bindings::BPF_NOEXIST;
use svc_lb_common::{
    connection::{State, TcpFlags},
    flow::{Flow, FlowKey, NextHop, TCP, UDP, is_one_period},
    snat::Need,
    timeout::is_past,
};

/// An entry of the flow table, in the table's memory: other processors read and write it too.
pub struct Found<A: 'static> {
    entry: *mut Flow<A>,
    unfinished: bool,
}

impl<A: Maps> Found<A> {
    /// The entry at a place in a table's memory, which is that of unfinished flows or not.
    #[inline(always)]
    pub fn at(entry: *mut Flow<A>, unfinished: bool) -> Self {
        Self { entry, unfinished }
    }

    /// The entry's fields. Of these only `last_seen`, `state` and what concerns the next hop ever change.
    #[inline(always)]
    pub fn flow(&self) -> &'static Flow<A> {
        // SAFETY: the pointer is a lookup's, so it points to a whole entry for as long as the program
        // runs. An entry that is evicted meanwhile may be reused for another flow: an accepted risk of
        // every LRU table, of some nanoseconds.
        unsafe { &*self.entry }
    }

    #[inline(always)]
    fn state(&self) -> State {
        // SAFETY: as above; volatile because other processors change it.
        State(unsafe { core::ptr::read_volatile(&raw const (*self.entry).state) })
    }

    #[inline(always)]
    fn last_seen(&self) -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const (*self.entry).last_seen) }
    }

    #[inline(always)]
    fn set_last_seen(&self, now: u32) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut (*self.entry).last_seen, now) }
    }

    /// The next hop as it was looked up in this second, while no route has changed.
    #[inline(always)]
    pub fn next_hop(&self, now: u32) -> Option<&'static NextHop> {
        let holds = self.last_seen() == now && self.route_generation() == maps::route_generation()?;
        holds.then(|| &self.flow().next_hop)
    }

    #[inline(always)]
    fn route_generation(&self) -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const (*self.entry).route_generation) }
    }

    /// Keeps the next hop that was looked up last for the rest of this second, if it is resolved. Another processor
    /// that reads it meanwhile may use a part of what was there before: what it sends so is lost, as is what it sent
    /// before the routes changed.
    #[inline(always)]
    pub fn keep_next_hop(&self) {
        let Some(scratch) = maps::scratch::<A>().filter(|scratch| scratch.next_hop.is_resolved()) else {
            return;
        };
        // SAFETY: as above.
        unsafe {
            core::ptr::write_volatile(&raw mut (*self.entry).next_hop, scratch.next_hop);
            core::ptr::write_volatile(&raw mut (*self.entry).route_generation, scratch.route_generation);
        }
    }

    #[inline(always)]
    fn change_state(&self, from: State, to: State) {
        // SAFETY: as above; only the address is taken.
        let state = unsafe { &raw mut (*self.entry).state };
        let (set, cleared) = (to.0 & !from.0, from.0 & !to.0);
        if set != 0 {
            atomic::set_bits(state, set);
        }
        if cleared != 0 {
            atomic::clear_bits(state, cleared);
        }
    }

    /// Whether the backend is still the one that the flow was made for.
    #[inline(always)]
    fn has_its_backend(&self) -> bool {
        let flow = self.flow();
        flow.service == 0
            || maps::backend::<A>(flow.backend).is_some_and(|backend| backend.generation == flow.generation)
    }
}

/// Looks an entry up in both tables, whatever its age.
#[inline(always)]
fn lookup<A: Maps>(key: &FlowKey<A>, now: u32) -> Option<Found<A>> {
    if let Some(entry) = A::flows().get_ptr_mut(key) {
        return Some(Found { entry, unfinished: false });
    }
    if !unfinished_in_use(now) {
        return None;
    }
    A::new_flows().get_ptr_mut(key).map(|entry| Found { entry, unfinished: true })
}

/// The live flow of a packet. One that is past its timeout, or that a new connection or UDP exchange
/// may not use any more, is removed here and counts as absent.
#[inline(always)]
pub fn find<A: Family>(headers: &Headers<A>, now: u32) -> Option<Found<A>> {
    let key = &headers.key;
    let found = lookup(key, now)?;
    let forward = !found.flow().has(Flow::<A>::REPLY);
    let chooses_anew = forward
        && match key.protocol {
            UDP => !found.has_its_backend(),
            _ => headers.is_opening() && (found.state().is_closed() || !found.has_its_backend()),
        };
    if chooses_anew || found.last_seen() != now && is_expired(&found, key, now) {
        remove(key, found.flow());
        return None;
    }
    Some(found)
}

/// The live flow with a key, for a packet that is not the flow's own: nothing of the flow changes.
#[inline(always)]
pub fn peek<A: Maps>(key: &FlowKey<A>, now: u32) -> Option<&'static Flow<A>> {
    let found = lookup(key, now)?;
    if found.last_seen() != now && is_expired(&found, key, now) {
        return None;
    }
    Some(found.flow())
}

/// Whether a flow is past its timeout, by the later of its two entries.
#[inline(never)]
fn is_expired<A: Maps>(found: &Found<A>, key: &FlowKey<A>, now: u32) -> bool {
    let timeout = config::timeout(found.state().phase(key.protocol));
    if !is_past(timeout, found.last_seen(), now) {
        return false;
    }
    match lookup(&found.flow().partner_key(key.protocol), now) {
        Some(partner) => is_past(timeout, partner.last_seen(), now),
        None => true,
    }
}

/// Removes both entries of a flow, from whichever table they are in.
#[inline(never)]
pub fn remove<A: Maps>(key: &FlowKey<A>, flow: &Flow<A>) {
    let partner = flow.partner_key(key.protocol);
    if !State(flow.state).is_closed() {
        load::flow_closed(flow);
    }
    // An entry that is not there needs no removing.
    let _ = A::flows().remove(key);
    let _ = A::flows().remove(&partner);
    let _ = A::new_flows().remove(key);
    let _ = A::new_flows().remove(&partner);
}

/// Notes that a packet of a flow is about to be applied: its state, at most once a second when it was last seen, and
/// at most once a period that the other entry is in use too. Gives the flow to apply, or [`Exception::Reject`] if its backend is removed and silent,
/// or [`Exception::Untranslated`] if the packet is another connection's.
#[inline(always)]
pub fn refresh<A: Stages>(
    found: &Found<A>,
    headers: &Headers<A>,
    now: u32,
) -> Result<&'static Flow<A>, Exception> {
    let flow = found.flow();
    let (before, flags) = (found.state(), headers.tcp_flags());
    if before.is_steady(flags) && found.last_seen() == now {
        return Ok(flow);
    }
    let after = before.after(headers.key.protocol, flow.has(Flow::<A>::REPLY), flags);
    if before == after && found.last_seen() == now {
        return Ok(flow);
    }
    if is_of_another(headers, found) {
        return Err(Exception::Untranslated);
    }
    match A::advance(found.entry, u32::from(found.unfinished), after.0, now) {
        Step::Kept => Ok(flow),
        Step::Moved => maps::scratch::<A>().map(|scratch| &scratch.flow).ok_or(Exception::NotOurs),
        Step::Lost => {
            remove(&headers.key, flow);
            Err(Exception::Reject)
        }
    }
}

/// Whether what comes back by a flow cannot be its answer: an acknowledgement where only a SYN was sent, or
/// SCTP's INIT.
/// The backend has a connection already with the client's address and port, of which svc-lb does not know.
/// Where the flow has another port or address than the client, no connection of the client's is in its way.
#[inline(always)]
fn is_of_another<A: Family>(headers: &Headers<A>, found: &Found<A>) -> bool {
    let (flow, FlowKey { tuple, protocol, .. }) = (found.flow(), &headers.key);
    *protocol != UDP
        && flow.has(Flow::<A>::REPLY)
        && !found.state().has(State::REPLIED)
        && !headers.tcp_flags().has(TcpFlags::SYN | TcpFlags::RST)
        && flow.rewrite.destination == tuple.destination
        && flow.rewrite.destination_port == tuple.destination_port
}

/// What [`advance`] made of a flow.
#[repr(u32)]
pub enum Step {
    /// It is where it was.
    Kept,
    /// It went to the other table, and its copy to the scratch: the place where it was may soon be
    /// another's.
    Moved,
    /// Its backend is removed and silent, so it must go.
    Lost,
}

/// Writes a flow's time, and its state in both entries. The other entry is looked up when the state changes, and else
/// once a period: it stays recent so, and is made anew if it was evicted.
#[inline(always)]
pub fn advance<A: Maps>(found: &Found<A>, key: &FlowKey<A>, after: State, now: u32) -> Step {
    let (flow, before) = (found.flow(), found.state());
    let seen_before = found.last_seen();
    found.set_last_seen(now);
    let is_looked_after = is_one_period(seen_before, now) && !found.unfinished;
    if before == after && is_looked_after && found.has_its_backend() {
        return Step::Kept;
    }
    found.change_state(before, after);
    if after.is_closed() && !before.is_closed() {
        load::flow_closed(flow);
    }
    if after.is_confirmed() && !before.is_confirmed() {
        note_confirmed(now);
    }
    if found.unfinished {
        note_unfinished(now);
    }
    let Some(scratch) = maps::scratch::<A>() else { return Step::Kept };
    scratch.partner_key = flow.partner_key(key.protocol);
    let Some(partner) = lookup(&scratch.partner_key, now) else {
        scratch.partner = Flow { last_seen: now, state: after.0, ..flow.partner(key) };
        // Another processor may have made it meanwhile: as good.
        let _ =
            table(found.unfinished).insert(&scratch.partner_key, &scratch.partner, u64::from(BPF_NOEXIST));
        return Step::Kept;
    };
    partner.change_state(before, after);
    // SCTP asks by itself whether its peer is there, after longer pauses.
    let asks_for_backend = seen_before != now && key.protocol == TCP && !flow.has(Flow::<A>::REPLY);
    let is_unanswered = || is_past(0, partner.last_seen(), seen_before);
    if asks_for_backend && !found.has_its_backend() && is_unanswered() {
        if is_past(config::removed_backend_grace(), seen_before, now) {
            return Step::Lost;
        }
        // It stays at the first packet that was not answered: who was idle before is not silent yet.
        found.set_last_seen(seen_before);
    }
    if found.unfinished && after.is_confirmed() {
        scratch.flow = *flow;
        promote(key, &scratch.flow);
        promote(&scratch.partner_key, partner.flow());
        return Step::Moved;
    }
    Step::Kept
}

/// Moves an entry from the table of unfinished flows to the other. It inserts there before it deletes
/// here, so that the flow is never absent.
#[inline(always)]
fn promote<A: Maps>(key: &FlowKey<A>, flow: &Flow<A>) {
    if A::flows().insert(key, flow, u64::from(BPF_NOEXIST)).is_ok() {
        let _ = A::new_flows().remove(key);
    }
}

#[inline(always)]
fn table<A: Maps>(unfinished: bool) -> &'static Flows<A> {
    if unfinished { A::new_flows() } else { A::flows() }
}

/// Where a new flow goes, decided once for both its entries. It is kept in the scratch, so that the
/// verifier need not follow the rest of the program once for every place.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    unfinished: u32,
    both_in_use: u32,
    now: u32,
}

impl Place {
    /// The place of one more flow of this processor.
    #[inline(always)]
    pub fn of_new_flow(now: u32) -> Self {
        let unfinished = is_flooded(now);
        let both_in_use = unfinished || unfinished_in_use(now);
        Self { unfinished: u32::from(unfinished), both_in_use: u32::from(both_in_use), now }
    }

    #[inline(always)]
    fn unfinished(self) -> bool {
        self.unfinished != 0
    }

    /// Inserts an entry unless there is one with its key, in either table. Gives whether it did.
    #[inline(never)]
    pub fn insert<A: Maps>(self, key: &FlowKey<A>, flow: &Flow<A>) -> bool {
        hint::set::<A>(key.hint());
        if table::<A>(self.unfinished()).insert(key, flow, u64::from(BPF_NOEXIST)).is_err() {
            return false;
        }
        if self.both_in_use != 0 && table::<A>(!self.unfinished()).get_ptr(key).is_some() {
            let _ = table::<A>(self.unfinished()).remove(key);
            return false;
        }
        true
    }

    /// Takes back an entry that [`Self::insert`] made.
    #[inline(always)]
    pub fn take_back<A: Maps>(self, key: &FlowKey<A>) {
        let _ = table::<A>(self.unfinished()).remove(key);
    }

    /// Frees a key whose flow is expired, or yields it to one that needs it so much. Gives whether the key is
    /// free now.
    #[inline(always)]
    pub fn displace<A: Maps>(self, key: &FlowKey<A>, need: Need) -> bool {
        let Some(found) = lookup(key, self.now) else { return true };
        let gone = found.last_seen() != self.now && is_expired(&found, key, self.now)
            || found.state().yields_port(key.protocol, need);
        if gone {
            remove(key, found.flow());
        }
        gone
    }

    /// The flow that has a key, which another processor made at the same moment.
    #[inline(always)]
    pub fn winner<A: Maps>(self, key: &FlowKey<A>) -> Option<&'static Flow<A>> {
        lookup(key, self.now).map(|found| found.flow())
    }
}

/// Whether the table of unfinished flows may hold any.
#[inline(always)]
fn unfinished_in_use(now: u32) -> bool {
    let Some(last) = maps::last_unfinished() else { return false };
    // SAFETY: a pointer into a map value; volatile because other processors change it.
    let last = unsafe { core::ptr::read_volatile(last) };
    last != 0 && !is_past(config::longest_unfinished(), last, now)
}

/// Counts one more flow of this processor; whether it is one too many for this second. Those that both sides have
/// confirmed since count no more: many a client that means it is no flood.
#[inline(always)]
fn is_flooded(now: u32) -> bool {
    let Some(rate) = maps::new_flow_rate() else { return false };
    // SAFETY: a pointer into this processor's value, which nothing else writes meanwhile.
    let flows = unsafe {
        if (*rate).second != now {
            (*rate).second = now;
            (*rate).flows = 0;
        }
        (*rate).flows += 1;
        (*rate).flows
    };
    if flows <= config::new_flow_limit() {
        return false;
    }
    note_unfinished(now);
    true
}

/// Notes that both sides of a flow have shown that they are there.
#[inline(always)]
fn note_confirmed(now: u32) {
    let Some(rate) = maps::new_flow_rate() else { return };
    // SAFETY: as in `is_flooded`.
    unsafe {
        if (*rate).second == now {
            (*rate).flows = (*rate).flows.saturating_sub(1);
        }
    }
}

/// Notes that the table of unfinished flows holds one that is alive. Written once a second at most: all
/// processors read it.
#[inline(always)]
fn note_unfinished(now: u32) {
    let Some(last) = maps::last_unfinished() else { return };
    // SAFETY: as in `unfinished_in_use`.
    unsafe {
        if core::ptr::read_volatile(last) != now {
            core::ptr::write_volatile(last, now);
        }
    }
}

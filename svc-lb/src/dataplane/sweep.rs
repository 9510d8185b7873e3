//! Gives back the memory of flows that are past their timeout. Nothing waits for it: to the programs
//! such an entry counts as absent. On the way it notes which neighbours flows send to, and which backends have
//! how many.

use super::{
    batch::Position,
    loads::OpenFlows,
    maps::{FamilyMaps, FamilyNames, Maps},
    typed::{HashMap, MapError},
};
use std::{collections::BTreeSet, mem};
use svc_lb_common::{
    address::Address,
    connection::State,
    flow::{Flow, FlowKey},
    link::LinkAddress,
    timeout::Timeouts,
};

/// How many entries one step reads.
const STEP: usize = 8192;

/// A walk over the flow tables, in steps.
#[derive(Debug)]
pub struct Sweep {
    timeouts: Timeouts,
    /// Index into [`FlowCounts`].
    table: usize,
    position: Position,
    counting: FlowCounts,
    counted: FlowCounts,
    /// When this walk started, and the one before; `None` before the first.
    started: Option<u32>,
    started_before: Option<u32>,
    used: BTreeSet<UsedNextHop>,
    open: OpenFlows,
}

/// A next hop as flows remember it: the ifindex, and the neighbour's link-layer address as it stands in a frame.
pub type UsedNextHop = (u32, LinkAddress);

/// How many entries there are in `FLOWS_V4`, `NEW_FLOWS_V4`, `FLOWS_V6`, `NEW_FLOWS_V6`.
pub type FlowCounts = [usize; 4];

/// What a step of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that were read.
    pub read: usize,
    /// Entries that were deleted.
    pub deleted: usize,
    /// Whether the walk is over; the next step starts another.
    pub finished: bool,
}

impl Sweep {
    /// Before the first step.
    pub fn new(timeouts: Timeouts) -> Self {
        let none = FlowCounts::default();
        Self {
            timeouts,
            table: 0,
            position: Position::Start,
            counting: none,
            counted: none,
            started: None,
            started_before: None,
            used: BTreeSet::new(),
            open: OpenFlows::default(),
        }
    }

    /// The next hops of flows that had a packet since the walk before this one started, as far as it has
    /// come; each is told once.
    pub fn take_used(&mut self) -> BTreeSet<UsedNextHop> {
        mem::take(&mut self.used)
    }

    /// The open flows that the walk has met, once it is over.
    pub fn take_open(&mut self) -> OpenFlows {
        mem::take(&mut self.open)
    }

    /// How many entries the last finished walk left.
    pub fn counted(&self) -> FlowCounts {
        self.counted
    }

    /// Reads some entries, and deletes those that are past their timeout. `route_generation`: that of
    /// `SETTINGS`; next hops of an older one are not used any more.
    pub fn step(&mut self, maps: &Maps, now: u32, route_generation: u32) -> Result<Swept, MapError> {
        if self.table == 0 && matches!(self.position, Position::Start) {
            self.started_before = self.started.replace(now);
        }
        let expiry =
            Expiry { timeouts: self.timeouts, now, used_since: self.started_before, route_generation };
        let (position, used, open) = (&mut self.position, &mut self.used, &mut self.open);
        let mut swept = match self.table {
            0 => expiry.step(&maps.v4, &maps.v4.flows, position, used, open),
            1 => expiry.step(&maps.v4, &maps.v4.new_flows, position, used, open),
            2 => expiry.step(&maps.v6, &maps.v6.flows, position, used, open),
            _ => expiry.step(&maps.v6, &maps.v6.new_flows, position, used, open),
        }?;
        self.counting[self.table] += swept.read.saturating_sub(swept.deleted);
        if matches!(self.position, Position::End) {
            self.position = Position::Start;
            self.table = (self.table + 1) % self.counting.len();
            swept.finished = self.table == 0;
        }
        if swept.finished {
            self.counted = mem::take(&mut self.counting);
        }
        Ok(swept)
    }
}

/// When entries are gone, and whose next hops are in use.
struct Expiry {
    timeouts: Timeouts,
    now: u32,
    used_since: Option<u32>,
    route_generation: u32,
}

impl Expiry {
    fn step<A: FamilyNames>(
        &self,
        maps: &FamilyMaps<A>,
        table: &HashMap<FlowKey<A>, Flow<A>>,
        position: &mut Position,
        used: &mut BTreeSet<UsedNextHop>,
        open: &mut OpenFlows,
    ) -> Result<Swept, MapError> {
        let entries = table.walk(position, STEP)?;
        let mut swept = Swept { read: entries.len(), ..Swept::default() };
        for (key, flow) in entries {
            if self.is_past(&key, &flow) {
                if let Some(deleted) = self.expire(maps, table, &key)? {
                    swept.deleted += deleted;
                    continue;
                }
            } else if self.uses_next_hop(&flow) {
                used.insert((flow.next_hop.ifindex, flow.next_hop.link.destination()));
            }
            open.note(&flow);
        }
        Ok(swept)
    }

    /// Deletes an entry and its partner, as far as they are there; how many. `None`: one of them has been seen
    /// in time. Both are read again at the last moment, because a program may have just replaced them.
    fn expire<A: FamilyNames>(
        &self,
        maps: &FamilyMaps<A>,
        table: &HashMap<FlowKey<A>, Flow<A>>,
        key: &FlowKey<A>,
    ) -> Result<Option<usize>, MapError> {
        let Some(flow) = table.get(key)? else { return Ok(Some(0)) };
        if !self.is_past(key, &flow) {
            return Ok(None);
        }
        let partner_key = flow.partner_key(key.protocol);
        let mut with_partner = None;
        for table in [&maps.flows, &maps.new_flows] {
            let partner = table.get(&partner_key)?;
            let Some(partner) = partner.filter(|it| it.partner_key(key.protocol) == *key) else { continue };
            if !self.is_past(&partner_key, &partner) {
                return Ok(None);
            }
            with_partner = Some(table);
        }
        table.delete(&[*key])?;
        let Some(table) = with_partner else { return Ok(Some(1)) };
        table.delete(&[partner_key])?;
        Ok(Some(2))
    }

    /// Whether a packet was sent to the next hop that an entry remembers.
    fn uses_next_hop<A: Address>(&self, flow: &Flow<A>) -> bool {
        // The clock wraps.
        let seen = |since| flow.last_seen.wrapping_sub(since).cast_signed() >= 0;
        flow.route_generation == self.route_generation && self.used_since.is_none_or(seen)
    }

    fn is_past<A: Address>(&self, key: &FlowKey<A>, flow: &Flow<A>) -> bool {
        self.timeouts.is_past(key.protocol, State(flow.state), flow.last_seen, self.now)
    }
}

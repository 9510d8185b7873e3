//! Gives back the memory of flows that are past their timeout. Nothing waits for it: to the programs
//! such an entry counts as absent.

use super::{
    batch::Position,
    maps::{FamilyMaps, FamilyNames, Maps},
    typed::{HashMap, MapError},
};
use svc_lb_common::{
    address::Address,
    flow::{Flow, FlowKey, State, Timeouts},
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
}

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
        Self { timeouts, table: 0, position: Position::Start, counting: none, counted: none }
    }

    /// How many entries the last finished walk left.
    pub fn counted(&self) -> FlowCounts {
        self.counted
    }

    /// Reads some entries, and deletes those that are past their timeout.
    pub fn step(&mut self, maps: &Maps, now: u32) -> Result<Swept, MapError> {
        let expiry = Expiry { timeouts: self.timeouts, now };
        let position = &mut self.position;
        let mut swept = match self.table {
            0 => expiry.step(&maps.v4, &maps.v4.flows, position),
            1 => expiry.step(&maps.v4, &maps.v4.new_flows, position),
            2 => expiry.step(&maps.v6, &maps.v6.flows, position),
            _ => expiry.step(&maps.v6, &maps.v6.new_flows, position),
        }?;
        self.counting[self.table] += swept.read.saturating_sub(swept.deleted);
        if matches!(self.position, Position::End) {
            self.position = Position::Start;
            self.table = (self.table + 1) % self.counting.len();
            swept.finished = self.table == 0;
        }
        if swept.finished {
            self.counted = std::mem::take(&mut self.counting);
        }
        Ok(swept)
    }
}

/// When entries are gone.
struct Expiry {
    timeouts: Timeouts,
    now: u32,
}

impl Expiry {
    fn step<A: FamilyNames>(
        &self,
        maps: &FamilyMaps<A>,
        table: &HashMap<FlowKey<A>, Flow<A>>,
        position: &mut Position,
    ) -> Result<Swept, MapError> {
        let entries = table.walk(position, STEP)?;
        let mut swept = Swept { read: entries.len(), ..Swept::default() };
        for (key, flow) in entries {
            if self.is_past(&key, &flow) {
                swept.deleted += self.expire(maps, table, &key)?;
            }
        }
        Ok(swept)
    }

    /// Deletes an entry and its partner, unless one of them has been seen in time; how many were
    /// deleted. Both are read again at the last moment, because a program may have just replaced them.
    fn expire<A: FamilyNames>(
        &self,
        maps: &FamilyMaps<A>,
        table: &HashMap<FlowKey<A>, Flow<A>>,
        key: &FlowKey<A>,
    ) -> Result<usize, MapError> {
        let Some(flow) = table.get(key)?.filter(|flow| self.is_past(key, flow)) else { return Ok(0) };
        let partner_key = flow.partner_key(key.protocol);
        let mut with_partner = None;
        for table in [&maps.flows, &maps.new_flows] {
            let partner = table.get(&partner_key)?;
            let Some(partner) = partner.filter(|it| it.partner_key(key.protocol) == *key) else { continue };
            if !self.is_past(&partner_key, &partner) {
                return Ok(0);
            }
            with_partner = Some(table);
        }
        table.delete(&[*key])?;
        let Some(table) = with_partner else { return Ok(1) };
        table.delete(&[partner_key])?;
        Ok(2)
    }

    fn is_past<A: Address>(&self, key: &FlowKey<A>, flow: &Flow<A>) -> bool {
        self.timeouts.is_past(key.protocol, State(flow.state), flow.last_seen, self.now)
    }
}

//! Plans, applied write by write to a model of the maps: after every single one, every frontend
//! leads to the list it had or to the one it gets, and no flow has lost a backend that it is to keep.

mod changes;
mod fixtures;
mod limits;
mod lists;
mod model;
mod properties;
mod source_ranges;

use super::*;
use crate::dataplane::state::Limits;
use model::Model;

const LIMITS: Limits =
    Limits { services: 64, slots: 4096, backends: 4096, frontends: 256, source_ranges: 256 };

/// Plans and applies, and asserts that nothing is left to do.
fn sync(state: &mut State, model: &mut Model, tables: &Tables, now: Instant) -> Plan {
    let plan = state.plan(tables, now);
    assert_eq!(plan.refusals, []);
    model.apply(&plan, tables, now, usize::MAX).unwrap();
    model.assert_is(tables);
    assert_eq!(state.plan(tables, now).writes(), 0, "a second sync has nothing to do");
    plan
}

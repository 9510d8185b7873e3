//! Which sources may use a service, and which are inside the cluster.

use super::{Planner, Refusal};
use crate::{
    compile::{self, Family},
    dataplane::source_range::SourceRange,
};
use ipnet::IpNet;
use std::{collections::BTreeSet, mem};
use svc_lb_common::source_range::CLUSTER;

/// The ranges of a family that a service has; none where it has them of the other one only.
pub(super) fn ranges(wanted: &compile::Service, family: Family) -> BTreeSet<IpNet> {
    let ranges = wanted.source_ranges.iter().flatten().map(IpNet::trunc);
    ranges.filter(|range| Family::of(range.addr()) == family).collect()
}

impl Planner<'_> {
    /// Brings the ranges of the cluster up to date.
    pub(super) fn bound_cluster(&mut self, wanted: &BTreeSet<IpNet>) {
        let wanted: BTreeSet<IpNet> = wanted.iter().map(IpNet::trunc).collect();
        if self.state.cluster_ranges == wanted {
            return;
        }
        let mut held = mem::take(&mut self.state.cluster_ranges);
        if self.have_room(&held, &wanted) {
            self.replace_ranges(CLUSTER, &mut held, wanted);
        } else {
            self.plan.refusals.push(Refusal::ClusterRanges(self.state.limits.source_ranges));
        }
        self.state.cluster_ranges = held;
    }

    /// Whether new ranges fit beside those that there are.
    pub(super) fn have_room(&self, held: &BTreeSet<IpNet>, wanted: &BTreeSet<IpNet>) -> bool {
        [Family::V4, Family::V6].into_iter().all(|family| {
            let new = wanted.difference(held).filter(|range| Family::of(range.addr()) == family).count();
            let room = self.state.limits.source_ranges.saturating_sub(*self.state.range_counts.of(family));
            new <= room as usize
        })
    }

    /// Gives a service other ranges.
    pub(super) fn replace_ranges(
        &mut self,
        service: u32,
        held: &mut BTreeSet<IpNet>,
        wanted: BTreeSet<IpNet>,
    ) {
        for &range in wanted.difference(held) {
            let range = SourceRange { service, range };
            *self.state.range_counts.of_mut(range.family()) += 1;
            self.plan.new.source_ranges.push(range);
        }
        let gone = held.difference(&wanted).copied().collect();
        self.remove_ranges(service, gone);
        *held = wanted;
    }

    /// Takes ranges away from a service.
    pub(super) fn remove_ranges(&mut self, service: u32, ranges: BTreeSet<IpNet>) {
        self.plan.gone.source_ranges.extend(ranges.into_iter().map(|range| SourceRange { service, range }));
    }

    /// Counts the ranges that go: until all that is new is written, they are there.
    pub(super) fn settle_ranges(&mut self) {
        for range in &self.plan.gone.source_ranges {
            *self.state.range_counts.of_mut(range.family()) -= 1;
        }
    }
}

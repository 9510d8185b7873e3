//! Who gets which number: service ids, backend indexes, ranges of slots. What is given back rests
//! before it is given out again, because a program may still be reading by the old number.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

/// How long a number rests. A program runs for microseconds; a host that takes its processor away
/// may stretch that.
pub const GRACE: Duration = Duration::from_secs(2);

/// Single numbers. The one that has rested longest is given out first, then one never used: those in
/// use stay close together.
#[derive(Clone, Debug)]
pub struct Indexes {
    unused: Range<u32>,
    resting: VecDeque<(Instant, u32)>,
}

impl Indexes {
    /// All numbers of a range.
    pub fn new(range: Range<u32>) -> Self {
        Self { unused: range, resting: VecDeque::new() }
    }

    /// Takes what an earlier agent gave out: everything below `end` was used, and what is not in
    /// use rests from now on.
    pub fn adopt(&mut self, end: u32, in_use: impl Fn(u32) -> bool, now: Instant) {
        let end = end.clamp(self.unused.start, self.unused.end);
        let idle = (self.unused.start..end).filter(|index| !in_use(*index));
        self.resting.extend(idle.map(|index| (now, index)));
        self.unused.start = end;
    }

    /// Gives out a number.
    pub fn take(&mut self, now: Instant) -> Option<u32> {
        let rested = self.resting.pop_front_if(|(since, _)| now.duration_since(*since) >= GRACE);
        rested.map(|(_, index)| index).or_else(|| self.unused.next())
    }

    /// Takes a number back.
    pub fn give_back(&mut self, index: u32, now: Instant) {
        self.resting.push_back((now, index));
    }

    /// Takes back the number that was given out last, as if it had never been.
    pub fn give_back_unused(&mut self, index: u32) {
        self.unused.start = index;
    }
}

/// Contiguous ranges of numbers. A range is given out from the smallest gap that holds it.
#[derive(Clone, Debug)]
pub struct Ranges {
    gaps: Gaps,
    resting: VecDeque<(Instant, Gap)>,
}

impl Ranges {
    /// The numbers below an end.
    pub fn new(end: u32) -> Self {
        let mut gaps = Gaps::default();
        gaps.insert(Gap { first: 0, length: end });
        Self { gaps, resting: VecDeque::new() }
    }

    /// Takes a range that an earlier agent gave out; `false` if part of it is taken already or it
    /// lies outside.
    pub fn claim(&mut self, first: u32, length: u32) -> bool {
        let Some(gap) = self.gaps.at_or_before(first) else { return false };
        let Some(behind) =
            (gap.first + gap.length).checked_sub(first).and_then(|rest| rest.checked_sub(length))
        else {
            return false;
        };
        self.gaps.remove(gap);
        self.gaps.insert(Gap { first: gap.first, length: first - gap.first });
        self.gaps.insert(Gap { first: first + length, length: behind });
        true
    }

    /// Gives out a range of a length that is not 0: its first number.
    pub fn take(&mut self, length: u32, now: Instant) -> Option<u32> {
        while let Some((_, gap)) = self.resting.pop_front_if(|(since, _)| now.duration_since(*since) >= GRACE)
        {
            self.gaps.close(gap);
        }
        let first = self.gaps.smallest(length)?.first;
        self.claim(first, length).then_some(first)
    }

    /// Takes a range back.
    pub fn give_back(&mut self, first: u32, length: u32, now: Instant) {
        self.resting.push_back((now, Gap { first, length }));
    }
}

/// A range that nobody has.
#[derive(Clone, Copy, Debug)]
struct Gap {
    first: u32,
    length: u32,
}

/// Gaps by place and by length; no two touch, none is empty.
#[derive(Clone, Debug, Default)]
struct Gaps {
    by_place: BTreeMap<u32, u32>,
    by_length: BTreeSet<(u32, u32)>,
}

impl Gaps {
    fn insert(&mut self, gap: Gap) {
        if gap.length > 0 {
            self.by_place.insert(gap.first, gap.length);
            self.by_length.insert((gap.length, gap.first));
        }
    }

    fn remove(&mut self, gap: Gap) {
        self.by_place.remove(&gap.first);
        self.by_length.remove(&(gap.length, gap.first));
    }

    /// The last gap that starts at a number or before.
    fn at_or_before(&self, first: u32) -> Option<Gap> {
        self.by_place.range(..=first).next_back().map(|(&first, &length)| Gap { first, length })
    }

    /// The smallest gap that has a length.
    fn smallest(&self, length: u32) -> Option<Gap> {
        self.by_length.range((length, 0)..).next().map(|&(length, first)| Gap { first, length })
    }

    /// Adds a gap, made one with those that touch it.
    fn close(&mut self, mut gap: Gap) {
        let end = gap.first + gap.length;
        if let Some(&length) = self.by_place.get(&end) {
            self.remove(Gap { first: end, length });
            gap.length += length;
        }
        if let Some(before) = self.at_or_before(gap.first).filter(|it| it.first + it.length == gap.first) {
            self.remove(before);
            gap = Gap { first: before.first, length: before.length + gap.length };
        }
        self.insert(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_rests_before_it_is_given_out_again() {
        let start = Instant::now();
        let mut indexes = Indexes::new(1..4);
        assert_eq!(indexes.take(start), Some(1));
        assert_eq!(indexes.take(start), Some(2));
        indexes.give_back(1, start);
        assert_eq!(indexes.take(start + GRACE / 2), Some(3));
        assert_eq!(indexes.take(start + GRACE / 2), None);
        assert_eq!(indexes.take(start + GRACE), Some(1));
    }

    #[test]
    fn adopted_indexes_rest_too() {
        let start = Instant::now();
        let mut indexes = Indexes::new(1..10);
        indexes.adopt(4, |index| index == 2, start);
        assert_eq!(indexes.take(start), Some(4));
        let rested = start + GRACE;
        assert_eq!(
            [indexes.take(rested), indexes.take(rested), indexes.take(rested)],
            [Some(1), Some(3), Some(5)]
        );
    }

    #[test]
    fn gaps_that_touch_become_one() {
        let start = Instant::now();
        let mut ranges = Ranges::new(10);
        let taken: Vec<_> = [3, 3, 4].map(|length| ranges.take(length, start)).into_iter().collect();
        assert_eq!(taken, [Some(0), Some(3), Some(6)]);
        assert_eq!(ranges.take(1, start), None);
        ranges.give_back(0, 3, start);
        ranges.give_back(6, 4, start);
        assert_eq!(ranges.take(1, start + GRACE / 2), None, "they rest");
        ranges.give_back(3, 3, start);
        assert_eq!(ranges.take(10, start + GRACE), Some(0));
    }

    #[test]
    fn only_what_is_free_can_be_claimed() {
        let mut ranges = Ranges::new(10);
        assert!(ranges.claim(4, 2));
        for (first, length) in [(4, 1), (5, 1), (3, 2), (0, 10), (9, 2), (9, u32::MAX), (10, 1)] {
            assert!(!ranges.claim(first, length), "{first}, {length}");
        }
        assert!(ranges.claim(0, 4) && ranges.claim(6, 4));
    }
}

//! How many agree, and why the others do not.

use crate::difference::Difference;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What came out of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// svc-lb does what kube-proxy does.
    Agree,
    /// svc-lb does what it is meant to do, which is something else.
    Differ(BTreeSet<Difference>),
    /// svc-lb does neither; what was expected and what was found.
    Wrong(String),
}

impl Judgement {
    /// svc-lb does what it is meant to do, which differs from kube-proxy by these.
    pub fn of(differences: BTreeSet<Difference>) -> Self {
        if differences.is_empty() { Self::Agree } else { Self::Differ(differences) }
    }

    /// This one and another of the same packet: the worse of the two.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Wrong(one), Self::Wrong(other)) => Self::Wrong(format!("{one}\n{other}")),
            (Self::Wrong(why), _) | (_, Self::Wrong(why)) => Self::Wrong(why),
            (Self::Differ(one), Self::Differ(other)) => Self::Differ(&one | &other),
            (Self::Differ(why), Self::Agree) | (Self::Agree, Self::Differ(why)) => Self::Differ(why),
            (Self::Agree, Self::Agree) => Self::Agree,
        }
    }
}

/// Counts judgements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    agree: usize,
    differ: usize,
    /// How many are wrong.
    pub wrong: usize,
    differences: BTreeMap<Difference, usize>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, judgement: &Judgement) {
        match judgement {
            Judgement::Agree => self.agree += 1,
            Judgement::Wrong(_) => self.wrong += 1,
            Judgement::Differ(differences) => {
                self.differ += 1;
                for difference in differences {
                    *self.differences.entry(*difference).or_default() += 1;
                }
            }
        }
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.agree += other.agree;
        self.differ += other.differ;
        self.wrong += other.wrong;
        for (difference, count) in &other.differences {
            *self.differences.entry(*difference).or_default() += count;
        }
    }

    /// Each difference that occurred, with how often; one packet may have several.
    pub fn legend(&self) -> String {
        let lines = self.differences.iter().map(|(difference, count)| format!("{count:5}  {difference}\n"));
        lines.collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agree, differ, wrong, .. } = self;
        write!(f, "{agree} agree, {differ} differ by design, {wrong} wrong")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_counts_once_as_the_worst_that_was_seen_of_it() {
        let differ = || Judgement::of(BTreeSet::from([Difference::MasqueradeAll]));
        let wrong = || Judgement::Wrong("why".to_owned());
        assert_eq!(Judgement::Agree.and(differ()), differ());
        assert_eq!(differ().and(wrong()), wrong());
        assert_eq!(wrong().and(Judgement::Agree), wrong());
        let mut tally = Tally::default();
        for judgement in [Judgement::Agree, differ(), differ(), wrong()] {
            tally.add(&judgement);
        }
        assert_eq!(tally.to_string(), "1 agree, 2 differ by design, 1 wrong");
        assert!(tally.legend().starts_with("    2  --masquerade-all"));
        let mut all = tally.clone();
        all.merge(&tally);
        assert_eq!(all.to_string(), "2 agree, 4 differ by design, 2 wrong");
    }
}

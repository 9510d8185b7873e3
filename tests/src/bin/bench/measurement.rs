//! What was measured, as data.

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds: the fewer the better.
    Nanoseconds,
    /// Microseconds: the fewer the better.
    Microseconds,
    /// Milliseconds: the fewer the better.
    Milliseconds,
    /// Megabytes, of a million bytes: the fewer the better.
    Megabytes,
    /// How often something happens: the less the better.
    Count,
    /// Gigabits a second: the more the better.
    GigabitsPerSecond,
    /// Connections a second: the more the better.
    ConnectionsPerSecond,
}

impl Unit {
    /// As it is printed.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
            Self::Count => "",
            Self::GigabitsPerSecond => "Gbit/s",
            Self::ConnectionsPerSecond => "conn/s",
        }
    }

    /// Whether more is better.
    pub const fn is_rate(self) -> bool {
        matches!(self, Self::GigabitsPerSecond | Self::ConnectionsPerSecond)
    }
}

/// Something that was measured in rounds, and how it compares with others that were measured in the same
/// rounds.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// What it is.
    pub name: String,
    /// What its values count.
    pub unit: Unit,
    /// A value a round.
    pub values: Vec<f64>,
    /// How it compares.
    pub comparisons: Vec<Comparison>,
}

/// How a measurement compares with its reference, or with a limit of its own.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The reference's name; empty for an [`Amount::Alone`].
    pub with: String,
    /// By how much they differ.
    pub amount: Amount,
    /// How far the amount may go, if that matters: a [`Amount::Speed`] of no less, any other of no more.
    pub target: Option<f64>,
}

/// By how much a measurement differs from its reference: the median over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// How fast it is, the reference being 1. More is better, whatever the unit.
    Speed(f64),
    /// How many units it takes more.
    More(f64),
    /// How often it takes the reference.
    Times(f64),
    /// What it takes, compared with nothing.
    Alone(f64),
}

impl Measurement {
    /// What was measured, a value a round.
    pub fn new(name: impl Into<String>, unit: Unit, values: Vec<f64>) -> Self {
        Self { name: name.into(), unit, values, comparisons: Vec::new() }
    }

    /// The same, compared with how fast another is; with a target, if it must reach a part of that.
    pub fn speed_of(mut self, reference: &Self, at_least: Option<f64>) -> Self {
        let rate = self.unit.is_rate();
        let ratio = |(own, its): (&f64, &f64)| if rate { own / its } else { its / own };
        let amount = Amount::Speed(median(self.values.iter().zip(&reference.values).map(ratio)));
        self.compare(reference, amount, at_least);
        self
    }

    /// The same, compared with how long another takes; with a target, if it may not take much more.
    pub fn more_than(mut self, reference: &Self, at_most: Option<f64>) -> Self {
        let difference = |(own, its): (&f64, &f64)| own - its;
        let amount = Amount::More(median(self.values.iter().zip(&reference.values).map(difference)));
        self.compare(reference, amount, at_most);
        self
    }

    /// The same, compared with how often it takes another; with a target, if it may not take it more often.
    pub fn times_of(mut self, reference: &Self, at_most: Option<f64>) -> Self {
        let ratio = |(own, its): (&f64, &f64)| own / its;
        let amount = Amount::Times(median(self.values.iter().zip(&reference.values).map(ratio)));
        self.compare(reference, amount, at_most);
        self
    }

    /// The same, with a target of its own that it may not exceed, in its unit.
    pub fn at_most(mut self, target: f64) -> Self {
        let amount = Amount::Alone(self.median());
        self.comparisons.push(Comparison { with: String::new(), amount, target: Some(target) });
        self
    }

    /// The same under another name.
    pub fn named(mut self, name: String) -> Self {
        self.name = name;
        self
    }

    /// The same without what goes with it, as that was measured in the same rounds.
    pub fn without(mut self, overhead: &[f64]) -> Self {
        self.values.iter_mut().zip(overhead).for_each(|(value, overhead)| *value -= overhead);
        self
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        median(self.values.iter().copied())
    }

    /// The least value, and the greatest.
    pub fn range(&self) -> (f64, f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        self.values.iter().fold(start, |(least, most), &value| (least.min(value), most.max(value)))
    }

    fn compare(&mut self, reference: &Self, amount: Amount, target: Option<f64>) {
        self.comparisons.push(Comparison { with: reference.name.clone(), amount, target });
    }
}

impl Comparison {
    /// Whether the target is met, if there is one.
    pub fn is_met(&self) -> Option<bool> {
        let target = self.target?;
        Some(match self.amount {
            Amount::Speed(speed) => speed >= target,
            Amount::More(amount) | Amount::Times(amount) | Amount::Alone(amount) => amount <= target,
        })
    }
}

/// The value in the middle, or between the two in the middle; not a number, if there is none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The value of ascending ones that so many of a hundred do not exceed; not a number, if there is none.
pub fn percentile(ascending: &[f64], percent: usize) -> f64 {
    let place = (ascending.len() * percent).div_ceil(100);
    ascending.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()).to_bits(), 2.5_f64.to_bits());
        assert!(median([].into_iter()).is_nan());
    }

    #[test]
    fn a_percentile_is_exceeded_by_the_rest_alone() {
        let ascending: Vec<f64> = (1..=200).map(f64::from).collect();
        let percentiles = [0, 50, 99, 100].map(|percent| percentile(&ascending, percent));
        assert_eq!(percentiles.map(f64::to_bits), [1.0_f64, 100.0, 198.0, 200.0].map(f64::to_bits));
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn more_speed_is_better_in_every_unit() {
        for (unit, slow, fast) in
            [(Unit::ConnectionsPerSecond, 100.0, 200.0), (Unit::Microseconds, 200.0, 100.0)]
        {
            let reference = Measurement::new("reference", unit, vec![slow]);
            let twice = Measurement::new("twice", unit, vec![fast]).speed_of(&reference, Some(2.0));
            assert_eq!(twice.comparisons[0].amount, Amount::Speed(2.0));
            assert_eq!(twice.comparisons[0].is_met(), Some(true));
            let half = reference.speed_of(&twice, Some(0.51));
            assert_eq!(half.comparisons[0].is_met(), Some(false));
        }
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        // The machine is ten times slower in the second round, which both of them feel.
        let reference = Measurement::new("reference", Unit::Nanoseconds, vec![10.0, 100.0, 10.0]);
        let own = Measurement::new("own", Unit::Nanoseconds, vec![20.0, 200.0, 15.0]);
        let own = own.speed_of(&reference, None).more_than(&reference, Some(9.0));
        assert_eq!(own.comparisons[0].amount, Amount::Speed(0.5));
        assert_eq!(own.comparisons[0].is_met(), None);
        assert_eq!(own.comparisons[1].amount, Amount::More(10.0));
        assert_eq!(own.comparisons[1].is_met(), Some(false));
        let own = own.times_of(&reference, Some(2.0)).at_most(19.0);
        assert_eq!(own.comparisons[2].amount, Amount::Times(2.0));
        assert_eq!(own.comparisons[2].is_met(), Some(true));
        assert_eq!(own.comparisons[3].is_met(), Some(false), "20 is more than 19");
    }
}

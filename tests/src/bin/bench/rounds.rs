//! Measuring in rounds: what else the machine does meanwhile then hits all variants alike.

use anyhow::Result;

/// How many rounds are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As many as the targets ask for.
    Full,
    /// A few, for a first impression.
    Quick,
}

impl Effort {
    /// The one that holds for this effort.
    pub fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// Measures every variant once a round, and each round in another order; returns the values of each variant,
/// one a round. A round that is not counted goes first, to warm caches and tables.
pub fn interleaved<T, const N: usize>(
    rounds: usize,
    measure: impl FnMut(usize) -> Result<T>,
) -> Result<[Vec<T>; N]> {
    let mut values = interleaved_all(N, rounds, measure)?.into_iter();
    Ok(std::array::from_fn(|_| values.next().unwrap_or_default()))
}

/// The same for a number of variants that only the run knows.
pub fn interleaved_all<T>(
    variants: usize,
    rounds: usize,
    mut measure: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut values: Vec<Vec<T>> = (0..variants).map(|_| Vec::new()).collect();
    for variant in 0..variants {
        measure(variant)?;
    }
    for round in 0..rounds {
        for variant in order(variants, round) {
            values[variant].push(measure(variant)?);
        }
    }
    Ok(values)
}

/// Who comes first changes from round to round, and so does who comes after whom.
fn order(variants: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..variants).map(|place| (place + round / 2) % variants).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_changes_and_everybody_has_a_turn() {
        assert_eq!([0, 1, 2, 3].map(|round| order(2, round)), [[0, 1], [1, 0], [1, 0], [0, 1]]);
        assert_eq!([0, 1, 2, 3].map(|round| order(3, round)), [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]);
    }

    #[test]
    fn values_are_those_of_their_variant_and_begin_after_the_warm_up() -> Result<()> {
        let mut calls = 0_u32;
        let values = interleaved::<_, 2>(3, |variant| {
            calls += 1;
            Ok(f64::from(calls) * if variant == 0 { 1.0 } else { -1.0 })
        })?;
        assert_eq!(values, [vec![3.0, 6.0, 8.0], vec![-4.0, -5.0, -7.0]]);
        Ok(())
    }
}

//! How long packets are measured.

use super::BEYOND_CACHES;
use crate::rounds::Effort;

/// In each round every row has some turns, and in each of its turns it gets some packets. What else the machine does
/// to the processor's caches changes within a second: so turns are short, and the rows take them one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Rounds.
    pub rounds: usize,
    /// Turns of a round.
    pub turns: u32,
    /// Packets of a turn.
    pub packets: u32,
}

impl Length {
    /// How long packets of so many known flows are measured; of none, if they are all new.
    pub const fn of(known: u32, effort: Effort) -> Self {
        match (effort, known) {
            (Effort::Full, BEYOND_CACHES..) => Self { rounds: 9, turns: 1, packets: 1 << 20 },
            (Effort::Full, _) => Self { rounds: 9, turns: 64, packets: 1 << 14 },
            (Effort::Quick, 0) => Self { rounds: 5, turns: 2, packets: 1 << 14 },
            (Effort::Quick, BEYOND_CACHES..) => Self { rounds: 5, turns: 1, packets: 1 << 16 },
            (Effort::Quick, _) => Self { rounds: 9, turns: 4, packets: 1 << 14 },
        }
    }

    /// The mean of each round's turns.
    pub fn per_round(self, turns: &[f64]) -> Vec<f64> {
        let mean = |turns: &[f64]| turns.iter().sum::<f64>() / f64::from(self.turns);
        turns.chunks(self.turns as usize).map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_round_has_a_million_packets() {
        for known in [0, 1, 1 << 13, 1 << 16, 1 << 19] {
            let Length { rounds, turns, packets } = Length::of(known, Effort::Full);
            assert!(rounds >= 5 && turns * packets >= 1_000_000);
        }
    }

    #[test]
    fn a_round_is_the_mean_of_its_turns() {
        let length = Length { rounds: 2, turns: 2, packets: 1 };
        let rounds = length.per_round(&[1.0, 3.0, 10.0, 20.0]);
        assert_eq!(
            rounds.iter().map(|it| it.to_bits()).collect::<Vec<_>>(),
            [2.0_f64, 15.0].map(f64::to_bits)
        );
    }
}

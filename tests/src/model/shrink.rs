//! The shortest sequence that fails.

/// Leaves out of a sequence what is not needed for it to fail: halves, then quarters, and so on down to single
/// elements (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), with so many trials at
/// the most.
pub fn shrink<T: Clone>(mut sequence: Vec<T>, mut trials: u32, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    // What comes after the failure is not needed: the shortest beginning that fails.
    let (mut passes, mut fails_at) = (0, sequence.len());
    while fails_at - passes > 1 {
        let middle = passes.midpoint(fails_at);
        if fails(&sequence[..middle]) { fails_at = middle } else { passes = middle }
    }
    sequence.truncate(fails_at);
    let mut length = sequence.len() / 2;
    while length > 0 {
        let mut start = 0;
        let before = sequence.len();
        while start < sequence.len() && trials > 0 {
            let end = (start + length).min(sequence.len());
            let shorter = [&sequence[..start], &sequence[end..]].concat();
            trials -= 1;
            if fails(&shorter) {
                sequence = shorter;
            } else {
                start = end;
            }
        }
        if length > 1 || sequence.len() == before || trials == 0 {
            length /= 2;
        }
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_in_its_order() {
        let all: Vec<u32> = (0..1000).collect();
        let needed = [17, 400, 401, 999];
        assert_eq!(shrink(all, 1000, |it| needed.iter().all(|one| it.contains(one))), needed);
    }
}

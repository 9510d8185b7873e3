//! Which slot of a list a new flow gets.

/// Round robin: the cursor's value before it was advanced, modulo the length of the list. `None` if
/// the list is empty.
#[inline(always)]
pub fn round_robin(cursor: u32, length: u32) -> Option<u32> {
    cursor.checked_rem(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_list_has_no_slot() {
        assert_eq!(round_robin(7, 0), None);
    }

    proptest! {
        #[test]
        fn round_robin_is_exact(start in 0u32..1_000_000, length in 1u32..64, rounds in 1u32..8) {
            let mut chosen = [0u32; 64];
            for cursor in start..start + length * rounds {
                chosen[round_robin(cursor, length).unwrap() as usize] += 1;
            }
            prop_assert!(chosen[..length as usize].iter().all(|&count| count == rounds));
        }
    }
}

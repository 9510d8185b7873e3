//! Which slot of a list a new flow gets.

/// How a list is walked: [`Service::algorithm`](crate::service::Service::algorithm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum Algorithm {
    /// One slot after the other, exactly, over all processors and programs.
    #[default]
    RoundRobin = 0,
    /// Any slot.
    Random = 1,
    /// The slot that the client's and the frontend's addresses and ports give: the list is a Maglev table.
    Maglev = 2,
    /// Of any two slots the one whose backend has fewer open connections.
    LeastConnections = 3,
}

/// Round robin: the cursor's value before it was advanced, modulo the length of the list. `None` if
/// the list is empty.
#[inline(always)]
pub fn round_robin(cursor: u32, length: u32) -> Option<u32> {
    cursor.checked_rem(length)
}

/// The slot that a 32-bit number, any of which is as likely, gives in a list.
#[inline(always)]
pub fn scaled(number: u32, length: u32) -> u32 {
    ((u64::from(number) * u64::from(length)) >> 32) as u32
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

        #[test]
        fn a_scaled_number_is_a_slot(number in any::<u32>(), length in 1u32..) {
            prop_assert!(scaled(number, length) < length);
        }
    }
}

//! Internet checksums (RFC 1071), updated incrementally (RFC 1624).
//!
//! Sums are in the byte order of the packet, so nothing is swapped: the one's complement sum does
//! not care. A sum is kept unfolded in 64 bits, which thousands of words cannot overflow.

/// Folds a sum to 16 bits with end-around carry.
#[inline(always)]
pub fn fold(mut sum: u64) -> u16 {
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// What is added instead of a sum being taken away: zero in one's complement, and more than any sum of a
/// packet's words.
const ZERO: u64 = 0xffff << 32;

/// The checksum field after what it covers changed from `old` to `new` (RFC 1624, equation 3).
/// Both are sums of the changed words.
#[inline(always)]
pub fn update(field: u16, old: u64, new: u64) -> u16 {
    !fold(u64::from(!field) + (ZERO - old) + new)
}

/// What must be added to a sum when the words it covers change from `old` to `new`, folded. It is never 0, which
/// is for what never was computed.
#[inline(always)]
pub fn difference(old: u64, new: u64) -> u16 {
    fold((ZERO - old) + new)
}

/// The [`difference`] of the change back.
#[inline(always)]
pub fn reverse(difference: u16) -> u16 {
    // Both are zero in one's complement, and only one of them is a difference.
    if difference == u16::MAX { difference } else { !difference }
}

/// The checksum field after a change of what it covers by a few [`difference`]s, which were added up.
#[inline(always)]
pub fn add(field: u16, differences: u32) -> u16 {
    let sum = u32::from(!field) + differences;
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + sum) as u16
}

/// The same of UDP's (RFC 768): 0 means that the sender made none and stays 0; a computed 0 is sent as 0xFFFF.
#[inline(always)]
pub fn add_udp(field: u16, differences: u32) -> u16 {
    if field == 0 {
        return 0;
    }
    match add(field, differences) {
        0 => 0xffff,
        field => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From the definition: every 16-bit word in turn, a trailing byte padded with zero.
    fn from_scratch(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            let word = [pair[0], *pair.get(1).unwrap_or(&0)];
            sum += u32::from(u16::from_ne_bytes(word));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn sum(bytes: &[u8]) -> u64 {
        bytes.chunks(4).map(|word| u64::from(u32::from_ne_bytes(word.try_into().unwrap()))).sum()
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), u16::from_ne_bytes([0xdd, 0xf2]));
    }

    #[test]
    fn a_udp_checksum_of_zero_stays_and_a_computed_zero_is_sent_as_ffff() {
        assert_eq!(add_udp(0, 3), 0);
        // 0x1234 with a change that brings the sum of the covered words to 0xffff.
        assert_eq!(add(0x1234, 0x1234), 0);
        assert_eq!(add_udp(0x1234, 0x1234), 0xffff);
    }

    proptest! {
        #[test]
        fn an_update_equals_a_computation_from_scratch(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..200),
            replacement in any::<[u8; 4]>(),
            at in any::<prop::sample::Index>(),
        ) {
            // Keep one word that never changes, so that not everything can be zero: of data that is
            // all zero the two give the two representations of zero, which RFC 1624 discusses.
            bytes[0] = 0x45;
            let words = bytes.len() / 4;
            let offset = 4 * (1 + at.index(words - 1));
            let before = from_scratch(&bytes);
            let old = sum(&bytes[offset..offset + 4]);
            bytes[offset..offset + 4].copy_from_slice(&replacement);
            let new = sum(&replacement);
            prop_assert_eq!(update(before, old, new), from_scratch(&bytes));
            prop_assert_eq!(add(before, difference(old, new).into()), from_scratch(&bytes));
            prop_assert_eq!(reverse(difference(old, new)), difference(new, old));
        }

        #[test]
        fn what_does_not_change_differs_by_nothing_in_either_direction(sum in any::<u32>()) {
            let none = difference(sum.into(), sum.into());
            prop_assert_eq!((none, reverse(none)), (u16::MAX, u16::MAX));
        }

        #[test]
        fn differences_may_be_added_up(field: u16, changes in proptest::collection::vec(any::<(u32, u32)>(), 1..8)) {
            let all = changes.iter().map(|&(old, new)| u32::from(difference(old.into(), new.into()))).sum();
            let [old, new] = [|it: &(u32, u32)| it.0, |it: &(u32, u32)| it.1]
                .map(|side| changes.iter().map(|change| u64::from(side(change))).sum());
            prop_assert_eq!(add(field, all), update(field, old, new));
        }

        #[test]
        fn folding_is_the_sum_modulo_ffff(sum in any::<u64>()) {
            let folded = u64::from(fold(sum));
            prop_assert_eq!(folded % 0xffff, sum % 0xffff);
            prop_assert!(sum == 0 || folded != 0, "only zero folds to zero");
        }
    }
}

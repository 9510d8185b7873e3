//! The checksum of SCTP, CRC-32c (RFC 9260, appendix A), and its incremental update.
//!
//! A checksum is the number that the polynomial arithmetic gives, its bits reflected as usual: bit 31 is the
//! coefficient of x⁰. A packet holds it with its least byte first ([`u32::to_le_bytes`]), and it is computed
//! with zero in that place.

/// The polynomial x³² + x²⁸ + … + 1 without its first term, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The number 1, reflected.
const ONE: u32 = 1 << 31;

/// The number x, reflected.
const X: u32 = ONE >> 1;

/// x⁸ⁿ modulo the polynomial, for the low byte n of a length.
static LOW_POWERS: [u32; 256] = powers(power_of_two(X, 3));

/// The same for the high byte of a length: x²⁰⁴⁸ⁿ.
static HIGH_POWERS: [u32; 256] = powers(power_of_two(X, 11));

/// The checksum of bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in bytes {
        sum ^= u32::from(byte);
        for _ in 0..u8::BITS {
            sum = times_x(sum);
        }
    }
    !sum
}

/// The checksum of an SCTP packet of so many bytes after its first four, the ports as they stand in the packet,
/// changed from `old` to `new`.
///
/// None of its other bytes is read. For packets of one length the checksum is linear: what it changes by
/// is the checksum, without its constants, of the difference, which is the difference of the ports and
/// then zeros. A zero byte multiplies by x⁸, so that is the difference times x to the power of eight times
/// the length.
#[inline(always)]
pub fn update(checksum: u32, old: [u8; 4], new: [u8; 4], length: u16) -> u32 {
    let difference = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
    let [high, low] = length.to_be_bytes();
    let shifted = multiply(difference, LOW_POWERS[usize::from(low)]);
    checksum ^ multiply(shifted, HIGH_POWERS[usize::from(high)])
}

/// A product modulo the polynomial, in as many steps whatever the factors.
#[inline(always)]
const fn multiply(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 0;
    while bit < u32::BITS {
        product ^= b & mask(a >> 31);
        a <<= 1;
        b = times_x(b);
        bit += 1;
    }
    product
}

/// A number times x modulo the polynomial.
#[inline(always)]
const fn times_x(a: u32) -> u32 {
    (a >> 1) ^ (POLYNOMIAL & mask(a & 1))
}

/// All bits of 0 or 1.
#[inline(always)]
const fn mask(bit: u32) -> u32 {
    0_u32.wrapping_sub(bit)
}

/// A number, squared so many times.
const fn power_of_two(mut a: u32, times: u32) -> u32 {
    let mut done = 0;
    while done < times {
        a = multiply(a, a);
        done += 1;
    }
    a
}

/// The powers of a number from 0 on.
const fn powers(a: u32) -> [u32; 256] {
    let mut powers = [ONE; 256];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = multiply(powers[index - 1], a);
        index += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 3720, B.4, and the check value of the catalogue of CRCs.
    #[test]
    fn the_published_examples() {
        let ascending: [u8; 32] = core::array::from_fn(|n| n as u8);
        let descending: [u8; 32] = core::array::from_fn(|n| 31 - n as u8);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(checksum(&ascending), 0x46dd_794e);
        assert_eq!(checksum(&descending), 0x113f_db5c);
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(b""), 0);
    }

    /// Every length is one: each has powers of its own.
    #[test]
    fn an_update_is_right_at_every_length() {
        // The checksum of zeros, byte by byte; of what begins with the new ports, likewise.
        let new = [0x9c, 0x40, 0x1f, 0x90];
        let step = |sum: u32| (0..8).fold(sum, |sum, _| times_x(sum));
        let head = |bytes: [u8; 4]| !checksum(&bytes);
        let (mut zeros, mut changed) = (head([0; 4]), head(new));
        for length in 4..=u16::MAX {
            assert_eq!(update(!zeros, [0; 4], new, length), !changed, "{length}");
            (zeros, changed) = (step(zeros), step(changed));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_update_equals_a_computation_from_scratch(
            mut packet in proptest::collection::vec(any::<u8>(), 16..=usize::from(u16::MAX)),
            new in any::<[u8; 4]>(),
        ) {
            let old: [u8; 4] = packet[..4].try_into().unwrap();
            let before = checksum(&packet);
            packet[..4].copy_from_slice(&new);
            prop_assert_eq!(update(before, old, new, packet.len() as u16), checksum(&packet));
        }

        #[test]
        fn what_is_changed_back_has_its_first_checksum(
            sum in any::<u32>(), old in any::<[u8; 4]>(), new in any::<[u8; 4]>(), length in 16_u16..,
        ) {
            prop_assert_eq!(update(update(sum, old, new, length), new, old, length), sum);
        }
    }
}

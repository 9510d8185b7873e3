//! Checksums as their RFCs define them: over all that they cover, byte by byte.

/// The Internet checksum (RFC 1071) of some bytes after others, such as a pseudo-header. The first part has
/// an even number of bytes.
pub fn internet(parts: [&[u8]; 2]) -> u16 {
    let words = parts.into_iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |it| (*it).into())).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A checksum after some of the bytes that it covers have changed (RFC 1624): for what is covered, but was cut
/// off.
pub fn after_change(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let opposite: Vec<u8> = old.iter().map(|byte| !byte).collect();
    let kept = (!checksum).to_be_bytes();
    internet([&[kept.as_slice(), &opposite].concat(), new])
}

/// The checksum of SCTP (RFC 9260, appendix A): CRC-32c.
pub fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table();
    let step = |sum: u32, byte: &u8| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8;
    !bytes.iter().fold(u32::MAX, step)
}

const fn table() -> [u32; 256] {
    /// The polynomial of Castagnoli, its bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071, 3, the check value of the catalogue of CRCs, and the example of RFC 1624, 4.
    #[test]
    fn the_published_examples() {
        assert_eq!(internet([&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(after_change(0xdd2f, &[0x55, 0x55], &[0x32, 0x85]), 0x0000);
    }
}

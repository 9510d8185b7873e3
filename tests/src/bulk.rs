//! Moving many bytes, with a digest at both ends.

use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    io::{self, Read, Write},
};

/// How much is written at once: not a multiple of any segment's size, and odd.
const CHUNK: usize = 65_521;

/// Sends that many bytes that look random, and returns their digest.
pub fn send(writer: &mut impl Write, bytes: usize) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut generator = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chunk = vec![0; CHUNK];
    for byte in &mut chunk {
        // xorshift64 (Marsaglia).
        generator ^= generator << 13;
        generator ^= generator >> 7;
        generator ^= generator << 17;
        *byte = generator as u8;
    }
    let mut left = bytes;
    while left > 0 {
        // Each chunk differs from the one before, so that none can stand for another.
        chunk[..8].copy_from_slice(&left.to_ne_bytes());
        let length = left.min(CHUNK);
        digest.update(&chunk[..length]);
        writer.write_all(&chunk[..length])?;
        left -= length;
    }
    Ok(hexadecimal(digest))
}

/// Receives that many bytes, and returns their digest.
pub fn receive(reader: &mut impl Read, bytes: usize) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let length = reader.read(&mut chunk[..left.min(CHUNK)])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.update(&chunk[..length]);
        left -= length;
    }
    Ok(hexadecimal(digest))
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

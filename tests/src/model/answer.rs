//! What a sender is told whose packet goes no further.

use super::{
    datagram::{Datagram, Piece, protocol::TCP},
    outcome::{Outcome, difference},
    world::Interface,
};

/// What is wrong with an answer.
pub fn mistake(outcome: &Outcome, at: Interface, packet: &Datagram, answer: &[u8]) -> Option<String> {
    if *outcome == Outcome::Rejected && packet.protocol == TCP && packet.piece == Piece::Whole {
        return difference(&reset(packet), answer);
    }
    let (kind, source, last) = match (outcome, packet.is_v4()) {
        (Outcome::Rejected, true) => ([3, 3], packet.destination.ip(), 0),
        (Outcome::Rejected, false) => ([1, 4], packet.destination.ip(), 0),
        (Outcome::TimeExceeded, true) => ([11, 0], at.address(true), 0),
        (Outcome::TimeExceeded, false) => ([3, 0], at.address(false), 0),
        (Outcome::TooLong(mtu), true) => ([3, 4], at.address(true), *mtu),
        (Outcome::TooLong(mtu), false) => ([2, 0], at.address(false), *mtu),
        _ => return Some("there is no such answer".to_owned()),
    };
    let Some(error) = Datagram::read(answer) else { return Some("the answer is no packet".to_owned()) };
    let quote = &error.bytes[(error.transport + 8).min(error.bytes.len())..];
    let original = &packet.bytes[packet.network..packet.end];
    let least = original.len().min(packet.transport - packet.network + 8);
    let header = if packet.is_v4() { 20 } else { 40 };
    let wrong = if !error.is_icmp() {
        "it is no ICMP"
    } else if error.bytes[..6] != packet.bytes[6..12] || error.bytes[6..12] != packet.bytes[..6] {
        "it does not go back on the link"
    } else if (error.source.ip(), error.destination.ip()) != (source, packet.source.ip()) {
        "its addresses"
    } else if (error.transport - error.network, error.hop_limit, error.end) != (header, 64, answer.len()) {
        "its IP header"
    } else if error.bytes[error.transport..][..2] != kind {
        "type or code"
    } else if error.bytes[error.transport + 4..][..4] != (last as u32).to_be_bytes() {
        "the MTU"
    } else if !original.starts_with(quote) || quote.len() < least {
        "the quote"
    } else {
        let mut right = error.clone();
        right.complete_header();
        right.complete();
        return difference(&right.bytes, answer);
    };
    Some(format!("an ICMP error: {wrong}"))
}

/// The RST that answers a segment (RFC 9293, 3.5.2), in the segment's own IP header.
fn reset(packet: &Datagram) -> Vec<u8> {
    let segment = &packet.bytes[packet.transport..packet.end];
    let signal = packet.signal();
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| segment[at + byte]));
    let data = segment.len() - usize::from(segment[12] >> 4) * 4;
    let next = word(4)
        .wrapping_add(data as u32)
        .wrapping_add(u32::from(signal.opens))
        .wrapping_add(u32::from(signal.finishes));
    let (sequence, acknowledgement, flags) =
        if signal.acknowledges { (word(8), 0, 0x04) } else { (0, next, 0x14) };

    let mut answer = packet.clone();
    answer.turn_link();
    answer.bytes.truncate(packet.transport + 20);
    answer.end = answer.bytes.len();
    let header = &mut answer.bytes[packet.transport..];
    header[4..8].copy_from_slice(&u32::to_be_bytes(sequence));
    header[8..12].copy_from_slice(&u32::to_be_bytes(acknowledgement));
    header[12..20].copy_from_slice(&[0x50, flags, 0, 0, 0, 0, 0, 0]);
    let (at, headers) = if packet.is_v4() { (2, 0) } else { (4, 40) };
    let length = (answer.end - packet.network - headers) as u16;
    answer.bytes[packet.network + at..][..2].copy_from_slice(&length.to_be_bytes());
    answer.set_hop_limit(64);
    answer.readdress(packet.destination, packet.source);
    answer.complete();
    answer.bytes
}

//! Datagrams in pieces.

use anyhow::{Context, Result, bail};
use etherparse::{IpFragOffset, IpNumber, Ipv6FragmentHeader, NetHeaders, PacketHeaders};

/// Where the IP header begins.
const NETWORK: usize = 14;

/// Cuts a frame into fragments that carry so many bytes each, a multiple of eight, but for the last. One
/// that carries all of it still has the fragment header of IPv6.
pub fn fragments(frame: &[u8], identification: u32, bytes: usize) -> Result<Vec<Vec<u8>>> {
    let link = &frame[..NETWORK];
    let ip = PacketHeaders::from_ethernet_slice(frame)?.net.context("no IP header")?;
    let length = match &ip {
        NetHeaders::Ipv4(header, _) => header.header_len(),
        NetHeaders::Ipv6(header, _) => header.header_len(),
        NetHeaders::Arp(_) => bail!("ARP has no fragments"),
    };
    let payload = &frame[NETWORK + length..];
    let pieces = payload.chunks(bytes).enumerate();
    pieces
        .map(|(number, piece)| {
            let offset = IpFragOffset::try_new((number * bytes / 8).try_into()?)?;
            let more = number * bytes + piece.len() < payload.len();
            let headers = match &ip {
                NetHeaders::Ipv4(header, _) => {
                    let mut header = header.clone();
                    header.identification = identification.try_into()?;
                    (header.dont_fragment, header.more_fragments) = (false, more);
                    header.fragment_offset = offset;
                    header.set_payload_len(piece.len())?;
                    header.header_checksum = header.calc_header_checksum();
                    header.to_bytes().to_vec()
                }
                NetHeaders::Ipv6(header, _) => {
                    let fragment =
                        Ipv6FragmentHeader::new(header.next_header, offset, more, identification).to_bytes();
                    let mut header = header.clone();
                    header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
                    header.set_payload_length(fragment.len() + piece.len())?;
                    [&header.to_bytes()[..], &fragment].concat()
                }
                NetHeaders::Arp(_) => bail!("ARP has no fragments"),
            };
            Ok([link, &headers, piece].concat())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Path;

    #[test]
    fn fragments_add_up_to_the_datagram() {
        for (addresses, header) in [(["10.0.0.1:1", "10.0.0.2:2"], 34), (["[fd00::1]:1", "[fd00::2]:2"], 62)]
        {
            let [source, destination] = addresses.map(|address| address.parse().unwrap());
            let frame = Path { macs: ([0; 6], [0; 6]), source, destination }.udp(&[7; 100]).unwrap();
            let fragments = fragments(&frame, 77, 48).unwrap();
            let lengths: Vec<_> = fragments.iter().map(|fragment| fragment.len() - header).collect();
            assert_eq!(lengths, [48, 48, 12]);
            let payloads: Vec<u8> =
                fragments.iter().flat_map(|fragment| fragment[header..].to_vec()).collect();
            assert!(frame.ends_with(&payloads));
        }
    }
}

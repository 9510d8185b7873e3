//! What the kernel threw away in silence.

use crate::namespace::Namespace;
use anyhow::Result;

/// Every counter of a namespace that says that packets came with a wrong checksum or were lost at an
/// interface, if it is not 0: in words.
pub fn losses(namespace: &Namespace) -> Result<Vec<String>> {
    let (snmp, snmp6) = (namespace.proc_net("snmp")?, namespace.proc_net("snmp6")?);
    let device = namespace.proc_net("dev")?;
    let all = counters(&snmp)
        .chain(ipv6_counters(&snmp6))
        .filter(|(name, _)| name.ends_with("InCsumErrors"))
        .chain(device_drops(&device));
    let losses = all.filter(|&(_, count)| count != 0);
    Ok(losses.map(|(name, count)| format!("{}: {name} {count}", namespace.name())).collect())
}

/// `/proc/net/snmp` and `netstat`: a line of names and a line of numbers for each protocol.
pub(crate) fn counters(snmp: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<&str> = snmp.lines().collect();
    let pairs = lines.chunks_exact(2).flat_map(|lines| {
        let names = lines[0].split_whitespace().skip(1);
        let protocol = lines[0].split(':').next().unwrap_or_default();
        let numbers = lines[1].split_whitespace().skip(1).map(|number| number.parse().unwrap_or(0));
        names.map(move |name| format!("{protocol} {name}")).zip(numbers)
    });
    pairs.collect::<Vec<_>>().into_iter()
}

/// `/proc/net/snmp6`: a name and a number a line.
fn ipv6_counters(snmp6: &str) -> impl Iterator<Item = (String, u64)> {
    snmp6.lines().filter_map(|line| {
        let (name, number) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    })
}

/// `/proc/net/dev`: after two lines of headings, for each interface the bytes, packets, errors and
/// drops received, four more, and then the same for what was sent.
fn device_drops(dev: &str) -> impl Iterator<Item = (String, u64)> {
    dev.lines().skip(2).filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        Some((format!("{} received and dropped", name.trim()), *numbers.get(3)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tables_are_read() {
        let snmp = "Tcp: ActiveOpens InCsumErrors\nTcp: 5 7\nUdp: InDatagrams InCsumErrors\nUdp: 3 0\n";
        let found: Vec<_> = counters(snmp).collect();
        assert_eq!(found[1], ("Tcp InCsumErrors".to_owned(), 7));
        assert_eq!(found[2], ("Udp InDatagrams".to_owned(), 3));
        let snmp6 = "Ip6InReceives                   \t12\nUdp6InCsumErrors                \t4\n";
        assert_eq!(ipv6_counters(snmp6).last(), Some(("Udp6InCsumErrors".to_owned(), 4)));
        let dev = "Inter-|\n face |\n  eth0: 100 9 0 6 0 0 0 0 200 8 0 0 0 0 0 0\n";
        assert_eq!(device_drops(dev).next(), Some(("eth0 received and dropped".to_owned(), 6)));
    }
}

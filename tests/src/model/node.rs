//! The real programs, on the interfaces, addresses and routes of the world.

use super::{
    outcome::Point,
    selection::Flags,
    services::{Service, tables},
    tally::{Event, Served},
    world::{Host, Interface, SERVICE_CIDRS, SOURCE_PORTS, node_address},
};
use crate::{Namespace, links, private_run::PrivateRun};
use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};
use svc_lb::{
    dataplane::{Dataplane, Options, Trial},
    node::{self, Facts, Role},
    options::XdpMode,
};
use svc_lb_common::{snat::PortRange, timeout::Timeouts};

/// Where the maps are pinned.
const PIN_DIR: &str = "/run/bpf/svc-lb";
/// Longer than any test: what depends on time is not modelled.
const FOREVER: u32 = 1 << 20;

/// How many packets became what in each program, and how many were dropped for each reason.
pub type Counted = (BTreeMap<(&'static str, Event), u64>, BTreeMap<&'static str, u64>);

/// A node with its programs loaded.
pub struct Node {
    dataplane: Dataplane,
    indexes: [u32; 4],
    /// How many datagrams in pieces were sent: what each is known by, in whatever sequence.
    pub datagrams_in_pieces: u16,
}

impl Node {
    /// Runs something with a node in a network namespace of its own.
    pub fn with<T: Send>(flags: Flags, inside: impl FnOnce(&mut Self) -> Result<T> + Send) -> Result<T> {
        let (namespace, run) = (Namespace::of_host("node")?, PrivateRun::new()?);
        // Nothing is ever sent there: test runs send nothing.
        let around = Namespace::new("around")?;
        build(&namespace, &around)?;
        namespace.enter(|| {
            run.enter()?;
            inside(&mut Self::load(flags)?)
        })
    }

    fn load(flags: Flags) -> Result<Self> {
        let own_ranges = if flags.service_ranges { &SERVICE_CIDRS[..] } else { &[] };
        let mut dataplane = Dataplane::open(&Options {
            pin_dir: PIN_DIR.into(),
            xdp_mode: XdpMode::Off,
            flow_entries: 1 << 17,
            timeouts: timeouts(),
            snat_ports: PortRange { first: *SOURCE_PORTS.start(), last: *SOURCE_PORTS.end() },
            external_cluster_ips: flags.external_cluster_ips,
            own_ranges: own_ranges.iter().map(|range| range.parse()).collect::<Result<_, _>>()?,
        })
        .context("cannot load the programs")?;
        let mut interfaces = Vec::new();
        for interface in Interface::ALL {
            let is_uplink = interface.is_uplink();
            let why = "a test says so".to_owned();
            interfaces.push(node::Interface {
                index: if_nametoindex(interface.name())?,
                name: interface.name().to_owned(),
                kind: "veth".to_owned(),
                mac: Some(interface.mac()),
                up: true,
                addresses: if is_uplink { networks(interface)?.to_vec() } else { Vec::new() },
                mtu: interface.mtu() as u32,
                role: if is_uplink { Role::Uplink(why) } else { Role::Pod(why) },
                ..node::Interface::default()
            });
        }
        let indexes = [0, 1, 2, 3].map(|it| interfaces[it].index);
        dataplane.set_interfaces(&Facts { interfaces }, &[node_address(true), node_address(false)])?;
        Ok(Self { dataplane, indexes, datagrams_in_pieces: 0 })
    }

    /// Brings Services into force.
    pub fn sync(&mut self, services: &[Service]) -> Result<()> {
        let report = self.dataplane.sync(&tables(services)?)?;
        ensure!(report.refusals.is_empty(), "{:?}", report.refusals);
        Ok(())
    }

    /// Runs a program on a frame.
    pub fn run(&mut self, at: Point, frame: &[u8]) -> Result<Trial> {
        let interface = self.indexes[at.interface as usize];
        Ok(self.dataplane.try_packet_at(at.program, interface, frame)?)
    }

    /// What was counted for a Service of these, by their numbers.
    pub fn served(&self) -> Result<BTreeMap<u32, Served>> {
        let number = |name: &str| name.strip_prefix("service-").and_then(|number| number.parse().ok());
        let services = self.dataplane.services()?.into_iter();
        let served = services.filter_map(|service| {
            let counters = &service.counters;
            let served = Served {
                new_flows: counters.new_flows,
                forward: (counters.forward_packets, counters.forward_bytes),
                reply: (counters.reply_packets, counters.reply_bytes),
            };
            Some((number(&service.name)?, served))
        });
        Ok(served.collect())
    }

    /// What the programs have counted since they were loaded, without zeros: by program, and drops by reason.
    pub fn counted(&self) -> Result<Counted> {
        let statistics = self.dataplane.statistics()?;
        let mut events = BTreeMap::new();
        for (name, it) in statistics.programs {
            events.insert((name, Event::Forwarded), it.forwarded);
            events.insert((name, Event::Replied), it.replied);
            events.insert((name, Event::Rejected), it.rejected);
            events.insert((name, Event::Dropped), it.dropped);
            events.insert((name, Event::Echoed), it.echoed);
        }
        events.retain(|_, count| *count != 0);
        let drops = statistics.drops.into_iter().filter(|(_, count)| *count != 0);
        Ok((events, drops.collect()))
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        tcp_syn_sent: FOREVER,
        tcp_syn_recv: FOREVER,
        tcp_established: FOREVER,
        tcp_close_wait: FOREVER,
        tcp_time_wait: FOREVER,
        tcp_close: FOREVER,
        udp: FOREVER,
        udp_stream: FOREVER,
        sctp_cookie_wait: FOREVER,
        sctp_established: FOREVER,
        sctp_shutdown_sent: FOREVER,
        sctp_shutdown_recd: FOREVER,
        sctp_shutdown_ack_sent: FOREVER,
        sctp_closed: FOREVER,
    }
}

/// The networks that an uplink is in.
fn networks(uplink: Interface) -> Result<[IpNet; 2]> {
    Ok([IpNet::new(uplink.address(true), 24)?, IpNet::new(uplink.address(false), 64)?])
}

/// Makes the node's interfaces, neighbours and routes.
fn build(namespace: &Namespace, around: &Namespace) -> Result<()> {
    let far_ends = Interface::ALL.map(|interface| format!("{}-far", interface.name()));
    links::configure(namespace, async |links| {
        for (interface, far_end) in Interface::ALL.into_iter().zip(&far_ends) {
            let name = interface.name();
            links.veth(name, far_end, around).await?;
            links.set_mac(name, interface.mac()).await?;
            links.mtu(name, interface.mtu() as u32).await?;
            links.up(name).await?;
        }
        Ok(())
    })?;
    links::configure(around, async |links| {
        for far_end in &far_ends {
            links.up(far_end).await?;
        }
        Ok(())
    })?;
    links::configure(namespace, async |links| {
        for uplink in [Interface::Uplink, Interface::SecondUplink] {
            links.addresses(uplink.name(), networks(uplink)?).await?;
        }
        for host in Host::ALL {
            let Some(interface) = host.interface() else { continue };
            for v4 in [true, false] {
                let (address, name) = (host.address(v4), interface.name());
                // Two that are behind one gateway have it as their neighbour.
                if host != Host::Inside {
                    links.neighbour(name, host.gateway(v4).unwrap_or(address), host.mac()).await?;
                }
                let is_here = networks(interface)?.iter().any(|network| network.contains(&address));
                if !interface.is_uplink() || !is_here {
                    links.route(IpNet::from(address), name, host.gateway(v4)).await?;
                }
            }
        }
        for (any, v4) in [(Ipv4Addr::UNSPECIFIED.into(), true), (Ipv6Addr::UNSPECIFIED.into(), false)] {
            let gateway = Host::Far.gateway(v4);
            links.route(IpNet::new(any, 0)?, Interface::Uplink.name(), gateway).await?;
        }
        Ok(())
    })
}

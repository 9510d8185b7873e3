//! What a client sees of a load balancer: connections, latency, throughput.
//!
//! Each load balancer has hosts of its own, of which one thread holds both ends ([`crate::traffic`]), and all but
//! HAProxy have 10,000 other Services to carry. All work is done by one processor, whose time is counted ([`crate::processor`]);
//! latency alone is by the clock on the wall.
//!
//! From a pod to a ClusterIP, packets carry unfinished checksums and many segments at once, as on every node.
//! From outside they are finished, because native XDP gets only such, and they are for every variant.

mod haproxy;
mod others;
mod site;

use crate::{
    legs::{self, Latency},
    measurement::{Measurement, Unit},
    parallel,
    report::Group,
    rounds::{Effort, interleaved},
    traffic::Connection,
};
use anyhow::{Context, Result};
use site::{Balancer, Site, Way};
use svc_lb::compile::Family;
use svc_lb_tests::plan::FAMILIES;

/// Rounds of a full measurement.
const ROUNDS: usize = 40;
/// Those of a quick measurement: of what has a target, and of what has none.
const QUICK_ROUNDS: usize = 15;
const FEW_ROUNDS: usize = 5;

/// How many other Services a load balancer has to carry, and how many where little time must do.
const OTHERS: u16 = 10_000;
const FEW_OTHERS: u16 = 1_000;

/// How many connections a second there must be to a nodePort whose backend is on the node, those without a load
/// balancer, through nftables and through iptables being 1.
const CONNECTIONS_BESIDE_NONE: f64 = 0.95;
const CONNECTIONS_BESIDE_NFTABLES: f64 = 1.1;
const CONNECTIONS_BESIDE_IPTABLES: f64 = 1.5;

/// How much must be moved from a pod by a ClusterIP, that without a load balancer being 1.
const THROUGHPUT: f64 = 0.95;

/// The variants of a way. The first is measured twice: what differs then is noise.
const VARIANTS: usize = 7;

/// Measures everything; when there is little time, IPv4 alone.
pub fn measure(effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
    let families = effort.of(&FAMILIES[..], &FAMILIES[..1]);
    // Only the iptables shape is slower the more there are; the others would but take longer to build.
    let others = effort.of(OTHERS, FEW_OTHERS);
    let sites = Sites::build(families, others)?;
    let mut of_way = |way| {
        families.iter().try_for_each(|&family| Measured { sites: &sites, effort, way, family }.all(done))
    };
    of_way(Way::ClusterIp)?;
    for site in [&sites.none, &sites.nftables, &sites.iptables, &sites.haproxy, &sites.tc] {
        site.finish_checksums()?;
    }
    of_way(Way::LocalNodePort)?;
    of_way(Way::RemoteNodePort)
}

/// The sites, by their load balancers.
struct Sites {
    none: Site,
    nftables: Site,
    iptables: Site,
    haproxy: Site,
    xdp: Site,
    tc: Site,
}

impl Sites {
    /// Builds them. `others`: how many other Services there are where their number makes no difference.
    fn build(families: &[Family], others: u16) -> Result<Self> {
        use Balancer::{Haproxy, Iptables, Nftables, None, Tc, Xdp};
        // What takes longest begins first.
        let balancers = [Iptables, Nftables, Xdp, Tc, Haproxy, None];
        let mut sites = parallel::each(balancers, |balancer| match balancer {
            Xdp => Site::with_svc_lb(svc_lb_tests::Xdp::Native, others),
            Tc => Site::with_svc_lb(svc_lb_tests::Xdp::Off, others),
            Iptables => Site::without_svc_lb(balancer, families, OTHERS),
            Nftables => Site::without_svc_lb(balancer, families, others),
            _ => Site::without_svc_lb(balancer, families, 0),
        })?
        .into_iter();
        let mut next = || sites.next().context("a site too few");
        Ok(Self {
            iptables: next()?,
            nftables: next()?,
            xdp: next()?,
            tc: next()?,
            haproxy: next()?,
            none: next()?,
        })
    }

    fn of(&self, balancer: Balancer) -> &Site {
        match balancer {
            Balancer::None => &self.none,
            Balancer::Nftables => &self.nftables,
            Balancer::Iptables => &self.iptables,
            Balancer::Haproxy => &self.haproxy,
            Balancer::Xdp => &self.xdp,
            Balancer::Tc | Balancer::SocketLb => &self.tc,
        }
    }
}

/// What is measured of a way in a family.
struct Measured<'a> {
    sites: &'a Sites,
    effort: Effort,
    way: Way,
    family: Family,
}

impl Measured<'_> {
    fn all(&self, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
        for balancer in self.variants() {
            self.sites.of(balancer).check(balancer, self.way, self.family)?;
        }
        done(self.connections()?);
        self.latency(done)?;
        done(self.throughput()?);
        Ok(())
    }

    fn variants(&self) -> [Balancer; VARIANTS] {
        use Balancer::{Haproxy, Iptables, Nftables, None, SocketLb, Tc, Xdp};
        let other = if self.way == Way::ClusterIp { SocketLb } else { Xdp };
        [None, None, Nftables, Iptables, Haproxy, Tc, other]
    }

    fn title(&self, what: &str) -> String {
        let way = match self.way {
            Way::ClusterIp => "ClusterIP from a pod, backend on the node",
            Way::LocalNodePort => "nodePort, backend on the node",
            Way::RemoteNodePort => "nodePort, backend on another node",
        };
        format!("{what}: {way}, {}", self.family)
    }

    fn connections(&self) -> Result<Group> {
        let local = self.way == Way::LocalNodePort;
        let values = self.interleaved(local, |balancer| {
            self.sites.of(balancer).client(balancer, self.way, self.family, legs::connections)
        })?;
        Ok(self.group(
            &self.title("TCP connections with a request each, by one processor"),
            Unit::ConnectionsPerSecond,
            values,
            &|_, svc_lb, [none, nftables, iptables]| {
                svc_lb
                    .speed_of(none, local.then_some(CONNECTIONS_BESIDE_NONE))
                    .speed_of(nftables, local.then_some(CONNECTIONS_BESIDE_NFTABLES))
                    .speed_of(iptables, local.then_some(CONNECTIONS_BESIDE_IPTABLES))
            },
        ))
    }

    fn latency(&self, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
        let values = self.interleaved(false, |balancer| {
            self.sites.of(balancer).client(balancer, self.way, self.family, |_, target, listener| {
                legs::latency(Connection::open(target, listener)?)
            })
        })?;
        let mut percentile = |percentile: &str, of: fn(&Latency) -> f64| {
            let values = values.each_ref().map(|rounds| rounds.iter().map(of).collect());
            let title = self.title(&format!("{percentile} of the latency of requests"));
            done(self.group(&title, Unit::Microseconds, values, &beside_none));
        };
        percentile("Median", |latency| latency.median);
        percentile("99th percentile", |latency| latency.p99);
        Ok(())
    }

    fn throughput(&self) -> Result<Group> {
        let cluster_ip = self.way == Way::ClusterIp;
        let values = self.interleaved(cluster_ip, |balancer| {
            self.sites.of(balancer).client(balancer, self.way, self.family, |workers, target, listener| {
                legs::throughput(workers, Connection::open(target, listener)?)
            })
        })?;
        Ok(self.group(
            &self.title("Throughput of a connection, by one processor"),
            Unit::GigabitsPerSecond,
            values,
            &|balancer, svc_lb, [none, ..]| {
                let target = cluster_ip && balancer == Balancer::Tc;
                svc_lb.speed_of(none, target.then_some(THROUGHPUT))
            },
        ))
    }

    fn interleaved<T>(
        &self,
        has_target: bool,
        mut leg: impl FnMut(Balancer) -> Result<T>,
    ) -> Result<[Vec<T>; VARIANTS]> {
        let quick_rounds = if has_target { QUICK_ROUNDS } else { FEW_ROUNDS };
        let variants = self.variants();
        interleaved(self.effort.of(ROUNDS, quick_rounds), |variant| leg(variants[variant]))
    }

    /// Each beside what is measured without a load balancer; svc-lb's as said.
    fn group(
        &self,
        title: &str,
        unit: Unit,
        values: [Vec<f64>; VARIANTS],
        compare: &dyn Fn(Balancer, Measurement, [&Measurement; 3]) -> Measurement,
    ) -> Group {
        let mut measurements: Vec<Measurement> = Vec::new();
        for (balancer, values) in self.variants().into_iter().zip(values) {
            let measurement = |name: &str| Measurement::new(name, unit, values);
            let measurement = match (&measurements[..], balancer) {
                ([], _) => measurement(name(balancer)),
                ([none, ..], Balancer::None) => measurement("direct again: the noise").speed_of(none, None),
                ([none, _, nftables, iptables, ..], Balancer::Tc | Balancer::SocketLb | Balancer::Xdp) => {
                    compare(balancer, measurement(name(balancer)), [none, nftables, iptables])
                }
                ([none, ..], _) => measurement(name(balancer)).speed_of(none, None),
            };
            measurements.push(measurement);
        }
        Group { title: title.to_owned(), measurements }
    }
}

fn beside_none(_: Balancer, measurement: Measurement, [none, ..]: [&Measurement; 3]) -> Measurement {
    measurement.speed_of(none, None)
}

/// As the report has it.
const fn name(balancer: Balancer) -> &'static str {
    match balancer {
        Balancer::None => "direct",
        Balancer::Nftables => "kube-proxy's nftables",
        Balancer::Iptables => "kube-proxy's iptables",
        Balancer::Haproxy => "HAProxy",
        Balancer::Xdp => "svc-lb, XDP",
        Balancer::Tc => "svc-lb, tc",
        Balancer::SocketLb => "svc-lb, socket LB",
    }
}

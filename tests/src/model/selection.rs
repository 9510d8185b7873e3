//! Which backends a first packet may get: by frontend, origin, policies, affinity and algorithm.

use super::{
    connections::{Connections, Hook, Key},
    datagram::Datagram,
    datagram::protocol::{SCTP, TCP, UDP},
    services::{Chosen, Service, find, kinds_at},
    world::{Host, SERVICE_CIDRS},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
};
use svc_lb::compile::{FrontendKind, Protocol};
use svc_lb_common::{counters::DropReason, selection::Algorithm};

/// Why nobody is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no concern of svc-lb's.
    NotOurs,
    /// The sender is told at once.
    Reject,
    /// It goes no further.
    Drop(DropReason),
}

/// The flags that are settled when the programs are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--external-cluster-ips`.
    pub external_cluster_ips: bool,
    /// `--service-cluster-ip-range` was given.
    pub service_ranges: bool,
}

/// What the order of choices and earlier clients decide.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last choice in turn, by Service and whether it was from the local list, and that list.
    turns: HashMap<(u32, bool), (Vec<SocketAddr>, usize)>,
    /// The last choice of a Service for a client.
    affinity: HashMap<(u32, IpAddr), usize>,
    /// What a list, addresses and ports have led to under Maglev.
    hashed: HashMap<(Vec<SocketAddr>, SocketAddr, SocketAddr), usize>,
}

/// A choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The Service's number.
    pub service: u32,
    /// Index in [`Connections::choices`].
    pub choice: usize,
    /// How the service chooses.
    pub algorithm: Algorithm,
}

/// The protocol of a number.
pub fn protocol_of(number: u8) -> Option<Protocol> {
    match number {
        TCP => Some(Protocol::Tcp),
        UDP => Some(Protocol::Udp),
        SCTP => Some(Protocol::Sctp),
        _ => None,
    }
}

/// Who answers at an address; the first refusal that is true of a packet there, whatever its port.
pub fn owner(services: &[Service], flags: Flags, at: Hook, address: IpAddr) -> Result<bool, Refusal> {
    let kinds = kinds_at(services, address);
    if kinds.is_empty() {
        let is_ours = |range: &str| range.parse::<IpNet>().is_ok_and(|range| range.contains(&address));
        let unallocated = flags.service_ranges && SERVICE_CIDRS.into_iter().any(is_ours);
        return Err(if unallocated {
            Refusal::Drop(DropReason::UnallocatedClusterIp)
        } else {
            Refusal::NotOurs
        });
    }
    if at == Hook::UplinkIn && !flags.external_cluster_ips && kinds == [FrontendKind::ClusterIp].into() {
        return Err(Refusal::Drop(DropReason::ClusterIpFromUplink));
    }
    Ok(!kinds.contains(&FrontendKind::NodePort))
}

/// Chooses for a first packet.
pub fn choose(
    services: &[Service],
    flags: Flags,
    memory: &mut Memory,
    connections: &mut Connections,
    key: &Key,
    packet: &Datagram,
) -> Result<Choice, Refusal> {
    let is_virtual = owner(services, flags, key.hook, key.destination.ip())?;
    let otherwise = if is_virtual { Refusal::Reject } else { Refusal::NotOurs };
    let protocol = protocol_of(key.protocol).ok_or(Refusal::NotOurs)?;
    let (kind, service) = find(services, key.destination, protocol).ok_or(otherwise)?;

    let signal = packet.signal();
    let opens = protocol == Protocol::Udp || signal.only_opens();
    let continues = protocol == Protocol::Tcp && signal.acknowledges && !signal.opens && !signal.resets;
    let is_found_again = service.algorithm == Algorithm::Maglev && continues;
    if !opens && !is_found_again {
        return Err(otherwise);
    }
    let client = Host::of(key.source.ip());
    if kind == FrontendKind::LoadBalancer
        && let Some(sources) = &service.sources
        && !client.is_some_and(|host| sources.contains(&host))
    {
        return Err(Refusal::Drop(DropReason::SourceNotAllowed));
    }
    let is_outside = key.hook == Hook::UplinkIn && !client.is_some_and(Host::is_of_cluster);
    let local = if kind == FrontendKind::ClusterIp {
        service.internal_local
    } else {
        service.external_local && is_outside
    };
    let list = service.usable(local);
    if list.is_empty() {
        let is_elsewhere = local && !service.usable(false).is_empty();
        return Err(if is_elsewhere { Refusal::Drop(DropReason::NoLocalEndpoint) } else { Refusal::Reject });
    }
    let choice = remembered(memory, connections, service, local, &list, key);
    Ok(Choice { service: service.number, choice, algorithm: service.algorithm })
}

/// The choice by affinity, or a new one that is kept for it.
fn remembered(
    memory: &mut Memory,
    connections: &mut Connections,
    service: &Service,
    local: bool,
    list: &[SocketAddr],
    key: &Key,
) -> usize {
    let client = (service.number, key.source.ip());
    let earlier = service.affinity.then(|| memory.affinity.get(&client).copied()).flatten();
    let holds = |it: &Chosen| list.contains(&it.0) && service.incarnation(it.0) == Some(it.1);
    let choice = match earlier {
        Some(choice) if connections.choices[choice].iter().all(holds) => return choice,
        // Of several that it may have been, some would do and some not.
        Some(choice) if connections.choices[choice].iter().any(holds) => {
            forget_turn(memory, service.number);
            connections.choose(with_removals(service, list))
        }
        _ => one(memory, connections, service, local, list, key),
    };
    if service.affinity {
        memory.affinity.insert(client, choice);
    }
    choice
}

/// A new choice, by the algorithm.
fn one(
    memory: &mut Memory,
    connections: &mut Connections,
    service: &Service,
    local: bool,
    list: &[SocketAddr],
    key: &Key,
) -> usize {
    let all = with_removals(service, list);
    match service.algorithm {
        Algorithm::Random | Algorithm::LeastConnections => connections.choose(all),
        Algorithm::Maglev => {
            let hashed = (list.to_vec(), key.source, key.destination);
            let earlier = memory.hashed.get(&hashed).map(|choice| connections.choices[*choice].clone());
            let same =
                |it: &Chosen| earlier.as_ref().is_none_or(|earlier| earlier.iter().any(|was| was.0 == it.0));
            let choice = connections.choose(all.into_iter().filter(same).collect());
            memory.hashed.insert(hashed, choice);
            choice
        }
        Algorithm::RoundRobin => {
            // Equal lists take turns together.
            let shared = service.usable(false) == service.usable(true);
            let turn = (service.number, local && !shared);
            let candidates = match memory.turns.get(&turn) {
                Some((same, last)) if same == list => {
                    let after = |it: &Chosen| {
                        let position = list.iter().position(|endpoint| *endpoint == it.0)?;
                        Some(list[(position + 1) % list.len()])
                    };
                    let next: BTreeSet<_> = connections.choices[*last].iter().filter_map(after).collect();
                    all.into_iter().filter(|it| next.contains(&it.0)).collect()
                }
                _ => all,
            };
            let choice = connections.choose(candidates);
            memory.turns.insert(turn, (list.to_vec(), choice));
            choice
        }
    }
}

/// Nobody knows whose turn it is any more.
fn forget_turn(memory: &mut Memory, service: u32) {
    memory.turns.retain(|(number, _), _| *number != service);
}

impl Memory {
    /// A Service has changed: whose turn is next in a list that is new nobody knows.
    pub fn changed(&mut self, service: &Service) {
        forget_turn(self, service.number);
    }
}

fn with_removals(service: &Service, list: &[SocketAddr]) -> BTreeSet<Chosen> {
    list.iter().filter_map(|endpoint| Some((*endpoint, service.incarnation(*endpoint)?))).collect()
}

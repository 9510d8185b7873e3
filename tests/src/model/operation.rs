//! What may happen to a node, and how often.

use super::{
    chance::Chance,
    datagram::protocol::{SCTP, TCP},
    services::{Condition, Service},
    traffic::Shape,
    world::Host,
};
use svc_lb::compile::{FrontendKind, Protocol};
use svc_lb_common::selection::Algorithm;

/// How many Services there are: of each family two of TCP, two of UDP and one of SCTP.
pub const SERVICES: usize = 10;

/// To whom somebody sends.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A frontend of a Service.
    Frontend(usize, FrontendKind),
    /// A port of its address that no Service has.
    OtherPort(usize, FrontendKind),
    /// An endpoint itself.
    Endpoint(usize, Host),
    /// An address of the service range that no Service has.
    Unallocated(usize),
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Somebody sends.
    Send {
        /// Who.
        from: Host,
        /// From which of its ports, by number.
        port: usize,
        /// To whom.
        to: Target,
        /// What decides on [`signal`].
        roll: u8,
        /// How.
        shape: Shape,
    },
    /// Whoever sent a packet that has arrived sends another one.
    Continue {
        /// The number of the packet that has arrived.
        arrival: usize,
        /// What decides on [`signal`].
        roll: u8,
        /// How.
        shape: Shape,
    },
    /// Whoever received it answers.
    Answer {
        /// The number of the packet that has arrived.
        arrival: usize,
        /// What decides on [`signal`].
        roll: u8,
        /// How.
        shape: Shape,
    },
    /// An ICMP error about a packet that has arrived.
    Report {
        /// The number of the packet that has arrived.
        arrival: usize,
        /// A router says so, not the receiver.
        by_router: bool,
        /// What decides on type and code.
        kind: u8,
        /// All of the packet is quoted, not just the ports.
        whole: bool,
        /// TTL or hop limit.
        hop_limit: u8,
    },
    /// Somebody pings.
    Ping {
        /// Who.
        from: Host,
        /// Whom, by address.
        to: Target,
        /// TTL or hop limit.
        hop_limit: u8,
    },
    /// A Service changes.
    Change {
        /// Which, by number.
        service: usize,
        /// How.
        change: Change,
    },
}

/// How a Service changes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// An endpoint gets another condition.
    Endpoint(usize, Condition),
    /// All endpoints have the same.
    AllEndpoints(Condition),
    /// It comes or goes.
    Exists(bool),
    /// `internalTrafficPolicy`.
    InternalLocal(bool),
    /// `externalTrafficPolicy`.
    ExternalLocal(bool),
    /// `sessionAffinity`.
    Affinity(bool),
    /// The algorithm.
    Algorithm(Algorithm),
    /// `loadBalancerSourceRanges`: those that hold the hosts of these bits.
    Sources(Option<u16>),
}

impl Change {
    /// The Service, changed.
    pub fn apply(self, service: &mut Service) {
        match self {
            Self::Endpoint(at, condition) => set_endpoint(service, at, condition),
            Self::AllEndpoints(condition) => (0..6).for_each(|at| set_endpoint(service, at, condition)),
            Self::Exists(exists) => {
                if service.exists && !exists {
                    service.removals = service.removals.map(|times| times + 1);
                }
                service.exists = exists;
                service.was_away |= !exists;
            }
            Self::InternalLocal(local) => service.internal_local = local,
            Self::ExternalLocal(local) => service.external_local = local,
            Self::Affinity(affinity) => service.affinity = affinity,
            Self::Algorithm(algorithm) => service.algorithm = algorithm,
            Self::Sources(bits) => {
                let hosts = |bits: u16| {
                    let all = Host::ALL.into_iter().enumerate();
                    all.filter(move |(at, _)| bits & 1 << at != 0).map(|(_, host)| host)
                };
                service.sources = bits.map(|bits| hosts(bits).collect());
            }
        }
    }

    fn any(chance: &mut Chance) -> Self {
        match chance.below(14) {
            0..=5 => Self::Endpoint(chance.below(6), condition(chance)),
            6 => Self::AllEndpoints(condition(chance)),
            7 => Self::Exists(chance.once_in(2)),
            8 => Self::Exists(true),
            9 => Self::InternalLocal(chance.once_in(2)),
            10 => Self::ExternalLocal(chance.once_in(2)),
            11 => Self::Affinity(chance.once_in(2)),
            12 => Self::Algorithm(algorithm(chance)),
            _ => Self::Sources((!chance.once_in(3)).then(|| chance.number() as u16)),
        }
    }
}

fn set_endpoint(service: &mut Service, at: usize, condition: Condition) {
    if service.endpoints[at] != Condition::Absent && condition == Condition::Absent {
        service.removals[at] += 1;
    }
    service.endpoints[at] = condition;
}

fn condition(chance: &mut Chance) -> Condition {
    chance.one_of(&[
        Condition::Absent,
        Condition::Absent,
        Condition::Ready,
        Condition::Ready,
        Condition::Ready,
        Condition::Terminating,
    ])
}

/// A Maglev table takes long to make: it is rarer than the others.
fn algorithm(chance: &mut Chance) -> Algorithm {
    chance.one_of(&[
        Algorithm::RoundRobin,
        Algorithm::RoundRobin,
        Algorithm::RoundRobin,
        Algorithm::Random,
        Algorithm::LeastConnections,
        Algorithm::Maglev,
    ])
}

/// The Services that a sequence begins with. No two sequences have a frontend or an endpoint in common: none sees
/// what is left of another.
pub fn services(sequence: u32, chance: &mut Chance) -> Vec<Service> {
    let one = |number: usize| {
        let mut service = Service {
            number: sequence * SERVICES as u32 + number as u32,
            v4: number.is_multiple_of(2),
            protocol: [Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Udp, Protocol::Sctp]
                [number / 2],
            exists: true,
            was_away: false,
            endpoints: [Condition::Ready; 6],
            removals: [0; 6],
            same_port: chance.once_in(3),
            internal_local: chance.once_in(5),
            external_local: chance.once_in(5),
            algorithm: if number == 0 { Algorithm::Maglev } else { algorithm(chance) },
            affinity: chance.once_in(4),
            sources: None,
        };
        for at in 0..6 {
            service.endpoints[at] = condition(chance);
        }
        if chance.once_in(4) {
            Change::Sources(Some(chance.number() as u16)).apply(&mut service);
        }
        service
    };
    (0..SERVICES).map(one).collect()
}

impl Operation {
    /// Any operation.
    pub fn any(chance: &mut Chance) -> Self {
        let roll = chance.number() as u8;
        let arrival = chance.number() as usize;
        match chance.below(1000) {
            0..=7 => Self::Change { service: chance.below(SERVICES), change: Change::any(chance) },
            8..=34 => Self::Ping {
                from: chance.one_of(&Host::ALL),
                to: target(chance),
                hop_limit: hop_limit(chance),
            },
            35..=94 => Self::Report {
                arrival,
                by_router: chance.once_in(2),
                kind: roll,
                whole: chance.once_in(2),
                hop_limit: hop_limit(chance),
            },
            95..=394 => {
                let (from, port) = (chance.one_of(&Host::ALL), chance.below(5));
                let to = match target(chance) {
                    // What the node itself sends to a frontend its sockets have translated.
                    Target::Frontend(at, _) if from == Host::Node => {
                        Target::Endpoint(at, chance.one_of(&Host::ENDPOINTS))
                    }
                    target => target,
                };
                Self::Send { from, port, to, roll, shape: shape(chance) }
            }
            395..=649 => Self::Continue { arrival, roll, shape: shape(chance) },
            _ => Self::Answer { arrival, roll, shape: shape(chance) },
        }
    }
}

fn target(chance: &mut Chance) -> Target {
    let kinds = [
        FrontendKind::ClusterIp,
        FrontendKind::NodePort,
        FrontendKind::LoadBalancer,
        FrontendKind::ExternalIp,
    ];
    let (service, kind) = (chance.below(SERVICES), chance.one_of(&kinds));
    match chance.below(20) {
        0 => Target::OtherPort(service, kind),
        1 => Target::Unallocated(service),
        2..=4 => Target::Endpoint(service, chance.one_of(&Host::ENDPOINTS)),
        _ => Target::Frontend(service, kind),
    }
}

fn hop_limit(chance: &mut Chance) -> u8 {
    chance.one_of(&[64, 64, 64, 64, 64, 64, 64, 64, 255, 2, 2, 1])
}

fn shape(chance: &mut Chance) -> Shape {
    let payload = match chance.below(16) {
        0..=5 => 0,
        6..=13 => chance.below(100),
        14 => 1300 + chance.below(100),
        _ => 1400 + chance.below(120),
    };
    Shape {
        payload,
        hop_limit: hop_limit(chance),
        extended: chance.once_in(8),
        unchecked: chance.once_in(4),
        damaged: chance.once_in(40),
        tagged: chance.once_in(60),
        strayed: chance.once_in(60),
        trailing: chance.once_in(12),
        in_pieces: chance.once_in(14),
    }
}

/// What a packet does to a connection, by a number: mostly what comes next.
pub fn signal(protocol: u8, opens: bool, answers_opening: bool, roll: u8) -> u8 {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    match (protocol, roll) {
        (TCP, 0..=175) if opens => SYN,
        (TCP, 0..=175) if answers_opening => SYN | ACK,
        (TCP, 0..=180) => ACK | 0x08,
        (TCP, 181..=205) => SYN,
        (TCP, 206..=230) => ACK | 0x01,
        (TCP, 231..=240) => 0x04,
        (TCP, 241..=246) => ACK | 0x04,
        (TCP, 247..=250) => SYN | ACK,
        (TCP, _) => [SYN | 0x01, 0x01, 0, SYN | 0x04, 0x08][usize::from(roll) % 5],
        (SCTP, 0..=175) if opens => 1,
        (SCTP, 0..=175) if answers_opening => 2,
        (SCTP, 0..=160) => [10, 11, 0, 3][usize::from(roll) % 4],
        (SCTP, _) => roll % 16,
        _ => 0,
    }
}

//! The dataplane as a sequence of decisions about one packet at one hook. Where round robin, chance or a free port
//! leave a choice, every allowed one is right, and what the program chose holds from then on.

use super::{
    connections::{Connection, Connections, Direction, Hook, Key, Path, Progress, Translation},
    datagram::{Datagram, Piece, Signal, protocol::{SCTP, TCP, UDP}},
    outcome::{Outcome, Point},
    related::Fragments,
    selection::{self, Flags, Memory, Refusal, choose},
    services::{Chosen, Service, find, kinds_at},
    tally::{Event, Tally},
    world::{Host, Interface, SOURCE_PORTS, node_address},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};
use svc_lb::{
    compile::{FrontendKind, Protocol},
    dataplane::Trial,
};
use svc_lb_common::counters::{DropReason, Program};

/// The model: what the programs are to know, and what they are to have counted.
#[derive(Debug, Default)]
pub struct Model {
    /// The flags.
    pub flags: Flags,
    /// The Services.
    pub services: Vec<Service>,
    /// What was counted.
    pub tally: Tally,
    pub(super) connections: Connections,
    pub(super) fragments: Fragments,
    memory: Memory,
}

/// A packet at a hook, and what a program made of it.
pub(super) struct Passage<'a> {
    pub at: Point,
    pub hook: Hook,
    pub packet: &'a Datagram,
    pub trial: &'a Trial,
}

impl Passage<'_> {
    /// Whether the program is XDP, which leaves to tc what it cannot finish.
    pub fn is_xdp(&self) -> bool {
        self.at.program == Program::XdpUplink
    }

    /// Why the program did something else.
    pub fn contradicts(&self, outcome: &Outcome) -> Option<String> {
        outcome.contradicted_by(self.at, &self.packet.bytes, self.trial)
    }
}

/// Why the model and a program disagree, in words.
pub type Disagreement = String;

impl Model {
    /// A model of a node with flags and Services, and nothing else.
    pub fn new(flags: Flags, services: Vec<Service>) -> Self {
        Self { flags, services, ..Self::default() }
    }

    /// A Service is another now.
    pub fn change(&mut self, service: Service) {
        self.memory.changed(&service);
        let place = self.services.iter_mut().find(|it| it.number == service.number);
        *place.expect("Services are never more") = service;
    }

    /// The first packet of a connection of which the model does not know yet how it is translated.
    pub fn undecided(&self) -> Option<&Key> {
        self.connections.undecided().map(|connection| &connection.key)
    }

    /// Judges what a program made of a packet.
    pub fn pass(&mut self, at: Point, frame: &[u8], trial: &Trial) -> Result<(), Disagreement> {
        let hook = Hook::of(at.program).ok_or("a program that the model does not know")?;
        let untouched = |model: &mut Self| {
            let outcome = Outcome::Untouched;
            model.tally.conclude(at.program, &outcome);
            outcome.contradicted_by(at, frame, trial).map_or(Ok(()), Err)
        };
        let Some(packet) = Datagram::read(frame) else { return untouched(self) };
        if hook.is_ingress() && packet.link_destination() != at.interface.mac() {
            return untouched(self);
        }
        let passage = Passage { at, hook, packet: &packet, trial };
        let has_ports = matches!(packet.protocol, TCP | UDP | SCTP);
        let in_pieces = packet.has_fragment_header || packet.piece != Piece::Whole;
        if passage.is_xdp() && (in_pieces || !has_ports) {
            return untouched(self);
        }
        match packet.piece {
            Piece::Later => self.follow_first(&passage),
            _ if packet.is_icmp() => self.icmp(&passage),
            _ if has_ports => self.converse(&passage),
            _ => untouched(self),
        }
    }

    /// A packet with ports.
    fn converse(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let packet = passage.packet;
        let key = Key {
            hook: passage.hook,
            protocol: packet.protocol,
            source: packet.source,
            destination: packet.destination,
        };
        if let Some((id, Direction::Forward)) = self.connections.find(&key)
            && self.chooses_anew(id, packet.signal())
        {
            self.tally.note("chosen anew");
            self.connections.remove(id);
        }
        match self.connections.find(&key) {
            Some((id, direction)) => match self.connections.get(id).translation {
                Some(translation) => self.follow(passage, id, direction, translation),
                None => self.settle(passage, id, true),
            },
            None if passage.hook.is_ingress() => self.open(passage, key),
            None => {
                self.note_exchange_of_host(&key);
                self.conclude(passage, Outcome::Untouched)
            }
        }
    }

    /// Whether a client's packet is not for its connection any more: UDP to a removed backend, and a SYN where that
    /// is so or the connection is closed.
    fn chooses_anew(&self, id: usize, signal: Signal) -> bool {
        let connection = self.connections.get(id);
        let is_gone = connection.service.is_some_and(|number| {
            let service = self.services.iter().find(|it| it.number == number);
            let is_there = |it: &Chosen| service.is_some_and(|service| service.incarnation(it.0) == Some(it.1));
            !self.connections.choices[connection.choice].iter().all(is_there)
        });
        if connection.key.protocol == UDP {
            is_gone
        } else {
            signal.only_opens() && (is_gone || connection.progress.is_closed())
        }
    }

    /// A packet of a connection whose translation is known.
    fn follow(
        &mut self,
        passage: &Passage<'_>,
        id: usize,
        direction: Direction,
        translation: Translation,
    ) -> Result<(), Disagreement> {
        let Passage { packet, hook, .. } = *passage;
        let connection = self.connections.get(id).clone();
        let (source, destination) = rewritten(&connection.key, &translation, direction);
        let leaves = hook.is_ingress() && translation.path != Path::Stack;
        if let Some(obstacle) = obstacle(passage, translation.path, destination.ip()) {
            return self.conclude(passage, obstacle);
        }
        let signal = packet.signal();
        if direction == Direction::Reply
            && packet.protocol != UDP
            && !connection.progress.answered
            && !signal.opens
            && !signal.resets
            && translation.seen_as == connection.key.source
        {
            return self.make_way(passage, id);
        }
        self.connections.advance(id, direction, signal);
        if connection.untouched {
            return self.conclude(passage, Outcome::Untouched);
        }
        if let Some(refusal) = self.note_fragment(passage, (source, destination)) {
            return self.conclude(passage, refusal);
        }
        let outcome = translated(passage, source, destination, translation.path, leaves);
        passage.contradicts(&outcome).map_or(Ok(()), Err)?;
        self.note_translated(passage.at.program, direction, &connection);
        Ok(())
    }

    /// What comes back is an answer, but not to what svc-lb has sent: the client has a connection of its own with the
    /// backend. Svc-lb's makes way.
    fn make_way(&mut self, passage: &Passage<'_>, id: usize) -> Result<(), Disagreement> {
        self.tally.note("made way");
        let connection = self.connections.get(id).clone();
        self.connections.remove(id);
        let packet = passage.packet;
        let straight = Key { source: packet.destination, destination: packet.source, ..connection.key };
        let progress = Progress { answered: true, established: true, ..Progress::default() };
        self.add_untouched(straight, passage.hook, progress);
        self.conclude(passage, Outcome::Untouched)
    }

    /// The host's own exchange from a port that is a NodePort, too: the answers are the host's.
    fn note_exchange_of_host(&mut self, key: &Key) {
        let is_node_port = find(&self.services, key.source, Protocol::Udp);
        let owned = kinds_at(&self.services, key.source.ip()).contains(&FrontendKind::NodePort);
        if key.protocol != UDP || key.hook != Hook::UplinkOut || is_node_port.is_none() || !owned {
            return;
        }
        let answers = Key { hook: Hook::UplinkIn, source: key.destination, destination: key.source, ..*key };
        if self.connections.find(&answers).is_none() {
            self.tally.note("an exchange of the host");
            self.add_untouched(*key, Hook::UplinkIn, Progress::default());
        }
    }

    fn add_untouched(&mut self, key: Key, reply_hook: Hook, progress: Progress) {
        let backend = (key.destination, 0);
        let choice = self.connections.choose([backend].into());
        let translation = Translation { backend, seen_as: key.source, path: Path::Stack, reply_hook };
        let connection = Connection {
            key,
            service: None,
            choice,
            translation: Some(translation),
            progress,
            continued: false,
            untouched: true,
        };
        self.connections.add(connection);
    }

    /// A packet of no connection that is known.
    fn open(&mut self, passage: &Passage<'_>, key: Key) -> Result<(), Disagreement> {
        let Self { services, flags, memory, connections, .. } = self;
        let packet = passage.packet;
        let opens = packet.protocol == UDP || packet.signal().only_opens();
        let (service, choice) = match choose(services, *flags, memory, connections, &key, packet) {
            Ok(chosen) => {
                self.tally.note(format!("{:?}", chosen.algorithm));
                (Some(chosen.service), chosen.choice)
            }
            Err(Refusal::NotOurs) if !passage.is_xdp() && opens && self.is_in_the_way(&key) => {
                self.tally.note("straight beside translated");
                (None, self.connections.choose([(key.destination, 0)].into()))
            }
            Err(Refusal::NotOurs) => return self.conclude(passage, Outcome::Untouched),
            Err(Refusal::Reject) => return self.reject(passage),
            Err(Refusal::Drop(reason)) => return self.conclude(passage, Outcome::Dropped(reason)),
        };
        let progress = Progress { answered: !opens, ..Progress::default() };
        let connection = Connection {
            key,
            service,
            choice,
            translation: None,
            progress,
            continued: !opens,
            untouched: false,
        };
        let id = self.connections.add(connection);
        self.settle(passage, id, false)
    }

    /// Whether answers to a connection that is for no frontend would be taken for those of one that is.
    fn is_in_the_way(&self, key: &Key) -> bool {
        let hook = if key.hook == Hook::PodIn { Hook::PodOut } else { Hook::UplinkOut };
        let reply = Key { hook, source: key.destination, destination: key.source, ..*key };
        self.connections.find(&reply).is_some()
    }

    /// Nobody is there: the sender is told, unless it ends a connection itself.
    pub(super) fn reject(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let resets = passage.packet.signal().resets;
        let outcome = if resets { Outcome::Dropped(DropReason::StrayReset) } else { Outcome::Rejected };
        self.conclude(passage, outcome)
    }

    /// A packet of a connection whose translation was not seen yet: every backend that it may have is tried in turn.
    /// `known`: it is not the first packet.
    fn settle(&mut self, passage: &Passage<'_>, id: usize, known: bool) -> Result<(), Disagreement> {
        let connection = self.connections.get(id).clone();
        let candidates = self.connections.choices[connection.choice].clone();
        let mut matching = BTreeSet::new();
        let (mut seen, mut why) = (None, String::new());
        for candidate in candidates {
            let tried = self.try_backend(passage, &connection, candidate);
            match tried.contradiction {
                None => {
                    matching.insert(candidate);
                    // Where some would make it known and some not, it may be known.
                    if tried.kind != Kind::NotMade || seen.is_none() {
                        seen = Some(tried);
                    }
                }
                Some(reason) => why = format!("{why}\n  {}, {:?}: {reason}", candidate.0, tried.kind),
            }
        }
        let Some(seen) = seen else { return Err(format!("no allowed backend explains it:{why}")) };
        self.connections.choices[connection.choice] = matching;
        if known && matches!(seen.kind, Kind::Translated | Kind::Refused) {
            self.connections.advance(id, Direction::Forward, passage.packet.signal());
        }
        if let Some(translation) = seen.translation {
            self.connections.settle(id, translation);
        }
        match seen.kind {
            Kind::Translated => {
                if connection.key.source.port() != passage_port(passage) {
                    self.tally.note("another source port");
                }
                self.note_translated(passage.at.program, Direction::Forward, &connection);
                if let Some(translation) = seen.translation {
                    let to = (translation.seen_as, translation.backend.0);
                    self.note_fragment(passage, to);
                }
                return Ok(());
            }
            Kind::NotMade => self.connections.remove(id),
            Kind::Made | Kind::Refused => {}
        }
        self.tally.conclude(passage.at.program, &seen.outcome);
        Ok(())
    }

    /// What is to become of a packet if its connection has a backend.
    fn try_backend(
        &self,
        passage: &Passage<'_>,
        connection: &Connection,
        backend: Chosen,
    ) -> Attempt {
        let v4 = passage.packet.is_v4();
        let key = &connection.key;
        let uplink = Host::of(backend.0.ip()).and_then(Host::interface).filter(|it| it.is_uplink());
        let (path, reply_hook, address) = match (key.hook, uplink) {
            (Hook::UplinkIn, Some(uplink)) => (Path::Routed, Hook::UplinkIn, Some(uplink.address(v4))),
            (Hook::UplinkIn, None) => (Path::Stack, Hook::UplinkOut, None),
            _ if backend.0.ip() == key.source.ip() => {
                (Path::Returned, Hook::PodIn, Some(node_address(v4)))
            }
            _ => (Path::Stack, Hook::PodOut, None),
        };
        let attempt = |kind, outcome: Outcome| Attempt {
            contradiction: passage.contradicts(&outcome),
            kind,
            outcome,
            translation: None,
        };
        if connection.continued && address.is_some() {
            // By which port it went only its lost connection knew.
            let is_virtual = selection::owner(&self.services, self.flags, key.hook, key.destination.ip());
            let outcome = if is_virtual == Ok(true) { Outcome::Rejected } else { Outcome::Untouched };
            return attempt(Kind::NotMade, outcome);
        }
        let ports = self.ports(key, address, reply_hook, backend.0);
        if ports.is_empty() {
            return attempt(Kind::NotMade, Outcome::Dropped(DropReason::NoSourcePort));
        }
        if let Some(obstacle) = obstacle(passage, path, backend.0.ip()) {
            return attempt(Kind::Made, obstacle);
        }
        let own = key.source.port();
        let kept = if ports.contains(&own) { own } else { 0 };
        if refuses_fragment(passage, (kept, backend.0.port())) {
            return attempt(Kind::Refused, Outcome::Dropped(DropReason::SctpFragment));
        }
        let left = Datagram::read(&passage.trial.frame);
        let Some(port) = left.map(|left| left.source.port()).filter(|port| ports.contains(port)) else {
            let contradiction = Some(format!("its source port is none of {ports:?}"));
            return Attempt { contradiction, ..attempt(Kind::Made, Outcome::Untouched) };
        };
        let seen_as = SocketAddr::new(address.unwrap_or(key.source.ip()), port);
        let translation = Some(Translation { backend, seen_as, path, reply_hook });
        let outcome = translated(passage, seen_as, backend.0, path, path != Path::Stack);
        Attempt { translation, ..attempt(Kind::Translated, outcome) }
    }

    /// The source ports that a new connection may get: the client's own where that is possible, else any that is free;
    /// where there is none, that of a handshake that nobody finished.
    fn ports(
        &self,
        key: &Key,
        address: Option<IpAddr>,
        reply_hook: Hook,
        backend: SocketAddr,
    ) -> BTreeSet<u16> {
        let ip = address.unwrap_or(key.source.ip());
        let own = key.source.port();
        let own_is_possible = address.is_none() || SOURCE_PORTS.contains(&own);
        let holder = |port: u16| {
            let destination = SocketAddr::new(ip, port);
            let reply = Key { hook: reply_hook, protocol: key.protocol, source: backend, destination };
            self.connections.find(&reply).map(|(id, _)| self.connections.get(id).progress)
        };
        let is_free = |port: u16| holder(port).is_none_or(Progress::is_closed);
        let may_be_given_up = |port: u16| holder(port).is_none_or(|it| it.is_dispensable(key.protocol));
        if own_is_possible && is_free(own) {
            return [own].into();
        }
        let free: BTreeSet<u16> = SOURCE_PORTS.filter(|port| is_free(*port)).collect();
        if !free.is_empty() {
            return free;
        }
        if own_is_possible && may_be_given_up(own) {
            return [own].into();
        }
        SOURCE_PORTS.filter(|port| may_be_given_up(*port)).collect()
    }

    /// Judges a packet that is not translated, and counts it.
    pub(super) fn conclude(&mut self, passage: &Passage<'_>, outcome: Outcome) -> Result<(), Disagreement> {
        passage.contradicts(&outcome).map_or(Ok(()), Err)?;
        self.tally.conclude(passage.at.program, &outcome);
        Ok(())
    }

    pub(super) fn note_translated(&mut self, program: Program, direction: Direction, connection: &Connection) {
        let event = if direction == Direction::Forward { Event::Forwarded } else { Event::Replied };
        self.tally.count(program, event);
        let family = if connection.key.source.is_ipv4() { "IPv4" } else { "IPv6" };
        let protocol = selection::protocol_of(connection.key.protocol);
        self.tally.note(format!("{event:?} {family} {}", protocol.map_or(String::new(), |it| it.to_string())));
        if let Some(path) = connection.translation.map(|it| it.path) {
            self.tally.note(format!("{event:?} {path:?}"));
        }
    }
}

/// A backend, tried.
struct Attempt {
    /// Why the program did not choose it.
    contradiction: Option<String>,
    kind: Kind,
    outcome: Outcome,
    translation: Option<Translation>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The packet is translated.
    Translated,
    /// The connection is known, the packet waits for another program or is answered.
    Made,
    /// The connection is known and has seen the packet, which is dropped all the same.
    Refused,
    /// The connection is not known.
    NotMade,
}

fn passage_port(passage: &Passage<'_>) -> u16 {
    Datagram::read(&passage.trial.frame).map_or(0, |left| left.source.port())
}

/// What keeps a program from translating a packet that its connection's path leads to an address.
pub(super) fn obstacle(passage: &Passage<'_>, path: Path, to: IpAddr) -> Option<Outcome> {
    if !passage.hook.is_ingress() {
        return None;
    }
    match path {
        Path::Routed => {
            let interface = Host::of(to).and_then(Host::interface)?;
            if passage.is_xdp() && interface != passage.at.interface {
                return Some(Outcome::Untouched);
            }
            if passage.packet.length() > interface.mtu() {
                return Some(Outcome::TooLong(interface.mtu()));
            }
        }
        _ if passage.is_xdp() => return Some(Outcome::Untouched),
        Path::Stack => return None,
        Path::Returned => {}
    }
    (passage.packet.hop_limit <= 1).then_some(Outcome::TimeExceeded)
}

/// Addresses and ports of a direction's packets once they are translated.
pub(super) fn rewritten(
    key: &Key,
    translation: &Translation,
    direction: Direction,
) -> (SocketAddr, SocketAddr) {
    match direction {
        Direction::Forward => (translation.seen_as, translation.backend.0),
        Direction::Reply => (key.destination, key.source),
    }
}

/// The packet with other addresses, and as it leaves. `leaves`: not by the host's stack.
fn translated(
    passage: &Passage<'_>,
    source: SocketAddr,
    destination: SocketAddr,
    path: Path,
    leaves: bool,
) -> Outcome {
    let mut packet = passage.packet.clone();
    packet.readdress(source, destination);
    send_off(packet, destination.ip(), path, leaves)
}

/// Lets a packet with its new addresses go.
pub(super) fn send_off(mut packet: Datagram, to: IpAddr, path: Path, leaves: bool) -> Outcome {
    if !leaves {
        return Outcome::Passed(packet.bytes);
    }
    packet.set_hop_limit(packet.hop_limit - 1);
    let next = Host::of(to).map(|host| (host.interface(), host.mac()));
    match (path, next) {
        (Path::Routed, Some((Some(interface), mac))) => packet.relink((interface.mac(), mac)),
        _ => packet.turn_link(),
    }
    Outcome::Sent(packet.bytes)
}

/// Whether a packet is a first fragment whose checksum cannot be corrected for these ports.
pub(super) fn refuses_fragment(passage: &Passage<'_>, to: (u16, u16)) -> bool {
    let packet = passage.packet;
    let ports = (packet.source.port(), packet.destination.port());
    packet.piece == Piece::First && packet.protocol == SCTP && ports != to
}

/// Interfaces by their link-layer addresses.
pub fn interface_with(mac: &[u8]) -> Option<Interface> {
    Interface::ALL.into_iter().find(|interface| interface.mac() == mac)
}

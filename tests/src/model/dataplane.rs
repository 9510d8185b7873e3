//! The dataplane as a sequence of decisions about one packet at one hook. Where round robin, chance or a free port
//! leave a choice, every allowed one is right, and what the program chose holds from then on.

use super::{
    connections::{Connection, Connections, Direction, Hook, Key, Path, Progress, Translation},
    datagram::{
        Datagram, Piece, Signal,
        protocol::{SCTP, TCP, UDP},
    },
    outcome::{Outcome, Point},
    related::Fragments,
    selection::{self, Flags, Memory},
    services::{Chosen, Service, find, kinds_at},
    tally::{Event, Tally},
    world::{Host, Interface},
};
use std::net::{IpAddr, SocketAddr};
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
    pub(super) memory: Memory,
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
    ///
    /// # Panics
    /// If it was never there.
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
                self.conclude(passage, &Outcome::Untouched)
            }
        }
    }

    /// Whether a client's packet is not for its connection any more: UDP to a removed backend, and a SYN where that
    /// is so or the connection is closed.
    fn chooses_anew(&self, id: usize, signal: Signal) -> bool {
        let connection = self.connections.get(id);
        let is_gone = connection.service.is_some_and(|number| {
            let service = self.services.iter().find(|it| it.number == number);
            let is_there =
                |it: &Chosen| service.is_some_and(|service| service.incarnation(it.0) == Some(it.1));
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
            return self.conclude(passage, &obstacle);
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
            return self.conclude(passage, &Outcome::Untouched);
        }
        if let Some(refusal) = self.note_fragment(passage, (source, destination)) {
            return self.conclude(passage, &refusal);
        }
        let outcome = translated(passage, source, destination, translation.path, leaves);
        passage.contradicts(&outcome).map_or(Ok(()), Err)?;
        self.note_translated(passage, direction, &connection);
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
        // One that has a port of its own is not what this answers.
        if self.connections.find(&straight).is_none() {
            self.add_untouched(straight, passage.hook, progress);
        }
        self.conclude(passage, &Outcome::Untouched)
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

    /// Nobody is there: the sender is told, unless it ends a connection itself.
    pub(super) fn reject(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let resets = passage.packet.signal().resets;
        let outcome = if resets { Outcome::Dropped(DropReason::StrayReset) } else { Outcome::Rejected };
        self.conclude(passage, &outcome)
    }

    /// Judges a packet that is not translated, and counts it.
    pub(super) fn conclude(&mut self, passage: &Passage<'_>, outcome: &Outcome) -> Result<(), Disagreement> {
        passage.contradicts(outcome).map_or(Ok(()), Err)?;
        self.tally.conclude(passage.at.program, outcome);
        Ok(())
    }

    /// Counts a packet that was translated.
    pub(super) fn note_translated(
        &mut self,
        passage: &Passage<'_>,
        direction: Direction,
        connection: &Connection,
    ) {
        let event = if direction == Direction::Forward { Event::Forwarded } else { Event::Replied };
        self.tally.count(passage.at.program, event);
        if let Some(number) = connection.service {
            let served = self.tally.services.entry(number).or_default();
            let (packets, bytes) =
                if direction == Direction::Forward { &mut served.forward } else { &mut served.reply };
            *packets += 1;
            *bytes += passage.packet.length() as u64;
        }
        let family = if connection.key.source.is_ipv4() { "IPv4" } else { "IPv6" };
        let protocol = selection::protocol_of(connection.key.protocol);
        self.tally
            .note(format!("{event:?} {family} {}", protocol.map_or(String::new(), |it| it.to_string())));
        if let Some(path) = connection.translation.map(|it| it.path) {
            self.tally.note(format!("{event:?} {path:?}"));
        }
    }
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
pub(super) fn translated(
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

//! What has no ports of its own: later fragments, which follow their first; ICMP errors, which belong to the packet
//! that they quote; and pings.

use super::{
    connections::{Connection, Direction, Hook, Key, Path, Translation},
    datagram::{Datagram, Piece, protocol::SCTP, protocol::TCP, protocol::UDP},
    dataplane::{Disagreement, Model, Passage, refuses_fragment, rewritten, send_off},
    outcome::Outcome,
    selection::{self, Refusal},
    tally::Event,
    world::Host,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};
use svc_lb_common::counters::DropReason;

/// The ports of datagrams in pieces, by what their pieces have in common.
pub type Fragments = HashMap<(Hook, u8, IpAddr, IpAddr, u32), (u16, u16)>;

impl Model {
    /// Keeps the ports of a first fragment; gives what becomes of one that cannot be translated.
    pub(super) fn note_fragment(
        &mut self,
        passage: &Passage<'_>,
        to: (SocketAddr, SocketAddr),
    ) -> Option<Outcome> {
        let packet = passage.packet;
        if packet.piece != Piece::First {
            return None;
        }
        if refuses_fragment(passage, (to.0.port(), to.1.port())) {
            return Some(Outcome::Dropped(DropReason::SctpFragment));
        }
        self.fragments.insert(fragment(passage), (packet.source.port(), packet.destination.port()));
        None
    }

    /// A later fragment.
    pub(super) fn follow_first(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let packet = passage.packet;
        let Some(&ports) = self.fragments.get(&fragment(passage)) else {
            return self.conclude(passage, &Outcome::Untouched);
        };
        let key = Key {
            hook: passage.hook,
            protocol: packet.protocol,
            source: (packet.source.ip(), ports.0).into(),
            destination: (packet.destination.ip(), ports.1).into(),
        };
        let Some((connection, translation, direction)) = self.related(&key) else {
            return self.conclude(passage, &Outcome::Untouched);
        };
        let (source, destination) = rewritten(&connection.key, &translation, direction);
        if let Some(outcome) = obstacle(passage, translation.path, destination.ip()) {
            return self.conclude(passage, &outcome);
        }
        let mut piece = packet.clone();
        piece.readdress(source, destination);
        let path = translation.path;
        let outcome =
            send_off(piece, destination.ip(), path, passage.hook.is_ingress() && path != Path::Stack);
        passage.contradicts(&outcome).map_or(Ok(()), Err)?;
        self.tally.note("a later fragment");
        self.note_translated(passage, direction, &connection);
        Ok(())
    }

    /// A ping, an error, or something else.
    pub(super) fn icmp(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let packet = passage.packet;
        let v4 = packet.is_v4();
        if packet.piece != Piece::Whole {
            return self.conclude(passage, &Outcome::Untouched);
        }
        let (kind, _) = packet.icmp();
        match (v4, kind) {
            (true, 8) | (false, 128) => self.ping(passage),
            (true, 3 | 11 | 12) | (false, 1..=4) => self.error(passage),
            _ => self.conclude(passage, &Outcome::Untouched),
        }
    }

    /// A ping: answered where nobody else would.
    fn ping(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let packet = passage.packet;
        let owner = selection::owner(&self.services, self.flags, passage.hook, packet.destination.ip());
        match owner {
            _ if passage.hook == Hook::PodOut => self.conclude(passage, &Outcome::Untouched),
            Err(Refusal::Drop(reason)) => self.conclude(passage, &Outcome::Dropped(reason)),
            Ok(true) => {
                let mut answer = packet.clone();
                answer.turn_link();
                answer.bytes[packet.transport] = if packet.is_v4() { 0 } else { 129 };
                answer.set_hop_limit(64);
                let (source, destination) = (packet.destination, packet.source);
                answer.swap(source.ip(), destination.ip());
                passage.contradicts(&Outcome::Sent(answer.bytes)).map_or(Ok(()), Err)?;
                self.tally.count(passage.at.program, Event::Echoed);
                Ok(())
            }
            _ => self.conclude(passage, &Outcome::Untouched),
        }
    }

    /// An error about a packet that was translated: it goes back the way that the packet came.
    fn error(&mut self, passage: &Passage<'_>) -> Result<(), Disagreement> {
        let packet = passage.packet;
        let quoted = packet.quoted().filter(|quoted| {
            let has_ports = matches!(quoted.protocol, TCP | UDP | SCTP) && quoted.piece != Piece::Later;
            has_ports && quoted.transport + 8 <= packet.end
        });
        let found = quoted.and_then(|quoted| {
            let key = Key {
                hook: passage.hook,
                protocol: quoted.protocol,
                source: quoted.destination,
                destination: quoted.source,
            };
            Some((self.related(&key)?, quoted))
        });
        let Some(((connection, translation, direction), quoted)) = found else {
            return self.conclude(passage, &Outcome::Untouched);
        };
        let (source, destination) = rewritten(&connection.key, &translation, direction);
        let path = translation.path;
        if let Some(outcome) = obstacle(passage, path, destination.ip()) {
            return self.conclude(passage, &outcome);
        }
        let is_the_peers = packet.source.ip() == quoted.destination.ip();
        let to_remote = path == Path::Routed && direction == Direction::Forward;
        let from = if is_the_peers || to_remote { source.ip() } else { packet.source.ip() };
        let mut error = packet.clone();
        error.requote(quoted, destination, source);
        error.swap(from, destination.ip());
        let outcome =
            send_off(error, destination.ip(), path, passage.hook.is_ingress() && path != Path::Stack);
        passage.contradicts(&outcome).map_or(Ok(()), Err)?;
        self.tally.note("an ICMP error");
        self.note_translated(passage, direction, &connection);
        Ok(())
    }

    /// The connection to which something belongs by what another packet says.
    fn related(&self, key: &Key) -> Option<(Connection, Translation, Direction)> {
        let (id, direction) = self.connections.find(key)?;
        let connection = self.connections.get(id);
        let translation = connection.translation.filter(|_| !connection.untouched)?;
        Some((connection.clone(), translation, direction))
    }
}

/// What keeps it from going on. Nobody is told.
fn obstacle(passage: &Passage<'_>, path: Path, to: IpAddr) -> Option<Outcome> {
    if path == Path::Stack || !passage.hook.is_ingress() {
        return None;
    }
    if passage.packet.hop_limit <= 1 {
        return Some(Outcome::Dropped(DropReason::TimeExceeded));
    }
    let interface = Host::of(to).and_then(Host::interface)?;
    let is_longer = path == Path::Routed && passage.packet.length() > interface.mtu();
    is_longer.then_some(Outcome::Dropped(DropReason::TooLong))
}

fn fragment(passage: &Passage<'_>) -> (Hook, u8, IpAddr, IpAddr, u32) {
    let Datagram { protocol, source, destination, identification, .. } = passage.packet;
    (passage.hook, *protocol, source.ip(), destination.ip(), *identification)
}

//! First packets: which backend, which source port, which way. What the model cannot know it reads from what the
//! program did, among all that it may have done.

use super::{
    connections::{Connection, Direction, Hook, Key, Path, Progress, Translation},
    datagram::{Datagram, protocol::UDP},
    dataplane::{Disagreement, Model, Passage, obstacle, refuses_fragment, translated},
    outcome::Outcome,
    selection::{self, Refusal, choose},
    services::Chosen,
    world::{Host, SOURCE_PORTS, node_address},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};
use svc_lb_common::counters::DropReason;

impl Model {
    /// A packet of no connection that is known.
    pub(super) fn open(&mut self, passage: &Passage<'_>, key: Key) -> Result<(), Disagreement> {
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
            Err(Refusal::NotOurs) => return self.conclude(passage, &Outcome::Untouched),
            Err(Refusal::Reject) => return self.reject(passage),
            Err(Refusal::Drop(reason)) => return self.conclude(passage, &Outcome::Dropped(reason)),
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

    /// A packet of a connection whose translation was not seen yet: every backend that it may have is tried in turn.
    /// `known`: it is not the first packet.
    pub(super) fn settle(
        &mut self,
        passage: &Passage<'_>,
        id: usize,
        known: bool,
    ) -> Result<(), Disagreement> {
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
        if let Some(number) = connection.service {
            let new_flows = &mut self.tally.services.entry(number).or_default().new_flows;
            match (known, seen.kind == Kind::NotMade) {
                (false, false) => *new_flows += 1,
                // It was not known after all.
                (true, true) => *new_flows -= 1,
                _ => {}
            }
        }
        match seen.kind {
            Kind::Translated => {
                let known = self.connections.get(id).clone();
                self.note_translated(passage, Direction::Forward, &known);
                if let Some(translation) = seen.translation {
                    if connection.key.source.port() != translation.seen_as.port() {
                        self.tally.note("another source port");
                    }
                    self.note_fragment(passage, (translation.seen_as, translation.backend.0));
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
    fn try_backend(&self, passage: &Passage<'_>, connection: &Connection, backend: Chosen) -> Attempt {
        let v4 = passage.packet.is_v4();
        let key = &connection.key;
        let uplink = Host::of(backend.0.ip()).and_then(Host::interface).filter(|it| it.is_uplink());
        let (path, reply_hook, address) = match (key.hook, uplink) {
            (Hook::UplinkIn, Some(uplink)) => (Path::Routed, Hook::UplinkIn, Some(uplink.address(v4))),
            (Hook::UplinkIn, None) => (Path::Stack, Hook::UplinkOut, None),
            _ if backend.0.ip() == key.source.ip() => (Path::Returned, Hook::PodIn, Some(node_address(v4))),
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
    /// where there is none, that of a connection that only the backend remembers, and at last that of a handshake that
    /// nobody finished.
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
        let protocol = key.protocol;
        let is_free = |it: Progress| it.is_closed() && !it.is_remembered(protocol);
        let may_be_given_up = |it: Progress| it.is_closed() || it.is_dispensable(protocol);
        let better_first: [&dyn Fn(Progress) -> bool; 3] = [&is_free, &Progress::is_closed, &may_be_given_up];
        for suits in better_first {
            if own_is_possible && holder(own).is_none_or(suits) {
                return [own].into();
            }
            let ports: BTreeSet<u16> = SOURCE_PORTS.filter(|port| holder(*port).is_none_or(suits)).collect();
            if !ports.is_empty() {
                return ports;
            }
        }
        BTreeSet::new()
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

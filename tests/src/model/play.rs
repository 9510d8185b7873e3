//! A sequence, played: each packet passes the hooks that the kernel would lead it by, and the model judges each.

use super::{
    chance::Chance,
    datagram::{
        Datagram, Piece,
        protocol::{SCTP, TCP, UDP},
    },
    dataplane::{Model, interface_with},
    node::Node,
    operation::{Change, Operation, Target, services, signal},
    outcome::{Point, Verdict},
    selection::Flags,
    tally::Tally,
    traffic::{Draft, Shape},
    world::{Host, Interface, SERVICE_CIDRS, node_address},
};
use anyhow::{Context, Result, anyhow, ensure};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use svc_lb::compile::{FrontendKind, Protocol};
use svc_lb_common::counters::Program;

/// How many packets that have arrived may be answered.
const ARRIVALS: usize = 24;

/// A packet that has arrived.
#[derive(Clone, Debug)]
struct Arrival {
    /// Who sent it, and from where to where.
    from: Host,
    sent: (SocketAddr, SocketAddr),
    /// Who received it, as it was then.
    by: Host,
    received: Datagram,
}

/// A node and its model, in the middle of a sequence.
pub struct Play<'a> {
    node: &'a mut Node,
    model: Model,
    arrivals: Vec<Arrival>,
    steps: u32,
}

impl<'a> Play<'a> {
    /// Plays a sequence, from Services that its seed gives, and compares what was counted in the end. Gives the model's
    /// tally.
    pub fn whole(
        node: &'a mut Node,
        flags: Flags,
        sequence: u32,
        seed: u64,
        operations: &[Operation],
    ) -> Result<Tally> {
        let services = services(sequence, &mut Chance::new(seed));
        node.sync(&services)?;
        let before = node.counted()?;
        let model = Model::new(flags, services);
        let mut play = Self { node, model, arrivals: Vec::new(), steps: 0 };
        for operation in operations {
            play.steps += 1;
            play.step(*operation).with_context(|| format!("{operation:?}"))?;
        }
        let (mut served, mut expected) = (play.node.served()?, play.model.tally.services.clone());
        for service in &play.model.services {
            // One that was away has another number since then, and new counters.
            if service.was_away {
                served.remove(&service.number);
                expected.remove(&service.number);
            } else {
                expected.entry(service.number).or_default();
            }
        }
        ensure!(served == expected, "served by the programs: {served:?}\nby the model: {expected:?}");
        let (mut events, mut drops) = play.node.counted()?;
        for (key, count) in before.0 {
            *events.entry(key).or_default() -= count;
        }
        for (reason, count) in before.1 {
            *drops.entry(reason).or_default() -= count;
        }
        events.retain(|_, count| *count != 0);
        drops.retain(|_, count| *count != 0);
        let tally = play.model.tally;
        let mut expected = tally.events.clone();
        expected.retain(|(_, event), _| *event != super::tally::Event::Untouched);
        ensure!(events == expected, "counted by the programs: {events:?}\nby the model: {expected:?}");
        ensure!(drops == tally.drops, "drops of the programs: {drops:?}\nof the model: {:?}", tally.drops);
        Ok(tally)
    }

    fn step(&mut self, operation: Operation) -> Result<()> {
        match operation {
            Operation::Change { service, change } => self.change(service, change),
            Operation::Send { from, port, to, roll, shape } => {
                let (protocol, destination) = self.target(to, roll);
                let source = (from.address(destination.is_ipv4()), self.port(from, port, to)).into();
                self.send(from, source, destination, protocol, signal(protocol, true, false, roll), shape)
            }
            Operation::Continue { arrival, roll, shape } => {
                let Some(it) = self.arrival(arrival) else { return Ok(()) };
                let protocol = it.received.protocol;
                let signal = signal(protocol, false, false, roll);
                self.send(it.from, it.sent.0, it.sent.1, protocol, signal, shape)
            }
            Operation::Answer { arrival, roll, shape } => {
                let Some(it) = self.arrival(arrival) else { return Ok(()) };
                let (packet, seen) = (&it.received, it.received.signal());
                let signal = signal(packet.protocol, false, seen.only_opens(), roll);
                self.send(it.by, packet.destination, packet.source, packet.protocol, signal, shape)
            }
            Operation::Report { arrival, by_router, kind, whole, hop_limit } => {
                let Some(it) = self.arrival(arrival) else { return Ok(()) };
                self.report(&it, by_router, kind, whole, hop_limit)
            }
            Operation::Ping { from, to, hop_limit } => {
                let (_, destination) = self.target(to, 0);
                let v4 = destination.is_ipv4();
                let draft = self.draft(from, (from.address(v4), 0).into(), destination, UDP);
                let draft = Draft { shape: Shape { hop_limit, ..Shape::PLAIN }, ..draft };
                let frame = draft.icmp(if v4 { 8 } else { 128 }, 0, &[0, 7, 0, 1, 1, 2, 3, 4, 5]);
                self.journey(from, frame).map(|_| ())
            }
        }
    }

    fn change(&mut self, service: usize, change: Change) -> Result<()> {
        let mut changed = self.model.services[service].clone();
        change.apply(&mut changed);
        self.model.change(changed);
        self.model.tally.note("a change");
        self.node.sync(&self.model.services)
    }

    fn arrival(&self, number: usize) -> Option<Arrival> {
        // The latest are the likeliest.
        let count = self.arrivals.len();
        (count > 0).then(|| self.arrivals[count - 1 - number % count % (1 + number / 7 % count)].clone())
    }

    /// Protocol and destination.
    fn target(&self, target: Target, roll: u8) -> (u8, SocketAddr) {
        let (Target::Frontend(at, _)
        | Target::OtherPort(at, _)
        | Target::Endpoint(at, _)
        | Target::Unallocated(at)) = target;
        let service = &self.model.services[at];
        let protocol = match service.protocol {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
            Protocol::Sctp => SCTP,
        };
        match target {
            Target::Frontend(_, kind) => (protocol, service.frontend(kind)),
            Target::OtherPort(_, kind) if roll.is_multiple_of(2) => {
                ([UDP, SCTP, TCP][usize::from(roll) % 3], service.frontend(kind))
            }
            Target::OtherPort(_, kind) => (protocol, (service.frontend(kind).ip(), 9).into()),
            Target::Endpoint(_, host) => (protocol, service.endpoint(host)),
            Target::Unallocated(_) => {
                let range = SERVICE_CIDRS[usize::from(!service.v4)].parse::<IpNet>().expect("a range");
                (protocol, (range.broadcast(), service.port()).into())
            }
        }
    }

    /// One of the ports that somebody sends from: few, so that connections meet.
    fn port(&self, from: Host, number: usize, to: Target) -> u16 {
        let ports = [20001, 20005, 40000, 40001, 40002];
        match to {
            // The node's own exchange may be from a port that is a NodePort of UDP, too.
            Target::Endpoint(at, _) if from == Host::Node && number < 3 => {
                self.model.services[4 + (at ^ 2) % 4].frontend(FrontendKind::NodePort).port()
            }
            _ => ports[number],
        }
    }

    fn draft(&mut self, from: Host, source: SocketAddr, destination: SocketAddr, protocol: u8) -> Draft {
        let link = match from.interface() {
            Some(interface) => (from.mac(), interface.mac()),
            None => ([0; 6], [0; 6]),
        };
        let salt = self.steps.wrapping_mul(0x9e37_79b1);
        let identification = self.node.datagrams_in_pieces;
        Draft { source, destination, protocol, signal: 0, shape: Shape::PLAIN, link, salt, identification }
    }

    fn send(
        &mut self,
        from: Host,
        source: SocketAddr,
        destination: SocketAddr,
        protocol: u8,
        signal: u8,
        shape: Shape,
    ) -> Result<()> {
        if shape.in_pieces {
            self.node.datagrams_in_pieces = self.node.datagrams_in_pieces.wrapping_add(1);
        }
        let draft = Draft { signal, shape, ..self.draft(from, source, destination, protocol) };
        self.send_draft(from, &draft)?;
        while let Some(key) = self.model.undecided().copied() {
            // A traceroute goes on with a longer life; then it shows which backend was chosen.
            ensure!((key.source, key.destination) == (source, destination), "still undecided: {key:?}");
            self.send_draft(from, &Draft { shape: Shape::PLAIN, ..draft })?;
        }
        Ok(())
    }

    fn send_draft(&mut self, from: Host, draft: &Draft) -> Result<()> {
        for frame in draft.frames() {
            let Some((by, frame)) = self.journey(from, frame)? else { continue };
            if let Some(received) = Datagram::read(&frame)
                && matches!(received.protocol, TCP | UDP | SCTP)
                && received.piece != Piece::Later
            {
                if self.arrivals.len() == ARRIVALS {
                    self.arrivals.remove(0);
                }
                self.arrivals.push(Arrival { from, sent: (draft.source, draft.destination), by, received });
            }
        }
        Ok(())
    }

    /// An ICMP error about a packet that has arrived.
    fn report(&mut self, it: &Arrival, by_router: bool, kind: u8, whole: bool, hop_limit: u8) -> Result<()> {
        let packet = &it.received;
        let v4 = packet.is_v4();
        let kinds: &[(u8, u8)] = if v4 {
            &[(3, 3), (3, 4), (11, 0), (12, 0), (5, 1)]
        } else {
            &[(1, 4), (2, 0), (3, 0), (4, 1), (135, 0)]
        };
        let (kind, code) = kinds[usize::from(kind) % kinds.len()];
        // A router that is beside the receiver has its way.
        let router: SocketAddr = (it.by.gateway(v4).unwrap_or(packet.destination.ip()), 0).into();
        let source = if by_router { router } else { packet.destination };
        let end = if whole { packet.end } else { packet.end.min(packet.transport + 8) };
        let quote = &packet.bytes[packet.network..end];
        let draft = self.draft(it.by, source, packet.source, UDP);
        let draft = Draft { shape: Shape { hop_limit, ..Shape::PLAIN }, ..draft };
        let frame = draft.icmp(kind, code, &[&[0, 0, 5, 0], quote].concat());
        self.journey(it.by, frame).map(|_| ())
    }

    /// Sends a frame. Gives who receives it in the end, and how.
    fn journey(&mut self, from: Host, frame: Vec<u8>) -> Result<Option<(Host, Vec<u8>)>> {
        let left = match from.interface() {
            None => self.stack(frame, true)?,
            Some(interface) if interface.is_uplink() => {
                let (verdict, frame) = self.run(Program::XdpUplink, interface, &frame)?;
                match verdict {
                    Verdict::Drop => None,
                    Verdict::Sent => Some(frame),
                    Verdict::Next => self.uplink_ingress(interface, &frame)?,
                }
            }
            Some(interface) => {
                let (verdict, frame) = self.run(Program::TcPodIngress, interface, &frame)?;
                match verdict {
                    Verdict::Sent => self.leave(interface, &frame)?,
                    Verdict::Next if is_for_host(interface, &frame) => self.stack(frame, false)?,
                    Verdict::Drop | Verdict::Next => None,
                }
            }
        };
        Ok(left.and_then(|frame| Some((receiver(&frame)?, frame))))
    }

    fn uplink_ingress(&mut self, interface: Interface, frame: &[u8]) -> Result<Option<Vec<u8>>> {
        let (verdict, frame) = self.run(Program::TcUplinkIngress, interface, frame)?;
        match verdict {
            Verdict::Sent => {
                let out = interface_with(&frame[6..12]).context("it leaves by no interface")?;
                self.leave(out, &frame)
            }
            Verdict::Next if is_for_host(interface, &frame) => self.stack(frame, false),
            Verdict::Drop | Verdict::Next => Ok(None),
        }
    }

    /// The host's stack: routes, and takes what is its own. `own`: it has sent the packet itself.
    fn stack(&mut self, frame: Vec<u8>, own: bool) -> Result<Option<Vec<u8>>> {
        let Some(mut packet) = Datagram::read(&frame) else { return Ok(None) };
        let to = packet.destination.ip();
        if is_of_node(to) {
            return Ok((!own).then_some(frame));
        }
        if !own {
            if packet.hop_limit <= 1 {
                return Ok(None);
            }
            packet.set_hop_limit(packet.hop_limit - 1);
        }
        let host = Host::of(to);
        let interface = host.and_then(Host::interface).unwrap_or(Interface::Uplink);
        packet.relink((interface.mac(), host.unwrap_or(Host::Far).mac()));
        self.leave(interface, &packet.bytes)
    }

    /// A frame leaves the node.
    fn leave(&mut self, interface: Interface, frame: &[u8]) -> Result<Option<Vec<u8>>> {
        let program = if interface.is_uplink() { Program::TcUplinkEgress } else { Program::TcPodEgress };
        let (verdict, frame) = self.run(program, interface, frame)?;
        match verdict {
            Verdict::Next => Ok(Some(frame)),
            Verdict::Drop => Ok(None),
            // Sent back in: an answer to the node's own ping.
            Verdict::Sent => self.uplink_ingress(interface, &frame),
        }
    }

    fn run(&mut self, program: Program, interface: Interface, frame: &[u8]) -> Result<(Verdict, Vec<u8>)> {
        let at = Point { program, interface };
        let trial = self.node.run(at, frame)?;
        let judged = self.model.pass(at, frame, &trial);
        judged.map_err(|why| {
            let packet =
                Datagram::read(frame).map(|it| (it.source, it.destination, it.protocol, it.signal()));
            anyhow!(
                "{} at {interface:?}: {packet:?}: {why}\n  in:  {frame:02x?}\n  out: {:02x?}",
                program.name(),
                trial.frame
            )
        })?;
        let verdict = Verdict::of(program, trial.verdict).context("an unknown verdict")?;
        Ok((verdict, trial.frame))
    }
}

/// Whether the host's stack takes a frame.
fn is_for_host(interface: Interface, frame: &[u8]) -> bool {
    frame[..6] == interface.mac()
}

fn is_of_node(address: IpAddr) -> bool {
    let v4 = address.is_ipv4();
    address == node_address(v4) || address == Interface::SecondUplink.address(v4)
}

/// Who a frame is for.
fn receiver(frame: &[u8]) -> Option<Host> {
    Host::of(Datagram::read(frame)?.destination.ip())
}

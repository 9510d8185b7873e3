//! Flows that are past their timeout go, and only those.

use super::{in_namespaces, open};
use crate::dataplane::{
    Dataplane,
    maps::FamilyMaps,
    view::{Direction, View},
};
use crate::node::{Facts, Interface, Role};
use std::process::Command;
use svc_lb_common::{
    address::{Address, Be16, Ipv4, Tuple},
    connection::State,
    flow::{Flow, FlowKey, Hook, NextHop, TCP, UDP},
    link::LinkAddresses,
};

/// Longer than every timeout but that of an established TCP connection.
pub(super) const LONG_AGO: u32 = 4000;

/// The entries of one UDP exchange whose client has a port of its own.
pub(super) fn pair<A: Address>(client_port: u16, ages: (u32, u32), now: u32) -> [(FlowKey<A>, Flow<A>); 2] {
    let address = |last: u8| {
        let v4 = std::net::IpAddr::from([10, 0, 0, last]);
        let v6 = std::net::IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]);
        A::from_ip(v4).or_else(|| A::from_ip(v6)).expect("one of the families")
    };
    let tuple = Tuple {
        source: address(1),
        destination: address(2),
        source_port: Be16::new(client_port),
        destination_port: Be16::new(53),
    };
    let key = FlowKey { tuple, protocol: UDP, hook: Hook::PodIngress as u16 };
    let flow = Flow {
        rewrite: Tuple { destination: address(3), destination_port: Be16::new(5353), ..tuple },
        service: 1,
        backend: 0,
        generation: 1,
        last_seen: now - ages.0,
        state: State::REPLIED,
        partner_hook: Hook::PodEgress as u8,
        flags: 0,
        ..Flow::default()
    };
    let partner = Flow { last_seen: now - ages.1, ..flow.partner(&key) };
    [(key, flow), (flow.partner_key(UDP), partner)]
}

/// Sweeps all tables once; how many entries went.
pub(super) fn sweep(dataplane: &mut Dataplane) -> usize {
    let mut deleted = 0;
    loop {
        let swept = dataplane.sweep().expect("a step");
        deleted += swept.deleted;
        if swept.finished {
            return deleted;
        }
    }
}

/// The client ports that are left.
fn ports<A: Address>(maps: &FamilyMaps<A>) -> Vec<u16>
where
    FlowKey<A>: bytemuck::Pod,
{
    let mut ports: Vec<u16> = [&maps.flows, &maps.new_flows]
        .iter()
        .flat_map(|table| table.dump().expect("a table"))
        .map(|(key, _)| key)
        .filter(|key| key.hook == Hook::PodIngress as u16)
        .map(|key| key.tuple.source_port.get())
        .collect();
    ports.sort_unstable();
    ports
}

#[test]
fn pairs_go_by_the_later_of_the_two() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let now = dataplane.clock.now().expect("a clock");
        let maps = &dataplane.maps;
        for (port, ages) in [(1, (0, 0)), (2, (LONG_AGO, 0)), (3, (0, LONG_AGO)), (4, (LONG_AGO, LONG_AGO))] {
            maps.v4.flows.set(&pair(port, ages, now)).expect("a pair");
            maps.v6.flows.set(&pair(port, ages, now)).expect("a pair");
            maps.v6.new_flows.set(&pair(port + 10, ages, now)).expect("a pair");
        }
        // One whose partner was evicted, and one whose partner is in the other table.
        maps.v4.flows.set(&pair(5, (LONG_AGO, LONG_AGO), now)[..1]).expect("half a pair");
        let split = pair(6, (LONG_AGO, 0), now);
        maps.v4.flows.set(&split[..1]).expect("half a pair");
        maps.v4.new_flows.set(&split[1..]).expect("half a pair");

        assert_eq!(sweep(&mut dataplane), 7);
        assert_eq!(ports(&dataplane.maps.v4), [1, 2, 3, 6]);
        assert_eq!(ports(&dataplane.maps.v6), [1, 2, 3, 11, 12, 13]);
        let tables = dataplane.statistics().expect("statistics").tables;
        let entries = ["flows_v4", "new_flows_v4", "flows_v6", "new_flows_v6"].map(|it| tables[it].entries);
        assert_eq!(entries, [7, 1, 6, 6], "as the sweep left them");
        assert_eq!(sweep(&mut dataplane), 0);
    });
}

#[test]
fn a_sweep_in_steps_meets_every_flow() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let now = dataplane.clock.now().expect("a clock");
        let flows: Vec<_> = (0..1500).flat_map(|port| pair(port, (LONG_AGO, LONG_AGO), now)).collect();
        dataplane.maps.v4.flows.set(&flows).expect("flows");
        let found = dataplane.maps.v4.flows.count().expect("a count");
        assert!(found > 2000, "the table evicts by itself: {found}");
        assert_eq!(sweep(&mut dataplane), found);
        assert_eq!(dataplane.maps.v4.flows.count().expect("a count"), 0);
    });
}

#[test]
fn a_sweep_notes_the_neighbours_to_which_flows_have_sent_lately() {
    in_namespaces(|pin_dir| {
        let mut dataplane = open(pin_dir);
        let name = "up0";
        let made =
            Command::new("ip").args(["link", "add", name, "type", "veth", "peer", "name", "far"]).status();
        assert!(made.expect("iproute2 is installed").success());
        let uplink = Interface {
            index: nix::net::if_::if_nametoindex(name).expect("the interface"),
            name: name.to_owned(),
            mac: Some([2; 6]),
            kind: "veth".to_owned(),
            role: Role::Uplink(String::new()),
            ..Interface::default()
        };
        let (index, facts) = (uplink.index, Facts { interfaces: vec![uplink] });
        dataplane.set_interfaces(&facts, &[]).expect("an interface");
        let now = dataplane.clock.now().expect("a clock");
        let current = dataplane.interfaces.route_generation();
        let add = |port: u16, age, generation: u32| {
            let [mut forward, reply] = pair::<Ipv4>(port, (age, age), now);
            let link = LinkAddresses::new([port, 0, 0], [0; 3]);
            forward.1.next_hop = NextHop { link, ifindex: index, ..NextHop::default() };
            forward.1.route_generation = generation;
            dataplane.maps.v4.flows.set(&[forward, reply]).expect("a pair");
        };
        add(1, 0, current);
        add(2, 20, current);
        add(3, 0, current - 1);
        let used = |dataplane: &mut Dataplane| {
            sweep(dataplane);
            let used = dataplane.used_neighbours().into_iter();
            used.map(|(interface, mac)| (interface, u16::from_ne_bytes([mac[0], mac[1]]))).collect::<Vec<_>>()
        };
        assert_eq!(used(&mut dataplane), [(index, 1), (index, 2)], "but not where routes have changed since");
        assert_eq!(used(&mut dataplane), [(index, 1)], "what was not used since the last sweep is not told");
    });
}

#[test]
fn flows_are_told_in_words() {
    in_namespaces(|pin_dir| {
        let dataplane = open(pin_dir);
        let now = dataplane.clock.now().expect("a clock");
        let [mut forward, reply] = pair(40000, (5, 7), now);
        dataplane.maps.v4.flows.set(&[forward, reply]).expect("a pair");
        forward.0.protocol = TCP;
        dataplane.maps.v4.new_flows.set(&[forward]).expect("half a pair");
        drop(dataplane);

        let flows = View::open(pin_dir).expect("pinned maps").flows().expect("flows");
        let [udp, tcp, reply] = &flows[..] else { panic!("not three flows: {flows:?}") };
        let (udp, tcp) = if udp.protocol == "UDP" { (udp, tcp) } else { (tcp, udp) };
        assert_eq!((udp.hook, udp.direction, udp.state), ("pod-ingress", Direction::Forward, "replied"));
        assert_eq!([udp.source, udp.destination].map(|it| it.to_string()), ["10.0.0.1:40000", "10.0.0.2:53"]);
        assert_eq!(udp.rewritten_destination.to_string(), "10.0.0.3:5353");
        assert_eq!(udp.backend, Some(udp.rewritten_destination));
        assert!(
            udp.backend_removed && udp.service.is_none() && udp.table == "flows",
            "no such service, no such backend"
        );
        assert!((5..8).contains(&udp.age), "{}", udp.age);
        assert_eq!((tcp.state, tcp.table), ("syn-recv", "new_flows"));
        assert_eq!((reply.hook, reply.direction), ("pod-egress", Direction::Reply));
        assert_eq!((reply.backend, reply.rewritten_source), (udp.backend, udp.destination));
        assert!((7..10).contains(&reply.age), "{}", reply.age);
    });
}

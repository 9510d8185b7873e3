//! The programs beside a model of them: random sequences of packets and changes, and after each packet the same
//! verdict, the same bytes, and in the end the same counters.
//!
//! `SVC_LB_MODEL_SEED` chooses other sequences than those that are always played. One that fails is shown with its
//! seed, without what is not needed for it to fail.

use anyhow::{Result, bail};
use std::{cell::RefCell, env, thread};
use svc_lb_common::counters::Program;
use svc_lb_tests::model::{
    chance::Chance,
    node::Node,
    operation::Operation,
    play::Play,
    selection::Flags,
    shrink::shrink,
    tally::{Event, Tally},
};

/// How many sequences are played with each set of flags.
const SEQUENCES: u64 = 24;
/// How many operations are in one.
const LENGTH: usize = 2250;
/// How often a sequence that fails may be played to make it shorter.
const TRIALS: u32 = 600;
/// How many packets are to pass programs.
const PACKETS: u64 = 200_000;

/// What must have happened, and how often at the least, so that the test cannot become empty unseen.
const EVENTS: &[(Program, Event, u64)] = &[
    (Program::XdpUplink, Event::Forwarded, 2000),
    (Program::XdpUplink, Event::Replied, 1000),
    (Program::XdpUplink, Event::Rejected, 1000),
    (Program::XdpUplink, Event::Dropped, 1000),
    (Program::XdpUplink, Event::Untouched, 10_000),
    (Program::TcUplinkIngress, Event::Forwarded, 5000),
    (Program::TcUplinkIngress, Event::Replied, 1000),
    (Program::TcUplinkIngress, Event::Rejected, 500),
    (Program::TcUplinkIngress, Event::Dropped, 200),
    (Program::TcUplinkIngress, Event::Echoed, 200),
    (Program::TcUplinkIngress, Event::Untouched, 5000),
    (Program::TcUplinkEgress, Event::Replied, 2000),
    (Program::TcUplinkEgress, Event::Echoed, 50),
    (Program::TcUplinkEgress, Event::Untouched, 5000),
    (Program::TcPodIngress, Event::Forwarded, 2000),
    (Program::TcPodIngress, Event::Replied, 200),
    (Program::TcPodIngress, Event::Rejected, 300),
    (Program::TcPodIngress, Event::Dropped, 100),
    (Program::TcPodIngress, Event::Echoed, 100),
    (Program::TcPodIngress, Event::Untouched, 5000),
    (Program::TcPodEgress, Event::Replied, 1000),
    (Program::TcPodEgress, Event::Untouched, 5000),
];

/// The same of what is told by name.
const OCCASIONS: &[(&str, u64)] = &[
    ("Forwarded IPv4 TCP", 2000),
    ("Forwarded IPv4 UDP", 2000),
    ("Forwarded IPv4 SCTP", 500),
    ("Forwarded IPv6 TCP", 2000),
    ("Forwarded IPv6 UDP", 2000),
    ("Forwarded IPv6 SCTP", 500),
    ("Replied IPv4 TCP", 1000),
    ("Replied IPv4 UDP", 1000),
    ("Replied IPv4 SCTP", 300),
    ("Replied IPv6 TCP", 1000),
    ("Replied IPv6 UDP", 1000),
    ("Replied IPv6 SCTP", 300),
    ("Forwarded Routed", 1000),
    ("Forwarded Returned", 200),
    ("Forwarded Stack", 1000),
    ("Replied Routed", 1000),
    ("Replied Returned", 200),
    ("Replied Stack", 1000),
    ("RoundRobin", 1000),
    ("Random", 300),
    ("LeastConnections", 300),
    ("Maglev", 300),
    ("a later fragment", 300),
    ("an ICMP error", 500),
    ("an exchange of the host", 20),
    ("another source port", 500),
    ("chosen anew", 100),
    ("made way", 100),
    ("straight beside translated", 20),
    ("time exceeded", 300),
    ("too long", 200),
    ("a change", 500),
];

/// Why packets must have been dropped.
const DROPS: [&str; 9] = [
    "cluster-ip-from-uplink",
    "no-local-endpoint",
    "no-source-port",
    "sctp-fragment",
    "source-not-allowed",
    "stray-reset",
    "time-exceeded",
    "too-long",
    "unallocated-cluster-ip",
];

#[test]
fn the_programs_do_what_the_model_says() -> Result<()> {
    let seed: u64 = env::var("SVC_LB_MODEL_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let sets = [
        (Flags { external_cluster_ips: false, service_ranges: true }, seed * 2),
        (Flags { external_cluster_ips: true, service_ranges: false }, seed * 2 + 1),
    ];
    let mut total = Tally::default();
    // A change waits for the kernel most of the time: meanwhile the other node goes on.
    for tally in thread::scope(|scope| {
        let threads =
            sets.map(|(flags, seed)| scope.spawn(move || Node::with(flags, |node| play(node, flags, seed))));
        threads.map(|thread| thread.join().expect("a thread that ends"))
    }) {
        total.add(tally?);
    }
    println!("{} packets: {total:?}", total.packets());
    assert!(total.packets() >= PACKETS, "only {} packets", total.packets());
    for (program, event, least) in EVENTS {
        let count = total.events.get(&(program.name(), *event)).copied().unwrap_or_default();
        assert!(count >= *least, "{}, {event:?}: only {count}", program.name());
    }
    for (occasion, least) in OCCASIONS {
        let count = total.occasions.get(*occasion).copied().unwrap_or_default();
        assert!(count >= *least, "{occasion}: only {count}");
    }
    for reason in DROPS {
        assert!(total.drops.contains_key(reason), "nothing was dropped for {reason}");
    }
    Ok(())
}

/// Plays all sequences of a seed.
fn play(node: &mut Node, flags: Flags, seed: u64) -> Result<Tally> {
    let mut total = Tally::default();
    let (node, sequence) = (RefCell::new(node), RefCell::new(0));
    let run = |seed: u64, operations: &[Operation]| {
        *sequence.borrow_mut() += 1;
        Play::whole(&mut node.borrow_mut(), flags, *sequence.borrow(), seed, operations)
    };
    for number in 0..SEQUENCES {
        let seed = seed << 32 | number;
        let mut chance = Chance::new(!seed);
        let operations: Vec<Operation> = (0..LENGTH).map(|_| Operation::any(&mut chance)).collect();
        let first = match run(seed, &operations) {
            Ok(tally) => {
                total.add(tally);
                continue;
            }
            Err(first) => first,
        };
        // Shown at once, should the search for a shorter one be cut short.
        println!("sequence {seed:#x}, {flags:?}: {first:#}");
        let place = |why: &anyhow::Error| why.root_cause().to_string().split(':').next().map(str::to_owned);
        let fails = |it: &[Operation]| run(seed, it).is_err_and(|why| place(&why) == place(&first));
        let shortest = shrink(operations, TRIALS, fails);
        let why = run(seed, &shortest).err().unwrap_or(first);
        bail!("sequence {seed:#x}, {flags:?}: {why:#}\nafter {shortest:#?}");
    }
    Ok(total)
}

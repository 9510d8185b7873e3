//! The programs beside a model of them: random sequences of packets and changes, and after each packet the same
//! verdict, the same bytes, and in the end the same counters.
//!
//! `SVC_LB_MODEL_SEED` chooses other sequences than those that are always played. A sequence that fails is shown with
//! its seed, without what is not needed for it to fail.

use anyhow::{Result, bail};
use std::{cell::RefCell, env};
use svc_lb_tests::model::{
    chance::Chance, node::Node, operation::Operation, play::Play, selection::Flags, shrink::shrink, tally::Tally,
};

/// How many sequences are played with each set of flags.
const SEQUENCES: u32 = 40;
/// How many operations are in one.
const LENGTH: usize = 1500;
/// How often a sequence that fails may be played to make it shorter.
const TRIALS: u32 = 600;

#[test]
fn the_programs_do_what_the_model_says() -> Result<()> {
    let seed = env::var("SVC_LB_MODEL_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let mut total = Tally::default();
    for (number, flags) in [
        Flags { external_cluster_ips: false, service_ranges: true },
        Flags { external_cluster_ips: true, service_ranges: false },
    ]
    .into_iter()
    .enumerate()
    {
        let tally = Node::with(flags, |node| play(node, flags, seed * 2 + number as u64))?;
        add(&mut total, tally);
    }
    println!("{total:#?}\n{} packets", total.packets());
    Ok(())
}

fn play(node: &mut Node, flags: Flags, seed: u64) -> Result<Tally> {
    let mut total = Tally::default();
    let node = RefCell::new(node);
    let sequence = RefCell::new(0);
    let run = |seed: u64, operations: &[Operation]| {
        *sequence.borrow_mut() += 1;
        Play::whole(&mut node.borrow_mut(), flags, *sequence.borrow(), seed, operations)
    };
    for number in 0..u64::from(SEQUENCES) {
        let seed = seed << 32 | number;
        let mut chance = Chance::new(!seed);
        let operations: Vec<Operation> = (0..LENGTH).map(|_| Operation::any(&mut chance)).collect();
        match run(seed, &operations) {
            Ok(tally) => {println!("{:?} {}", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH), tally.packets());add(&mut total, tally)},
            Err(first) => {
                println!("{first:#}");
                let program = |why: &anyhow::Error| why.root_cause().to_string().split(':').next().map(str::to_owned);
                let fails = |it: &[Operation]| run(seed, it).is_err_and(|why| program(&why) == program(&first));
                let shortest = shrink(operations, TRIALS, fails);
                let why = run(seed, &shortest).err().unwrap_or(first);
                bail!("seed {seed:#x}, {flags:?}: {why:#}\nafter {shortest:?}");
            }
        }
    }
    Ok(total)
}

fn add(total: &mut Tally, tally: Tally) {
    for (key, count) in tally.events {
        *total.events.entry(key).or_default() += count;
    }
    for (key, count) in tally.drops {
        *total.drops.entry(key).or_default() += count;
    }
    for (key, count) in tally.occasions {
        *total.occasions.entry(key).or_default() += count;
    }
}

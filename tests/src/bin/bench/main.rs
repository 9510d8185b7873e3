//! `cargo xtask bench`: what svc-lb costs, and whether that is within its targets.
//!
//! Everything is measured in network namespaces of its own, and compared with something that was measured in
//! the same run: absolute figures are the machine's.

mod end_to_end;
mod kube_proxy;
mod legs;
mod measurement;
mod nft;
mod packets;
mod parallel;
mod processor;
mod report;
mod rounds;
mod scale;
mod socket_lb;
mod tool;
mod traffic;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use report::{Group, Report};
use rounds::Effort;
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures the dataplane, and compares it with its targets.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// What to measure; everything, if nothing is named
    what: Vec<Benchmark>,
    /// Measure fewer rounds, and not the largest sizes: a first impression in less than two minutes
    #[arg(long)]
    quick: bool,
    /// End with a line that counts the targets, and fail if one is missed
    #[arg(long)]
    check: bool,
    /// Where the report goes: report.json and report.html
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// What a packet costs in each program, by test runs in the kernel
    Packets,
    /// What connect-time load balancing costs, against connections without any and against nftables
    SocketLb,
    /// What a client sees: NodePorts and a ClusterIP, against nobody between, kube-proxy and HAProxy
    EndToEnd,
    /// What up to 50,000 Services cost to start with, to change and to look up, against nftables
    Scale,
}

impl Benchmark {
    /// As it is named on the command line.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What a quick measurement leaves out.
    const fn left_out_when_quick(self) -> &'static str {
        match self {
            Self::Packets => "524,288 flows, floods of new flows",
            Self::SocketLb => "",
            Self::EndToEnd => "IPv6, and of the other Services all but 1,000, except with iptables",
            Self::Scale => "50,000 Services",
        }
    }

    /// Measures, and hands over each group of measurements as soon as it is complete.
    fn run(self, effort: Effort, done: &mut (dyn FnMut(Group) + Send)) -> Result<()> {
        match self {
            Self::Packets => packets::measure(effort, done),
            Self::SocketLb => socket_lb::measure(effort, done),
            Self::EndToEnd => end_to_end::measure(effort, done),
            Self::Scale => scale::measure(effort, done),
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let what = if arguments.what.is_empty() { Benchmark::value_variants() } else { &arguments.what };
    let effort = if arguments.quick { Effort::Quick } else { Effort::Full };
    let mut report = Report::new(arguments.output, arguments.quick);
    let mut summary = String::new();
    for &benchmark in what {
        let (start, mut written) = (Instant::now(), Ok(()));
        benchmark.run(effort, &mut |group| {
            println!("{group}");
            if written.is_ok() {
                written = report.add(&benchmark.name(), group);
            }
        })?;
        written?;
        let left_out = if arguments.quick { benchmark.left_out_when_quick() } else { "" };
        summary.push_str(&line_of_summary(&benchmark.name(), start.elapsed(), left_out));
    }
    println!("{summary}");
    println!("Written to {}", report.page().display());
    let tally = report.tally();
    if arguments.check {
        println!("{tally}");
    }
    Ok(if arguments.check && tally.missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a benchmark took, and what it left out.
fn line_of_summary(benchmark: &str, took: Duration, left_out: &str) -> String {
    let left_out = if left_out.is_empty() { String::new() } else { format!("  left out: {left_out}") };
    format!("{benchmark:10}  {:5.1} s{left_out}\n", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn benchmarks_are_named_as_words() {
        let arguments = Arguments::try_parse_from(["bench", "socket-lb", "packets", "--quick"]).unwrap();
        assert_eq!(arguments.what, [Benchmark::SocketLb, Benchmark::Packets]);
        assert!(arguments.quick && !arguments.check);
    }

    #[test]
    fn the_summary_tells_what_was_left_out() {
        let took = Duration::from_millis(8140);
        assert_eq!(line_of_summary("socket-lb", took, ""), "socket-lb     8.1 s\n");
        assert_eq!(line_of_summary("scale", took, "much"), "scale         8.1 s  left out: much\n");
    }
}

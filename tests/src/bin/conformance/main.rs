//! `cargo xtask conformance`: kube-proxy's own decision tables, played to the real programs.
//!
//! A case is a node with objects and packets, and says what kube-proxy does with each packet. svc-lb gets the same
//! objects on a node like that, and each packet is sent through the programs at which it would arrive. svc-lb must
//! do the same, or what the [rules](difference) of its differences say.

mod case;
mod choices;
mod connect;
mod difference;
mod frame;
mod network;
mod node;
mod origin;
mod outcome;
mod packets;
mod tally;

use anyhow::{Context, Result, ensure};
use case::Case;
use choices::Choices;
use clap::Parser;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tally::{Judgement, Tally};

/// Compares svc-lb with kube-proxy's decisions, case by case.
#[derive(Parser)]
#[command(name = "cargo xtask conformance", bin_name = "cargo xtask conformance")]
struct Arguments {
    /// The folder of the cases: nft-*.json, packets; topology-*.json, endpoint choices
    folder: PathBuf,
}

fn main() -> Result<ExitCode> {
    let Arguments { folder } = Arguments::parse();
    let cases = read(&folder, "nft-", Case::read)?;
    let choices = read(&folder, "topology-", |text| Ok(serde_json::from_str::<Choices>(text)?))?;
    ensure!(!cases.is_empty() || !choices.is_empty(), "{} holds no case", folder.display());

    let mut all = Tally::default();
    let judged = packets::judge(&cases.iter().map(|(_, case)| case).collect::<Vec<_>>())?;
    for ((file, case), judgements) in cases.iter().zip(&judged) {
        let names = case.packets.iter().map(|packet| packet.name.as_str());
        all.merge(&report(file, names.zip(judgements)));
    }
    for (file, Choices { cases, .. }) in &choices {
        let judgements: Vec<_> = cases.iter().map(choices::Choice::judge).collect();
        let names = cases.iter().map(|choice| choice.name.as_str());
        all.merge(&report(file, names.zip(&judgements)));
    }
    println!("\nDifferences by design, and how often they occurred:\n{}", all.legend());
    println!("{all}");
    Ok(if all.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the files of a folder whose names begin so, by name.
fn read<T>(folder: &Path, prefix: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<(String, T)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<String>>>()?;
    names.retain(|name| {
        name.starts_with(prefix) && Path::new(name).extension().is_some_and(|it| it == "json")
    });
    names.sort();
    let file = |name: String| {
        let parsed = fs::read_to_string(folder.join(&name)).map_err(Into::into).and_then(|text| parse(&text));
        let parsed = parsed.with_context(|| format!("{name} cannot be read"))?;
        Ok((name, parsed))
    };
    names.into_iter().map(file).collect()
}

/// Prints a line for a file, and what is wrong in it.
fn report<'a>(file: &str, judgements: impl Iterator<Item = (&'a str, &'a Judgement)> + Clone) -> Tally {
    let mut tally = Tally::default();
    judgements.clone().for_each(|(_, judgement)| tally.add(judgement));
    println!("{file}: {tally}");
    for (name, judgement) in judgements {
        if let Judgement::Wrong(why) = judgement {
            println!("    {name}\n        {}", why.replace('\n', "\n        "));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}

//! `--config`: a YAML mapping in which every flag of `run` is a key, spelt as the flag without its
//! dashes in front.
//!
//! ```yaml
//! services: /etc/svc-lb/manifests
//! cluster-cidr: [10.244.0.0/16, fd00:10:244::/56]
//! xdp-mode: native
//! ```

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use std::{error::Error as _, fs, io, path::Path};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("--config {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("--config {path}:{mistake}")]
    Content {
        /// Which file.
        path: String,
        /// What and where.
        mistake: Mistake,
    },
}

/// Something wrong, with its place in the file.
#[derive(Debug, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct Mistake {
    /// The line, from 1.
    line: usize,
    /// The column, from 1.
    column: usize,
    /// What is wrong.
    what: String,
}

impl Mistake {
    fn new(place: Marker, what: impl Into<String>) -> Self {
        Self { line: place.line(), column: place.col() + 1, what: what.into() }
    }
}

/// A text of the file, and where it stands.
type Placed = (String, Marker);

/// The flags that a file holds, as words of a command line, without those that `given` has from the
/// command line itself: a list there replaces a list here.
pub fn read(path: &Path, run: &Command, given: &ArgMatches) -> Result<Vec<String>, ConfigError> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| ConfigError::File { path: name(), source })?;
    words(&text, run, given).map_err(|mistake| ConfigError::Content { path: name(), mistake })
}

fn words(text: &str, run: &Command, given: &ArgMatches) -> Result<Vec<String>, Mistake> {
    let mut seen = Vec::new();
    let mut words = Vec::new();
    for ((key, place), values) in entries(text)? {
        let is_flag = |flag: &&Arg| flag.get_long() == Some(&key) && !["config", "help"].contains(&&*key);
        let Some(flag) = run.get_arguments().find(is_flag) else {
            return Err(Mistake::new(place, format!("{key:?} is not a flag of run")));
        };
        if seen.contains(&key) {
            return Err(Mistake::new(place, format!("{key:?} is there twice")));
        }
        let of_flag = flag_words(run, flag, values)?;
        if given.value_source(flag.get_id().as_str()) != Some(ValueSource::CommandLine) {
            words.extend(of_flag);
        }
        seen.push(key);
    }
    Ok(words)
}

/// A flag with its values, as words of a command line.
fn flag_words(run: &Command, flag: &Arg, mut values: Vec<Placed>) -> Result<Vec<String>, Mistake> {
    if !matches!(flag.get_action(), ArgAction::Append)
        && let Some(&(_, place)) = values.first()
    {
        // The flag is not repeated: it takes its list as one word.
        let texts: Vec<String> = values.into_iter().map(|(text, _)| text).collect();
        values = vec![(texts.join(","), place)];
    }
    let name = flag.get_long().unwrap_or_default();
    let word = |(value, place): Placed| {
        let word = format!("--{name}={value}");
        match run.clone().try_get_matches_from(["run", &word]) {
            Ok(_) => Ok(word),
            Err(error) => {
                let why = error.source().map_or_else(|| error.kind().to_string(), ToString::to_string);
                Err(Mistake::new(place, format!("{value:?} is no value of {name:?}: {why}")))
            }
        }
    };
    values.into_iter().map(word).collect()
}

/// Where in the file the parser is.
enum Within {
    /// Before the mapping.
    Start,
    /// The mapping, where a key follows.
    Mapping,
    /// Behind a key.
    Entry(Placed),
    /// The list that is the value of a key.
    List(Placed, Vec<Placed>),
    /// Behind the mapping.
    End,
}

/// The keys with their values, one or a list, in the order of the file.
fn entries(text: &str) -> Result<Vec<(Placed, Vec<Placed>)>, Mistake> {
    let mut entries = Vec::new();
    let mut within = Within::Start;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Mistake::new(*error.marker(), error.info()))?;
        let place = span.start;
        within = match (within, event) {
            (
                within,
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd,
            ) => within,
            (Within::Start, Event::MappingStart(..)) => Within::Mapping,
            (Within::Mapping, Event::Scalar(key, ..)) => Within::Entry((key.into_owned(), place)),
            (Within::Mapping, Event::MappingEnd) => Within::End,
            (Within::Entry(key), Event::Scalar(value, style, ..)) if !is_null(&value, style) => {
                entries.push((key, vec![(value.into_owned(), place)]));
                Within::Mapping
            }
            (Within::Entry(key), Event::SequenceStart(..)) => Within::List(key, Vec::new()),
            (Within::List(key, mut values), Event::Scalar(value, style, ..)) if !is_null(&value, style) => {
                values.push((value.into_owned(), place));
                Within::List(key, values)
            }
            (Within::List(key, values), Event::SequenceEnd) => {
                entries.push((key, values));
                Within::Mapping
            }
            (Within::Start | Within::End, _) => {
                return Err(Mistake::new(place, "expected one mapping whose keys are flags"));
            }
            (Within::Mapping, _) => return Err(Mistake::new(place, "expected the name of a flag")),
            (Within::Entry((key, _)) | Within::List((key, _), _), _) => {
                return Err(Mistake::new(place, format!("expected a value of {key:?} or a list of values")));
            }
        };
    }
    Ok(entries)
}

/// Whether a value was left out.
fn is_null(value: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && ["", "~", "null"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;
    use clap::CommandFactory;

    /// The words that a file gives beside a command line.
    fn read(text: &str, line: &str) -> Result<Vec<String>, String> {
        let mut command = Arguments::command();
        command.build();
        let run = command.find_subcommand("run").expect("the subcommand");
        let flags = ["run"].into_iter().chain(line.split_whitespace());
        let given = run.clone().try_get_matches_from(flags).expect("valid flags");
        words(text, run, &given).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_flags() {
        let text = "services: /etc/svc-lb\ncluster-cidr: [10.0.0.0/8, fd00::/8]\n\
                    nodeport-addresses: [10.0.0.0/8, fd00::/8]\nflow-entries: 4096\ndetach-on-exit: true\n\
                    healthz-bind-address: \"\"\n";
        let expected = [
            "--services=/etc/svc-lb",
            "--cluster-cidr=10.0.0.0/8",
            "--cluster-cidr=fd00::/8",
            "--nodeport-addresses=10.0.0.0/8,fd00::/8",
            "--flow-entries=4096",
            "--detach-on-exit=true",
            "--healthz-bind-address=",
        ];
        assert_eq!(read(text, ""), Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn the_command_line_wins() {
        let text = "uplink: [eth0, eth1]\nxdp-mode: native\n";
        assert_eq!(read(text, "--uplink eth2"), Ok(vec!["--xdp-mode=native".to_owned()]));
        assert_eq!(read(text, "--xdp-mode auto --uplink eth2"), Ok(Vec::new()));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(read("", ""), Ok(Vec::new()));
        assert_eq!(read("# nothing yet\n\n", ""), Ok(Vec::new()));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("xdp-mode: auto\nxdpMode: off\n", "2:1: \"xdpMode\" is not a flag of run"),
            (
                "xdp-mode: fast\n",
                "1:11: \"fast\" is no value of \"xdp-mode\": expected auto, native, generic or off",
            ),
            ("uplink: a\nuplink: b\n", "2:1: \"uplink\" is there twice"),
            ("config: other.yaml\n", "1:1: \"config\" is not a flag of run"),
            (
                "\ncluster-cidr:\n- fd00::/8\n- 10.0.0.0\n",
                "4:3: \"10.0.0.0\" is no value of \"cluster-cidr\"",
            ),
            ("xdp-mode: off\nuplink:\n", "expected a value of \"uplink\" or a list of values"),
            ("uplink: {name: eth0}\n", "1:9: expected a value of \"uplink\" or a list of values"),
            ("- uplink\n", "1:1: expected one mapping whose keys are flags"),
            ("xdp-mode: off\n---\nuplink: eth0\n", "3:1: expected one mapping whose keys are flags"),
            ("[a]: b\n", "1:1: expected the name of a flag"),
            ("xdp-mode: 'off\n", "1:"),
        ] {
            let error = read(text, "").expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}

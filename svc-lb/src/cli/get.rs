//! `svc-lb get`: what the pinned maps hold, whether an agent runs or not.

mod affinity;
mod backends;
#[cfg(test)]
mod fixtures;
mod flows;
mod frontends;
mod services;

use super::{Get, GetOutput, Listing};
use crate::{dataplane::view::View, state_dir::StateDir, status::Status};
use serde::Serialize;
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Lists services, frontends, backends, flows or the backends that clients had last.
pub fn get(flags: &Get) -> anyhow::Result<ExitCode> {
    let view = View::open(&flags.directories.pin_dir)?;
    let wide = flags.output == GetOutput::Wide;
    let services = || -> anyhow::Result<_> {
        // The maps know nothing of a Service that has no address, the agent does.
        let agent = Status::read(&StateDir::new(&flags.directories.state_dir))?;
        let unserved = agent.map(|agent| agent.unserved).unwrap_or_default();
        Ok(services::rows(view.services()?, unserved))
    };
    let text = match (flags.what, flags.output) {
        (Listing::Services, GetOutput::Json) => json(&services()?)?,
        (Listing::Services, _) => services::table(&services()?, wide).to_string(),
        (Listing::Frontends, GetOutput::Json) => json(&frontends::rows(view.services()?))?,
        (Listing::Frontends, _) => frontends::table(&frontends::rows(view.services()?), wide).to_string(),
        (Listing::Backends, GetOutput::Json) => json(&backends::rows(view.services()?))?,
        (Listing::Backends, _) => backends::table(&backends::rows(view.services()?), wide).to_string(),
        (Listing::Flows, GetOutput::Json) => json(&view.flows()?)?,
        (Listing::Flows, GetOutput::Wide) => flows::entries(&view.flows()?).to_string(),
        (Listing::Flows, GetOutput::Table) => flows::connections(&view.flows()?).to_string(),
        (Listing::Affinity, GetOutput::Json) => json(&view.affinity()?)?,
        (Listing::Affinity, _) => affinity::table(&view.affinity()?, wide).to_string(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to the standard output; that nobody reads on is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// For programs.
pub(super) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

/// Seconds as kubectl shows an age: `42s`, `5m`, `3h`, `2d`.
pub(super) fn age(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([0, 119, 120, 7199, 7200, 172_800].map(age), ["0s", "119s", "2m", "119m", "2h", "2d"]);
    }
}

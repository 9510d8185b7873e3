//! What memory the agent takes, and its maps.

use super::scene::Scene;
use anyhow::{Context, Result};
use aya::maps::MapData;
use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};
use svc_lb_tests::wait::{SOON, until};

/// How long the agent must keep its memory to have settled.
const SETTLED: Duration = Duration::from_millis(200);

/// How much of an agent's memory is resident once it has settled, in megabytes.
pub fn resident(scene: &Scene) -> Result<f64> {
    let path = format!("/proc/{}/status", scene.agent()?);
    let now = || field(&path, "VmRSS:");
    let kibibytes = until("the agent's memory settles", SOON, || {
        let before = now()?;
        std::thread::sleep(SETTLED);
        Ok((now()? == before).then_some(before))
    })?;
    Ok(f64::from(kibibytes) * 1024.0 / 1e6)
}

/// How much memory the maps take that an agent pinned, in megabytes, as the kernel tells.
pub fn of_maps(scene: &Scene) -> Result<f64> {
    let layouts = fs::read_dir(scene.rig.pins())?.filter_map(Result::ok);
    let layouts = layouts.filter(|entry| entry.file_name().to_string_lossy().starts_with("maps-"));
    let mut bytes = 0.0;
    for layout in layouts {
        for pin in fs::read_dir(layout.path())? {
            let map = MapData::from_pin(pin?.path())?;
            let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
            bytes += f64::from(field(&path, "memlock:")?);
        }
    }
    Ok(bytes / 1e6)
}

/// The number that follows a word in a file of `/proc`.
fn field(path: &str, name: &str) -> Result<u32> {
    let text = fs::read_to_string(path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name} in {path}"))?.parse()?)
}

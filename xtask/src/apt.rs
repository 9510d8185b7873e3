//! Debian's and Ubuntu's packages.

use crate::{
    process::{find, is_root, run_quietly},
    steps::say,
};
use anyhow::{Result, ensure};
use std::process::Command;

/// Installs packages, after refreshing the list of packages once.
#[derive(Default)]
pub struct Apt {
    updated: bool,
}

impl Apt {
    /// Installs packages, and says so.
    pub fn install(&mut self, packages: &[&str]) -> Result<()> {
        let list = packages.join(" ");
        ensure!(find("apt-get").is_some(), "{list}: needed, and there is no apt-get here to install it");
        ensure!(is_root(), "{list}: needed, and only root may install it");
        if !self.updated {
            say("apt-get update");
            run_quietly(apt_get().arg("update"))?;
            self.updated = true;
        }
        say(&format!("apt-get install {list}"));
        // Nothing that is installed may have to go for it: that is for a person to decide.
        run_quietly(
            apt_get().args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(packages),
        )
    }
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

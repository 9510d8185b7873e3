//! Debian's and Ubuntu's packages.

use crate::{
    process::{find, is_root, run_quietly},
    steps::say,
};
use anyhow::{Result, bail};
use std::process::Command;

/// Installs packages, after refreshing the list of packages once.
#[derive(Default)]
pub struct Apt {
    updated: bool,
}

impl Apt {
    /// Installs packages. Where that cannot be, says what a person has to do; `otherwise` is the way
    /// that needs none of these packages, line by line.
    pub fn install(&mut self, packages: &[&str], otherwise: &[&str]) -> Result<()> {
        if let Err(error) = self.try_install(packages) {
            let by_hand: Vec<String> =
                [format!("sudo apt-get update && sudo apt-get install {}", packages.join(" "))]
                    .into_iter()
                    .chain(otherwise.iter().map(|line| format!("or {line}")))
                    .chain(["then cargo xtask setup".to_owned()])
                    .collect();
            bail!("{error:#}\nBy hand:\n  {}", by_hand.join("\n  "));
        }
        Ok(())
    }

    fn try_install(&mut self, packages: &[&str]) -> Result<()> {
        let list = packages.join(" ");
        if find("apt-get").is_none() {
            bail!("{list}: needed, and there is no apt-get here to install it");
        }
        if !is_root() {
            bail!("{list}: needed, and only root may install it");
        }
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

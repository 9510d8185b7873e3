//! Where and when it was measured.

use std::{fs, process::Command, thread};

/// What figures depend on. What cannot be found out is said to be unknown: no measurement fails for it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// When it began, as RFC 3339 has it.
    pub date: String,
    /// What was measured, as git describes it; with `-dirty`, if it was changed since.
    pub commit: String,
}

impl Machine {
    /// This machine, now.
    pub fn this() -> Self {
        let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        Self {
            kernel: or_unknown(kernel()),
            processor: or_unknown(processor()),
            processors: thread::available_parallelism().map_or(0, Into::into),
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: or_unknown(commit()),
        }
    }
}

fn kernel() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned())
}

fn processor() -> Option<String> {
    let table = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = table.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let output = git.current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

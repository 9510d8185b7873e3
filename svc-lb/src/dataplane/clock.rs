//! The dataplane's clock, by which flows age: the pinned program `clock` tells it, in a test run.

use super::error::{DataplaneError, chain};
use aya::{
    TestRun, TestRunOptions,
    programs::{ProgramError, Xdp},
};
use aya_obj::programs::XdpAttachType;
use std::path::Path;

/// The name of the program, and of its pin.
pub const PROGRAM: &str = "clock";

/// The shortest packet that the kernel accepts for a test run: an Ethernet header.
const PACKET: [u8; 14] = [0; 14];

/// The clock, as the programs read it.
#[derive(Debug)]
pub struct Clock(Xdp);

impl Clock {
    /// The clock of the dataplane that is pinned in a directory.
    pub fn open(pin_dir: &Path) -> Result<Self, DataplaneError> {
        Xdp::from_pin(pin_dir.join(PROGRAM), XdpAttachType::Interface)
            .map(Self)
            .map_err(|error| failed(&error))
    }

    /// What it shows, in seconds.
    pub fn now(&self) -> Result<u32, DataplaneError> {
        let options = TestRunOptions { data_in: Some(&PACKET), ..TestRunOptions::default() };
        self.0.test_run(options).map(|result| result.return_value).map_err(|error| failed(&error))
    }
}

fn failed(error: &ProgramError) -> DataplaneError {
    DataplaneError::Program { program: PROGRAM, reason: chain(error), log: String::new() }
}

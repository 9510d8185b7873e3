//! One file a subcommand.

mod arguments;

pub use arguments::{
    Arguments, Check, Cleanup, Command, Directories, Flows, Get, GetOutput, Interfaces, Listing, Run,
    ServicesOptions, Status, StatusOutput,
};

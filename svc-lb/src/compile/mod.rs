//! Cluster + node → the tables that the programs want. Pure: no I/O, no clock, no order of arrival.

mod tables;

pub use tables::{Family, Frontend, FrontendKind, Lists, Ownership, Protocol, ServicePort, Tables, Target};

//! Manifests in files → Kubernetes objects, and what is wrong with them.
//!
//! - [`FileSource`]: the files of `--services`, read and watched
//! - [`Objects`]: what they hold; each object knows its [`Origin`]
//! - [`Finding`]: what is wrong, where, and how to mend it
//!
//! A file is split into documents, a document is parsed into objects, and each object is checked as
//! the API server would. What is bad is reported and does not take anything else with it.

mod address;
pub mod annotations;
mod cidr;
mod cluster_ips;
mod content;
mod difference;
mod digest;
mod document;
mod family;
mod field_names;
mod file;
mod files;
mod finding;
mod interned;
pub mod labels;
mod name;
mod objects;
mod outline;
mod parse;
mod plain;
mod protocol;
mod service;
mod signature;
mod slice;
mod slim;
mod unserved;
mod validate;
mod watch;
mod way;

pub use address::{parse_address, why_unusable};
pub use cidr::parse_cidr;
pub use difference::{Difference, changed};
pub use family::Family;
pub use files::{FileSource, Reading, read_text};
pub use finding::{Finding, Position, Problem, Severity};
pub use interned::interned;
pub use name::Name;
pub use objects::{NamedSlice, Object, Objects, Origin, Remark};
pub use protocol::Protocol;
pub use service::{Ingress, Selector, Service, ServicePort};
pub use slice::{EndpointSlice, Hints, PodReference, SliceEndpoint, SlicePort};

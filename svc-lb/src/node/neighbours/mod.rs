//! The neighbours that svc-lb sends to: which are kept resolved, and how.

mod entry;
mod keeper;
mod wanted;

pub use entry::Entry;
pub use keeper::{Keeper, remove};
pub use wanted::{Neighbour, wanted};

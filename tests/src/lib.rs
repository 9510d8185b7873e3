//! The harness: hosts in network namespaces, and what they say to each other.

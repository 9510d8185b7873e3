//! The agent of svc-lb.

fn main() {}

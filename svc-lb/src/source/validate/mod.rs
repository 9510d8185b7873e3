//! What the Kubernetes API server would say to an object, for the fields that svc-lb reads. It is in
//! front of the cluster's objects, but nothing is in front of a file.
//!
//! Whatever it would not take is an error. If svc-lb reads what is wrong, the object is left out
//! ([`Problem::refusal`]). If that has no effect here, or can only be meant in one way, the object stays, and
//! the finding says how it is served ([`Problem::error`]).
//!
//! The rules are those of `pkg/apis/core/validation`, `pkg/apis/discovery/validation` and
//! `pkg/registry/core/service` of Kubernetes 1.36, after its defaults have been filled in.

mod endpoint_slice;
mod endpoints;
mod metadata;
mod names;
mod node;
mod pod;
mod probe;
mod service;
#[cfg(test)]
mod tests;
mod values;

pub(super) use metadata::validate as validate_metadata;
pub(super) use names::{is_dns_label, is_dns_name};

use super::finding::Problem;

/// An object that can be checked.
pub(super) trait Validate {
    /// Adds what is wrong with the object, apart from its `metadata`.
    fn validate(&self, problems: &mut Vec<Problem>);
}

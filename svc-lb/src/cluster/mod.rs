//! The objects joined: services with their endpoints.

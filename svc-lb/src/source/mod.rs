//! Manifests in files → Kubernetes objects, and what is wrong with them.

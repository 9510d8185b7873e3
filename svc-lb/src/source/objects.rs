//! The Kubernetes objects that svc-lb reads, and where each was written down.

use super::{
    document::Document,
    finding::{Finding, Position, Problem},
};
use k8s_openapi::api::{
    core::v1::{Endpoints, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::Path,
    sync::Arc,
};

/// Every object, by its name. An object is in here only if the API server would have taken it.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Service v1.
    pub services: BTreeMap<Name, Object<Service>>,
    /// EndpointSlice discovery.k8s.io/v1.
    pub endpoint_slices: BTreeMap<Name, Object<EndpointSlice>>,
    /// Endpoints v1.
    pub endpoints: BTreeMap<Name, Object<Endpoints>>,
    /// Pod v1.
    pub pods: BTreeMap<Name, Object<Pod>>,
    /// Node v1. Nodes have no namespace: it is empty.
    pub nodes: BTreeMap<Name, Object<Node>>,
}

/// What tells an object from the others of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Name {
    /// `metadata.namespace`; `default` where a namespaced object leaves it out.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for Name {
    /// `namespace/name`, or the name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.pad(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self { namespace: namespace.to_owned(), name: name.to_owned() },
            None => Self { namespace: String::new(), name: text },
        }
    }
}

/// An object and its origin. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// The object.
    pub value: Arc<T>,
    /// Where it was written down.
    pub origin: Origin,
}

/// Where an object was written down. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file, as it was named.
    pub(super) file: Arc<Path>,
    /// How many lines of the file come before the document.
    pub(super) lines_before: usize,
    /// The document.
    pub(super) document: Arc<Document>,
    /// The path of the object in the document: empty, or `items[3].` in a List.
    pub(super) prefix: Arc<str>,
}

impl Origin {
    /// A problem with the object, at its place.
    pub fn finding(&self, problem: Problem) -> Finding {
        let position = self.position(&problem.field);
        Finding::at(&self.file, position, problem)
    }

    /// The file, and the line of the object's name.
    pub fn place(&self) -> (&Path, usize) {
        (&self.file, self.position("metadata.name").line)
    }

    /// Where a field stands in the file.
    fn position(&self, field: &str) -> Position {
        self.document.position(&format!("{}{field}", self.prefix)).below(self.lines_before)
    }
}

/// The kinds of [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Service,
    EndpointSlice,
    Endpoints,
    Pod,
    Node,
}

impl Kind {
    /// From `apiVersion` and `kind`.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version, kind) {
            ("v1", "Service") => Some(Self::Service),
            ("discovery.k8s.io/v1", "EndpointSlice") => Some(Self::EndpointSlice),
            ("v1", "Endpoints") => Some(Self::Endpoints),
            ("v1", "Pod") => Some(Self::Pod),
            ("v1", "Node") => Some(Self::Node),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The content of an object.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Endpoints(Arc<Endpoints>),
    Pod(Arc<Pod>),
    Node(Arc<Node>),
}

impl Objects {
    /// Adds an object, unless there is one of this kind and name: then the one that is there stays, and
    /// its origin is given back.
    pub(super) fn insert(&mut self, name: Name, value: Value, origin: Origin) -> Result<(), Origin> {
        fn insert<T>(
            objects: &mut BTreeMap<Name, Object<T>>,
            name: Name,
            value: Arc<T>,
            origin: Origin,
        ) -> Result<(), Origin> {
            match objects.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Object { value, origin });
                    Ok(())
                }
                Entry::Occupied(entry) => Err(entry.get().origin.clone()),
            }
        }
        match value {
            Value::Service(value) => insert(&mut self.services, name, value, origin),
            Value::EndpointSlice(value) => insert(&mut self.endpoint_slices, name, value, origin),
            Value::Endpoints(value) => insert(&mut self.endpoints, name, value, origin),
            Value::Pod(value) => insert(&mut self.pods, name, value, origin),
            Value::Node(value) => insert(&mut self.nodes, name, value, origin),
        }
    }
}

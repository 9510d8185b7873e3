//! The Kubernetes objects that svc-lb reads, and where each was written down.

use super::{
    document::Document,
    finding::{Finding, Position, Problem},
    name::Name,
    service::Service,
    slice::EndpointSlice,
};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    fmt,
    path::Path,
    sync::Arc,
};

/// Every object, by its name. An object is in here only if the API server would have taken it.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Service v1.
    pub services: BTreeMap<Arc<Name>, Object<Service>>,
    /// EndpointSlice discovery.k8s.io/v1.
    pub endpoint_slices: BTreeMap<Arc<Name>, Object<EndpointSlice>>,
    /// Endpoints v1.
    pub endpoints: BTreeMap<Arc<Name>, Object<Endpoints>>,
    /// Pod v1.
    pub pods: BTreeMap<Arc<Name>, Object<Pod>>,
    /// Node v1. Nodes have no namespace: it is empty.
    pub nodes: BTreeMap<Arc<Name>, Object<Node>>,
    /// The slices of each Service, by its name, in the order of their own.
    slices: HashMap<Name, Vec<NamedSlice>>,
}

/// An EndpointSlice and its name.
pub type NamedSlice = (Arc<Name>, Arc<EndpointSlice>);

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
        self.document.position(&format!("{}{field}", self.prefix)).below(self.document.lines_before())
    }
}

/// Something that is wrong with an object, before it is told. Its place is looked up when it is: documents move
/// as others above them change.
#[derive(Clone, Debug)]
pub struct Remark {
    /// The object.
    pub origin: Origin,
    /// What is wrong.
    pub problem: Problem,
}

impl Remark {
    /// With its place.
    pub fn finding(&self) -> Finding {
        self.origin.finding(self.problem.clone())
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
    /// The EndpointSlices of a Service that proxies look at, in the order of their names.
    pub fn slices_of(&self, service: &Name) -> &[NamedSlice] {
        self.slices.get(service).map_or(&[], Vec::as_slice)
    }

    /// Whether there is an object of this kind and name.
    pub(super) fn contains(&self, kind: Kind, name: &Name) -> bool {
        match kind {
            Kind::Service => self.services.contains_key(name),
            Kind::EndpointSlice => self.endpoint_slices.contains_key(name),
            Kind::Endpoints => self.endpoints.contains_key(name),
            Kind::Pod => self.pods.contains_key(name),
            Kind::Node => self.nodes.contains_key(name),
        }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, kind: Kind, name: &Name) -> Option<(Value, Origin)> {
        fn remove<T>(
            objects: &mut BTreeMap<Arc<Name>, Object<T>>,
            name: &Name,
            value: fn(Arc<T>) -> Value,
        ) -> Option<(Value, Origin)> {
            objects.remove(name).map(|object| (value(object.value), object.origin))
        }
        let removed = match kind {
            Kind::Service => remove(&mut self.services, name, Value::Service),
            Kind::EndpointSlice => remove(&mut self.endpoint_slices, name, Value::EndpointSlice),
            Kind::Endpoints => remove(&mut self.endpoints, name, Value::Endpoints),
            Kind::Pod => remove(&mut self.pods, name, Value::Pod),
            Kind::Node => remove(&mut self.nodes, name, Value::Node),
        };
        if let Some((Value::EndpointSlice(slice), _)) = &removed
            && let Some(service) = slice.service_of(name)
            && let Some(slices) = self.slices.get_mut(&service)
        {
            slices.retain(|(other, _)| **other != *name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        removed
    }

    /// Adds an object, unless there is one of this kind and name: then the one that is there stays, and
    /// its origin is given back.
    pub(super) fn insert(&mut self, name: Arc<Name>, value: Value, origin: Origin) -> Result<(), Origin> {
        fn insert<T>(
            objects: &mut BTreeMap<Arc<Name>, Object<T>>,
            name: Arc<Name>,
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
            Value::EndpointSlice(value) => {
                insert(&mut self.endpoint_slices, Arc::clone(&name), Arc::clone(&value), origin)?;
                if let Some(service) = value.service_of(&name) {
                    let slices = self.slices.entry(service).or_default();
                    let place = slices.partition_point(|(other, _)| *other < name);
                    // Most have one slice only.
                    slices.reserve_exact(1);
                    slices.insert(place, (name, value));
                }
                Ok(())
            }
            Value::Endpoints(value) => insert(&mut self.endpoints, name, value, origin),
            Value::Pod(value) => insert(&mut self.pods, name, value, origin),
            Value::Node(value) => insert(&mut self.nodes, name, value, origin),
        }
    }
}

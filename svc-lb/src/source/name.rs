//! The names of objects.

use serde::{Deserialize, Serialize};
use std::fmt;

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

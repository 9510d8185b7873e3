//! What an object may be read from.

use super::{
    field_names::{Step, resembling},
    finding::Problem,
    plain::Node,
};
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_yaml::Value as Yaml;

/// The content of an object, of no type yet.
pub trait Content {
    /// The text that some keys lead to, one within the other.
    fn text(&self, keys: &[&str]) -> Option<&str>;

    /// Reads it as a type; `None` if that cannot be. Adds what is wrong.
    fn read<T: DeserializeOwned>(self, problems: &mut Vec<Problem>) -> Option<T>;
}

impl Content for Yaml {
    fn text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().try_fold(self, |value, key| value.get(key))?.as_str()
    }

    fn read<T: DeserializeOwned>(self, problems: &mut Vec<Problem>) -> Option<T> {
        let mut unknown = Vec::new();
        let mut on_unknown = |path: Path<'_>| unknown.push(steps(&path));
        let deserializer = serde_ignored::Deserializer::new(self, &mut on_unknown);
        let value: T = match serde_path_to_error::deserialize(deserializer) {
            Ok(value) => value,
            Err(error) => {
                let field = error.path().to_string();
                problems.push(Problem::refusal(
                    &field,
                    format!("{field} cannot be read"),
                    error.inner().to_string().replace("expected i32", "expected an integer"),
                    "write what `kubectl explain` says of this field",
                ));
                return None;
            }
        };
        problems.extend(unknown.into_iter().map(|(field, steps)| {
            let what = format!("{field} is no field that svc-lb knows");
            let mend = resembling::<T>(&steps).map_or_else(
                || "check how it is spelt and indented".to_owned(),
                |meant| format!("write {meant}, if that is meant"),
            );
            Problem::warning(field, what, "so it has no effect", mend)
        }));
        Some(value)
    }
}

/// What is wrong cannot be told here: then it is not read.
impl Content for Node<'_, '_> {
    fn text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().try_fold(*self, |node, key| node.get(key))?.as_str()
    }

    fn read<T: DeserializeOwned>(self, _problems: &mut Vec<Problem>) -> Option<T> {
        let mut is_known = true;
        let value = serde_ignored::deserialize(self, |_| is_known = false);
        value.ok().filter(|_| is_known)
    }
}

/// A path as in `spec.ports[1].port`, and its steps.
fn steps(path: &Path<'_>) -> (String, Vec<Step>) {
    match path {
        Path::Root => (String::new(), Vec::new()),
        Path::Seq { parent, index } => {
            let (text, mut steps) = steps(parent);
            steps.push(Step::Item);
            (format!("{text}[{index}]"), steps)
        }
        Path::Map { parent, key } => {
            let (text, mut steps) = steps(parent);
            steps.push(Step::Field(key.clone()));
            (if text.is_empty() { key.clone() } else { format!("{text}.{key}") }, steps)
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            steps(parent)
        }
    }
}

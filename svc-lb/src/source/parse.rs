//! One document → its objects, and what is wrong with it.

#[cfg(test)]
mod tests;

use super::{
    annotations,
    content::Content,
    digest::Digest,
    document::Document,
    finding::{Position, Problem},
    interned::interned,
    name::Name,
    objects::{Kind, Value},
    outline::Outline,
    plain::Plain,
    service::Service,
    slice::EndpointSlice,
    slim::slim_pod,
    unserved::unserved,
    validate::{Validate, is_dns_label, is_dns_name, validate_metadata},
};
use k8s_openapi::{
    Metadata,
    api::{core::v1 as core, discovery::v1 as discovery},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::de::DeserializeOwned;
use serde_yaml::Value as Yaml;
use std::sync::Arc;

/// What a document holds.
#[derive(Debug)]
pub struct Parsed {
    /// The document.
    pub document: Arc<Document>,
    /// The good objects, in their order.
    pub items: Vec<Item>,
    /// The objects that are refused, but tell which they are.
    pub refused: Vec<(Kind, Arc<Name>)>,
    /// Whether there is something in it that does not tell which object it is.
    pub obscure: bool,
    /// What is wrong, and where in the document.
    pub problems: Vec<(Position, Problem)>,
}

/// An object of a document.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<Name>,
    /// Its content.
    pub value: Value,
    /// Its path in the document: empty, or `items[3].` in a List.
    pub prefix: Arc<str>,
}

impl Parsed {
    /// Reads the text of one document, which has this digest.
    pub fn new(text: &str, digest: Digest) -> Self {
        let mut parsed = Self::plain(text, digest).unwrap_or_else(|| Self::full(text, digest));
        parsed.items.shrink_to_fit();
        parsed
    }

    fn empty(document: Document) -> Self {
        Self {
            document: Arc::new(document),
            items: Vec::new(),
            refused: Vec::new(),
            obscure: false,
            problems: Vec::new(),
        }
    }

    /// The fast way, for what nearly all documents are: plain, and a good object of a known kind. `None` for others.
    fn plain(text: &str, digest: Digest) -> Option<Self> {
        let plain = Plain::read(text)?;
        let root = plain.root();
        let kind = Kind::of(root.text(&["apiVersion"])?, root.text(&["kind"])?)?;
        let name = name_of(kind, &root).ok()?;
        let mut parsed = Self::empty(Document::new(digest, Outline::shared(&plain.outline)));
        parsed.read_object(kind, Arc::new(name), root, "");
        parsed.refused.is_empty().then_some(parsed)
    }

    /// The way for every document, which tells all that may be wrong with it.
    fn full(text: &str, digest: Digest) -> Self {
        let mut parsed = Self::empty(Document::new(digest, Arc::new(Outline::new(text))));
        match parse(text) {
            Ok(yaml) => parsed.read(yaml, ""),
            Err(error) => {
                let location = error.location();
                let position = location.map_or(Position::START, |location| Position {
                    line: location.line(),
                    column: location.column(),
                });
                let problem = Problem::refusal(
                    "",
                    "this document is not YAML",
                    without_location(&error),
                    "mend it here or just above; the other documents of the file are read",
                );
                parsed.problems.push((position, problem));
                parsed.obscure = true;
            }
        }
        parsed
    }

    /// Reads an object, or a List of them, at a path of the document.
    fn read(&mut self, yaml: Yaml, prefix: &str) {
        if yaml.is_null() {
            return;
        }
        let owned = |field| yaml.text(&[field]).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (owned("apiVersion"), owned("kind")) else {
            self.obscure = true;
            let missing = if owned("kind").is_none() { "kind" } else { "apiVersion" };
            let problem = Problem::refusal(
                missing,
                format!("{missing} is missing"),
                "an object of Kubernetes starts with apiVersion and kind",
                "write both, such as apiVersion: v1 and kind: Service",
            );
            return self.add(prefix, problem);
        };
        if let Some(item_kind) = list_of(&api_version, &kind) {
            return self.read_list(yaml, prefix, &api_version, item_kind);
        }
        let Some(kind) = Kind::of(&api_version, &kind) else {
            let name = yaml.text(&["metadata", "name"]).unwrap_or("without a name");
            let problem = Problem::info(
                "kind",
                format!("{kind} {name} ({api_version}) is not read"),
                "svc-lb reads Service, Endpoints, Pod and Node of v1 and EndpointSlice of discovery.k8s.io/v1",
                "it may stay in the file",
            );
            return self.add(prefix, problem);
        };
        match name_of(kind, &yaml) {
            Ok(name) => self.read_object(kind, Arc::new(name), yaml, prefix),
            Err(problem) => {
                self.obscure = true;
                self.add(prefix, problem);
            }
        }
    }

    /// Reads the items of a List. Those of a typed one, such as ServiceList, may leave out what the
    /// List says of them all.
    fn read_list(&mut self, mut yaml: Yaml, prefix: &str, api_version: &str, item_kind: &str) {
        let items = match yaml.get_mut("items").map(std::mem::take) {
            Some(Yaml::Sequence(items)) => items,
            None | Some(Yaml::Null) => return,
            Some(_) => {
                self.obscure = true;
                return self.add(
                    prefix,
                    Problem::refusal("items", "items is not a list", "it holds the objects", "write a list"),
                );
            }
        };
        for (index, mut item) in items.into_iter().enumerate() {
            if let Yaml::Mapping(fields) = &mut item
                && !item_kind.is_empty()
            {
                fields.entry("apiVersion".into()).or_insert_with(|| api_version.into());
                fields.entry("kind".into()).or_insert_with(|| item_kind.into());
            }
            self.read(item, &format!("{prefix}items[{index}]."));
        }
    }

    /// Reads an object of a known kind and name.
    fn read_object(&mut self, kind: Kind, name: Arc<Name>, content: impl Content, prefix: &str) {
        let mut problems = Vec::new();
        let value = match kind {
            Kind::Service => typed::<core::Service>(kind, content, &mut problems).map(|service| {
                problems.extend(unserved(&service));
                Value::Service(Arc::new(Service::from(&service)))
            }),
            Kind::EndpointSlice => {
                let slice = typed::<discovery::EndpointSlice>(kind, content, &mut problems);
                slice.map(|slice| Value::EndpointSlice(Arc::new(EndpointSlice::from(&slice))))
            }
            Kind::Endpoints => {
                typed(kind, content, &mut problems).map(|endpoints| Value::Endpoints(Arc::new(endpoints)))
            }
            Kind::Pod => typed(kind, content, &mut problems).map(|mut pod| {
                slim_pod(&mut pod);
                Value::Pod(Arc::new(pod))
            }),
            Kind::Node => typed(kind, content, &mut problems).map(|node| Value::Node(Arc::new(node))),
        };
        match value {
            Some(value) => {
                let prefix = if prefix.is_empty() { interned(prefix) } else { prefix.into() };
                self.items.push(Item { kind, name, value, prefix });
            }
            None => self.refused.push((kind, name)),
        }
        for problem in problems {
            self.add(prefix, problem);
        }
    }

    fn add(&mut self, prefix: &str, problem: Problem) {
        let position = self.document.position(&format!("{prefix}{}", problem.field));
        self.problems.push((position, problem));
    }
}

/// Parses a document. What is JSON is read as such: YAML's parsers know neither all of its escapes nor
/// its speed.
fn parse(text: &str) -> Result<Yaml, serde_yaml::Error> {
    if text.trim_start().starts_with('{')
        && let Ok(yaml) = serde_json::from_str(text)
    {
        return Ok(yaml);
    }
    let mut yaml: Yaml = serde_yaml::from_str(text)?;
    yaml.apply_merge()?;
    Ok(yaml)
}

/// The message of a syntax error, whose place is told otherwise.
fn without_location(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    let place = error.location().map(|place| format!(" at line {} column {}", place.line(), place.column()));
    place.map_or(message.clone(), |place| message.replacen(&place, "", 1))
}

/// The kind of the items, if objects of an apiVersion and kind are Lists; empty if they tell it themselves.
fn list_of<'a>(api_version: &str, kind: &'a str) -> Option<&'a str> {
    let item_kind = kind.strip_suffix("List")?;
    let is_list = match item_kind {
        "" => api_version == "v1",
        item_kind => Kind::of(api_version, item_kind).is_some(),
    };
    is_list.then_some(item_kind)
}

/// The name of an object, or what is wrong with it.
fn name_of(kind: Kind, content: &impl Content) -> Result<Name, Problem> {
    let field = |name| content.text(&["metadata", name]).filter(|text| !text.is_empty());
    let Some(name) = field("name") else {
        return Err(Problem::refusal(
            "metadata.name",
            "metadata.name is missing",
            format!("it tells one {kind} from another"),
            "give the object a name, in quotes if it looks like a number",
        ));
    };
    let namespace = match kind {
        Kind::Node => "",
        _ => field("namespace").unwrap_or("default"),
    };
    let is_name = if kind == Kind::Service { is_dns_label } else { is_dns_name };
    let wrong = if !is_name(name) {
        Some(("metadata.name", name))
    } else if kind != Kind::Node && !is_dns_label(namespace) {
        Some(("metadata.namespace", namespace))
    } else {
        None
    };
    match wrong {
        None => Ok(Name { namespace: namespace.to_owned(), name: name.to_owned() }),
        Some((field, text)) => Err(Problem::refusal(
            field,
            format!("{field} is {text:?}"),
            "it becomes a name in the DNS, which has lower-case letters, digits and '-', and not too many of them",
            "give another name",
        )),
    }
}

/// Reads the content of an object and checks it; `None` if it is refused.
fn typed<T>(kind: Kind, content: impl Content, problems: &mut Vec<Problem>) -> Option<T>
where
    T: DeserializeOwned + Metadata<Ty = ObjectMeta> + Validate,
{
    let value: T = content.read(problems)?;
    validate_metadata(value.metadata(), problems);
    annotations::check(&kind.to_string(), value.metadata(), problems);
    value.validate(problems);
    let refused = problems.iter().any(|problem| problem.refuses);
    (!refused).then_some(value)
}

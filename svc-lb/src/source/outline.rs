//! Where the values of a document stand in its text.

use super::{digest::Digest, finding::Position};
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use saphyr_parser::{Event, Parser};
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

/// Below how many outlines none is forgotten.
const FEW: usize = 256;

/// Those that documents may share.
static SHARED: LazyLock<Mutex<Shared>> =
    LazyLock::new(|| Mutex::new(Shared { outlines: HashMap::new(), limit: FEW }));

/// Outlines by the digests of their texts.
struct Shared {
    outlines: HashMap<Digest, Arc<Outline>>,
    /// How many there may be until those that no document has any more are forgotten.
    limit: usize,
}

/// A text whose keys and values stand where those of a document do. They are looked for when a place is first asked
/// for, which is when something is wrong with the document.
#[derive(Debug)]
pub struct Outline {
    /// By LZ4, as nobody asks for most of them.
    compressed: Box<[u8]>,
    positions: OnceLock<HashMap<String, Position>>,
}

impl Outline {
    /// From the text.
    pub fn new(text: &str) -> Self {
        Self { compressed: compress_prepend_size(text.as_bytes()).into(), positions: OnceLock::new() }
    }

    /// The same, which takes memory once, however many documents have it.
    pub fn shared(text: &str) -> Arc<Self> {
        let digest = Digest::of(text.as_bytes());
        let mut guard = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { outlines, limit } = &mut *guard;
        if let Some(known) = outlines.get(&digest) {
            return Arc::clone(known);
        }
        if outlines.len() >= *limit {
            outlines.retain(|_, outline| Arc::strong_count(outline) > 1);
            *limit = FEW.max(outlines.len() * 2);
        }
        let outline = Arc::new(Self::new(text));
        outlines.insert(digest, Arc::clone(&outline));
        outline
    }

    /// The place of every value, by its path.
    pub fn positions(&self) -> &HashMap<String, Position> {
        self.positions.get_or_init(|| positions(&self.text()))
    }

    /// Where the value at a path stands, as [`Document::position`](super::document::Document::position) tells.
    pub fn position(&self, path: &str) -> Position {
        let positions = self.positions();
        let mut path = path;
        loop {
            if let Some(position) = positions.get(path) {
                return *position;
            }
            let Some(end) = path.rfind(['.', '[']) else { break };
            path = &path[..end];
        }
        positions.get("").copied().unwrap_or(Position::START)
    }

    fn text(&self) -> String {
        // What was compressed here is whole, and text.
        let bytes = decompress_size_prepended(&self.compressed).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// A mapping or a list that is being read.
enum Open {
    Mapping { path: String, key: Option<(String, Position)> },
    List { path: String, length: usize },
}

/// The place of every value, by its path. Ends where the text is not YAML.
fn positions(text: &str) -> HashMap<String, Position> {
    let mut positions = HashMap::new();
    let mut open: Vec<Open> = Vec::new();
    for parsed in Parser::new_from_str(text) {
        let Ok((event, span)) = parsed else { break };
        let here = Position { line: span.start.line(), column: span.start.col() + 1 };
        let is_container = match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => true,
            Event::Scalar(..) | Event::Alias(..) => false,
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                continue;
            }
            _ => continue,
        };
        let path = match open.last_mut() {
            None => String::new(),
            Some(Open::Mapping { path, key }) => {
                if let Some((name, place)) = key.take() {
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    positions.insert(path.clone(), if is_container { place } else { here });
                    path
                } else {
                    let name = if let Event::Scalar(name, ..) = &event { name.as_ref() } else { "?" };
                    *key = Some((name.to_owned(), here));
                    // The inside of a key that is no scalar, which no Kubernetes object has.
                    "?".to_owned()
                }
            }
            Some(Open::List { path, length }) => {
                let index = mem::replace(length, *length + 1);
                let path = format!("{path}[{index}]");
                positions.insert(path.clone(), here);
                path
            }
        };
        if path.is_empty() {
            positions.insert(String::new(), here);
        }
        match event {
            Event::MappingStart(..) => open.push(Open::Mapping { path, key: None }),
            Event::SequenceStart(..) => open.push(Open::List { path, length: 0 }),
            _ => {}
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_value_has_its_place() {
        let outline = Outline::new(
            "# a comment\nkind: Service\nspec:\n  selector: {app: \"web\"}\n  ports:\n    - port: 80\n    -\n      port: 99999\n",
        );
        for (path, line, column) in [
            ("", 2, 1),
            ("kind", 2, 7),
            ("spec", 3, 1),
            ("spec.selector", 4, 3),
            ("spec.selector.app", 4, 19),
            ("spec.ports", 5, 3),
            ("spec.ports[0]", 6, 7),
            ("spec.ports[0].port", 6, 13),
            ("spec.ports[1].port", 8, 13),
        ] {
            assert_eq!(outline.position(path), Position { line, column }, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_at_its_nearest_ancestor() {
        let outline = Outline::new("spec:\n  ports:\n    - port: 80\n");
        assert_eq!(outline.position("spec.ports[0].name"), outline.position("spec.ports[0]"));
        assert_eq!(outline.position("spec.ports[7].name"), outline.position("spec.ports"));
        assert_eq!(outline.position("metadata.name"), Position::START);
        assert_eq!(Outline::new("").position("kind"), Position::START);
    }

    #[test]
    fn aliases_odd_keys_and_json_are_followed() {
        let outline = Outline::new("a: &x {b: 1}\nc: *x\n? [odd, key]\n: 5\nd: 6\n");
        assert_eq!(outline.position("c.b"), Position { line: 2, column: 4 });
        assert_eq!(outline.position("d"), Position { line: 5, column: 4 });
        let json = Outline::new("{\n\t\"spec\": {\n\t\t\"ports\": [{\"port\": 1}, {\"port\": 2}]\n\t}\n}\n");
        assert_eq!(json.position("spec.ports[1].port"), Position { line: 3, column: 35 });
    }

    #[test]
    fn an_outline_is_kept_once_and_not_for_ever() {
        assert!(Arc::ptr_eq(&Outline::shared("a: x"), &Outline::shared("a: x")));
        assert!(!Arc::ptr_eq(&Outline::shared("a: x"), &Outline::shared("b: x")));
        for number in 0..FEW * 4 {
            Outline::shared(&number.to_string());
        }
        assert!(SHARED.lock().expect("no panic").outlines.len() < FEW * 3, "what nobody has is forgotten");
    }

    proptest! {
        #[test]
        fn looking_for_a_place_never_panics(text in "\\PC{0,60}", yaml in "([-:\\[\\]{}&*!|>?,'\"#a1 \t\n]){0,60}") {
            for text in [text, yaml] {
                Outline::new(&text).position("spec.ports[0].port");
            }
        }
    }
}

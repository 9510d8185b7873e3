//! One document of a YAML file: its text, and where its values stand in it.

use super::finding::Position;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use saphyr_parser::{Event, Parser};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    mem,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The text of one document. The places of its values are looked for when they are first asked for,
/// which is when something is wrong with the document.
#[derive(Debug)]
pub struct Document {
    /// By LZ4, as manifests are long and nobody asks for most of them again.
    compressed: Box<[u8]>,
    digest: Digest,
    /// How many lines of the file come before it. It moves when one above it changes, and all that was found
    /// in it moves with it.
    lines_before: AtomicUsize,
    positions: OnceLock<HashMap<String, Position>>,
}

impl Document {
    /// From the text, as [`split`] gives it.
    pub fn new(text: &str) -> Self {
        Self {
            compressed: compress_prepend_size(text.as_bytes()).into(),
            digest: Digest::of(text),
            lines_before: AtomicUsize::new(0),
            positions: OnceLock::new(),
        }
    }

    /// What tells its text from others.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn text(&self) -> String {
        // What was compressed here is whole, and text.
        let bytes = decompress_size_prepended(&self.compressed).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// How many lines of the file come before it.
    pub fn lines_before(&self) -> usize {
        self.lines_before.load(Ordering::Relaxed)
    }

    /// It stands below so many lines of the file now.
    pub fn move_below(&self, lines: usize) {
        self.lines_before.store(lines, Ordering::Relaxed);
    }

    /// Where the value at a path such as `spec.ports[1].port` stands in the text: a scalar's own place,
    /// for a mapping or a list the place of its key. If the path is not there, its nearest ancestor's.
    pub fn position(&self, path: &str) -> Position {
        let positions = self.positions.get_or_init(|| positions(&self.text()));
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
}

/// What tells a text from others: its length and a hash of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(usize, u64);

impl Digest {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        Self(text.len(), hasher.finish())
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The text of one document, with its `---` and the comments before that.
    pub text: &'a str,
    /// How many lines of the file come before it.
    pub lines_before: usize,
}

/// Splits a file into its documents, so that one which cannot be parsed takes no other with it. All
/// parts together are the file. A line that starts with `---` is a boundary wherever it stands: YAML
/// allows it in no other meaning, not even within a quoted or block scalar (YAML 1.2, c-forbidden).
pub fn split(file: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut part = Part { text: file, lines_before: 0 };
    let (mut start, mut offset) = (0, 0);
    // Whether the present part holds its `---` or its first value already.
    let mut begun = false;
    for (line_number, line) in file.split_inclusive('\n').enumerate() {
        let opens = is_marker(line, "---");
        if opens && begun {
            parts.push(Part { text: &file[start..offset], ..part });
            part.lines_before = line_number;
            (start, begun) = (offset, false);
        }
        offset += line.len();
        if is_marker(line, "...") {
            parts.push(Part { text: &file[start..offset], ..part });
            part.lines_before = line_number + 1;
            (start, begun) = (offset, false);
        } else if !begun {
            begun = opens || !matches!(line.trim_start().bytes().next(), None | Some(b'#' | b'%'));
        }
    }
    if start < file.len() {
        parts.push(Part { text: &file[start..], ..part });
    }
    parts
}

/// Whether a line is a marker, which may be followed by white space and more.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
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

    fn texts(file: &str) -> Vec<(&str, usize)> {
        split(file).into_iter().map(|part| (part.text, part.lines_before)).collect()
    }

    #[test]
    fn a_file_is_split_at_its_markers() {
        assert_eq!(texts(""), []);
        assert_eq!(texts("a: 1\n---\nb: 2"), [("a: 1\n", 0), ("---\nb: 2", 1)]);
        assert_eq!(texts("# licence\n\n---\na: 1\n"), [("# licence\n\n---\na: 1\n", 0)]);
        assert_eq!(texts("---\n---\na: 1\n"), [("---\n", 0), ("---\na: 1\n", 1)]);
        assert_eq!(texts("--- {a: 1}\r\n--- # b\r\nb: 2"), [("--- {a: 1}\r\n", 0), ("--- # b\r\nb: 2", 1)]);
        assert_eq!(
            texts("a: 1\n...\n%YAML 1.2\n---\nb: 2\n"),
            [("a: 1\n...\n", 0), ("%YAML 1.2\n---\nb: 2\n", 2)]
        );
        assert_eq!(texts("a: |\n  ---\n ---\n----\n"), [("a: |\n  ---\n ---\n----\n", 0)]);
    }

    #[test]
    fn every_value_has_its_place() {
        let document = Document::new(
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
            assert_eq!(document.position(path), Position { line, column }, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_at_its_nearest_ancestor() {
        let document = Document::new("spec:\n  ports:\n    - port: 80\n");
        assert_eq!(document.position("spec.ports[0].name"), document.position("spec.ports[0]"));
        assert_eq!(document.position("spec.ports[7].name"), document.position("spec.ports"));
        assert_eq!(document.position("metadata.name"), Position::START);
        assert_eq!(Document::new("").position("kind"), Position::START);
    }

    #[test]
    fn aliases_odd_keys_and_json_are_followed() {
        let document = Document::new("a: &x {b: 1}\nc: *x\n? [odd, key]\n: 5\nd: 6\n");
        assert_eq!(document.position("c.b"), Position { line: 2, column: 4 });
        assert_eq!(document.position("d"), Position { line: 5, column: 4 });
        let json = Document::new("{\n\t\"spec\": {\n\t\t\"ports\": [{\"port\": 1}, {\"port\": 2}]\n\t}\n}\n");
        assert_eq!(json.position("spec.ports[1].port"), Position { line: 3, column: 35 });
    }

    proptest! {
        #[test]
        fn no_byte_of_a_file_is_lost(file in "([-.a: #\n]|---|\n---|\n\\.\\.\\.){0,40}") {
            let parts = split(&file);
            prop_assert_eq!(parts.iter().map(|part| part.text).collect::<String>(), file.clone());
            let mut lines = 0;
            for part in parts {
                prop_assert_eq!(part.lines_before, lines);
                lines += part.text.matches('\n').count();
            }
        }

        #[test]
        fn looking_for_a_place_never_panics(text in "\\PC{0,60}", yaml in "([-:\\[\\]{}&*!|>?,'\"#a1 \t\n]){0,60}") {
            for text in [text, yaml] {
                Document::new(&text).position("spec.ports[0].port");
            }
        }
    }
}

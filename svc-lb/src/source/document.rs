//! One document of a YAML file: what tells it from others, and where its values stand in it.

use super::{digest::Digest, finding::Position, outline::Outline};
use memchr::{memchr, memchr_iter, memmem};
use std::{
    iter,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A document of a file.
#[derive(Debug)]
pub struct Document {
    outline: Arc<Outline>,
    digest: Digest,
    /// How many lines of the file come before it. It moves when one above it changes, and all that was found
    /// in it moves with it.
    lines_before: AtomicUsize,
}

impl Document {
    /// With what its text comes to, and where its values stand.
    pub fn new(digest: Digest, outline: Arc<Outline>) -> Self {
        Self { outline, digest, lines_before: AtomicUsize::new(0) }
    }

    /// What tells its text from others.
    pub fn digest(&self) -> Digest {
        self.digest
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
        self.outline.position(path)
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
    let mut lines_before = 0;
    let mut add = |text| {
        parts.push(Part { text, lines_before });
        lines_before += memchr_iter(b'\n', text.as_bytes()).count();
    };
    let (mut start, mut looked_at) = (0, 0);
    // Whether the present part holds its `---` or its first value already.
    let mut begun = false;
    for marker in markers(file) {
        let before = &file[looked_at..marker.start];
        begun = begun
            || before
                .lines()
                .any(|line| !matches!(line.trim_start().bytes().next(), None | Some(b'#' | b'%')));
        looked_at = marker.end;
        if file[marker.clone()].starts_with("...") {
            add(&file[start..marker.end]);
            (start, begun) = (marker.end, false);
        } else {
            if begun {
                add(&file[start..marker.start]);
                start = marker.start;
            }
            begun = true;
        }
    }
    if start < file.len() {
        add(&file[start..]);
    }
    parts
}

/// The lines that are markers: `---` begins a document, `...` ends one.
fn markers(file: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = file.as_bytes();
    let lines = |marker: &'static str| {
        let first = file.starts_with(marker).then_some(0);
        let others =
            memmem::find_iter(bytes, if marker == "---" { "\n---" } else { "\n..." }).map(|at| at + 1);
        let lines = first.into_iter().chain(others).map(|start| {
            start..memchr(b'\n', &bytes[start..]).map_or(file.len(), |length| start + length + 1)
        });
        lines.filter(move |line| is_marker(&file[line.clone()], marker)).peekable()
    };
    let (mut begins, mut ends) = (lines("---"), lines("..."));
    iter::from_fn(move || match (begins.peek(), ends.peek()) {
        (Some(begin), Some(end)) if end.start < begin.start => ends.next(),
        (None, _) => ends.next(),
        _ => begins.next(),
    })
}

/// Whether a line is a marker, which may be followed by white space and more.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
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

    /// The parts of a file, line by line.
    fn parts_by_lines(file: &str) -> Vec<String> {
        let mut parts = vec![(String::new(), false)];
        for line in file.split_inclusive('\n') {
            let opens = is_marker(line, "---");
            if opens && parts.last().is_some_and(|(_, begun)| *begun) {
                parts.push((String::new(), false));
            }
            if let Some((part, begun)) = parts.last_mut() {
                part.push_str(line);
                *begun |= opens || !matches!(line.trim_start().bytes().next(), None | Some(b'#' | b'%'));
            }
            if is_marker(line, "...") {
                parts.push((String::new(), false));
            }
        }
        parts.into_iter().map(|(part, _)| part).filter(|part| !part.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn markers_divide_a_file(file in "([-.a: #%\r\n]|---|\n---|---\n|\n\\.\\.\\.|\n){0,40}") {
            let parts: Vec<_> = split(&file).into_iter().map(|part| part.text.to_owned()).collect();
            prop_assert_eq!(parts, parts_by_lines(&file));
        }

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
    }
}

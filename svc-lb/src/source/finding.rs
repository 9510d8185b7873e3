//! What is wrong with a manifest, where, and how to mend it.

use std::{fmt, path::Path, sync::Arc};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object, or the part of it that is named, is not served as it stands.
    Error,
    /// The object is served, but maybe not as its author meant it.
    Warning,
    /// Good to know; nothing is wrong.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "note",
        })
    }
}

/// A place in a text: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where a text starts; also the place of what is wrong with a file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The same place of a text that stands below a number of other lines.
    pub fn below(self, lines: usize) -> Self {
        Self { line: self.line + lines, ..self }
    }
}

/// What is wrong with one field of an object. Where the field stands in a file is known to the
/// object's [`Origin`](super::Origin).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How grave it is.
    pub severity: Severity,
    /// Whether the object is left out because of it.
    pub refuses: bool,
    /// The path of the field in the object, as in `spec.ports[1].port`; empty for the whole object.
    pub field: String,
    /// What is there.
    pub what: String,
    /// Why that is wrong.
    pub why: String,
    /// What the author can do, or what svc-lb does.
    pub mend: String,
}

impl Problem {
    /// The part of the object that is named is not served as it stands. The mend says what svc-lb does until
    /// it is mended, unless that is plain.
    pub fn error(
        field: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            refuses: false,
            field: field.into(),
            what: what.into(),
            why: why.into(),
            mend: mend.into(),
        }
    }

    /// The object is left out.
    pub fn refusal(
        field: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { refuses: true, ..Self::error(field, what, why, mend) }
    }

    /// The object is served, but maybe not as its author meant it.
    pub fn warning(
        field: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(field, what, why, mend) }
    }

    /// Good to know.
    pub fn info(
        field: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Info, ..Self::error(field, what, why, mend) }
    }
}

/// A problem and its place. It prints as `path:line:column: severity: what: why; the mend`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// Whether the object is left out because of it.
    pub refuses: bool,
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// The path of the field in the object, as in `spec.ports[1].port`; empty for the whole object.
    pub field: String,
    /// What is there.
    pub what: String,
    /// Why that is wrong.
    pub why: String,
    /// What the author can do, or what svc-lb does.
    pub mend: String,
}

impl Finding {
    /// A problem at a place of a file.
    pub fn at(file: &Arc<Path>, position: Position, problem: Problem) -> Self {
        let Problem { severity, refuses, field, what, why, mend } = problem;
        let Position { line, column } = position;
        Self { severity, refuses, file: Arc::clone(file), line, column, field, what, why, mend }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, what, why, mend, .. } = self;
        write!(f, "{}:{line}:{column}: {severity}: {what}: {why}; {mend}", file.display())
    }
}

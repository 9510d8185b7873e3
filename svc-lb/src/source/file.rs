//! One file of manifests: what it holds now, and what of its last good state stays in force.

use super::{
    digest::Digest,
    document::split,
    finding::{Finding, Position, Problem},
    name::Name,
    objects::{Kind, Origin, Value},
    parse::{Item, Parsed},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    io, mem,
    num::NonZeroUsize,
    panic::resume_unwind,
    path::Path,
    sync::Arc,
    thread,
};

/// For how many documents threads are worth their start.
const MANY: usize = 64;

/// The state of one file.
///
/// An object whose document became bad stays as it was last, if its document still tells its kind and
/// name. A document that does not tell could be any object that the file held: while there is one, or
/// while the file cannot be read at all, everything that the file held and no longer shows stays.
#[derive(Debug)]
pub struct File {
    path: Arc<Path>,
    /// The documents in their order.
    documents: Vec<Arc<Parsed>>,
    /// Those of them in which something is wrong: few, as a rule, of many.
    flawed: Vec<Arc<Parsed>>,
    /// The last good objects that the present documents do not show.
    kept: Vec<Kept>,
    /// Why there are no documents.
    unreadable: Option<(Position, Problem)>,
}

/// An object of an earlier state of the file.
#[derive(Clone, Debug)]
struct Kept {
    kind: Kind,
    name: Arc<Name>,
    value: Value,
    origin: Origin,
}

impl File {
    /// The file, as it was named.
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// A file that was never read.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            documents: Vec::new(),
            flawed: Vec::new(),
            kept: Vec::new(),
            unreadable: None,
        }
    }

    /// Takes over what the file holds now. A document whose text is as before is not parsed again. Returns the
    /// documents that are gone, and those that are new.
    pub fn update(&mut self, content: io::Result<Vec<u8>>) -> Exchange {
        match decode(content) {
            Ok(text) => self.update_text(&text),
            Err(problem) => {
                self.kept = good(&self.path, &self.documents, mem::take(&mut self.kept));
                self.unreadable = Some(problem);
                self.flawed.clear();
                Exchange { gone: mem::take(&mut self.documents), new: Vec::new() }
            }
        }
    }

    fn update_text(&mut self, text: &str) -> Exchange {
        let parts = split(text);
        let before = mem::take(&mut self.documents);
        // One text may be there several times, at several places.
        let mut known: HashMap<Digest, VecDeque<&Arc<Parsed>>> = HashMap::new();
        for parsed in &before {
            known.entry(parsed.document.digest()).or_default().push_back(parsed);
        }
        let mut unknown = Vec::new();
        let same = parts.iter().map(|part| {
            let digest = Digest::of(part.text.as_bytes());
            let same = known.get_mut(&digest).and_then(VecDeque::pop_front).cloned();
            if same.is_none() {
                unknown.push((part.text, digest));
            }
            same
        });
        let same: Vec<Option<Arc<Parsed>>> = same.collect();
        let gone = known.into_values().flatten().cloned().collect();
        let new = parse_all(&unknown);
        let mut parsed = new.iter().cloned();
        self.documents = same.into_iter().filter_map(|same| same.or_else(|| parsed.next())).collect();
        for (part, parsed) in parts.iter().zip(&self.documents) {
            parsed.document.move_below(part.lines_before);
        }
        let is_flawed = |parsed: &&Arc<Parsed>| !parsed.problems.is_empty();
        self.flawed = self.documents.iter().filter(is_flawed).cloned().collect();
        self.unreadable = None;
        self.kept = self.still_in_force(&before);
        Exchange { gone, new }
    }

    /// Those of the objects before an update, in these documents or kept already, that stay in force after it.
    fn still_in_force(&mut self, before: &[Arc<Parsed>]) -> Vec<Kept> {
        let kept = mem::take(&mut self.kept);
        let documents = || self.documents.iter();
        let obscure = documents().any(|parsed| parsed.obscure);
        let refused: HashSet<_> =
            documents().flat_map(|parsed| &parsed.refused).map(|(kind, name)| (*kind, name)).collect();
        if !obscure && refused.is_empty() {
            return Vec::new();
        }
        let before = good(&self.path, before, kept);
        let shown: HashSet<_> =
            documents().flat_map(|parsed| &parsed.items).map(|item| (item.kind, &item.name)).collect();
        let stays = |object: &Kept| {
            let identity = (object.kind, &object.name);
            !shown.contains(&identity) && (obscure || refused.contains(&identity))
        };
        before.into_iter().filter(stays).collect()
    }

    /// The good objects of the present documents.
    pub fn items(&self) -> impl Iterator<Item = (&Item, Origin)> {
        items(&self.path, &self.documents)
    }

    /// The last good objects that the present documents do not show.
    pub fn kept(&self) -> impl Iterator<Item = (&Arc<Name>, &Value, &Origin)> {
        self.kept.iter().map(|object| (&object.name, &object.value, &object.origin))
    }

    /// Whether it gives nothing but what its present documents show.
    pub fn is_plain(&self) -> bool {
        self.kept.is_empty()
    }

    /// Its documents, as it is about to go.
    pub fn into_documents(self) -> Vec<Arc<Parsed>> {
        self.documents
    }

    /// What is wrong with the file and its documents.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let in_documents = self.flawed.iter().flat_map(|parsed| {
            let lines_before = parsed.document.lines_before();
            let below = move |(position, problem): &(Position, Problem)| {
                (position.below(lines_before), problem.clone())
            };
            parsed.problems.iter().map(below)
        });
        let all = self.unreadable.iter().cloned().chain(in_documents);
        all.map(|(position, problem)| Finding::at(&self.path, position, problem))
    }
}

/// Whether a file in a directory is read: by its name. Hidden ones are the notes of editors.
pub fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    matches!(extension, Some("yaml" | "yml" | "json")) && !hidden
}

/// Documents that left a file, and such that came into it.
#[derive(Debug, Default)]
pub struct Exchange {
    /// Those that are not there any more.
    pub gone: Vec<Arc<Parsed>>,
    /// Those that were not there before.
    pub new: Vec<Arc<Parsed>>,
}

/// Parses documents, by turns on all processors where there are many.
fn parse_all(texts: &[(&str, Digest)]) -> Vec<Arc<Parsed>> {
    let parse = |texts: &[(&str, Digest)]| {
        let parsed = texts.iter().map(|(text, digest)| Arc::new(Parsed::new(text, *digest)));
        parsed.collect::<Vec<_>>()
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if texts.len() < MANY {
        return parse(texts);
    }
    thread::scope(|scope| {
        let shares: Vec<_> = texts.chunks(texts.len().div_ceil(threads)).collect();
        let shares: Vec<_> = shares.into_iter().map(|texts| scope.spawn(move || parse(texts))).collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// The good objects of documents.
pub fn items<'a>(
    path: &'a Arc<Path>,
    documents: &'a [Arc<Parsed>],
) -> impl Iterator<Item = (&'a Item, Origin)> {
    documents.iter().flat_map(move |parsed| {
        parsed.items.iter().map(move |item| {
            let origin = Origin {
                file: Arc::clone(path),
                document: Arc::clone(&parsed.document),
                prefix: Arc::clone(&item.prefix),
            };
            (item, origin)
        })
    })
}

/// All objects that a file gave, also those from before.
fn good(path: &Arc<Path>, documents: &[Arc<Parsed>], kept: Vec<Kept>) -> Vec<Kept> {
    let shown = items(path, documents).map(|(item, origin)| Kept {
        kind: item.kind,
        name: item.name.clone(),
        value: item.value.clone(),
        origin,
    });
    shown.chain(kept).collect()
}

/// The text of a file, or why there is none.
fn decode(content: io::Result<Vec<u8>>) -> Result<String, (Position, Problem)> {
    let content = content.map_err(|error| {
        let mend = "mend the path or its permissions";
        (Position::START, Problem::error("", "the file cannot be read", error.to_string(), mend))
    })?;
    let text = String::from_utf8(content).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let last_line = good.rsplit('\n').next().unwrap_or_default();
        let position =
            Position { line: good.matches('\n').count() + 1, column: last_line.chars().count() + 1 };
        (position, Problem::error("", "the file is not text", "this byte is no UTF-8", "save it as UTF-8"))
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pod(name: &str) -> String {
        format!("---\nkind: Pod\napiVersion: v1\nmetadata: {{name: {name}}}\n")
    }

    /// The names of the Pods in force after the file held one text after another.
    fn in_force(texts: &[&str]) -> Vec<String> {
        let mut file = File::new(Path::new("pods.yaml"));
        for text in texts {
            file.update(Ok(text.as_bytes().to_vec()));
        }
        let names = file.items().map(|(item, _)| item.name.name.clone());
        names.chain(file.kept().map(|(name, ..)| name.name.clone())).collect()
    }

    #[test]
    fn a_bad_object_stays_as_it_was_last() {
        let good = pod("a") + &pod("b") + &pod("c");
        let bad = pod("a") + &pod("b") + "status: {podIP: 10.0.0.256}\n";
        // c is deleted in the same edit that breaks b, and d never was good.
        let never_good = pod("d") + "status: {podIP: 10.0.0.256}\n";
        assert_eq!(in_force(&[&good, &(bad.clone() + &never_good)]), ["a", "b"]);
        assert_eq!(in_force(&[&good, &bad, &bad]), ["a", "b"]);
        assert_eq!(in_force(&[&good, &bad, &pod("b")]), ["b"]);
        assert_eq!(in_force(&[&good, &bad, &pod("a")]), ["a"]);
    }

    #[test]
    fn while_a_document_does_not_tell_what_it_is_nothing_is_lost() {
        let good = pod("a") + &pod("b") + &pod("c");
        for broken in ["---\nkind: Pod\n  name: b\n", "---\nkind: Pod\n", "--- [\n"] {
            let bad = pod("a") + broken + &pod("d");
            assert_eq!(in_force(&[&good, &bad]), ["a", "d", "b", "c"], "{broken}");
            assert_eq!(in_force(&[&good, &bad, &pod("a")]), ["a"], "{broken}");
        }
    }

    #[test]
    fn an_unreadable_file_stays_as_it_was_last() {
        let mut file = File::new(Path::new("pods.yaml"));
        file.update(Ok(pod("a").into()));
        let changed = pod("a").replace("apiVersion", "status: {podIP: 10.0.0.1}\napiVersion");
        for content in [Err(io::Error::other("out of order")), Ok(vec![b'a', b'\n', 0xff])] {
            file.update(Ok(changed.clone().into()));
            file.update(content);
            assert_eq!(file.items().count(), 0);
            let values: Vec<_> = file.kept().map(|(_, value, _)| value).collect();
            let [Value::Pod(pod)] = values[..] else { panic!("{values:?}") };
            assert!(pod.status.is_some(), "the state just before is kept");
            assert_eq!(file.findings().count(), 1);
        }
        file.update(Ok(Vec::new()));
        assert_eq!(file.kept().count(), 0);
        assert_eq!(file.findings().count(), 0);
    }

    #[test]
    fn only_documents_with_another_text_are_parsed_again() {
        let mut file = File::new(Path::new("pods.yaml"));
        file.update(Ok((pod("a") + &pod("b")).into()));
        let before = file.documents.clone();
        file.update(Ok((pod("c") + &pod("a") + "# changed\n" + &pod("b")).into()));
        let after = &file.documents;
        assert!(Arc::ptr_eq(&before[1], &after[2]));
        assert!(!Arc::ptr_eq(&before[0], &after[1]));
        assert_eq!(before[1].document.lines_before(), 9, "a document that moved has other lines");
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        let mut file = File::new(Path::new("pods.yaml"));
        file.update(Ok(b"a: 1\nb: \xc3\xa4\xff".to_vec()));
        let finding = file.findings().next().expect("a finding");
        assert_eq!((finding.line, finding.column), (2, 5));
    }
    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
            let mut file = File::new(Path::new("pods.yaml"));
            for content in [bytes, text.into_bytes()] {
                file.update(Ok(content));
                file.findings().for_each(drop);
            }
        }
    }
}

//! The files of `--services`: read, watched, and put together.

use super::{
    difference::Difference,
    digest::Digest,
    file::{Exchange, File, is_manifest, items},
    finding::{Finding, Position, Problem},
    name::Name,
    objects::{Kind, Objects},
    parse::Parsed,
    signature::Signature,
    watch::Watch,
};
use std::{
    collections::{HashMap, HashSet},
    fs,
    future::pending,
    io, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Files of manifests, and directories of such files.
///
/// The order of the paths counts: of two objects with one kind and name the first is taken. The files of a
/// directory (`*.yaml`, `*.yml`, `*.json`, not in directories within it) come in the order of their names.
#[derive(Debug)]
pub struct FileSource {
    paths: Vec<PathBuf>,
    files: HashMap<PathBuf, Known>,
    watching: Watching,
}

/// A file that has been read.
#[derive(Debug)]
struct Known {
    file: File,
    /// What tells that it need not be read again.
    signature: Option<Signature>,
    /// What tells that it holds the same, if it could be read.
    digest: Option<Digest>,
}

/// All objects, and all that is wrong with the files.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The good objects. Where a document or a file became bad, those that it last held.
    pub objects: Objects,
    /// What is wrong, in the order of the files.
    pub findings: Vec<Finding>,
    /// How long it took to read and parse the files.
    pub took: Duration,
    /// Whether every object is there once, and none from before: then a document gives what it gives, whatever
    /// the others do.
    is_plain: bool,
}

/// The documents that left or came, with their files.
type Documents = Vec<(Arc<Path>, Vec<Arc<Parsed>>)>;

impl Reading {
    /// Puts together what files hold, in their order.
    fn take<'a>(&mut self, files: impl Iterator<Item = &'a File> + Clone) {
        self.is_plain = files.clone().all(File::is_plain);
        for file in files.clone() {
            self.findings.extend(file.findings());
            for (item, origin) in file.items() {
                let inserted = self.objects.insert(item.name.clone(), item.value.clone(), origin.clone());
                if let Err(first) = inserted {
                    self.is_plain = false;
                    let (first_file, first_line) = first.place();
                    self.findings.push(origin.finding(Problem::refusal(
                        "metadata.name",
                        format!("{} {} is here a second time", item.kind, item.name),
                        format!("the first one is taken, which is at {}:{first_line}", first_file.display()),
                        "delete one of the two, or give it another name",
                    )));
                }
            }
        }
        for (name, value, origin) in files.flat_map(File::kept) {
            // One that is also shown elsewhere by now is not missing.
            let _ = self.objects.insert(name.clone(), value.clone(), origin.clone());
        }
    }

    /// Takes the objects of documents out and others in. Returns what differs; `None`, and nothing is done, if an
    /// object would be there twice.
    fn exchange(&mut self, gone: &Documents, new: &Documents) -> Option<Difference> {
        let identities = |documents: &Documents| {
            let parsed = documents.iter().flat_map(|(_, parsed)| parsed);
            let items = parsed.flat_map(|parsed| &parsed.items);
            items.map(|item| (item.kind, Arc::clone(&item.name))).collect::<Vec<_>>()
        };
        let gone = identities(gone);
        let leaving: HashSet<_> = gone.iter().collect();
        let mut seen = HashSet::new();
        let collides = |identity: &(Kind, Arc<Name>)| {
            let is_taken = self.objects.contains(identity.0, &identity.1) && !leaving.contains(identity);
            is_taken || !seen.insert(identity.clone())
        };
        if identities(new).iter().any(collides) {
            return None;
        }
        let mut difference = Difference::default();
        for (kind, name) in &gone {
            if let Some((value, origin)) = self.objects.remove(*kind, name) {
                // Each is there once.
                let _ = difference.before.insert(Arc::clone(name), value, origin);
            }
        }
        for (item, origin) in new.iter().flat_map(|(file, documents)| items(file, documents)) {
            for objects in [&mut self.objects, &mut difference.after] {
                let _ = objects.insert(Arc::clone(&item.name), item.value.clone(), origin.clone());
            }
        }
        Some(difference)
    }
}

/// Whether changes are waited for.
#[derive(Debug)]
enum Watching {
    NotYet,
    On(Box<Watch>),
    Failed(io::Error),
}

impl FileSource {
    /// From the paths of files and directories. They need not exist yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, files: HashMap::new(), watching: Watching::NotYet }
    }

    /// Reads all files, and what that makes different from nothing.
    pub fn read_first(&mut self) -> (Reading, Difference) {
        let mut reading = Reading::default();
        let difference = self.refresh(&mut reading);
        (reading, difference)
    }

    /// Reads the files that changed. Only documents whose text changed are parsed, and a file that is being written
    /// just now is left as it was.
    pub fn read(&mut self) -> Reading {
        let start = Instant::now();
        let mut reading = Reading::default();
        let (paths, ..) = self.update_all(&mut reading.findings);
        reading.take(self.in_order(&paths));
        reading.took = start.elapsed();
        reading
    }

    /// The same, and brings the last reading up to date: it costs what has changed. Returns what differs.
    pub fn refresh(&mut self, reading: &mut Reading) -> Difference {
        let start = Instant::now();
        reading.findings.clear();
        let (paths, gone, new) = self.update_all(&mut reading.findings);
        let is_plain = reading.is_plain && self.files.values().all(|known| known.file.is_plain());
        let exchanged = if is_plain { reading.exchange(&gone, &new) } else { None };
        let difference = if let Some(difference) = exchanged {
            reading.findings.extend(self.in_order(&paths).flat_map(File::findings));
            difference
        } else {
            let before = mem::take(&mut reading.objects);
            reading.take(self.in_order(&paths));
            Difference::between(&before, &reading.objects)
        };
        reading.took = start.elapsed();
        difference
    }

    /// The files that have been read, in the order of these paths.
    fn in_order<'a>(&'a self, paths: &'a [PathBuf]) -> impl Iterator<Item = &'a File> + Clone {
        paths.iter().filter_map(|path| Some(&self.files.get(path)?.file))
    }

    /// Takes over what all files hold now. Returns their paths in their order, the documents that are gone and
    /// those that are new.
    fn update_all(&mut self, findings: &mut Vec<Finding>) -> (Vec<PathBuf>, Documents, Documents) {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let paths = self.follow(findings);
        let present: HashSet<_> = paths.iter().collect();
        let left = self.files.extract_if(|path, _| !present.contains(path));
        gone.extend(left.map(|(_, known)| (Arc::clone(known.file.path()), known.file.into_documents())));
        for path in &paths {
            let exchange = self.update(path, findings);
            let file =
                || self.files.get(path).map_or_else(|| path.as_path().into(), |it| it.file.path().clone());
            for (documents, all) in [(exchange.gone, &mut gone), (exchange.new, &mut new)] {
                if !documents.is_empty() {
                    all.push((file(), documents));
                }
            }
        }
        (paths, gone, new)
    }

    /// Waits until something changed on disk since the last [`read`](Self::read). The first call starts
    /// to watch and returns at once: what is read after it is watched. Nothing is lost if the future is
    /// dropped.
    pub async fn changed(&mut self) {
        match &mut self.watching {
            Watching::NotYet => {
                self.watching =
                    Watch::new().map_or_else(Watching::Failed, |watch| Watching::On(Box::new(watch)));
            }
            Watching::On(watch) => watch.changed().await,
            Watching::Failed(_) => pending().await,
        }
    }

    /// Lists the files, and watches whatever decides what they are and hold.
    fn follow(&mut self, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
        let mend = "raise the limits fs.inotify.max_user_*, or send SIGHUP after a change";
        if let Watching::On(watch) = &mut self.watching {
            watch.start_over();
            self.paths.iter().for_each(|path| watch.follow(path));
        }
        let files = self.list(findings);
        match &mut self.watching {
            Watching::NotYet => {}
            Watching::On(watch) => {
                files.iter().filter(|file| file.is_symlink()).for_each(|link| watch.follow(link));
                findings.extend(watch.finish().iter().map(|(path, error)| {
                    let what = "changes in this directory are not noticed";
                    of_file(path, Problem::warning("", what, error.to_string(), mend))
                }));
            }
            Watching::Failed(error) => {
                let path = self.paths.first().map_or(Path::new("."), PathBuf::as_path);
                let what = "no change of the files is noticed";
                findings.push(of_file(path, Problem::warning("", what, error.to_string(), mend)));
            }
        }
        files
    }

    /// The files that the paths name now, each once.
    fn list(&self, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in &self.paths {
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            match manifests_in(path) {
                Ok(mut manifests) => files.append(&mut manifests),
                Err(error) => {
                    let what = "the directory cannot be read";
                    let mend = "mend its permissions; its files stay as they were last";
                    findings.push(of_file(path, Problem::error("", what, error.to_string(), mend)));
                    files.extend(self.files.keys().filter(|file| file.parent() == Some(path)).cloned());
                }
            }
        }
        let mut seen = HashSet::new();
        files.retain(|file| match file.metadata() {
            Ok(metadata) => seen.insert((metadata.dev(), metadata.ino())),
            Err(_) => true,
        });
        files
    }

    /// Takes over what one file holds now.
    fn update(&mut self, path: &Path, findings: &mut Vec<Finding>) -> Exchange {
        // It may change while it is read: then this is what it was before.
        let signature = path.metadata().ok().and_then(|it| Signature::of(&it, SystemTime::now()));
        if signature.is_some() && self.files.get(path).is_some_and(|known| known.signature == signature) {
            return Exchange::default();
        }
        let content = fs::read(path);
        let empty = content.as_ref().is_ok_and(Vec::is_empty);
        if let Watching::On(watch) = &mut self.watching
            && self.files.contains_key(path)
            && watch.is_unsettled(path, empty)
        {
            return Exchange::default();
        }
        match content {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let known = self.files.remove(path);
                let mend = "mend the path, or create the file: it is read as soon as it is there";
                findings.push(of_file(
                    path,
                    Problem::error("", "there is no such file", error.to_string(), mend),
                ));
                let gone = known.map(|known| known.file.into_documents()).unwrap_or_default();
                Exchange { gone, new: Vec::new() }
            }
            content => {
                let new = || Known { file: File::new(path), signature: None, digest: None };
                let known = self.files.entry(path.to_owned()).or_insert_with(new);
                known.signature = signature.filter(|_| content.is_ok());
                let digest = content.as_deref().ok().map(Digest::of);
                let before = mem::replace(&mut known.digest, digest);
                if digest.is_some() && digest == before {
                    return Exchange::default();
                }
                known.file.update(content)
            }
        }
    }
}

/// The manifests in a directory, by name.
fn manifests_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| is_manifest(file) && !file.is_dir());
    files.sort();
    Ok(files)
}

/// A problem with a file or directory as a whole.
fn of_file(path: &Path, problem: Problem) -> Finding {
    Finding::at(&Arc::from(path), Position::START, problem)
}

/// What a text holds, as if it were a file of this name.
pub fn read_text(name: &str, text: &str) -> Reading {
    let mut file = File::new(Path::new(name));
    file.update(Ok(text.into()));
    let mut reading = Reading::default();
    reading.take(std::iter::once(&file));
    reading
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_holds_again_what_it_held_is_good_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.yaml");
        let text = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\n";
        let mut source = FileSource::new(vec![path.clone()]);
        let mut reading = Reading::default();
        for _ in 0..2 {
            fs::write(&path, text).expect("written");
            source.refresh(&mut reading);
            assert_eq!((reading.objects.pods.len(), &reading.findings[..]), (1, &[][..]));
            fs::remove_file(&path).expect("removed");
            symlink(&path, &path).expect("a link that leads nowhere");
            source.refresh(&mut reading);
            assert_eq!((reading.objects.pods.len(), reading.findings.len()), (1, 1));
            fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn what_a_file_holds_is_looked_at_when_it_is_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.yaml");
        let text = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\n";
        fs::write(&path, text).expect("written");
        let mut source = FileSource::new(vec![path.clone()]);
        let mut reading = Reading::default();
        let names = |objects: &Objects| objects.pods.keys().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&source.refresh(&mut reading).after), ["a"]);
        assert_eq!(names(&source.refresh(&mut reading).after), [""; 0]);
        fs::write(&path, text.replace("name: a", "name: b")).expect("written");
        assert_eq!(names(&source.refresh(&mut reading).after), ["b"]);
    }
}

//! Changes of real files, awaited.

use crate::source::FileSource;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::time::{Instant, timeout};

fn pod(name: &str) -> String {
    format!("---\nkind: Pod\napiVersion: v1\nmetadata: {{name: {name}}}\n")
}

fn pods(source: &mut FileSource) -> Vec<String> {
    source.read().objects.pods.into_keys().map(|name| name.name.clone()).collect()
}

/// A directory that a source watches, or a path in it.
struct Rig {
    root: tempfile::TempDir,
    source: FileSource,
}

impl Rig {
    /// Watches a path of a directory that `prepare` filled.
    async fn new(path: &str, prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        prepare(root.path());
        let mut source = FileSource::new(vec![root.path().join(path)]);
        source.changed().await;
        source.read();
        Self { root, source }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("written");
    }

    /// Waits until these Pods, and no others, are there.
    #[track_caller]
    fn becomes(&mut self, expected: &[&str]) -> impl Future<Output = ()> {
        let wait = async move {
            loop {
                self.source.changed().await;
                if pods(&mut self.source) == expected {
                    return;
                }
            }
        };
        let limited = timeout(Duration::from_secs(10), wait);
        let expected = expected.to_vec();
        async move { limited.await.unwrap_or_else(|_| panic!("the Pods never were {expected:?}")) }
    }

    /// Waits a moment for a change that must not be told.
    async fn is_quiet(&mut self) {
        let told = timeout(Duration::from_millis(100), self.source.changed()).await;
        assert!(told.is_err(), "a change was told");
    }
}

#[tokio::test]
async fn an_edit_in_place_is_told() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    rig.is_quiet().await;
    rig.write("a.yaml", &pod("b"));
    rig.becomes(&["b"]).await;
    let mut file = OpenOptions::new().append(true).open(rig.path("a.yaml")).expect("the file");
    file.write_all(pod("c").as_bytes()).expect("written");
    drop(file);
    rig.becomes(&["b", "c"]).await;
    rig.is_quiet().await;
}

#[tokio::test]
async fn an_edit_by_rename_is_told() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    for name in ["b", "c"] {
        rig.write(".a.yaml.new", &pod(name));
        rig.is_quiet().await;
        fs::rename(rig.path(".a.yaml.new"), rig.path("a.yaml")).expect("renamed");
        rig.becomes(&[name]).await;
    }
}

#[tokio::test]
async fn an_edit_is_told_within_100_ms() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    let mut times = Vec::new();
    for round in 0..11 {
        let name = format!("pod-{round}");
        rig.write("a.yaml", &pod(&name));
        let start = Instant::now();
        rig.becomes(&[&name]).await;
        times.push(start.elapsed());
    }
    times.sort();
    assert!(times[5] < Duration::from_millis(100), "{times:?}");
}

#[tokio::test]
async fn files_that_appear_and_go_in_a_directory_are_told() {
    let mut rig = Rig::new("", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    rig.write("b.yml", &pod("b"));
    rig.becomes(&["a", "b"]).await;
    rig.write("c.json", r#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "c"}}"#);
    rig.becomes(&["a", "b", "c"]).await;
    rig.write("d.txt", &pod("d"));
    rig.write(".e.yaml", &pod("e"));
    rig.is_quiet().await;
    fs::remove_file(rig.path("a.yaml")).expect("removed");
    rig.becomes(&["b", "c"]).await;
}

#[tokio::test]
async fn a_config_map_volume_is_followed() {
    let version = |root: &Path, number: u32, name: &str| {
        let directory = root.join(format!("..{number}"));
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("pods.yaml"), pod(name)).expect("written");
        symlink(format!("..{number}"), root.join("..data_tmp")).expect("a link");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("renamed");
    };
    for path in ["pods.yaml", ""] {
        let prepare = |root: &Path| {
            version(root, 1, "a");
            symlink("..data/pods.yaml", root.join("pods.yaml")).expect("a link");
        };
        let mut rig = Rig::new(path, prepare).await;
        for (number, name) in [(2, "b"), (3, "c"), (4, "d")] {
            version(rig.root.path(), number, name);
            fs::remove_dir_all(rig.path(&format!("..{}", number - 1))).expect("removed");
            rig.becomes(&[name]).await;
        }
    }
}

#[tokio::test]
async fn the_target_of_a_link_is_followed() {
    let prepare = |root: &Path| {
        fs::create_dir(root.join("elsewhere")).unwrap();
        fs::write(root.join("elsewhere/a"), pod("a")).unwrap();
        fs::create_dir(root.join("manifests")).unwrap();
        symlink(root.join("elsewhere/a"), root.join("manifests/a.yaml")).unwrap();
    };
    let mut rig = Rig::new("manifests", prepare).await;
    rig.write("elsewhere/a", &pod("b"));
    rig.becomes(&["b"]).await;
}

#[tokio::test]
async fn a_path_may_come_and_go_and_come_again() {
    let mut rig = Rig::new("x/y/a.yaml", |_| ()).await;
    for name in ["a", "b"] {
        fs::create_dir_all(rig.path("x/y")).expect("directories");
        rig.write("x/y/a.yaml", &pod(name));
        rig.becomes(&[name]).await;
        fs::rename(rig.path("x"), rig.path(name)).expect("renamed");
        rig.becomes(&[]).await;
    }
}

#[tokio::test]
async fn a_file_is_not_read_before_its_writer_has_closed_it() {
    let mut rig = Rig::new("", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    let mut file = File::create(rig.path("a.yaml")).expect("a file cut to nothing");
    rig.is_quiet().await;
    assert_eq!(pods(&mut rig.source), ["a"]);
    rig.write("b.yaml", &pod("b"));
    rig.becomes(&["a", "b"]).await;
    file.write_all(pod("c").as_bytes()).expect("written");
    drop(file);
    rig.becomes(&["b", "c"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_never_closed_is_read_in_the_end() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    let mut file = OpenOptions::new().append(true).open(rig.path("a.yaml")).expect("the file");
    file.write_all(pod("b").as_bytes()).expect("written");
    rig.becomes(&["a", "b"]).await;
    drop(file);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    rig.write("a.yaml", &pod("b"));
    let mut waits = 0;
    while timeout(Duration::from_millis(1), rig.source.changed()).await.is_err() {
        waits += 1;
        assert!(waits < 1000, "the change was never told");
    }
    assert_eq!(pods(&mut rig.source), ["b"]);
}

#[tokio::test]
async fn a_file_that_is_rewritten_all_the_time_is_never_seen_in_part() {
    let padding = "# padding\n".repeat(2000);
    let content = move |name: &str| pod("a") + &padding + &pod("b") + &pod(name);
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), content("c")).unwrap()).await;
    let path = rig.path("a.yaml");
    let writer = thread::spawn(move || {
        for round in 0..500 {
            fs::write(&path, content(["c", "d"][round % 2])).expect("written");
        }
        fs::write(&path, content("last")).expect("written");
    });
    loop {
        let reading = rig.source.read();
        assert_eq!(reading.findings, []);
        let names: Vec<_> = reading.objects.pods.into_keys().map(|name| name.name.clone()).collect();
        assert!(names.len() == 3 && names[..2] == ["a", "b"], "{names:?}");
        if names[2] == "last" {
            break;
        }
        let told = timeout(Duration::from_secs(10), rig.source.changed()).await;
        assert!(told.is_ok(), "a change was not told");
    }
    writer.join().expect("the writer");
}

#[tokio::test]
async fn a_file_that_was_emptied_is_believed_to_be() {
    let mut rig = Rig::new("a.yaml", |root| fs::write(root.join("a.yaml"), pod("a")).unwrap()).await;
    rig.write("a.yaml", "");
    rig.becomes(&[]).await;
    rig.is_quiet().await;
    rig.write("a.yaml", &pod("b"));
    rig.becomes(&["b"]).await;
}

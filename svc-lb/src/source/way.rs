//! Every name on the way to a file: what must be watched to notice that the path leads elsewhere.

use std::{
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// How many symbolic links are followed, as in Linux.
const MAX_LINKS: usize = 40;

/// The path of each name that is looked up on the way to `path`, whose directories are all real ones:
/// `/etc/a` → `/var/b` gives `/etc`, `/etc/a`, `/var`, `/var/b`. The last is where the way ends: the file
/// itself, or the first name that does not exist.
pub fn way(path: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut here = PathBuf::new();
    let mut ahead = Vec::new();
    let mut links = 0;
    prepend(&mut ahead, &std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            Some(Component::ParentDir) => {
                here.pop();
                continue;
            }
            Some(Component::Normal(_)) => here.push(&name),
            _ => {
                here = PathBuf::from("/");
                continue;
            }
        }
        steps.push(here.clone());
        if let Ok(target) = fs::read_link(&here) {
            links += 1;
            if links > MAX_LINKS {
                break;
            }
            here.pop();
            prepend(&mut ahead, &target);
        } else if fs::symlink_metadata(&here).is_err() {
            break;
        }
    }
    steps
}

/// Puts the names of a path before those that are still ahead. The next one is the last of the list.
fn prepend(ahead: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter(|component| *component != Component::CurDir);
    ahead.extend(names.rev().map(|component| component.as_os_str().to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_each_name_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().canonicalize().expect("its real path");
        fs::create_dir(root.join("v1")).expect("a directory");
        fs::write(root.join("v1/services.yaml"), "").expect("a file");
        symlink("v1", root.join("data")).expect("a link");
        symlink("./data/../data/services.yaml", root.join("services.yaml")).expect("a link");
        let steps = way(&root.join("services.yaml"));
        let expected = ["services.yaml", "data", "v1", "data", "v1", "v1/services.yaml"];
        assert!(steps.ends_with(&expected.map(|name| root.join(name))), "{steps:?}");
        assert!(steps.contains(&root));
    }

    #[test]
    fn the_way_ends_at_what_is_not_there() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().canonicalize().expect("its real path");
        assert_eq!(way(&root.join("a/b.yaml")).last(), Some(&root.join("a")));
        symlink("loop", root.join("loop")).expect("a link");
        assert_eq!(way(&root.join("loop")).last(), Some(&root.join("loop")));
    }
}

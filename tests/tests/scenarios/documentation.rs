//! What the documentation says of the tests is so.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The functions of a directory's sources, and of those below it.
fn functions(directory: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            functions(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}

/// Every row of the table of Service features names tests, and all of them are there.
#[test]
fn every_service_feature_names_its_tests() -> Result<()> {
    let mut known = BTreeSet::new();
    for directory in ["svc-lb/src", "svc-lb/tests", "tests/src", "tests/tests"] {
        functions(&Path::new(WORKSPACE).join(directory), &mut known)?;
    }
    let text = fs::read_to_string(Path::new(WORKSPACE).join("docs/services.md"))?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| line.split(" | ").collect())
        .filter(|cells: &Vec<&str>| cells.get(2).is_some_and(|cell| *cell != "tests"))
        .collect();
    ensure!(rows.len() > 50, "{} rows: the table has lost its form", rows.len());
    for row in rows {
        let feature = row[0].trim_start_matches("| ");
        let tests = row.get(2).with_context(|| format!("{feature} has no cell for tests"))?;
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        ensure!(!tests.is_empty(), "{feature} names no test");
        let missing: Vec<_> = tests.into_iter().filter(|name| !known.contains(*name)).collect();
        ensure!(missing.is_empty(), "{feature} names tests that are not there: {missing:?}");
    }
    Ok(())
}

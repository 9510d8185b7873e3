//! What is read here is what the parser of all of YAML reads, at the same places.

use super::*;
use crate::source::outline::Outline;
use proptest::prelude::*;
use serde::Deserialize;
use serde_yaml::Value;

/// The value that is read here, if it is.
fn value(text: &str) -> Option<Value> {
    let plain = Plain::read(text)?;
    Some(Value::deserialize(plain.root()).expect("any value"))
}

/// Asserts that a text is read as by the other parser, or not at all. Returns whether it is read.
fn agrees(text: &str) -> bool {
    let Some(plain) = Plain::read(text) else { return false };
    let read = Value::deserialize(plain.root()).expect("any value");
    let mut expected: Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    expected.apply_merge().unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(read, expected, "{text:?}");
    let [places, expected] = [&plain.outline, text].map(|text| Outline::new(text).positions().clone());
    assert_eq!(places, expected, "{text:?}");
    true
}

#[test]
fn what_kubectl_prints_and_people_write_is_read() {
    for text in [
        "a: 1",
        "---\na: b\n",
        "# licence\n\n---\na: b # c\n".replace(" # c", "").as_str(),
        "a:\n  b: c\n  d:\n  - e\n  - f: g\n    h: i\n\n  - j: \"k\"\n    l: 'm n'\nn: {}\no: []\np:\n",
        "a:\n    - b:\n        c: d\n      e: f\n    -   g:   h\n",
        "a: true\nb: null\nc: 0\nd: 999999999999999999\ne: 10.0.0.1\nf: 10.96.0.0/12\ng: a b, c [d] {e} \"f\" 'g' & *h\n",
        "a.b/c-d_e: x:y\n# e\nf: http://g/h#i\ng: \"\"\nh: ''\ni: ' a: b # c'\n",
        "a: FALSE\nb: False\nc: no\nd: off\ne: Nul\nf: 1h30m\ng: 5e\nu: 00000000-5c1e\nv: 0b123456-9c1e\nh: abc-1.2\n",
    ] {
        assert!(agrees(text), "{text:?}");
    }
}

#[test]
fn what_is_not_plain_is_left_to_others() {
    for text in [
        "",
        "# a\n",
        "a\n",
        "- a\n",
        "{}\n",
        "a: &b c\n",
        "a: *b\n",
        "a: !c d\n",
        "a: |\n  b\n",
        "a: >\n  b\n",
        "a: [b]\n",
        "a: {b: c}\n",
        "a: \"b\\n\"\n",
        "a: 'b''c'\n",
        "a: b # c\n",
        "a: b\n  c\n",
        "a: b\na: c\n",
        "a: b: c\n",
        "a:\n  b\n",
        "? a\n: b\n",
        "\"a\": b\n",
        "1: a\n",
        "true: a\n",
        "null: a\n",
        "~: a\n",
        "<<: a\n",
        "a: ~\n",
        "a: 1.5\n",
        "a: 0x10\n",
        "a: 0b1\n",
        "a: 0o7\n",
        "a: 007\n",
        "a: 1e3\n",
        "a: -1\n",
        "a: .5\n",
        "a: 9999999999999999999\n",
        "a: b \n",
        "a: \"b\" \n",
        "a:\tb\n",
        "a: b\r\n",
        "a: \u{e4}\n",
        "a: \"b\" c\n",
        " a: b\n",
        "a:\n  b: c\n d: e\n",
        "a:\n  - b\n - c\n",
        "a:\n- b\n  c\n",
        "a:\n-\n  b\n",
        "a:\n- - b\n",
        "a:\n- b: c\n   d: e\n",
        "a: b\n- c\n",
        "a:\n- b\nc\n",
        "%YAML 1.2\n---\na: b\n",
        "---\n",
        "--- a\n",
        "---\na: b\n...\n",
        "a: b\n--- \n",
        "a: 'b\n",
        "a: \"\n",
        "a: b:\n",
        "a:  # b\n",
        ":\n",
        "a :b\n",
        "a : b\n",
    ] {
        assert!(value(text).is_none(), "{text:?}");
    }
    let deep: Vec<_> = (0..=DEPTH).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let wide: Vec<_> = (0..=KEYS).map(|key| format!("a{key}: b\n")).collect();
    assert!(value(&deep[..DEPTH].concat()).is_some() && value(&wide[..KEYS].concat()).is_some());
    for text in [deep.concat(), wide.concat(), format!("{}: b\n", "a".repeat(KEY_LENGTH + 1))] {
        assert!(value(&text).is_none(), "{text:?}");
    }
}

/// Lines as in manifests, and such as are not plain, in any order.
fn line() -> impl Strategy<Value = String> {
    let key =
        prop::sample::select(&["a", "b", "c.d/e", "name", "ports", "true", "1", "\"q\"", "<<", "x y", "f:g"]);
    let value = prop_oneof![
        6 => prop::sample::select(&[
            "", " v", " 80", " 10.0.0.1", " true", " null", " {}", " []", " \"q\"", " 'q'", "  two", " a b", " a:b",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(&[
            " ~", " -1", " 1.5", " 0x1", " 012", " &x y", " *x", " !t v", " |", " >-", " [a, b]", " {a: b}", " # c",
            " v # c", " a: b", " a:", " \"a\\nb\"", " 'a''b'", " v ", "\tv", " \"a\" b", " .inf", " 1_0", " 0b1-1", " 0x-1", " 0o1.7", " -0x1", " - a", " @",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}".prop_map(|text| format!(" {text}")),
    ];
    let dash = prop::sample::select(&["", "", "", "- ", "-  ", "- - ", "-"]);
    let key = prop_oneof![5 => key.prop_map(|key| format!("{key}:")), 1 => Just(String::new())];
    let said = (0usize..7, dash, key, value)
        .prop_map(|(indent, dash, key, value)| format!("{}{dash}{key}{value}", " ".repeat(indent)));
    prop_oneof![
        20 => said,
        1 => prop::sample::select(&["", "  ", "# c", "  # c", "---", "...", "\t", "\r"]).prop_map(str::to_owned),
    ]
}

/// Plain values one within the other, as lines.
fn block(depth: u32) -> BoxedStrategy<Vec<String>> {
    let scalar =
        prop::sample::select(&["v", "80", "10.0.0.1", "true", "\"q: #\"", "'q'", "{}", "[]", "a b", "null"]);
    let scalar = scalar.prop_map(|text| vec![format!(" {text}")]);
    if depth == 0 {
        return scalar.boxed();
    }
    let mapping = (prop::collection::vec(block(depth - 1), 1..4), 1usize..5).prop_map(|(values, indent)| {
        let entry = |(number, value): (usize, Vec<String>)| entry(&format!("k{number}:"), &value, indent);
        values.into_iter().enumerate().flat_map(entry).collect::<Vec<_>>()
    });
    let list = (prop::collection::vec(block(depth - 1), 1..4), 0usize..3).prop_map(|(values, indent)| {
        let items = values.into_iter().flat_map(|value| {
            let mut lines = value.into_iter();
            let first = lines.next().unwrap_or_default();
            let dash = format!("{}- {}", " ".repeat(indent), first.trim_start());
            let rest: Vec<_> = lines.map(|line| format!("{}  {line}", " ".repeat(indent))).collect();
            [dash].into_iter().chain(rest)
        });
        items.collect::<Vec<_>>()
    });
    prop_oneof![2 => scalar, 3 => mapping, 2 => list].boxed()
}

/// A key and its value: on its line, or below.
fn entry(key: &str, value: &[String], indent: usize) -> Vec<String> {
    match value {
        [only] if only.starts_with(' ') && !only.trim_start().starts_with("- ") && !only.ends_with(':') => {
            vec![format!("{key}{only}")]
        }
        _ => {
            let below = value.iter().map(|line| format!("{}{line}", " ".repeat(indent)));
            [key.to_owned()].into_iter().chain(below).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_lines_are_read_as_by_the_other_parser(lines in prop::collection::vec(line(), 1..6)) {
        agrees(&lines.join("\n"));
    }

    #[test]
    fn any_text_is_read_as_by_the_other_parser(text in "([-:{}\\[\\]&*!|>?,'\"#%@.ab1~ \n]|: |\n|- |a:){0,24}") {
        agrees(&text);
    }

    #[test]
    fn nested_values_are_read_as_by_the_other_parser(lines in block(4)) {
        agrees(&lines.join("\n"));
    }
}

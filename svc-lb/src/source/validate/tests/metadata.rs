//! Names, labels and annotations.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Service\napiVersion: v1\nspec: {ports: [{port: 80}]}\n";

#[test]
fn labels_have_their_forms() {
    assert_findings(
        START,
        &[
            (
                "metadata: {name: web, labels: {\"a b\": c}}\n",
                STAYS,
                "4:39: error: \"a b\" is a key of metadata.labels: a key is a name of letters, digits, \
                 '-', '_' and '.', at most 63 of them, maybe with a DNS name and '/' before it; write \
                 another; until then this one is read as it stands",
            ),
            (
                "metadata: {name: web, labels: {a: \"b c\"}}\n",
                STAYS,
                "4:35: error: metadata.labels.a is \"b c\": a label's value has letters, digits, '-', \
                 '_' and '.', at most 63 of them, and starts and ends with a letter or a digit; write \
                 another; until then this one is read as it stands",
            ),
            (
                "metadata: {name: web, labels: {A.b/c: d}}\n",
                STAYS,
                "4:39: error: \"A.b/c\" is a key of metadata.labels: a key is a name of letters, digits, \
                 '-', '_' and '.', at most 63 of them, maybe with a DNS name and '/' before it; write \
                 another; until then this one is read as it stands",
            ),
            (
                "metadata: {name: web, labels: {a: \
                 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb}}\n",
                STAYS,
                "4:35: error: metadata.labels.a is \
                 \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\": a label's value \
                 has letters, digits, '-', '_' and '.', at most 63 of them, and starts and ends with a \
                 letter or a digit; write another; until then this one is read as it stands",
            ),
        ],
    );
}

#[test]
fn keys_of_annotations_have_their_form() {
    assert_findings(
        START,
        &[
            (
                "metadata: {name: web, annotations: {\"a b\": \"any text\"}}\n",
                STAYS,
                "4:44: error: \"a b\" is a key of metadata.annotations: a key is a name of letters, \
                 digits, '-', '_' and '.', at most 63 of them, maybe with a DNS name and '/' before it; \
                 write another; until then this one is read as it stands",
            ),
            (
                "metadata: {name: web, annotations: {a/b/c: d}}\n",
                STAYS,
                "4:44: error: \"a/b/c\" is a key of metadata.annotations: a key is a name of letters, \
                 digits, '-', '_' and '.', at most 63 of them, maybe with a DNS name and '/' before it; \
                 write another; until then this one is read as it stands",
            ),
        ],
    );
}

#[test]
fn a_name_is_one_of_the_dns() {
    assert_findings(
        START,
        &[
            (
                "metadata: {name: Web}\n",
                LEFT_OUT,
                "4:18: error: metadata.name is \"Web\": it becomes a name in the DNS, which has \
                 lower-case letters, digits and '-', and not too many of them; give another name",
            ),
            (
                "metadata: {name: a.b}\n",
                LEFT_OUT,
                "4:18: error: metadata.name is \"a.b\": it becomes a name in the DNS, which has \
                 lower-case letters, digits and '-', and not too many of them; give another name",
            ),
            (
                "metadata: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n",
                LEFT_OUT,
                "4:18: error: metadata.name is \
                 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": it becomes a name \
                 in the DNS, which has lower-case letters, digits and '-', and not too many of them; \
                 give another name",
            ),
            (
                "metadata: {name: web, namespace: A}\n",
                LEFT_OUT,
                "4:34: error: metadata.namespace is \"A\": it becomes a name in the DNS, which has \
                 lower-case letters, digits and '-', and not too many of them; give another name",
            ),
            (
                "metadata: {name: web, namespace: a.b}\n",
                LEFT_OUT,
                "4:34: error: metadata.namespace is \"a.b\": it becomes a name in the DNS, which has \
                 lower-case letters, digits and '-', and not too many of them; give another name",
            ),
            (
                "metadata: {}\n",
                LEFT_OUT,
                "4:1: error: metadata.name is missing: it tells one Service from another; give the \
                 object a name, in quotes if it looks like a number",
            ),
        ],
    );
}

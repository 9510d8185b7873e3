//! The forms of names in the Kubernetes API.

/// Whether a text is a label of a DNS name (RFC 1123), as namespaces and ports of Services are named.
pub(in crate::source) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && has_form_of_dns_label(text)
}

/// Whether a text is a DNS name (RFC 1123), as most objects are named. Only its whole length is limited.
pub(in crate::source) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(has_form_of_dns_label)
}

fn has_form_of_dns_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(allowed)
}

/// Whether a text is a name of a port in a Pod (RFC 6335): with a letter, at most 15 characters.
pub fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_label(text)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--")
}

/// Whether a text is a key of a label or annotation: a name, maybe with a DNS name and '/' before it.
pub fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_name) && !name.is_empty() && is_label_value(name)
}

/// Whether a text is a value of a label.
pub fn is_label_value(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && text.bytes().all(allowed) && is_end(bytes.first()) && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names() {
        for good in ["web", "a", "0", "web-1", "kube-dns"] {
            assert!(is_dns_label(good) && is_dns_name(good), "{good}");
        }
        for bad in ["", "-web", "web-", "Web", "web_1", "wéb"] {
            assert!(!is_dns_label(bad) && !is_dns_name(bad), "{bad}");
        }
        assert!(is_dns_name("node-1.example.org") && !is_dns_label("node-1.example.org"));
        assert!(!is_dns_name("node..org"));
        assert!(!is_dns_label(&"a".repeat(64)) && is_dns_name(&"a".repeat(253)));
        assert!(!is_dns_name(&"a".repeat(254)));
    }

    #[test]
    fn port_names_have_a_letter_and_fifteen_characters_at_most() {
        for good in ["http", "a", "80a", "http-alt-1"] {
            assert!(is_port_name(good), "{good}");
        }
        for bad in ["", "80", "http_", "a--b", "sixteen-letters-"] {
            assert!(!is_port_name(bad), "{bad}");
        }
    }

    #[test]
    fn keys_and_values_of_labels_have_their_forms() {
        for good in ["app", "App.kubernetes_io", "a.b/C-d", "kubernetes.io/h2c"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A.b/c", "-a", "a b", &"a".repeat(64)] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
        for good in ["", "a", "1.2_x-Y", &"a".repeat(63)] {
            assert!(is_label_value(good), "{good}");
        }
        for bad in ["a b", "a/b", ".a", "a-", "é", &"a".repeat(64)] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }
}

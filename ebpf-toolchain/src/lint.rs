//! What must not be in an eBPF object although it builds.

use crate::calls::{Call, calls};
use object::File;
use std::collections::BTreeSet;

/// A call that must not be there. Functions are named as in Rust.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// A panic can be reached (an index, a division, an unwrap, a slice range). The kernel refuses
    /// such a program: "last insn is not an exit or jmp".
    #[error("{caller} (section {section}) can panic: it calls {callee}")]
    Panic {
        /// The function that can panic.
        caller: String,
        /// The section it is in.
        section: String,
        /// The function of `core` that panics.
        callee: String,
    },
    /// Memory is copied, set or compared by a call, which is a loop over bytes in BPF.
    #[error("{caller} (section {section}) goes byte by byte: it calls {callee}")]
    ByteLoop {
        /// The function that copies, sets or compares.
        caller: String,
        /// The section it is in.
        section: String,
        /// `memcpy`, `memmove`, `memset`, `memcmp` or `bcmp`.
        callee: String,
    },
}

/// The findings in an object, each once.
///
/// # Errors
/// If it is not an ELF file, or a broken one.
pub fn lint(object: &[u8]) -> object::Result<BTreeSet<Finding>> {
    let file = File::parse(object)?;
    Ok(findings(&calls(&file)?))
}

fn findings(calls: &[Call]) -> BTreeSet<Finding> {
    let panicking = panicking(calls);
    let finding = |call: &Call| {
        let (caller, section, callee) =
            (readable(call.caller), call.section.to_owned(), readable(call.callee));
        if panicking.contains(call.callee) && !panicking.contains(call.caller) {
            Some(Finding::Panic { caller, section, callee })
        } else if ["memcpy", "memmove", "memset", "memcmp", "bcmp"].contains(&call.callee) {
            Some(Finding::ByteLoop { caller, section, callee })
        } else {
            None
        }
    };
    calls.iter().filter_map(finding).collect()
}

/// The functions of `core` that panic: those of `core::panicking`, and those of `core` that call them.
/// So a finding names the code that is to be mended, not a function of the library on the way.
fn panicking<'a>(calls: &[Call<'a>]) -> BTreeSet<&'a str> {
    let mut panicking: BTreeSet<&str> = calls
        .iter()
        .map(|call| call.callee)
        .filter(|name| readable(name).starts_with("core::panicking::"))
        .collect();
    loop {
        let before = panicking.len();
        let callers = calls.iter().filter(|call| panicking.contains(call.callee)).map(|call| call.caller);
        let of_core: Vec<&str> = callers.filter(|name| is_of_core(&readable(name))).collect();
        panicking.extend(of_core);
        if panicking.len() == before {
            return panicking;
        }
    }
}

fn is_of_core(function: &str) -> bool {
    function.starts_with("core::") || function.starts_with("<core::")
}

/// A symbol as the function's path in Rust, without a hash.
fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crafted::{Crafted, EXIT, call};

    const PANIC_FMT: &str = "_RNvNtCs5ll5scL1wJp_4core9panicking9panic_fmt";
    const SLICE_INDEX_FAIL: &str = "_RNvNtNtCs5ll5scL1wJp_4core5slice5index16slice_index_fail";
    const OWN: &str = "_RNvNtCsj8bfacymp4f_11svc_lb_ebpf4prog4more";
    const LEGACY_BOUNDS: &str = "_ZN4core9panicking18panic_bounds_check17h0123456789abcdefE";

    fn of(calls: &[(&'static str, &'static str)]) -> Vec<String> {
        let calls: Vec<_> =
            calls.iter().map(|&(caller, callee)| Call { section: "xdp", caller, callee }).collect();
        findings(&calls).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reachable_panic_is_found_where_the_program_calls_it() {
        assert_eq!(
            of(&[(OWN, SLICE_INDEX_FAIL), ("program", OWN), (SLICE_INDEX_FAIL, PANIC_FMT)]),
            [
                "svc_lb_ebpf::prog::more (section xdp) can panic: it calls core::slice::index::slice_index_fail"
            ]
        );
    }

    #[test]
    fn both_manglings_are_read() {
        assert_eq!(
            of(&[("program", LEGACY_BOUNDS)]),
            ["program (section xdp) can panic: it calls core::panicking::panic_bounds_check"]
        );
    }

    #[test]
    fn copies_sets_and_comparisons_by_a_call_are_found_each_once() {
        for callee in ["memcpy", "memmove", "memset", "memcmp", "bcmp"] {
            assert_eq!(
                of(&[("program", callee), ("program", callee)]),
                [format!("program (section xdp) goes byte by byte: it calls {callee}")]
            );
        }
    }

    #[test]
    fn other_calls_are_none_of_its_business() {
        assert!(of(&[("program", OWN), (OWN, "memcpy_of_mine")]).is_empty());
    }

    #[test]
    fn an_object_is_read() {
        let mut object = Crafted::new();
        let text = object.code(".text");
        let memcpy = object.function(text, "memcpy", &[EXIT]);
        let program = object.code("classifier");
        object.function(program, "program", &[call(-1), EXIT]);
        assert!(
            lint(&object.file()).unwrap().iter().all(|finding| matches!(finding, Finding::ByteLoop { .. }))
        );
        object.relocate(program, 0, memcpy);
        let expected = Finding::ByteLoop {
            caller: "program".to_owned(),
            section: "classifier".to_owned(),
            callee: "memcpy".to_owned(),
        };
        assert_eq!(lint(&object.file()).unwrap(), BTreeSet::from([expected]));
        assert!(lint(b"no object").is_err());
    }
}

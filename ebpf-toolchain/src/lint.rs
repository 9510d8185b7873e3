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

//! Which function of an eBPF object calls which.

use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind, SymbolKind,
    SymbolSection,
};
use std::collections::HashMap;

/// The length of an instruction in bytes.
const INSTRUCTION: u8 = 8;
/// `BPF_JMP | BPF_CALL`, the opcode of a call.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_CALL`, the source register of a call to a function of the object, not to a helper.
const TO_FUNCTION: u8 = 1;

/// A call of one function of the object by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    /// The section of the caller; that of a program is named for its kind.
    pub(crate) section: &'a str,
    /// The symbol of the caller.
    pub(crate) caller: &'a str,
    /// The symbol of the callee.
    pub(crate) callee: &'a str,
}

/// All calls of functions by functions.
///
/// A call's immediate is the distance to the callee in instructions, less one. It starts at the symbol
/// of the call's relocation, or at the call itself where there is none, since both lie in one section.
pub(crate) fn calls<'a>(file: &'a File<'a>) -> object::Result<Vec<Call<'a>>> {
    let functions = Functions::of(file)?;
    let mut calls = Vec::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let relocations: HashMap<u64, RelocationTarget> =
            section.relocations().map(|(offset, relocation)| (offset, relocation.target())).collect();
        let (instructions, _) = section.data()?.as_chunks::<{ INSTRUCTION as usize }>();
        for (index, &[opcode, registers, _, _, a, b, c, d]) in instructions.iter().enumerate() {
            if opcode != CALL || registers >> 4 != TO_FUNCTION {
                continue;
            }
            let offset = index as u64 * u64::from(INSTRUCTION);
            let distance = i32::from_le_bytes([a, b, c, d]);
            let callee = match relocations.get(&offset) {
                Some(&RelocationTarget::Symbol(symbol)) => {
                    let symbol = file.symbol_by_index(symbol)?;
                    match symbol.section() {
                        SymbolSection::Section(section) => {
                            functions.at(section, step(symbol.address(), distance))
                        }
                        _ => symbol.name()?,
                    }
                }
                _ => functions.at(section.index(), step(offset, distance)),
            };
            let caller = functions.at(section.index(), offset);
            calls.push(Call { section: section.name()?, caller, callee });
        }
    }
    Ok(calls)
}

/// The address that a call goes to.
fn step(from: u64, distance: i32) -> u64 {
    from.wrapping_add_signed((i64::from(distance) + 1) * i64::from(INSTRUCTION))
}

/// The functions of an object by place.
struct Functions<'a>(Vec<(SectionIndex, std::ops::Range<u64>, &'a str)>);

impl<'a> Functions<'a> {
    fn of(file: &'a File<'a>) -> object::Result<Self> {
        let mut functions = Vec::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            if let Some(section) = symbol.section_index() {
                let end = symbol.address() + symbol.size();
                functions.push((section, symbol.address()..end, symbol.name()?));
            }
        }
        Ok(Self(functions))
    }

    /// The name of the function that holds an address.
    fn at(&self, section: SectionIndex, address: u64) -> &'a str {
        let found = self.0.iter().find(|(of, range, _)| *of == section && range.contains(&address));
        found.map_or("a function without a name", |(_, _, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crafted::{Crafted, EXIT, call, call_helper};

    /// The calls in a file: section, caller, callee.
    fn calls_in(file: &[u8]) -> Vec<[String; 3]> {
        let file = File::parse(file).unwrap();
        let calls = calls(&file).unwrap();
        calls.iter().map(|call| [call.section, call.caller, call.callee].map(str::to_owned)).collect()
    }

    #[test]
    fn a_call_relocated_by_a_function_goes_to_it() {
        let mut object = Crafted::new();
        let text = object.code(".text");
        object.function(text, "first", &[EXIT]);
        let second = object.function(text, "second", &[EXIT]);
        let program = object.code("xdp");
        object.function(program, "program", &[EXIT, call(-1), EXIT]);
        object.relocate(program, 8, second);
        assert_eq!(calls_in(&object.file()), [["xdp", "program", "second"]]);
    }

    #[test]
    fn a_call_relocated_by_a_section_goes_to_the_function_at_its_distance() {
        let mut object = Crafted::new();
        let text = object.code(".text");
        object.function(text, "first", &[EXIT, EXIT]);
        object.function(text, "second", &[EXIT]);
        let program = object.code("classifier");
        object.function(program, "program", &[call(1), EXIT]);
        let start = object.0.section_symbol(text);
        object.relocate(program, 0, start);
        assert_eq!(calls_in(&object.file()), [["classifier", "program", "second"]]);
    }

    #[test]
    fn a_call_without_relocation_stays_in_its_section() {
        let mut object = Crafted::new();
        let text = object.code(".text");
        object.function(text, "first", &[EXIT, EXIT]);
        object.function(text, "second", &[call(-3), EXIT]);
        assert_eq!(calls_in(&object.file()), [[".text", "second", "first"]]);
    }

    #[test]
    fn a_call_of_what_the_object_lacks_is_named_too() {
        let mut object = Crafted::new();
        let program = object.code("xdp");
        object.function(program, "program", &[call(-1), EXIT]);
        let missing = object.undefined("memcpy");
        object.relocate(program, 0, missing);
        assert_eq!(calls_in(&object.file()), [["xdp", "program", "memcpy"]]);
    }

    #[test]
    fn a_call_of_a_helper_is_none_of_a_function() {
        let mut object = Crafted::new();
        let program = object.code("xdp");
        object.function(program, "program", &[call_helper(1), EXIT]);
        assert!(calls_in(&object.file()).is_empty());
    }
}

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

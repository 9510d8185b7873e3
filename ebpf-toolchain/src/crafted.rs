//! Small eBPF objects, made for tests.

use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
    elf::R_BPF_64_32,
    write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection},
};

/// `exit`
pub(crate) const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// `call` to a function of the object, at a distance in instructions, less one.
pub(crate) const fn call(distance: i32) -> [u8; 8] {
    let [a, b, c, d] = distance.to_le_bytes();
    [0x85, 0x10, 0, 0, a, b, c, d]
}

/// `call` to a helper of the kernel.
pub(crate) const fn call_helper(helper: i32) -> [u8; 8] {
    let [a, b, c, d] = helper.to_le_bytes();
    [0x85, 0, 0, 0, a, b, c, d]
}

/// An object in the making.
pub(crate) struct Crafted(pub(crate) Object<'static>);

impl Crafted {
    pub(crate) fn new() -> Self {
        Self(Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little))
    }

    /// Adds a section of instructions.
    pub(crate) fn code(&mut self, name: &str) -> SectionId {
        self.section(name, SectionKind::Text)
    }

    /// Adds a section.
    pub(crate) fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        self.0.add_section(Vec::new(), name.into(), kind)
    }

    /// Appends a function to a section.
    pub(crate) fn function(&mut self, section: SectionId, name: &str, code: &[[u8; 8]]) -> SymbolId {
        let value = self.0.append_section_data(section, code.as_flattened(), 8);
        self.symbol(name, value, code.as_flattened().len() as u64, SymbolSection::Section(section))
    }

    /// Adds a function that another object would have to bring.
    pub(crate) fn undefined(&mut self, name: &str) -> SymbolId {
        self.symbol(name, 0, 0, SymbolSection::Undefined)
    }

    /// Relocates the call at an offset into a section by a symbol.
    pub(crate) fn relocate(&mut self, section: SectionId, offset: u64, symbol: SymbolId) {
        let flags = RelocationFlags::Elf { r_type: R_BPF_64_32 };
        let relocation = Relocation { offset, symbol, addend: 0, flags };
        self.0.add_relocation(section, relocation).unwrap();
    }

    /// The object as a file.
    pub(crate) fn file(&self) -> Vec<u8> {
        self.0.write().unwrap()
    }

    fn symbol(&mut self, name: &str, value: u64, size: u64, section: SymbolSection) -> SymbolId {
        self.0.add_symbol(Symbol {
            name: name.into(),
            value,
            size,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }
}

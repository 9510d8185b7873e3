//! Drops the debug information of an eBPF object, and keeps its BTF.

use object::{
    build::{
        Error,
        elf::{Builder, Section, SectionData},
    },
    elf::SHT_STRTAB,
};

/// The object without its DWARF sections, which the kernel does not read and which are most of it.
/// Programs, maps, BTF and their relocations are kept as they are.
///
/// # Errors
/// If it is not a 64-bit ELF file, or a broken one.
pub fn strip(object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::read64(object)?;
    let is_debug = |section: &&Section| section.name.starts_with(b".debug_");
    let debug: Vec<_> = builder.sections.iter().filter(is_debug).map(Section::id).collect();
    for section in &mut builder.sections {
        let relocates_debug = section.sh_info_section.is_some_and(|of| debug.contains(&of));
        section.delete = relocates_debug || debug.contains(&section.id());
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and of symbols in one table; the writer wants two.
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = builder.sections.add();
        names.name = ".shstrtab".into();
        names.sh_type = SHT_STRTAB;
        names.sh_addralign = 1;
        names.data = SectionData::SectionString;
    }
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calls::calls,
        crafted::{Crafted, EXIT, call},
    };
    use object::{File, Object, ObjectSection, SectionKind};

    /// A program that calls a function, with BTF and debug information that both refer to the code.
    fn crafted() -> Vec<u8> {
        let mut object = Crafted::new();
        let debug = object.section(".debug_info", SectionKind::Debug);
        object.0.append_section_data(debug, &[1; 64], 1);
        let text = object.code(".text");
        let callee = object.function(text, "callee", &[EXIT]);
        let program = object.code("xdp");
        object.function(program, "program", &[call(-1), EXIT]);
        object.relocate(program, 0, callee);
        for (name, content) in [(".BTF", 2), (".BTF.ext", 3), ("license", 4)] {
            let section = object.section(name, SectionKind::Other);
            object.0.append_section_data(section, &[content; 16], 4);
        }
        let debug_symbol = object.0.section_symbol(debug);
        object.relocate(debug, 0, callee);
        object.relocate(debug, 8, debug_symbol);
        object.file()
    }

    #[test]
    fn debug_information_goes_and_the_rest_stays() {
        let whole = crafted();
        let stripped = strip(&whole).unwrap();
        let (whole, stripped) = (File::parse(&*whole).unwrap(), File::parse(&*stripped).unwrap());
        let names = |file: &File| -> Vec<String> {
            file.sections().map(|section| section.name().unwrap().to_owned()).collect()
        };
        assert!(names(&whole).iter().any(|name| name.contains("debug")));
        assert!(!names(&stripped).iter().any(|name| name.contains("debug")), "{:?}", names(&stripped));
        for name in [".text", "xdp", ".BTF", ".BTF.ext", "license"] {
            let data = |file: &File| file.section_by_name(name).unwrap().data().unwrap().to_owned();
            assert_eq!(data(&whole), data(&stripped), "{name}");
        }
        assert_eq!(calls(&whole).unwrap(), calls(&stripped).unwrap());
        assert_eq!(calls(&stripped).unwrap().len(), 1);
    }

    #[test]
    fn what_is_stripped_stays_as_it_is() {
        let once = strip(&crafted()).unwrap();
        assert_eq!(strip(&once).unwrap(), once);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(strip(b"no object").is_err());
    }
}

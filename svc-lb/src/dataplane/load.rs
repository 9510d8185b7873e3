//! Loads the programs and their maps. Maps are pinned, and a map that an earlier agent pinned is used
//! again if it is what this version would make.

use super::{
    bpffs, clock,
    error::{DataplaneError, chain},
    log::LogLevel,
    maps::{self, FLOWS, NEW_FLOWS, SERVICE_NAMES},
    name::ServiceName,
    namespace_cookie::namespace_cookie,
    options::Options,
    outdated,
    syscall::MapInfo,
};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::MapData,
    programs::{Program as AyaProgram, ProgramError, ProgramFd},
};
use aya_obj::{EbpfSectionKind, generated::bpf_map_type::BPF_MAP_TYPE_HASH};
use std::{collections::BTreeMap, path::Path};
use svc_lb_common::{counters::Program, service::MAX_SERVICES};

/// The eBPF object, built by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SVC_LB_EBPF_OBJECT"));

/// `BPF_F_NO_PREALLOC`: memory only for the elements that are there.
const NO_PREALLOC: u32 = 1;

/// How many lines of the verifier's words an error keeps: the last ones say what is wrong.
const LOG_LINES: usize = 25;
/// How many characters of each.
const LOG_WIDTH: usize = 200;

/// The kernel's name of the one kind of iterator that there is a program for.
const SOCKET_ITERATOR: &str = "bpf_sk_storage_map";

/// The programs that are loaded at once. The others are for links that not every node has, or may be off, as
/// XDP and those for sockets: they are loaded where they are first attached.
const AT_START: [Program; 4] =
    [Program::TcUplinkIngress, Program::TcUplinkEgress, Program::TcPodIngress, Program::TcPodEgress];

/// Makes or adopts the maps, and loads the programs that every node needs.
pub fn load(options: &Options) -> Result<Ebpf, DataplaneError> {
    bpffs::prepare(&options.pin_dir)?;
    let directory = maps::directory(&options.pin_dir);
    bpffs::create(&directory)?;
    let definitions = definitions(options)?;
    outdated::discard(&directory, &definitions)?;
    make_names(&directory)?;

    let processors = aya::util::nr_cpus().map_err(|(path, error)| object(&format!("{path}: {error}")))?;
    // A kernel that knows no cookies has none that could be taken for the node's.
    let namespace = namespace_cookie().unwrap_or_default();
    let config = options.config(processors as u32, namespace);
    let log_level = LogLevel::wanted();
    let mut loader = EbpfLoader::new();
    loader.override_global("CONFIG", bytemuck::bytes_of(&config), true);
    log_level.settle(&mut loader);
    for (name, info) in definitions.iter().filter(|(name, _)| *name != SERVICE_NAMES) {
        loader.map_pin_path(name, directory.join(name));
        loader.map_max_entries(name, info.max_entries);
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| object(&chain(&error)))?;
    for program in AT_START.map(Program::name).into_iter().chain([clock::PROGRAM]) {
        load_program(&mut ebpf, program)?;
    }
    pin_clock(&mut ebpf, &options.pin_dir)?;
    log_level.follow(&mut ebpf)?;
    Ok(ebpf)
}

/// What each map is to be, by name.
fn definitions(options: &Options) -> Result<BTreeMap<String, MapInfo>, DataplaneError> {
    let parsed = aya_obj::Object::parse(OBJECT).map_err(|error| object(&chain(&error)))?;
    let is_map = |kind| matches!(kind, EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps);
    let mut definitions: BTreeMap<String, MapInfo> = parsed
        .maps
        .iter()
        .filter(|(_, map)| is_map(map.section_kind()))
        .map(|(name, map)| {
            let max_entries = match name.as_str() {
                name if FLOWS.contains(&name) => options.flow_entries,
                name if NEW_FLOWS.contains(&name) => options.new_flow_entries(),
                _ => map.max_entries(),
            };
            let info = MapInfo {
                kind: map.map_type(),
                id: 0,
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries,
                flags: map.map_flags(),
            };
            (name.clone(), info)
        })
        .collect();
    let names = MapInfo {
        kind: BPF_MAP_TYPE_HASH as u32,
        id: 0,
        key_size: size_of::<u32>() as u32,
        value_size: size_of::<ServiceName>() as u32,
        max_entries: MAX_SERVICES,
        flags: NO_PREALLOC,
    };
    definitions.insert(SERVICE_NAMES.to_owned(), names);
    Ok(definitions)
}

/// Makes the map that no program knows.
fn make_names(directory: &Path) -> Result<(), DataplaneError> {
    let path = directory.join(SERVICE_NAMES);
    if path.exists() {
        return Ok(());
    }
    aya::maps::HashMap::<MapData, u32, [u8; size_of::<ServiceName>()]>::create(MAX_SERVICES, NO_PREALLOC)
        .map_err(|error| object(&chain(&error)))?
        .pin(&path)
        .map_err(|error| object(&chain(&error)))
}

/// Has the kernel verify a program, unless it has already.
pub fn load_program(ebpf: &mut Ebpf, program: &'static str) -> Result<(), DataplaneError> {
    let result = match ebpf.program_mut(program) {
        Some(loaded) if loaded.fd().is_ok() => Ok(()),
        Some(AyaProgram::Xdp(xdp)) => xdp.load(),
        Some(AyaProgram::Iter(iterator)) => Btf::from_sys_fs()
            .map_err(ProgramError::from)
            .and_then(|kernel| iterator.load(SOCKET_ITERATOR, &kernel)),
        Some(AyaProgram::SchedClassifier(classifier)) => classifier.load(),
        Some(AyaProgram::CgroupSockAddr(sockets)) => sockets.load(),
        Some(AyaProgram::CgroupSock(sockets)) => sockets.load(),
        _ => return Err(object(&format!("the object has no program {program}"))),
    };
    result.map_err(|error| match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let (reason, log) = (io_error.to_string(), tail(&verifier_log.to_string()));
            DataplaneError::Program { program, reason, log }
        }
        error => DataplaneError::Program { program, reason: chain(&error), log: String::new() },
    })
}

/// A program's descriptor, once the kernel has verified it.
pub fn descriptor(ebpf: &mut Ebpf, program: &'static str) -> Result<ProgramFd, DataplaneError> {
    load_program(ebpf, program)?;
    let loaded =
        ebpf.program(program).ok_or_else(|| object(&format!("the object has no program {program}")))?;
    let descriptor = loaded.fd().map_err(|error| object(&chain(&error)))?;
    descriptor.try_clone().map_err(|error| object(&error.to_string()))
}

/// The last lines of a text, a line break before each, cut to a readable length: the verifier lists
/// every register.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    last.iter().flat_map(|line| std::iter::once('\n').chain(line.chars().take(LOG_WIDTH))).collect()
}

/// Pins the clock, for those who read the maps while the agent is down.
fn pin_clock(ebpf: &mut Ebpf, pin_dir: &Path) -> Result<(), DataplaneError> {
    let path = pin_dir.join(clock::PROGRAM);
    bpffs::remove(&path)?;
    let pinned = match ebpf.program_mut(clock::PROGRAM) {
        Some(program) => program.pin(&path),
        None => return Ok(()),
    };
    pinned.map_err(|error| DataplaneError::Pin { path, source: std::io::Error::other(chain(&error)) })
}

fn object(reason: &str) -> DataplaneError {
    DataplaneError::Object(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_ends_with_the_last_words_of_the_verifier() {
        let words: Vec<String> = (0..100).map(|line| format!("{line} {}", "x".repeat(500))).collect();
        let tail = tail(&words.join("\n"));
        assert_eq!(tail.lines().count(), LOG_LINES + 1);
        assert!(tail.starts_with("\n75 ") && tail.lines().all(|line| line.len() <= LOG_WIDTH));
        let error =
            DataplaneError::Program { program: "clock", reason: "no".to_owned(), log: super::tail("") };
        assert_eq!(error.to_string(), "the kernel refuses the program clock: no");
    }
}

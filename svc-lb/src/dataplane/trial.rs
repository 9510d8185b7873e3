//! A program run on one packet that nobody sent (`BPF_PROG_TEST_RUN`): with the real maps, and as if it
//! had come in by an interface.

use super::{
    error::{DataplaneError, chain},
    load::load_program,
};
use aya::{
    Ebpf, TestRun, TestRunOptions,
    programs::{ProgramError, SchedClassifier, Xdp},
};
use svc_lb_common::counters::Program;

/// What became of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What the program returned: an `XDP_` or `TC_ACT_` code of the kernel.
    pub verdict: i32,
    /// The frame that it left.
    pub frame: Vec<u8>,
}

/// The ifindex of the loopback interface in every network namespace.
pub const LOOPBACK: u32 = 1;

/// Runs a program on a frame as of an interface.
pub fn run(ebpf: &mut Ebpf, program: Program, interface: u32, frame: &[u8]) -> Result<Trial, DataplaneError> {
    load_program(ebpf, program.name())?;
    let failed =
        |reason: String| DataplaneError::Program { program: program.name(), reason, log: String::new() };
    let loaded = ebpf.program_mut(program.name()).ok_or_else(|| failed("it is not loaded".to_owned()))?;
    // A program may make the frame longer by the headers of an answer.
    let mut left = vec![0; frame.len() + 256];
    let context = context(program, interface, frame);
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut left),
        ctx_in: Some(bytemuck::cast_slice(&context)),
        ..TestRunOptions::default()
    };
    let result = match program {
        Program::XdpUplink => <&mut Xdp>::try_from(loaded).and_then(|xdp| xdp.test_run(options)),
        _ => <&mut SchedClassifier>::try_from(loaded).and_then(|tc| tc.test_run(options)),
    };
    let result = result.map_err(|error: ProgramError| failed(chain(&error)))?;
    left.truncate(result.data_size_out as usize);
    Ok(Trial { verdict: result.return_value.cast_signed(), frame: left })
}

/// Of `struct xdp_md` (linux/bpf.h), in words: `data_end`, in bytes from the frame's beginning.
const XDP_DATA_END: usize = 1;
/// Of `struct xdp_md`: `ingress_ifindex`.
const XDP_INGRESS_IFINDEX: usize = 3;
/// Of `struct __sk_buff`: `ifindex`.
const SKB_IFINDEX: usize = 10;

/// The beginning of a program's context, word by word; the kernel takes the rest for zeros.
fn context(program: Program, interface: u32, frame: &[u8]) -> Vec<u32> {
    if program == Program::XdpUplink {
        let mut context = vec![0; XDP_INGRESS_IFINDEX + 1];
        context[XDP_DATA_END] = frame.len() as u32;
        context[XDP_INGRESS_IFINDEX] = interface;
        return context;
    }
    let mut context = vec![0; SKB_IFINDEX + 1];
    context[SKB_IFINDEX] = interface;
    context
}

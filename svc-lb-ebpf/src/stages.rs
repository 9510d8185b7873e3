//! The stages that the verifier follows by themselves (global functions): once, with whatever arguments
//! their types allow, instead of once for every state in which they are called. It more than halves the
//! time that it takes to load the programs.
//!
//! Such a function is not generic and its arguments are numbers and pointers that may be null, so there is
//! one a family, which does nothing but call what is written once. Older kernels take no pointer argument
//! for a key of a map, so the packet's key comes from where its headers are.

use crate::{
    exception::Exception,
    flow::{self, Found, Step},
    maps,
    nat::{self, Opened},
    packet::Family,
    pipeline,
};
use svc_lb_common::{
    address::{Ipv4, Ipv6},
    connection::State,
    crc32c,
    flow::Flow,
    frontend::Frontend,
};

/// [`crc32c::update`], of ports as a word each that holds them as they stand in a packet.
#[inline(always)]
pub fn update_crc32c(checksum: u32, old: [u8; 4], new: [u8; 4], length: u32) -> u32 {
    updated_crc32c(checksum, u32::from_ne_bytes(old), u32::from_ne_bytes(new), length)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn updated_crc32c(checksum: u32, old: u32, new: u32, length: u32) -> u32 {
    crc32c::update(checksum, old.to_ne_bytes(), new.to_ne_bytes(), length as u16)
}

/// The stages of a family.
pub trait Stages: Family {
    /// [`flow::advance`].
    fn advance(entry: *mut Flow<Self>, unfinished: u32, after: u32, now: u32) -> Step;

    /// [`pipeline::admit`], of the packet whose headers were parsed, to the frontend with these fields.
    fn admit(service: u32, flags: u32, now: u32) -> Result<(), Exception>;

    /// [`nat::make`].
    fn make(from_pod: u32, has_next_hop: u32, now: u32) -> Opened;
}

macro_rules! stages {
    ($family:ty, $advance:ident, $admit:ident, $make:ident) => {
        impl Stages for $family {
            #[inline(always)]
            fn advance(entry: *mut Flow<Self>, unfinished: u32, after: u32, now: u32) -> Step {
                $advance(entry, unfinished, after, now)
            }

            #[inline(always)]
            fn admit(service: u32, flags: u32, now: u32) -> Result<(), Exception> {
                Exception::of_code($admit(service, flags, now))
            }

            #[inline(always)]
            fn make(from_pod: u32, has_next_hop: u32, now: u32) -> Opened {
                $make(from_pod, has_next_hop, now)
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $advance(entry: *mut Flow<$family>, unfinished: u32, after: u32, now: u32) -> Step {
            match maps::headers::<$family>() {
                Some(headers) if !entry.is_null() => {
                    flow::advance(&Found::at(entry, unfinished != 0), &headers.key, State(after), now)
                }
                _ => Step::Kept,
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $admit(service: u32, flags: u32, now: u32) -> u32 {
            match maps::headers::<$family>() {
                Some(headers) => Exception::code(pipeline::admit(headers, Frontend { service, flags }, now)),
                None => Exception::code(Err(Exception::NotOurs)),
            }
        }

        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $make(from_pod: u32, has_next_hop: u32, now: u32) -> Opened {
            match maps::headers::<$family>() {
                Some(headers) => nat::make(&headers.key, from_pod != 0, has_next_hop != 0, now),
                None => Opened::NoMemory,
            }
        }
    };
}

stages!(Ipv4, advance_v4, admit_v4, make_v4);
stages!(Ipv6, advance_v6, admit_v6, make_v6);

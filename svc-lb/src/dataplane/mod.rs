//! Load, attach, pin, typed maps, sync, expiry: the only place that knows aya.

mod adopt;
mod batch;
mod element;
mod index;
mod maps;
mod name;
mod plan;
mod state;
mod sync;
mod syscall;
mod typed;

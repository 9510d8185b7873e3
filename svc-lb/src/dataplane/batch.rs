//! Many elements of a map with one system call (`BPF_MAP_*_BATCH`), or one by one where the kernel
//! has no batches for the kind of map.

use super::syscall::{RawMap, address, address_mut, bpf, expect};
use aya_obj::generated::bpf_cmd;
use bytemuck::{Pod, Zeroable};
use std::io;

/// The kernel's own errno for "not supported", which some kinds of map let through.
const ENOTSUPP: i32 = 524;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BatchAttributes {
    position: u64,
    next_position: u64,
    keys: u64,
    values: u64,
    /// In: how many elements there is room for. Out: how many were handled.
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Where a walk over the elements of a map is.
#[derive(Clone, Debug, Default)]
pub enum Position {
    /// Before the first element.
    #[default]
    Start,
    /// Where the kernel said that the next batch starts: the last key in an array, a bucket in a
    /// hash.
    Batch(Vec<u8>),
    /// Behind a key: the kernel has no batches.
    Key(Vec<u8>),
    /// Behind the last element.
    End,
}

/// Elements of a map: keys and values one behind another.
#[derive(Debug, Default)]
pub struct Elements {
    /// The keys.
    pub keys: Vec<u8>,
    /// The values.
    pub values: Vec<u8>,
}

impl RawMap {
    /// Writes elements, whether they are there already or not, in their order. An error leaves those
    /// before it written.
    pub fn update_batch(&self, keys: &[u8], values: &[u8]) -> io::Result<()> {
        let total = keys.len() / self.key_length();
        expect(keys, total * self.key_length())?;
        expect(values, total * self.value_length())?;
        if total > 1 {
            let mut attributes = self.batch(address(keys), address(values), total);
            // SAFETY: keys and values are those of `total` elements, as compared.
            match unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attributes) } {
                Err(error) if is_refusal(&error) => {}
                result => return result.map(drop),
            }
        }
        let mut elements = keys.chunks_exact(self.key_length()).zip(values.chunks_exact(self.value_length()));
        elements.try_for_each(|(key, value)| self.update(key, value))
    }

    /// Deletes elements; a key that is not there is passed over.
    pub fn delete_batch(&self, keys: &[u8]) -> io::Result<()> {
        let total = keys.len() / self.key_length();
        expect(keys, total * self.key_length())?;
        let mut rest = keys;
        while rest.len() > self.key_length() {
            let mut attributes = self.batch(address(rest), 0, rest.len() / self.key_length());
            // SAFETY: `rest` is as many keys as stated.
            match unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut attributes) } {
                Ok(_) => return Ok(()),
                // The kernel stops at a key that is not there, and says how many came before.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    rest =
                        rest.get((attributes.count as usize + 1) * self.key_length()..).unwrap_or_default();
                }
                Err(error) if is_refusal(&error) => break,
                Err(error) => return Err(error),
            }
        }
        rest.chunks_exact(self.key_length()).try_for_each(|key| self.delete(key).map(drop))
    }

    /// The next elements of a walk, about `count` of them; none at the end. Elements that are there
    /// during the whole walk are met at least once, whatever comes and goes meanwhile.
    pub fn walk(&self, position: &mut Position, count: usize) -> io::Result<Elements> {
        match position {
            Position::Start => self.walk_batch(position, None, count),
            Position::Batch(from) => {
                let from = std::mem::take(from);
                self.walk_batch(position, Some(from), count)
            }
            Position::Key(from) => {
                let from = std::mem::take(from);
                self.walk_keys(position, Some(from), count)
            }
            Position::End => Ok(Elements::default()),
        }
    }

    fn walk_batch(
        &self,
        position: &mut Position,
        from: Option<Vec<u8>>,
        mut count: usize,
    ) -> io::Result<Elements> {
        // A hash gives a bucket's number, four bytes; every other kind gives a key.
        let mut next = vec![0; self.key_length().max(4)];
        if let Some(from) = &from {
            expect(from, next.len())?;
        }
        loop {
            let mut elements = Elements {
                keys: vec![0; count * self.key_length()],
                values: vec![0; count * self.value_length()],
            };
            let mut attributes = BatchAttributes {
                position: from.as_deref().map_or(0, address),
                next_position: address_mut(&mut next),
                ..self.batch(address_mut(&mut elements.keys), address_mut(&mut elements.values), count)
            };
            // SAFETY: keys and values have room for `count` elements, and both positions for a key
            // and for a bucket's number.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes) };
            *position = match result {
                Ok(_) => Position::Batch(next),
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOENT) => Position::End,
                    // A bucket of the hash holds more than there was room for.
                    Some(libc::ENOSPC) => {
                        count *= 2;
                        continue;
                    }
                    _ if is_refusal(&error) => return self.walk_keys(position, from, count),
                    _ => return Err(error),
                },
            };
            elements.keys.truncate(attributes.count as usize * self.key_length());
            elements.values.truncate(attributes.count as usize * self.value_length());
            return Ok(elements);
        }
    }

    /// The next elements of a walk, key by key.
    pub(super) fn walk_keys(
        &self,
        position: &mut Position,
        mut from: Option<Vec<u8>>,
        count: usize,
    ) -> io::Result<Elements> {
        let mut elements = Elements::default();
        let mut value = vec![0; self.value_length()];
        for _ in 0..count {
            let mut key = vec![0; self.key_length()];
            if !self.next_key(from.as_deref(), &mut key)? {
                *position = Position::End;
                return Ok(elements);
            }
            if self.lookup(&key, &mut value)? {
                elements.keys.extend_from_slice(&key);
                elements.values.extend_from_slice(&value);
            }
            from = Some(key);
        }
        *position = from.map_or(Position::Start, Position::Key);
        Ok(elements)
    }

    fn batch(&self, keys: u64, values: u64, count: usize) -> BatchAttributes {
        BatchAttributes { keys, values, count: count as u32, map: self.descriptor(), ..Zeroable::zeroed() }
    }
}

/// Whether the kernel has no such command for this kind of map.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP))
}

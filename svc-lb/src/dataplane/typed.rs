//! Maps with types: keys and values that `svc-lb-common` defines, instead of bytes.

use super::{
    batch::Position,
    syscall::{Access, RawMap, iterate},
};
use aya_obj::generated::bpf_map_type::{
    self, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE, BPF_MAP_TYPE_LRU_HASH,
    BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_SK_STORAGE,
};
use bytemuck::{NoUninit, Pod};
use std::{
    io::{self, Read},
    marker::PhantomData,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

/// How many elements one system call reads.
const BATCH: usize = 4096;
/// How many elements of a per-CPU map one system call writes: each has a value for every processor.
const RESET_BATCH: usize = 256;

/// Why a map could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The kernel refused.
    #[error("map {map}: cannot {action} it: {source}")]
    Kernel {
        /// The name of its pin.
        map: String,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pinned map is not the one that this version makes.
    #[error("map {map}: it is of another kind or size than this version's")]
    Other {
        /// The name of its pin.
        map: String,
    },
}

/// Opens a map and compares its kind and sizes with those of the types.
fn open<K: Pod, V: Pod>(
    directory: &Path,
    name: &'static str,
    access: Access,
    kinds: &[bpf_map_type],
) -> Result<Named, MapError> {
    let kernel = |source| MapError::Kernel { map: name.to_owned(), action: "open", source };
    let processors = if kinds.contains(&BPF_MAP_TYPE_PERCPU_ARRAY) {
        Some(aya::util::nr_cpus().map_err(|(_, source)| kernel(source))?)
    } else {
        None
    };
    let raw = RawMap::open(&directory.join(name), access, processors).map_err(kernel)?;
    let info = raw.info();
    if kinds.iter().any(|kind| *kind as u32 == info.kind)
        && info.key_size as usize == size_of::<K>()
        && info.value_size as usize == size_of::<V>()
    {
        Ok(Named { raw, name })
    } else {
        Err(MapError::Other { map: name.to_owned() })
    }
}

/// A map and its name, for errors.
#[derive(Debug)]
struct Named {
    raw: RawMap,
    name: &'static str,
}

impl Named {
    /// Says which map an error is of.
    fn named<T>(&self, action: &'static str, result: io::Result<T>) -> Result<T, MapError> {
        result.map_err(|source| MapError::Kernel { map: self.name.to_owned(), action, source })
    }

    fn lookup<V: Pod>(&self, key: &[u8]) -> Result<Option<V>, MapError> {
        let mut value = V::zeroed();
        let found = self.named("read", self.raw.lookup(key, bytemuck::bytes_of_mut(&mut value)))?;
        Ok(found.then_some(value))
    }

    fn update_batch<K: NoUninit, V: NoUninit>(&self, elements: &[(K, V)]) -> Result<(), MapError> {
        let keys: Vec<K> = elements.iter().map(|(key, _)| *key).collect();
        let values: Vec<V> = elements.iter().map(|(_, value)| *value).collect();
        self.named("write", self.raw.update_batch(bytemuck::cast_slice(&keys), bytemuck::cast_slice(&values)))
    }

    fn walk<K: Pod, V: Pod>(&self, position: &mut Position, count: usize) -> Result<Vec<(K, V)>, MapError> {
        let elements = self.named("read", self.raw.walk(position, count))?;
        let keys = elements.keys.chunks_exact(size_of::<K>()).map(bytemuck::pod_read_unaligned);
        let values = elements.values.chunks_exact(size_of::<V>()).map(bytemuck::pod_read_unaligned);
        Ok(keys.zip(values).collect())
    }
}

/// A hash map, one that evicts what was used least recently, or a trie, each of whose keys has a length.
#[derive(Debug)]
pub struct HashMap<K, V> {
    map: Named,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> HashMap<K, V> {
    /// Opens the map that is pinned under its name.
    pub fn open(directory: &Path, name: &'static str, access: Access) -> Result<Self, MapError> {
        let kinds = [BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LPM_TRIE];
        let map = open::<K, V>(directory, name, access, &kinds)?;
        Ok(Self { map, types: PhantomData })
    }

    /// How many elements it can hold.
    pub fn capacity(&self) -> u32 {
        self.map.raw.info().max_entries
    }

    /// The value at a key.
    pub fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        self.map.lookup(bytemuck::bytes_of(key))
    }

    /// Writes values at their keys.
    pub fn set(&self, elements: &[(K, V)]) -> Result<(), MapError> {
        self.map.update_batch(elements)
    }

    /// Deletes what is at keys; whether something is there does not matter.
    pub fn delete(&self, keys: &[K]) -> Result<(), MapError> {
        self.map.named("write", self.map.raw.delete_batch(bytemuck::cast_slice(keys)))
    }

    /// The next elements of a walk, about `count`; see [`RawMap::walk`].
    pub fn walk(&self, position: &mut Position, count: usize) -> Result<Vec<(K, V)>, MapError> {
        self.map.walk(position, count)
    }

    /// How many elements there are; it takes a walk over all of them.
    pub fn count(&self) -> Result<usize, MapError> {
        let mut count = 0;
        let mut position = Position::Start;
        while !matches!(position, Position::End) {
            count += self.walk(&mut position, BATCH)?.len();
        }
        Ok(count)
    }

    /// All elements.
    pub fn dump(&self) -> Result<Vec<(K, V)>, MapError> {
        let mut elements = Vec::new();
        let mut position = Position::Start;
        while !matches!(position, Position::End) {
            elements.extend(self.walk(&mut position, BATCH)?);
        }
        Ok(elements)
    }
}

/// An array.
#[derive(Debug)]
pub struct Array<V> {
    map: Named,
    types: PhantomData<fn() -> V>,
}

impl<V: Pod> Array<V> {
    /// Opens the map that is pinned under its name.
    pub fn open(directory: &Path, name: &'static str, access: Access) -> Result<Self, MapError> {
        let map = open::<u32, V>(directory, name, access, &[BPF_MAP_TYPE_ARRAY])?;
        Ok(Self { map, types: PhantomData })
    }

    /// How many elements it has.
    pub fn length(&self) -> u32 {
        self.map.raw.info().max_entries
    }

    /// The value at an index; zero behind the end.
    pub fn get(&self, index: u32) -> Result<V, MapError> {
        Ok(self.map.lookup(bytemuck::bytes_of(&index))?.unwrap_or_else(V::zeroed))
    }

    /// The values from an index on, `count` of them or up to the end.
    pub fn range(&self, first: u32, count: u32) -> Result<Vec<V>, MapError> {
        let count = count.min(self.length().saturating_sub(first)) as usize;
        let mut values = Vec::with_capacity(count);
        let mut position = match first.checked_sub(1) {
            Some(before) => Position::Batch(before.to_ne_bytes().to_vec()),
            None => Position::Start,
        };
        while values.len() < count {
            let elements: Vec<(u32, V)> = self.map.walk(&mut position, (count - values.len()).min(BATCH))?;
            if elements.is_empty() {
                break;
            }
            values.extend(elements.into_iter().map(|(_, value)| value));
        }
        Ok(values)
    }

    /// Writes values at their indexes.
    pub fn set(&self, elements: &[(u32, V)]) -> Result<(), MapError> {
        self.map.update_batch(elements)
    }
}

/// An array of counters, each 64 bits wide, with a value for every processor.
#[derive(Debug)]
pub struct PerCpuArray<V> {
    map: Named,
    types: PhantomData<fn() -> V>,
}

impl<V: Pod> PerCpuArray<V> {
    const COUNTERS_ONLY: () = assert!(size_of::<V>().is_multiple_of(8) && align_of::<V>() == 8);

    /// Opens the map that is pinned under its name.
    pub fn open(directory: &Path, name: &'static str, access: Access) -> Result<Self, MapError> {
        let () = Self::COUNTERS_ONLY;
        let map = open::<u32, V>(directory, name, access, &[BPF_MAP_TYPE_PERCPU_ARRAY])?;
        Ok(Self { map, types: PhantomData })
    }

    /// How many elements it has.
    pub fn length(&self) -> u32 {
        self.map.raw.info().max_entries
    }

    /// The sum over all processors at an index; zero behind the end.
    pub fn sum(&self, index: u32) -> Result<V, MapError> {
        let mut values = vec![0u64; self.map.raw.value_length() / size_of::<u64>()];
        let key = bytemuck::bytes_of(&index);
        self.map.named("read", self.map.raw.lookup(key, bytemuck::cast_slice_mut(&mut values)))?;
        let mut sum = V::zeroed();
        let counters: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut sum));
        for processor in values.chunks_exact(counters.len()) {
            for (counter, value) in counters.iter_mut().zip(processor) {
                *counter = counter.wrapping_add(*value);
            }
        }
        Ok(sum)
    }

    /// Sets the counters at indexes to zero, for all processors.
    pub fn reset(&self, indexes: &[u32]) -> Result<(), MapError> {
        for indexes in indexes.chunks(RESET_BATCH) {
            let zeros = vec![0; indexes.len() * self.map.raw.value_length()];
            self.map.named("write", self.map.raw.update_batch(bytemuck::cast_slice(indexes), &zeros))?;
        }
        Ok(())
    }
}

/// What programs keep with sockets. A value is there for as long as its socket.
#[derive(Debug)]
pub struct SocketStorage<V> {
    map: Named,
    types: PhantomData<fn() -> V>,
}

impl<V: Pod> SocketStorage<V> {
    /// Opens the map that is pinned under its name.
    pub fn open(directory: &Path, name: &'static str, access: Access) -> Result<Self, MapError> {
        // Its key is the file descriptor of a socket.
        let map = open::<RawFd, V>(directory, name, access, &[BPF_MAP_TYPE_SK_STORAGE])?;
        Ok(Self { map, types: PhantomData })
    }

    /// Links a program to it that writes a `T` for some of the sockets.
    pub fn iterator<T: Pod>(&self, program: BorrowedFd<'_>) -> Result<SocketIterator<T>, MapError> {
        let link = self.map.named("iterate over", self.map.raw.link_iterator(program))?;
        Ok(SocketIterator { link, name: self.map.name, types: PhantomData })
    }
}

/// A program that is called for every socket of the machine of which something is kept.
#[derive(Debug)]
pub struct SocketIterator<T> {
    link: OwnedFd,
    name: &'static str,
    types: PhantomData<fn() -> T>,
}

impl<T: Pod> SocketIterator<T> {
    /// Calls it, and reads what it writes.
    pub fn read(&self) -> Result<Vec<T>, MapError> {
        let mut bytes = Vec::new();
        let read = iterate(&self.link).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|source| MapError::Kernel {
            map: self.name.to_owned(),
            action: "iterate over",
            source,
        })?;
        Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
    }
}

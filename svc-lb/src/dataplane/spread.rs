//! Which of a list's backends each of its slots leads to: what turns weights and algorithms into plain
//! lists, which every program walks alike. Pure.

use crate::compile::{Algorithm, Weighted};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// The size of a Maglev table, a prime. It is one size for (nearly) all, because a size that followed the
/// number of backends would move every flow whenever that changes.
const TABLE: u32 = 16_381;
/// Up to how many backends that is: a hundred slots for each keep the shares equal within some per cent.
const TABLE_BACKENDS: usize = 160;
/// The size beyond, a prime too.
const LARGE_TABLE: u32 = 131_071;

/// The position in the list of the backend that each slot leads to. A list of no backend has no slots.
pub fn spread(list: &[Weighted], algorithm: Algorithm) -> Vec<u32> {
    match algorithm {
        Algorithm::RoundRobin | Algorithm::Random | Algorithm::LeastConnections => turns(list),
        Algorithm::Maglev => maglev(list),
    }
}

/// As many turns for each backend as its weight says, divided by what all weights have in common. Turns of
/// one backend are as far apart as can be: a smooth weighted round robin of the weights, and for each turn
/// of a weight the next of the backends that have it. Where all weights are equal, it is the list as it is.
fn turns(list: &[Weighted]) -> Vec<u32> {
    let divisor = list.iter().fold(0, |divisor, it| greatest_common_divisor(divisor, it.weight)).max(1);
    let mut groups: BTreeMap<u8, Group> = BTreeMap::new();
    for (position, backend) in (0..).zip(list) {
        let group = groups.entry(backend.weight).or_default();
        group.members.push(position);
        group.share += i64::from(backend.weight / divisor);
    }
    let total = groups.values().map(|group| group.share).sum();
    let mut turns = Vec::new();
    for _ in 0..total {
        for group in groups.values_mut() {
            group.credit += group.share;
        }
        if let Some(group) = groups.values_mut().max_by_key(|group| group.credit) {
            group.credit -= total;
            turns.push(group.members[group.next]);
            group.next = (group.next + 1) % group.members.len();
        }
    }
    turns
}

/// The backends of one weight.
#[derive(Default)]
struct Group {
    members: Vec<u32>,
    /// Whose turn is next.
    next: usize,
    /// Their weights together.
    share: i64,
    /// By how much they are behind.
    credit: i64,
}

fn greatest_common_divisor(one: u8, other: u8) -> u8 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

/// The table of Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016),
/// section 3.4: the backends take turns, and in each one takes the first slot that is free in its own
/// permutation of all slots. That depends on nothing but its address and port, so a table is the same on
/// every node and after every restart, and where a backend comes or goes, most slots stay as they are.
fn maglev(list: &[Weighted]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..list.len() as u32).collect();
    order.sort_by_key(|position| list[*position as usize].endpoint);
    let sorted: Vec<Weighted> = order.iter().map(|position| list[*position as usize]).collect();
    let turns = turns(&sorted);
    if turns.is_empty() {
        return turns;
    }
    let size = if list.len() <= TABLE_BACKENDS { TABLE } else { LARGE_TABLE };
    let mut permutations: Vec<Permutation> =
        sorted.iter().map(|it| Permutation::new(it.endpoint, size)).collect();
    let mut table: Vec<Option<u32>> = vec![None; size as usize];
    for &turn in turns.iter().cycle().take(size as usize) {
        let permutation = &mut permutations[turn as usize];
        // Fewer turns were taken than there are slots, and a permutation meets every slot.
        while table[permutation.slot as usize].is_some() {
            permutation.advance(size);
        }
        table[permutation.slot as usize] = Some(order[turn as usize]);
    }
    table.into_iter().flatten().collect()
}

/// A backend's walk over all slots: their number is a prime, so every step leads to every slot.
struct Permutation {
    slot: u32,
    step: u32,
}

impl Permutation {
    fn new(endpoint: SocketAddr, size: u32) -> Self {
        let hash = hash(endpoint);
        let (high, low) = ((hash >> 32) as u32, hash as u32);
        Self { slot: high % size, step: low % (size - 1) + 1 }
    }

    fn advance(&mut self, size: u32) {
        self.slot = (self.slot + self.step) % size;
    }
}

/// A hash of an address and port that is the same in every version of svc-lb: FNV-1a of 64 bits, and the
/// last step of SplitMix64, which lets every bit of it depend on every byte.
fn hash(endpoint: SocketAddr) -> u64 {
    let v6 = match endpoint.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let bytes = v6.octets().into_iter().chain(endpoint.port().to_be_bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn backend(number: u32, weight: u8) -> Weighted {
        let [_, _, high, low] = number.to_be_bytes();
        Weighted { endpoint: ([10, 244, high, low], 8080).into(), weight }
    }

    fn weighted(weights: &[u8]) -> Vec<Weighted> {
        (1..).zip(weights).map(|(number, weight)| backend(number, *weight)).collect()
    }

    /// How many slots each endpoint has.
    fn shares(list: &[Weighted], algorithm: Algorithm) -> HashMap<SocketAddr, u32> {
        let mut shares = HashMap::new();
        for position in spread(list, algorithm) {
            *shares.entry(list[position as usize].endpoint).or_default() += 1;
        }
        shares
    }

    /// The endpoint in each slot of a Maglev table.
    fn table(list: &[Weighted]) -> Vec<SocketAddr> {
        spread(list, Algorithm::Maglev).into_iter().map(|position| list[position as usize].endpoint).collect()
    }

    #[test]
    fn backends_of_one_weight_are_a_list_as_it_is() {
        for weight in [1, 7, 100] {
            assert_eq!(spread(&weighted(&[weight; 5]), Algorithm::RoundRobin), [0, 1, 2, 3, 4]);
        }
        for algorithm in [Algorithm::RoundRobin, Algorithm::Maglev] {
            assert_eq!(spread(&[], algorithm), [0; 0]);
        }
    }

    #[test]
    fn turns_of_one_backend_are_apart() {
        assert_eq!(spread(&weighted(&[30, 10, 10]), Algorithm::Random), [0, 1, 0, 2, 0]);
        let list = weighted(&[50, 20, 20, 10]);
        let turns = spread(&list, Algorithm::LeastConnections);
        assert_eq!(turns.len(), 10);
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
    }

    #[test]
    fn a_hash_stays_what_it_is() {
        assert_eq!(hash("10.244.0.1:8080".parse().unwrap()), 0xb7fc_f917_b448_a60e);
        assert_eq!(hash("[fd00::1]:53".parse().unwrap()), 0xe1b1_f7ea_e938_0cce);
    }

    #[test]
    fn a_table_gives_every_backend_its_share() {
        for (count, size) in [(1, TABLE), (3, TABLE), (160, TABLE), (161, LARGE_TABLE), (1000, LARGE_TABLE)] {
            let list: Vec<Weighted> = (0..count).map(|number| backend(number, 1)).collect();
            let shares = shares(&list, Algorithm::Maglev);
            let expected = f64::from(size) / f64::from(count);
            assert_eq!(shares.values().sum::<u32>(), size);
            for share in shares.values() {
                assert!(
                    (f64::from(*share) / expected - 1.0).abs() < 0.02,
                    "{share} of {size} for one of {count}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn turns_are_as_many_as_weights_say(weights in prop::collection::vec(1u8..=100, 1..40)) {
            let list = weighted(&weights);
            let shares = shares(&list, Algorithm::RoundRobin);
            for (one, other) in list.iter().zip(&list[1..]) {
                prop_assert_eq!(
                    shares[&one.endpoint] * u32::from(other.weight),
                    shares[&other.endpoint] * u32::from(one.weight)
                );
            }
        }

        #[test]
        fn shares_of_a_table_are_as_weights_say(weights in prop::collection::vec(1u8..=100, 1..60)) {
            let list = weighted(&weights);
            let shares = shares(&list, Algorithm::Maglev);
            let total: u32 = weights.iter().map(|weight| u32::from(*weight)).sum();
            for backend in &list {
                let expected = f64::from(TABLE) * f64::from(backend.weight) / f64::from(total);
                let share = f64::from(shares[&backend.endpoint]);
                prop_assert!((share - expected).abs() <= (expected * 0.02).max(2.0), "{share}, {expected}");
            }
        }

        #[test]
        fn a_table_does_not_depend_on_the_order_of_the_list(
            list in Just((0..50).map(|number| backend(number, 1 + (number % 3) as u8)).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut sorted = list.clone();
            sorted.sort();
            prop_assert_eq!(table(&list), table(&sorted));
        }

        /// One of N that comes or goes has 1/N of the slots; besides, a twentieth of all at most moves, as a
        /// rule half of that: how much it is depends on the addresses.
        #[test]
        fn a_backend_that_comes_or_goes_moves_its_own_share(
            count in 2u32..=160, gone in any::<prop::sample::Index>(), start in 0u32..60_000,
        ) {
            let list: Vec<Weighted> = (start..start + count).map(|number| backend(number, 1)).collect();
            let mut fewer = list.clone();
            fewer.remove(gone.index(list.len()));
            let moved = table(&list).iter().zip(table(&fewer)).filter(|(one, other)| **one != *other).count();
            let (size, share) = (TABLE as usize, TABLE as usize / count as usize);
            prop_assert!((share..=share + size / 20).contains(&moved), "{moved} of {size} for one of {count}");
        }
    }
}

//! Maglev's rule (Eisenbud and others, NSDI 2016, section 3.4): which endpoint has which slot of a table that all nodes
//! make alike, without talking to each other.
//!
//! Each endpoint likes the slots in an order of its own; in turns, each takes the one that it likes most of those that
//! are left. So all have about as many, and when one comes or goes few slots change hands beside its own.

use crate::route::Endpoint;

/// How many slots a table has: a prime.
pub const SLOTS: usize = 1021;
/// With more endpoints than that, shares would be too unequal: the greatest is twice the smallest.
pub(super) const MOST_CONSISTENT: usize = SLOTS / 4;

/// The endpoint of each slot. The order of what is given does not matter, once it is free of doubles.
pub(super) fn table(endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let mut endpoints = endpoints.to_vec();
    endpoints.sort_unstable();
    let mut turns: Vec<Liking> = endpoints.iter().map(Liking::of).collect();
    let mut slots: Vec<Option<Endpoint>> = vec![None; SLOTS];
    let mut left = if endpoints.is_empty() { 0 } else { SLOTS };
    while left > 0 {
        for (endpoint, liking) in endpoints.iter().zip(&mut turns).take(left) {
            // As the number of slots is a prime, each endpoint comes to every slot.
            while let Some(slot) = slots.get_mut(liking.take()) {
                if slot.is_none() {
                    *slot = Some(*endpoint);
                    left -= 1;
                    break;
                }
            }
        }
    }
    slots.into_iter().flatten().collect()
}

/// Which slot an endpoint likes next.
struct Liking {
    next: u64,
    step: u64,
}

impl Liking {
    fn of(endpoint: &Endpoint) -> Liking {
        let slots = SLOTS as u64;
        let name = endpoint.to_string();
        Liking { next: hash(&name, 1) % slots, step: hash(&name, 2) % (slots - 1) + 1 }
    }

    fn take(&mut self) -> usize {
        let slots = SLOTS as u64;
        let slot = self.next;
        self.next = (slot + self.step) % slots;
        usize::try_from(slot).unwrap_or(0)
    }
}

/// FNV-1a, then the finalizer of splitmix64, so that every bit counts. It is the same on every machine and in every version.
fn hash(name: &str, salt: u8) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut x = name.bytes().chain([salt]).fold(0xcbf2_9ce4_8422_2325, step);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;

//! By which numbers endpoints are remembered, where a client stays with its endpoint.
//!
//! A port with affinity has a block of numbers that is its alone; each of its endpoints has one of them. So a number says
//! both: which port of which Service, in its upper bits, and which endpoint of it. A client is remembered for the port,
//! by whichever of its addresses it came.

use crate::route::Endpoint;

/// How many numbers a port has.
const USUAL: u32 = 1 << 12;
/// The same for one with more endpoints than that.
const WIDE: u32 = 1 << 20;
/// From here on all blocks are wide ones. Numbers end at 2^31: the bit above them tells the lists apart.
const FIRST_WIDE: u32 = 1 << 30;
const END: u32 = 1 << 31;

/// A port's numbers: the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(u32);

impl Block {
    /// The one that a number is of. `None`: it is nobody's. Zero is what packets bring along.
    pub const fn of(number: u32) -> Option<Block> {
        if number < USUAL || number >= END {
            return None;
        }
        Some(Block(number & Block::mask(number >= FIRST_WIDE)))
    }

    /// The `n`th of all usual ones, or of all wide ones.
    pub(crate) fn nth(n: u32, wide: bool) -> Option<Block> {
        let (first, size, end) = if wide { (FIRST_WIDE, WIDE, END) } else { (USUAL, USUAL, FIRST_WIDE) };
        let start = n.checked_mul(size)?.checked_add(first)?;
        (start < end).then_some(Block(start))
    }

    /// How many there are, of either sort.
    pub(crate) const fn count(wide: bool) -> u32 {
        if wide { (END - FIRST_WIDE) / WIDE } else { (FIRST_WIDE - USUAL) / USUAL }
    }

    /// The most endpoints for which a usual one will do: half of its numbers stay free, so that an endpoint finds the one
    /// that it would have alone, more often than not.
    pub(crate) const fn is_enough(endpoints: usize) -> bool {
        endpoints <= USUAL as usize / 2
    }

    /// Whether it is a wide one.
    pub const fn is_wide(self) -> bool {
        self.0 >= FIRST_WIDE
    }

    /// The first number.
    pub const fn first(self) -> u32 {
        self.0
    }

    /// How many numbers it has.
    pub const fn size(self) -> u32 {
        if self.is_wide() { WIDE } else { USUAL }
    }

    /// The bits of a number that say whose it is.
    pub const fn mask(wide: bool) -> u32 {
        !(if wide { WIDE } else { USUAL } - 1)
    }
}

/// The numbers of a port's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    block: Block,
    /// Sorted by endpoint.
    endpoints: Vec<(Endpoint, u32)>,
}

impl Numbers {
    /// Numbers of one block, of different endpoints.
    pub(crate) fn new(block: Block, mut endpoints: Vec<(Endpoint, u32)>) -> Numbers {
        endpoints.sort_unstable();
        endpoints.shrink_to_fit();
        Numbers { block, endpoints }
    }

    /// Whose they are.
    pub fn block(&self) -> Block {
        self.block
    }

    /// An endpoint's number.
    pub fn get(&self, endpoint: &Endpoint) -> Option<u32> {
        let at = self.endpoints.binary_search_by_key(endpoint, |(known, _)| *known).ok()?;
        Some(self.endpoints[at].1)
    }
}

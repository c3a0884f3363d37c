//! The sixteen words.

use nft::{Register, Value};

/// What a rule has loaded so far.
#[derive(Debug)]
pub(super) struct Registers([u8; 64]);

impl Default for Registers {
    fn default() -> Registers {
        Registers([0; 64])
    }
}

impl Registers {
    /// Stores bytes; the last word is padded with zeros.
    pub(super) fn store(&mut self, register: Register, bytes: &[u8]) {
        let start = register.word() as usize * 4;
        let padded = bytes.len().next_multiple_of(4);
        for n in 0..padded {
            if let Some(byte) = self.0.get_mut(start + n) {
                *byte = bytes.get(n).copied().unwrap_or(0);
            }
        }
    }

    /// Loads so many bytes; what would lie behind the last register is missing.
    pub(super) fn load(&self, register: Register, len: usize) -> &[u8] {
        let start = register.word() as usize * 4;
        &self.0[start..(start + len).min(self.0.len())]
    }

    /// The same as a value of its own.
    pub(super) fn value(&self, register: Register, len: usize) -> Value {
        Value::bytes(self.load(register, len))
    }

    /// A number in the machine's order.
    pub(super) fn number(&self, register: Register) -> u32 {
        let bytes = self.load(register, 4);
        bytes.try_into().map_or(0, u32::from_ne_bytes)
    }

    /// A number in the machine's order.
    pub(super) fn store_number(&mut self, register: Register, number: u32) {
        self.store(register, &number.to_ne_bytes());
    }
}

//! The registers.

/// One of the sixteen words of four bytes. An IPv6 address takes four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say the word's number")]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

/// `NFT_REG32_00`; the words that begin a 16-byte register have a second number, which is what the kernel dumps.
const FIRST_WORD: u32 = 8;

impl Register {
    /// All, in order.
    pub const ALL: [Register; 16] = [
        Register::R0,
        Register::R1,
        Register::R2,
        Register::R3,
        Register::R4,
        Register::R5,
        Register::R6,
        Register::R7,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];

    /// The word's number, 0 to 15.
    pub const fn word(self) -> u32 {
        self as u32
    }

    /// The register that many words on. Beyond the last one it is the last one, which the kernel refuses to be
    /// filled with more than four bytes.
    pub fn plus(self, words: u32) -> Register {
        let word = self.word().saturating_add(words);
        Register::ALL.get(word as usize).copied().unwrap_or(Register::R15)
    }

    /// The kernel's number.
    pub(crate) const fn number(self) -> u32 {
        FIRST_WORD + self.word()
    }

    /// From either of the kernel's numberings; 0 is the verdict register and none of these.
    pub(crate) fn from_number(number: u32) -> Option<Register> {
        let word = match number {
            1..=4 => (number - 1) * 4,
            _ => number.checked_sub(FIRST_WORD)?,
        };
        Register::ALL.get(word as usize).copied()
    }
}

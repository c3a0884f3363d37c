//! Verdicts: how a rule ends.

use std::fmt;
use std::sync::Arc;

/// What happens to the packet after a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The base chain is done with the packet; the hook's next base chain sees it.
    Accept,
    /// The packet is gone.
    Drop,
    /// The next expression of the rule.
    Continue,
    /// The next rule of the chain.
    Break,
    /// Back to the rule after the last jump; in a base chain: its policy.
    Return,
    /// Into a chain, and back after its end.
    Jump(Arc<str>),
    /// Into a chain; its end returns to where the present chain would have returned.
    Goto(Arc<str>),
}

impl Verdict {
    /// The kernel's code (`NF_ACCEPT`, `NFT_JUMP`…), a signed number in network order on the wire.
    pub const fn code(&self) -> i32 {
        match self {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Continue => -1,
            Verdict::Break => -2,
            Verdict::Jump(_) => -3,
            Verdict::Goto(_) => -4,
            Verdict::Return => -5,
        }
    }

    /// The chain that a jump or goto names.
    pub fn chain(&self) -> Option<&Arc<str>> {
        match self {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Continue => f.write_str("continue"),
            Verdict::Break => f.write_str("break"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

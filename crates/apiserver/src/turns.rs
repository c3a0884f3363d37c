//! Whose turn it is to take of the quotas of a namespace.

use tokio::sync::{Mutex, MutexGuard};

/// How many namespaces may wait for themselves alone.
const TURNS: usize = 64;

/// Whose turn it is to take of the quotas of a namespace.
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    /// Waits for the turn of a namespace, which lasts as long as what is answered.
    pub async fn of(&self, namespace: &str) -> MutexGuard<'_, ()> {
        let sum = namespace.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.0[sum % TURNS].lock().await
    }
}

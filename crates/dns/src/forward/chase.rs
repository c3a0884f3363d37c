//! An alias of the cluster's together with what its target stands for.

use hickory_proto::op::Message;

use super::stored::Stored;

/// Adds an upstream's answers, `age` seconds old, to an answer that ends in a CNAME record. What does not fit into
/// `room` octets is left out and TC set. An upstream that failed or denied adds nothing, and the alias stands alone,
/// as CoreDNS answers it.
///
/// Returns `None` when the messages cannot be read or written, which would be a defect of ours.
#[must_use]
pub fn chase(alias: &[u8], target: Option<(&Stored, u32)>, room: usize) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(alias).ok()?;
    if let Some((stored, age)) = target {
        message.add_answers(stored.answers(age));
    }
    fit(message, room)
}

/// A message in at most `room` octets. Answers that do not fit are left out and TC set.
pub(crate) fn fit(mut message: Message, room: usize) -> Option<Vec<u8>> {
    loop {
        let bytes = message.to_vec().ok()?;
        if bytes.len() <= room {
            return Some(bytes);
        }
        // Records are about equally long; whatever is still too much goes the next time round.
        let fitting = message.answers.len() * room / bytes.len();
        message.answers.truncate(fitting.min(message.answers.len().checked_sub(1)?));
        message.metadata.truncation = true;
    }
}

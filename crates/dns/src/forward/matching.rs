//! Whether a message can be the answer to a question.

use crate::protocol::HEADER;
use crate::query::skip_name;

/// Whether a message is a response with the question's ID and, if it repeats a question at all, with that question,
/// whatever its capitals. Servers that refuse or fail may leave the question out.
pub(super) fn matches(packet: &[u8], question: &[u8]) -> bool {
    let Some(header) = packet.first_chunk::<HEADER>() else {
        return false;
    };
    if header[..2] != question[..2] || header[2] & 0x80 == 0 {
        return false;
    }
    let asked = &question[HEADER..skip_name(question, HEADER).map_or(HEADER, |end| end + 4)];
    match (header[5], header[3] & 0xf) {
        (0, code) => header[4] == 0 && code != 0,
        (1, _) => packet.get(HEADER..HEADER + asked.len()).is_some_and(|echo| echo.eq_ignore_ascii_case(asked)),
        _ => false,
    }
}

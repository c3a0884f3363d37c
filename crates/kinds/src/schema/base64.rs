//! Bytes as Go reads and writes them: standard base64 with padding, line ends ignored.

/// Where the text stops being base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub(super) struct CorruptInput(usize);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The same bytes as Go writes them.
pub(super) fn canonical(text: &str) -> Result<String, CorruptInput> {
    decode(text.as_bytes()).map(|bytes| encode(&bytes))
}

fn decode(text: &[u8]) -> Result<Vec<u8>, CorruptInput> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut quantum = [0u8; 4];
    let mut held = 0;
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        at += 1;
        if let Some(value) = value(c) {
            quantum[held] = value;
            held += 1;
            if held == 4 {
                flush(&mut bytes, quantum, 4);
                held = 0;
            }
        } else if c == b'=' {
            end_of_padding(text, at, held)?;
            flush(&mut bytes, quantum, held);
            return Ok(bytes);
        } else if !matches!(c, b'\n' | b'\r') {
            return Err(CorruptInput(at - 1));
        }
    }
    if held == 0 { Ok(bytes) } else { Err(CorruptInput(at - held)) }
}

/// After the first `=`: what else must stand there, and nothing more.
fn end_of_padding(text: &[u8], mut at: usize, held: usize) -> Result<(), CorruptInput> {
    let skip = |mut at: usize| {
        while matches!(text.get(at), Some(b'\n' | b'\r')) {
            at += 1;
        }
        at
    };
    match held {
        0 | 1 => return Err(CorruptInput(at - 1)),
        2 => {
            at = skip(at);
            match text.get(at) {
                None => return Err(CorruptInput(text.len())),
                Some(b'=') => at += 1,
                Some(_) => return Err(CorruptInput(at - 1)),
            }
        }
        _ => {}
    }
    at = skip(at);
    if at < text.len() { Err(CorruptInput(at)) } else { Ok(()) }
}

fn flush(bytes: &mut Vec<u8>, quantum: [u8; 4], held: usize) {
    let [a, b, c, d] = quantum;
    let three = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    bytes.extend(&three[..held.saturating_sub(1)]);
}

fn value(c: u8) -> Option<u8> {
    match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Bytes as Go writes them.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let four = [a >> 2, (a << 4 | b >> 4) & 63, (b << 2 | c >> 6) & 63, c & 63];
        for (at, six) in four.into_iter().enumerate() {
            text.push(if at <= chunk.len() { char::from(ALPHABET[usize::from(six)]) } else { '=' });
        }
    }
    text
}

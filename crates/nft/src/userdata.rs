//! What `nft` leaves with objects for its own listing: a type and a length of a byte each, and a value.
//! The kernel keeps up to 256 bytes and never looks inside.

/// A comment of a table, a chain, a rule or an element (`NFTNL_UDATA_*_COMMENT`).
pub(crate) const COMMENT: u8 = 0;
/// A comment of a set.
pub(crate) const SET_COMMENT: u8 = 7;
/// The byte order of a set's key: four bytes in the machine's order.
pub(crate) const SET_KEY_ORDER: u8 = 0;
/// The byte order of a map's data.
pub(crate) const SET_DATA_ORDER: u8 = 1;
/// nft's number for the machine's order.
pub(crate) const HOST_ORDER: u32 = 1;
/// nft's number for the network's order.
pub(crate) const NETWORK_ORDER: u32 = 2;

/// nft's own limit for comments.
const LONGEST_COMMENT: usize = 128;

/// Appends a comment, cut to 128 bytes at a character's end, with a zero behind.
pub(crate) fn put_comment(into: &mut Vec<u8>, kind: u8, comment: &str) {
    let mut end = comment.len().min(LONGEST_COMMENT - 1);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    into.extend_from_slice(&[kind, (end + 1) as u8]);
    into.extend_from_slice(&comment.as_bytes()[..end]);
    into.push(0);
}

/// Appends a number.
pub(crate) fn put_u32(into: &mut Vec<u8>, kind: u8, value: u32) {
    into.extend_from_slice(&[kind, 4]);
    into.extend_from_slice(&value.to_ne_bytes());
}

/// The comment among what nft left, if there is one.
pub(crate) fn comment(mut rest: &[u8], wanted: u8) -> Option<String> {
    while let &[kind, len, ..] = rest {
        let value = rest.get(2..2 + usize::from(len))?;
        if kind == wanted {
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            return Some(String::from_utf8_lossy(&value[..end]).into_owned());
        }
        rest = &rest[2 + usize::from(len)..];
    }
    None
}

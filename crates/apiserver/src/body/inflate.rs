//! Undoing the content encoding of a request.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::{BodyError, LIMIT};

/// The bytes without their `Content-Encoding` (`gzip` or none), at most [`LIMIT`] of them. No more than that is ever held.
///
/// # Errors
/// [`BodyError::Encoding`], [`BodyError::TooLarge`], and [`BodyError::Malformed`] if it is not gzip.
pub fn inflate(bytes: Bytes, content_encoding: &str) -> Result<Bytes, BodyError> {
    match content_encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" if bytes.len() > LIMIT => Err(BodyError::TooLarge(LIMIT)),
        "" | "identity" => Ok(bytes),
        "gzip" => {
            let mut inflated = Vec::new();
            let most = u64::try_from(LIMIT).unwrap_or(u64::MAX).saturating_add(1);
            let read = MultiGzDecoder::new(bytes.as_ref()).take(most).read_to_end(&mut inflated);
            read.map_err(|e| BodyError::Malformed(format!("gzip: {e}")))?;
            if inflated.len() > LIMIT { Err(BodyError::TooLarge(LIMIT)) } else { Ok(inflated.into()) }
        }
        other => Err(BodyError::Encoding(other.to_owned())),
    }
}

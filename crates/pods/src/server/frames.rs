//! What a message of a WebSocket means: the first byte is a channel, the rest is its bytes
//! (`v4.channel.k8s.io`, `v5.channel.k8s.io`). Pure.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

/// Channels, by their numbers.
const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// A protocol that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The end of the input cannot be told.
    V4,
    /// It can.
    V5,
}

impl Protocol {
    /// The best one of a client's offers.
    pub fn choose<'a>(offers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let known = |offer: &str| match offer {
            "v5.channel.k8s.io" => Some(Self::V5),
            "v4.channel.k8s.io" => Some(Self::V4),
            _ => None,
        };
        offers.filter_map(known).max_by_key(|protocol| *protocol == Self::V5)
    }

    /// As it is written in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Input.
    Input(Bytes),
    /// The input is at its end.
    EndOfInput,
    /// The window is so large: width, height.
    Size(u16, u16),
    /// What means nothing.
    Nothing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Reads a client's message.
pub fn read(protocol: Protocol, message: Bytes) -> Said {
    let Some(channel) = message.first().copied() else { return Said::Nothing };
    let rest = message.slice(1..);
    match channel {
        STDIN => Said::Input(rest),
        RESIZE => serde_json::from_slice::<Size>(&rest).map_or(Said::Nothing, |s| Said::Size(s.width, s.height)),
        CLOSE if protocol == Protocol::V5 && rest.as_ref() == [STDIN] => Said::EndOfInput,
        _ => Said::Nothing,
    }
}

/// A message on a channel.
pub fn write(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.extend_from_slice(&[channel]);
    message.extend_from_slice(bytes);
    message.freeze()
}

/// How it ended, as a Status.
pub fn status(end: &Result<i32, String>) -> Bytes {
    let status = match end {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}, "code": 500
        }),
        Err(why) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "message": why,
            "details": {"causes": [{"message": why}]}, "code": 500
        }),
    };
    write(ERROR, status.to_string().as_bytes())
}

#[cfg(test)]
mod tests;

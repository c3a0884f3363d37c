//! What becomes of the objects of a kind from a version on.

use std::time::Duration;

use super::answer::{Answer, Broken, refused};
use super::{Change, Hearer, Object, read};
use crate::protobuf::{Fields, Malformed, open};

const FORMAT: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// After how many seconds a server ends a watch by itself.
const SECONDS: u64 = 290;
/// One that says nothing for longer than that is gone.
const PATIENCE: Duration = Duration::from_secs(SECONDS + 15);
/// No event is larger.
const LARGEST: usize = 64 << 20;

/// Tells what happens, until the server ends it. `version` grows with it: where the next watch goes on. Whether anything
/// was told.
pub(super) async fn watch<K: Object, T: From<Change<K>>>(
    version: &mut String,
    hearer: &mut Hearer<T>,
) -> Result<bool, Broken> {
    let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={SECONDS}&resourceVersion={version}");
    let uri = hearer.followed.uri::<K>(&query);
    let mut answer = Answer::ask(&hearer.followed.client, &uri, FORMAT, PATIENCE).await?;
    (hearer.followed.heard)(true);
    let mut frames = Frames::default();
    let mut told = false;
    while let Some(piece) = answer.next().await? {
        frames.push(&piece);
        while let Some(frame) = frames.next()? {
            if let Some(new) = take::<K, T>(frame, hearer)? {
                *version = new;
            }
            told = true;
        }
        hearer.flush().await?;
    }
    Ok(told)
}

/// Takes an event; the version that it brings.
fn take<K: Object, T: From<Change<K>>>(event: &[u8], hearer: &mut Hearer<T>) -> Result<Option<String>, Broken> {
    let (mut kind, mut object) = (String::new(), &[][..]);
    for field in Fields(event) {
        let field = field?;
        match field.number {
            1 => kind = field.text()?,
            2 => {
                for part in field.fields()? {
                    let part = part?;
                    if part.number == 1 {
                        object = part.bytes()?;
                    }
                }
            }
            _ => {}
        }
    }
    let object = open(object)?;
    if kind == "ERROR" {
        return Err(refused(object));
    }
    let object: K = read(object)?;
    let version = object.meta().resource_version.clone();
    match kind.as_str() {
        "ADDED" | "MODIFIED" => hearer.set(object),
        "DELETED" => hearer.gone(&object),
        // A bookmark brings its version only.
        _ => {}
    }
    Ok(version)
}

/// Takes bytes as they come, and gives what stands behind each length of four bytes.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(piece);
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Broken> {
        let rest = &self.bytes[self.at..];
        let Some((len, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Malformed::Short)?;
        if len > LARGEST {
            return Err(Broken::TooLarge(len));
        }
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        self.at += 4 + len;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests;

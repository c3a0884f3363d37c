//! A list of all objects of a kind, taken apart while it comes.

use super::answer::{Answer, Broken, PATIENCE};
use super::{Change, Hearer, Object, read};
use crate::protobuf::{Fields, Head, Kind, MAGIC, Malformed, RAW};

const FORMAT: &str = "application/vnd.kubernetes.protobuf";
/// The fields of every list: what is said of it, and its objects.
const METADATA: u32 = 1;
const ITEM: u32 = 2;
/// No object is larger: an API server takes 3 MB at most.
const LARGEST: usize = 64 << 20;

/// Tells all objects; answers with the list's version.
pub(super) async fn list<K: Object, T: From<Change<K>>>(hearer: &mut Hearer<T>) -> Result<String, Broken> {
    let uri = hearer.followed.uri::<K>("");
    let mut answer = Answer::ask(&hearer.followed.client, &uri, FORMAT, PATIENCE).await?;
    (hearer.followed.heard)(true);
    hearer.known.begin();
    let mut reader = Reader::default();
    let mut version = None;
    while let Some(piece) = answer.next().await? {
        reader.push(&piece);
        while let Some((number, bytes)) = reader.next()? {
            match number {
                METADATA => version = self::version(bytes)?,
                ITEM => hearer.set::<K>(read(bytes)?),
                _ => {}
            }
        }
        hearer.flush_if_full().await?;
    }
    // Only a whole list tells what is gone.
    let version = version.filter(|_| reader.is_complete()).ok_or(Broken::Cut)?;
    hearer.listed::<K>();
    hearer.flush().await?;
    Ok(version)
}

fn version(metadata: &[u8]) -> Result<Option<String>, Malformed> {
    for field in Fields(metadata) {
        let field = field?;
        if field.number == 2 {
            return field.said();
        }
    }
    Ok(None)
}

/// Takes bytes as they come, and gives the fields of the list in the envelope.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    at: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Magic,
    /// Before the list.
    Envelope,
    /// In the list, of which so many bytes are left.
    List(usize),
    /// Behind it.
    End,
}

impl Reader {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(piece);
    }

    fn is_complete(&self) -> bool {
        self.stage == Stage::End
    }

    /// The next field of the list, as far as it is there; `None`: there is none yet.
    fn next(&mut self) -> Result<Option<(u32, &[u8])>, Broken> {
        loop {
            if self.stage == Stage::List(0) {
                self.stage = Stage::End;
            }
            let rest = &self.bytes[self.at..];
            let left = match self.stage {
                Stage::Magic if rest.len() < MAGIC.len() => return Ok(None),
                // Some servers do not look at what they are asked for.
                Stage::Magic if !rest.starts_with(MAGIC) => return Err(Broken::NotSpoken),
                Stage::Magic => {
                    self.at += MAGIC.len();
                    self.stage = Stage::Envelope;
                    continue;
                }
                Stage::Envelope => usize::MAX,
                Stage::List(left) => left,
                Stage::End => return Ok(None),
            };
            let Some(head) = Head::read(rest)? else { return Ok(None) };
            let len = match head.kind {
                Kind::Number(_) => 0,
                Kind::Bytes(len) => len,
            };
            if self.stage == Stage::Envelope && head.number == RAW {
                self.at += head.len;
                self.stage = Stage::List(len);
                continue;
            }
            let whole = head.len.checked_add(len).filter(|whole| *whole <= left).ok_or(Malformed::Short)?;
            if whole > LARGEST {
                return Err(Broken::TooLarge(whole));
            }
            if rest.len() < whole {
                return Ok(None);
            }
            let field = self.at + head.len..self.at + whole;
            self.at += whole;
            if let Stage::List(left) = self.stage {
                self.stage = Stage::List(left - whole);
                return Ok(Some((head.number, &self.bytes[field])));
            }
        }
    }
}

#[cfg(test)]
mod tests;

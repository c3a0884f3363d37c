//! What a container writes, cut into lines.

/// A line longer than this, in bytes, is logged in parts.
pub const LINE: usize = 16 * 1024;

/// The lines of one stream.
#[derive(Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes what came and gives every line that is at its end, and parts of one that grows too long:
    /// `each(content, whole)`.
    pub fn push<E>(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], bool) -> Result<(), E>) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.grow(line, &mut each)?;
            let done = each(&self.begun, true);
            self.begun.clear();
            done?;
        }
        self.grow(bytes, &mut each)
    }

    /// Gives what has no newline at its end yet: the stream is at its end.
    pub fn finish<E>(&mut self, mut each: impl FnMut(&[u8], bool) -> Result<(), E>) -> Result<(), E> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.begun);
        each(&rest, false)
    }

    fn grow<E>(&mut self, mut more: &[u8], each: &mut impl FnMut(&[u8], bool) -> Result<(), E>) -> Result<(), E> {
        while self.begun.len() + more.len() > LINE {
            let (now, later) = more.split_at(LINE - self.begun.len());
            self.begun.extend_from_slice(now);
            let done = each(&self.begun, false);
            self.begun.clear();
            done?;
            more = later;
        }
        self.begun.extend_from_slice(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

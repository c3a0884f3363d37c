//! The netlink format: messages of a header, a fixed part and attributes, which may hold attributes.
//!
//! Numbers of netlink itself (lengths, types, sequence) are in the machine's order, those of netfilter's attributes in
//! network order. Attributes are padded to four bytes; their length, of 16 bits, counts header and value.

pub(crate) mod number;

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Bytes of `struct nfgenmsg`.
pub(crate) const GENERIC: usize = 4;
/// The flag of attributes that hold attributes.
const NESTED: u16 = 1 << 15;
/// The bits of an attribute's type that are not flags.
const TYPE_MASK: u16 = (1 << 14) - 1;

/// Writes messages one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(bytes), overflow: false }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written; `None` if an attribute was longer than its length can say.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.overflow).then_some(self.bytes)
    }

    /// Begins a netfilter message; `id` is the `res_id` of its fixed part. To be ended with [`Writer::end_message`].
    pub(crate) fn begin_message(&mut self, kind: u16, flags: u16, sequence: u32, family: u8, id: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&id.to_be_bytes());
        start
    }

    /// Writes the length of the message that began at `start`.
    pub(crate) fn end_message(&mut self, start: usize) {
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Adds flags to the message that began at `start`.
    pub(crate) fn add_flags(&mut self, start: usize, flags: u16) {
        let at = start + 6;
        let old = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]);
        self.bytes[at..at + 2].copy_from_slice(&(old | flags).to_ne_bytes());
    }

    /// Sets the version in the fixed part of the message that began at `start`; it is 0 otherwise.
    pub(crate) fn set_version(&mut self, start: usize, version: u8) {
        self.bytes[start + HEADER + 1] = version;
    }

    /// An attribute.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value);
        self.end(start);
    }

    /// An attribute that holds attributes as they are.
    pub(crate) fn nested_bytes(&mut self, kind: u16, value: &[u8]) {
        self.bytes(kind | NESTED, value);
    }

    /// An attribute: text with a zero behind.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.end(start);
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(crate) fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds what the closure writes.
    pub(crate) fn nest<T>(&mut self, kind: u16, inside: impl FnOnce(&mut Writer) -> T) -> T {
        let start = self.begin(kind | NESTED);
        let result = inside(self);
        self.end(start);
        result
    }

    /// Begins an attribute; for those whose end is not known yet.
    pub(crate) fn begin_nest(&mut self, kind: u16) -> usize {
        self.begin(kind | NESTED)
    }

    /// Ends the attribute that began at `start`.
    pub(crate) fn end(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(len) => self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.overflow = true,
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }
}

/// One message of what was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Subsystem (upper byte) and kind (lower byte), or a control type below 16.
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The port of the socket that caused it.
    pub(crate) port: u32,
    /// Everything behind the header.
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The family of the fixed part, and the attributes behind it.
    pub(crate) fn generic(&self) -> Option<(u8, Attributes<'a>)> {
        let attributes = self.body.get(GENERIC..)?;
        Some((self.body[0], Attributes(attributes)))
    }
}

/// Takes received bytes apart. Stops at the first that is no whole message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.0.get(..HEADER)?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let len = word(0) as usize;
        let body = self.0.get(HEADER..len)?;
        let message = Message { kind: half(4), flags: half(6), sequence: word(8), port: word(12), body };
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Takes attributes apart. Stops at the first that is no whole attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a type.
    pub(crate) fn find(self, wanted: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The attributes in an attribute.
    pub(crate) fn nested(self, wanted: u16) -> Option<Attributes<'a>> {
        self.find(wanted).map(Attributes)
    }

    pub(crate) fn text(self, wanted: u16) -> Option<&'a str> {
        let bytes = self.find(wanted)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).ok()
    }

    pub(crate) fn u8(self, wanted: u16) -> Option<u8> {
        self.find(wanted)?.first().copied()
    }

    pub(crate) fn u16(self, wanted: u16) -> Option<u16> {
        self.find(wanted)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(self, wanted: u16) -> Option<u32> {
        self.find(wanted)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(self, wanted: u16) -> Option<u64> {
        self.find(wanted)?.try_into().ok().map(u64::from_be_bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let header = self.0.get(..4)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

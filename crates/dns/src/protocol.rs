//! DNS' own numbers, as the IANA registry "Domain Name System (DNS) Parameters" lists them.

/// Record types (RFC 1035 section 3.2.2 and later).
pub mod rtype {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A zone's name server.
    pub const NS: u16 = 2;
    /// The canonical name of an alias.
    pub const CNAME: u16 = 5;
    /// The start of a zone of authority.
    pub const SOA: u16 = 6;
    /// A pointer to another name, for reverse look-ups.
    pub const PTR: u16 = 12;
    /// Host information; answers `ANY` as RFC 8482 says.
    pub const HINFO: u16 = 13;
    /// A mail exchange.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// A service's port and host (RFC 2782).
    pub const SRV: u16 = 33;
    /// A delegation's signer (RFC 4034).
    pub const DS: u16 = 43;
    /// A signature (RFC 4034).
    pub const RRSIG: u16 = 46;
    /// A zone's key (RFC 4034).
    pub const DNSKEY: u16 = 48;
    /// EDNS(0)'s pseudo record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Service binding for HTTPS (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// Key establishment, a meta type (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Transaction signature, a meta type (RFC 8945).
    pub const TSIG: u16 = 250;
    /// An incremental zone transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// A zone transfer.
    pub const AXFR: u16 = 252;
    /// Mailbox-related records, obsolete.
    pub const MAILB: u16 = 253;
    /// Mail agents, obsolete.
    pub const MAILA: u16 = 254;
    /// Whatever there is (RFC 8482).
    pub const ANY: u16 = 255;
}

/// Classes.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
}

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
pub mod rcode {
    /// The answer follows, though it may be empty.
    pub const NOERROR: u16 = 0;
    /// The question cannot be read.
    pub const FORMERR: u16 = 1;
    /// The server has failed for now.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// Such questions are not answered here.
    pub const NOTIMP: u16 = 4;
    /// The server will not answer this.
    pub const REFUSED: u16 = 5;
    /// An EDNS version that is not spoken here; its upper bits stand in the OPT record.
    pub const BADVERS: u16 = 16;
}

/// Octets of a message's header.
pub const HEADER: usize = 12;
/// The longest name on the wire, with its root label (RFC 1035 section 2.3.4).
pub const NAME_MAX: usize = 255;
/// The longest label.
pub const LABEL_MAX: usize = 63;
/// A UDP answer's limit where the question has no EDNS record.
pub const UDP_PLAIN: usize = 512;
/// The largest message that TCP can carry.
pub const TCP_MAX: usize = 65_535;

//! ICMP message layout (RFC 792, RFC 1191).

/// Offset of the checksum.
pub const CHECKSUM: usize = 2;
/// Offset of an echo's identifier.
pub const IDENT: usize = 4;
/// Bytes before an echo's data or an error's quoted packet.
pub const HEADER_LEN: usize = 8;

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAMETER: u8 = 12;

/// Codes of [`UNREACHABLE`].
pub mod unreachable {
    /// Network unreachable.
    pub const NET: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set (RFC 1191 §4).
    pub const FRAG_NEEDED: u8 = 4;
    /// Communication administratively prohibited (RFC 1812 §5.2.7.1).
    pub const ADMIN: u8 = 13;
}

/// Echo request or reply.
pub fn is_echo(kind: u8) -> bool {
    kind == ECHO_REQUEST || kind == ECHO_REPLY
}

/// An error message, which quotes a packet and must never be answered by
/// another (RFC 1122 §3.2.2).
pub fn is_error(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | 4 | REDIRECT | TIME_EXCEEDED | PARAMETER)
}

//! UDP header layout (RFC 768).

/// Offset of the checksum.
pub const CHECKSUM: usize = 6;
/// Header bytes.
pub const HEADER_LEN: usize = 8;

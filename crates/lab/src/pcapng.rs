//! Writing pcapng (draft-ietf-opsawg-pcapng): section header, interfaces,
//! packets, interface statistics. Little-endian, nanoseconds.

use std::io::{self, Write};
use std::time::Duration;

/// An interface block's content.
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) link: LinkType,
}

/// What an interface's packets begin with (tcpdump.org/linktypes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(crate) enum LinkType {
    Ethernet = 1,
    /// A CPCS-SDU of AAL5 behind direction, kind, VPI and VCI.
    SunAtm = 123,
}

fn option(v: &mut Vec<u8>, code: u16, value: &[u8]) {
    v.extend(code.to_le_bytes());
    v.extend((value.len() as u16).to_le_bytes());
    v.extend(value);
    v.resize(v.len().next_multiple_of(4), 0);
}

fn block(w: &mut dyn Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    w.write_all(&kind.to_le_bytes())?;
    w.write_all(&len)?;
    w.write_all(body)?;
    w.write_all(&len)
}

/// The head of a file: section and interfaces.
pub(crate) fn head(w: &mut dyn Write, interfaces: &[Interface]) -> io::Result<()> {
    let mut b = Vec::new();
    b.extend(0x1a2b_3c4du32.to_le_bytes());
    b.extend([1, 0, 0, 0]); // version 1.0
    b.extend((-1i64).to_le_bytes()); // length not told
    option(&mut b, 4, b"packet-journey lab"); // shb_userappl
    option(&mut b, 0, b"");
    block(w, 0x0a0d_0d0a, &b)?;
    for i in interfaces {
        let mut b = Vec::new();
        b.extend((i.link as u16).to_le_bytes());
        b.extend([0, 0]);
        b.extend(0u32.to_le_bytes()); // no snap length
        option(&mut b, 2, i.name.as_bytes()); // if_name
        option(&mut b, 3, i.description.as_bytes()); // if_description
        option(&mut b, 9, &[9]); // if_tsresol: nanoseconds
        option(&mut b, 0, b"");
        block(w, 1, &b)?;
    }
    Ok(())
}

/// One frame. `outgoing` is told in epb_flags.
pub(crate) fn packet(w: &mut dyn Write, interface: u32, at: Duration, outgoing: bool, original: usize, data: &[u8]) -> io::Result<()> {
    let ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let mut b = Vec::with_capacity(data.len() + 48);
    b.extend(interface.to_le_bytes());
    b.extend(((ns >> 32) as u32).to_le_bytes());
    b.extend((ns as u32).to_le_bytes());
    b.extend((data.len() as u32).to_le_bytes());
    b.extend((original as u32).to_le_bytes());
    b.extend(data);
    b.resize(b.len().next_multiple_of(4), 0);
    option(&mut b, 2, &(if outgoing { 2u32 } else { 1 }).to_le_bytes()); // epb_flags
    option(&mut b, 0, b"");
    block(w, 6, &b)
}

/// What an interface lost.
pub(crate) fn statistics(w: &mut dyn Write, interface: u32, at: Duration, received: u64, dropped: u64) -> io::Result<()> {
    let ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let mut b = Vec::new();
    b.extend(interface.to_le_bytes());
    b.extend(((ns >> 32) as u32).to_le_bytes());
    b.extend((ns as u32).to_le_bytes());
    option(&mut b, 4, &received.to_le_bytes()); // isb_ifrecv
    option(&mut b, 5, &dropped.to_le_bytes()); // isb_ifdrop
    option(&mut b, 0, b"");
    block(w, 5, &b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_padded_and_say_their_length_twice() {
        let mut v = Vec::new();
        head(&mut v, &[Interface { name: "pc.eth0".into(), description: "x".into(), link: LinkType::Ethernet }]).unwrap();
        packet(&mut v, 0, Duration::from_nanos(5), true, 61, &[7; 61]).unwrap();
        statistics(&mut v, 0, Duration::from_secs(1), 1, 0).unwrap();
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < v.len() {
            let word = |o: usize| u32::from_le_bytes(v[o..o + 4].try_into().unwrap());
            let len = word(at + 4) as usize;
            assert_eq!(len % 4, 0);
            assert_eq!(word(at + len - 4) as usize, len);
            kinds.push(word(at));
            at += len;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 5]);
    }
}

//! Writing pcapng (draft-ietf-opsawg-pcapng): section header, interfaces, names,
//! packets, interface statistics. Little-endian, nanoseconds. Secrets are never
//! written: there is no decryption secrets block.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

/// An interface block's content.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Bits a second, if they are known.
    pub speed: Option<u64>,
    /// What its packets begin with.
    pub link: LinkType,
}

/// What became of a packet, in the codes of Linux' tc (`TC_ACT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Verdict {
    /// It goes on.
    Ok = 0,
    /// It was dropped.
    Shot = 2,
    /// The node took it for itself.
    Stolen = 4,
}

/// What is told of a packet besides its bytes.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// `epb_packetid`: the same at every port.
    pub packet: Option<u64>,
    /// Comments, each of its own.
    pub comments: Vec<String>,
    /// What became of it.
    pub verdict: Option<Verdict>,
}

/// What an interface's packets begin with (tcpdump.org/linktypes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum LinkType {
    /// An Ethernet frame without its FCS.
    Ethernet = 1,
    /// A CPCS-SDU of AAL5 behind direction, kind, VPI and VCI.
    SunAtm = 123,
}

/// Bytes of a comment at most.
const COMMENT: usize = 4096;

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

/// The head of a file: section, interfaces, and names of addresses, which Wireshark
/// takes only before the first packet.
///
/// # Errors
/// What `w` said.
pub fn head(w: &mut dyn Write, interfaces: &[Interface], names: &BTreeMap<Ipv4Addr, Vec<String>>) -> io::Result<()> {
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
        if let Some(bps) = i.speed {
            option(&mut b, 8, &bps.to_le_bytes()); // if_speed
        }
        option(&mut b, 9, &[9]); // if_tsresol: nanoseconds
        option(&mut b, 0, b"");
        block(w, 1, &b)?;
    }
    if !names.is_empty() {
        let mut b = Vec::new();
        for (a, list) in names {
            let mut r = a.octets().to_vec();
            for n in list {
                r.extend(n.as_bytes());
                r.push(0);
            }
            option(&mut b, 1, &r); // nrb_record_ipv4: a record is laid out as an option
        }
        option(&mut b, 0, b""); // nrb_record_end
        block(w, 4, &b)?;
    }
    Ok(())
}

/// One frame. `outgoing`, as its node sees it, is told in epb_flags.
///
/// # Errors
/// What `w` said.
pub fn packet(
    w: &mut dyn Write,
    interface: u32,
    at: Duration,
    outgoing: bool,
    original: usize,
    data: &[u8],
    notes: &Notes,
) -> io::Result<()> {
    let ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let mut b = Vec::with_capacity(data.len() + 48);
    b.extend(interface.to_le_bytes());
    b.extend(((ns >> 32) as u32).to_le_bytes());
    b.extend((ns as u32).to_le_bytes());
    b.extend((data.len() as u32).to_le_bytes());
    b.extend((original as u32).to_le_bytes());
    b.extend(data);
    b.resize(b.len().next_multiple_of(4), 0);
    for c in &notes.comments {
        option(&mut b, 1, &c.as_bytes()[..c.floor_char_boundary(COMMENT)]); // opt_comment
    }
    option(&mut b, 2, &(if outgoing { 2u32 } else { 1 }).to_le_bytes()); // epb_flags
    if let Some(id) = notes.packet {
        option(&mut b, 5, &id.to_le_bytes()); // epb_packetid
    }
    if let Some(v) = notes.verdict {
        let mut o = vec![1]; // Linux_eBPF_TC
        o.extend((v as u64).to_le_bytes());
        option(&mut b, 7, &o); // epb_verdict
    }
    option(&mut b, 0, b"");
    block(w, 6, &b)
}

/// What an interface lost.
///
/// # Errors
/// What `w` said.
pub fn statistics(w: &mut dyn Write, interface: u32, at: Duration, received: u64, dropped: u64) -> io::Result<()> {
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
        let names = BTreeMap::from([(Ipv4Addr::new(192, 0, 2, 1), vec!["a.example".to_owned()])]);
        head(
            &mut v,
            &[Interface { name: "pc.eth0".into(), description: "x".into(), speed: Some(10_000_000), link: LinkType::Ethernet }],
            &names,
        )
        .unwrap();
        let notes = Notes { packet: Some(42), comments: vec!["journey 7".into(), "까닭".into()], verdict: Some(Verdict::Shot) };
        packet(&mut v, 0, Duration::from_nanos(5), true, 61, &[7; 61], &notes).unwrap();
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
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 4, 6, 5]);
    }
}

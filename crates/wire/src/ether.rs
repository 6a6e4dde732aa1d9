//! Ethernet II addresses and header (IEEE 802.3 §3).

use crate::{be16, put16};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Bytes of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;

/// Ethertypes that the lab's devices act on (IANA "IEEE 802 Numbers").
pub mod ethertype {
    /// IPv4, RFC 894.
    pub const IPV4: u16 = 0x0800;
    /// ARP, RFC 826.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6, RFC 2464.
    pub const IPV6: u16 = 0x86dd;
    /// MPLS, RFC 3032 §5.
    pub const MPLS: u16 = 0x8847;
    /// PPPoE discovery, RFC 2516 §4.
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    /// PPPoE session, RFC 2516 §4.
    pub const PPPOE_SESSION: u16 = 0x8864;
}

/// A 48-bit MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// The group bit is set: multicast or broadcast.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// 01:80:c2:00:00:00 to :0f, which a bridge never forwards (IEEE 802.1Q
    /// table 8-1).
    pub fn is_bridge_reserved(self) -> bool {
        self.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && self.0[5] & 0xf0 == 0
    }

    /// A locally administered unicast address for port `port` of node `node`.
    pub fn of_lab(node: u16, port: u8) -> Mac {
        let [h, l] = node.to_be_bytes();
        Mac([0x02, 0x00, 0x00, h, l, port])
    }

    /// The six bytes at `at` of `b`, if they are there.
    pub fn read(b: &[u8], at: usize) -> Option<Mac> {
        Some(Mac(b.get(at..at + 6)?.try_into().ok()?))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(s: &str) -> Result<Mac, String> {
        let mut out = [0u8; 6];
        let mut parts = s.split(':');
        for o in &mut out {
            *o = parts
                .next()
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or_else(|| format!("`{s}` is not a MAC address (like 02:00:00:00:01:00)"))?;
        }
        match parts.next() {
            None => Ok(Mac(out)),
            Some(_) => Err(format!("`{s}` has more than six bytes")),
        }
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Mac, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// Destination, source and ethertype of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Destination address.
    pub dst: Mac,
    /// Source address.
    pub src: Mac,
    /// Ethertype, or a length below 0x600 (802.3 LLC).
    pub ethertype: u16,
}

impl Header {
    /// Reads the first 14 bytes; `None` if there are fewer.
    pub fn read(b: &[u8]) -> Option<Header> {
        Some(Header { dst: Mac::read(b, 0)?, src: Mac::read(b, 6)?, ethertype: be16(b, 12)? })
    }

    /// Writes the first 14 bytes of `b`.
    pub fn write(&self, b: &mut [u8]) {
        b[0..6].copy_from_slice(&self.dst.0);
        b[6..12].copy_from_slice(&self.src.0);
        put16(b, 12, self.ethertype);
    }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub op: u16,
    /// Sender hardware address.
    pub sha: Mac,
    /// Sender protocol address.
    pub spa: std::net::Ipv4Addr,
    /// Target hardware address.
    pub tha: Mac,
    /// Target protocol address.
    pub tpa: std::net::Ipv4Addr,
}

impl Arp {
    /// Bytes of the packet after the Ethernet header.
    pub const LEN: usize = 28;

    /// Reads the packet; `None` unless it is Ethernet/IPv4 and whole.
    pub fn read(b: &[u8]) -> Option<Arp> {
        if b.len() < Self::LEN || b[0..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let ip = |at: usize| crate::be32(b, at).map(std::net::Ipv4Addr::from);
        Some(Arp { op: be16(b, 6)?, sha: Mac::read(b, 8)?, spa: ip(14)?, tha: Mac::read(b, 18)?, tpa: ip(24)? })
    }

    /// Writes the packet to the first 28 bytes of `b`.
    pub fn write(&self, b: &mut [u8]) {
        b[0..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        put16(b, 6, self.op);
        b[8..14].copy_from_slice(&self.sha.0);
        b[14..18].copy_from_slice(&self.spa.octets());
        b[18..24].copy_from_slice(&self.tha.0);
        b[24..28].copy_from_slice(&self.tpa.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mac_text() {
        let m: Mac = "02:00:00:0a:0b:0c".parse().unwrap();
        assert_eq!(m.to_string(), "02:00:00:0a:0b:0c");
        assert!("02:00".parse::<Mac>().is_err());
        assert!("02:00:00:0a:0b:0c:0d".parse::<Mac>().is_err());
        assert!("01:80:c2:00:00:0e".parse::<Mac>().unwrap().is_bridge_reserved());
        assert!(!"01:80:c2:00:00:10".parse::<Mac>().unwrap().is_bridge_reserved());
    }

    proptest! {
        #[test]
        fn arp_round_trip(op in any::<u16>(), s in any::<[u8; 6]>(), t in any::<[u8; 6]>(), a in any::<u32>(), b in any::<u32>()) {
            let p = Arp { op, sha: Mac(s), spa: a.into(), tha: Mac(t), tpa: b.into() };
            let mut buf = [0; Arp::LEN];
            p.write(&mut buf);
            prop_assert_eq!(Arp::read(&buf), Some(p));
        }
        #[test]
        fn arp_never_panics(b in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Arp::read(&b);
            let _ = Header::read(&b);
        }
    }
}

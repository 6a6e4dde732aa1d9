//! Frames made by hand: for tests, and for what no honest host would send.

use crate::Mac;
use crate::ether::{Arp, HEADER_LEN, Header, ethertype};
use crate::ipv4::{self, New};
use std::net::Ipv4Addr;

/// An IPv4 packet with right checksums.
pub fn packet(protocol: u8, src: Ipv4Addr, dst: Ipv4Addr, body: &[u8]) -> Vec<u8> {
    let mut p = vec![0; ipv4::HEADER_LEN + body.len()];
    p[ipv4::HEADER_LEN..].copy_from_slice(body);
    ipv4::write_header(&mut p, &New { payload_len: body.len(), ident: 77, df: false, tos: 0, ttl: 60, protocol, src, dst });
    ipv4::fill_l4_checksum(&mut p);
    p
}

/// A TCP segment without data.
pub fn tcp(src_port: u16, dst_port: u16, flags: u8) -> Vec<u8> {
    let mut t = vec![0; 20];
    t[0..2].copy_from_slice(&src_port.to_be_bytes());
    t[2..4].copy_from_slice(&dst_port.to_be_bytes());
    t[4..8].copy_from_slice(&1000u32.to_be_bytes());
    t[12] = 5 << 4;
    t[13] = flags;
    t[14..16].copy_from_slice(&8192u16.to_be_bytes());
    t
}

/// A UDP datagram.
pub fn udp(src_port: u16, dst_port: u16, data: &[u8]) -> Vec<u8> {
    let mut u = vec![0; 8];
    u[0..2].copy_from_slice(&src_port.to_be_bytes());
    u[2..4].copy_from_slice(&dst_port.to_be_bytes());
    u[4..6].copy_from_slice(&((8 + data.len()) as u16).to_be_bytes());
    u.extend_from_slice(data);
    u
}

/// A part of a packet as a fragment: `at` and `len` in bytes of its payload.
pub fn fragment(p: &[u8], at: usize, len: usize, more: bool) -> Vec<u8> {
    let mut f = p[..ipv4::HEADER_LEN].to_vec();
    f.extend_from_slice(&p[ipv4::HEADER_LEN + at..ipv4::HEADER_LEN + at + len]);
    let n = f.len() as u16;
    f[2..4].copy_from_slice(&n.to_be_bytes());
    let word = (at / 8) as u16 | if more { ipv4::MF } else { 0 };
    f[6..8].copy_from_slice(&word.to_be_bytes());
    ipv4::fill_checksum(&mut f);
    f
}

/// A packet in an Ethernet frame.
pub fn ethernet(dst: Mac, src: Mac, packet: &[u8]) -> Vec<u8> {
    let mut f = vec![0; HEADER_LEN];
    Header { dst, src, ethertype: ethertype::IPV4 }.write(&mut f);
    f.extend_from_slice(packet);
    f
}

/// An ICMP echo request.
pub fn echo(ident: u16, data: &[u8]) -> Vec<u8> {
    let mut e = vec![crate::icmp::ECHO_REQUEST, 0, 0, 0];
    e.extend(ident.to_be_bytes());
    e.extend([0, 1]);
    e.extend_from_slice(data);
    e
}

/// An ICMP error about a packet, as `from` sends it to the packet's sender.
pub fn icmp_error(kind: u8, code: u8, from: Ipv4Addr, to: Ipv4Addr, about: &[u8]) -> Vec<u8> {
    let mut e = vec![kind, code, 0, 0, 0, 0, 0, 0];
    e.extend_from_slice(&about[..about.len().min(28)]);
    packet(ipv4::protocol::ICMP, from, to, &e)
}

/// An ARP frame.
pub fn arp(op: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr), dst: Mac) -> Vec<u8> {
    let mut f = vec![0; HEADER_LEN + Arp::LEN];
    Header { dst, src: sender.0, ethertype: ethertype::ARP }.write(&mut f);
    Arp { op, sha: sender.0, spa: sender.1, tha: target.0, tpa: target.1 }.write(&mut f[HEADER_LEN..]);
    f
}

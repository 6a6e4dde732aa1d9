//! Data messages (RFC 2661 §5.3, §5.4).

use super::{Endpoint, Input, Key, Peer};
use crate::tunnel::Stage;
use node::Time;
use wire::l2tp::Header;

/// Bytes of padding that an offset may ask for.
pub(crate) const MOST_OFFSET: usize = 16;
/// Bytes of the longest data header.
const HEADER: usize = 14 + MOST_OFFSET;

/// What a data message's header has besides what it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataHeader {
    /// The length field.
    pub length: bool,
    /// The offset field, with so many bytes of padding, 16 at most.
    pub offset: Option<u8>,
}

impl DataHeader {
    /// Bytes of the header of a session whose data is numbered, or not.
    pub fn len(self, sequencing: bool) -> usize {
        6 + 2 * usize::from(self.length) + 4 * usize::from(sequencing) + self.offset.map_or(0, |pad| 2 + usize::from(pad).min(MOST_OFFSET))
    }
}

impl Endpoint {
    /// Takes a UDP payload.
    pub fn input(&mut self, now: Time, from: Peer, payload: &[u8]) -> Input {
        let Ok((h, body)) = Header::read(payload) else { return Input::Malformed };
        if h.control {
            return self.control_input(now, from, h, body);
        }
        if !self.tunnels.contains_key(&h.tunnel) {
            self.stranger(now, from, h.tunnel);
        }
        let Some(t) = self.tunnels.get_mut(&h.tunnel).filter(|t| t.peer.addr == from.addr && !t.is_closing()) else {
            return Input::UnknownTunnel;
        };
        t.heard = now;
        let Some(s) = t.sessions.get_mut(&h.session).filter(|s| s.stage == Stage::Established) else {
            return Input::UnknownSession;
        };
        if let Some((ns, _)) = h.sequence {
            // §5.4: what is behind its order is dropped; a gap is not waited for.
            if (ns.wrapping_sub(s.nr) as i16) < 0 {
                s.out_of_order += 1;
                return Input::OutOfOrder;
            }
            s.nr = ns.wrapping_add(1);
        }
        s.rx = (s.rx.0 + 1, s.rx.1 + body.len() as u64);
        let at = body.as_ptr() as usize - payload.as_ptr() as usize;
        Input::Data { key: Key { tunnel: h.tunnel, session: h.session }, at, len: body.len() }
    }

    /// What goes before a PPP frame of `len` bytes: where to, the header's bytes,
    /// and how many of them. `None` if there is no such session.
    pub fn data_header(&mut self, key: Key, len: usize, with: DataHeader) -> Option<(Peer, [u8; HEADER], usize)> {
        let t = self.tunnels.get_mut(&key.tunnel)?;
        let s = t.sessions.get_mut(&key.session).filter(|s| s.stage == Stage::Established)?;
        s.tx = (s.tx.0 + 1, s.tx.1 + len as u64);
        let sequence = s.sequencing.then(|| {
            let ns = s.ns;
            s.ns = ns.wrapping_add(1);
            (ns, s.nr)
        });
        let h = Header { control: false, tunnel: t.peer_id, session: s.peer_id, sequence, priority: false };
        let mut b = [0; HEADER];
        let n = match with.offset {
            None => {
                let n = h.len(with.length);
                h.write(&mut b[..n], len, with.length);
                n
            }
            Some(pad) => h.write_with_offset(&mut b, len, with.length, usize::from(pad).min(MOST_OFFSET)),
        };
        Some((t.peer, b, n))
    }

    /// The peer's numbers of a session.
    pub fn peer_key(&self, key: Key) -> Option<Key> {
        let t = self.tunnels.get(&key.tunnel)?;
        let s = t.sessions.get(&key.session)?;
        Some(Key { tunnel: t.peer_id, session: s.peer_id })
    }
}

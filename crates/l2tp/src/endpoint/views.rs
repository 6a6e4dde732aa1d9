//! Tunnels and sessions as tables show them.

use super::{Endpoint, Key, Peer};

/// A tunnel.
#[derive(Clone, Debug)]
pub struct TunnelView {
    /// This end's number and the peer's.
    pub ids: (u16, u16),
    /// The settings' name for it.
    pub name: String,
    /// The peer's Host Name.
    pub peer_name: String,
    /// Where it is.
    pub peer: Peer,
    /// In the words of RFC 2661 §7.2.
    pub state: &'static str,
    /// Sessions in it.
    pub sessions: usize,
    /// Next Ns and Nr.
    pub sequence: (u16, u16),
    /// Messages sent again.
    pub retransmissions: u64,
}

/// A session.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// This end's numbers.
    pub key: Key,
    /// The peer's number of the session.
    pub peer_session: u16,
    /// In the words of RFC 2661 §7.4.
    pub state: &'static str,
    /// The subscriber's line.
    pub calling: String,
    /// Frames and bytes from the peer.
    pub rx: (u64, u64),
    /// … and to it.
    pub tx: (u64, u64),
    /// Frames that came behind their order.
    pub out_of_order: u64,
}

impl Endpoint {
    /// All tunnels.
    pub fn tunnels(&self) -> impl Iterator<Item = TunnelView> + '_ {
        self.tunnels.values().map(|t| TunnelView {
            ids: (t.id, t.peer_id),
            name: t.name.clone(),
            peer_name: t.peer_name.clone(),
            peer: t.peer,
            state: t.state.name(),
            sessions: t.sessions.len(),
            sequence: (t.channel.ns, t.channel.nr),
            retransmissions: t.channel.retransmissions,
        })
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> + '_ {
        self.tunnels.values().flat_map(|t| {
            t.sessions.iter().map(|(id, s)| SessionView {
                key: Key { tunnel: t.id, session: *id },
                peer_session: s.peer_id,
                state: s.stage.name(),
                calling: s.call.calling.clone(),
                rx: s.rx,
                tx: s.tx,
                out_of_order: s.out_of_order,
            })
        })
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions
    }

    /// The name of a tunnel's entry in the settings.
    pub fn name_of(&self, tunnel: u16) -> Option<&str> {
        self.tunnels.get(&tunnel).map(|t| t.name.as_str())
    }

    /// Whether a session's data is numbered.
    pub fn is_sequenced(&self, key: Key) -> bool {
        self.tunnels.get(&key.tunnel).and_then(|t| t.sessions.get(&key.session)).is_some_and(|s| s.sequencing)
    }

    /// Where a tunnel's peer is.
    pub fn peer_of(&self, tunnel: u16) -> Option<Peer> {
        self.tunnels.get(&tunnel).map(|t| t.peer)
    }
}

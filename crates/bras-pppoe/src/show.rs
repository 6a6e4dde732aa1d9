//! Tables and commands.

use crate::aaa::Terminate;
use crate::bas::Bas;
use crate::session::{Carrier, Session};
use l2tp::CallResult;
use node::{Command, CommandError, Cursor, Cx, Query, Reply, Rows};
use ppp::{AuthProtocol, Phase};

impl Bas {
    /// Rows of a view of the server's own; `None` if it is not one.
    pub(crate) fn show_own(&self, q: &Query, from: Cursor, rows: &mut Rows) -> Option<Option<Cursor>> {
        match q.what.as_str() {
            "sessions" => {
                rows.columns(&[
                    "session",
                    "mac",
                    "user",
                    "phase",
                    "address",
                    "auth",
                    "mtu",
                    "age-s",
                    "rx-packets",
                    "tx-packets",
                    "rx-bytes",
                    "tx-bytes",
                    "circuit-id",
                    "remote-id",
                    "call",
                ]);
                Some(rows.page(self.sessions.values(), from, |rows, s| self.session_row(q, rows, s)))
            }
            "tunnels" => {
                rows.columns(&["tunnel", "peer-tunnel", "name", "peer", "peer-name", "state", "sessions", "ns", "nr", "retransmissions"]);
                Some(rows.page(self.l2tp.tunnels(), from, |rows, t| {
                    rows.row([
                        t.ids.0.into(),
                        t.ids.1.into(),
                        t.name.into(),
                        format!("{}:{}", t.peer.addr, t.peer.port).into(),
                        t.peer_name.into(),
                        t.state.into(),
                        t.sessions.into(),
                        t.sequence.0.into(),
                        t.sequence.1.into(),
                        t.retransmissions.into(),
                    ]);
                }))
            }
            "calls" => {
                rows.columns(&[
                    "tunnel",
                    "session",
                    "peer-session",
                    "state",
                    "rx-frames",
                    "tx-frames",
                    "rx-bytes",
                    "tx-bytes",
                    "out-of-order",
                    "line",
                ]);
                Some(rows.page(self.l2tp.sessions(), from, |rows, s| {
                    rows.row([
                        s.key.tunnel.into(),
                        s.key.session.into(),
                        s.peer_session.into(),
                        s.state.into(),
                        s.rx.0.into(),
                        s.tx.0.into(),
                        s.rx.1.into(),
                        s.tx.1.into(),
                        s.out_of_order.into(),
                        s.calling.into(),
                    ]);
                }))
            }
            "log" => {
                rows.columns(&["ago-s", "session", "subscriber", "user", "reason"]);
                Some(rows.page(self.log.iter().rev(), from, |rows, e| {
                    let ago = q.now.since(e.at).as_secs();
                    rows.row([ago.into(), e.number.into(), e.calling.clone().into(), e.user.clone().into(), e.reason.clone().into()]);
                }))
            }
            _ => None,
        }
    }

    fn session_row(&self, q: &Query, rows: &mut Rows, s: &Session) {
        let (mac, circuit, remote) = match &s.carrier {
            Carrier::Pppoe { mac, line, .. } => (Some(mac.to_string()), line.circuit.as_str(), line.remote.as_str()),
            Carrier::L2tp { calling, .. } => (None, calling.as_str(), ""),
        };
        let call = match (&s.carrier, &s.relay) {
            (Carrier::L2tp { key, .. }, _) => Some(*key),
            (_, Some(r)) => Some(r.key),
            _ => None,
        };
        rows.row([
            s.number.into(),
            mac.into(),
            if s.user.is_empty() { None } else { Some(s.user.as_str()) }.into(),
            s.phase().into(),
            s.address.map(|a| a.to_string()).into(),
            s.ppp.as_ref().and_then(|p| p.auth_protocol()).map_or("none", AuthProtocol::name).into(),
            s.mtu().into(),
            q.now.since(s.since).as_secs().into(),
            s.rx.0.into(),
            s.tx.0.into(),
            s.rx.1.into(),
            s.tx.1.into(),
            circuit.into(),
            remote.into(),
            call.map(|k| format!("{}/{}", k.tunnel, k.session)).into(),
        ]);
    }

    pub(crate) fn act(&mut self, cx: &mut Cx<'_>, c: &Command) -> Result<Reply, CommandError> {
        match c.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["disconnect", id] => {
                let number: u32 = id.parse().map_err(|_| CommandError::Refused(format!("`{id}` is no session number")))?;
                let s = self.sessions.get_mut(&number).ok_or_else(|| CommandError::Refused(format!("there is no session {number}")))?;
                if s.ppp.as_ref().is_some_and(|p| matches!(p.phase(), Phase::Dead | Phase::Terminate)) {
                    return Err(CommandError::Refused(format!("session {number} is ending already")));
                }
                s.result = CallResult::Administrative;
                self.close(cx, number, "disconnected by the operator", Terminate::AdminReset);
                Ok(format!("session {number} is being ended"))
            }
            ["stop-tunnel", id] => {
                let tunnel: u16 = id.parse().map_err(|_| CommandError::Refused(format!("`{id}` is no tunnel number")))?;
                if self.l2tp.stop(cx.now, tunnel, "stopped by the operator") {
                    Ok(format!("tunnel {tunnel} is being taken down"))
                } else {
                    Err(CommandError::Refused(format!("there is no tunnel {tunnel}")))
                }
            }
            _ => Err(CommandError::Unknown(c.words.join(" "))),
        }
    }
}

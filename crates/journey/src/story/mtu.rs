//! The MTU lens: what each link carries, what the ends agreed to send, who told of a
//! packet that was too big and who did not.

use super::{Item, Kind, Seen, Teller};
use crate::dissect::dissect_all;
use crate::model::Ended;
use node::DropReason;
use node::trace::Cause;

impl Teller<'_> {
    /// A row for every port on the way of the connection's first segment.
    pub(super) fn mtu(&mut self) {
        let Some(syn) = self.seen.iter().find(|s| s.kind == Kind::Opening && s.p.node == self.about.from).cloned() else { return };
        // A proxy's own connection has its own agreement.
        let proxy = self
            .seen
            .iter()
            .find(|s| s.kind == Kind::Opening && self.role(s.p.node) == Some("cache-proxy") && s.get("TCP", "dst-port") == Some("80"))
            .cloned();
        let mut rows = self.rows(&syn);
        if let Some(p) = &proxy {
            rows.extend(self.rows(p));
        }
        if rows.is_empty() {
            return;
        }
        self.stage("MTU lens", "MTU 렌즈");
        let head = self.lang.pick(["port", "MTU", "MSS in the SYN", "lowered"], ["포트", "MTU", "SYN의 MSS", "낮춤"]);
        self.items.push(Item::Table { head: head.iter().map(|s| (*s).to_owned()).collect(), rows });
        let answer = self.seen.iter().find(|s| s.kind == Kind::Opening && s.p.because == Some(syn.p.id)).cloned();
        if let Some(a) = answer
            && let Some(back) = a.get("TCP", "mss").map(str::to_owned)
        {
            let text = self.lang.pick(
                format!("the answer to the SYN offers MSS {back} where it is made"),
                format!("SYN에 대한 응답은 만들어진 곳에서 MSS {back}을(를) 제안함"),
            );
            self.line(text, Some(a.p.id));
            for h in crate::hops::hops(self.c, a.p) {
                for c in h.causes.iter().filter(|c| matches!(c, Cause::MssClamped { .. })) {
                    let text = format!("{}: {}", self.name(h.node), crate::words::cause(self.lang, c));
                    self.line(text, Some(a.p.id));
                }
            }
        }
        self.too_big();
    }

    /// A row for every port that a SYN left.
    fn rows(&self, syn: &Seen<'_>) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for h in crate::hops::hops(self.c, syn.p).iter().filter(|h| !self.c.topology.is_cable(h.node) && !h.stray) {
            let Some(out) = h.left.first().copied() else { continue };
            let frames: Vec<&[u8]> = h.frames_out.iter().filter_map(|i| self.c.sights.get(*i)).map(|s| &*s.bytes).collect();
            let layers = dissect_all(&frames);
            let mss = layers.iter().rev().find(|l| l.name == "TCP").and_then(|l| l.get("mss"));
            let link = self.c.topology.at(out).map_or(0, |p| p.mtu);
            // PPPoE's six bytes and PPP's two are the link's, and no longer the packet's.
            let session = layers.iter().any(|l| l.name == "PPPoE");
            let mtu = if session {
                let inner = link.saturating_sub(8).min(1492);
                self.lang.pick(format!("{link}, {inner} in PPPoE"), format!("{link}, PPPoE 안은 {inner}"))
            } else {
                link.to_string()
            };
            let clamp = h.causes.iter().find_map(|c| match c {
                Cause::MssClamped { from, to } => Some(format!("{from} → {to}")),
                _ => None,
            });
            rows.push(vec![self.c.topology.full(out), mtu, mss.unwrap_or("·").to_owned(), clamp.unwrap_or_default()]);
        }
        rows
    }

    /// Who told of a packet that was too big, who heard it, and who kept silent.
    fn too_big(&mut self) {
        let mut lines = Vec::new();
        for e in self.c.events.iter().filter(|e| e.journey == Some(self.about.journey)) {
            let node = self.name(e.node);
            match &e.cause {
                Cause::PathMtu { mtu } => lines.push((
                    self.lang.pick(
                        format!("{node} learned by ICMP that the path carries {mtu} bytes"),
                        format!("{node}이(가) ICMP로 경로가 {mtu}바이트까지 나름을 배움"),
                    ),
                    e.packet,
                )),
                Cause::ErrorWithheld { code: 4, mtu, .. } => lines.push((
                    self.lang.pick(
                        format!("{node} had to tell of a packet too big ({mtu} bytes fit), and kept silent: its lab file says so"),
                        format!("{node}은(는) 패킷이 너무 크다고({mtu}바이트까지 가능) 알려야 했지만 설정에 따라 침묵함"),
                    ),
                    e.packet,
                )),
                _ => {}
            }
        }
        for s in self.seen.iter().filter(|s| s.kind == Kind::Error && s.get("ICMP", "mtu").is_some()) {
            let node = self.name(s.p.node);
            let end = s.p.ends.last().map(|e| (self.name(e.node).to_owned(), e.how));
            let fate = match end {
                Some((n, Ended::Dropped(DropReason::Consumed))) => self.lang.pick(format!("{n} got it"), format!("{n}이(가) 받음")),
                Some((n, Ended::Dropped(r))) => {
                    self.lang.pick(format!("{n} swallowed it ({})", r.name()), format!("{n}이(가) 삼킴 ({})", r.name()))
                }
                _ => self.lang.pick("nobody was seen to get it".into(), "받은 곳이 보이지 않음".into()),
            };
            lines.push((
                self.lang.pick(
                    format!("{node} sent a Packet Too Big: {}; {fate}", s.title),
                    format!("{node}이(가) 패킷이 너무 크다고 알림: {}; {fate}", s.title),
                ),
                Some(s.p.id),
            ));
        }
        let mut told: Vec<(String, Option<u64>, usize)> = Vec::new();
        for (text, packet) in lines {
            match told.iter_mut().find(|t| t.0 == text) {
                Some(t) => t.2 += 1,
                None => told.push((text, packet, 1)),
            }
        }
        for (text, packet, times) in told {
            self.line(if times > 1 { format!("{text} (×{times})") } else { text }, packet);
        }
    }
}

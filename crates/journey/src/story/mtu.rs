//! The MTU lens: what each link carries, what the ends agreed to send, who told of a
//! packet that was too big and who did not.

use super::{Item, Kind, Teller};
use crate::dissect::dissect;
use crate::model::{Direction, Ended};
use node::DropReason;
use node::trace::Cause;

impl Teller<'_> {
    /// A row for every port on the way of the connection's first segment.
    pub(super) fn mtu(&mut self) {
        let Some(syn) = self.seen.iter().find(|s| s.kind == Kind::Opening && s.p.node == self.about.from).cloned() else { return };
        let answer = self.seen.iter().find(|s| s.kind == Kind::Opening && s.p.because == Some(syn.p.id)).cloned();
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mss = |p: &super::Seen<'_>, at| {
            let s = self.c.sights_of(p.p).filter(|s| s.direction == Direction::Out).find(|s| s.port == at)?;
            let layers = dissect(&s.bytes);
            layers.iter().rev().find(|l| l.name == "TCP").and_then(|l| l.get("mss").map(str::to_owned))
        };
        let mut clamps = Vec::new();
        for h in crate::hops::hops(self.c, syn.p).iter().filter(|h| !self.c.topology.is_cable(h.node) && !h.stray) {
            let Some(out) = h.left.first().copied() else { continue };
            let mtu = self.c.topology.at(out).map_or(0, |p| p.mtu);
            let clamp = h.causes.iter().find_map(|c| match c {
                Cause::MssClamped { from, to } => Some(format!("{from} → {to}")),
                _ => None,
            });
            let there = mss(&syn, out).unwrap_or_else(|| "·".into());
            rows.push(vec![self.c.topology.full(out), mtu.to_string(), there, clamp.clone().unwrap_or_default()]);
            clamps.extend(clamp);
        }
        if rows.is_empty() {
            return;
        }
        self.stage("MTU lens", "MTU 렌즈");
        let head = self.lang.pick(["port", "link MTU", "MSS in the SYN", "lowered"], ["포트", "링크 MTU", "SYN의 MSS", "낮춤"]);
        self.items.push(Item::Table { head: head.iter().map(|s| (*s).to_owned()).collect(), rows });
        if let Some(a) = answer
            && let Some(back) = a.get("TCP", "mss")
        {
            let text = self.lang.pick(
                format!("the answer to the SYN offers MSS {back} where it is made"),
                format!("SYN에 대한 응답은 만들어진 곳에서 MSS {back}을(를) 제안함"),
            );
            self.line(text, Some(a.p.id));
        }
        self.too_big();
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
        for s in self.seen.iter().filter(|s| s.kind == Kind::Error && s.title.contains("fragmentation needed")) {
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
        lines.dedup();
        for (text, packet) in lines {
            self.line(text, packet);
        }
    }
}

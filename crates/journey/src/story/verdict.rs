//! What was lost and sent again, and what the journey came to: its last line names
//! the cause and the node.

use super::{Item, Kind, Teller, hop, since};
use crate::model::{Direction, End, Ended, Packet};
use crate::words::{self, many};
use node::DropReason;
use node::trace::Cause;
use std::time::Duration;

/// The least time after which Linux sends a segment again (`TCP_RTO_MIN`).
const RTO_LEAST: Duration = Duration::from_millis(200);
/// Losses that are told one by one.
const TOLD: usize = 12;

impl<'a> Teller<'a> {
    /// Ends of the journey's packets that are losses, in the order of time.
    fn lost(&self) -> Vec<(&'a Packet, &'a End)> {
        let mut v: Vec<(&Packet, &End)> = Vec::new();
        let c = self.c;
        for p in c.of_journey(self.about.journey) {
            let arrived = p.ends.iter().any(|e| !e.is_loss());
            for e in p.ends.iter().filter(|e| e.is_loss()) {
                // A flooded copy that a stranger threw away is no loss of the packet.
                let stray = arrived && matches!(e.how, Ended::Dropped(DropReason::NotForUs | DropReason::SamePort | DropReason::NoSocket));
                if !stray {
                    v.push((p, e));
                }
            }
        }
        v.sort_by_key(|(_, e)| e.at);
        v
    }

    /// What was lost, what was sent again, and what the collector missed.
    pub(super) fn losses(&mut self) {
        let told = |(p, e): &(&Packet, &End)| {
            let at = hop::place_of_end(self.c, p, e);
            (p.id, format!("#{} {}  ✗ {at}: {}", p.id, self.title(p.id), hop::ended(self.c, self.lang, e)))
        };
        let lost = self.lost();
        let lines: Vec<(u64, String)> = lost.iter().take(TOLD).map(told).collect();
        let pauses: Vec<u64> = self.c.sights.iter().filter(|s| s.held.iter().any(|(_, c)| *c == Cause::Paused)).map(|s| s.packet).collect();
        let again: Vec<(u64, u64, String, bool)> = self
            .seen
            .iter()
            .filter_map(|s| {
                let first = s.p.again?;
                Some((s.p.id, first, self.name(s.p.node).to_owned(), pauses.contains(&first) || self.is_of_a_pause(s.p, first)))
            })
            .collect();
        let missed = self.c.lost;
        let outages = self.outages();
        if lost.is_empty() && again.is_empty() && outages.is_empty() && missed == crate::model::Lost::default() {
            return;
        }
        self.stage("What did not go well", "잘되지 않은 일");
        for text in outages {
            self.line(text, None);
        }
        for (id, text) in lines {
            self.line(text, Some(id));
        }
        if lost.len() > TOLD {
            self.line(
                self.lang.pick(format!("and {} more were lost", lost.len() - TOLD), format!("그 밖에 {}개를 더 잃음", lost.len() - TOLD)),
                None,
            );
        }
        for (id, first, node, paused) in again.iter().take(TOLD) {
            let why = if *paused { self.lang.pick(": the pause caused it", ": 멈춤 때문") } else { "" };
            self.line(
                self.lang.pick(
                    format!("#{id} {node} sent again what #{first} carried{why}"),
                    format!("#{id} {node}이(가) #{first}의 내용을 다시 보냄{why}"),
                ),
                Some(*id),
            );
        }
        if again.len() > TOLD {
            self.line(
                self.lang.pick(
                    format!("and {} more were sent again", again.len() - TOLD),
                    format!("그 밖에 {}개를 더 재전송함", again.len() - TOLD),
                ),
                None,
            );
        }
        if missed.records > 0 {
            self.line(
                self.lang.pick(
                    format!("{} lost: nodes had no room for more", many(missed.records, "trace record")),
                    format!("추적 기록 {}개를 잃음: 노드에 둘 자리가 없었음", missed.records),
                ),
                None,
            );
        }
        if missed.frames > 0 {
            self.line(
                self.lang.pick(
                    format!("{} lost by the kernel between two ports", many(missed.frames, "frame")),
                    format!("포트 사이에서 커널이 프레임 {}개를 잃음", missed.frames),
                ),
                None,
            );
        }
        if missed.unmatched > 0 {
            self.line(
                self.lang.pick(
                    format!("{} came from where nothing is traced", many(missed.unmatched, "frame")),
                    format!("추적되지 않는 곳에서 프레임 {}개가 옴", missed.unmatched),
                ),
                None,
            );
        }
    }

    fn title(&self, packet: u64) -> String {
        let seen = self.seen.iter().find(|s| s.p.id == packet);
        seen.map_or_else(|| self.lang.pick("never sent", "나가지 못함").to_owned(), |s| format!("{} {}", s.protocol, s.title))
    }

    fn said(&self) -> impl DoubleEndedIterator<Item = (u16, &'a Cause)> + use<'a> {
        let journey = self.about.journey;
        self.c.events.iter().filter(move |e| e.journey == Some(journey)).map(|e| (e.node, &e.cause))
    }

    /// The story's last line.
    pub(super) fn verdict(&mut self) {
        let failed = self.said().find_map(|(_, c)| match c {
            Cause::FetchFailed { why, .. } => Some(why.clone()),
            _ => None,
        });
        let failed = failed.or_else(|| self.about.curl.as_ref().filter(|(_, _, e)| !e.is_empty()).map(|(_, _, e)| e.clone()));
        let from_page = self.said().find_map(|(_, c)| match c {
            Cause::PageReceived { status, bytes, .. } if !(300..400).contains(status) => Some((*status, *bytes)),
            _ => None,
        });
        let page = from_page.or_else(|| self.about.curl.as_ref().filter(|(s, _, e)| *s > 0 && e.is_empty()).map(|(s, b, _)| (*s, *b)));
        let (good, text) = match (failed, page) {
            (None, Some((status, bytes))) => (status < 400, self.came(status, bytes)),
            (Some(why), _) => (false, self.did_not_come(&why)),
            (None, None) if self.about.unfinished => (false, self.did_not_come(self.lang.pick("no answer yet", "아직 응답이 없음"))),
            (None, None) => (false, self.did_not_come(self.lang.pick("nothing came back", "아무것도 돌아오지 않음"))),
        };
        self.items.push(Item::Verdict { good, text });
    }

    /// A kernel host sent it again sooner, by the lab's clock, than kernels do: its own
    /// clock had gone on while the lab's stood.
    fn is_of_a_pause(&self, p: &Packet, first: u64) -> bool {
        let host = self.c.topology.nodes.get(usize::from(p.node)).is_some_and(crate::topology::Node::is_host);
        let at = |p: &Packet| p.sights.first().and_then(|i| self.c.sights.get(*i)).map(|s| s.at);
        let times = at(p).zip(self.c.packets.get(&first).and_then(at));
        self.about.paused && host && times.is_some_and(|(again, first)| again.since(first) < RTO_LEAST)
    }

    /// Roles that ended while the journey went on.
    fn outages(&self) -> Vec<String> {
        let start = self.about.start;
        let mine = self.c.outages.iter().filter(|o| o.until.is_none_or(|u| u > start));
        mine.map(|o| {
            let (name, from) = (self.name(o.node), since(start, o.from));
            match o.until.map(|u| since(start, u)) {
                Some(until) => self.lang.pick(
                    format!("the role of {name} did not run from +{from} to +{until}"),
                    format!("{name}의 역할이 +{from}부터 +{until}까지 돌지 않았음"),
                ),
                None if o.from <= start => {
                    self.lang.pick(format!("the role of {name} did not run"), format!("{name}의 역할이 돌지 않았음"))
                }
                None => self.lang.pick(format!("the role of {name} ended at +{from}"), format!("{name}의 역할이 +{from}에 끝났음")),
            }
        })
        .collect()
    }

    /// The page's own request, and its retransmissions.
    fn page_request(&self) -> Vec<u64> {
        let first = self.seen.iter().find(|s| s.kind == Kind::Request && s.p.node == self.about.from);
        first
            .map_or_else(Vec::new, |f| self.seen.iter().filter(|s| s.p.id == f.p.id || s.p.again == Some(f.p.id)).map(|s| s.p.id).collect())
    }

    fn came(&self, status: u16, bytes: u64) -> String {
        // What is said of the page, and not of what else it needed.
        let ids = self.page_request();
        let said: Vec<(u16, &Cause)> = {
            let mine = self.c.events.iter().filter(|e| e.packet.is_some_and(|p| ids.contains(&p)));
            mine.map(|e| (e.node, &e.cause)).collect()
        };
        let find = |is: fn(&Cause) -> bool| said.iter().copied().find(|(_, c)| is(c));
        let by = said.iter().rev().copied().find(|(_, c)| matches!(c, Cause::CacheStale { .. } | Cause::UpstreamFailed { .. }));
        let first = find(|c| matches!(c, Cause::CacheHit { .. } | Cause::CacheMiss { .. } | Cause::CacheShared));
        let revalidated = find(|c| *c == Cause::CacheRevalidated).is_some();
        let server = find(|c| matches!(c, Cause::Responded { .. })).map(|(n, _)| self.name(n).to_owned());
        let l = self.lang;
        let how = match (by, first) {
            (Some((n, c @ Cause::CacheStale { .. })), _) => {
                let why = find(|c| matches!(c, Cause::UpstreamFailed { .. })).map(|(_, c)| words::cause(l, c));
                format!("{} {}{}", self.name(n), words::cause(l, c), why.map(|w| format!(": {w}")).unwrap_or_default())
            }
            (Some((n, c)), _) => {
                let at = self.last_loss().map(|t| format!("; {t}")).unwrap_or_default();
                format!("{}: {}{at}", self.name(n), words::cause(l, c))
            }
            (None, Some((n, Cause::CacheMiss { .. }))) if revalidated => {
                format!("{}: {}", self.name(n), words::cause(l, &Cause::CacheRevalidated))
            }
            (None, Some((n, Cause::CacheMiss { reason }))) => {
                let s = server.unwrap_or_else(|| l.pick("the server", "서버").into());
                let n = self.name(n);
                // RFC 9211 2.2: why a request was forwarded.
                match reason.as_str() {
                    "stale" => {
                        l.pick(format!("{s} answered, since the copy in {n} was stale"), format!("{n}의 사본이 오래되어 {s}이(가) 응답함"))
                    }
                    "uri-miss" | "vary-miss" | "miss" => {
                        l.pick(format!("{s} answered, since {n} had no copy"), format!("{n}에 사본이 없어 {s}이(가) 응답함"))
                    }
                    why => l.pick(
                        format!("{s} answered, since {n} may not answer that itself ({why})"),
                        format!("{n}이(가) 스스로 답할 수 없어({why}) {s}이(가) 응답함"),
                    ),
                }
            }
            (None, Some((n, c))) => {
                l.pick(format!("{} {}", self.name(n), words::cause(l, c)), format!("{}: {}", self.name(n), words::cause(l, c)))
            }
            (None, None) => {
                let s = server.or_else(|| self.seen.iter().find(|s| s.kind == Kind::Response).map(|s| self.name(s.p.node).to_owned()));
                s.map_or_else(String::new, |s| l.pick(format!("{s} answered"), format!("{s}이(가) 응답함")))
            }
        };
        l.pick(format!("status {status}, {bytes} bytes: {how}"), format!("상태 {status}, {bytes}바이트: {how}"))
    }

    fn did_not_come(&self, why: &str) -> String {
        let l = self.lang;
        let why = words::failure(l, why);
        // A role that has not come back, and took something of this journey with it.
        let gone = |node: u16| self.c.outages.iter().any(|o| o.node == node && o.until.is_none());
        let out = self.lost().iter().any(|(_, e)| matches!(e.how, Ended::Absent { to, .. } if gone(to.0)));
        if let Some((bytes, of)) = self.coming().filter(|_| !out) {
            let of = of.map_or_else(String::new, |n| l.pick(format!(" of {n}"), format!(" / {n}")));
            return l.pick(
                format!("not the whole page: given up while it was still coming: {bytes}{of} bytes had arrived"),
                format!("페이지가 다 오지 않음: 아직 오는 중에 그만둠. {bytes}{of}바이트가 도착했음"),
            );
        }
        let cause = self.root_cause();
        match cause {
            Some(c) => l.pick(format!("no page ({why}): {c}"), format!("페이지 없음 ({why}): {c}")),
            None => l.pick(format!("no page: {why}"), format!("페이지 없음: {why}")),
        }
    }

    /// Bytes of an unfinished page's body that came, and how many it has, if that is known.
    fn coming(&self) -> Option<(u64, Option<u64>)> {
        let from = self.about.from;
        let here = |s: &&super::Seen<'_>| self.c.sights_of(s.p).any(|x| x.port.0 == from && x.direction == Direction::In);
        let head = self.seen.iter().filter(|_| self.about.unfinished).find(|s| s.kind == Kind::Response && here(s))?;
        let same = |s: &&super::Seen<'_>| ["src-port", "dst-port"].iter().all(|f| s.get("TCP", f) == head.get("TCP", f));
        let rest = self.seen.iter().filter(|s| s.kind == Kind::Data && s.p.node == head.p.node && s.p.again.is_none()).filter(same);
        let after_head = head.layers.iter().filter(|l| l.name == "data").map(|l| l.len).sum::<usize>();
        let bytes = after_head + rest.filter(here).map(super::Seen::payload).sum::<usize>();
        let fields = head.layers.iter().filter(|l| l.name == "HTTP").flat_map(|l| &l.fields);
        let length = fields.filter_map(|f| f.value.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        Some((bytes as u64, length.and_then(|(_, v)| v.trim().parse().ok())))
    }

    /// A packet was last seen where it came to a host.
    fn arrived(&self, p: &Packet) -> bool {
        let last = self.c.sights_of(p).next_back();
        last.is_some_and(|s| {
            let role = self.role(s.port.0);
            s.direction == Direction::In && role.is_none_or(|r| matches!(r, "client" | "httpd" | "cache-proxy" | "dns"))
        })
    }

    /// What a lost packet carried came in another.
    fn is_repaired(&self, p: &Packet) -> bool {
        let first = |p: &Packet| p.again.unwrap_or(p.id);
        let copy = |s: &super::Seen<'_>| s.p.id != p.id && first(s.p) == first(p) && self.arrived(s.p);
        self.seen.iter().any(|s| copy(s) || (s.p.id == p.id && s.kind == Kind::Ack))
    }

    /// The node and the cause that kept the page away.
    fn root_cause(&self) -> Option<String> {
        let l = self.lang;
        if let Some((n, c)) = self.said().rev().find(|(_, c)| matches!(c, Cause::WanDown { .. })) {
            return Some(format!("{}: {}", self.name(n), words::cause(l, c)));
        }
        let no_name = self.said().any(|(_, c)| matches!(c, Cause::NameFailed { .. }));
        if no_name {
            // Who said so: the last in the row of answers that has an answer as its reason.
            let answers = self.seen.iter().filter(|s| s.kind == Kind::Dns && s.get("DNS", "rcode").is_some());
            let first = answers.min_by_key(|s| s.p.sights.first().copied());
            if let Some(s) = first {
                let (title, node) = (&s.title, self.name(s.p.node));
                return Some(l.pick(format!("{node} gave the {title}"), format!("{node}의 {title}")));
            }
        }
        if let Some(e) = self.last_loss() {
            return Some(e);
        }
        let reset =
            self.seen.iter().rev().find(|s| {
                s.kind == Kind::Closing && s.get("TCP", "flags").is_some_and(|f| f.contains("RST")) && s.p.node != self.about.from
            });
        if let Some(s) = reset {
            return Some(
                l.pick(format!("{} refused the connection", self.name(s.p.node)), format!("{}이(가) 연결을 거절함", self.name(s.p.node))),
            );
        }
        let error = self.seen.iter().rev().find(|s| s.kind == Kind::Error);
        if let Some(s) = error {
            return Some(format!("{}: {}", self.name(s.p.node), s.title));
        }
        // A frame that left and of which nothing more is known points to who is silent.
        let silent =
            self.seen.iter().rev().find(|s| s.p.ends.is_empty()).and_then(|s| s.p.sights.last()).and_then(|i| self.c.sights.get(*i));
        silent.map(|s| {
            let to = self.c.topology.wires().get(&s.port).map(|p| self.c.topology.full(*p)).unwrap_or_default();
            l.pick(format!("nothing was heard from {to}"), format!("{to}에서 아무 소식이 없음"))
        })
    }

    /// The last loss, with node, reason and rule.
    fn last_loss(&self) -> Option<String> {
        let lost: Vec<_> = self.lost().into_iter().filter(|(p, _)| !self.is_repaired(p)).collect();
        // A loss in a queue that was made good again is not what kept the page away, if there is another.
        let heavy = |e: &End| !matches!(e.how, Ended::Dropped(DropReason::LinkLoss | DropReason::QueueFull | DropReason::NoSocket));
        let (p, e) = lost.iter().rev().find(|(_, e)| heavy(e)).or(lost.last())?;
        let rule = e
            .causes
            .iter()
            .find(|c| matches!(c, Cause::Denied { rule: 1.., .. } | Cause::ErrorWithheld { .. }))
            .map(|c| format!("; {}", words::cause(self.lang, c)));
        let (id, title) = (p.id, self.title(p.id));
        let how = hop::ended(self.c, self.lang, e);
        let node = hop::place_of_end(self.c, p, e);
        let is_drop = matches!(e.how, Ended::Dropped(_));
        Some(self.lang.pick(
            format!("{node}{} {how}{} (packet {id}, {title})", if is_drop { "" } else { ":" }, rule.clone().unwrap_or_default()),
            format!("{node}: {how}{} (패킷 {id}, {title})", rule.unwrap_or_default()),
        ))
    }
}

//! The stages: request, the way through the networks, the server's site, the way
//! back, the page. A stage that a lab lacks is left out.

use super::hop::place_of_end;
use super::{Item, Kind, Seen, Teller, since};
use crate::hops::{Hop, hops, way};
use crate::words::{self, many};
use node::Time;
use node::trace::Cause;

/// Packets of one sort that are told one by one.
const TOLD: usize = 16;

/// Where a hop belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Home,
    Access,
    Core,
    Site,
}

impl<'a> Teller<'a> {
    /// Tells the stages.
    pub(super) fn stages(&mut self) {
        let from = self.about.from;
        let first = self.seen.iter().position(|s| s.kind == Kind::Request && s.p.node == from);
        self.stage("1. At the client: a request is made", "1단계: 클라이언트 - 요청 생성 및 발송");
        self.url_and_name();
        self.opening(first);
        let Some(i) = first else {
            self.unsent();
            return;
        };
        let request = self.seen[i].clone();
        let ways = hops(self.c, request.p);
        self.request(&request, &ways);
        self.through(&request, &ways);
        self.site(&request, &ways);
        self.back(&request);
        self.page();
    }

    fn events(&self) -> impl Iterator<Item = &'a crate::model::Event> + use<'a> {
        let journey = self.about.journey;
        self.c.events.iter().filter(move |e| e.journey == Some(journey))
    }

    fn url_and_name(&mut self) {
        let kernel = self.c.topology.nodes.get(usize::from(self.about.from)).is_some_and(crate::topology::Node::is_host);
        if kernel {
            let name = self.name(self.about.from).to_owned();
            self.line(
                self.lang.pick(
                    format!("curl on {name} asks for {}; {name}'s own stack is the kernel's, which tells nothing of itself: the story begins at its port", self.about.url),
                    format!("{name}의 curl이 {}을(를) 요청함. {name}의 스택은 커널이라 속을 볼 수 없어, 이야기는 그 포트에서 시작함", self.about.url),
                ),
                None,
            );
        }
        let parsed = self.events().find(|e| matches!(e.cause, Cause::UrlParsed { .. }));
        if let Some(e) = parsed {
            self.part("the browser reads the URL", "URL 입력 및 해석 (웹 브라우저)");
            self.line(words::cause(self.lang, &e.cause), None);
        }
        let dns: Vec<Seen<'a>> = self.seen.iter().filter(|s| self.is_of_dns(s)).cloned().collect();
        let answer = self.events().find(|e| matches!(e.cause, Cause::Resolved { .. } | Cause::NameFailed { .. }));
        if !dns.is_empty() || answer.is_some() {
            self.part("the name is resolved", "이름을 주소로 바꿈 (DNS)");
            self.briefly(&dns);
            if let Some(e) = answer {
                self.line(words::cause(self.lang, &e.cause), e.packet);
            }
        }
    }

    /// A question, an answer, or an error because of one.
    fn is_of_dns(&self, s: &Seen<'_>) -> bool {
        let because = || s.p.because.and_then(|b| self.seen.iter().find(|s| s.p.id == b));
        s.kind == Kind::Dns || (s.kind == Kind::Error && because().is_some_and(|b| b.kind == Kind::Dns))
    }

    /// The connection, and what neighbours had to be asked for it.
    fn opening(&mut self, request: Option<usize>) {
        let before = request.unwrap_or(self.seen.len());
        let arp: Vec<Seen<'a>> = self.seen[..before].iter().filter(|s| s.kind == Kind::Arp).cloned().collect();
        let tcp = |s: &&Seen<'_>| matches!(s.kind, Kind::Opening | Kind::Ack | Kind::Closing | Kind::Error) && !self.is_of_dns(s);
        let all: Vec<Seen<'a>> = self.seen[..before].iter().filter(tcp).cloned().collect();
        let connected = self.events().find(|e| matches!(e.cause, Cause::Connected { .. }));
        if !arp.is_empty() {
            self.part("neighbours' MAC addresses are asked for", "이웃의 MAC 주소를 물음 (ARP)");
            self.briefly(&arp);
        }
        if all.is_empty() && connected.is_none() {
            return;
        }
        self.part("the socket library opens a connection", "데이터 전송 위임 (Socket 라이브러리): 연결을 엶");
        self.briefly(&all);
        if let Some(e) = connected {
            self.line(words::cause(self.lang, &e.cause), None);
        }
    }

    /// No request was seen: what was sent is told as far as it came.
    fn unsent(&mut self) {
        let last = self.seen.iter().rev().find(|s| s.p.node == self.about.from && s.p.ends.iter().any(crate::model::End::is_loss));
        let last = last.or_else(|| self.seen.iter().find(|s| s.p.node == self.about.from && s.kind != Kind::Arp));
        let Some(s) = last.cloned() else { return };
        let title = format!("#{} {} {}", s.p.id, s.protocol, s.title);
        self.items.push(Item::Part { title });
        self.way(s.p);
    }

    fn place(&self, h: &Hop) -> Option<Place> {
        let node = self.c.topology.nodes.get(usize::from(h.node))?;
        Some(match node.role.as_deref() {
            Some("switch") => Place::Home,
            Some("router") if h.causes.iter().any(|c| matches!(c, Cause::Nat { .. })) => Place::Home,
            Some("adsl-modem" | "dslam" | "bras-pppoe") => Place::Access,
            Some("firewall" | "cache-proxy" | "httpd") => Place::Site,
            Some("cable") => return None,
            Some("router") => Place::Core,
            _ => return None,
        })
    }

    /// Places of all hops; a cable belongs to where it leads from.
    fn places(&self, ways: &[Hop]) -> Vec<Option<Place>> {
        let mut last = None;
        let own: Vec<Option<Place>> = ways.iter().map(|h| self.place(h)).collect();
        own.iter()
            .map(|p| {
                last = p.or(last);
                last
            })
            .collect()
    }

    fn request(&mut self, request: &Seen<'a>, ways: &[Hop]) {
        let l = self.lang;
        let sent = self.events().find(|e| matches!(e.cause, Cause::RequestSent { .. }));
        self.part("the protocol stack packs the request", "데이터 포장 (프로토콜 스택)");
        if let Some(e) = sent {
            self.line(format!("HTTP: {}", words::cause(l, &e.cause)), None);
        }
        let parts = self.segments(request);
        let ids: Vec<String> = parts.iter().map(|s| format!("#{} ({})", s.p.id, s.payload())).collect();
        let total: usize = parts.iter().map(Seen::payload).sum();
        self.line(
            l.pick(
                format!(
                    "TCP: the message of {total} bytes goes in {}, each with a TCP header: {}",
                    many(parts.len() as u64, "segment"),
                    ids.join(", ")
                ),
                format!("TCP: {total}바이트 메시지를 세그먼트 {}개로 나누고 각각 TCP 헤더를 붙임: {}", parts.len(), ids.join(", ")),
            ),
            Some(request.p.id),
        );
        if let Some(h) = ways.first() {
            if let Some(Cause::Routed { prefix, next_hop }) = h.causes.iter().find(|c| matches!(c, Cause::Routed { .. })) {
                self.line(
                    l.pick(
                        format!(
                            "IP: destination {} by route {prefix}; MAC: the frame goes to the next hop {next_hop}",
                            request.get("IPv4", "dst").unwrap_or("?")
                        ),
                        format!(
                            "IP: 목적지 {}, 경로 {prefix}. MAC: 프레임은 다음 홉 {next_hop}(으)로 감",
                            request.get("IPv4", "dst").unwrap_or("?")
                        ),
                    ),
                    Some(request.p.id),
                );
            }
            self.part("the LAN adapter sends it", "전기 신호로 변환 및 전송 (LAN 어댑터)");
            let first = ways.iter().position(|h| self.place(h).is_some()).unwrap_or(ways.len());
            self.hops(request.p.id, &ways[..first], |_| true);
        }
    }

    /// Segments of the message that `first` begins.
    fn segments(&self, first: &Seen<'a>) -> Vec<Seen<'a>> {
        let mut v = vec![first.clone()];
        let same = |s: &Seen<'_>| ["src-port", "dst-port"].iter().all(|f| s.get("TCP", f) == first.get("TCP", f));
        let at = self.seen.iter().position(|s| s.p.id == first.p.id).unwrap_or(0);
        for s in self.seen[at + 1..].iter().filter(|s| s.p.node == first.p.node && same(s) && s.p.again.is_none()) {
            match s.kind {
                Kind::Data => v.push(s.clone()),
                Kind::Request | Kind::Response | Kind::Closing => break,
                _ => {}
            }
        }
        v
    }

    fn through(&mut self, request: &Seen<'a>, ways: &[Hop]) {
        let places = self.places(ways);
        let has = |p: Place| places.contains(&Some(p)) && ways.iter().any(|h| self.place(h) == Some(p));
        let (home, access, core) = (has(Place::Home), has(Place::Access), has(Place::Core));
        if !(home || access || core) {
            return;
        }
        self.stage("2. The Internet: a way through many devices", "2단계: 인터넷 - 수많은 장비를 거치는 여행");
        let mut tell = |is: bool, place: Place, en: &str, ko: &str| {
            if is {
                self.part(en, ko);
                let wanted: Vec<usize> = (0..ways.len()).filter(|i| places[*i] == Some(place)).collect();
                for i in wanted {
                    self.hops(request.p.id, &ways[i..=i], |_| true);
                }
            }
        };
        tell(home, Place::Home, "at home: hub and router", "내부 네트워크 (스위칭 허브, 라우터)");
        tell(access, Place::Access, "to the provider: line, access server, tunnel", "인터넷 서비스 제공업체(ISP) 접속");
        tell(core, Place::Core, "the core", "인터넷 핵심망");
    }

    fn site(&mut self, request: &Seen<'a>, ways: &[Hop]) {
        let places = self.places(ways);
        let last = ways.iter().rposition(|h| !h.stray);
        let mine: Vec<usize> = (0..ways.len()).filter(|i| places[*i] == Some(Place::Site)).collect();
        // A server that is a kernel host has no place of its own.
        let mine = if mine.is_empty() {
            last.filter(|i| self.place(&ways[*i]).is_none() && ways[*i].came.is_some()).into_iter().collect()
        } else {
            mine
        };
        if mine.is_empty() {
            return;
        }
        self.stage("3. At the server's site", "3단계: 웹 서버 - 목적지 도착 및 요청 처리");
        for i in mine {
            match self.role(ways[i].node) {
                Some("firewall") => self.part("the firewall looks at it", "보안 검사 (방화벽)"),
                Some("cache-proxy") => self.part("the cache takes it", "요청 가로채기 (캐시 서버)"),
                Some("httpd") => self.part("the web server reads it", "패킷 수신 및 데이터 복원 (웹 서버)"),
                _ => {}
            }
            self.hops(request.p.id, &ways[i..=i], |_| true);
            if !self.c.topology.is_cable(ways[i].node) && !ways[i].stray {
                self.what_it_did(&ways[i], request);
            }
        }
    }

    /// What a host's application did with the request.
    fn what_it_did(&mut self, hop: &Hop, request: &Seen<'a>) {
        let node = hop.node;
        let role = self.role(node).map(str::to_owned);
        let due: Vec<_> = self.events().filter(|e| e.node == node && e.packet == Some(request.p.id)).cloned().collect();
        let told = |c: &Cause| {
            matches!(
                c,
                Cause::RequestReceived { .. }
                    | Cause::CacheHit { .. }
                    | Cause::CacheMiss { .. }
                    | Cause::CacheShared
                    | Cause::CacheStale { .. }
                    | Cause::UpstreamFailed { .. }
                    | Cause::Responded { .. }
            )
        };
        if role.as_deref() == Some("httpd") {
            let n = self.segments(request).len();
            self.line(
                self.lang.pick(
                    format!(
                        "MAC, IP and TCP headers are taken off; {} put together by sequence numbers: that is the message",
                        many(n as u64, "segment")
                    ),
                    format!("MAC, IP, TCP 헤더를 차례로 벗기고, 순서 번호에 따라 세그먼트 {n}개를 메시지로 재조립함"),
                ),
                Some(request.p.id),
            );
        }
        for e in due.iter().filter(|e| told(&e.cause) && !hop.causes.contains(&e.cause)) {
            self.line(words::cause(self.lang, &e.cause), e.packet);
        }
        if role.as_deref() == Some("cache-proxy") {
            let due_to = |s: &Seen<'_>, id: u64| s.kind == Kind::Opening && s.p.because == Some(id);
            let syn = self.seen.iter().find(|s| s.p.node == node && due_to(s, request.p.id)).cloned();
            let answer = syn.as_ref().and_then(|y| self.seen.iter().find(|s| due_to(s, y.p.id))).cloned();
            let own: Vec<Seen<'a>> = syn.into_iter().chain(answer).collect();
            if !own.is_empty() {
                self.line(
                    self.lang.pick("for it the cache opens a connection of its own:".into(), "이를 위해 캐시가 자기 연결을 엶:".into()),
                    None,
                );
                self.briefly(&own);
            }
        }
    }

    fn is_after(&self, s: &Seen<'_>, other: &Seen<'_>) -> bool {
        s.p.sights.first() > other.p.sights.first()
    }

    fn back(&mut self, request: &Seen<'a>) {
        let from = self.about.from;
        let answers: Vec<Seen<'a>> = self.seen.iter().filter(|s| s.kind == Kind::Response && self.is_after(s, request)).cloned().collect();
        let Some(to_client) = answers.iter().find(|s| self.reaches(s, from)).or(answers.last()).cloned() else { return };
        self.stage("4. The answer: all the way back", "4단계: 응답 - 다시 클라이언트에게로");
        let inner = answers.iter().find(|s| s.p.id != to_client.p.id && s.p.sights.first() < to_client.p.sights.first()).cloned();
        if let Some(s) = inner {
            let name = self.name(s.p.node).to_owned();
            self.items.push(Item::Part { title: self.lang.pick(format!("{name} answers"), format!("{name}의 응답")) });
            self.message(&s);
            self.way(s.p);
        } else if self.events().any(|e| {
            matches!(e.cause, Cause::CacheHit { .. } | Cause::CacheShared | Cause::CacheStale { .. }) && e.node == to_client.p.node
        }) {
            let name = self.name(to_client.p.node).to_owned();
            let text = self.lang.pick(
                format!(
                    "the way back begins at {name}, which answers under the server's own address {}",
                    to_client.get("IPv4", "src").unwrap_or("?")
                ),
                format!("돌아오는 길은 {name}에서 시작함: 서버의 주소 {}(으)로 응답함", to_client.get("IPv4", "src").unwrap_or("?")),
            );
            self.line(text, Some(to_client.p.id));
        }
        let name = self.name(to_client.p.node).to_owned();
        self.items.push(Item::Part {
            title: self.lang.pick(
                format!("{name}'s answer on its way to {}", self.name(from)),
                format!("{name}의 응답이 {}(으)로 돌아옴", self.name(from)),
            ),
        });
        self.message(&to_client);
        self.way(to_client.p);
        let rest = self.segments(&to_client);
        if rest.len() > 1 {
            let ids: Vec<String> = rest[1..].iter().take(TOLD).map(|s| format!("#{}", s.p.id)).collect();
            let more = if rest.len() - 1 > TOLD { " …" } else { "" };
            let n = rest.len() - 1;
            self.line(
                self.lang.pick(
                    format!("{} on the same way: {}{more}", many(n as u64, "more segment"), ids.join(", ")),
                    format!("나머지 세그먼트 {n}개도 같은 길로: {}{more}", ids.join(", ")),
                ),
                None,
            );
        }
    }

    fn message(&mut self, s: &Seen<'a>) {
        let parts = self.segments(s);
        let total: usize = parts.iter().map(Seen::payload).sum();
        let text = self.lang.pick(
            format!(
                "HTTP: {}; TCP: {total} bytes in {}; source {}, destination {}",
                s.title,
                many(parts.len() as u64, "segment"),
                s.get("IPv4", "src").unwrap_or("?"),
                s.get("IPv4", "dst").unwrap_or("?")
            ),
            format!(
                "HTTP: {}. TCP: {total}바이트를 세그먼트 {}개로. 출발지 {}, 목적지 {}",
                s.title,
                parts.len(),
                s.get("IPv4", "src").unwrap_or("?"),
                s.get("IPv4", "dst").unwrap_or("?")
            ),
        );
        self.line(text, Some(s.p.id));
    }

    fn reaches(&self, s: &Seen<'_>, node: u16) -> bool {
        self.c.sights_of(s.p).any(|x| x.port.0 == node && x.direction == crate::model::Direction::In)
    }

    fn page(&mut self) {
        // What the page needed besides.
        let main = self.seen.iter().find(|s| s.kind == Kind::Request && s.p.node == self.about.from).map(|s| s.p.id);
        let others = self.seen.iter().filter(|s| s.kind == Kind::Request && s.p.node == self.about.from && Some(s.p.id) != main);
        let others: Vec<Seen<'a>> = others.cloned().collect();
        let got: Vec<_> =
            self.events().filter(|e| matches!(e.cause, Cause::PageReceived { .. } | Cause::PageDrawn { .. })).cloned().collect();
        if got.is_empty() && self.about.curl.is_none() {
            return;
        }
        self.stage("5. The page", "5단계: 페이지를 그림");
        if let Some((status, bytes, error)) = &self.about.curl
            && error.is_empty()
        {
            self.line(
                self.lang.pick(
                    format!("curl has the answer: status {status}, {bytes} bytes"),
                    format!("curl이 응답을 받음: 상태 {status}, {bytes}바이트"),
                ),
                None,
            );
        }
        let mut asked = others.into_iter().peekable();
        for e in got {
            let before = |s: &Seen<'a>| s.p.sights.first().and_then(|i| self.c.sights.get(*i)).is_some_and(|x| x.at <= e.at);
            let first: Vec<Seen<'a>> = std::iter::from_fn(|| asked.next_if(|s| before(s))).collect();
            self.briefly(&first);
            let text = match &e.cause {
                Cause::PageReceived { url, cache_status, .. } => {
                    let cache = if cache_status.is_empty() { String::new() } else { format!(" [{cache_status}]") };
                    format!("+{}  {url}: {}{cache}", since(self.about.start, e.at), words::cause(self.lang, &e.cause))
                }
                c => format!("+{}  {}", since(self.about.start, e.at), words::cause(self.lang, c)),
            };
            self.line(text, None);
        }
        self.briefly(&asked.collect::<Vec<_>>());
    }

    /// Decisions on a packet's way that no later packet shows again.
    fn worth_knowing(&mut self, s: &Seen<'a>, ways: &[Hop]) {
        for h in ways.iter().filter(|h| !h.stray) {
            let told = |c: &&Cause| {
                matches!(
                    c,
                    Cause::Learned { .. } | Cause::Flooded { .. } | Cause::MssClamped { .. } | Cause::Allowed { .. } | Cause::Denied { .. }
                )
            };
            for c in h.causes.iter().filter(told) {
                let text = format!("        {}: {}", self.name(h.node), words::cause(self.lang, c));
                self.line(text, Some(s.p.id));
            }
        }
    }

    /// A line a packet: what it is, and its way.
    fn briefly(&mut self, packets: &[Seen<'a>]) {
        for s in packets.iter().take(TOLD) {
            let h = hops(self.c, s.p);
            let at = h.first().map_or(Time::ZERO, |h| h.at);
            let names = way(self.c, &h);
            let path = names.join(" → ");
            let lost = s.p.ends.iter().find(|e| e.is_loss() && !h.iter().any(|h| h.stray && h.node == e.node));
            let fate = lost
                .map(|e| format!("  ✗ {}: {}", place_of_end(self.c, s.p, e), super::hop::ended(self.c, self.lang, e)))
                .unwrap_or_default();
            let copy = s.p.again.map(|a| self.lang.pick(format!(" (copy of #{a})"), format!(" (#{a}의 재전송)"))).unwrap_or_default();
            self.line(
                format!("+{}  #{} {} {}{copy}: {path}{fate}", since(self.about.start, at), s.p.id, s.protocol, s.title),
                Some(s.p.id),
            );
            self.worth_knowing(s, &h);
        }
        if packets.len() > TOLD {
            let n = packets.len() - TOLD;
            self.line(self.lang.pick(format!("and {n} more"), format!("그 밖에 {n}개")), None);
        }
    }
}

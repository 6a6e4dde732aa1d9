//! Causes in words.

use super::{Lang, failure, many};
use crate::diff::Change;
use node::trace::Cause;
use std::net::Ipv4Addr;

fn end((a, p): &(Ipv4Addr, u16)) -> String {
    format!("{a}:{p}")
}

/// As much of a long text as a line bears.
fn cut(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What a node did, in a sentence without its subject.
pub fn cause(lang: Lang, c: &Cause) -> String {
    let (en, ko) = match c {
        Cause::Forwarded => ("sent on".into(), "다음으로 보냄".into()),
        Cause::Flooded { unknown: true } => (
            "sent out of every other port: behind which the station is, it does not know".into(),
            "목적지가 어느 포트 뒤에 있는지 몰라서 나머지 모든 포트로 내보냄".into(),
        ),
        Cause::Flooded { unknown: false } => {
            ("sent out of every other port: it is for all".into(), "모두에게 가는 프레임이라 나머지 모든 포트로 내보냄".into())
        }
        Cause::Learned { station } => (
            format!("learned that {station} is behind this port, and sent on"),
            format!("{station}이(가) 이 포트 뒤에 있음을 학습하고 내보냄"),
        ),
        Cause::Routed { prefix, next_hop } if next_hop.is_unspecified() => {
            (format!("route {prefix} chosen, into the session"), format!("라우팅 테이블에서 {prefix} 선택, 세션으로 보냄"))
        }
        Cause::Routed { prefix, next_hop } => {
            (format!("route {prefix} chosen, next hop {next_hop}"), format!("라우팅 테이블에서 {prefix} 선택, 다음 홉 {next_hop}"))
        }
        Cause::Nat { from, to } => (
            format!("NAT rewrote {} to {}: the one place where an IP address changes", end(from), end(to)),
            format!("NAT가 {}을(를) {}(으)로 바꿈: IP 주소가 바뀌는 유일한 곳", end(from), end(to)),
        ),
        Cause::MssClamped { from, to } => (
            format!("MSS lowered from {from} to {to}: a link of this device carries no more"),
            format!("MSS를 {from}에서 {to}(으)로 낮춤: 이 장비의 링크가 그만큼만 실어 나를 수 있음"),
        ),
        Cause::PppoeEncapsulated { session } => (format!("put into PPPoE session {session}"), format!("PPPoE 세션 {session}에 넣음")),
        Cause::PppoeDecapsulated { session } => (format!("taken out of PPPoE session {session}"), format!("PPPoE 세션 {session}에서 꺼냄")),
        Cause::Segmented { cells } => {
            (format!("cut into {cells} ATM cells for the phone line"), format!("전화선을 위해 ATM 셀 {cells}개로 나눔"))
        }
        Cause::Reassembled { cells } => (format!("put together from {cells} ATM cells"), format!("ATM 셀 {cells}개를 다시 합침")),
        Cause::L2tpEncapsulated { tunnel, session } => {
            (format!("put into L2TP tunnel {tunnel}, session {session}"), format!("L2TP 터널 {tunnel}, 세션 {session}에 넣음"))
        }
        Cause::L2tpDecapsulated { tunnel, session } => {
            (format!("taken out of L2TP tunnel {tunnel}, session {session}"), format!("L2TP 터널 {tunnel}, 세션 {session}에서 꺼냄"))
        }
        Cause::LineTagged => ("tags added that name the access line".into(), "가입자 회선을 알리는 태그를 붙임".into()),
        Cause::Signalled => ("crossed the cable as an electric signal".into(), "전기 신호가 되어 케이블을 건넘".into()),
        Cause::Established => ("let pass: it belongs to a connection that is known".into(), "통과: 이미 아는 연결에 속함".into()),
        Cause::Allowed { rule, name } => (format!("let pass by rule {rule} `{name}`"), format!("규칙 {rule} `{name}`에 따라 통과")),
        Cause::Denied { rule: 0, .. } => ("denied: no rule allows it".into(), "차단: 허용하는 규칙이 없음".into()),
        Cause::Denied { rule, name } => (format!("denied by rule {rule} `{name}`"), format!("규칙 {rule} `{name}`에 따라 차단")),
        Cause::Intercepted { server } => {
            (format!("taken by the cache, though it is for {server}"), format!("{server}(으)로 가는 것을 캐시가 가로챔"))
        }
        Cause::Fragmented => ("cut into fragments: the next link carries no more".into(), "다음 링크에 맞추어 조각으로 나눔".into()),
        Cause::ArpRequest { target } => (format!("asked by ARP whose address {target} is"), format!("{target}의 MAC 주소를 ARP로 물음")),
        Cause::Answered => ("made as an answer".into(), "응답으로 만듦".into()),
        Cause::IcmpError { kind: 3, code: 4, mtu } => {
            (format!("told the sender that a packet is too big: {mtu} bytes fit"), format!("패킷이 너무 크다고 알림: {mtu}바이트까지 가능"))
        }
        Cause::IcmpError { kind, code, .. } => {
            (format!("made an ICMP error, type {kind} code {code}"), format!("ICMP 오류를 만듦, 타입 {kind} 코드 {code}"))
        }
        Cause::ErrorWithheld { kind: 3, code: 4, mtu } => (
            format!("had to tell that a packet is too big ({mtu} bytes fit), and its settings forbid it"),
            format!("패킷이 너무 크다고({mtu}바이트까지 가능) 알려야 하지만 설정이 막음"),
        ),
        Cause::ErrorWithheld { kind, code, .. } => (
            format!("owed an ICMP error (type {kind} code {code}), and its settings forbid it"),
            format!("ICMP 오류(타입 {kind} 코드 {code})를 보내야 하지만 설정이 막음"),
        ),
        Cause::WanDown { why } => {
            (format!("the way out is down: {why}"), format!("밖으로 나가는 길이 끊겨 있음: {}", failure(Lang::Ko, why)))
        }
        Cause::Control { protocol } => {
            (format!("a message of {}'s own", protocol.name()), format!("{} 프로토콜 자신의 메시지", protocol.name()))
        }
        Cause::Socket => ("written by a socket of this host".into(), "이 호스트의 소켓이 씀".into()),
        Cause::Impaired => ("carried by the link".into(), "링크가 나름".into()),
        Cause::Duplicated => ("a second copy, made by the link".into(), "링크가 만든 두 번째 사본".into()),
        Cause::AwaitsNeighbour { next_hop } => {
            (format!("waited until the MAC address of {next_hop} was known"), format!("{next_hop}의 MAC 주소를 알 때까지 기다림"))
        }
        Cause::AwaitsFragments => ("waited for its other fragments".into(), "나머지 조각을 기다림".into()),
        Cause::Queued => ("waited in the link's queue".into(), "링크의 대기열에서 기다림".into()),
        Cause::Paused => ("waited since the lab was paused".into(), "실험실이 멈춰 있어 기다림".into()),
        Cause::PathMtu { mtu } => {
            (format!("learned that the path carries {mtu} bytes"), format!("경로가 {mtu}바이트까지 나른다는 것을 배움"))
        }
        Cause::UrlParsed { url, host, port, path } => {
            let (url, path) = (cut(url), cut(path));
            (format!("{url}: host {host}, port {port}, path {path}"), format!("{url}: 호스트 {host}, 포트 {port}, 경로 {path}"))
        }
        Cause::Resolved { name, addresses, cached } => {
            let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (how_en, how_ko) = if *cached { ("known already", "이미 알고 있음") } else { ("asked by DNS", "DNS로 물어봄") };
            (format!("{name} is {list} ({how_en})"), format!("{name}의 주소는 {list} ({how_ko})"))
        }
        Cause::NameFailed { name, why } => {
            (format!("{name} has no address: {why}"), format!("{name}의 주소를 얻지 못함: {}", failure(Lang::Ko, why)))
        }
        Cause::Connected { local, remote, kept } => {
            let (en, ko) = if *kept { ("kept connection", "열려 있던 연결") } else { ("new connection", "새 연결") };
            (format!("{en} from {} to {}", end(local), end(remote)), format!("{ko}: {}에서 {}(으)로", end(local), end(remote)))
        }
        Cause::RequestSent { method, target, host } => {
            let target = cut(target);
            (format!("{method} {target} for {host}"), format!("{host}에 {method} {target} 요청"))
        }
        Cause::RequestReceived { method, target } => {
            (format!("read the request {method} {target}"), format!("요청 {method} {target}을(를) 읽음"))
        }
        Cause::CacheHit { ttl } => {
            (format!("answered from the cache, fresh for {ttl} s more"), format!("캐시에서 응답, 앞으로 {ttl}초 동안 신선함"))
        }
        Cause::CacheShared => {
            ("answered from what another request is just fetching".into(), "다른 요청이 가져오는 중인 것으로 응답".into())
        }
        Cause::CacheMiss { reason } => (
            format!("not to be answered from the cache ({reason}): the server is asked"),
            format!("캐시로 응답할 수 없음 ({reason}): 서버에 물음"),
        ),
        Cause::CacheRevalidated => ("the server says that the copy is still good".into(), "서버가 사본이 아직 유효하다고 답함".into()),
        Cause::CacheStale { age } => (format!("answered with a stale copy, {age} s old"), format!("{age}초 묵은 사본으로 응답")),
        Cause::UpstreamFailed { why } => {
            (format!("the server behind does not answer: {why}"), format!("뒤의 서버가 응답하지 않음: {}", failure(Lang::Ko, why)))
        }
        Cause::Responded { status } => (format!("made an answer with status {status}"), format!("상태 {status}의 응답을 만듦")),
        Cause::PageReceived { status, bytes, .. } => (format!("status {status}, {bytes} bytes"), format!("상태 {status}, {bytes}바이트")),
        Cause::PageDrawn { resources } => {
            (format!("page drawn, with {}", many(u64::from(*resources), "resource")), format!("페이지를 그림, 딸린 자원 {resources}개"))
        }
        Cause::FetchFailed { why, .. } => (why.clone(), failure(Lang::Ko, why)),
    };
    lang.pick(en, ko)
}

/// Why a field changed, as far as the causes tell.
pub fn change(lang: Lang, c: &Change, causes: &[Cause]) -> Option<String> {
    let any = |f: &dyn Fn(&Cause) -> bool| causes.iter().any(f);
    let nat = any(&|c| matches!(c, Cause::Nat { .. }));
    if any(&|c| matches!(c, Cause::Intercepted { .. })) && c.layer != "Ethernet" {
        return Some(lang.pick("the cache passes the request on in a connection of its own", "캐시가 자기 연결로 요청을 넘김").to_owned());
    }
    let (en, ko) = match (c.layer, c.field) {
        ("Ethernet", "src" | "dst") => ("MAC addresses hold for one link only", "MAC 주소는 한 링크에서만 쓰임"),
        ("Ethernet", "type") => ("another protocol is inside", "안에 든 프로토콜이 달라짐"),
        ("IPv4", "ttl") => ("each router lowers it by one", "라우터마다 하나씩 줄어듦"),
        ("IPv4", "src" | "dst") if nat => ("NAT: the one place where an IP address changes", "NAT: IP 주소가 바뀌는 유일한 곳"),
        ("TCP" | "UDP", "src-port" | "dst-port") if nat => {
            ("NAT: tells one inside host from another", "NAT: 안쪽 호스트를 구별하려고 바꿈")
        }
        ("TCP", "mss") => ("lowered to what the next link carries", "다음 링크가 나르는 크기로 낮춤"),
        ("IPv4" | "TCP" | "UDP" | "ICMP", "checksum") => ("follows the other changes", "다른 변화에 따라 다시 계산"),
        ("PPPoE" | "L2TP", _) => ("numbers of this session", "이 세션의 번호"),
        _ => return None,
    };
    Some(lang.pick(en, ko).to_owned())
}

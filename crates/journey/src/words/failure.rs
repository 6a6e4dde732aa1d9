//! What failed, as nodes said it: their own words are English, and these are known.

use super::Lang;

/// Each phrase of ours, and what it is in Korean; longer ones first where one holds another.
const PHRASES: [(&str, &str); 20] = [
    ("the server closed the connection or answered nonsense", "서버가 연결을 닫았거나 알 수 없는 답을 함"),
    ("the name server could not answer for", "네임 서버가 답하지 못한 이름:"),
    ("the server did not answer in time", "서버가 제때 응답하지 않음"),
    ("this node has no address yet: no DHCP server has answered", "이 노드에 아직 주소가 없음: 응답한 DHCP 서버가 없음"),
    ("this node has no name server", "이 노드에 네임 서버가 없음"),
    ("no name server answered for", "네임 서버가 응답하지 않은 이름:"),
    ("no room for another connection", "연결을 더 둘 자리가 없음"),
    ("authentication failed: wrong password", "인증 실패: 비밀번호가 틀림"),
    ("authentication failed", "인증 실패"),
    ("there is no host", "없는 호스트:"),
    (" is not a host name", "은(는) 호스트 이름이 아님"),
    ("connection refused", "연결이 거절됨"),
    ("connection timed out", "연결 시간이 다 됨"),
    ("no route to host", "호스트로 가는 경로가 없음"),
    ("no answer in", "응답이 없었던 시간:"),
    ("no answer yet", "아직 응답이 없음"),
    ("Non-Existent Domain", "없는 도메인(NXDOMAIN)"),
    ("Server Failure", "서버 실패(SERVFAIL)"),
    ("Query Refused", "질의 거부(REFUSED)"),
    ("no such record", "그런 레코드 없음"),
];

/// The same in a language; what is not known stays as it was said.
pub(crate) fn failure(lang: Lang, why: &str) -> String {
    match lang {
        Lang::En => why.to_owned(),
        Lang::Ko => super::particle::choose(PHRASES.iter().fold(why.to_owned(), |t, (en, ko)| t.replace(en, ko))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_phrases_are_said_in_korean_and_others_stay() {
        let ko = |t| failure(Lang::Ko, t);
        assert_eq!(ko("www.example.com (198.51.100.80): connection timed out"), "www.example.com (198.51.100.80): 연결 시간이 다 됨");
        assert_eq!(
            ko("the name server could not answer for `x`: Server Failure"),
            "네임 서버가 답하지 못한 이름: `x`: 서버 실패(SERVFAIL)"
        );
        assert_eq!(ko("PPPoE: authentication failed: wrong password"), "PPPoE: 인증 실패: 비밀번호가 틀림");
        assert_eq!(ko("`a b` is not a host name"), "`a b`은 호스트 이름이 아님");
        assert_eq!(ko("curl: (52) Empty reply"), "curl: (52) Empty reply");
        assert_eq!(failure(Lang::En, "connection refused"), "connection refused");
    }
}

"use strict";
// The page's own words; what happened comes in both languages with the data.
const WORDS = {
  en: { skip: "Skip to the panels", map: "Map of the lab", controls: "Playing", first: "To the start", back: "One step back", play: "Play", pause: "Pause", next: "One step on", last: "To the end", speed: "Speed", scrub: "Step", protocol: "Protocol", conversation: "Conversation", journey: "Journey", panels: "Panels", packet: "Packet", device: "Device", packets: "Packets", ladder: "Ladder", story: "Story", theme: "Dark / light", lang: "한국어", all: "all", none: "nothing to show yet", keys: "Keys: space plays, ← and → step, Home and End jump, Tab moves between devices and panels.", before: "As it came", after: "As it left", made: "made here", arrived: "It ended here.", change: "changed", hex: "Bytes", signal: "Signal on the medium (the first symbols)", step: "step", of: "of", lost: "lost", copyOf: "copy of packet", because: "because of packet", time: "time", way: "way", what: "what", choose: "Choose a device on the map.", noTables: "This device shows no tables.", kernel: "A kernel host: look into it with lab exec.", at: "at", url: "URL", from: "from", go: "Fetch", pauseLab: "Pause the lab", stepLab: "Step the lab", resumeLab: "Resume the lab", background: "all traffic", records: "records of the trace lost", frames: "frames lost by the kernel", leftOut: "packets in the middle are left out", cut: "cut for length", fetching: "The page is being fetched …", noStory: "A story is told of one journey: choose it above, or ask for a page." },
  ko: { skip: "패널로 건너뛰기", map: "실험실 지도", controls: "재생", first: "처음으로", back: "한 단계 뒤로", play: "재생", pause: "멈춤", next: "한 단계 앞으로", last: "끝으로", speed: "속도", scrub: "단계", protocol: "프로토콜", conversation: "대화", journey: "여정", panels: "패널", packet: "패킷", device: "장비", packets: "패킷 목록", ladder: "사다리", story: "이야기", theme: "어둡게 / 밝게", lang: "English", all: "모두", none: "아직 보여 줄 것이 없음", keys: "키: 스페이스 재생, ←와 → 한 단계, Home과 End 처음과 끝, Tab 장비와 패널 사이 이동.", before: "들어온 모습", after: "나간 모습", made: "여기서 만들어짐", arrived: "여기서 끝남.", change: "바뀜", hex: "바이트", signal: "매체 위의 신호 (처음 심볼들)", step: "단계", of: "/", lost: "손실", copyOf: "재전송한 원본 패킷", because: "원인이 된 패킷", time: "시각", way: "길", what: "내용", choose: "지도에서 장비를 고르세요.", noTables: "이 장비는 표를 보여 주지 않습니다.", kernel: "커널 호스트: lab exec로 들여다보세요.", at: "위치", url: "URL", from: "출발", go: "가져오기", pauseLab: "실험실 멈춤", stepLab: "한 단계", resumeLab: "다시 진행", background: "모든 트래픽", records: "개의 추적 기록을 잃음", frames: "개의 프레임을 커널이 잃음", leftOut: "개의 중간 패킷을 생략함", cut: "길어서 자름", fetching: "페이지를 가져오는 중 …", noStory: "이야기는 한 여정에 대한 것입니다: 위에서 고르거나 페이지를 요청하세요." },
};
let lang = (navigator.language || "en").startsWith("ko") ? "ko" : "en";
const word = (key) => WORDS[lang][key] ?? key;
const ROLES = {
  en: { client: "browser", switch: "switching hub", router: "router", "adsl-modem": "ADSL modem", dslam: "DSLAM", "bras-pppoe": "access server", firewall: "firewall", "cache-proxy": "cache server", httpd: "web server", dns: "name server" },
  ko: { client: "브라우저", switch: "스위칭 허브", router: "라우터", "adsl-modem": "ADSL 모뎀", dslam: "DSLAM", "bras-pppoe": "접속 서버", firewall: "방화벽", "cache-proxy": "캐시 서버", httpd: "웹 서버", dns: "네임 서버" },
};
const role = (r) => r === null ? (lang === "ko" ? "커널 호스트" : "kernel host") : ROLES[lang][r] ?? r;

// What a packet is, in a line.
const titleOf = (p) => (lang === "ko" ? p?.["title-ko"] : p?.title) ?? "";

const $ = (id) => document.getElementById(id);
// An element with attributes and children; text is always text.
function el(tag, attrs = {}, ...children) {
  const svg = ["svg", "g", "rect", "text", "line", "circle", "path", "polygon", "title"].includes(tag);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (v === null || v === undefined || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v === true ? "" : v);
  }
  for (const c of children.flat()) if (c !== null && c !== undefined) e.append(c);
  return e;
}
const ms = (ns) => (ns / 1e6).toFixed(3) + " ms";
// What acts on a click acts on Enter and space too.
const act = (f) => ({ onclick: f, onkeydown: (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); e.stopPropagation(); f(e); } } });

"use strict";
// A packet at one hop: its layers as it came and as it left, bytes, signal.
const told = (layers) => layers.filter((l) => l.name !== "padding");

// Layers that are the same ones before and after: the longest common row of names.
function matched(a, b) {
  const best = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let i = 1; i <= a.length; i++) for (let j = 1; j <= b.length; j++)
    best[i][j] = a[i - 1].name === b[j - 1].name ? best[i - 1][j - 1] + 1 : Math.max(best[i - 1][j], best[i][j - 1]);
  const pairs = new Map(), back = new Map();
  for (let i = a.length, j = b.length; i > 0 && j > 0;) {
    if (a[i - 1].name === b[j - 1].name && best[i][j] === best[i - 1][j - 1] + 1) { pairs.set(i - 1, j - 1); back.set(j - 1, i - 1); i--; j--; }
    else if (best[i - 1][j] >= best[i][j - 1]) i--; else j--;
  }
  return [pairs, back];
}

function layersView(layers, other, pair, kind, mark) {
  return layers.map((l, i) => {
    const o = other[pair.get(i)];
    const alone = other.length > 0 && !o;
    const dl = el("dl");
    for (const f of l.fields) {
      const g = o?.fields.find((x) => x.name === f.name);
      const changed = o && f.name !== "header" && g?.value !== f.value;
      dl.append(el("dt", {}, f.name), el("dd", { class: changed ? "changed" : null, tabindex: 0, "aria-label": `${f.name} ${f.value}${changed ? ", " + word("change") : ""}`, onfocus: () => mark(f), onclick: () => mark(f) }, f.value));
    }
    return el("div", { class: "layer" + (alone ? ` ${kind}` : ""), "data-layer": l.name }, el("b", {}, (alone ? (kind === "added" ? "+ " : "− ") : "") + l.name + (l.title ? ` · ${l.title}` : "")), dl);
  });
}

function hexView(frame, id) {
  const pre = el("pre", { class: "hex", id, tabindex: 0, role: "group", "aria-label": word("hex") });
  const draw = (f) => {
    pre.replaceChildren();
    const n = frame.hex.length / 2;
    for (let at = 0; at < n; at += 16) {
      pre.append(at.toString(16).padStart(4, "0") + "  ");
      for (let i = at; i < Math.min(n, at + 16); i++) {
        const b = frame.hex.slice(2 * i, 2 * i + 2);
        const on = f && f.len && i >= f.start && i < f.start + f.len;
        pre.append(on ? el("mark", {}, b) : b, " ");
      }
      pre.append("\n");
    }
    if (frame.cut) pre.append(`… (${word("cut")}: ${frame.len} B)\n`);
  };
  draw(null);
  return [pre, draw];
}

function signalView(s) {
  const n = Math.min(s.levels.length, 320), w = 1200, h = 90;
  const y = (v) => h / 2 - v * (h / 2 - 10);
  let d = "";
  for (let i = 0; i < n; i++) d += `${i ? "L" : "M"}${(i * w) / n} ${y(s.levels[i])} L${((i + 1) * w) / n} ${y(s.levels[i])}`;
  return el("div", {}, el("h3", {}, `${word("signal")}: ${s.medium}`),
    el("svg", { class: "signal", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${s.medium}, ${n}`, width: "100%" }, el("line", { x1: 0, x2: w, y1: h / 2, y2: h / 2 }), el("path", { d })));
}

// The frame by which this packet came to the node that it leaves by this move.
function cameBy(m) {
  const before = data.moves.filter((x) => x.packet === m.packet && x.to === m.from && x.in.length && x.at <= m.at);
  return before.length ? before[before.length - 1].in : [];
}

// What the link carries, and what the ends of a connection agree to send.
function mtuView(m, layers) {
  const link = data.topology.links[m.link];
  const mss = layers.find((l) => l.name === "TCP")?.fields.find((f) => f.name === "mss");
  return link ? el("p", { class: "dim", id: "mtu" }, `MTU ${link.mtu}${mss ? ` · MSS ${mss.value}` : ""}${link.medium ? ` · ${link.medium}` : ""}`) : null;
}

function showPacket(m) {
  const pane = $("pane-packet");
  if (!m) { pane.replaceChildren(el("p", {}, word("none"))); return; }
  const p = byId.get(m.packet);
  const frameOf = (i) => data.frames[data.sights[i].frame];
  const came = cameBy(m), left = m.out;
  const a = came.length ? frameOf(came[0]) : null, b = left.length ? frameOf(left[0]) : null;
  const la = a ? told(a.layers) : [], lb = b ? told(b.layers) : [];
  const [pairs, back] = matched(la, lb);
  const shown = b ?? a;
  const [pre, mark] = shown ? hexView(shown, "hex") : [null, () => {}];
  const why = (data.sights[left[0]]?.causes ?? []).map((c) => el("li", {}, c[lang]));
  const held = (data.sights[left[0]]?.held ?? []).map((c) => el("li", { class: "dim" }, c[lang]));
  const ends = (p?.ends ?? []).filter((e) => e.loss).map((e) => el("p", { class: "bad" }, `✗ ${e.node}: ${e[lang]}`));
  const n = (list) => (list.length > 1 ? ` (${list.length} ×)` : "");
  pane.replaceChildren(...[
    el("h2", {}, `#${m.packet} ${p?.protocol ?? ""} ${titleOf(p)}`),
    el("p", { class: "dim" }, `${m.from} → ${m.to ?? "✗"} · +${ms(m.at)}` + (p?.again ? ` · ${word("copyOf")} ${p.again}` : "") + (p?.because ? ` · ${word("because")} ${p.because}` : "")),
    mtuView(m, lb.length ? lb : la),
    m.lost ? el("p", { class: "bad" }, m.lost[lang]) : null, ...ends,
    el("ul", { id: "why" }, ...why, ...held),
    el("div", { class: "sides" },
      el("div", { id: "before" }, el("h3", {}, word("before") + n(came)), ...(a ? layersView(la, lb, pairs, "removed", () => {}) : [el("p", { class: "dim" }, word("made"))])),
      el("div", { id: "after" }, el("h3", {}, word("after") + n(left)), ...(b ? layersView(lb, la, back, "added", mark) : []))),
    el("h3", {}, word("hex")), pre,
    shown?.signal ? signalView(shown.signal) : null,
  ].filter(Boolean));
}

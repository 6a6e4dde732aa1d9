"use strict";
// The other panels: a device's tables, all packets, the ladder, the story.
let device = null;

function tableView(t) {
  return el("table", {}, el("thead", {}, el("tr", {}, t.columns.map((c) => el("th", { scope: "col" }, c)))),
    el("tbody", {}, t.rows.map((r) => el("tr", {}, r.map((v) => el("td", {}, v === null ? "–" : String(v)))))));
}

async function showDevice(name) {
  device = name;
  const pane = $("pane-device");
  const n = data.topology.nodes.find((n) => n.name === name);
  const ports = el("table", {}, el("tbody", {}, (n?.ports ?? []).map((p) => el("tr", {}, el("td", {}, p.name), el("td", {}, p.mac), el("td", {}, p.address ?? "–"), el("td", {}, `MTU ${p.mtu}`), el("td", {}, p.medium ?? "")))));
  const head = [el("h2", {}, `${name} · ${role(n?.role ?? null)}`), ports];
  let tables = data.tables?.[name];
  if (live) {
    try { tables = await api(`/api/show/${encodeURIComponent(name)}`); } catch { tables = null; }
    if (device !== name) return;
  }
  const views = Object.entries(tables ?? {});
  const body = views.length ? views.flatMap(([v, t]) => [el("h3", {}, v), tableView(t)]) : [el("p", { class: "dim" }, n?.role === null ? word("kernel") : word("noTables"))];
  pane.replaceChildren(...head, ...body);
}

function showPackets() {
  const now = steps[step]?.packet;
  const rows = shownPackets().slice(0, 2000).map((p) => {
    const go = () => { const i = steps.findIndex((m) => m.packet === p.id); if (i >= 0) { seek(i); tab("packet"); } };
    const bad = p.ends.some((e) => e.loss) && !p.ends.some((e) => !e.loss);
    return el("tr", { class: "row" + (p.id === now ? " on" : ""), tabindex: 0, "data-packet": p.id, ...act(go) },
      el("td", {}, `#${p.id}`), el("td", {}, ms(p.at ?? 0)), el("td", {}, p.protocol), el("td", { class: bad ? "bad" : null }, titleOf(p) + (p.again ? ` (${word("copyOf")} ${p.again})` : "")), el("td", { class: "dim" }, p.way.join(" → ")));
  });
  $("pane-packets").replaceChildren(el("table", { id: "packet-table" }, el("thead", {}, el("tr", {}, ["#", word("time"), word("protocol"), word("what"), word("way")].map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, rows)));
}

// A ladder: a line for every node that takes part, an arrow for every message.
const FAMILY = (p) => p.protocol === "L2TP" ? "L2TP" : ["LCP", "IPCP", "IPV6CP", "PAP", "CHAP", "PPP"].includes(p.protocol) ? "PPP" : p.protocol === "HTTP" ? "TCP" : p.protocol;
function showLadder() {
  const pane = $("pane-ladder");
  // Sessions belong to no journey, and every journey needs them.
  const shown = new Set(shownPackets()), session = (p) => !chosen.protocol && !chosen.conversation && p.journey === null && ["PPPoE", "PPP", "L2TP"].includes(FAMILY(p));
  const all = data.packets.filter((p) => shown.has(p) || session(p));
  const families = [...new Set(all.map(FAMILY))];
  const order = ["TCP", "PPPoE", "PPP", "L2TP", "DNS", "ARP"];
  families.sort((a, b) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99);
  const old = $("ladder-of")?.value;
  const family = families.includes(old) ? old : families[0];
  const list = all.filter((p) => FAMILY(p) === family).slice(0, 300);
  const ends = (p) => [p.way[0], p.way[p.way.length - 1]];
  const names = [];
  for (const p of list) for (const n of ends(p)) if (n && !names.includes(n)) names.push(n);
  const rank = data.topology.nodes.map((n) => n.name);
  names.sort((a, b) => rank.indexOf(a) - rank.indexOf(b));
  const gap = Math.max(150, 520 / Math.max(1, names.length - 1)), x = (n) => 80 + names.indexOf(n) * gap, row = 30, top = 40;
  const wide = Math.max(600, names.length * gap + 160), high = top + (list.length + 1) * row;
  const svg = el("svg", { class: "ladder", viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "list", "aria-label": `${word("ladder")} ${family ?? ""}` });
  for (const n of names) svg.append(el("line", { class: "life", x1: x(n), x2: x(n), y1: top - 10, y2: top + list.length * row }), el("text", { x: x(n), y: 18, "text-anchor": "middle" }, n));
  list.forEach((p, i) => {
    const [a, b] = ends(p), y = top + i * row + 14;
    const loss = p.ends.find((e) => e.loss);
    const bad = loss && !p.ends.some((e) => !e.loss);
    const same = a === b;
    const xa = x(a), xb = same ? xa + 50 : x(b), dir = xb >= xa ? 1 : -1;
    // The ends stand at the lines: what is left is the message.
    const label = `#${p.id} ${titleOf(p).replace(/^[\d.:]+ → [\d.:]+ /, "")}${p.again ? ` (${word("copyOf")} ${p.again})` : ""}${bad ? ` ✗ ${loss.place}: ${loss[lang]}` : ""}`;
    svg.append(el("g", { class: bad ? "bad" : "", role: "listitem", "aria-label": `${a} → ${b}: ${label}` },
      el("line", { class: "arrow", x1: xa, x2: xb, y1: y, y2: y }), el("polygon", { points: `${xb},${y} ${xb - 8 * dir},${y - 4} ${xb - 8 * dir},${y + 4}` }),
      el("text", { x: Math.min(xa, xb) + 8, y: y - 5 }, label.length > 110 ? label.slice(0, 109) + "…" : label)));
  });
  pane.replaceChildren(
    el("label", {}, word("protocol") + " ", el("select", { id: "ladder-of", onchange: showLadder }, families.map((f) => el("option", { value: f, selected: f === family }, f)))),
    list.length ? svg : el("p", { class: "dim" }, word("none")));
}

function showStory() {
  const items = awaited === null ? current()?.story?.[lang] : null;
  const link = (id) => ({ tabindex: 0, role: "button", ...act(() => { const i = steps.findIndex((m) => m.packet === id); if (i >= 0) seek(i); }) });
  const headers = (list) => list.map((c) => `${c.name} ${c.brief.map(([n, v]) => `${n} ${v}`).join(" ")}`).join(" │ ");
  const one = (i) => {
    switch (i.item) {
      case "stage": return el("h3", {}, i.title);
      case "part": return el("h4", {}, i.title);
      case "line": return el("p", i.packet ? link(i.packet) : {}, i.text);
      case "table": return tableView({ columns: i.head, rows: i.rows });
      case "verdict": return el("p", { class: i.good ? "good" : "bad" }, el("b", {}, i.text));
      case "hop": return el("div", { class: "layer" }, el("b", link(i.packet), `+${ms(i.at)} ${i.node} · ${i.device} ${i.came ?? ""} → ${i.left.join(", ") || "·"}`),
        el("ul", {}, [...i.why, ...i.waited, ...(i.ended ? [i.ended] : [])].map((w) => el("li", {}, w)), i.changes.filter(([c]) => c.field !== "checksum").map(([c, w]) => el("li", {}, `Δ ${c.layer} ${c.field}: ${c.from} → `, el("b", {}, c.to), w ? ` (${w})` : ""))),
        el("p", { class: "dim" }, headers(i.after.length ? i.after : i.before)));
      default: return null;
    }
  };
  $("pane-story").replaceChildren(...(items ? items.map(one) : [el("p", { class: "dim" }, word(awaited === null ? "noStory" : "fetching"))]));
}

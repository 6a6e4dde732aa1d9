"use strict";
// The map: the longest way through the lab in rows that turn, the rest beside it.
const WIDE = 132, HIGH = 52, GAP_X = 168, GAP_Y = 118, ROW = 5;
let places = {};

function neighbours(t) {
  const near = new Map(t.nodes.filter((n) => n.name !== "cable").map((n) => [n.name, []]));
  t.links.forEach((l, i) => {
    const [a, b] = l.ends.map((e) => e.split(".")[0]);
    near.get(a)?.push([b, i]);
    near.get(b)?.push([a, i]);
  });
  return near;
}

function farthest(near, from) {
  const back = new Map([[from, null]]);
  const todo = [from];
  let last = from;
  while (todo.length) {
    last = todo.shift();
    for (const [n] of near.get(last) ?? []) if (!back.has(n)) { back.set(n, last); todo.push(n); }
  }
  const path = [];
  for (let n = last; n !== null; n = back.get(n)) path.unshift(n);
  return path;
}

function layout(t, from) {
  const near = neighbours(t);
  const names = [...near.keys()];
  const start = near.has(from) ? from : names[0];
  let path = start === undefined ? [] : farthest(near, start);
  const other = start === undefined ? [] : farthest(near, path[path.length - 1]);
  if (other.length > path.length) path = other.reverse();
  places = {};
  const taken = new Set();
  const put = (n, c, r) => { places[n] = { x: 90 + c * GAP_X, y: 50 + r * GAP_Y }; taken.add(`${c},${r}`); };
  path.forEach((n, i) => {
    const row = Math.floor(i / ROW), c = i % ROW;
    put(n, row % 2 ? ROW - 1 - c : c, row * 2);
  });
  // The rest goes to the nearest free place beside what it is joined to.
  let rest = names.filter((n) => !places[n]);
  while (rest.length) {
    const n = rest.find((n) => near.get(n).some(([m]) => places[m])) ?? rest[0];
    const m = near.get(n).map(([m]) => places[m]).find(Boolean) ?? { x: 90, y: 50 };
    const [c, r] = [Math.round((m.x - 90) / GAP_X), Math.round((m.y - 50) / GAP_Y)];
    const free = [[0, 1], [1, 1], [-1, 1], [0, -1], [1, 0], [-1, 0], [2, 1], [-2, 1], [0, 2], [0, 3], [0, 4]];
    const at = free.map(([x, y]) => [c + x, r + y]).find(([x, y]) => x >= 0 && y >= 0 && !taken.has(`${x},${y}`)) ?? [c, r + 5];
    put(n, ...at);
    rest = rest.filter((x) => x !== n);
  }
}

function drawMap(t) {
  const xs = Object.values(places).map((p) => p.x), ys = Object.values(places).map((p) => p.y);
  const svg = el("svg", { viewBox: `0 0 ${Math.max(400, ...xs) + 90} ${Math.max(120, ...ys) + 60}`, role: "group", "aria-label": word("map") });
  t.links.forEach((l, i) => {
    const [a, b] = l.ends.map((e) => places[e.split(".")[0]]);
    if (!a || !b) return;
    const [ra, rb] = l.ends.map((e) => t.nodes.find((n) => n.name === e.split(".")[0])?.role);
    const phone = [ra, rb].includes("adsl-modem") && [ra, rb].includes("dslam");
    const line = el("line", { class: "link" + (l.medium || phone ? " medium" : ""), id: `link-${i}`, x1: a.x, y1: a.y, x2: b.x, y2: b.y });
    line.append(el("title", {}, `${l.ends.join(" – ")}, MTU ${l.mtu}${l.medium ? ", " + l.medium : ""}`));
    svg.append(line);
    if (l.mtu !== 1500) svg.append(el("text", { class: "dot-label", x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 + HIGH / 2 + 13 }, `MTU ${l.mtu}`));
  });
  for (const n of t.nodes) {
    const p = places[n.name];
    if (!p) continue;
    const open = () => { showDevice(n.name); tab("device"); };
    svg.append(el("g", { class: "node", id: `node-${n.name}`, tabindex: 0, role: "button", "aria-label": `${n.name} ${role(n.role)}`, ...act(open) },
      el("rect", { x: p.x - WIDE / 2, y: p.y - HIGH / 2, width: WIDE, height: HIGH, rx: 8 }),
      el("text", { x: p.x, y: p.y - 3 }, n.name), " ",
      el("text", { x: p.x, y: p.y + 15, class: "role" }, role(n.role))));
  }
  svg.append(el("g", { id: "dots" }));
  $("map").replaceChildren(svg);
}

// Draws a move at a part of its way, 0 to 1.
function drawMove(m, part) {
  document.querySelectorAll(".link.active, .node.on").forEach((e) => e.classList.remove("active", "on"));
  const dots = $("dots");
  dots.replaceChildren();
  if (!m) return;
  const a = places[m.from];
  const l = data.topology.links[m.link];
  const far = m.to ?? l?.ends.map((e) => e.split(".")[0]).find((n) => n !== m.from);
  const b = places[far] ?? a;
  if (!a) return;
  document.getElementById(`link-${m.link}`)?.classList.add("active");
  document.getElementById(`node-${m.from}`)?.classList.add("on");
  if (part >= 1) document.getElementById(`node-${m.to}`)?.classList.add("on");
  const most = m.lost ? 0.5 : 1;
  const at = Math.min(part, most);
  const p = byId.get(m.packet);
  // From the rim of one device to the rim of the other: their names stay readable.
  const dx = b.x - a.x, dy = b.y - a.y, long = Math.hypot(dx, dy) || 1;
  const upright = Math.abs(dy) > Math.abs(dx);
  const rim = Math.min(upright ? HIGH / 2 : WIDE / 2, long / 2) / long;
  const along = rim + (1 - 2 * rim) * at;
  const x = a.x + dx * along, y = a.y + dy * along;
  // Beside a link that stands, between its devices; above one that lies.
  const top = Math.min(a.y, b.y) + HIGH / 2 + 14, bottom = Math.max(a.y, b.y) - HIGH / 2 - 6;
  const label = upright ? { x: x + 14, y: Math.min(Math.max(y, top), bottom) } : { x, y: y - HIGH / 2 - 6 };
  dots.append(
    el("circle", { class: "dot" + (m.lost ? " bad" : ""), cx: x, cy: y, r: 9, role: "button", tabindex: 0, "aria-label": `${word("packet")} ${m.packet}`, "data-packet": m.packet, ...act(() => tab("packet")) }),
    el("text", { class: "dot-label" + (upright ? " side" : ""), ...label }, `#${m.packet} ${p?.protocol ?? ""}${m.lost ? " ✗" : ""}`));
}

"use strict";
// What is shown, and the controls.
let data = JSON.parse($("data").textContent);
const live = data.live ?? null;
let byId = new Map(), steps = [], step = 0, playing = null, part = 1;
let chosen = { protocol: "", conversation: "", journey: "" };
// A journey that was asked for: the newest number before it; and whether the newest step is to be shown.
let awaited = null, toEnd = false;

async function api(path, options) {
  const r = await fetch(`${path}${path.includes("?") ? "&" : "?"}token=${live.token}`, options);
  if (!r.ok) throw new Error(await r.text());
  return r.json();
}

function shownPackets() {
  const is = (p) => (!chosen.protocol || p.protocol === chosen.protocol || p.layers.includes(chosen.protocol)) && (!chosen.conversation || p.conversation === chosen.conversation) && (!chosen.journey || String(p.journey) === chosen.journey);
  return data.packets.filter(is);
}

function refilter() {
  const now = steps[step];
  const ids = new Set(shownPackets().map((p) => p.id));
  steps = data.moves.filter((m) => ids.has(m.packet) && !m.stray);
  const i = now ? steps.findIndex((m) => m.packet === now.packet && m.at === now.at && m.from === now.from) : 0;
  $("scrub").max = Math.max(0, steps.length - 1);
  seek(i >= 0 ? i : 0);
  showLadder();
}

function options(id, values, all, name = (v) => v) {
  const old = chosen[id];
  $(id).replaceChildren(el("option", { value: "" }, all), ...values.map((v) => el("option", { value: v, selected: String(v) === old }, name(v))));
}

function take(d) {
  data = d;
  byId = new Map(data.packets.map((p) => [p.id, p]));
  const uniq = (list) => [...new Set(list.filter((x) => x !== null && x !== undefined))];
  options("protocol", uniq(data.packets.flatMap((p) => [p.protocol, ...p.layers.filter((l) => ["PPPoE", "L2TP", "TCP", "UDP", "ATM"].includes(l))])).sort(), word("all"));
  options("conversation", uniq(data.packets.map((p) => p.conversation)).sort(), word("all"));
  options("journey", uniq(data.packets.map((p) => p.journey)), word("background"), (n) => `${word("journey")} ${n}`);
  const l = data.lost;
  $("lost").textContent = [data["left-out"] ? `${data["left-out"]} ${word("leftOut")}` : "", l.records ? `${l.records} ${word("records")}` : "", l.frames ? `${l.frames} ${word("frames")}` : ""].filter(Boolean).join(", ");
  refilter();
  showJourney();
}

// The journey that is chosen, else the last one: its outcome and its story.
function current() {
  if (!chosen.journey || String(data.journey?.number) === chosen.journey) return data;
  return (data.stories ?? []).find((s) => String(s?.journey?.number) === chosen.journey) ?? null;
}

function showJourney() {
  const j = current()?.journey, v = j?.verdict;
  $("lab").textContent = j?.url ? `· ${j.url}` : `· ${data.lab}`;
  $("verdict").textContent = v ? `${v.good ? "✓" : "✗"} ${v[lang]}` : "";
  $("verdict").className = v ? (v.good ? "good" : "bad") : "";
  showStory();
}

function choose(journey) {
  chosen.journey = String(journey);
  $("journey").value = chosen.journey;
  refilter();
  showJourney();
}

function describe(m) {
  const p = byId.get(m.packet);
  const why = (data.sights[m.out[0]]?.causes ?? []).map((c) => c[lang]);
  return `${word("step")} ${step + 1} ${word("of")} ${steps.length}: #${m.packet} ${p?.protocol ?? ""} ${titleOf(p)}, ${m.from} → ${m.to ?? word("lost")}. ${why.join("; ")}${m.lost ? " ✗ " + m.lost[lang] : ""}`;
}

function seek(i, at = 1) {
  step = Math.max(0, Math.min(i, steps.length - 1));
  part = at;
  const m = steps[step];
  $("scrub").value = step;
  $("scrub").setAttribute("aria-valuetext", m ? describe(m) : "");
  $("clock").textContent = m ? `+${ms(m.at)}  ${step + 1} / ${steps.length}` : "–";
  $("say").textContent = m ? describe(m) : word("none");
  drawMove(m, part);
  showPacket(m);
  showPackets();
}

function stop() {
  if (playing !== null) cancelAnimationFrame(playing);
  playing = null;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", word("play"));
}

function play() {
  if (playing !== null) return stop();
  if (step >= steps.length - 1) seek(0, 0);
  $("play").textContent = "⏸";
  $("play").setAttribute("aria-label", word("pause"));
  let last = performance.now();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const turn = (now) => {
    part += ((now - last) / 700) * Number($("speed").value);
    last = now;
    if (part >= 1.3) {
      if (step >= steps.length - 1) { stop(); return; }
      seek(step + 1, 0);
    }
    drawMove(steps[step], still ? 1 : Math.min(1, part));
    playing = requestAnimationFrame(turn);
  };
  playing = requestAnimationFrame(turn);
}

function tab(name) {
  for (const t of document.querySelectorAll('[role="tab"]')) {
    const on = t.id === `tab-${name}`;
    t.setAttribute("aria-selected", on);
    t.tabIndex = on ? 0 : -1;
    $(t.getAttribute("aria-controls")).hidden = !on;
  }
  if (name === "device" && !device) $("pane-device").replaceChildren(el("p", {}, word("choose")));
}

function translate() {
  document.documentElement.lang = lang;
  document.querySelectorAll("[data-word]").forEach((e) => { e.textContent = word(e.dataset.word); });
  document.querySelectorAll("[data-label]").forEach((e) => { e.setAttribute("aria-label", word(e.dataset.label)); e.title = word(e.dataset.label); });
  $("lang").textContent = word("lang");
  layout(data.topology, data.journey?.from ?? "client");
  drawMap(data.topology);
  take(data);
  if (device) showDevice(device);
}

const on = (id, f) => $(id).addEventListener("click", f);
on("first", () => { stop(); seek(0); });
on("back", () => { stop(); seek(step - 1); });
on("next", () => { stop(); seek(step + 1); });
on("last", () => { stop(); seek(steps.length - 1); });
on("play", play);
on("lang", () => { lang = lang === "ko" ? "en" : "ko"; translate(); });
on("theme", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
$("scrub").addEventListener("input", (e) => { stop(); seek(Number(e.target.value)); });
for (const id of ["protocol", "conversation", "journey"]) $(id).addEventListener("change", (e) => { chosen[id] = e.target.value; refilter(); showJourney(); });
for (const t of document.querySelectorAll('[role="tab"]')) {
  t.addEventListener("click", () => tab(t.id.slice(4)));
  t.addEventListener("keydown", (e) => {
    if (e.key !== "ArrowRight" && e.key !== "ArrowLeft") return;
    const all = [...document.querySelectorAll('[role="tab"]')];
    const n = all[(all.indexOf(t) + (e.key === "ArrowRight" ? 1 : all.length - 1)) % all.length];
    tab(n.id.slice(4));
    n.focus();
    e.stopPropagation();
  });
}
document.addEventListener("keydown", (e) => {
  if (["INPUT", "SELECT", "TEXTAREA"].includes(e.target.tagName) || e.ctrlKey || e.metaKey || e.altKey) return;
  const keys = { " ": play, ArrowRight: () => { stop(); seek(step + 1); }, ArrowLeft: () => { stop(); seek(step - 1); }, Home: () => { stop(); seek(0); }, End: () => { stop(); seek(steps.length - 1); } };
  if (e.key === " " && e.target.tagName === "BUTTON") return;
  if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
});

async function follow() {
  for (;;) {
    try {
      const d = await api(`/api/data?have=${data.version_of_data ?? 0}`);
      if (!d.unchanged) {
        const atEnd = toEnd || step >= steps.length - 1;
        take({ ...d, live });
        const newest = data.journey?.number ?? 0;
        if (awaited !== null && newest > awaited) {
          awaited = null;
          choose(newest);
          seek(0);
        } else if (atEnd && playing === null) seek(steps.length - 1);
        toEnd = false;
        if (device && !$("pane-device").hidden) showDevice(device);
      }
    } catch (e) {
      $("verdict").textContent = String(e.message ?? e);
      await new Promise((r) => setTimeout(r, 2000));
    }
  }
}

if (live) {
  $("fetch").hidden = false;
  $("from").replaceChildren(...live.from.map((n) => el("option", { value: n }, n)));
  const ask = async (path, body) => {
    try {
      const r = await api(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
      $("say").textContent = r.refused ?? r.text ?? "";
      return r.refused === undefined;
    } catch (e) { $("say").textContent = String(e.message ?? e); }
    return false;
  };
  $("fetch").addEventListener("submit", async (e) => {
    e.preventDefault();
    const before = data.journey?.number ?? 0;
    if (!await ask("/api/fetch", { url: $("url").value, from: $("from").value })) return;
    awaited = before;
    showStory();
  });
  on("pause-lab", () => ask("/api/pause"));
  on("step-lab", () => { toEnd = true; ask("/api/step"); });
  on("resume-lab", () => ask("/api/resume"));
}
translate();
tab("packet");
if (live) follow();
document.body.dataset.ready = "yes";

"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const codes = (text) => facts.bytes === 1 ? bytes(text) : new Uint16Array(bytes(text).buffer);

const NONE = facts.names.length;  // the class of images without one
const COUNT = facts.ids.length;
const FAINT = 0.1, PALE = 0.4, FULL = 0.85;
const places = new Uint16Array(bytes(facts.places).buffer);
const labels = codes(facts.labels);
const split = bytes(facts.split);
const predictions = facts.candidates.map((each) => codes(each.predicted));
const cells = new Int32Array(bytes(facts.cells).buffer);
const sizes = bytes(facts.sizes);
const colours = [...facts.colours, facts.grey];
const name = (code) => code === NONE ? "" : facts.names[code];

const stage = element("stage"), canvas = element("points"), over = element("over"), tip = element("tip");
const points = scatter(canvas, places, labels, colours);
const pen = over.getContext("2d");

// Points in an order of their own, so that no class lies above another because of its name.
const order = Uint32Array.from({ length: COUNT }, (_, i) => i);
for (let i = COUNT - 1, state = 1; i > 0; i--) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  const j = Math.floor(state / 2 ** 32 * (i + 1));
  [order[i], order[j]] = [order[j], order[i]];
}

const NOTHING = new Uint32Array();
const off = new Set();  // classes that are not shown
let candidate = -1, lit = null, held = null, hovered = null, layers = [], matching = order, walk = null;
const view = { x: 0.5, y: 0.5, scale: 1 };
let width = 1, height = 1, ratio = 1, whole = 1, onPaper = false;

// ---- which points

function wrong(i) {
  const predicted = predictions[candidate][i];
  return predicted !== NONE && labels[i] !== NONE && predicted !== labels[i];
}
function choose() {
  const shown = order.filter((i) => !off.has(labels[i]));
  matching = candidate < 0 ? shown : shown.filter(wrong);
  const bright = lit === null ? matching : matching.filter((i) => labels[i] === lit);
  const pale = lit !== NONE && NONE > 0 ? bright.filter((i) => labels[i] === NONE) : NOTHING;
  layers = [
    { index: bright.length < shown.length ? shown : NOTHING, alpha: FAINT, radius: usual },
    { index: pale, alpha: PALE, radius: usual },
    { index: pale.length ? bright.filter((i) => labels[i] !== NONE) : bright, alpha: FULL, radius: standing },
  ];
  walk = null;
  element("shown").textContent = matching.length === COUNT ? "" :
    `${matching.length.toLocaleString("en")} of ${COUNT.toLocaleString("en")} images`;
  if (held !== null && !matching.includes(held)) hold(null);
  paint();
}

// ---- where they are

const across = (i) => width / 2 + (places[2 * i] / 65535 - view.x) * view.scale;
const down = (i) => height / 2 - (places[2 * i + 1] / 65535 - view.y) * view.scale;
// Of `count` points: the fewer, and the closer one looks, the larger.
const radius = (count) => {
  const sparse = 0.3 * Math.sqrt(width * height / count);
  return Math.max(1, Math.min(4, sparse)) * Math.min(2.2, (view.scale / whole) ** 0.35);
};
const usual = () => radius(COUNT);
const standing = () => Math.max(usual(), Math.min(3, radius(matching.length + 1)));
function nearest(x, y, within) {
  let best = null, least = within * within;
  for (const i of matching) {
    const dx = across(i) - x, dy = down(i) - y, far = dx * dx + dy * dy;
    if (far < least) { least = far; best = i; }
  }
  return best;
}
function zoom(factor, x = width / 2, y = height / 2) {
  const scale = Math.max(whole / 2, Math.min(whole * 400, view.scale * factor));
  view.x += (x - width / 2) * (1 / view.scale - 1 / scale);
  view.y -= (y - height / 2) * (1 / view.scale - 1 / scale);
  view.scale = scale;
  moved();
}
function move(dx, dy) {
  view.x = Math.max(0, Math.min(1, view.x - dx / view.scale));
  view.y = Math.max(0, Math.min(1, view.y + dy / view.scale));
  moved();
}
function showWhole() {
  Object.assign(view, { x: 0.5, y: 0.5, scale: whole });
  moved();
}
function moved() { walk = null; paint(); }

// ---- painting, once a frame

let waiting = 0;
function paint() { waiting ||= requestAnimationFrame(paintNow); }
function paintNow() {
  cancelAnimationFrame(waiting);
  waiting = 0;
  points.paint(view, layers, ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (onPaper) pen.drawImage(canvas, 0, 0, width, height);  // some browsers print no pixels of the other
  write();
  const marked = held ?? hovered;
  if (marked !== null) ring(marked);
  place(marked);
}
function write() {
  pen.font = `600 13px ${theme.colour("--sans")}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  for (const [code, x, y] of facts.middles) {
    if (off.has(code) || (lit !== null && lit !== code)) continue;
    const at = [width / 2 + (x - view.x) * view.scale, height / 2 - (y - view.y) * view.scale];
    pen.lineWidth = 4;
    pen.strokeStyle = theme.colour("--surface");
    pen.strokeText(name(code), ...at);
    pen.fillStyle = theme.colour("--ink");
    pen.fillText(name(code), ...at);
  }
}
function ring(i) {
  pen.beginPath();
  pen.arc(across(i), down(i), standing() + 4, 0, 7);
  pen.lineWidth = 2;
  pen.strokeStyle = theme.colour("--ink");
  pen.stroke();
}

// ---- the image of a point

const SHEETS = 6, sheets = new Map();  // of decoded sheets the latest are kept
const encoded = document.querySelectorAll("script.sheet");
function sheet(number) {
  const decoded = sheets.get(number) ??
    createImageBitmap(new Blob([bytes(encoded[number].textContent)], { type: "image/webp" }));
  sheets.delete(number);
  sheets.set(number, decoded);
  if (sheets.size > SHEETS) sheets.delete(sheets.keys().next().value);
  return decoded;
}
async function thumbnail(i) {
  const target = element("thumbnail"), cell = cells[i];
  target.hidden = cell < 0;
  if (cell < 0) return;
  const [wide, high] = [sizes[2 * i], sizes[2 * i + 1]], times = 112 / Math.max(wide, high);
  target.width = Math.round(wide * times);
  target.height = Math.round(high * times);
  const full = facts.across ** 2, within = cell % full, side = facts.side;
  const image = await sheet(Math.floor(cell / full));
  if (tip.dataset.image !== String(i)) return;
  const at = [within % facts.across * side, Math.floor(within / facts.across) * side];
  target.getContext("2d").drawImage(image, ...at, wide, high, 0, 0, target.width, target.height);
  target.dataset.image = i;
}
function place(i) {
  tip.hidden = i === null;
  if (i === null) { delete tip.dataset.image; return; }
  if (tip.dataset.image !== String(i)) describe(i);
  const x = across(i), y = down(i), gap = 14;
  const left = x + gap + tip.offsetWidth < width ? x + gap : x - gap - tip.offsetWidth;
  const top = y + gap + tip.offsetHeight < height ? y + gap : y - gap - tip.offsetHeight;
  tip.style.transform = `translate(${clamp(left, width - tip.offsetWidth)}px, ${clamp(top, height - tip.offsetHeight)}px)`;
}
const clamp = (at, most) => Math.round(Math.max(4, Math.min(at, most - 4)));
function describe(i) {
  tip.dataset.image = i;
  const own = facts.splits[split[i]], kind = name(labels[i]) || own || "unlabelled";
  element("tip-class").replaceChildren(swatch(labels[i]), kind);
  element("tip-id").textContent = [facts.ids[i], own === kind ? "" : own].filter(Boolean).join(" · ");
  const predicted = candidate < 0 ? NONE : predictions[candidate][i];
  element("tip-predicted").textContent = predicted === NONE ? "" : `taken for ${name(predicted)}`;
  thumbnail(i);
}
function swatch(code) {
  const mark = document.createElement("i");
  mark.className = "swatch";
  mark.style.background = colours[code];
  return mark;
}
function hold(i) {
  held = i;
  paint();
}

// ---- pointers and keys

const down_ = new Map();
let dragged = 0, spread = 0;
const local = (event) => {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
stage.addEventListener("pointerdown", (event) => {
  if (event.target.closest("button")) return;
  stage.setPointerCapture(event.pointerId);
  down_.set(event.pointerId, local(event));
  dragged = 0;
  spread = 0;
});
stage.addEventListener("pointermove", (event) => {
  const [x, y] = local(event), last = down_.get(event.pointerId);
  if (!last) { hover(event.target.closest("button") ? null : nearest(x, y, 14)); return; }
  down_.set(event.pointerId, [x, y]);
  if (down_.size === 2) { pinch(); return; }
  dragged += Math.hypot(x - last[0], y - last[1]);
  if (dragged < 4) return;
  stage.classList.add("moving");
  move(x - last[0], y - last[1]);
});
for (const kind of ["pointerup", "pointercancel"]) {
  stage.addEventListener(kind, (event) => {
    const at = down_.get(event.pointerId), alone = down_.size === 1;
    down_.delete(event.pointerId);
    stage.classList.remove("moving");
    if (at && alone && kind === "pointerup" && dragged < 4) hold(nearest(...at, event.pointerType === "mouse" ? 14 : 26));
  });
}
stage.addEventListener("pointerleave", () => hover(null));
function hover(i) {
  if (hovered === i) return;
  hovered = i;
  stage.classList.toggle("near", i !== null);
  paint();
}
function pinch() {
  const [[ax, ay], [bx, by]] = [...down_.values()], wide = Math.hypot(ax - bx, ay - by);
  if (spread) zoom(wide / spread, (ax + bx) / 2, (ay + by) / 2);
  spread = wide;
  dragged = Infinity;
}
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...local(event));
}, { passive: false });
stage.addEventListener("dblclick", (event) => zoom(2, ...local(event)));

const KEYS = {
  ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
  ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), "−": () => zoom(1 / 1.4),
  0: showWhole, n: () => step(1), p: () => step(-1), Escape: () => hold(null),
};
stage.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target !== stage) return;
  event.preventDefault();
  act();
});
// From the middle of what is seen outwards.
function step(by) {
  if (!walk) {
    const far = (i) => Math.hypot(across(i) - width / 2, down(i) - height / 2);
    walk = { at: -1, list: Array.from(matching, (i) => [far(i), i]).sort((a, b) => a[0] - b[0]) };
  }
  if (!walk.list.length) return;
  walk.at = (walk.at + by + walk.list.length) % walk.list.length;
  hold(walk.list[walk.at][1]);
}
element("in").addEventListener("click", () => zoom(1.6));
element("out").addEventListener("click", () => zoom(1 / 1.6));
element("whole").addEventListener("click", showWhole);

// ---- legend and filter

const counts = new Uint32Array(NONE + 1);
for (const code of labels) counts[code]++;
function entry(code, title) {
  const row = document.createElement("li"), toggle = document.createElement("button"), only = document.createElement("button");
  toggle.className = "class";
  toggle.type = only.type = "button";
  const named = document.createElement("span"), count = document.createElement("span");
  named.className = "name";
  named.textContent = title;
  count.className = "count";
  count.textContent = counts[code].toLocaleString("en");
  toggle.append(swatch(code), named, count);
  only.className = "only no-print";
  only.textContent = "only";
  only.setAttribute("aria-label", `only ${title}`);
  row.append(toggle, only);
  row.dataset.code = code;
  toggle.addEventListener("click", () => { off.has(code) ? off.delete(code) : off.add(code); legend(); });
  only.addEventListener("click", () => { entries.forEach((_, other) => off.add(other)); off.delete(code); legend(); });
  const light = (which) => () => { lit = which; choose(); };
  for (const kind of ["pointerenter", "focusin"]) row.addEventListener(kind, light(code));
  for (const kind of ["pointerleave", "focusout"]) row.addEventListener(kind, light(null));
  return row;
}
function nameless() {
  const kinds = new Set();
  labels.forEach((code, i) => { if (code === NONE) kinds.add(facts.splits[split[i]] === "locked" ? "locked" : "unlabelled"); });
  return [...kinds].sort().join(", ");
}
function legend() {
  entries.forEach((row, code) => row.firstChild.setAttribute("aria-pressed", String(!off.has(code))));
  lit = null;
  choose();
}
const entries = new Map();
if (NONE) {
  facts.names.forEach((title, code) => { if (counts[code]) entries.set(code, entry(code, title)); });
  if (counts[NONE]) entries.set(NONE, entry(NONE, nameless()));
  element("legend").append(...entries.values());
  element("all").addEventListener("click", () => { off.clear(); legend(); });
  element("none").addEventListener("click", () => { entries.forEach((_, code) => off.add(code)); legend(); });
  element("search").addEventListener("input", (event) => {
    const sought = event.target.value.trim().toLowerCase();
    entries.forEach((row) => { row.hidden = !row.querySelector(".name").textContent.toLowerCase().includes(sought); });
  });
}
if (facts.candidates.length) {
  element("wrong").append(...facts.candidates.map((each, number) => {
    candidate = number;
    const judged = predictions[number].reduce((sum, code) => sum + (code !== NONE), 0);
    const missed = order.reduce((sum, i) => sum + wrong(i), 0);
    return new Option(`${each.title}: ${missed.toLocaleString("en")} of ${judged.toLocaleString("en")}, ${each.name}`, number);
  }));
  candidate = -1;
  element("show").addEventListener("change", (event) => {
    candidate = Number(event.target.value);
    delete tip.dataset.image;
    choose();
  });
}

// ---- size, theme, paper

const extent = [0, 1].map((axis) => {
  let low = 65535, high = 0;
  for (let at = axis; at < places.length; at += 2) { low = Math.min(low, places[at]); high = Math.max(high, places[at]); }
  return Math.max(high - low, 655) / 65535;
});

function measure() {
  if (window.matchMedia("print").matches) return;
  const was = view.scale / whole;
  [width, height, ratio] = [stage.clientWidth, stage.clientHeight, window.devicePixelRatio || 1];
  for (const each of [canvas, over]) [each.width, each.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  whole = Math.min((width - 48) / extent[0], (height - 64) / extent[1]);
  view.scale = whole * was;
  paintNow();
}
new ResizeObserver(measure).observe(stage);
document.addEventListener("theme", paintNow);
canvas.addEventListener("repaint", paint);
for (const [kind, printing] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(kind, () => { onPaper = printing; paintNow(); });
}
if (NONE) legend(); else choose();

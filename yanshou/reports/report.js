// What the page can do when scripts may run: check signatures and digests by itself, show raw evidence, sort, filter, enlarge.
// Everything that must be read is in the page without it. It must never send or load anything, never write into the record,
// and never say more than it checked.
"use strict";

const results = JSON.parse(document.getElementById("results").textContent);
const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}"); // of a translation
/** What the page says, in its own language: `words` holds what is not Chinese. {0}, {1} … are the values. */
const say = (text, ...values) => (words[text] ?? text).replace(/\{(\d)\}/g, (_, i) => values[i]);
const utf8 = new TextDecoder();
const bytesOf = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** An element with attributes and children; texts are texts and never markup. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// --- SHA-256 of a stream (FIPS 180-4): WebCrypto takes whole messages only, and evidence may be larger than memory.
const PRIMES = (() => {
  const found = [];
  for (let n = 2; found.length < 64; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
})();
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const K = Int32Array.from(PRIMES, (p) => fraction(Math.cbrt(p)));
const H = Int32Array.from(PRIMES.slice(0, 8), (p) => fraction(Math.sqrt(p)));

class Sha256 {
  constructor() {
    this.state = H.slice();
    this.buffer = new Uint8Array(64);
    this.filled = 0;
    this.length = 0;
    this.words = new Int32Array(64);
  }

  update(data) {
    this.length += data.length;
    let at = 0;
    if (this.filled) {
      at = Math.min(64 - this.filled, data.length);
      this.buffer.set(data.subarray(0, at), this.filled);
      this.filled += at;
      if (this.filled < 64) return this;
      this.block(this.buffer, 0);
    }
    for (; at + 64 <= data.length; at += 64) this.block(data, at);
    this.buffer.set(data.subarray(at));
    this.filled = data.length - at;
    return this;
  }

  block(data, at) {
    const w = this.words;
    for (let i = 0; i < 16; i++, at += 4) w[i] = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = this.state;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { this.state[i] = (this.state[i] + value) | 0; });
  }

  digest() {
    const bits = this.length * 8;
    const tail = new Uint8Array((this.filled < 56 ? 64 : 128) - this.filled);
    tail[0] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(tail.length - 4, bits >>> 0);
    this.update(tail);
    return hex(new Uint8Array(Int32Array.from(this.state, (x) => ((x & 0xff) << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24)).buffer));
  }
}

const sha256 = (data) => new Sha256().update(data).digest();

// --- The container: zip with zip64 fields, deflate only, as docs/seal.md states it.
class Damaged extends Error {}

/** The entries of a zip file: name -> {size, stored, at}. Throws Damaged for whatever yanshou does not write. */
async function entries(file) {
  const view = async (from, to) => new DataView(await file.slice(from, to).arrayBuffer());
  const number = (v, at) => Number(v.getBigUint64(at, true));
  const need = (condition) => { if (!condition) throw new Damaged(say("zip 的结构不是 yanshou 写的形式")); };
  need(file.size > 98);
  const end = await view(file.size - 98, file.size);
  need(end.getUint32(76, true) === 0x06054b50 && end.getUint32(56, true) === 0x07064b50 && end.getUint32(0, true) === 0x06064b50);
  const [count, size, start] = [number(end, 32), number(end, 40), number(end, 48)];
  need(start + size === file.size - 98 && size < 1 << 28);
  const table = await view(start, start + size);
  const found = new Map();
  let at = 0;
  let expected = 0;
  for (let i = 0; i < count; i++) {
    need(at + 46 <= size && table.getUint32(at, true) === 0x02014b50 && table.getUint16(at + 10, true) === 8);
    const names = table.getUint16(at + 28, true);
    const extra = table.getUint16(at + 30, true);
    need(at + 46 + names + extra <= size && table.getUint16(at + 32, true) === 0);
    const name = utf8.decode(new Uint8Array(table.buffer, at + 46, names));
    const field = at + 46 + names;
    need(table.getUint16(field, true) === 1 && table.getUint16(field + 2, true) >= 24 && !found.has(name));
    const entry = { size: number(table, field + 4), stored: number(table, field + 12), at: number(table, field + 20) };
    need(entry.at === expected);
    const local = await view(entry.at, entry.at + 30);
    need(local.getUint32(0, true) === 0x04034b50 && local.getUint16(26, true) === names);
    entry.data = entry.at + 30 + names + local.getUint16(28, true);
    expected = entry.data + entry.stored;
    need(expected <= start);
    found.set(name, entry);
    at += 46 + names + extra;
  }
  need(at === size && expected === start);
  return found;
}

/** The unpacked bytes of an entry in pieces, never more than it declares. */
async function* unpacked(file, entry) {
  const stream = file.slice(entry.data, entry.data + entry.stored).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const reader = stream.getReader();
  let seen = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    seen += value.length;
    if (seen > entry.size) throw new Damaged(say("文件展开后比声明的大"));
    yield value;
  }
  if (seen !== entry.size) throw new Damaged(say("文件展开后比声明的小"));
}

async function whole(file, entry, most = 1 << 26) {
  if (entry.size > most) throw new Damaged(say("文件太大"));
  const data = new Uint8Array(entry.size);
  let at = 0;
  for await (const piece of unpacked(file, entry)) { data.set(piece, at); at += piece.length; }
  return data;
}

// --- Signatures: DSSE over an in-toto statement, as docs/seal.md states it.
/** Each signer of an envelope with `good`: true, false, or null where this browser cannot check. */
async function signatures(envelope) {
  const payload = fromBase64(envelope.payload);
  const head = bytesOf(`DSSEv1 ${bytesOf(envelope.payloadType).length} ${envelope.payloadType} ${payload.length} `);
  const message = new Uint8Array(head.length + payload.length);
  message.set(head);
  message.set(payload, head.length);
  const statement = JSON.parse(utf8.decode(payload));
  const seal = statement.predicate.yanshou_seal;
  const given = new Map(envelope.signatures.map((s) => [s.keyid, fromBase64(s.sig)]));
  const signers = [];
  for (const signer of seal.signers) {
    const spki = fromBase64(signer.public.replace(/-----[^-]+-----|\s/g, ""));
    const line = { role: signer.role, name: signer.name, algorithm: signer.algorithm, id: signer.id, good: false, why: "" };
    signers.push(line);
    if (sha256(spki) !== signer.id) line.why = say("密钥与其编号不符");
    else if (!given.has(signer.id)) line.why = say("还没有签名，或签名被去掉");
    else if (signer.algorithm !== "ed25519") { line.good = null; line.why = say("浏览器不会 SM2，用 yanshou verify 或 openssl 核对"); }
    else {
      try {
        const key = await crypto.subtle.importKey("spki", spki, { name: "Ed25519" }, false, ["verify"]);
        line.good = await crypto.subtle.verify({ name: "Ed25519" }, key, given.get(signer.id), message);
        line.why = line.good ? "" : say("签名不成立：内容被改动");
      } catch { line.good = null; line.why = say("这个浏览器不会 Ed25519，换新版浏览器"); }
    }
    given.delete(signer.id);
  }
  return { statement, signers, strangers: given.size };
}

/** Deep equality of two JSON values. */
function same(a, b) {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return Object.is(a, b);
  const keys = Object.keys(a);
  return Array.isArray(a) === Array.isArray(b) && keys.length === Object.keys(b).length && keys.every((k) => k in b && same(a[k], b[k]));
}

// --- The panel.
const ROLES = { tester: say("检测"), reviewer: say("审核"), approver: say("批准"), project: say("受检方"), witness: say("见证") };
const STATES = { good: ["✓", say("成立")], bad: ["✗", say("不成立")], open: ["○", say("未核对")] };
const panel = document.getElementById("check");
const list = panel.querySelector("ul.checks");
const sum = panel.querySelector("output");
let counts = { good: 0, bad: 0, open: 0 };

function tell(state, text) {
  counts[state] += 1;
  const [mark, word] = STATES[state];
  list.append(make("li", { class: `check ${state}` }, make("b", {}, `${mark} ${word}`), make("span", {}, text)));
}

function conclude() {
  panel.dataset.state = counts.bad ? "bad" : "good";
  sum.textContent = say("核对了 {0} 项：{1} 项成立，{2} 项不成立；{3} 项浏览器核对不了", counts.good + counts.bad, counts.good, counts.bad, counts.open);
}

function tellSigners(what, found) {
  for (const s of found.signers) {
    const who = say("{0}：{1} {2}，{3}，密钥 {4}…", what, ROLES[s.role] || s.role, s.name, s.algorithm, s.id.slice(0, 16));
    tell(s.good === null ? "open" : s.good ? "good" : "bad", s.why ? say("{0}：{1}", who, s.why) : who);
  }
  if (found.strangers) tell("bad", say("{0}：有 {1} 个名册以外的签名", what, found.strangers));
}

/** What the page itself carries: the signed plan, and that it is the plan of these results. */
async function checkPage() {
  const envelope = results.plan.envelope;
  if (!envelope) { tell("open", say("方案没有在测量之前签名，页内没有可核对的签名")); return; }
  const found = await signatures(envelope);
  tellSigners(say("方案的签名"), found);
  const earlier = results.plan.signed;
  if (earlier) tell("open", say("测量之前签的是方案第 {0} 版；以后的修订有没有动判定所依据的内容，浏览器核对不了", earlier.revision));
  const [plan, text] = earlier ? [earlier.sha256, earlier.case_sha256] : [results.plan.sha256, results.case.sha256];
  for (const [name, digest] of [["plan.lock.json", plan], ["case.yaml", text]]) {
    const subject = found.statement.subject.find((s) => s.name === name);
    const fits = Boolean(subject) && subject.digest.sha256 === digest;
    if (earlier && fits) continue;
    tell(fits ? "good" : "bad", fits ? say("方案签名所指的 {0} 就是本报告所依据的", name) : say("本报告所依据的 {0} 不是签过的那份", name));
  }
}

/** A whole package: container, digests, seal, and that its results are those of this page. */
async function checkPackage(file) {
  const inside = await entries(file);
  const [top] = [...inside.keys()][0].split("/");
  if (![...inside.keys()].every((name) => name.startsWith(`${top}/`))) throw new Damaged(say("zip 里不止一个文件夹"));
  const get = (name) => inside.get(`${top}/${name}`);
  for (const name of ["bagit.txt", "bag-info.txt", "manifest-sha256.txt", "manifest-sm3.txt", "package.dsse.json"]) {
    if (!get(name)) throw new Damaged(say("没有 {0}，不是 yanshou 的证据包", name));
  }
  const manifest = new Map(utf8.decode(await whole(file, get("manifest-sha256.txt"))).split("\n").filter(Boolean).map((line) => [line.slice(66), line.slice(0, 64)]));
  let wrong = 0;
  let done = 0;
  const bad = (text) => { wrong += 1; tell("bad", text); };
  for (const name of inside.keys()) {
    const short = name.slice(top.length + 1);
    if (short.startsWith("data/") && !manifest.has(short)) bad(say("{0}：清单里没有，是后来加的", short));
  }
  for (const [name, digest] of manifest) {
    sum.textContent = say("核对文件摘要 {0}/{1}：{2}", ++done, manifest.size, name);
    const entry = get(name);
    if (!entry) { bad(say("{0}：清单里有，包里没有", name)); continue; }
    const hash = new Sha256();
    try {
      for await (const piece of unpacked(file, entry)) hash.update(piece);
      if (hash.digest() !== digest) bad(say("{0}：内容与摘要不符，被改动", name));
    } catch { bad(say("{0}：解不开，已损坏或被改动", name)); }
  }
  if (!wrong) tell("good", say("{0} 个文件的 SHA-256 与清单一致，不多不少", manifest.size));
  const found = await signatures(JSON.parse(utf8.decode(await whole(file, get("package.dsse.json")))));
  tellSigners(say("证据包的签名"), found);
  for (const subject of found.statement.subject) {
    const entry = get(subject.name);
    const fits = Boolean(entry) && sha256(await whole(file, entry)) === subject.digest.sha256;
    tell(fits ? "good" : "bad", fits ? say("签名所指的 {0} 就是包里的", subject.name) : say("包里的 {0} 不是签过的那份", subject.name));
  }
  const packed = get("data/report/results.json");
  const equal = Boolean(packed) && same(JSON.parse(utf8.decode(await whole(file, packed))), results);
  tell(equal ? "good" : "bad", equal ? say("包里的结果与本页内嵌的结果逐项相同") : say("包里的结果不是本页内嵌的结果：不是同一份报告"));
  return { file, get, manifest };
}

/** This very page, dropped as a file beside its package. */
async function checkHtml(file, bag) {
  const hash = new Sha256();
  const reader = file.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    hash.update(value);
  }
  const fits = hash.digest() === bag.manifest.get("data/report/report.html");
  tell(fits ? "good" : "bad", fits ? say("{0} 与包里签过的 report.html 逐字节相同", file.name) : say("{0} 与包里签过的 report.html 不同", file.name));
}

// --- From a number to its raw samples.
const PIECE = 1 << 16;

async function beginning(bag, name) {
  const parts = [];
  let size = 0;
  for await (const piece of unpacked(bag.file, bag.get(name))) {
    parts.push(piece);
    size += piece.length;
    if (size >= PIECE) break;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer()).subarray(0, PIECE);
}

function shown(name, data, total) {
  const text = utf8.decode(data);
  if (text.includes("\u0000")) return make("p", {}, say("{0} 不是文本，共 {1} 字节；用清单里的摘要核对", name, total));
  const lines = text.split(/\r?\n/).slice(0, 201);
  const note = make("p", {}, say("{0}：共 {1} 字节，这里是开头 {2} 行", name, total, Math.min(lines.length, 200)));
  if (!name.endsWith(".csv")) return make("div", {}, note, make("pre", {}, lines.slice(0, 200).join("\n")));
  const rows = lines.filter(Boolean).slice(0, 200).map((line) => line.split(","));
  const head = make("tr", {}, ...rows[0].map((c) => make("th", { scope: "col" }, c)));
  const body = rows.slice(1).map((row) => make("tr", {}, ...row.map((c) => make("td", {}, c))));
  return make("div", {}, note, make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))));
}

function listEvidence(bag) {
  const place = panel.querySelector(".evidence");
  place.replaceChildren(make("h3", {}, say("从数字到原始记录")));
  for (const finding of results.findings) {
    const files = (finding.attempts || []).flatMap((a) => (a.evidence || []).map((e) => ({ ...e, attempt: a.attempt })));
    if (!files.length) continue;
    const rows = files.map((e) => {
      const name = `data/${e.name}`;
      const fits = bag.manifest.get(name) === e.sha256 && Boolean(bag.get(name));
      const row = make("li", {}, make("code", {}, e.name), ` ${say("{0} 字节", e.bytes)} `, make("b", {}, fits ? say("✓ 摘要与报告一致") : say("✗ 摘要与报告不符")));
      if (fits) {
        const button = make("button", { type: "button" }, say("看开头"));
        button.addEventListener("click", async () => showDialog(shown(e.name, await beginning(bag, name), e.bytes), e.name));
        row.append(" ", button);
      } else tell("bad", say("{0}：报告里的摘要与包里的不符", e.name));
      return row;
    });
    const value = finding.value === null || finding.value === undefined ? "" : `${say("：")}${finding.value} ${finding.unit}`;
    place.append(make("details", {}, make("summary", {}, say("{0} {1}{2}（{3} 个文件）", finding.indicator, finding.name, value, files.length)), make("ul", {}, ...rows)));
  }
}

// --- Enlarging, sorting, filtering.
const dialog = document.getElementById("enlarged");

function showDialog(content, title) {
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("div").replaceChildren(content);
  dialog.showModal();
}

/** A copy of a plot that the wheel, a drag and two buttons enlarge. */
function enlarge(figure, title) {
  const svg = figure.querySelector("svg").cloneNode(true);
  const box = svg.getAttribute("viewBox").split(/\s+/).map(Number);
  const full = box.slice();
  const set = () => svg.setAttribute("viewBox", box.join(" "));
  const zoom = (by, x = 0.5, y = 0.5) => {
    const width = Math.min(full[2], Math.max(full[2] / 64, box[2] * by));
    const ratio = width / box[2];
    box[0] = Math.min(full[0] + full[2] - width, Math.max(full[0], box[0] + box[2] * (1 - ratio) * x));
    box[1] = Math.min(full[1] + full[3] - box[3] * ratio, Math.max(full[1], box[1] + box[3] * (1 - ratio) * y));
    box[2] = width;
    box[3] *= ratio;
    set();
  };
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = svg.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, (event.clientX - at.left) / at.width, (event.clientY - at.top) / at.height);
  }, { passive: false });
  svg.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const scale = box[2] / svg.getBoundingClientRect().width;
    box[0] = Math.min(full[0] + full[2] - box[2], Math.max(full[0], box[0] - event.movementX * scale));
    box[1] = Math.min(full[1] + full[3] - box[3], Math.max(full[1], box[1] - event.movementY * scale));
    set();
  });
  const button = (text, by) => {
    const b = make("button", { type: "button" }, text);
    b.addEventListener("click", () => zoom(by));
    return b;
  };
  showDialog(make("div", { class: "zoom" }, svg, make("p", {}, button(say("放大"), 0.5), " ", button(say("缩小"), 2), ` ${say("滚轮缩放，按住拖动")}`)), title);
}

for (const plot of document.querySelectorAll(".plots > div")) {
  const title = plot.querySelector(".plot-title").textContent;
  const button = make("button", { type: "button", class: "enlarge", "aria-label": say("放大：{0}", title) }, say("放大"));
  button.addEventListener("click", () => enlarge(plot, title));
  plot.append(button);
}

const numeric = (text) => { const m = /^[^\d-]*(-?[\d,.\u202f\u00a0 ]*\d)/.exec(text); return m ? Number(m[1].replace(/[,\s\u202f\u00a0]/g, "")) : NaN; };
for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 8) continue;
  const original = [...body.rows];
  const filter = make("input", { type: "search", placeholder: say("筛选本表"), "aria-label": say("筛选：{0}", table.caption ? table.caption.textContent : say("表")) });
  filter.addEventListener("input", () => { for (const row of original) row.hidden = !row.textContent.includes(filter.value.trim()); });
  table.before(make("p", { class: "filter" }, filter));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", { type: "button", class: "sort", title: say("排序") }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const key = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => { const [x, y] = [numeric(key(a)), numeric(key(b))]; return Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b), document.documentElement.lang) : x - y; };
      body.append(...[...body.rows].sort((a, b) => (order === "ascending" ? 1 : -1) * compare(a, b)));
    });
  });
}

// --- Start.
async function start(files) {
  delete panel.dataset.state;
  list.replaceChildren();
  panel.querySelector(".evidence").replaceChildren();
  counts = { good: 0, bad: 0, open: 0 };
  try {
    await checkPage();
    const zip = files.find((f) => /\.zip$/i.test(f.name));
    const html = files.filter((f) => /\.html?$/i.test(f.name));
    if (zip) {
      const bag = await checkPackage(zip);
      for (const page of html) await checkHtml(page, bag);
      listEvidence(bag);
    } else if (files.length) tell("bad", say("放进来的文件里没有证据包（.zip）"));
  } catch (error) {
    tell("bad", error instanceof Damaged ? say("证据包：{0}", error.message) : say("核对中断：{0}", error.message));
  }
  conclude();
}

panel.hidden = false;
dialog.querySelector("button").addEventListener("click", () => dialog.close());
const input = panel.querySelector("input");
input.addEventListener("change", () => start([...input.files]));
panel.addEventListener("dragover", (event) => { event.preventDefault(); panel.classList.add("over"); });
panel.addEventListener("dragleave", () => panel.classList.remove("over"));
panel.addEventListener("drop", (event) => { event.preventDefault(); panel.classList.remove("over"); start([...event.dataTransfer.files]); });
if (globalThis.crypto && crypto.subtle && globalThis.DecompressionStream) start([]);
else { tell("open", say("这个浏览器（或打开方式）没有 WebCrypto，页面不能自己核对；用 yanshou verify 核对")); conclude(); }

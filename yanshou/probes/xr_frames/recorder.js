// Records when frames begin and how input is answered. It reports what it sees and judges nothing.
// The browser's own functions are taken before the page's scripts run, so that a page that replaces them is still seen. What was seen
// is kept as text, number by number: an array or an object would ask the page's prototypes (push, toJSON) what it holds.
(() => {
  "use strict";
  if (globalThis.__yanshouRecorder || top !== self) return;
  globalThis.__yanshouRecorder = true;
  const here = document.currentScript && document.currentScript.src;
  const clock = performance.now.bind(performance);
  const nextFrame = requestAnimationFrame.bind(globalThis);
  const later = setInterval.bind(globalThis);
  const { apply, getOwnPropertyDescriptor } = Reflect;
  const quoted = JSON.stringify; // of texts only
  const own = (prototype, name) => {
    const { get } = getOwnPropertyDescriptor(prototype, name);
    return (object) => apply(get, object, []);
  };
  const happened = own(Event.prototype, "timeStamp");
  const visibility = own(Document.prototype, "visibilityState");
  const visible = () => (visibility(document) === "visible" ? 1 : 0);
  const bound = globalThis.__yanshou_report;
  delete globalThis.__yanshou_report; // the page's scripts must not report in its place
  const fetching = globalThis.fetch && fetch.bind(globalThis);
  const there = new URL("report", here || location.href).href;
  const send = bound
    ? (text) => bound(text)
    : (text) => fetching(there, { __proto__: null, method: "POST", mode: "no-cors", body: text }).catch(() => {});
  let batch = 0, windowed = "", xr = "", inputs = "", events = "", states = "";
  const after = (rows, row) => (rows ? `${rows},[${row}]` : `[${row}]`);

  const state = () => { states = after(states, `${clock()},${visible()}`); };
  document.addEventListener("visibilitychange", state, true);

  const frame = (time) => {
    windowed = after(windowed, `${time},${clock()}`);
    nextFrame(frame);
  };
  nextFrame(frame);

  // Frames of an immersive session are those of the headset: whichever loop the page runs there is listened to.
  if (globalThis.XRSession) {
    const original = XRSession.prototype.requestAnimationFrame;
    let last = -1;
    XRSession.prototype.requestAnimationFrame = function (callback) {
      return apply(original, this, [(time, xrFrame) => {
        if (time !== last) xr = after(xr, `${(last = time)},${clock()}`);
        callback(time, xrFrame);
      }]);
    };
  }

  // An input is answered by the frame that is drawn after its handlers: the second callback from now begins when that one is shown.
  const answered = (type) => (event) => {
    const began = happened(event), handled = clock(), trusted = event.isTrusted ? 1 : 0;
    nextFrame(() => nextFrame(() => {
      inputs = after(inputs, `"${type}",${began},${handled},${clock()},${trusted}`);
    }));
  };
  for (const type of ["pointerdown", "keydown"]) addEventListener(type, answered(type), true);
  try {
    new PerformanceObserver((list) => {
      for (const e of list.getEntries())
        if (e.name === "pointerdown" || e.name === "keydown")
          events = after(events, `"${e.name}",${e.startTime},${e.processingStart},${e.processingEnd},${e.duration}`);
    }).observe({ type: "event", durationThreshold: 16, buffered: true });
  } catch (_) { /* not every browser times events */ }

  // Asked once and at once, before any frame that counts; the context is given back.
  const renderer = (() => {
    try {
      const gl = document.createElement("canvas").getContext("webgl");
      const info = gl.getExtension("WEBGL_debug_renderer_info");
      const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
      gl.getExtension("WEBGL_lose_context").loseContext();
      return name;
    } catch (_) {
      return "";
    }
  })();
  const report = () => {
    const parts = `"window":[${windowed}],"xr":[${xr}],"inputs":[${inputs}],"events":[${events}],"states":[${states}]`;
    const about = batch
      ? ""
      : `,"about":{"agent":${quoted(`${navigator.userAgent}`)},"renderer":${quoted(renderer)},"xr":${"xr" in navigator}}`;
    windowed = xr = inputs = events = states = "";
    send(`{"batch":${batch++},"now":${clock()},"visible":${visible()},${parts}${about}}`);
  };
  state();
  later(report, 500);
})();

// Records when frames begin and how input is answered. It reports what it sees and judges nothing.
// The browser's own functions are taken before the page's scripts run, so that a page that replaces them is still seen.
(() => {
  "use strict";
  if (globalThis.__yanshouRecorder || top !== self) return;
  globalThis.__yanshouRecorder = true;
  const here = document.currentScript && document.currentScript.src;
  const clock = performance.now.bind(performance);
  const nextFrame = requestAnimationFrame.bind(globalThis);
  const later = setInterval.bind(globalThis);
  const bound = globalThis.__yanshou_report;
  delete globalThis.__yanshou_report; // the page's scripts must not report in its place
  const fetching = globalThis.fetch && fetch.bind(globalThis);
  const send = bound
    ? (text) => bound(text)
    : (text) => fetching(new URL("report", here || location.href), { method: "POST", mode: "no-cors", body: text }).catch(() => {});
  let batch = 0;
  const blank = () => ({ window: [], xr: [], inputs: [], events: [], states: [] });
  let kept = blank();

  const state = () => kept.states.push([clock(), document.visibilityState === "visible" ? 1 : 0]);
  document.addEventListener("visibilitychange", state, true);

  const frame = (time) => {
    kept.window.push([time, clock()]);
    nextFrame(frame);
  };
  nextFrame(frame);

  // Frames of an immersive session are those of the headset: whichever loop the page runs there is listened to.
  if (globalThis.XRSession) {
    const original = XRSession.prototype.requestAnimationFrame;
    let last = -1;
    XRSession.prototype.requestAnimationFrame = function (callback) {
      return original.call(this, (time, xrFrame) => {
        if (time !== last) kept.xr.push([(last = time), clock()]);
        callback(time, xrFrame);
      });
    };
  }

  // An input is answered by the frame that is drawn after its handlers: the second callback from now begins when that one is shown.
  const answered = (event) => {
    const handled = clock();
    nextFrame(() => nextFrame(() => kept.inputs.push([event.type, event.timeStamp, handled, clock(), event.isTrusted ? 1 : 0])));
  };
  for (const type of ["pointerdown", "keydown"]) addEventListener(type, answered, true);
  try {
    new PerformanceObserver((list) => {
      for (const e of list.getEntries())
        if (e.name === "pointerdown" || e.name === "keydown")
          kept.events.push([e.name, e.startTime, e.processingStart, e.processingEnd, e.duration]);
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
    const full = { batch: batch++, now: clock(), visible: document.visibilityState === "visible" ? 1 : 0, ...kept };
    if (full.batch === 0)
      full.about = { agent: navigator.userAgent, renderer, xr: "xr" in navigator, title: document.title };
    kept = blank();
    send(JSON.stringify(full));
  };
  state();
  later(report, 500);
})();

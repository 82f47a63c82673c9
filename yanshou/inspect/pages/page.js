// Improves forms that also work without it: shows what was chosen, how far an upload is, and warns before leaving what was not saved.
"use strict";
for (const form of document.querySelectorAll("form[data-upload]")) {
  const files = form.querySelector("input[type=file]");
  const chosen = form.querySelector("[data-chosen]");
  const sending = form.querySelector("[data-sending]");
  const say = (text) => { sending.hidden = false; sending.querySelector("span").textContent = text; };
  let touched = false;
  form.addEventListener("input", () => { touched = true; });
  addEventListener("beforeunload", (event) => { if (touched) event.preventDefault(); });
  files.addEventListener("change", () => {
    chosen.replaceChildren(...Array.from(files.files, (file) => {
      const figure = document.createElement("figure");
      if (file.type.startsWith("image/")) {
        const image = document.createElement("img");
        image.src = URL.createObjectURL(file);
        image.alt = "";
        figure.append(image);
      }
      figure.append(`${file.name} ${(file.size / 1048576).toFixed(1)} MiB`);
      return figure;
    }));
    chosen.hidden = !files.files.length;
  });
  form.addEventListener("submit", (event) => {
    const total = Array.from(files.files).reduce((sum, file) => sum + file.size, 0);
    if (total > Number(form.dataset.largest)) {
      event.preventDefault();
      say(`▲ 一次最多 ${form.dataset.largest / 1048576} MiB，没有发送`);
      return;
    }
    touched = false;
    if (!total) return;
    event.preventDefault();
    const body = new FormData(form, event.submitter);
    const request = new XMLHttpRequest();
    const buttons = form.querySelectorAll("button");
    const stop = (text) => { touched = true; say(text); buttons.forEach((b) => { b.disabled = false; }); };
    buttons.forEach((b) => { b.disabled = true; });
    request.upload.onprogress = (news) => {
      sending.querySelector("progress").value = news.loaded / news.total;
      say(news.loaded < news.total ? `已发送 ${Math.floor((100 * news.loaded) / news.total)}%` : "已发送，等待写入磁盘…");
    };
    request.onerror = () => stop("▲ 没有收到确认：连接断了。请再按一次，收过的文件不会收两遍");
    request.onload = () => {
      if (request.responseURL !== form.action) { location.assign(request.responseURL); return; }
      document.open(); document.write(request.responseText); document.close();
    };
    request.open("POST", form.action);
    request.send(body);
    say("已发送 0%");
  });
}

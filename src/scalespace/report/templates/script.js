"use strict";
/* A page without this script is whole: it adds the slider, the tooltips, and larger pictures on a phone. */
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const add = (parent, tag, of = {}) => parent.appendChild(Object.assign(document.createElement(tag), of));
  document.documentElement.classList.add("js");

  /* The page of a running study is loaded again and again: what a reader has moved or opened stays as it is. */
  const kept = (() => {
    const key = `scalespace ${location.pathname}`;
    let values = {};
    try { values = JSON.parse(sessionStorage.getItem(key)) ?? {}; } catch { /* there is no such storage, or nothing of ours in it */ }
    const put = (name, value) => {
      values[name] = value;
      try { sessionStorage.setItem(key, JSON.stringify(values)); } catch { /* as above */ }
    };
    return { get: (name) => values[name], put };
  })();

  /* The states of a reverse process: each canvas shows one cell of its row of the sheet. */
  for (const film of all(".film")) {
    const [wide, high] = film.dataset.cell.split("x").map(Number);
    const states = JSON.parse(film.dataset.states);
    const sheet = film.querySelector(".sheet"), slider = film.querySelector("input");
    const scales = all(".scales button", film), play = film.querySelector(".play");
    const contexts = all("canvas", film).map((canvas) => canvas.getContext("2d"));
    let timer = 0;
    const place = `film ${film.querySelector("h3").textContent}`;
    const show = () => {
      const k = Number(slider.value);
      kept.put(place, { k, of: states.length });
      contexts.forEach((one, row) => one.drawImage(sheet, k * wide, row * high, wide, high, 0, 0, wide, high));
      film.querySelector("output").value = `${states[k]} (${k + 1} of ${states.length})`;
      slider.setAttribute("aria-valuetext", states[k]);
      const now = scales.filter((one) => Number(one.value) <= k).pop();
      scales.forEach((one) => one.setAttribute("aria-pressed", one === now));
    };
    const to = (k) => { slider.value = k; show(); };
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    const step = () => Number(slider.value) < states.length - 1 ? to(Number(slider.value) + 1) : stop();
    slider.addEventListener("input", () => { stop(); show(); });
    scales.forEach((one) => one.addEventListener("click", () => { stop(); to(one.value); }));
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(slider.value) === states.length - 1) to(0);
      play.textContent = "Stop";
      timer = setInterval(step, Math.max(80, Math.min(500, 4000 / states.length)));
    });
    const before = kept.get(place);
    if (before?.of === states.length) slider.value = before.k;
    sheet.decode().then(() => { film.hidden = false; show(); });
  }

  for (const one of all("details")) {
    const place = `details ${one.querySelector("summary").textContent.split(":")[0]}`;
    if (kept.get(place)) one.open = true;
    one.addEventListener("toggle", () => kept.put(place, one.open));
  }

  /* What is known of an image: for a mouse, a finger, and the arrow keys. */
  const tip = add(document.body, "div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  let told = null;
  const hide = () => { told?.classList.remove("told"); told = null; tip.hidden = true; };
  const tell = (part) => {
    hide();
    if (part.title) { part.setAttribute("aria-label", part.title); part.removeAttribute("title"); }
    told = part;
    part.classList.add("told");
    tip.textContent = part.getAttribute("aria-label");
    tip.hidden = false;
    const box = part.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = box.left + (box.width - own.width) / 2, top = box.top - own.height - 6;
    tip.style.left = `${Math.max(6, Math.min(left, innerWidth - own.width - 6))}px`;
    tip.style.top = `${top < 0 ? box.bottom + 6 : top}px`;
  };
  const image = (event) => event.target.closest?.(".spots [role=img], .cells [role=img]");
  document.addEventListener("pointerover", (event) => { const part = image(event); part ? tell(part) : event.pointerType === "mouse" && hide(); });
  document.addEventListener("pointerdown", (event) => { const part = image(event); part ? tell(part) : hide(); });
  document.addEventListener("scroll", hide, { passive: true });
  for (const grid of all(".spots")) {
    const parts = [...grid.children], columns = Number(getComputedStyle(grid).getPropertyValue("--columns"));
    const ways = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    grid.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return hide();
      const way = ways[event.key], from = parts.indexOf(told);
      if (!way) return;
      event.preventDefault();
      const part = from < 0 ? parts[0] : parts[from + way];
      if (part?.getAttribute("role")) tell(part);
    });
    grid.addEventListener("blur", hide);
  }

  /* A chart that a narrow screen shows small can be had at its own size. */
  const large = add(document.body, "dialog", { className: "large" });
  large.addEventListener("click", () => large.close());
  for (const figure of all("main figure")) {
    const own = figure.querySelector("picture");
    if (!own) continue;
    const button = add(figure.querySelector("figcaption"), "button", { type: "button", className: "enlarge", textContent: "Enlarge" });
    const small = () => { button.hidden = own.querySelector("img").width > 0.9 * parseInt(figure.style.getPropertyValue("--width")); };
    addEventListener("resize", small);
    small();
    button.addEventListener("click", () => {
      large.replaceChildren(own.cloneNode(true), Object.assign(document.createElement("button"), { textContent: "Close" }));
      large.showModal();
    });
  }

  /* A study that was killed cannot say so itself: its page grows old. */
  const status = document.querySelector(".status[data-silent]");
  if (status) {
    const age = (Date.now() - Date.parse(status.querySelector("time").dateTime)) / 1000;
    if (age > Number(status.dataset.silent)) {
      status.querySelector("b").textContent = `This study has stopped: its page is ${Math.round(age / 60)} minutes old.`;
      status.querySelector(".state").textContent = "The same command continues it.";
    }
  }
})();

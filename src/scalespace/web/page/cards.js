// A card shows one model's images, the steps that led to them, and the code that does the same.

import { make, seconds, still } from "./dom.js";

/** Milliseconds that a step stays. Most are computed in less, and would not be seen. */
const PACE = 110;

/**
 * A card for the events of one run.
 *
 * start: the values of its event `start`.
 * take: called with the address of a picture that is pressed.
 * only: which single image it shows; undefined: all of them.
 */
export function card(start, take, only) {
  const where = make("span", { className: "facts" }), facts = make("p", { className: "facts" });
  const way = make("div", { className: "way" });
  const slider = make("input", {
    type: "range", min: 0, max: 0, value: 0, ariaLabel: `step of ${start.model}`,
  });
  const frames = [];
  let shown = -1, timer = 0, held = false, end = null;

  const images = Array.from({ length: only === undefined ? start.labels.length : 1 }, () => make("img", { alt: "" }));
  const pictures = make("div", { className: "pictures" }, ...images.map((image) => make("button", {
    type: "button", className: "picture", title: "Take it to the drawing board", onclick: () => take(image.src),
  }, image)));
  pictures.classList.toggle("one", images.length === 1);

  const node = make("figure", {}, make("figcaption", {}, make("b", { textContent: start.model }), where));
  if (start.given) {
    node.append(make("div", { className: "given facts" },
      make("img", { src: start.given.image, alt: "the drawing at the coarse size", style: `aspect-ratio: ${ratio(start.given.size)}` }),
      `the drawing at ${start.given.size.join("×")}, which is given to the upscaler`));
  }
  node.append(pictures, way, slider, facts, make("details", {},
    make("summary", { textContent: "The same as code" }),
    code("Python", start.python), code("Command line", start.shell)));

  function show(k) {
    shown = k;
    const frame = frames[k], last = end && k === frames.length - 1;
    images.forEach((image, i) => {
      const j = only ?? i;
      image.src = frame.images[j];
      image.style.aspectRatio = ratio(frame.size);
      image.alt = `${start.classes[j]}, ${last ? "finished" : `state ${frame.state}`}`;
    });
    const at = frame.segment ? `state ${+frame.state.toFixed(2)} of ${frame.segment}` : "finished";
    where.textContent = `${at}, ${frame.size.join("×")}`;
    slider.max = frames.length - 1;
    slider.value = k;
    slider.ariaValueText = where.textContent;
    way.replaceChildren(...dots(frames, k));
    facts.textContent = last ? told() : `after ${seconds(frame.seconds)}`;
  }
  function told() {
    const n = start.labels.length;
    return `${end.calls} network calls an image, ${seconds(end.seconds)} for ${n === 1 ? "it" : `all ${n}`}`;
  }
  function tick() {
    timer = 0;
    if (held || shown === frames.length - 1) {
      if (end) show(shown);
      return;
    }
    show(still ? frames.length - 1 : shown + 1);
    timer = setTimeout(tick, PACE);
  }
  slider.oninput = () => {
    held = true;
    show(+slider.value);
  };

  return {
    node,
    add(frame) {
      frames.push(frame);
      slider.max = frames.length - 1;
      if (!timer) tick();
    },
    ended(values) {
      end = values;
      if (!timer && shown >= 0) show(shown);
    },
    turn(k) {
      only = k;
      if (shown >= 0) show(shown);
    },
  };
}

const ratio = ([height, width]) => `${width} / ${height}`;

/** The way through the scales: a dot a step, filled up to step `k`. */
function dots(frames, k) {
  const runs = [];
  frames.forEach(({ segment, size }, i) => {
    const name = segment || "end";
    if (runs.at(-1)?.name !== name) runs.push({ name, size, dots: "" });
    runs.at(-1).dots += i <= k ? "●" : "○";
  });
  return runs.map(({ name, size, dots }) => make("span", {}, make("b", { textContent: name }), ` ${size.join("×")} ${dots}`));
}

function code(title, text) {
  const pre = make("pre", { textContent: text.trim(), tabIndex: 0 });
  const button = make("button", { type: "button", textContent: "Copy", ariaLabel: `Copy: ${title}` });
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {  // there is no clipboard without https, but for this machine's own pages
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  return make("div", { className: "code" }, make("p", { className: "facts" }, title, button), pre);
}

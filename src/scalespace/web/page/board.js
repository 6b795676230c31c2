// The drawing board: ten dots a pixel. `drawing` gives what the models see of it.

import { $, behavior, make } from "./dom.js";

const DOTS = 10, STEPS_BACK = 30;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const board = $("#board"), pen = $(".pen"), seen = $("#seen");
const ink = board.getContext("2d", { willReadFrequently: true });
const history = [];
let size = [28, 28], coloured = false, at = null, down = false, looking = 0;

/** Prepares the board for images of another size or kind. */
export function prepare([height, width], channels) {
  if (coloured !== (channels === 3)) {
    coloured = !coloured;
    $("#fit").checked = !coloured;
    $("#ink").parentElement.hidden = !coloured;
    look();
  }
  if (size[0] === height && size[1] === width && board.width === width * DOTS) return;
  size = [height, width];
  Object.assign(board, { width: width * DOTS, height: height * DOTS });
  Object.assign(seen, { width, height });
  history.length = 0;
  at = null;
  wipe();
}

/** Shows a picture on the board, where it can be changed. */
export function take(source) {
  const image = new Image();
  image.onload = () => {
    keep();
    ink.imageSmoothingEnabled = false;
    ink.drawImage(image, 0, 0, board.width, board.height);
    ink.imageSmoothingEnabled = true;
    $("#fit").checked = false;
    look();
    board.scrollIntoView({ behavior, block: "center" });
    board.focus({ preventScroll: true });
  };
  image.src = source;
}

/** The drawing as rows of grey values, or of colours: the mean of each pixel's dots. */
export function drawing() {
  const source = $("#fit").checked ? fitted() : board;
  const { data } = source.getContext("2d").getImageData(0, 0, board.width, board.height);
  return Array.from({ length: size[0] }, (_, y) => Array.from({ length: size[1] }, (_, x) => {
    const mean = (channel) => {
      let sum = 0;
      for (let v = 0; v < DOTS; v++) {
        for (let u = 0; u < DOTS; u++) sum += data[4 * ((y * DOTS + v) * board.width + x * DOTS + u) + channel];
      }
      return Math.round(sum / DOTS ** 2);
    };
    return coloured ? [0, 1, 2].map(mean) : mean(0);
  }));
}

function keep() {
  history.push(ink.getImageData(0, 0, board.width, board.height));
  if (history.length > STEPS_BACK) history.shift();
}

function wipe() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, board.width, board.height);
  look();
}

function undo() {
  if (!history.length) return;
  ink.putImageData(history.pop(), 0, 0);
  look();
}

function line(from, to) {
  ink.strokeStyle = $("#erase").checked ? "#000" : coloured ? $("#ink").value : "#fff";
  ink.lineWidth = Math.max(board.width, board.height) / 28 * 2.1;
  ink.lineCap = ink.lineJoin = "round";
  ink.beginPath();
  ink.moveTo(...from);
  ink.lineTo(to[0] + .01, to[1]);
  ink.stroke();
  look();
}

// By mouse, pen or finger

function place(event) {
  const box = board.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * board.width, (event.clientY - box.top) / box.height * board.height];
}

board.onpointerdown = (event) => {
  board.setPointerCapture(event.pointerId);
  pen.hidden = true;
  keep();
  at = place(event);
  down = true;
  line(at, at);
};
board.onpointermove = (event) => {
  if (!down || !event.buttons) return;
  const to = place(event);
  line(at, to);
  at = to;
};
board.onpointerup = board.onpointercancel = () => { down = false; };

// By keyboard

board.onkeydown = (event) => {
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) undo();
  else if (event.key === " ") press();
  else if (event.key in KEYS) move(KEYS[event.key]);
  else return;
  event.preventDefault();
};

function press() {
  at ??= [board.width / 2, board.height / 2];
  down = !down;
  if (down) {
    keep();
    line(at, at);
  }
  point();
}

function move(by) {
  at ??= [board.width / 2, board.height / 2];
  const to = by.map((d, k) => Math.min(Math.max(at[k] + d * DOTS, 0), k ? board.height : board.width));
  if (down) line(at, to);
  at = to;
  point();
}

function point() {
  pen.hidden = false;
  pen.classList.toggle("down", down);
  pen.style.left = `${100 * at[0] / board.width}%`;
  pen.style.top = `${100 * at[1] / board.height}%`;
}

board.onblur = () => {
  pen.hidden = true;
  down = false;
};

$("#clear").onclick = () => {
  keep();
  wipe();
};
$("#undo").onclick = undo;
$("#fit").onchange = look;

// As the models see it

function look() {
  looking ||= requestAnimationFrame(() => {
    looking = 0;
    const context = seen.getContext("2d"), image = context.createImageData(size[1], size[0]);
    drawing().flat().forEach((pixel, k) => image.data.set([...(coloured ? pixel : [pixel, pixel, pixel]), 255], 4 * k));
    context.putImageData(image, 0, 0);
  });
}

/** The board after MNIST's preparation: the longer side takes 20 of 28 pixels, the centre of mass is in the middle. */
function fitted() {
  const { width, height } = board, { data } = ink.getImageData(0, 0, width, height);
  let [left, top, right, bottom, mass, cx, cy] = [width, height, -1, -1, 0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const grey = Math.max(...data.subarray(4 * (y * width + x), 4 * (y * width + x) + 3));
      if (grey < 40) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += grey;
      cx += grey * x;
      cy += grey * y;
    }
  }
  if (!mass) return board;
  const scale = Math.min(4, 20 / 28 * Math.min(width, height) / Math.max(right - left + 1, bottom - top + 1));
  const other = make("canvas", { width, height }), context = other.getContext("2d");
  context.fillRect(0, 0, width, height);
  // ... or as near to it as leaves the whole drawing inside
  const shift = (middle, low, high, side) => Math.min(Math.max(side / 2 - scale * middle, DOTS - scale * low), side - DOTS - scale * (high + 1));
  context.setTransform(scale, 0, 0, scale, shift(cx / mass, left, right, width), shift(cy / mass, top, bottom, height));
  context.drawImage(board, 0, 0);
  return other;
}

// Wires the page's parts to the server: make, draw, and between two seeds.

import * as board from "./board.js";
import { $, make, percent } from "./dom.js";
import { choice, chosen, classesOf, classesTold, labelsIn, load, named, someClasses } from "./models.js";
import { post } from "./server.js";
import { work } from "./work.js";

// Make

const making = $("#make").closest("section");

$("#make").onsubmit = (event) => {
  event.preventDefault();
  if (!chosen().length) {
    $(".status", making).textContent = "Choose a model first.";
    return;
  }
  const labels = labelsIn($("#labels").value), strange = labels.find((label) => typeof label === "string");
  if (strange !== undefined) {
    $(".status", making).textContent = `Not done: ${strange} is none of the classes.`;
    return;
  }
  work(making, "api/sample", { models: chosen().map(({ name }) => choice(name)), labels, seed: +$("#seed").value }, board.take);
};
$("#another").onclick = () => {
  $("#seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
  $("#make").requestSubmit();
};

// Draw

const editing = $("#edit"), part = $("#part"), READ = "read";

editing.onsubmit = (event) => {
  event.preventDefault();
  const task = event.submitter?.dataset.task ?? "enlarge", image = board.drawing(), name = $("#edit-model").value;
  if (!image.flat(2).some(Boolean)) $(".status", editing).textContent = "Draw something first.";
  else if (task === "judge") judged(name, image);
  else work(editing, `api/${task}`, asked(task, name, image), board.take);
};

async function asked(task, name, image) {
  const body = { model: choice(name), image, seed: +$("#edit-seed").value };
  if (task === "redraw") [body.segment, body.state] = JSON.parse($("#state").value);
  if (task === "fill") body.keep = part.hidden ? $("#keep").value : framed().map((range) => range.join(":")).join();
  body.label = await label(name, image);
  return body;
}

async function label(name, image) {
  const { value } = $("#edit-label");
  return value === READ ? read(name, image) : +value;
}

async function judged(name, image) {
  try {
    await read(name, image);
  } catch (error) {
    $(".status", editing).textContent = `Not read: ${error.message}`;
  }
}

/** Shows what the judge reads in a drawing, and gives the most probable class. */
async function read(model, image) {
  const { classes, probabilities } = await (await post("api/judge", { model, image })).json();
  const best = probabilities.indexOf(Math.max(...probabilities)), table = $(".reading", editing);
  $(".status", editing).textContent = `The judge reads ${classes[best]} (${percent(probabilities[best])}).`;
  table.hidden = false;
  table.replaceChildren(...classes.flatMap((name, k) => {
    const bar = make("i"), share = percent(probabilities[k]);
    bar.style.width = share;
    return [make(k === best ? "b" : "span", { textContent: name }), make("span", {}, bar), make("span", { textContent: share })];
  }));
  return best;
}

$("#save").onclick = async () => {
  const image = board.drawing();
  try {
    const file = await (await post("api/drawing", { image, label: await label($("#edit-model").value, image) })).blob();
    const link = make("a", { href: URL.createObjectURL(file), download: "drawing.npz" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    $(".status", editing).textContent = `Not saved: ${error.message}`;
  }
};

/** The rows and the columns that stay: [first, end] of either. */
function framed() {
  const [top, bottom, left, right] = ["top", "bottom", "left", "right"].map((side) => +$(`#part-${side}`).value);
  return [[top, bottom], [left, right]];
}

/** Shows on the drawing which part stays, while a part of one's own is chosen. */
function frame() {
  part.hidden = part.disabled = $("#keep").value !== "part";
  const box = $(".frame"), { size: [height, width] } = named($("#edit-model").value);
  const [[top, bottom], [left, right]] = framed();
  box.hidden = part.hidden;
  box.style.inset = [top / height, 1 - right / width, 1 - bottom / height, left / width].map(percent).join(" ");
}
$("#keep").onchange = part.oninput = frame;

$("#edit-model").onchange = () => {
  const model = named($("#edit-model").value), [height, width] = model.size;
  const read = model.judged ? [make("option", { value: READ, textContent: "what the judge reads" })] : [];
  classesOf($("#edit-label"), model, ...read);
  board.prepare(model.size, model.channels);
  $("#state").replaceChildren(...model.segments.map(({ name, size, least, last }) => make("optgroup", { label: `${name}, ${size.join("×")}` },
    ...Array.from({ length: last - least + 1 }, (_, k) => last - k).map((t) => make("option", { value: JSON.stringify([name, t]), textContent: `state ${t} of ${name}` })))));
  const [first] = model.segments;
  if (first) $("#state").value = JSON.stringify([first.name, Math.max(first.least, Math.round(.6 * first.last))]);
  for (const [side, whole] of Object.entries({ top: height, bottom: height, left: width, right: width })) {
    const far = side === "bottom" || side === "right";
    Object.assign($(`#part-${side}`), { max: whole, value: Math.round(whole * (far ? .75 : .25)) });
  }
  frame();
  for (const [task, able] of Object.entries({ enlarge: "enlarges", redraw: "redraws", fill: "fills", read: "judged" })) {
    $(`#${task}`).disabled = !model[able];
  }
};

// Between two seeds

const passing = $("#between").closest("section");

$("#between-model").onchange = () => classesOf($("#between-label"), named($("#between-model").value));
$("#between").onsubmit = (event) => {
  event.preventDefault();
  const slider = $("#where"), count = +$("#count").value, cards = [];
  const told = () => { slider.ariaValueText = `image ${+slider.value + 1} of ${count}`; };
  slider.max = count - 1;
  slider.value = Math.floor((count - 1) / 2);
  slider.parentElement.hidden = false;
  slider.oninput = () => {
    cards[0]?.turn(+slider.value);
    told();
  };
  told();
  const seeds = { seed: +$("#from").value, to_seed: +$("#to").value };
  const body = { model: choice($("#between-model").value), label: +$("#between-label").value, count, ...seeds };
  work(passing, "api/interpolate", body, board.take, +slider.value, cards);
};

// A field that is wrong shows itself, also among settings that are folded away
document.addEventListener("invalid", ({ target }) => { if (target.closest("details")) target.closest("details").open = true; }, true);

try {
  await load($("#models"), [$("#edit-model"), $("#between-model")]);
  let offered = $("#labels").value;
  $("#models").onchange = () => {
    $("#classes").textContent = classesTold();
    if ($("#labels").value === offered) $("#labels").value = offered = someClasses() || offered;
  };
  for (const id of ["#models", "#edit-model", "#between-model"]) $(id).onchange();
} catch (error) {
  $("#failed").textContent = error.message;
  $("#failed").hidden = false;
}

// The models, and how each is to be sampled.

import { $, make } from "./dom.js";
import { get } from "./server.js";

let models = [];
const settings = {};

export const named = (name) => models.find((model) => model.name === name);
export const chosen = () => models.filter((model) => settings[model.name].tick.checked);

/** Fetches the models, and offers them in a box and in lists. */
export async function load(box, selects) {
  ({ models } = await (await get("api/models")).json());
  const first = named("cascaded") ?? models[0];
  box.replaceChildren(...models.map((model) => offer(model, model === first)));
  for (const select of selects) {
    select.replaceChildren(...models.map(({ name }) => make("option", { value: name, textContent: name, selected: name === first.name })));
  }
}

function offer(model, checked) {
  const tick = make("input", { type: "checkbox", checked });
  const box = make("div", { className: "settings" }), own = { tick, steps: {} };
  const number = (text, fields) => {
    const input = make("input", { type: "number", ...fields });
    box.append(make("label", {}, make("span", { textContent: text }), input));
    return input;
  };
  for (const { name, most, calls } of model.segments) {
    if (most > 1) own.steps[name] = number(`calls of ${name}`, { min: 1, max: most, placeholder: calls });
  }
  if (model.guided) own.guidance = number("guidance", { min: 0, max: 20, step: "any", placeholder: model.guidance });
  if (model.temperature !== null) {
    own.temperature = number("temperature", { min: 0.05, max: 3, step: "any", placeholder: model.temperature });
  }
  settings[model.name] = own;
  const sizes = model.segments.map(({ size }) => size.join("×")).join(" → ");
  const about = `${model.title}${sizes && `, ${sizes}`}: ${model.calls} calls, ${Math.round(model.parameters / 1000)} thousand parameters`;
  const node = make("div", { className: "model" }, make("label", {}, tick, model.name), make("p", { className: "facts", textContent: about }));
  if (box.children.length) node.append(make("details", {}, make("summary", { textContent: "Settings" }), box));
  return node;
}

/** A model with its settings, as the server is asked for it. */
export function choice(name) {
  const own = settings[name], found = { name }, steps = {};
  for (const [segment, input] of Object.entries(own.steps)) if (input.value) steps[segment] = +input.value;
  if (Object.keys(steps).length) found.steps = steps;
  for (const field of ["guidance", "temperature"]) if (own[field]?.value) found[field] = +own[field].value;
  return found;
}

/** Offers a model's classes in a list, after some other options, and keeps what was selected. */
export function classesOf(select, model, ...before) {
  const value = select.value;
  select.replaceChildren(...before, ...model.labels.map((label) => make("option", { value: label, textContent: model.classes[label] })));
  if ([...select.options].some((option) => option.value === value)) select.value = value;
}

const byNumber = ({ classes }) => classes.every((name, k) => name === String(k));

/** The classes of the first chosen model, in words. */
export function classesTold() {
  const [first] = chosen();
  if (!first) return "Choose a model.";
  const { labels, classes } = first;
  if (!byNumber(first)) return `By number or by name: ${labels.map((k) => `${k} ${classes[k]}`).join(", ")}.`;
  return `Classes ${labels[0]} to ${labels.at(-1)}, with commas between them.`;
}

/** Some classes that the first chosen model has, to begin with. */
export function someClasses() {
  const [first] = chosen(), digits = [2, 0, 2, 6];
  if (!first) return "";
  const { labels, classes } = first;
  if (byNumber(first) && digits.every((label) => labels.includes(label))) return digits.join(", ");
  return labels.slice(0, 4).map((label) => classes[label]).join(", ");
}

/** What is written, as labels: numbers, and names of the first chosen model's classes. What is neither stays a word. */
export function labelsIn(text) {
  const { classes } = chosen()[0], words = text.split(",").map((word) => word.trim()).filter(Boolean);
  return words.flatMap((word) => {
    if (/^[\d\s]+$/.test(word)) return word.split(/\s+/).map(Number);
    return classes.includes(word) ? classes.indexOf(word) : word;
  });
}

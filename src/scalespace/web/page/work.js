// Carries out one task at a time in each part of the page.

import { card } from "./cards.js";
import { $, behavior } from "./dom.js";
import { events } from "./server.js";

const running = new Map();

/**
 * Asks for a task, and shows what comes; a new task of the part, or Stop, ends the one before.
 *
 * part: an element that holds a `.stop`, a `.status` and a `.results`.
 * body: a promise of what to send.
 * take: what a card does with a picture that is pressed.
 * only: which single image its cards show.
 * cards: they are put here.
 */
export async function work(part, path, body, take, only, cards = []) {
  running.get(part)?.abort();
  const control = new AbortController();
  const [status, stop, results] = [".status", ".stop", ".results"].map((query) => $(query, part));
  running.set(part, control);
  stop.hidden = false;
  stop.onclick = () => control.abort();
  status.textContent = "working…";
  try {
    for await (const [name, data] of events(path, await body, control.signal)) {
      const one = cards[data.run];
      if (name === "start") {
        cards[data.run] = card(data, take, only);
        results.replaceChildren(...cards.map(({ node }) => node));
      } else if (name === "step") {
        one.add(data);
        if (data.run === 0 && data.number === 1) one.node.scrollIntoView({ behavior, block: "nearest" });
      } else if (name === "end") one.ended(data);
      else if (name === "done") status.textContent = "finished";
    }
  } catch (error) {
    if (running.get(part) !== control) return;
    status.textContent = error.name === "AbortError" ? "stopped" : `Not done: ${error.message}`;
  } finally {
    if (running.get(part) === control) {
      running.delete(part);
      stop.hidden = true;
    }
  }
}

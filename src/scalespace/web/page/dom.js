// What all parts of the page share.

export const $ = (query, within = document) => within.querySelector(query);

/** A new element with some of its properties set, and with children. */
export function make(tag, fields = {}, ...children) {
  const node = Object.assign(document.createElement(tag), fields);
  node.append(...children);
  return node;
}

export const seconds = (s) => (s < 1 ? `${Math.round(1000 * s)} ms` : `${s.toFixed(1)} s`);
export const percent = (p) => `${(100 * p).toFixed(1)}%`;

/** Whether whoever reads wants nothing to move. */
export const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
export const behavior = still ? "auto" : "smooth";

// What the pages tell: their status, a problem, and that a key is wanted.

import { byId, el } from "./dom.js";

export const say = (text) => {
  byId("status").textContent = text;
};

export function complain(error) {
  const { got, expected } = error.problem ?? {};
  const details = [got && `Got ${got}.`, expected && `Expected ${expected}.`].filter(Boolean).join(" ");
  byId("problem").replaceChildren(el("b", { text: error.message }), details ? ` ${details}` : "");
  byId("problem").hidden = false;
  say("");
}

export function needKey() {
  byId("key-form").hidden = false;
}

// Corrections: one click opens the choices, the second sends one of them to /v1/feedback.

import { sendFeedback } from "./api.js";
import { el } from "./dom.js";
import { cueLabel, percent } from "./words.js";

const LABELS = ["negative", "neutral", "positive"];
// The value that a state is told of where the model read none.
const FIRST = { redress: "refund", speed: "fast", responder: "executive" };

/** The choices for the sentiment of an utterance: [words, item to send]. */
export function sentimentChoices(thread, utterance) {
  const { label, negative, neutral, positive } = utterance.sentiment;
  const base = {
    kind: "sentiment",
    text: utterance.text,
    thread_id: thread.id,
    utterance_id: utterance.id,
    predicted: { label, probabilities: { negative, neutral, positive } },
  };
  return LABELS.map((name) => [name === label ? `${name} is right` : `it is ${name}`, { ...base, label: name }]);
}

/** The choices for a cue. cues: the values of every cue, as /v1/model lists them. */
export function cueChoices(thread, utterance, cue, cues) {
  const value = cue.value ?? FIRST[cue.cue] ?? cues[cue.cue]?.[0];
  const base = {
    kind: "cue",
    text: utterance.text,
    quote: cue.quote,
    cue: cue.cue,
    value,
    thread_id: thread.id,
    utterance_id: utterance.id,
    predicted: { value: cue.value, state: cue.state, probability: cue.probability },
  };
  const words = {
    not_mentioned: "wrong: not mentioned",
    hypothetical: "only imagined or advised",
    absent: "said not to have happened",
    present: cue.value === null ? `it happened (${cueLabel(cue.cue, value)})` : "it did happen",
  };
  const others = Object.keys(words).filter((state) => state !== cue.state);
  return [
    ...others.map((state) => [words[state], { ...base, state }]),
    ["this is right", { ...base, state: cue.state }],
  ];
}

/** A button that opens and closes the choices below `below`. needKey: called where the server wants another key. */
export function correctable(button, below, question, choices, needKey) {
  let panel = null;
  const close = () => {
    panel?.remove();
    panel = null;
    button.setAttribute("aria-expanded", "false");
  };
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    if (panel) return close();
    panel = choicePanel(question, choices, needKey, () => {
      close();
      button.focus();
    });
    below.after(panel);
    button.setAttribute("aria-expanded", "true");
    return panel.querySelector("button").focus();
  });
}

function choicePanel(question, choices, needKey, close) {
  const said = el("p", { class: "said", role: "status" });
  const buttons = choices.map(([words, item]) =>
    el("button", { type: "button", class: "choice", text: words, on: { click: () => send(item) } }),
  );
  async function send(item) {
    buttons.forEach((b) => {
      b.disabled = true;
    });
    said.textContent = "Sending …";
    try {
      const kept = await sendFeedback(item);
      said.textContent = `Kept as number ${kept.id}. Thank you.`;
    } catch (error) {
      said.textContent = refusal(error);
      buttons.forEach((b) => {
        b.disabled = false;
      });
      if (error.needsKey) needKey(error);
    }
  }
  const dismiss = el("button", { type: "button", class: "link", text: "Close", on: { click: close } });
  const panel = el(
    "div",
    { class: "correct", role: "group", "aria-label": question },
    el("p", { class: "question", text: question }),
    el("div", { class: "choices" }, buttons, dismiss),
    said,
  );
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  return panel;
}

function refusal(error) {
  if (error.status === 404) return "This server keeps no feedback: it has no place for it.";
  if (error.status === 401) return "Not sent: the server asks for an API key that may write.";
  if (error.status === 403) return "Not sent: this API key may only read.";
  return `Not sent: ${error.message}`;
}

export const cueQuestion = (mark) => `“${mark.label}”, ${percent(mark.probability)} sure. What does the text say?`;

// One customer: the estimate with its interval, why, in whose words, and what comparable posts with other conduct had.

import * as api from "./api.js";
import { comparison, contributions, explained } from "./charts.js";
import { el, legend, stackedBar } from "./dom.js";
import { BANDS, SEVERITIES, TONES, cueLabel, featureLabel, percent, plain, signed } from "./words.js";

const TOGGLES = [
  ["solved", "yes", "problem solved"],
  ["redress", "refund", "refund"],
  ["redress", "replacement", "replacement"],
  ["redress", "repair", "repair"],
  ["redress", "voucher", "voucher"],
  ["apology", "given", "apology"],
  ["responsibility", "accepted", "took responsibility"],
  ["explanation", "given", "explanation"],
  ["contact", "made", "got in touch"],
  ["follow_up", "done", "followed up"],
  ["speed", "fast", "answered fast"],
];

/** The card of a case with an estimate. goto(utterance, start): shows the words in the thread. */
export function customerCard(one, goto) {
  const l = one.loyalty;
  const told = el(
    "section",
    { class: "whatif", "aria-label": "What if", "aria-busy": "true" },
    el("p", { class: "soft", text: "Reading what could still be done …" }),
  );
  const why = el(
    "section",
    { "aria-label": "Why" },
    contributions(l),
    table(l),
    quotes(one, goto),
    answered(one, goto),
    l.missing.length
      ? el(
          "p",
          { class: "unknown" },
          el("b", { text: "Not known. " }),
          `The author reports nothing about ${l.missing.map(plain).join(", ")}; wishes are no reports. `,
          "What is not mentioned is not counted as absent.",
        )
      : null,
  );
  const card = el(
    "article",
    { class: "card", "aria-label": `Customer ${one.author}` },
    el(
      "header",
      {},
      el("h3", {}, el("bdi", { text: one.author })),
      el("span", { class: `pill band-${l.band}`, text: BANDS[l.band] }),
      one.status === "ok" ? null : el("span", { class: "pill caution", text: plain(one.status) }),
    ),
    el("p", { class: "facts", text: facts(one) }),
    one.status !== "ok" && one.reason ? el("p", { class: "reason", text: `${one.reason}.` }) : null,
    el(
      "p",
      { class: "index" },
      el("b", { text: l.index.toFixed(0) }),
      el("span", { text: `loyalty index from 0 to 100; 80 % interval ${l.low.toFixed(0)} to ${l.high.toFixed(0)}` }),
    ),
    el(
      "div",
      { class: "bars" },
      shares("Buys again", l.repurchase, ["leave", "undecided", "stay"]),
      shares("Word of mouth", l.wom, ["negative", "mixed", "positive"]),
    ),
    parts([
      ["Why this index", why],
      ["What if", told],
    ]),
    el("p", { class: "claim", text: `${l.claim[0].toUpperCase()}${l.claim.slice(1)}.` }),
  );
  return {
    card,
    advised: (advice, place) => fillWhatIf(told, one, advice, place),
    failed: (error) => noWhatIf(told, error),
  };
}

/** Several sections of which one is shown, with a button for each. */
function parts(named) {
  const show = (chosen) =>
    named.forEach(([, section], i) => {
      section.hidden = i !== chosen;
      buttons[i].setAttribute("aria-pressed", String(i === chosen));
    });
  const buttons = named.map(([name], i) => el("button", { type: "button", text: name, on: { click: () => show(i) } }));
  show(0);
  return [
    el("div", { class: "switch", role: "group", "aria-label": "What to show" }, buttons),
    ...named.map(([, section]) => section),
  ];
}

function facts(one) {
  const failed = one.failure && one.failure !== "none";
  const what = failed
    ? `${one.failure} failure${one.severity === null ? "" : `, ${SEVERITIES[one.severity]}`}`
    : "no failure reported";
  return `${one.role}${one.role_probability === 1 ? "" : `, ${percent(one.role_probability)}`} · ${what}`;
}

function shares(title, values, order) {
  const parts = order.map((name) => ({ name, tone: TONES[name], share: values[name], value: percent(values[name]) }));
  return el("figure", {}, el("figcaption", { text: title }), stackedBar(parts, title, true), legend(parts));
}

/** The numbers of the chart for those who can't see it. */
function table(loyalty) {
  const { base, shown, rest, others } = explained(loyalty);
  const row = (name, value) => el("tr", {}, el("th", { scope: "row", text: name }), el("td", { text: value }));
  return el(
    "table",
    { class: "hidden" },
    el("caption", { text: "What moves the index, in points" }),
    el(
      "tbody",
      {},
      row("nothing known", base.toFixed(0)),
      shown.map((e) => row(featureLabel(e.feature), signed(e.contribution))),
      others ? row(`${others} smaller ones`, signed(rest)) : null,
      row("index", loyalty.index.toFixed(0)),
    ),
  );
}

/** What accounts of the company say in the thread to have done for this customer, who has not reported it. */
function answered(one, goto) {
  if (!one.answers.length) return null;
  const items = one.answers.map((c) =>
    quoted([[cueLabel(c.cue, c.value), percent(c.probability)]], "present", c, goto),
  );
  return el(
    "details",
    { open: "" },
    el("summary", { text: "The company's own answer, not counted" }),
    el("ul", { class: "quotes" }, items),
  );
}

function quotes(one, goto) {
  const evidence = explained(one.loyalty).shown.filter((e) => e.quote);
  const items = together(evidence).map((same) =>
    quoted(
      same.map((e) => [featureLabel(e.feature), signed(e.contribution)]),
      "present",
      same[0],
      goto,
    ),
  );
  const known = new Set(evidence.map((e) => e.feature));
  const sure = (label, kind, where) => quoted([[label, percent(where.probability)]], kind, where, goto);
  const more = one.cues
    .filter((c) => !known.has(`${c.cue}:${c.value}`))
    .map((c) =>
      sure(
        c.state === "hypothetical" ? `hypothetical: ${cueLabel(c.cue, c.value)}` : cueLabel(c.cue, c.value),
        c.state,
        c,
      ),
    );
  const said = one.stated.map((s) => sure(`says: ${s.kind}`, "stated", s));
  const held = one.tenure ? [sure("customer before", "tenure", one.tenure)] : [];
  const rest = [...more, ...said, ...(known.has("tenure") ? [] : held)];
  return [
    items.length ? el("ul", { class: "quotes", "aria-label": "In their words" }, items) : null,
    rest.length
      ? el(
          "details",
          {},
          el("summary", { text: `Also read in the text (${rest.length})` }),
          el("ul", { class: "quotes" }, rest),
        )
      : null,
  ];
}

/** Evidence in groups that quote the same words, in the order of the first of each. */
function together(evidence) {
  const groups = new Map();
  for (const one of evidence) {
    const place = `${one.start} ${one.end} ${one.utterance}`;
    groups.set(place, [...(groups.get(place) ?? []), one]);
  }
  return [...groups.values()];
}

/** Labels with their numbers, and the words that they come from; a click shows where they stand. */
function quoted(labels, kind, where, goto) {
  const words = el("q", { dir: "auto", text: where.quote });
  const link =
    where.utterance === null
      ? words
      : el(
          "button",
          { type: "button", class: "quote", on: { click: () => goto(where.utterance, where.start) } },
          words,
        );
  return el(
    "li",
    {},
    labels.map(([label, number]) => [
      el("span", { class: `tag tag-${kind}`, text: label }),
      " ",
      el("span", { class: "soft", text: number }),
      " ",
    ]),
    link,
  );
}

function noWhatIf(section, error) {
  section.removeAttribute("aria-busy");
  section.replaceChildren(el("p", { class: "soft", text: `Not available: ${error.message}` }));
}

function fillWhatIf(section, one, advice, place) {
  section.removeAttribute("aria-busy");
  const gains = new Map(advice.actions.map((a) => [a.change, a]));
  const answer = el("div", { class: "answer", role: "status" });
  const chips = TOGGLES.map(([cue, value, words]) => chip(cue, value, words, one, gains.get(`${cue}=${value}`)));
  const boxes = chips.map((c) => c.box);
  const ask = asking(advice.case, answer);
  boxes.forEach((box) =>
    box.addEventListener("change", () => {
      if (box.checked)
        boxes
          .filter((b) => b !== box && b.dataset.cue === box.dataset.cue)
          .forEach((b) => {
            b.checked = false;
          });
      ask(Object.fromEntries(boxes.filter((b) => b.checked).map((b) => [b.dataset.cue, b.dataset.value])));
    }),
  );
  const first =
    place === null
      ? null
      : el(
          "p",
          { class: "first" },
          el("b", { text: place === 1 ? "To contact first: " : `Number ${place} to contact: ` }),
          advice.reasons.join("; "),
        );
  section.replaceChildren(
    ...[
      first,
      advice.note ? el("p", { class: "soft", text: `${advice.note}.` }) : null,
      el("p", { class: "ask-what", text: "What if the post reported …" }),
      el(
        "div",
        { class: "chips", role: "group", "aria-label": "What if the post reported" },
        chips.map((c) => c.label),
      ),
      answer,
    ].filter(Boolean),
  );
}

function chip(cue, value, words, one, action) {
  const told = one.cues.some((c) => c.cue === cue && c.value === value && c.state !== "hypothetical");
  const box = el("input", { type: "checkbox", disabled: told, "data-cue": cue, "data-value": value });
  const note = told ? "told" : action ? signed(action.what_if.difference) : null;
  const label = el(
    "label",
    { class: told ? "chip told" : action ? "chip advised" : "chip" },
    box,
    el("span", { text: words }),
    note ? el("small", { text: note }) : null,
  );
  return { box, label };
}

/** ask(set) shows the answer of /v1/what-if; a newer question takes the place of one under way. */
function asking(seen, answer) {
  let running = null;
  return async (set) => {
    running?.abort();
    if (!Object.keys(set).length) return answer.replaceChildren();
    running = new AbortController();
    try {
      return showAnswer(answer, await api.whatIf(seen, set, running.signal));
    } catch (error) {
      if (error.name === "AbortError") return null;
      return answer.replaceChildren(el("p", { class: "reason", text: error.message }));
    }
  };
}

function showAnswer(answer, result) {
  const moved = result.difference >= 0 ? "higher" : "lower";
  const size = Math.abs(result.difference).toFixed(1);
  const interval = `80 % interval ${signed(result.low)} to ${signed(result.high)}`;
  const shown = (name, before, after) => `${name} ${percent(before)} → ${percent(after)}`;
  answer.replaceChildren(
    el(
      "p",
      { class: "moved" },
      el("b", { class: result.difference < 0 ? "down" : "up", text: signed(result.difference) }),
      ` Among comparable posts, those that report this had an index ${moved} by ${size} (${interval}).`,
      result.capped ? " Held at the level without a failure." : "",
    ),
    comparison(result),
    el("p", {
      class: "soft",
      text: [
        shown("Stays", result.repurchase_before.stay, result.repurchase.stay),
        shown("leaves", result.repurchase_before.leave, result.repurchase.leave),
        shown("speaks well", result.wom_before.positive, result.wom.positive),
      ].join(" · "),
    }),
    el(
      "ul",
      { class: "effects" },
      result.effects.map((e) => {
        const [cue, value] = e.change.split("=");
        return el(
          "li",
          {},
          el("b", { text: cueLabel(cue, value) }),
          ` ${signed(e.difference)} · ${VERDICTS[e.verdict]}: ${e.published.source}`,
        );
      }),
    ),
    el("p", {
      class: "claim",
      text:
        "Not what it would cause for this customer. From conduct alone, which puts this case at " +
        `${result.before.toFixed(0)} and would put it at ${result.after.toFixed(0)}; the index above weighs the tone as well.`,
    }),
  );
}

const VERDICTS = {
  agrees: "published findings agree",
  disagrees: "published findings disagree",
  mixed: "published findings are mixed",
  none: "nothing published to compare",
};

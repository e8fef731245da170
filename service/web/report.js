// The report of one thread: its figures, the customers, and the thread with what was read in it.

import { intervals } from "./charts.js";
import { correctable, cueChoices, cueQuestion, sentimentChoices } from "./correct.js";
import { customerCard } from "./customer.js";
import { el, legend, stackedBar } from "./dom.js";
import { marksOf, stretches, threaded } from "./marks.js";
import { BANDS, TONES, count, flagWords, percent, sentimentWords, when } from "./words.js";

const DEEPEST = 4;
// More rows than this say nothing at a glance.
const IN_CHART = 14;
const AT_ONCE = 300;

/** {node, advised(threadAdvice), failed(error)}. context: {cues, needKey(error)}. */
export function renderReport(report, context) {
  const customers = ordered(report.cases.filter((one) => one.loyalty));
  const pane = customerPane(customers, (id, start) => goto(report, id, start));
  const node = el(
    "article",
    { class: "report", "aria-labelledby": "report-title" },
    summary(report, customers, pane.choose),
    el(
      "div",
      { class: "panes" },
      el(
        "section",
        { class: "customers", "aria-labelledby": "customers-title" },
        el("h2", { id: "customers-title", text: "Customers" }),
        pane.node,
        abstained(report),
      ),
      el(
        "section",
        { class: "thread-pane", "aria-labelledby": "thread-title" },
        el("h2", { id: "thread-title", text: "Thread" }),
        key(),
        thread(report, context, pane.choose),
        dropped(report),
      ),
    ),
  );
  return { node, advised: pane.advised, failed: pane.failed };
}

function ordered(cases) {
  const order = Object.keys(BANDS);
  return cases.sort(
    (a, b) =>
      order.indexOf(a.loyalty.band) - order.indexOf(b.loyalty.band) ||
      b.loyalty.churn - a.loyalty.churn ||
      a.loyalty.index - b.loyalty.index,
  );
}

function summary(report, customers, choose) {
  return el("header", { class: "summary" }, headline(report, customers), figures(report, customers, choose));
}

function headline({ thread, summary: sums, dropped: left, warnings }, customers) {
  const at_risk = customers.filter((one) => one.loyalty.band === "at_risk").length;
  const figure = (number, name) =>
    el("div", {}, el("dt", { text: name }), el("dd", { text: number.toLocaleString("en") }));
  return el(
    "div",
    {},
    el("p", { class: "over" }, thread.brand ? ["Report on ", el("b", { text: thread.brand })] : "Report"),
    el("h2", {
      class: "title",
      id: "report-title",
      tabindex: "-1",
      dir: "auto",
      text: thread.title ?? thread.url ?? thread.id,
    }),
    el("p", { class: at_risk ? "lead" : "lead calm", text: lead(at_risk, customers.length) }),
    el(
      "dl",
      { class: "counts" },
      figure(sums.utterances, "utterances"),
      figure(sums.customers, "customers"),
      figure(sums.at_risk.length, "at risk"),
      figure(sums.advocates.length, "advocates"),
      figure(left.length, "dropped"),
    ),
    warnings.length
      ? el(
          "ul",
          { class: "warnings", "aria-label": "Warnings" },
          warnings.map((w) => el("li", { text: w })),
        )
      : null,
  );
}

/** The customers on one scale, and the sentiment of all that was written. */
function figures({ summary: { sentiment } }, customers, choose) {
  const shown = customers.slice(0, IN_CHART);
  const some = customers.length > IN_CHART ? `, first ${IN_CHART} of ${customers.length}` : "";
  const total = Object.values(sentiment).reduce((a, b) => a + b, 0);
  const feelings = ["negative", "neutral", "positive"].map((name) => ({
    name,
    tone: TONES[name],
    share: total ? (sentiment[name] ?? 0) / total : 0,
    value: String(sentiment[name] ?? 0),
  }));
  const overview = () => [
    el("figcaption", { text: `Loyalty index with 80 % interval${some}` }),
    intervals(shown, (i) => choose(shown[i].utterances[0], true)),
  ];
  return el(
    "div",
    {},
    customers.length ? el("figure", { class: "overview" }, overview()) : null,
    el(
      "figure",
      {},
      el("figcaption", { text: "Sentiment of the utterances" }),
      stackedBar(feelings, "Share of utterances by sentiment"),
      legend(feelings),
    ),
  );
}

function lead(at_risk, customers) {
  if (!customers) return "Nobody here reports dealings from which loyalty could be estimated.";
  return at_risk
    ? `${at_risk} of ${count(customers, "customer")} at risk`
    : `${count(customers, "customer")}, none at risk`;
}

/** The list of customers and the card of the chosen one. A customer goes by the id of their first utterance. */
function customerPane(customers, goto) {
  if (!customers.length) {
    const none = el("p", {
      class: "soft",
      text: "Nobody in this thread reports dealings of their own from which loyalty could be estimated.",
    });
    return { node: none, choose: () => {}, advised: () => {}, failed: () => {} };
  }
  const holder = el("div", { class: "chosen-card" });
  const cards = new Map();
  let advice = null;
  let failure = null;
  const tabs = new Map(customers.map((one) => [one.utterances[0], tab(one, () => choose(one.utterances[0]))]));

  function choose(id, focus = false) {
    const one = customers.find((c) => c.utterances.includes(id));
    if (!one) return;
    const first = one.utterances[0];
    for (const [name, button] of tabs) button.setAttribute("aria-pressed", String(name === first));
    if (!cards.has(first)) {
      const made = customerCard(one, goto);
      cards.set(first, made);
      tell(first, made);
    }
    holder.replaceChildren(cards.get(first).card);
    if (focus) tabs.get(first).focus();
  }

  function tell(first, made) {
    if (failure) made.failed(failure);
    if (!advice) return;
    const found = advice.customers.findIndex((c) => c.utterances[0] === first);
    if (found < 0) made.failed(new Error("the server gave no advice for this customer"));
    else made.advised(advice.customers[found], advice.customers[found].priority > 0 ? found + 1 : null);
  }

  choose(customers[0].utterances[0]);
  return {
    node: el(
      "div",
      {},
      el(
        "ul",
        { class: "tabs", "aria-label": "Choose a customer" },
        [...tabs.values()].map((b) => el("li", {}, b)),
      ),
      holder,
    ),
    choose,
    advised(given) {
      advice = given;
      given.customers.forEach((one, i) => {
        if (one.priority > 0)
          tabs
            .get(one.utterances[0])
            ?.append(el("small", { class: "place", text: i === 0 ? "contact first" : `contact #${i + 1}` }));
      });
      for (const [first, made] of cards) tell(first, made);
    },
    failed(error) {
      failure = error;
      for (const [first, made] of cards) tell(first, made);
    },
  };
}

function tab(one, choose) {
  return el(
    "button",
    { type: "button", class: "tab", "aria-pressed": "false", on: { click: choose } },
    el("i", { class: `dot fill-${one.loyalty.band}` }),
    el("bdi", { text: one.author }),
    el("b", { text: one.loyalty.index.toFixed(0), "aria-label": `index ${one.loyalty.index.toFixed(0)}` }),
  );
}

function abstained(report) {
  const cases = report.cases.filter((one) => !one.loyalty);
  if (!cases.length) return null;
  return el(
    "details",
    { class: "others" },
    el("summary", { text: `Not estimated (${cases.length})` }),
    el(
      "ul",
      {},
      cases.map((one) =>
        el(
          "li",
          {},
          el("b", {}, el("bdi", { text: one.author })),
          " ",
          el("span", {
            class: "pill plain",
            text: one.role_probability === 1 ? one.role : `${one.role}, ${percent(one.role_probability)}`,
          }),
          " ",
          el("span", { class: "soft", text: one.reason ?? one.role_reason }),
        ),
      ),
    ),
  );
}

function key() {
  const item = (kind, words, tag = "mark") => el("li", {}, el(tag, { class: kind, text: words }));
  return [
    el(
      "ul",
      { class: "key", "aria-label": "Key to the marks" },
      item("m-present", "what the company did"),
      item("m-absent", "said not to have happened"),
      item("m-hypothetical", "only imagined or advised"),
      item("m-stated", "own words about loyalty"),
      item("s-neg", "negative sentence", "span"),
      item("s-pos", "positive sentence", "span"),
    ),
    el("p", { class: "soft", text: "Wrong? Choose a sentiment or a label in the text to correct it." }),
  ];
}

function thread(report, context, choose) {
  const names = new Map(report.cases.flatMap((one) => one.utterances.map((id) => [id, one.author])));
  const customers = new Set(report.cases.filter((one) => one.loyalty).flatMap((one) => one.utterances));
  const author = (u) => u.author?.name ?? names.get(u.id) ?? "unnamed author";
  const placed = threaded(report);
  const list = el("ol", { class: "thread" });
  const add = (from) => {
    const part = placed.slice(from, from + AT_ONCE);
    list.append(
      ...part.map((p) =>
        el(
          "li",
          { class: `depth-${Math.min(p.depth, DEEPEST)}` },
          utterance(p, report, context, author, customers, choose),
        ),
      ),
    );
    if (from + AT_ONCE >= placed.length) return;
    const more = el(
      "li",
      {},
      el("button", {
        type: "button",
        class: "button quiet",
        text: `Show ${Math.min(AT_ONCE, placed.length - from - AT_ONCE)} more`,
        on: {
          click: () => {
            more.remove();
            add(from + AT_ONCE);
          },
        },
      }),
    );
    list.append(more);
  };
  add(0);
  return list;
}

const anchor = (id) => `u-${id}`;

function utterance({ utterance: u, parent }, report, context, author, customers, choose) {
  const tone = u.sentiment ? TONES[u.sentiment.label] : "none";
  const language = u.flags.find((f) => f.startsWith("language:"))?.slice("language:".length);
  const text = el("p", { class: "text", dir: "auto", lang: language });
  for (const stretch of stretches(u.text, u.sentences, marksOf(report.cases, u.id))) {
    text.append(
      el(
        "span",
        { class: `s-${stretch.tone}`, title: stretch.title },
        stretch.pieces.map((p) => piece(p, u, text, report, context)),
      ),
    );
  }
  const feel = u.sentiment
    ? el("button", {
        type: "button",
        class: `pill feel feel-${tone}`,
        title: "Correct this",
        text: sentimentWords(u.sentiment),
      })
    : el("span", { class: "pill feel feel-none", text: sentimentWords(null) });
  if (u.sentiment) {
    correctable(
      feel,
      text,
      `Read as ${sentimentWords(u.sentiment)}. What is it?`,
      sentimentChoices(report.thread, u),
      context.needKey,
    );
  }
  const name = customers.has(u.id)
    ? el(
        "button",
        { type: "button", class: "name", title: "Show this customer", on: { click: () => choose(u.id, true) } },
        el("bdi", { text: author(u) }),
      )
    : el("bdi", { text: author(u) });
  const small = (words) => el("span", { class: "soft", text: words });
  return el(
    "article",
    { class: `utterance tone-${tone}`, id: anchor(u.id), tabindex: "-1", "aria-label": `${u.kind} by ${author(u)}` },
    el(
      "header",
      {},
      el("h3", {}, name),
      el("span", { class: "pill plain", text: u.role }),
      u.time ? el("time", { text: when(u.time) }) : null,
      u.kind === "comment" ? null : small(u.kind),
      u.votes === null ? null : small(count(u.votes, "vote")),
      u.flags.map((f) => small(flagWords(f))),
      parent
        ? el(
            "a",
            {
              class: "soft",
              href: `#${anchor(parent.id)}`,
              on: {
                click: (e) => {
                  e.preventDefault();
                  show(anchor(parent.id));
                },
              },
            },
            "answers ",
            el("bdi", { text: author(parent) }),
          )
        : null,
      feel,
    ),
    text,
  );
}

function piece(p, u, text, report, context) {
  if (!p.marks.length) return p.text;
  const marked = el("mark", {
    class: p.marks.map((m) => `m-${m.kind}`).join(" "),
    "data-start": p.start,
    text: p.text,
  });
  return [
    marked,
    ...p.ending.map((m) => {
      if (!m.cue) return el("small", { class: `tag tag-${m.kind}`, text: m.label });
      const button = el("button", {
        type: "button",
        class: `tag tag-${m.kind}`,
        title: `${percent(m.probability)} sure; correct this`,
        text: m.label,
      });
      correctable(button, text, cueQuestion(m), cueChoices(report.thread, u, m.cue, context.cues), context.needKey);
      return button;
    }),
  ];
}

function dropped(report) {
  if (!report.dropped.length) return null;
  return el(
    "details",
    { class: "others" },
    el("summary", { text: `Dropped, not scored (${report.dropped.length})` }),
    el(
      "ul",
      {},
      report.dropped.slice(0, AT_ONCE).map((d) =>
        el(
          "li",
          {},
          el("span", { class: "pill plain", text: d.reason }),
          " ",
          d.utterance.author ? el("b", {}, el("bdi", { text: d.utterance.author.name })) : null,
          " ",
          el("span", { class: "soft", text: d.detail ?? "" }),
          " ",
          el("span", {
            dir: "auto",
            text:
              d.utterance.text.length > 200
                ? `${Array.from(d.utterance.text).slice(0, 200).join("")}…`
                : d.utterance.text,
          }),
        ),
      ),
    ),
  );
}

function goto(report, id, start) {
  const block = document.getElementById(anchor(id));
  const mark = [...(block?.querySelectorAll("mark") ?? [])].find((m) => Number(m.dataset.start) >= start);
  show(anchor(id), mark);
}

function show(id, mark) {
  const block = document.getElementById(id);
  if (!block) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  block.focus({ preventScroll: true });
  (mark ?? block).scrollIntoView({ block: mark ? "center" : "start", behavior: calm ? "auto" : "smooth" });
}

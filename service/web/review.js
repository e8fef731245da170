// The page for labelling: texts that teach most come one by one, a key labels each, and labels go to /v1/feedback.

import * as api from "./api.js";
import { byId, el } from "./dom.js";
import { complain, needKey, say } from "./notices.js";
import * as queue from "./queue.js";
import { count } from "./words.js";

const KEYS = { 1: "negative", n: "negative", 2: "neutral", u: "neutral", 3: "positive", p: "positive" };
const LONG = 280;
const MOST = 1000;
const AT_ONCE = 100;
const RETRY = 5000;
let file = null;
let sending = false;

function show() {
  const one = queue.current();
  const { at, all } = queue.place();
  byId("ask").hidden = all > 0;
  byId("work").hidden = !one;
  byId("done").hidden = all === 0 || one !== null;
  document.body.classList.toggle("asking", all === 0);
  byId("undo").disabled = !queue.canUndo();
  byId("undo-last").disabled = !queue.canUndo();
  tellSent();
  if (!one) {
    if (all) {
      const { skipped } = queue.counts();
      byId("sums").textContent = `${count(all - skipped, "label")} of ${count(all, "text")}, ${skipped} skipped.`;
      byId("done-title").focus();
    }
    return;
  }
  const text = byId("text");
  text.textContent = one.text;
  text.classList.toggle("long", one.text.length > LONG);
  // Without a mouse a long text is scrolled with the arrow keys, once it has the focus.
  text.tabIndex = text.scrollHeight > text.clientHeight ? 0 : -1;
  // The model's own reading would lead the reader's; only what somebody else said is told.
  byId("why").textContent = one.given ? `Labelled ${one.given} before${one.target ? `, towards ${one.target}` : ""}` : "";
  byId("progress").max = all;
  byId("progress").value = at;
  byId("place").textContent = `${at + 1} of ${all}`;
  byId("card").focus({ preventScroll: true });
}

function tellSent() {
  const { sent, unsent } = queue.counts();
  const waiting = unsent ? `${count(unsent, "label")} still to be sent` : "";
  byId("sent").textContent = [sent ? `${count(sent, "label")} kept` : "", waiting].filter(Boolean).join(", ");
}

/** What a screen reader is told: what was done, and the text that comes next. */
function told(what) {
  const one = queue.current();
  byId("status").replaceChildren(`${what}. `, one ? el("span", { class: "hidden", text: `Next: ${one.text}` }) : "");
}

function give(label) {
  if (!queue.current()) return;
  const stored = queue.give(label);
  show();
  told(label ?? "Skipped");
  if (!stored) complain(new Error("This browser stores nothing: do not close the page before all labels are kept."));
  setTimeout(send, queue.PATIENCE + 50);
}

function undo() {
  const done = queue.undo();
  if (done === "nothing") return say("There is nothing to undo.");
  show();
  told(done === "sent" ? "That label is kept already; a new one will take its place" : "Taken back");
}

/** Sends what is due. Whatever fails stays and is tried again, unless the server will never take it. */
async function send(all = false) {
  if (sending) return;
  const part = queue.due(all === true).slice(0, AT_ONCE);
  if (!part.length) return;
  sending = true;
  let again = 0;
  try {
    const results = await api.sendAll(part.map((one) => one.item));
    const kept = results.filter((one) => !one.error).length;
    queue.settle(part.map((one) => one.id), kept);
    const refused = results.find((one) => one.error);
    if (refused) complain(new api.ApiError(422, refused.error));
    again = 1;
  } catch (error) {
    if (error.needsKey) needKey();
    else if (error.status < 400 || error.status >= 500 || error.status === 429) again = RETRY;
    complain(error.status === 403 ? new Error("Not sent: this API key may only read. The labels wait here.") : error);
  } finally {
    sending = false;
    tellSent();
    if (again) setTimeout(send, again, all);
  }
}

/** Asks for texts and begins; whatever goes wrong is told. */
async function begin(ask) {
  byId("problem").hidden = true;
  byId("form").setAttribute("aria-busy", "true");
  say("Looking for the texts that teach most …");
  try {
    const { items, failed } = await api.review(await ask());
    if (!items.length) throw new api.ApiError(0, { message: "There is no text here that a label would be worth." });
    queue.begin(items);
    show();
    const left = failed.length ? `, ${failed.length} could not be used` : "";
    told(`${count(items.length, "text")} to label${left}`);
  } catch (error) {
    say("");
    complain(error);
    if (error.needsKey) {
      needKey();
      byId("key").focus();
    }
  } finally {
    byId("form").removeAttribute("aria-busy");
  }
}

async function given() {
  const top = Number(byId("top").value);
  let texts = byId("content").value.split("\n");
  if (file) {
    const threads = await api.readThreads({ name: file.name, content_base64: await api.base64(file) });
    texts = threads.flatMap((thread) => thread.utterances.map((one) => one.text));
  }
  texts = [...new Set(texts.map((text) => text.trim()).filter(Boolean))];
  if (!texts.length) throw new api.ApiError(0, { message: "There is nothing to label yet. Paste texts or choose a file." });
  return { texts: texts.slice(0, MOST), top };
}

function choose(chosen) {
  file = chosen;
  byId("chosen").hidden = file === null;
  byId("drop").classList.toggle("holds", file !== null);
  byId("content-hint").hidden = file !== null;
  byId("content").disabled = file !== null;
  byId("chosen-name").textContent = file?.name ?? "";
}

async function start() {
  try {
    const about = await api.model();
    byId("key-form").hidden = true;
    byId("problem").hidden = true;
    byId("model").textContent = `Model ${about.version}, ${about.digest.slice(0, 12)}.`;
    return true;
  } catch (error) {
    if (error.needsKey) needKey();
    else complain(error);
    return false;
  }
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(given);
});
for (const source of ["jobs", "feedback"]) {
  byId(`from-${source}`).addEventListener("click", () =>
    begin(async () => ({ source, top: Number(byId("top").value) })),
  );
}
byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) choose(event.target.files[0]);
  event.target.value = "";
});
byId("unchoose").addEventListener("click", () => {
  choose(null);
  byId("content").focus();
});
byId("drop").addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("hover");
});
byId("drop").addEventListener("dragleave", () => byId("drop").classList.remove("hover"));
byId("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("hover");
  if (event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
});
for (const button of document.querySelectorAll("[data-label]")) {
  button.addEventListener("click", () => give(button.dataset.label));
}
byId("skip").addEventListener("click", () => give(null));
byId("undo").addEventListener("click", undo);
byId("undo-last").addEventListener("click", undo);
for (const id of ["finish", "again"]) {
  byId(id).addEventListener("click", () => {
    queue.forget();
    send(true);
    show();
    say("");
    byId("content").focus();
  });
}
document.addEventListener("keydown", (event) => {
  if (byId("work").hidden && byId("done").hidden) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, textarea, select")) return;
  const key = event.key.toLowerCase();
  if (key in KEYS) give(KEYS[key]);
  else if (key === "s") give(null);
  else if (key === "z") undo();
  else return;
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => document.hidden && send(true));
byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  api.useKey(byId("key").value);
  byId("key").value = "";
  if (await start()) {
    say("The key is accepted.");
    send(true);
  }
});

show();
start().then((known) => known && send(true));

// The page: what is to be scored goes in, reports come out. One thread is scored and shown at a time.

import * as api from "./api.js";
import { byId, el } from "./dom.js";
import { complain, needKey, say } from "./notices.js";
import { renderReport } from "./report.js";
import { count } from "./words.js";

const FORMATS = ["html", "text", "jsonl", "csv", "parquet", "wxr", "disqus", "feed", "warc"];
const state = { file: null, threads: [], views: new Map(), running: null, cues: {} };

function choose(file) {
  state.file = file;
  byId("chosen").hidden = file === null;
  byId("drop").classList.toggle("holds", file !== null);
  byId("content-hint").hidden = file !== null;
  byId("content").disabled = file !== null;
  byId("chosen-name").textContent = file?.name ?? "";
  byId("chosen-size").textContent = file ? `${Math.max(1, Math.round(file.size / 1024)).toLocaleString("en")} kB` : "";
}

/** Runs one job; whatever goes wrong is told. Another job, or Stop, ends it. */
async function run(job) {
  state.running?.abort();
  const own = new AbortController();
  state.running = own;
  byId("problem").hidden = true;
  byId("stop").hidden = false;
  byId("form").setAttribute("aria-busy", "true");
  try {
    await job(own.signal);
  } catch (error) {
    if (error.name === "AbortError") {
      if (state.running === own) say("Stopped.");
    } else if (error instanceof api.ApiError) {
      complain(error);
      if (error.needsKey) askForKey();
    } else {
      complain(error);
      throw error;
    }
  } finally {
    if (state.running === own) {
      state.running = null;
      byId("stop").hidden = true;
      byId("form").removeAttribute("aria-busy");
    }
  }
}

function askForKey() {
  needKey();
  byId("key").focus();
}

async function asked() {
  const brand = byId("brand").value.trim();
  const common = { format: byId("format").value, ...(brand ? { brand } : {}) };
  if (state.file) return { ...common, name: state.file.name, content_base64: await api.base64(state.file) };
  const content = byId("content").value;
  if (!content.trim())
    throw new api.ApiError(0, { message: "There is nothing to score yet. Paste a text or choose a file." });
  return { ...common, content };
}

const score = () =>
  run(async (signal) => {
    const body = await asked();
    say("Reading …");
    state.threads = await api.readThreads(body, signal);
    state.views.clear();
    await show(0, signal);
  });

async function show(index, signal) {
  const results = byId("results");
  const thread = state.threads[index];
  const several = state.threads.length > 1;
  const texts = count(thread.utterances.length, "text");
  if (!state.views.has(index)) {
    say(`Scoring ${several ? `thread ${index + 1} of ${state.threads.length}, ` : ""}${texts} …`);
    results.setAttribute("aria-busy", "true");
    try {
      const report = await api.scoreThread(thread, signal);
      const view = renderReport(report, { cues: state.cues, needKey });
      state.views.set(index, view);
      if (report.cases.some((one) => one.loyalty)) api.advise(thread).then(view.advised, view.failed);
    } finally {
      results.removeAttribute("aria-busy");
    }
  }
  results.replaceChildren(...(several ? [picker(index)] : []), state.views.get(index).node);
  results.hidden = false;
  document.body.classList.add("scored");
  byId("content").rows = 3;
  say(`Scored ${texts}.`);
  byId("report-title").focus({ preventScroll: true });
  results.scrollIntoView({ block: "start" });
}

function picker(index) {
  const select = el(
    "select",
    { id: "which" },
    state.threads.map((t, i) =>
      el("option", {
        value: i,
        selected: i === index,
        text: `${i + 1}. ${t.title ?? t.url ?? t.id} (${count(t.utterances.length, "text")})`,
      }),
    ),
  );
  select.addEventListener("change", () => run((signal) => show(Number(select.value), signal)));
  return el(
    "div",
    { class: "picker" },
    el("label", { for: "which", text: `${count(state.threads.length, "thread")}; showing` }),
    select,
  );
}

async function start() {
  try {
    const about = await api.model();
    state.cues = about.cues;
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

byId("format").append(...FORMATS.map((name) => el("option", { value: name, text: name })));
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  score();
});
byId("stop").addEventListener("click", () => state.running?.abort());
byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) choose(event.target.files[0]);
  event.target.value = "";
});
byId("unchoose").addEventListener("click", () => {
  choose(null);
  byId("content").focus();
});
byId("example").addEventListener("click", async () => {
  choose(new File([await api.example()], "kettle-recall.html"));
  byId("brand").value = "Marrowby";
  byId("format").value = "auto";
  score();
});
byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  api.useKey(byId("key").value);
  say((await start()) ? "The key is known. Go on." : "The server does not know this key.");
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    byId("drop").classList.toggle("hover", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
  });
}

start();

// Cuts a text wherever a sentence or a mark begins or ends. Offsets of the API count code points, not UTF-16 units.

import { TONES, cueLabel, sentimentWords } from "./words.js";

/** What was read in the utterance `id`, as marks: {start, end, label, kind, cue}; cue where it can be corrected. */
export function marksOf(cases, id) {
  return cases.flatMap((one) => [
    ...one.cues
      .filter((c) => c.utterance === id)
      .map((c) => ({
        start: c.start,
        end: c.end,
        kind: c.state,
        probability: c.probability,
        cue: c,
        label: c.state === "hypothetical" ? `hypothetical: ${cueLabel(c.cue, c.value)}` : cueLabel(c.cue, c.value),
      })),
    ...[...one.stated, ...(one.tenure ? [one.tenure] : [])]
      .filter((s) => s.utterance === id)
      .map((s) => ({
        start: s.start,
        end: s.end,
        probability: s.probability,
        kind: s.kind === "tenure" ? "tenure" : "stated",
        label: s.kind === "tenure" ? "customer before" : `says: ${s.kind}`,
      })),
  ]);
}

/** Stretches of a sentence each, {tone, title, pieces}; a piece is {text, start, marks, ending}. Together: the text. */
export function stretches(text, sentences, marks) {
  const points = Array.from(text);
  const inside = marks.filter((m) => m.start >= 0 && m.start < Math.min(m.end, points.length));
  const spans = [...sentences, ...inside];
  const cuts = [...new Set([0, points.length, ...spans.flatMap((s) => [s.start, s.end])])]
    .filter((p) => p >= 0 && p <= points.length)
    .sort((a, b) => a - b);
  const found = [];
  let last;
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    const [start, end] = [cuts[i], cuts[i + 1]];
    const sentence = sentences.find((s) => s.start <= start && start < s.end) ?? null;
    if (!found.length || sentence !== last) {
      const tone = sentence ? TONES[sentence.sentiment.label] : "none";
      found.push({ tone, title: sentence ? sentimentWords(sentence.sentiment) : null, pieces: [] });
      last = sentence;
    }
    const over = inside.filter((m) => m.start <= start && start < m.end);
    found.at(-1).pieces.push({
      text: points.slice(start, end).join(""),
      start,
      marks: over,
      ending: over.filter((m) => Math.min(m.end, points.length) === end),
    });
  }
  return found;
}

/** Utterances in reading order with their depth; a reply to what was dropped moves up to the nearest that was kept. */
export function threaded(report) {
  const kept = new Map(report.utterances.map((u) => [u.id, u]));
  const answers = new Map(report.dropped.map((d) => [d.utterance.id, d.duplicate_of ?? d.utterance.parent]));
  report.utterances.forEach((u) => answers.set(u.id, u.parent));
  const children = new Map();
  for (const utterance of report.utterances) {
    const parent = keptParent(utterance.id, answers, kept);
    children.set(parent, [...(children.get(parent) ?? []), utterance]);
  }
  const placed = [];
  const stack = (children.get(null) ?? []).map((utterance) => ({ utterance, depth: 0, parent: null })).reverse();
  while (stack.length) {
    const one = stack.pop();
    placed.push(one);
    const replies = children.get(one.utterance.id) ?? [];
    children.delete(one.utterance.id);
    stack.push(...replies.map((u) => ({ utterance: u, depth: one.depth + 1, parent: one.utterance })).reverse());
  }
  const seen = new Set(placed.map((p) => p.utterance.id));
  const circles = report.utterances.filter((u) => !seen.has(u.id));
  return [...placed, ...circles.map((utterance) => ({ utterance, depth: 0, parent: null }))];
}

function keptParent(id, answers, kept) {
  const visited = new Set([id]);
  let parent = answers.get(id) ?? null;
  while (parent !== null && !kept.has(parent)) {
    if (visited.has(parent)) return null;
    visited.add(parent);
    parent = answers.get(parent) ?? null;
  }
  return parent === id ? null : parent;
}

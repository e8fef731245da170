// The list that is being labelled. It lives in the browser's storage, so that a reload or a crash costs nothing.
// A label is sent a little later than it is given, so that it can be taken back; sent twice, it is kept once.

const PLACE = "amends.review";
// Milliseconds in which a label can be taken back before it leaves.
export const PATIENCE = 4000;

const nothing = () => ({ items: [], at: 0, given: [], unsent: [], counts: { sent: 0, skipped: 0 } });

let list = load();

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE));
    return Array.isArray(found?.items) && Array.isArray(found?.unsent) ? { ...nothing(), ...found } : nothing();
  } catch {
    return nothing();
  }
}

/** Gives whether the list could be stored; where it can't, it lives as long as the page. */
function store() {
  try {
    if (list.items.length || list.unsent.length) localStorage.setItem(PLACE, JSON.stringify(list));
    else localStorage.removeItem(PLACE);
    return true;
  } catch {
    return false;
  }
}

export const current = () => list.items[list.at] ?? null;
export const place = () => ({ at: list.at, all: list.items.length });
export const counts = () => ({ ...list.counts, unsent: list.unsent.length });
export const canUndo = () => list.given.length > 0;

/** Begins a new list; labels that are not sent yet stay. */
export function begin(items) {
  list = { ...nothing(), items, unsent: list.unsent };
  return store();
}

/** Forgets the list, but no label. */
export const forget = () => begin([]);

/** Goes on to the next text, with a label for this one or, by null, without. */
export function give(label) {
  const one = current();
  const id = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`;
  if (label) list.unsent.push({ id, due: Date.now() + PATIENCE, item: feedback(one, label, id) });
  else list.counts.skipped += 1;
  list.given.push(label ? id : null);
  list.at += 1;
  return store();
}

/** Goes back by one and takes its label back, if it has not been sent; gives "nothing", "taken" or "sent". */
export function undo() {
  if (!canUndo()) return "nothing";
  const id = list.given.pop();
  const before = list.unsent.length;
  list.unsent = list.unsent.filter((one) => one.id !== id);
  if (!id) list.counts.skipped -= 1;
  list.at -= 1;
  store();
  return id && list.unsent.length === before ? "sent" : "taken";
}

/** What is to be sent: all of it, or what can't be taken back any more. */
export const due = (all) => list.unsent.filter((one) => all || one.due <= Date.now());

/** Forgets what the server has kept, or will never keep. */
export function settle(ids, kept) {
  list.unsent = list.unsent.filter((one) => !ids.includes(one.id));
  list.counts.sent += kept;
  return store();
}

function feedback(one, label, id) {
  const { negative, neutral, positive } = one;
  const predicted = { label: one.label, probabilities: { negative, neutral, positive } };
  return {
    kind: "sentiment",
    text: one.text,
    label,
    ...(one.target ? { target: one.target } : {}),
    predicted,
    client_id: `review-${id}`,
  };
}

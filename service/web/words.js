// The words and numbers of the page; the same as those of the report (service/present.py).

export const BANDS = { at_risk: "At risk", ambivalent: "Ambivalent", retained: "Retained", advocate: "Advocate" };
export const SEVERITIES = ["no failure", "an inconvenience", "money or a day lost", "health, safety or a large loss"];
export const TONES = {
  negative: "neg",
  neutral: "neu",
  positive: "pos",
  leave: "neg",
  undecided: "neu",
  stay: "pos",
  mixed: "neu",
};

const FEATURES = {
  valence: "sentiment of the text",
  severity: "severity of the failure",
  failure: "something went wrong",
  tenure: "customer before",
  base: "nothing known",
};
// Cues whose only value is "yes" go by their name alone.
const YES = new Set(["repeat_failure", "prior_notice", "silence_demand", "suspicion", "visibility"]);
const COPIES = { exact: "same text as", near: "nearly the same text as", quote: "quotes" };

export const plain = (name) => String(name).replaceAll("_", " ");

export function cueLabel(cue, value) {
  return value === null || value === undefined || value === "" || YES.has(cue)
    ? plain(cue)
    : `${plain(cue)}: ${plain(value)}`;
}

export function featureLabel(feature) {
  if (feature in FEATURES) return FEATURES[feature];
  const [cue, value] = feature.split(":");
  return cueLabel(cue, value);
}

export function flagWords(flag) {
  const [name, ...rest] = flag.split(":");
  const value = rest.join(":");
  const [kind, ...of] = rest;
  if (name === "copy" && kind in COPIES) return `${COPIES[kind]} ${of.join(":")}`;
  return value ? `${plain(name)}: ${value}` : plain(name);
}

/** Whole per cent; certainty is never claimed by rounding. */
export function percent(p) {
  if (p > 0 && p < 0.005) return "<1\u00a0%";
  if (p >= 0.995 && p < 1) return ">99\u00a0%";
  return `${Math.round(100 * p)}\u00a0%`;
}

export function signed(number) {
  const text = Math.abs(number).toFixed(1);
  return text === "0.0" ? "0.0" : `${number < 0 ? "−" : "+"}${text}`;
}

export const count = (number, one) => `${number.toLocaleString("en")} ${number === 1 ? one : `${one}s`}`;

/** ISO 8601 as people read it, as the source gave it; anything else as it is. */
export function when(time) {
  const found = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2}))?/.exec(time);
  const month = found && MONTHS[Number(found[2]) - 1];
  if (!month) return time;
  return `${Number(found[3])} ${month} ${found[1]}${found[4] ? `, ${found[4]}` : ""}`;
}
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

export function sentimentWords(sentiment) {
  return sentiment ? `${sentiment.label} ${percent(sentiment[sentiment.label])}` : "not scored";
}

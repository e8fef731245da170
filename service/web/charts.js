// Charts of horizontal rows, drawn by Chart.js: intervals of the index, and what moved it.

import { el } from "./dom.js";
import { featureLabel, signed } from "./words.js";

const ROW = 26;
const AXIS = 34;
const SHOWN = 0.5;
const drawn = new Set();

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const one of drawn) {
    if (one.canvas.isConnected) one.draw();
    else drawn.delete(one);
  }
});

/**
 * A chart with one bar for each row: {label, from, to, tone, soft, point, text, tip}. soft: an interval, drawn paler.
 * point: a dot there. text: beside the bar. line: {at, label}, a dashed line. choose(i): called for a click on row i.
 */
function rowsChart(rows, { min, max, label, line, choose, top = 0 }) {
  const canvas = el("canvas", { role: "img", "aria-label": label });
  const holder = el("div", { class: "chart" }, canvas);
  holder.style.height = `${rows.length * ROW + AXIS + (line?.label ? 16 : 0) + top}px`;
  let current = null;
  const draw = () => {
    current?.destroy();
    current = new Chart(canvas, config(rows, { min, max, line, choose }));
  };
  // The canvas has no size until it stands on the page.
  requestAnimationFrame(() => {
    draw();
    drawn.add({ canvas, draw });
  });
  return holder;
}

function config(rows, { min, max, line, choose }) {
  const ink = css("--ink");
  const soft = css("--soft");
  const font = { family: css("--sans"), size: 12 };
  const fill = (row) => css(`--${row.tone}-fill`) + (row.soft ? "66" : "");
  return {
    type: "bar",
    data: {
      labels: rows.map((row) => row.label),
      datasets: [
        {
          data: rows.map((row) => [row.from, row.to]),
          backgroundColor: rows.map(fill),
          borderRadius: 5,
          borderSkipped: false,
          barThickness: 11,
          minBarLength: 2,
        },
      ],
    },
    options: {
      indexAxis: "y",
      animation: false,
      maintainAspectRatio: false,
      layout: { padding: { right: rows.some((row) => row.text) ? 40 : 10, top: line?.label ? 16 : 0 } },
      onClick: choose ? (_, hits) => hits.length && choose(hits[0].index) : undefined,
      onHover: choose
        ? (event, hits) => {
            event.native.target.style.cursor = hits.length ? "pointer" : "";
          }
        : undefined,
      scales: {
        x: {
          min,
          max,
          border: { display: false },
          grid: { color: css("--line") },
          ticks: { color: soft, font, maxTicksLimit: 6 },
        },
        y: {
          border: { display: false },
          grid: { display: false },
          ticks: { color: ink, font, autoSkip: false, callback: (_, i) => clipped(rows[i].label) },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          displayColors: false,
          callbacks: { title: (items) => rows[items[0].dataIndex].label, label: (item) => rows[item.dataIndex].tip },
        },
      },
    },
    plugins: [marks(rows, line, { ink, soft, paper: css("--card"), font, tone: (row) => css(`--${row.tone}-fill`) })],
  };
}

const clipped = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);

/** Dots, texts beside bars and the dashed line, which Chart.js has no element for. */
function marks(rows, line, look) {
  return {
    id: "marks",
    afterDatasetsDraw(chart) {
      const { ctx, scales, chartArea } = chart;
      ctx.save();
      ctx.font = `500 12px ${look.font.family}`;
      if (line) dashed(ctx, scales.x.getPixelForValue(line.at), chartArea, line.label, look);
      rows.forEach((row, i) => {
        const y = chart.getDatasetMeta(0).data[i].y;
        if (row.point !== undefined) dot(ctx, scales.x.getPixelForValue(row.point), y, look.tone(row), look.paper);
        if (row.text) {
          ctx.fillStyle = look.ink;
          ctx.textBaseline = "middle";
          ctx.fillText(row.text, scales.x.getPixelForValue(Math.max(row.from, row.to, row.point ?? 0)) + 9, y + 0.5);
        }
      });
      ctx.restore();
    },
  };
}

function dot(ctx, x, y, colour, paper) {
  ctx.beginPath();
  ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.lineWidth = 2;
  ctx.strokeStyle = paper;
  ctx.stroke();
}

function dashed(ctx, x, area, label, look) {
  ctx.beginPath();
  ctx.setLineDash([4, 4]);
  ctx.lineWidth = 1;
  ctx.strokeStyle = look.soft;
  ctx.moveTo(x, area.top - 2);
  ctx.lineTo(x, area.bottom);
  ctx.stroke();
  ctx.setLineDash([]);
  if (!label) return;
  const width = ctx.measureText(label).width;
  ctx.fillStyle = look.soft;
  ctx.textBaseline = "alphabetic";
  ctx.fillText(label, Math.min(Math.max(x - width / 2, area.left), area.right - width), area.top - 6);
}

const BAND_TONES = { at_risk: "neg", ambivalent: "amb", retained: "pos", advocate: "pos" };
const whole = (number) => number.toFixed(0);

/** The index of several customers with their 80 % intervals. choose(i) is called when row i is clicked. */
export function intervals(cases, choose) {
  const rows = cases.map((one) => {
    const l = one.loyalty;
    const tip = `index ${whole(l.index)}, 80 % interval ${whole(l.low)} to ${whole(l.high)}`;
    return { label: one.author, from: l.low, to: l.high, soft: true, point: l.index, tone: BAND_TONES[l.band], tip };
  });
  const told = rows.map((row) => `${row.label}: ${row.tip}`).join(". ");
  const label = `Loyalty index, 0 to 100, of each customer. ${told}.`;
  return rowsChart(rows, { min: 0, max: 100, label, choose });
}

/** How an index came about: base + the features shown + the rest = index, in index points. */
export function explained(loyalty) {
  const base = loyalty.evidence.find((e) => e.feature === "base")?.contribution ?? 50;
  const features = loyalty.evidence.filter((e) => e.feature !== "base");
  const large = (e) => Math.abs(e.contribution) >= SHOWN;
  const shown = features.filter(large).sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const small = features.filter((e) => !large(e));
  return { base, shown, rest: small.reduce((sum, e) => sum + e.contribution, 0), others: small.length };
}

/** What moves the index from that of a case of which nothing is known to that of this one, step by step. */
export function contributions(loyalty) {
  const { base, shown, rest, others } = explained(loyalty);
  const steps = shown.map((e) => [featureLabel(e.feature), e.contribution]);
  if (others) steps.push([`${others} smaller ones`, rest]);
  let at = base;
  const rows = steps.map(([name, points]) => {
    const from = at;
    at += points;
    return {
      label: name,
      from,
      to: at,
      tone: points < 0 ? "neg" : "pos",
      text: signed(points),
      tip: `${signed(points)} index points`,
    };
  });
  const start = {
    label: "nothing known",
    from: base,
    to: base,
    point: base,
    tone: "neu",
    text: whole(base),
    tip: "where the index starts",
  };
  const tip = `80 % interval ${whole(loyalty.low)} to ${whole(loyalty.high)}`;
  const end = {
    label: "index",
    from: loyalty.low,
    to: loyalty.high,
    soft: true,
    point: loyalty.index,
    tone: BAND_TONES[loyalty.band],
    text: whole(loyalty.index),
    tip,
  };
  const all = [start, ...rows, end];
  const edges = all.flatMap((row) => [row.from, row.to]);
  const min = Math.max(0, Math.floor((Math.min(...edges) - 4) / 10) * 10);
  const max = Math.min(100, Math.ceil((Math.max(...edges) + 4) / 10) * 10);
  const told = steps.map(([name, points]) => `${name} ${signed(points)}`).join(", ");
  const label = `What moves the index from ${whole(base)} to ${whole(loyalty.index)}: ${told}.`;
  return rowsChart(all, { min, max, label });
}

/** An index as it is and with other conduct, with the level that is never exceeded. */
export function comparison(result) {
  const rows = [
    {
      label: "as told",
      from: result.before,
      to: result.before,
      point: result.before,
      tone: "neu",
      text: whole(result.before),
      tip: "from conduct alone",
    },
    {
      label: "with the change",
      soft: true,
      tone: result.difference < 0 ? "neg" : "pos",
      point: result.after,
      text: whole(result.after),
      from: bounded(result.before + result.low),
      to: bounded(result.before + result.high),
      tip: `difference ${signed(result.difference)}, 80 % interval ${signed(result.low)} to ${signed(result.high)}`,
    },
  ];
  const [before, after, best] = [result.before, result.after, result.no_failure].map(whole);
  const label = `Index ${before} as told, ${after} with the change; ${best} without a failure.`;
  return rowsChart(rows, {
    min: 0,
    max: 100,
    label,
    line: { at: result.no_failure, label: `no failure: ${whole(result.no_failure)}` },
  });
}

const bounded = (index) => Math.min(100, Math.max(0, index));

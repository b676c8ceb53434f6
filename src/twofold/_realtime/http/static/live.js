// What the server does now: /metrics, read each second.
import { call } from "/static/calls.js";
import { countsOf, happened, readMetrics } from "/static/metrics.js";
import { Plot } from "/static/plot.js";

const EVERY_MS = 1000;
const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: value < 1000 ? 3 : 4 });
const rate = (value) => `${number(value)}/s`;
const time = (seconds) => (seconds >= 1 ? `${number(seconds)} s` : seconds >= 1e-3 ? `${number(seconds * 1e3)} ms` : `${number(seconds * 1e6)} µs`);

const plots = [
  new Plot("Requests", [{ key: "requests", label: "in all", color: "accent" }, { key: "failed", label: "failed", color: "bad" }], rate),
  new Plot("Latency", [{ key: "p50", label: "p50", color: "accent" }, { key: "p99", label: "p99", color: "second" }], time),
  new Plot("Model call", [{ key: "model50", label: "p50", color: "accent" }, { key: "model99", label: "p99", color: "second" }], time),
  new Plot("Batch size", [{ key: "batch", label: "rows a call", color: "accent" }], number),
  new Plot("Queue", [{ key: "queue", label: "rows wait", color: "accent" }, { key: "inFlight", label: "requests in flight", color: "second" }], number),
  new Plot("Refused", [{ key: "refused", label: "at arrival", color: "bad" }], rate),
];

let model = null;
let before = null; // {counts, at}
let busy = false;

function note(text) {
  const place = document.getElementById("live-note");
  place.textContent = text;
  place.hidden = !text;
}

async function look() {
  if (busy || document.hidden) return;
  busy = true;
  const asked = model;
  let sample = null;
  try {
    const response = await call("/metrics");
    if (response.ok) {
      const now = { counts: countsOf(readMetrics(await response.text()), asked), at: performance.now() };
      if (before && asked === model) sample = happened(before.counts, now.counts, (now.at - before.at) / 1000);
      if (asked === model && now.counts.version) document.getElementById("version").textContent = now.counts.version;
      const begins = !before;
      before = asked === model ? now : null;
      note("");
      if (begins) return;
    } else {
      before = null;
      note(response.status === 404 ? "The metrics of this server have a port of their own (--metrics-port)."
        : `/metrics answered ${response.status}.`);
    }
  } catch {
    before = null;
    note("The server does not answer.");
  } finally {
    busy = false;
  }
  for (const plot of plots) plot.add(sample);
}

// Show this model from now on (null: the only one).
export function showLive(name) {
  model = name;
  before = null;
  const place = document.getElementById("plots");
  if (!place.hasChildNodes()) {
    place.append(...plots.map((plot) => plot.box));
    const redraw = () => plots.forEach((plot) => plot.draw());
    new ResizeObserver(redraw).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    setInterval(look, EVERY_MS);
  }
  for (const plot of plots) plot.clear();
  look();
}

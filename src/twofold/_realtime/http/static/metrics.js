// The text of /metrics, and what happened between two of them.

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

// [{name, labels, value}] of Prometheus' text format.
export function readMetrics(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const parts = line.startsWith("#") ? null : LINE.exec(line);
    if (!parts) continue;
    const labels = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replaceAll(/\\[n"\\]/g, (escaped) => ESCAPED[escaped]);
    }
    found.push({ name: parts[1], labels, value: Number(parts[3]) });
  }
  return found;
}

// What the page shows of one model (null: the first there is).
export function countsOf(metrics, model) {
  const first = model ?? metrics.find((one) => one.name === "twofold_rows_total")?.labels.model;
  const own = metrics.filter((one) => one.labels.model === first);
  const sum = (name, which = () => true) =>
    own.filter((one) => one.name === name && which(one.labels)).reduce((total, one) => total + one.value, 0);
  return {
    requests: sum("twofold_requests_total"),
    failed: sum("twofold_requests_total", ({ code }) => code !== "ok" && code !== "overloaded"),
    refused: sum("twofold_refused_total"),
    calls: sum("twofold_batch_rows_count"),
    rows: sum("twofold_batch_rows_sum"),
    queue: sum("twofold_queue_rows"),
    inFlight: sum("twofold_requests_in_flight"),
    version: own.find((one) => one.name === "twofold_model_info")?.labels.version,
    seconds: buckets(own, "twofold_request_seconds_bucket"),
    modelSeconds: buckets(own, "twofold_model_seconds_bucket"),
  };
}

// [upper bound, how many values up to it] of a histogram.
function buckets(metrics, name) {
  return metrics.filter((one) => one.name === name)
    .map((one) => [one.labels.le === "+Inf" ? Infinity : Number(one.labels.le), one.value]);
}

// What happened in `s` seconds, or null where the counts began anew. What nobody asked for is null.
export function happened(before, now, s) {
  const rose = (name) => now[name] - before[name];
  if (rose("requests") < 0 || rose("calls") < 0 || before.seconds.length !== now.seconds.length) return null;
  const newly = (name) => now[name].map(([bound, count], at) => [bound, count - before[name][at][1]]);
  return {
    requests: rose("requests") / s,
    failed: rose("failed") / s,
    refused: rose("refused") / s,
    batch: rose("calls") ? rose("rows") / rose("calls") : null,
    queue: now.queue,
    inFlight: now.inFlight,
    p50: quantile(newly("seconds"), 0.5),
    p99: quantile(newly("seconds"), 0.99),
    model50: quantile(newly("modelSeconds"), 0.5),
    model99: quantile(newly("modelSeconds"), 0.99),
  };
}

// Of cumulative buckets [upper bound, count]: as if a bucket's values were spread evenly.
export function quantile(buckets, share) {
  const all = buckets.at(-1)?.[1] ?? 0;
  if (!all) return null;
  let [lower, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= share * all) {
      return bound === Infinity ? lower : lower + (bound - lower) * (share * all - below) / (count - below);
    }
    [lower, below] = [bound, count];
  }
  return lower;
}

// A plot of the last two minutes: lines over time on a canvas, drawn in the page's colours.
import { element } from "/static/elements.js";

export const SECONDS = 120;
const HEIGHT = 88;
const TOP = 14; // room for the scale's number

// The next round number from `value` on.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}

export class Plot {
  // lines: [{key, label, color}], the colour the name of a custom property; words(value): with its unit.
  constructor(title, lines, words) {
    this.lines = lines;
    this.words = words;
    this.canvas = element("canvas", { role: "img" });
    this.values = lines.map(() => element("b", {}, "–"));
    const legend = lines.map(({ label, color }, at) => element("span", { class: `value ${color}` },
      this.values[at], label ? element("span", { class: "quiet" }, ` ${label}`) : null));
    this.title = title;
    this.box = element("figure", {}, element("figcaption", {}, title), element("p", { class: "now" }, ...legend), this.canvas);
    this.history = [];
    this.pointed = null; // seconds ago, where the pointer is
    this.canvas.addEventListener("pointermove", (event) => {
      this.pointed = Math.round(SECONDS * (1 - event.offsetX / this.canvas.clientWidth));
      this.draw();
    });
    this.canvas.addEventListener("pointerleave", () => { this.pointed = null; this.draw(); });
  }

  clear() {
    this.history = [];
    this.draw();
  }

  add(sample) {
    this.history.push(sample);
    if (this.history.length > SECONDS + 1) this.history.shift();
    this.draw();
  }

  draw() {
    const { canvas, history } = this;
    const [width, scale] = [canvas.clientWidth, window.devicePixelRatio || 1];
    const shown = history.at(-1 - (this.pointed ?? 0));
    const texts = this.lines.map(({ key }) => (shown?.[key] == null ? "–" : this.words(shown[key])));
    texts.forEach((text, at) => { this.values[at].textContent = text; });
    canvas.setAttribute("aria-label", `${this.title}: ${this.lines.map(({ label }, at) => `${label} ${texts[at]}`).join(", ")}`);
    if (!width) return;
    [canvas.width, canvas.height] = [width * scale, HEIGHT * scale];
    const pen = canvas.getContext("2d");
    const color = (name) => getComputedStyle(canvas).getPropertyValue(`--${name}`);
    pen.scale(scale, scale);
    const all = history.flatMap((sample) => this.lines.map(({ key }) => sample?.[key] ?? 0));
    const top = ceiling(Math.max(1e-6, ...all)) || 1;
    const x = (at) => width - 1 - (history.length - 1 - at) * (width - 2) / SECONDS;
    const y = (value) => HEIGHT - 1 - (HEIGHT - 1 - TOP) * value / top;
    pen.strokeStyle = color("line");
    for (const value of [0, top / 2, top]) {
      pen.beginPath(); pen.moveTo(0, Math.round(y(value)) + 0.5); pen.lineTo(width, Math.round(y(value)) + 0.5); pen.stroke();
    }
    if (Math.max(...all) > 0) {
      pen.fillStyle = color("quiet");
      pen.font = "11px system-ui, sans-serif";
      pen.fillText(this.words(top), 1, TOP - 4);
    }
    for (const { key, color: name } of [...this.lines].reverse()) this.#line(pen, key, color(name), x, y);
    if (this.pointed !== null) {
      pen.strokeStyle = color("quiet");
      pen.beginPath(); pen.moveTo(x(history.length - 1 - this.pointed), TOP); pen.lineTo(x(history.length - 1 - this.pointed), HEIGHT); pen.stroke();
    }
  }

  #line(pen, key, color, x, y) {
    pen.strokeStyle = pen.fillStyle = color;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    let runs = [[]]; // of samples without a gap
    this.history.forEach((sample, at) => {
      if (sample?.[key] == null) runs.push([]);
      else runs.at(-1).push([x(at), y(sample[key])]);
    });
    for (const run of runs.filter((points) => points.length)) {
      pen.beginPath();
      run.forEach(([left, up]) => pen.lineTo(left, up));
      if (run.length === 1) pen.arc(...run[0], 0.75, 0, 7);
      pen.stroke();
      pen.lineTo(run.at(-1)[0], HEIGHT - 1);
      pen.lineTo(run[0][0], HEIGHT - 1);
      pen.globalAlpha = 0.12;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }
}

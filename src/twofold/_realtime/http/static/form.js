// The form: one field per input of the model, made from /openapi.json.
import { call } from "/static/calls.js";
import { element } from "/static/elements.js";
import { showLive } from "/static/live.js";
import { limitsInWords, reading, readDescription, typeInWords } from "/static/schema.js";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const byId = (id) => document.getElementById(id);

let target = "/predict"; // the path of the model that is chosen
let fields = []; // {name, required, control, wrong, read(): JSON text or null (leave out), fill(value)}

// The text of a field as JSON text. Numbers stay as typed: JavaScript would round large ones.
function asJson(text, kind, nullable) {
  const bare = text.trim();
  if (nullable && bare === "null") return "null";
  switch (kind) {
    case "integer":
    case "number":
      return NUMBER.test(bare) ? bare : JSON.stringify(bare);
    case "string":
      return JSON.stringify(text);
    default:
      JSON.parse(bare); // says what is wrong with it
      return bare;
  }
}

function control(id, { kind, nullable, choices }, describedBy, rows) {
  const attributes = { id, name: id, "aria-describedby": describedBy, autocomplete: "off" };
  const options = choices ?? (kind === "boolean" ? [true, false] : null);
  if (options) {
    const all = nullable ? [...options, null] : options;
    return element("select", attributes, element("option", { value: "" }, "choose …"),
      ...all.map((value) => element("option", { value: JSON.stringify(value) }, String(value))));
  }
  if (kind === "integer") return element("input", { ...attributes, inputmode: "numeric" });
  if (kind === "number") return element("input", { ...attributes, inputmode: "decimal" });
  return element("textarea", { ...attributes, rows, spellcheck: "false" });
}

function makeField(name, schema, required, index) {
  const parts = reading(schema);
  const id = `field-${index}`;
  const made = control(id, parts, `${id}-hint ${id}-wrong`, parts.kind === "object" ? 4 : 2);
  const limits = limitsInWords(schema);
  const hint = [typeInWords(schema), limits, required ? "" : "optional"].filter(Boolean).join(" · ");
  const wrong = element("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const box = element("div", { class: "field" },
    element("label", { for: id }, name),
    element("span", { class: "hint", id: `${id}-hint` }, hint), made, wrong);
  if (required) made.setAttribute("aria-required", "true");
  const field = { name, box, control: made, wrong };
  field.read = () => {
    const text = made.value;
    if (made.tagName === "SELECT") return text === "" ? null : text;
    if (text === "" && (!required || parts.kind !== "string")) return null;
    return asJson(text, parts.kind, parts.nullable);
  };
  field.fill = (value) => {
    if (value === undefined) made.value = "";
    else if (made.tagName === "SELECT") made.value = JSON.stringify(value);
    else made.value = typeof value === "string" ? value : JSON.stringify(value);
  };
  return field;
}

function complain(field, message) {
  field.wrong.textContent = message;
  field.wrong.hidden = !message;
  if (message) field.control.setAttribute("aria-invalid", "true");
  else field.control.removeAttribute("aria-invalid");
}

// The request body, or null when a field cannot be read (which says so itself).
function body() {
  const parts = [];
  let good = true;
  for (const field of fields) {
    complain(field, "");
    try {
      const text = field.read();
      if (text !== null) parts.push(`${JSON.stringify(field.name)}: ${text}`);
    } catch (error) {
      complain(field, `Not JSON: ${error.message}`);
      good = false;
    }
  }
  return good ? `{${parts.join(", ")}}` : null;
}

function showCurl() {
  const text = body();
  if (text === null) return;
  const quoted = text.replaceAll("'", "'\\''");
  byId("curl").textContent =
    `curl ${location.origin}${target} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}

function showAnswer(status, text, milliseconds) {
  const line = element("p", { class: status < 300 ? "good" : "bad" }, `${status} in ${milliseconds.toFixed(1)} ms`);
  const shown = [line];
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    byId("answer").replaceChildren(line, element("pre", { tabindex: "0" }, text));
    return;
  }
  if (status < 300) {
    const list = element("dl", { class: "values" });
    for (const [name, value] of Object.entries(answer)) {
      const words = typeof value === "string" ? value : JSON.stringify(value);
      list.append(element("dt", {}, name), element("dd", {}, words));
    }
    shown.push(list);
  } else {
    shown.push(element("p", {}, answer.detail ?? answer.title ?? ""));
    for (const error of answer.errors ?? []) {
      const field = fields.find((one) => error.field === one.name || error.field.startsWith(`${one.name}.`)
        || error.field.startsWith(`${one.name}[`));
      if (field) complain(field, error.message);
    }
  }
  shown.push(element("pre", { tabindex: "0" }, text));
  byId("answer").replaceChildren(...shown);
}

async function send(event) {
  event.preventDefault();
  const text = body();
  if (text === null) return;
  byId("send").disabled = true;
  const begun = performance.now();
  try {
    const response = await call(target, {
      method: "POST", headers: { "content-type": "application/json" }, body: text,
    });
    const answer = await response.text();
    showAnswer(response.status, answer, performance.now() - begun);
  } catch (error) {
    byId("answer").replaceChildren(element("p", { class: "bad" }, `The server did not answer: ${error.message}`));
  } finally {
    byId("send").disabled = false;
  }
}

async function showHealth() {
  try {
    const response = await fetch("/health/ready");
    byId("health").textContent = response.ok ? "ready" : "not ready";
    byId("health").className = response.ok ? "good" : "bad";
  } catch {
    byId("health").textContent = "not reachable";
    byId("health").className = "bad";
  }
}

// Path -> operation of each model: `/predict` alone where there is but one.
function modelsOf(description) {
  const named = Object.entries(description.paths).filter(([path]) => /^\/models\/[^/]+\/predict$/.test(path));
  return named.length > 1 ? named : [["/predict", description.paths["/predict"]]];
}

function showModel(description, path) {
  target = path;
  const body = description.paths[path].post.requestBody.content["application/json"];
  const row = description.components.schemas[body.schema.oneOf[0].$ref.split("/").pop()];
  const example = body.examples?.row?.value;
  const required = new Set(row.required ?? []);
  fields = Object.entries(row.properties ?? {}).map(([name, schema], index) =>
    makeField(name, schema, required.has(name), index));
  byId("fields").replaceChildren(...fields.map((field) => field.box));
  const fill = () => {
    for (const field of fields) field.fill(example?.[field.name]);
    showCurl();
  };
  fill();
  byId("example").hidden = example === undefined;
  byId("example").onclick = fill;
}

async function start() {
  const description = await readDescription();
  document.title = `${description.info.title} · twofold`;
  byId("name").textContent = description.info.title;
  byId("version").textContent = description.info.version;
  const models = modelsOf(description);
  const choice = byId("model");
  choice.replaceChildren(...models.map(([path]) =>
    element("option", { value: path }, decodeURIComponent(path.split("/")[2] ?? ""))));
  byId("models").hidden = models.length < 2;
  const chosen = () => (models.length > 1 ? choice.selectedOptions[0].text : null);
  choice.addEventListener("change", () => {
    showModel(description, choice.value);
    byId("name").textContent = chosen();
    showLive(chosen());
  });
  showModel(description, models[0][0]);
  showLive(chosen());
  byId("form").addEventListener("submit", send);
  byId("form").addEventListener("input", showCurl);
  byId("copy").addEventListener("click", () => navigator.clipboard?.writeText(byId("curl").textContent));
  await showHealth();
  setInterval(showHealth, 5000);
}

start().catch((error) => {
  byId("answer").replaceChildren(element("p", { class: "bad" }, `This page could not be made: ${error.message}`));
});

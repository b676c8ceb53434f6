// The documentation: /openapi.json, to read.
import { element } from "/static/elements.js";
import { limitsInWords, readDescription, typeInWords } from "/static/schema.js";

// Plain text with `code` in it.
function prose(text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  return element("p", {}, ...parts);
}

function table(heads, rows) {
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)))))));
}

function fieldTable(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, one]) => [
    element("code", {}, name), typeInWords(one), required.has(name) ? "required" : "optional", limitsInWords(one),
  ]);
  return table(["Field", "Type", "", "Limits"], rows);
}

function code(value) {
  return element("pre", { tabindex: "0" }, element("code", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2)));
}

function heading(method, path) {
  return element("h2", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path));
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => [
    element("code", {}, status), prose(response.description), Object.keys(response.content ?? {}).join(", "),
  ]);
  return [element("h3", {}, "Responses"), table(["Status", "Meaning", "Type"], rows)];
}

const isModel = (path) => path === "/predict" || /^\/models\/[^/]+\/predict$/.test(path);

// The sections of the models: the first one, which is at /predict too, and the others under their names.
function modelPaths(description) {
  const named = Object.keys(description.paths).filter((path) => path !== "/predict" && isModel(path));
  return ["/predict", ...named.slice(1)];
}

function predictSection(description, path) {
  const operation = description.paths[path].post;
  const json = operation.requestBody.content["application/json"];
  const named = (schema) => description.components.schemas[schema.$ref.split("/").pop()];
  const row = named(json.schema.oneOf[0]);
  const answer = named(operation.responses["200"].content["application/json"].schema.oneOf[0]);
  const shown = [heading("post", path), prose(description.info.description), prose(operation.description),
    element("h3", {}, "A row"), fieldTable(row)];
  if (json.examples) {
    const text = JSON.stringify(json.examples.row.value).replaceAll("'", "'\\''");
    shown.push(element("h3", {}, "Example"), code(
      `curl ${location.origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d '${text}'`));
  }
  const others = Object.keys(operation.requestBody.content).filter((type) => type !== "application/json");
  if (others.length) shown.push(prose(`Other types of a body: ${others.map((type) => `\`${type}\``).join(", ")}.`));
  shown.push(element("h3", {}, "An answer"), fieldTable(answer), ...responses(operation),
    element("h3", {}, "Errors of a 422, one for each value"), fieldTable(description.components.schemas.FieldError));
  return element("section", {}, ...shown);
}

function otherSection(description) {
  const rows = Object.entries(description.paths).filter(([path]) => !isModel(path)).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [
      element("span", {}, element("span", { class: "method" }, method.toUpperCase()), element("a", { href: path }, path)),
      operation.summary, Object.keys(operation.responses).join(", "),
    ]));
  return element("section", {}, element("h2", {}, "Other paths"), table(["Path", "What it answers", "Status"], rows));
}

function schemaSection(description) {
  const parts = Object.entries(description.components.schemas).map(([name, schema]) =>
    element("details", {}, element("summary", {}, name), code(schema)));
  return element("section", {}, element("h2", {}, "Schemas"), ...parts);
}

async function start() {
  const description = await readDescription();
  document.title = `${description.info.title} · documentation`;
  document.getElementById("name").textContent = description.info.title;
  document.getElementById("summary").textContent = `${description.info.summary} Version ${description.info.version}.`;
  document.getElementById("docs").replaceChildren(
    ...modelPaths(description).map((path) => predictSection(description, path)), otherSection(description), schemaSection(description));
}

start().catch((error) => {
  document.getElementById("docs").replaceChildren(
    element("p", { class: "bad" }, `The description could not be read: ${error.message}`));
});

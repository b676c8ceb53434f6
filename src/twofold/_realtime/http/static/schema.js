// What the form and the documentation both know: how to read the JSON Schema of a row.
import { call } from "/static/calls.js";

export async function readDescription() {
  const response = await call("/openapi.json");
  if (!response.ok) throw new Error(`/openapi.json answered ${response.status}`);
  return response.json();
}

// The alternatives of a schema: `[schema]` where there is but one.
function alternatives(schema) {
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.flatMap(alternatives);
  if (Array.isArray(schema.type)) return schema.type.map((type) => ({ ...schema, type }));
  return [schema];
}

const isNull = (schema) => schema.type === "null" || schema.const === null;
const isNumberWord = (schema) => Array.isArray(schema.enum) && schema.enum.some((word) => ["NaN", "Infinity", "-Infinity"].includes(word));

// One schema, taken apart: {kind, nullable, choices, item}.
export function reading(schema) {
  const all = alternatives(schema);
  const nullable = all.some(isNull) || (schema.enum ?? []).includes(null);
  const rest = all.filter((one) => !isNull(one) && !isNumberWord(one));
  const main = rest[0] ?? {};
  const choices = (main.enum ?? (main.const !== undefined ? [main.const] : null))?.filter((value) => value !== null);
  const kind = choices ? "choice" : main.type ?? "any";
  return { kind, nullable, choices, schema: { ...schema, ...main }, words: all.some(isNumberWord) };
}

// A type in words: "integer", "list of 30 numbers", "one of \"a\", \"b\"".
export function typeInWords(schema) {
  const { kind, nullable, choices, schema: main } = reading(schema);
  let words = kind;
  if (choices) words = "one of " + choices.map((value) => JSON.stringify(value)).join(", ");
  else if (kind === "array") {
    const length = main.minItems === main.maxItems && main.minItems != null ? `${main.minItems} × ` : "";
    const item = main.items ? typeInWords(main.items) : "anything";
    words = `list of ${length}${item.includes(" ") ? `(${item})` : item}`;
  } else if (kind === "integer" || kind === "number" || kind === "string") words = main.format ?? kind;
  if (kind === "string" && main.contentEncoding) words = `${main.contentEncoding} text`;
  return nullable ? `${words} or null` : words;
}

const LIMITS = {
  minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", multipleOf: "multiple of",
  minLength: "length ≥", maxLength: "length ≤", pattern: "matches",
};

export function limitsInWords(schema) {
  const { schema: main } = reading(schema);
  const shown = (value) => value !== undefined && !(Math.abs(value) > Number.MAX_SAFE_INTEGER); // else: of the type
  const limits = Object.entries(LIMITS)
    .filter(([key]) => shown(main[key]) && !(key === "pattern" && main.format));
  const words = limits.map(([key, word]) => `${word} ${main[key]}`);
  if (main.minItems !== main.maxItems) {
    if (main.minItems) words.push(`at least ${main.minItems} items`);
    if (main.maxItems) words.push(`at most ${main.maxItems} items`);
  }
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

// Calls to the server that this page is from. Where it asks for an API key, so does the page, once; the key is kept for
// this tab, and sent as a header with every call.
import { element } from "/static/elements.js";

const KEPT = "twofold-api-key";
let asking = null; // the promise of a key, while the person is asked

function keyFromPerson(wrong) {
  const input = element("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false", required: true });
  const dialog = element("dialog", { class: "key", "aria-labelledby": "key-title" },
    element("form", { method: "dialog" },
      element("h2", { id: "key-title" }, "This server asks for a key"),
      wrong ? element("p", { class: "bad" }, "It does not know the one that was given.") : null,
      element("label", { for: "key" }, "API key"), input,
      element("p", { class: "quiet" }, "It is kept in this tab only, and sent to this server only."),
      element("p", { class: "buttons" }, element("button", { type: "submit" }, "Use it"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(input.value.trim());
  }));
}

// The response to a call, or the 401 where no key was given.
export async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEPT);
    const headers = key ? { ...options.headers, authorization: `Bearer ${key}` } : options.headers;
    const response = await fetch(path, { ...options, headers });
    if (response.status !== 401) return response;
    if (sessionStorage.getItem(KEPT) !== key) continue; // another call was given one meanwhile
    asking ??= keyFromPerson(key !== null).finally(() => { asking = null; });
    const given = await asking;
    if (!given) return response;
    sessionStorage.setItem(KEPT, given);
  }
}

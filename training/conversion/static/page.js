// The page: loads the model, asks it, and shows what it says. All that is written is shown as text, never as markup.

import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { Asker, Problem } from "./model.js";

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;

function element(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function load() {
  ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  ort.env.wasm.numThreads = 1; // more take headers that a plain file server does not send
  const settings = await (await fetch("settings.json")).json();
  at("name").textContent = `Ask ${settings.name}`;
  document.title = `Ask ${settings.name}`;
  at("told").textContent = settings.told;
  const graph = await (await fetch("model.onnx")).arrayBuffer();
  const session = await ort.InferenceSession.create(new Uint8Array(graph), { executionProviders: ["wasm"] });
  return new Asker(settings, session, ort.Tensor);
}

function show(reply, settings) {
  const parts = [];
  parts.push(element("div", reply.given ? reply.answer : "I don't know", reply.given ? "cb-answer" : "cb-answer cb-unsure"));
  if (!reply.given && reply.answer) parts.push(element("div", `It would say: ${reply.answer}`, "cb-small"));
  parts.push(...bar(reply, settings));
  if (reply.familiarity !== undefined) {
    const share = percent(reply.familiarity);
    parts.push(element("div", `has read about “${reply.subject}” with a probability of ${share}`, "cb-small cb-familiar"));
  }
  if (reply.answer) {
    parts.push(element("h4", "How probable each character is"));
    const row = element("div", "", "cb-tokens cb-written");
    for (const token of reply.tokens) {
      const span = element("span", token.text);
      const others = token.others.map(([text, share]) => `${text} ${percent(share)}`).join(", ");
      span.title = `${percent(token.probability)}; next: ${others}`;
      span.style.background = `rgba(42, 120, 214, ${(0.08 + 0.6 * token.probability).toFixed(2)})`;
      row.append(span);
    }
    parts.push(row);
  }
  at("reply").replaceChildren(...parts);
}

function bar(reply, settings) {
  const { threshold, confidence } = settings;
  let said = `${percent(reply.confidence)} sure (${confidence.replaceAll("_", " ")})`;
  if (threshold) said += `; answers are given from ${percent(threshold)} on`;
  const made = element("div", "", threshold && reply.confidence < threshold ? "cb-bar cb-below" : "cb-bar");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", said);
  const fill = element("div", "", "cb-fill");
  fill.style.width = percent(reply.confidence);
  made.append(fill);
  if (threshold) {
    const mark = element("div", "", "cb-mark");
    mark.style.left = percent(threshold);
    made.append(mark);
  }
  return [made, element("div", said, "cb-small cb-said")];
}

try {
  const asker = await load();
  window.closedbook = asker;
  at("ask").disabled = false;
  at("state").textContent = "Everything happens in this browser: nothing that you type leaves it.";
  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      show(await asker.ask(at("question").value), asker.settings);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const told = element("p", error.message, "cb-problem");
      told.setAttribute("role", "alert");
      at("reply").replaceChildren(told);
    }
  });
} catch (error) {
  at("state").textContent = `The model could not be loaded: ${error.message}. Serve the folder, as README.md says.`;
}

// Ask a problem and watch it being solved.
import { announce, fill, h } from "./dom.js";
import { Picker, labelled, questionField, watch } from "./form.js";
import { RunView } from "./run.js";

const EXAMPLES = [
  "What is the sum of the first hundred odd numbers?",
  "Find all real x with x² − 5x + 6 = 0.",
  "A train leaves at 9:40 and arrives at 13:05. How many minutes does it travel?",
];

export function askPlace({ about }) {
  const question = questionField();
  const picker = new Picker(about.pipelines, "Pipeline");
  const go = h("button", { type: "submit", class: "main" }, "Ask");
  const stop = h("button", { type: "button", class: "stop", hidden: true }, "Stop");
  const result = h("div", { class: "result" });
  const form = h("form", { class: "question", "aria-label": "Problem" },
    labelled("Your problem", question),
    h("div", { class: "choices" }, picker.node, h("div", { class: "buttons" }, go, stop)),
    h("p", { class: "hint" }, "Formulas may be written in LaTeX, as in $x^2$. ", h("kbd", {}, "Ctrl"), " + ", h("kbd", {}, "Enter"), " asks."));
  let running = null;
  const examples = h("div", { class: "examples" }, h("p", { class: "label" }, "Or try one of these"),
    EXAMPLES.map((text) => h("button", { type: "button", onclick: () => {
      question.value = text;
      question.focus();
    } }, text)));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running || !question.value.trim()) return;
    running = new AbortController();
    stop.hidden = false;
    go.disabled = true;
    const view = new RunView({ live: true, history: about.history });
    fill(result, view.node);
    examples.remove();
    if (result.getBoundingClientRect().top > innerHeight * 0.6) result.scrollIntoView();
    announce("Asked.");
    try {
      await watch({ problem: question.value, ...picker.value }, view, running.signal);
    } finally {
      if (document.activeElement === stop) question.focus();
      running = null;
      stop.hidden = true;
      go.disabled = false;
    }
  });
  stop.addEventListener("click", () => running?.abort());
  const again = sessionStorage.getItem("k2core.again");
  if (again) {
    question.value = again;
    sessionStorage.removeItem("k2core.again");
  }
  const none = about.pipelines.length ? null : h("p", { class: "trouble" }, "This server offers you no pipeline to ask.");
  return h("div", { class: "page" }, h("h1", {}, "Ask a problem"), ...(none ? [none] : [form, examples]), result);
}

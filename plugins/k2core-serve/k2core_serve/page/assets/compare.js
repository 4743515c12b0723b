// One problem, two pipelines, side by side.
import { get } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { Picker, labelled, questionField, watch } from "./form.js";
import { RunView } from "./run.js";
import { stored } from "./stored.js";
import { cost, number, seconds } from "./text.js";

export function comparePlace({ about, query, go }) {
  const past = [query.get("a"), query.get("b")];
  return past.every(Boolean) ? comparedBefore(past, about) : compareNow(about, go);
}

function compareNow(about, go) {
  const question = questionField();
  const pickers = [new Picker(about.pipelines, "First pipeline"), new Picker(about.pipelines, "Second pipeline", 1)];
  const start = h("button", { type: "submit", class: "main" }, "Compare");
  const stop = h("button", { type: "button", class: "stop", hidden: true }, "Stop both");
  const result = h("div", { class: "result" });
  const form = h("form", { class: "question", "aria-label": "Problem" },
    labelled("Your problem", question),
    h("div", { class: "choices" }, pickers[0].node, pickers[1].node, h("div", { class: "buttons" }, start, stop)));
  let running = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running || !question.value.trim()) return;
    running = new AbortController();
    stop.hidden = false;
    start.disabled = true;
    const sides = pickers.map((picker) => ({ ...picker.value, view: new RunView({ live: true, history: about.history, compact: true }) }));
    const table = h("div");
    fill(result, sides[0].view.takeProblem(), table, columns(sides));
    announce("Asked both.");
    try {
      const ids = await Promise.all(sides.map(({ pipeline, effort, view }) =>
        watch({ problem: question.value, pipeline, effort }, view, running.signal)));
      fill(table, summary(sides));
      if (about.history && ids.every(Boolean)) {
        const path = `compare?a=${encodeURIComponent(ids[0])}&b=${encodeURIComponent(ids[1])}`;
        table.append(h("p", {}, h("a", { href: path }, "Link to this comparison")));
      }
    } finally {
      if (document.activeElement === stop) question.focus();
      running = null;
      stop.hidden = true;
      start.disabled = false;
    }
  });
  stop.addEventListener("click", () => running?.abort());
  return h("div", { class: "page" }, h("h1", {}, "Compare two pipelines"), form, result);
}

function comparedBefore(ids, about) {
  const result = h("div", { class: "result" }, h("p", { class: "hint" }, "Loading…"));
  Promise.all(ids.map((id) => get(`api/traces/${encodeURIComponent(id)}`))).then((traces) => {
    const sides = traces.map((trace) => ({ pipeline: trace.row.pipeline, effort: trace.row.effort, view: stored(trace, { about, compact: true }) }));
    fill(result, sides[0].view.takeProblem(), summary(sides), columns(sides));
  }).catch((error) => fill(result, h("p", { class: "trouble" }, error.message)));
  return h("div", { class: "page" }, h("h1", {}, "Two pipelines compared"), result);
}

const label = ({ pipeline, effort }) => (effort ? `${pipeline}, ${effort} effort` : pipeline);

function columns(sides) {
  return h("div", { class: "sides" }, sides.map((side) =>
    h("section", { class: "side", "aria-label": label(side) }, h("h2", {}, label(side)), side.view.node)));
}

function summary(sides) {
  const [a, b] = sides.map((side) => side.view.summary);
  const same = a.answer !== "" && a.answer === b.answer;
  const rows = [
    ["Answer", (s) => s.answerNode()],
    ["Time", (s) => seconds(s.seconds)],
    ["Attempts", (s) => number(s.attempts)],
    ["Tokens read", (s) => number(s.read)],
    ["Tokens written", (s) => number(s.written)],
    ["Cost", (s) => cost(s.cost)],
  ];
  announce(same ? "Both give the same answer." : "The answers differ.");
  return h("section", { class: "panel", "aria-label": "Summary" },
    h("p", { class: "verdict-line" }, h("span", { class: `chip ${same ? "good" : "doubt"}` }, same ? "Same answer" : "Different answers")),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Both in figures" },
      h("table", { class: "sums" },
        h("thead", {}, h("tr", {}, h("td"), sides.map((side) => h("th", { scope: "col" }, label(side))))),
        h("tbody", {}, rows.map(([name, cell]) =>
          h("tr", {}, h("th", { scope: "row" }, name), [a, b].map((s) => h("td", {}, cell(s)))))))));
}

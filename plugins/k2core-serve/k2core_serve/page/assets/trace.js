// One request from the history: /traces/ID.
import { blob, get, post } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { stored } from "./stored.js";
import { date, role, state } from "./text.js";

const NAMES = {
  outcome: "Outcome", plan: "Plan", candidates: "Attempts", verdicts: "Checks", chosen: "Chosen attempt", decision: "Decision", answer: "Answer",
};

export function tracePlace({ about, argument, go }) {
  const result = h("div", {}, h("p", { class: "hint" }, "Loading…"));
  const path = `api/traces/${encodeURIComponent(argument)}`;
  get(path).then((trace) => fill(result, shown(trace, path, { about, go })))
    .catch((error) => fill(result, h("p", { class: "trouble below" }, error.message)));
  return h("div", { class: "page" }, h("p", { class: "back" }, h("a", { href: "traces" }, "All requests")), h("h1", {}, "A request and how it was answered"), result);
}

function shown(trace, path, { about, go }) {
  const { row } = trace;
  const outcome = h("div");
  const replay = h("button", { type: "button", disabled: !trace.events.length }, "Replay");
  replay.addEventListener("click", () => replayed(path, replay, outcome));
  const facts = [
    ["Asked", date(row.began)], ["Pipeline", row.effort ? `${row.pipeline}, ${row.effort} effort` : row.pipeline], ["Version", row.version],
    ["By", row.key_id], ["State", state(row.state)],
  ];
  const again = () => {
    sessionStorage.setItem("k2core.again", row.problem);
    go("?again");
  };
  return [
    h("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("div", { class: "buttons below" }, replay,
      trace.may_export ? h("button", { type: "button", onclick: () => download(`${path}/trace.jsonl`, `${row.id}.jsonl`, outcome) }, "Download trace") : null,
      h("button", { type: "button", onclick: again }, "Ask again")),
    outcome,
    trace.damage ? h("p", { class: "trouble below" }, `Not all of it can be shown: ${trace.damage}.`) : null,
    stored(trace, { about }).node,
  ];
}

async function replayed(path, button, outcome) {
  button.disabled = true;
  fill(outcome, h("p", { class: "panel working below" }, "Running it again on the recorded words of the models…"));
  try {
    const told = await post(`${path}/replay`);
    announce(told.same ? "Every decision is the same." : "The replay differs.");
    fill(outcome, told.same ? same(told) : different(told));
  } catch (error) {
    fill(outcome, h("p", { class: "trouble below" }, error.message));
  }
  button.disabled = false;
}

const name = (item) => NAMES[item.name] || `Spent on ${role(item.name.replace(/^usage\./, "")).toLowerCase()}`;

function same(told) {
  return h("section", { class: "panel below", "aria-label": "Replay" },
    h("p", {}, h("span", { class: "chip good" }, "Same"), ` Replayed: all ${told.items.length} compared things are the same.`),
    h("p", { class: "hint" }, told.items.map(name).join(", ")));
}

function different(told) {
  const odd = told.items.filter((item) => !item.same);
  return h("section", { class: "panel below", "aria-label": "Replay" },
    h("p", {}, h("span", { class: "chip bad" }, "Different"), ` Replayed: ${odd.length} of ${told.items.length} compared things differ.`),
    h("dl", { class: "differences" }, odd.map((item) => [h("dt", {}, name(item)), item.differences.map((text) => h("dd", {}, text))]).flat(2)));
}

async function download(path, file, outcome) {
  try {
    const url = URL.createObjectURL(await blob(path));
    h("a", { href: url, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  } catch (error) {
    fill(outcome, h("p", { class: "trouble below" }, error.message));
  }
}

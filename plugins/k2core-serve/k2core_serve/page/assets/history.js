// What was asked before: searched, filtered, page by page.
import { get } from "./api.js";
import { announce, fill, h, laidOut } from "./dom.js";
import { labelled } from "./form.js";
import { STATE_NAMES, counted, date, seconds, state } from "./text.js";

const KIND = { answered: "good", failed: "bad", stopped: "doubt", interrupted: "doubt", running: "busy" };

export function historyPlace({ query, go }) {
  const text = h("input", { type: "search", name: "q", value: query.get("q") || "", placeholder: "Words of the problem or an answer" });
  const pipeline = h("select", { name: "pipeline" }, h("option", { value: "" }, "any"));
  const states = h("select", { name: "state" }, h("option", { value: "" }, "any"),
    Object.entries(STATE_NAMES).map(([value, name]) => h("option", { value, selected: value === query.get("state") }, name)));
  const list = h("div", {}, h("p", { class: "hint" }, "Loading…"));
  const form = h("form", { class: "filters", role: "search" },
    labelled("Search", text), labelled("Pipeline", pipeline), labelled("State", states),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Search")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    go(`traces${chosen.length ? `?${new URLSearchParams(chosen)}` : ""}`);
  });
  load(query, list, pipeline);
  return h("div", { class: "page" }, h("h1", {}, "History"), form, list);
}

async function load(query, list, pipeline) {
  try {
    const page = await get(`api/traces?${query}`);
    pipeline.append(...page.pipelines.map((name) => h("option", { value: name, selected: name === query.get("pipeline") }, name)));
    fill(list, shown(page, query));
    announce(page.rows.length ? `${counted(page.rows.length, "request")} on this page.` : "Nothing was found.");
  } catch (error) {
    fill(list, h("p", { class: "trouble" }, error.message));
  }
}

function shown(page, query) {
  if (!page.rows.length) {
    const narrowed = ["q", "pipeline", "state", "before"].some((name) => query.get(name));
    return h("p", { class: "empty" }, narrowed ? "Nothing was found." : "Nothing has been asked yet.");
  }
  const paged = (before) => {
    const next = new URLSearchParams(query);
    before ? next.set("before", before) : next.delete("before");
    return `traces${next.size ? `?${next}` : ""}`;
  };
  return [
    h("ol", { class: "requests" }, page.rows.map(row)),
    h("nav", { class: "paging", "aria-label": "Pages of the history" },
      query.get("before") ? h("a", { href: paged(null) }, "Newest") : null,
      page.next ? h("a", { href: paged(page.next) }, "Older") : null),
  ];
}

function row(one) {
  const outcome = one.state === "answered" ? laidOut(one.answer_html) : one.state === "failed" ? one.error : "";
  const facts = [one.effort ? `${one.pipeline}, ${one.effort} effort` : one.pipeline, date(one.began),
    one.state === "running" ? "" : seconds(one.seconds), one.tokens ? counted(one.tokens, "token") : "", one.key_id ? `by ${one.key_id}` : ""];
  return h("li", {},
    h("a", { href: `traces/${encodeURIComponent(one.id)}`, class: "asked" }, one.problem ? laidOut(one.problem_html) : "(no text)"),
    h("p", { class: "outcome" }, h("span", { class: `chip ${KIND[one.state] || ""}` }, state(one.state)), " ", outcome),
    h("p", { class: "meta" }, facts.filter(Boolean).join(" · ")));
}

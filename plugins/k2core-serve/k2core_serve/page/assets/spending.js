// Tokens and time by what they were spent on.
import { h } from "./dom.js";
import { cost, counted, number, role as named, seconds } from "./text.js";

const NONE = { started: 0, cancelled: 0, failed: 0, prompt_tokens: 0, completion_tokens: 0, seconds: 0, cost: 0, estimated: false };

const add = (a, b) => {
  const sum = { estimated: a.estimated || Boolean(b.estimated) };
  for (const key of Object.keys(NONE)) if (key !== "estimated") sum[key] = a[key] + (b[key] || 0);
  return sum;
};

export class Spending {
  constructor() {
    this.roles = new Map();
    this.streaming = new Map();
    this.open = new Map();
    this.body = h("tbody");
    this.foot = h("tfoot");
    const columns = ["Calls", "Tokens read", "Tokens written", "Time", "Cost"];
    const table = h("table", { class: "sums" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "For"), columns.map((name) => h("th", { scope: "col", class: "n" }, name)))),
      this.body, this.foot);
    this.hint = h("p", { class: "hint" });
    this.node = h("div", {}, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tokens and time" }, table), this.hint);
  }

  get total() {
    return [...this.roles.values()].reduce(add, NONE);
  }

  /** A call has begun. */
  begun(role) {
    this.open.set(role, (this.open.get(role) || 0) + 1);
    this.later();
  }

  /** Tokens of a call that is still going on. */
  written(role, tokens) {
    this.streaming.set(role, (this.streaming.get(role) || 0) + tokens);
    this.later();
  }

  ended(role, usage) {
    this.roles.set(role, add(this.roles.get(role) || NONE, usage));
    this.open.set(role, Math.max(0, (this.open.get(role) || 0) - 1));
    this.streaming.set(role, Math.max(0, (this.streaming.get(role) || 0) - usage.completion_tokens));
    this.later();
  }

  totals(usage) {
    if (Object.keys(usage).length) this.roles = new Map(Object.entries(usage).map(([role, used]) => [role, add(NONE, used)]));
    this.streaming.clear();
    this.open.clear();
    this.draw();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const names = new Set([...this.roles.keys(), ...this.open.keys(), ...this.streaming.keys()]);
    const all = [...names].map((name) => {
      const used = this.roles.get(name) || NONE;
      const [calls, tokens] = [this.open, this.streaming].map((map) => map.get(name) || 0);
      return [named(name), { ...used, started: used.started + calls, completion_tokens: used.completion_tokens + tokens }];
    });
    this.body.replaceChildren(...all.map(([name, used]) => this.row(name, used)));
    const total = all.map(([, used]) => used).reduce(add, NONE);
    this.foot.replaceChildren(...(all.length > 1 ? [this.row("All", total)] : []));
    const lost = [total.cancelled ? `${counted(total.cancelled, "call")} stopped early` : "", total.failed ? `${number(total.failed)} failed` : "",
      total.estimated ? "some counts are estimates" : "", "calls that ran side by side count their time each"];
    const text = lost.filter(Boolean).join("; ");
    this.hint.textContent = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  }

  row(name, used) {
    const cells = [number(used.started), number(used.prompt_tokens), number(used.completion_tokens), seconds(used.seconds), cost(used.cost)];
    return h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", { class: "n" }, cell)));
  }
}
